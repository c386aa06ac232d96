package privacy

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"hash"
	"strings"
	"sync"
)

// ContentKey puts digests of contents under a key. Equal contents have equal keyed digests for as long as the key lives,
// which is as long as its database: it is none of the keys that are rotated. Without it nobody can tell a content from its
// digest, not even by trying every phone number. It is safe for concurrent use.
type ContentKey struct {
	macs sync.Pool // of hash.Hash under the key
}

// KeyedPrefix begins every keyed digest; no plain one begins so.
const KeyedPrefix = "hmac."

// NewContentKey draws a new key, sealed for its place as Encrypt does.
func (k *Keys) NewContentKey(place []byte) (sealed []byte) {
	secret := make([]byte, keySize)
	_, _ = rand.Read(secret) // never fails: crypto/rand ends the process instead
	return k.Encrypt(secret, place)
}

// ContentKey opens what NewContentKey sealed. Its error is ErrSealed, or says that these bytes are no key.
func (k *Keys) ContentKey(sealed, place []byte) (*ContentKey, error) {
	secret, err := k.Decrypt(sealed, place)
	if err != nil {
		return nil, err
	}
	if len(secret) != keySize {
		return nil, errors.New("content key: not what was written")
	}
	c := &ContentKey{}
	c.macs.New = func() any { return hmac.New(sha256.New, secret) }
	return c, nil
}

// Keyed puts a digest under the key: KeyedPrefix and 144 bits of HMAC-SHA-256 in base64url. One that is keyed already, and
// none (""), stay what they are.
func (c *ContentKey) Keyed(digest string) string {
	if digest == "" || strings.HasPrefix(digest, KeyedPrefix) {
		return digest
	}
	mac, _ := c.macs.Get().(hash.Hash)
	defer c.macs.Put(mac)
	mac.Reset()
	buffer := append(make([]byte, 0, 128), digest...)
	mac.Write(buffer)
	sum := mac.Sum(buffer[:0])
	return string(base64.RawURLEncoding.AppendEncode([]byte(KeyedPrefix), sum[:pseudonymSize]))
}
