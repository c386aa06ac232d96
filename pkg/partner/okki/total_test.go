package okki_test

import (
	"errors"
	"testing"

	"orderflow/pkg/partner/okki"
	"orderflow/pkg/source"
)

func TestTotal(t *testing.T) {
	for document, want := range map[string]string{`{"amount":"28600.0","x":[1]}`: "28600.0", `{"amount":7.10}`: "7.10", `{}`: ""} {
		if total, err := okki.Total([]byte(document)); err != nil || total != want {
			t.Errorf("%s: %q, %v", document, total, err)
		}
	}
	for document, code := range map[string]source.Code{`{"amount":"x"}`: source.BadAmount, `{`: source.BadJSON, `[]`: source.BadType} {
		_, err := okki.Total([]byte(document))
		if fault, ok := errors.AsType[*source.Fault](err); !ok || fault.Code != code {
			t.Errorf("%s: %v", document, err)
		}
	}
}
