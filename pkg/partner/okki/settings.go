package okki

import (
	"errors"
	"fmt"
	"slices"

	"orderflow/pkg/partner"
)

// Settings of a caller of OKKI.
type Settings struct {
	URL         string `env:"OKKI_URL" envDefault:"http://127.0.0.1:8099/router/rest" doc:"OKKI's address at the TOP or Qimen gateway"`
	SignMethod  string `env:"OKKI_SIGN_METHOD" envDefault:"hmac-sha256" doc:"how calls are signed: md5, hmac or hmac-sha256"`
	Credentials Credentials
}

// Credentials are what caller and gateway share.
type Credentials struct {
	AppKey       string `env:"OKKI_APP_KEY" doc:"our app key at the gateway"`
	AppSecret    string `env:"OKKI_APP_SECRET" doc:"secret of the app key (secret)"`
	TargetAppKey string `env:"OKKI_TARGET_APP_KEY" doc:"OKKI's app key in a custom Qimen scene; empty: not sent"`
}

// Validate reports every mistake at once and quotes no value.
func (s *Settings) Validate() error {
	var errs []error
	if _, err := partner.ParseURL(s.URL); err != nil {
		errs = append(errs, fmt.Errorf("OKKI_URL: %w", err))
	}
	if !slices.Contains(SignMethods, s.SignMethod) {
		errs = append(errs, errors.New("OKKI_SIGN_METHOD: one of md5, hmac, hmac-sha256"))
	}
	return errors.Join(errs...)
}

// Validate reports every mistake at once and quotes no value.
func (c *Credentials) Validate() error {
	var errs []error
	if c.AppKey == "" {
		errs = append(errs, errors.New("OKKI_APP_KEY: missing"))
	}
	if c.AppSecret == "" {
		errs = append(errs, errors.New("OKKI_APP_SECRET: missing"))
	}
	return errors.Join(errs...)
}
