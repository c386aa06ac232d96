package privacy

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/subtle"
	"errors"
)

// Sealed bytes are: the format (1), the length of the key id, the key id, a 24-byte nonce, the ciphertext with its tag.
// The cipher is XAES-256-GCM (c2sp.org/XAES-256-GCM): AES-256-GCM under a key derived from half of a long random nonce, so
// that one key may seal any number of fields; a plain 12-byte random nonce would wear a key out within weeks.
const (
	format    = 1
	nonceSize = 24
	tagSize   = 16
)

// ErrSealed says that sealed bytes cannot be opened: they are damaged, belong to another row or column, or their key is
// not among ours.
var ErrSealed = errors.New("sealed bytes cannot be opened: damaged, moved, or sealed under an unknown key")

type cipherKey struct {
	id     string
	block  cipher.Block
	subkey [aes.BlockSize]byte // K1 of CMAC
}

// Place names the one field that a sealed value belongs to, such as Place("orders.payload", key, revision). It is
// authenticated with the value, so that a value copied to another row or column does not open. Each part is preceded by
// its length: no two lists of parts give the same place.
func Place(parts ...string) []byte {
	var place []byte
	for _, part := range parts {
		n := len(part)
		place = append(place, byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
		place = append(place, part...)
	}
	return place
}

// Encrypt seals plain for its place under the first key. Nil stays nil: an absent value is not a secret.
func (k *Keys) Encrypt(plain, place []byte) []byte {
	if plain == nil {
		return nil
	}
	key := &k.payloads[0]
	head := 2 + len(key.id)
	sealed := make([]byte, head+nonceSize, head+nonceSize+len(plain)+tagSize)
	sealed[0], sealed[1] = format, byte(len(key.id))
	copy(sealed[2:], key.id)
	nonce := sealed[head:]
	_, _ = rand.Read(nonce) // never fails: crypto/rand ends the process instead

	//nolint:gosec // G407: the nonce was drawn a line above
	return key.aead(nonce).Seal(sealed, nonce[12:], plain, authenticated(sealed[:head], place))
}

// Decrypt opens what Encrypt sealed for the same place, under any of the keys.
func (k *Keys) Decrypt(sealed, place []byte) ([]byte, error) {
	if sealed == nil {
		return nil, nil
	}
	if len(sealed) < 2 || sealed[0] != format {
		return nil, ErrSealed
	}
	head := 2 + int(sealed[1])
	if len(sealed) < head+nonceSize+tagSize {
		return nil, ErrSealed
	}
	id, nonce := string(sealed[2:head]), sealed[head:head+nonceSize]
	for i := range k.payloads {
		if k.payloads[i].id != id {
			continue
		}
		plain, err := k.payloads[i].aead(nonce).Open([]byte{}, nonce[12:], sealed[head+nonceSize:], authenticated(sealed[:head], place))
		if err != nil {
			return nil, ErrSealed
		}
		return plain, nil
	}
	return nil, ErrSealed
}

// authenticated joins what is not secret but must not be changed.
func authenticated(head, place []byte) []byte {
	return append(append(make([]byte, 0, len(head)+len(place)), head...), place...)
}

func newCipherKey(key namedKey) cipherKey {
	block, err := aes.NewCipher(key.secret[:])
	if err != nil {
		panic(err) // the key's length was checked
	}
	c := cipherKey{id: key.id, block: block}
	block.Encrypt(c.subkey[:], c.subkey[:])
	var msb byte
	for i := len(c.subkey) - 1; i >= 0; i-- {
		msb, c.subkey[i] = c.subkey[i]>>7, c.subkey[i]<<1|msb
	}
	c.subkey[len(c.subkey)-1] ^= byte(subtle.ConstantTimeSelect(int(msb), 0x87, 0))
	return c
}

// aead is AES-256-GCM under the key derived from the first half of the nonce; the other half is its nonce.
func (c *cipherKey) aead(nonce []byte) cipher.AEAD {
	derived := make([]byte, 0, keySize)
	for counter := byte(1); counter <= 2; counter++ {
		block := [aes.BlockSize]byte{0, counter, 'X', 0}
		copy(block[4:], nonce[:12])
		subtle.XORBytes(block[:], block[:], c.subkey[:])
		c.block.Encrypt(block[:], block[:])
		derived = append(derived, block[:]...)
	}
	block, err := aes.NewCipher(derived)
	if err != nil {
		panic(err) // the key's length is fixed
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		panic(err) // the block size is fixed
	}
	return aead
}
