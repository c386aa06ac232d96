package okki

import (
	"crypto/hmac"
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"hash"
	"maps"
	"net/url"
	"slices"
	"strings"
)

// The sign methods of a TOP caller, protocols 2.3.
const (
	MD5        = "md5"
	HMAC       = "hmac"
	HMACSHA256 = "hmac-sha256"
)

// SignMethods lists them.
var SignMethods = []string{MD5, HMAC, HMACSHA256}

// Sign gives a caller's signature over the parameters and a JSON body, upper-case hex (protocols 2.3). The parameter
// "sign" and every pair with a blank name or value stay out, unlike in the provider's check of pkg/source/icbu. An unknown
// method gives "".
func Sign(method, secret string, params url.Values, body []byte) string {
	var h hash.Hash
	switch method {
	case MD5:
		h = md5.New()
		h.Write([]byte(secret))
	case HMAC:
		h = hmac.New(md5.New, []byte(secret))
	case HMACSHA256:
		h = hmac.New(sha256.New, []byte(secret))
	default:
		return ""
	}
	for _, name := range slices.Sorted(maps.Keys(params)) {
		value := params.Get(name)
		if name == "sign" || strings.TrimSpace(name) == "" || strings.TrimSpace(value) == "" {
			continue
		}
		h.Write([]byte(name))
		h.Write([]byte(value))
	}
	h.Write(body)
	if method == MD5 {
		h.Write([]byte(secret))
	}
	return strings.ToUpper(hex.EncodeToString(h.Sum(nil)))
}
