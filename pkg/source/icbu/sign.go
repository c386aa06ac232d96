package icbu

import (
	"crypto/md5" // the platform's algorithm (protocols 2.1); the secret and the time window carry the trust
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"orderflow/pkg/source"
)

const (
	signParam    = "sign"
	signListName = "top-sign-list"
	formType     = "application/x-www-form-urlencoded"

	maxParams = 500 // of a query or a form; the contract has forty fields and a dozen system parameters
)

// SPIRequest is a call of the platform as it came over HTTP. Nothing in it is decoded: the signature covers bytes in the
// request's own charset, and percent-decoding gives just those, whether that is UTF-8 or GBK.
type SPIRequest struct {
	RawQuery string      // percent-encoded, as received; holds the system parameters and `sign`
	Header   http.Header // top-sign-list and the headers that it names; Content-Type tells a form
	Body     []byte      // as received
}

// Param is a query parameter, percent-decoded, or "".
func (r SPIRequest) Param(name string) string {
	for pair := range strings.SplitSeq(r.RawQuery, "&") {
		if key, value, err := splitPair(pair); err == nil && key == name {
			return value
		}
	}
	return ""
}

// IsForm tells whether the body is a form, whose fields are signed as parameters.
func (r SPIRequest) IsForm() bool {
	mediaType, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";")
	return strings.EqualFold(strings.TrimSpace(mediaType), formType)
}

// SignSPI is the signature of a call: upper-case hex of MD5 over secret, sorted parameters, body, secret (protocols 2.1).
// It is "" for a request whose parameters cannot be read or stand twice.
func SignSPI(secret string, req SPIRequest) string {
	parameters, err := req.signed()
	if err != nil {
		return ""
	}
	return req.sum(secret, parameters)
}

// VerifySPI tells whether one of the secrets made the request's signature. Every secret is tried, in constant time, so
// that an answer's delay tells nothing about which one fits.
func VerifySPI(secrets []string, req SPIRequest) bool {
	parameters, err := req.signed()
	if err != nil {
		return false
	}
	given := []byte(req.Param(signParam))
	match := 0
	for _, secret := range secrets {
		match |= subtle.ConstantTimeCompare(given, []byte(req.sum(secret, parameters)))
	}
	return match == 1
}

// ParseTimestamp reads the `timestamp` parameter, in GMT+8. Compare it by source.Fresh. The error never quotes the text.
func ParseTimestamp(text string) (time.Time, error) {
	at, err := source.ParseTime(text)
	if err != nil {
		return time.Time{}, fmt.Errorf("timestamp: %w", err)
	}
	return at, nil
}

func (r SPIRequest) sum(secret string, parameters []byte) string {
	hash := md5.New()
	hash.Write([]byte(secret))
	hash.Write(parameters)
	if !r.IsForm() {
		hash.Write(r.Body)
	}
	hash.Write([]byte(secret))
	return strings.ToUpper(hex.EncodeToString(hash.Sum(nil)))
}

// signed joins names and values of all signed parameters, sorted by name. Query parameters win over form fields, both win
// over headers; a parameter without a value stays in by its name.
func (r SPIRequest) signed() ([]byte, error) {
	query, err := pairs(r.RawQuery)
	if err != nil {
		return nil, err
	}
	params, err := r.signedHeaders()
	if err != nil {
		return nil, err
	}
	if r.IsForm() {
		fields, err := pairs(string(r.Body))
		if err != nil {
			return nil, err
		}
		maps.Copy(params, fields)
	}
	maps.Copy(params, query)
	delete(params, signParam)
	var joined []byte
	for _, name := range slices.Sorted(maps.Keys(params)) {
		joined = append(joined, name...)
		joined = append(joined, params[name]...)
	}
	return joined, nil
}

// signedHeaders are the headers named in top-sign-list, by the names as listed there; a missing one counts as empty.
func (r SPIRequest) signedHeaders() (map[string]string, error) {
	params := map[string]string{}
	list := r.Header.Get(signListName)
	if list == "" {
		return params, nil
	}
	for name := range strings.SplitSeq(list, ",") {
		value, err := url.QueryUnescape(r.Header.Get(name))
		if err != nil {
			return nil, errEncoding
		}
		params[name] = value
	}
	return params, nil
}

// pairs splits a query or a form. A name that stands twice is refused: the platform sends none, and whoever reads the
// request must not see another value than the signature covers.
func pairs(encoded string) (map[string]string, error) {
	params := map[string]string{}
	for pair := range strings.SplitSeq(encoded, "&") {
		if pair == "" {
			continue
		}
		if len(params) == maxParams {
			return nil, errMany
		}
		name, value, err := splitPair(pair)
		if err != nil {
			return nil, err
		}
		if _, twice := params[name]; twice {
			return nil, errTwice
		}
		params[name] = value
	}
	return params, nil
}

var (
	errEncoding = errors.New("a parameter is not percent-encoded properly")
	errTwice    = errors.New("a parameter stands twice")
	errMany     = errors.New("too many parameters")
)

func splitPair(pair string) (name, value string, err error) {
	name, value, _ = strings.Cut(pair, "=")
	if name, err = url.QueryUnescape(name); err != nil {
		return "", "", errEncoding
	}
	if value, err = url.QueryUnescape(value); err != nil {
		return "", "", errEncoding
	}
	return name, value, nil
}
