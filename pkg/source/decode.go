package source

import (
	"errors"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Decode reads a pushed document into one contract's wire type: exact names, no name twice, unknown members kept. The
// error is a *Fault at the first value that cannot be read.
func Decode(body []byte, into any) error {
	err := json.Unmarshal(body, into)
	if err == nil {
		return nil
	}
	return decodeFault(err)
}

// Encode writes a wire type as the normalised document: the contract's fields in the contract's order, then the unknown
// members in the sender's. Equal content gives equal bytes. What Decode read can be written; the error is a *Fault all the
// same, since trying again would not help.
func Encode(document any) ([]byte, error) {
	doc, err := json.Marshal(document)
	if err != nil {
		return nil, &Fault{Code: BadJSON, Rule: "the document cannot be written in its normal form"}
	}
	return doc, nil
}

func decodeFault(err error) *Fault {
	if fault, ok := errors.AsType[*Fault](err); ok {
		return fault
	}
	if _, ok := errors.AsType[*jsontext.SyntacticError](err); ok {
		return syntaxFault(err)
	}
	if semantic, ok := errors.AsType[*json.SemanticError](err); ok {
		return &Fault{Code: BadType, Path: string(semantic.JSONPointer), Rule: "an object is needed"}
	}
	return syntaxFault(err)
}
