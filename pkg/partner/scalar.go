package partner

import "github.com/go-json-experiment/json/jsontext"

// Scalar is a text of an answer that may be written as a JSON string, number or boolean: the partners' documents differ
// from each other and from themselves. Anything else counts as absent.
type Scalar string

// UnmarshalJSONFrom implements json.UnmarshalerFrom.
func (s *Scalar) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	switch dec.PeekKind() {
	case '"', '0', 't', 'f':
		token, err := dec.ReadToken()
		if err != nil {
			return err
		}
		*s = Scalar(token.String())
		return nil
	default:
		*s = ""
		return dec.SkipValue()
	}
}
