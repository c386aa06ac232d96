// Package privacy keeps personal data from people and places that must not see it: encryption of fields at rest, keyed
// pseudonyms that can be joined but not read, and masks for operator views (protocols section 5).
package privacy

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
)

// Settings of who touches personal data. Each is a list `id=base64,...` of 32-byte keys: the first one writes, all of
// them read, so that a key is rotated by putting the new one in front.
type Settings struct {
	PseudonymKeys string `env:"PSEUDONYM_KEYS,required" doc:"id=base64,...: 32-byte keys of pseudonyms; the first one writes"`
	PayloadKeys   string `env:"PAYLOAD_KEYS,required" doc:"id=base64,...: 32-byte keys of field encryption; the first one writes"`
}

// Validate reports every mistake at once and never prints a key.
func (s *Settings) Validate() error {
	_, errP := parseKeys("PSEUDONYM_KEYS", s.PseudonymKeys)
	_, errE := parseKeys("PAYLOAD_KEYS", s.PayloadKeys)
	return errors.Join(errP, errE)
}

// PseudonymSettings of who makes pseudonyms and never sees what is sealed.
type PseudonymSettings struct {
	PseudonymKeys string `env:"PSEUDONYM_KEYS,required" doc:"id=base64,...: 32-byte keys of pseudonyms; the first one writes"`
}

// Validate never prints a key.
func (s *PseudonymSettings) Validate() error {
	_, err := parseKeys("PSEUDONYM_KEYS", s.PseudonymKeys)
	return err
}

// Keys encrypts, decrypts and makes pseudonyms. It is safe for concurrent use.
type Keys struct {
	pseudonyms []namedKey
	payloads   []cipherKey
}

// New makes the keys of the settings.
func New(s Settings) (*Keys, error) {
	pseudonyms, errP := parseKeys("PSEUDONYM_KEYS", s.PseudonymKeys)
	payloads, errE := parseKeys("PAYLOAD_KEYS", s.PayloadKeys)
	if err := errors.Join(errP, errE); err != nil {
		return nil, err
	}
	if len(pseudonyms) == 0 || len(payloads) == 0 {
		return nil, errors.New("PSEUDONYM_KEYS, PAYLOAD_KEYS: each needs at least one key")
	}
	k := &Keys{pseudonyms: pseudonyms}
	for _, key := range payloads {
		k.payloads = append(k.payloads, newCipherKey(key))
	}
	return k, nil
}

const (
	keySize  = 32
	maxKeyID = 32
)

type namedKey struct {
	id     string
	secret [keySize]byte
}

// parseKeys reads a list of keys. An empty text is an empty list: that a setting is missing is reported elsewhere.
func parseKeys(setting, text string) ([]namedKey, error) {
	if text == "" {
		return nil, nil
	}
	var keys []namedKey
	seen := map[string]bool{}
	for i, item := range strings.Split(text, ",") {
		id, encoded, found := strings.Cut(strings.TrimSpace(item), "=")
		if !found || !validID(id) {
			return nil, fmt.Errorf("%s: key %d: not id=base64 with an id of 1 to %d letters, digits, - or _", setting, i+1, maxKeyID)
		}
		secret, err := base64.StdEncoding.DecodeString(encoded)
		if err != nil || len(secret) != keySize {
			return nil, fmt.Errorf("%s: key %d: not base64 of %d bytes", setting, i+1, keySize)
		}
		if seen[id] {
			return nil, fmt.Errorf("%s: key %d: its id stands twice", setting, i+1)
		}
		seen[id] = true
		keys = append(keys, namedKey{id, [keySize]byte(secret)})
	}
	return keys, nil
}

func validID(id string) bool {
	if id == "" || len(id) > maxKeyID {
		return false
	}
	return strings.IndexFunc(id, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '_'
	}) < 0
}
