package order_test

import (
	"testing"

	"orderflow/pkg/order"
)

// Labels tell of no person, in whatever way somebody wrote it into them; what is a label stays.
func TestLabelsTellOfNoPerson(t *testing.T) {
	person := order.Personal{Account: "EZ00001201", Name: "李雷", Phone: "139 1234-5678", Company: "Acme Trading", Address: "文三路莲花胡同九号"}
	for text, want := range map[string]struct{ name, code bool }{
		"OKKI Lite管理软件V1.0":      {true, true},
		"15026609123456":         {true, true},  // a bar code
		"15026609123":            {false, true}, // a bar code that looks like a phone number
		"13912345678":            {false, false},
		"１３９１２３４５６７８":            {false, false},
		"送货给李小龙电话13700001111":    {false, true},
		"call +86 137-0000-1111": {false, true},
		"139.1234.5678":          {false, false},
		"给李雷":                    {false, false},
		"for ACME trading only":  {false, false},
		"ez00001201":             {false, false},
		"莲花胡同九号":                 {false, false},
		"九号":                     {true, true}, // too short to be told from a product
		"韩梅梅":                    {false, false},
		"":                       {true, true},
	} {
		o := order.Order{Shop: text, Personal: person, Lines: []order.Line{{ID: text, Product: text, Name: text}}}
		o.LeaveOutPersonal("韩梅梅")
		l := o.Lines[0]
		for what, got := range map[string]struct {
			text string
			kept bool
		}{"shop": {o.Shop, want.name}, "name": {l.Name, want.name}, "product": {l.Product, want.code}, "line": {l.ID, want.code}} {
			if kept := got.text == text; kept != got.kept || !kept && got.text != "" {
				t.Errorf("%s %q: %q", what, text, got.text)
			}
		}
		if o.Personal != person {
			t.Error("the person is lost")
		}
	}
}
