package source

import (
	"errors"
	"fmt"

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
// members in the sender's. Equal content gives equal bytes.
func Encode(document any) ([]byte, error) {
	doc, err := json.Marshal(document)
	if err != nil {
		return nil, fmt.Errorf("encode the normalised document: %w", err)
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
