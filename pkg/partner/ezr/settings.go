package ezr

import (
	"errors"
	"fmt"
	"net"
	"net/url"

	"orderflow/pkg/partner"
	"orderflow/pkg/source/mall"
)

// Settings of a caller of EZR.
type Settings struct {
	URL         string `env:"EZR_URL" envDefault:"http://127.0.0.1:8099" doc:"base address of EZR; plain http for loopback only"`
	AppSystem   string `env:"EZR_APP_SYSTEM" envDefault:"orderflow" doc:"name of the calling system; EZR limits the rate by it"`
	Credentials Credentials
}

// Credentials are what a brand and its caller share.
type Credentials struct {
	AppID string `env:"EZR_APP_ID" doc:"brand code"`
	Token string `env:"EZR_TOKEN" doc:"token of the brand (secret)"`
	Sign  string `env:"EZR_SIGN" envDefault:"sha1" doc:"how the brand signs: sha1 (EncryptType 0) or md5 (EncryptType 1)"`
}

// Validate reports every mistake at once and quotes no value. Plain http is refused but for loopback: EZR's signature does
// not cover the orders, so whoever sees one request may send others for ten minutes (protocols 4.1).
func (s *Settings) Validate() error {
	var errs []error
	if u, err := partner.ParseURL(s.URL); err != nil {
		errs = append(errs, fmt.Errorf("EZR_URL: %w", err))
	} else if u.Scheme == "http" && !loopback(u) {
		errs = append(errs, errors.New("EZR_URL: plain http is for loopback only, use https"))
	}
	if s.AppSystem == "" {
		errs = append(errs, errors.New("EZR_APP_SYSTEM: missing"))
	}
	return errors.Join(errs...)
}

// Validate reports every mistake at once and quotes no value.
func (c *Credentials) Validate() error {
	var errs []error
	if c.AppID == "" {
		errs = append(errs, errors.New("EZR_APP_ID: missing"))
	}
	if c.Token == "" {
		errs = append(errs, errors.New("EZR_TOKEN: missing"))
	}
	if c.Sign != mall.SHA1 && c.Sign != mall.MD5 {
		errs = append(errs, errors.New("EZR_SIGN: one of sha1, md5"))
	}
	return errors.Join(errs...)
}

func loopback(u *url.URL) bool {
	ip := net.ParseIP(u.Hostname())
	return u.Hostname() == "localhost" || (ip != nil && ip.IsLoopback())
}
