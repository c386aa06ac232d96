package privacy

import "strings"

// PayloadKeyID is the id of the key that Encrypt seals under.
func (k *Keys) PayloadKeyID() string { return k.payloads[0].id }

// PseudonymKeyID is the id of the key that Pseudonym uses.
func (k *Keys) PseudonymKeyID() string { return k.pseudonyms[0].id }

// PayloadKeyIDs lists the ids of PAYLOAD_KEYS, the writing one first.
func (k *Keys) PayloadKeyIDs() []string {
	ids := make([]string, len(k.payloads))
	for i := range k.payloads {
		ids[i] = k.payloads[i].id
	}
	return ids
}

// PseudonymKeyIDs lists the ids of PSEUDONYM_KEYS, the writing one first.
func (k *Keys) PseudonymKeyIDs() []string {
	ids := make([]string, len(k.pseudonyms))
	for i := range k.pseudonyms {
		ids[i] = k.pseudonyms[i].id
	}
	return ids
}

// SealedUnder is the id of the key that bytes were sealed under, "" where there are none or they are of another format.
func SealedUnder(sealed []byte) string {
	if len(sealed) < 2 || sealed[0] != format || len(sealed) < 2+int(sealed[1]) {
		return ""
	}
	return string(sealed[2 : 2+int(sealed[1])])
}

// SealPrefix is what a sealed value begins with up to the end of its random nonce: no two sealed values share it, so it
// tells whether a stored value is still the one that was read without comparing all of it. Nil stays nil.
func SealPrefix(sealed []byte) []byte {
	if sealed == nil {
		return nil
	}
	n := 2 + len(SealedUnder(sealed)) + nonceSize
	return sealed[:min(n, len(sealed))]
}

// PseudonymUnder is the id of the key that a pseudonym was made under, "" of none.
func PseudonymUnder(pseudonym string) string {
	id, _, _ := strings.Cut(pseudonym, ".")
	return id
}
