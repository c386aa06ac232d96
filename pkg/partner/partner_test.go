package partner

import (
	"errors"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
)

func TestSafeCode(t *testing.T) {
	for given, want := range map[string]string{
		"":                             "",
		"0":                            "0",
		"isv.order-already-exists":     "isv.order-already-exists",
		"isv.invalid-parameter:amount": "isv.invalid-parameter",
		":amount":                      "unprintable-code",
		"F_01":                         "F_01",
		"张三 13122136787":               "unprintable-code",
		"code with blanks":             "unprintable-code",
		"line\nbreak":                  "unprintable-code",
		"quote\"":                      "unprintable-code",
		strings.Repeat("a", maxCode):   strings.Repeat("a", maxCode),
		strings.Repeat("a", maxCode+1): "unprintable-code",
		"at@sign":                      "unprintable-code",
		"back`tick":                    "unprintable-code",
		"brace{":                       "unprintable-code",
	} {
		if got := SafeCode(given); got != want {
			t.Errorf("SafeCode(%q) = %q, want %q", given, got, want)
		}
	}
}

func TestClassDefinite(t *testing.T) {
	definite := map[Class]bool{
		Refused: true, Exists: true, Missing: true, Split: true, TooLarge: true,
		NotTaken: false, Unknown: false, Configuration: false,
	}
	for class, want := range definite {
		if class.Definite() != want {
			t.Errorf("%s.Definite() = %v", class, !want)
		}
	}
}

func TestErrorTexts(t *testing.T) {
	cause := errors.New("connection reset")
	err := error(&Error{Class: Unknown, Code: CodeCut, Err: cause})
	if got, want := err.Error(), "partner answered unknown (connection-cut): connection reset"; got != want {
		t.Errorf("error %q, want %q", got, want)
	}
	if !errors.Is(err, cause) {
		t.Error("the cause is lost")
	}
	if got, want := (&Error{Class: Refused, Code: "40"}).Error(), "partner answered refused (40)"; got != want {
		t.Errorf("error %q, want %q", got, want)
	}
}

func TestScalar(t *testing.T) {
	for given, want := range map[string]Scalar{
		`"0"`: "0", `0`: "0", `true`: "true", `"true"`: "true", `1.50`: "1.50",
		`null`: "", `{"a":[1]}`: "", `[1]`: "", `""`: "",
	} {
		got := Scalar("before")
		if err := json.Unmarshal([]byte(given), &got); err != nil || got != want {
			t.Errorf("%s reads as %q, %v; want %q", given, got, err, want)
		}
	}
	var s Scalar
	if err := json.Unmarshal([]byte(`{"a":1`), &s); err == nil {
		t.Error("half an object was taken")
	}
}
