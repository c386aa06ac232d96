package cause_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"orderflow/pkg/cause"
)

// published are the codes that the outside relies on, interfaces.md section 7, and persist's own for what is no letter.
var published = strings.Fields(`bad_json missing_field bad_type bad_amount bad_time bad_enum too_long empty_lines over_limit
	sum_mismatch qty_mismatch negative_discount return_sign too_old duplicate_line
	partner_rejected partner_conflict sale_parked retries_exhausted deadline panic db_data unreadable_letter
	bad_signature stale unknown_app unknown_token too_large missing_order_no bad_batch`)

// declared are the constants of one type in a file of this module.
func declared(t *testing.T, file, typeName string) []string {
	t.Helper()
	parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var codes []string
	ast.Inspect(parsed, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		if named, ok := spec.Type.(*ast.Ident); ok && named.Name == typeName {
			for _, value := range spec.Values {
				code, err := strconv.Unquote(value.(*ast.BasicLit).Value)
				if err != nil {
					t.Fatal(err)
				}
				codes = append(codes, code)
			}
		}
		return true
	})
	if len(codes) == 0 {
		t.Fatalf("no codes of type %s in %s", typeName, file)
	}
	return codes
}

func TestEveryCodeHasBothTexts(t *testing.T) {
	codes := slices.Concat(published, declared(t, "../source/source.go", "Code"), declared(t, "../worker/verdict.go", "Code"))
	for _, code := range codes {
		for _, language := range []cause.Language{cause.English, cause.Chinese} {
			text, known := cause.Of(language, code)
			if !known {
				t.Errorf("%s: nothing in %s", code, language)
			}
			for _, part := range []string{text.Happened, text.Means, text.Next} {
				han := strings.ContainsFunc(part, func(r rune) bool { return unicode.Is(unicode.Han, r) })
				end, _ := utf8.DecodeLastRuneInString(part)
				if len(part) == 0 || len(part) > 400 || han != (language == cause.Chinese) || end != '.' && end != '。' {
					t.Errorf("%s in %s: %q", code, language, part)
				}
			}
		}
	}
	for _, language := range []cause.Language{cause.English, cause.Chinese, "fr"} {
		if _, known := cause.Of(language, "no_such_code"); known {
			t.Errorf("an unknown code is explained in %s", language)
		}
	}
	if _, known := cause.Of("fr", "panic"); known {
		t.Error("French is not spoken here")
	}
}
