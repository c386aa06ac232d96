package privacy

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"hash"
	"strings"
	"sync"

	"orderflow/pkg/order"
)

// Kind is what a pseudonym stands for. Equal values of different kinds have unrelated pseudonyms.
type Kind string

// The kinds of pseudonyms.
const (
	buyer   Kind = "buyer" // account or user id, see BuyerAt
	Phone   Kind = "phone"
	Company Kind = "company"
	Content Kind = "content" // digest of a document that holds personal data: a plain one could be guessed back into them
)

// BuyerAt is the kind of a buyer's id at the platform that gave it out, an order's channel: the same id at another platform
// is somebody else. A phone or a company is the same everywhere.
func BuyerAt(channel string) Kind { return buyer + Kind(" at "+channel) }

// FormerBuyer is the kind of all buyers' ids in releases that did not tell platforms apart: their pseudonyms stay until the
// next rotation.
const FormerBuyer = buyer

const pseudonymSize = 18 // bytes kept of the HMAC: 144 bits, a whole number of base64 groups

// Pseudonym gives `<key id>.<base64url>` for a value, under the first key: the same value always the same text, and no way
// back without the key. An empty value gives "".
func (k *Keys) Pseudonym(kind Kind, value string) string {
	return pseudonym(k.pseudonyms[0], kind, value)
}

// Pseudonyms gives a value's pseudonyms under every key, for looking up what was written before a rotation.
func (k *Keys) Pseudonyms(kind Kind, value string) []string {
	var all []string
	for _, key := range k.pseudonyms {
		if p := pseudonym(key, kind, value); p != "" {
			all = append(all, p)
		}
	}
	return all
}

func pseudonym(key namedKey, kind Kind, value string) string {
	value = normalise(kind, value)
	if value == "" {
		return ""
	}
	return keyed(hmac.New(sha256.New, key.secret[:]), key.id, kind, value)
}

// keyed writes the pseudonym of a normalised value with a fresh or reset mac.
func keyed(mac hash.Hash, id string, kind Kind, value string) string {
	buffer := make([]byte, 0, 128)
	buffer = append(append(append(buffer, kind...), 0), value...)
	mac.Write(buffer)
	sum := mac.Sum(buffer[:0])
	text := append(make([]byte, 0, 64), id...)
	return string(base64.RawURLEncoding.AppendEncode(append(text, '.'), sum[:pseudonymSize]))
}

// normalise makes the ways to write one value equal: width and case of letters, blanks around it; in phones all but the
// digits and China's country code.
func normalise(kind Kind, value string) string {
	value = order.Folded(value)
	if kind != Phone {
		return value
	}
	digits := order.OnlyDigits(value)
	if digits == "" {
		return value // a masked number, such as all stars, is still a value
	}
	if local := strings.TrimPrefix(strings.TrimPrefix(digits, "00"), "86"); len(local) == 11 && local[0] == '1' {
		return local
	}
	return digits
}

// Pseudonyms makes pseudonyms and nothing else, for many values at once. It is safe for concurrent use.
type Pseudonyms struct {
	id   string
	macs sync.Pool // of hash.Hash under the key: setting one up costs as much as using it
}

// NewPseudonyms makes those of the settings; under the same keys they are equal to those of Keys.
func NewPseudonyms(s PseudonymSettings) (*Pseudonyms, error) {
	keys, err := parseKeys("PSEUDONYM_KEYS", s.PseudonymKeys)
	if err != nil {
		return nil, err
	}
	if len(keys) == 0 {
		return nil, errors.New("PSEUDONYM_KEYS: at least one key is needed")
	}
	p := &Pseudonyms{id: keys[0].id}
	p.macs.New = func() any { return hmac.New(sha256.New, keys[0].secret[:]) }
	return p, nil
}

// Pseudonym gives the same as that of Keys.
func (p *Pseudonyms) Pseudonym(kind Kind, value string) string {
	if value = normalise(kind, value); value == "" {
		return ""
	}
	mac, _ := p.macs.Get().(hash.Hash)
	defer p.macs.Put(mac)
	mac.Reset()
	return keyed(mac, p.id, kind, value)
}
