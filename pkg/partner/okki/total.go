package okki

import "orderflow/pkg/source"

// Total finds the amount in a normalised document of seed 000, exact text, or "" where it has none. The document goes to
// OKKI as it stands, so this is all that can be wrong with it; the error is a *source.Fault.
func Total(document []byte) (string, error) {
	var peek struct {
		Amount source.AmountText `json:"amount"`
	}
	if err := source.Decode(document, &peek); err != nil {
		return "", err
	}
	return peek.Amount.Text, nil
}
