package receipt

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
)

// Bounds of RECEIPT_KEYS.
const (
	minSecret = 16
	maxKeyID  = 16
)

// Settings of whoever mints or reads receipts: ingest, console, orderctl. All of them need the same keys.
type Settings struct {
	Keys string `env:"RECEIPT_KEYS" doc:"id=base64,... of at least 16 bytes each, the same for ingest and console; the first one signs receipts"`
}

// Validate reports every mistake at once and quotes no secret.
func (s *Settings) Validate() error {
	_, err := ParseKeys(s.Keys)
	return err
}

// Keys are the keys that receipts are signed with: the first one writes, all of them read.
type Keys struct{ all []key }

type key struct {
	id     string
	secret []byte
}

// ParseKeys reads the text of RECEIPT_KEYS. The zero Keys reads nothing and must not write.
func ParseKeys(text string) (Keys, error) {
	if strings.TrimSpace(text) == "" {
		return Keys{}, errors.New("RECEIPT_KEYS: needed, as id=base64,... (`openssl rand -base64 32` makes a key)")
	}
	var keys Keys
	var errs []error
	for i, entry := range strings.Split(text, ",") {
		k, err := parseKey(entry)
		if _, twice := keys.byID(k.id); err == nil && twice {
			err = errors.New("its id stands twice")
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("RECEIPT_KEYS: key %d: %w", i+1, err))
			continue
		}
		keys.all = append(keys.all, k)
	}
	return keys, errors.Join(errs...)
}

func parseKey(entry string) (key, error) {
	id, encoded, found := strings.Cut(strings.TrimSpace(entry), "=")
	if !found || id == "" || len(id) > maxKeyID {
		return key{}, fmt.Errorf("not id=base64 with an id of 1 to %d characters", maxKeyID)
	}
	secret, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		return key{}, errors.New("not base64") // the decoder's own text would tell about the secret
	}
	if len(secret) < minSecret {
		return key{}, fmt.Errorf("shorter than %d bytes", minSecret)
	}
	return key{id, secret}, nil
}

func (k Keys) writer() key { return k.all[0] }

func (k Keys) byID(id string) (key, bool) {
	for _, candidate := range k.all {
		if candidate.id == id {
			return candidate, true
		}
	}
	return key{}, false
}
