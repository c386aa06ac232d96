package ezr

import (
	"bytes"

	"github.com/go-json-experiment/json"

	"orderflow/pkg/partner"
)

// answer is EZR's answer, protocols 4.3. Result, a row count that fits no batch, and Msg, which may quote a person, are
// not read.
type answer struct {
	Status     partner.Scalar
	StatusCode partner.Scalar
	Timestamp  partner.Scalar
	Sign       partner.Scalar
}

// status is the verdict: the code beside it is 200 or, in EZR's own helper texts, "0".
func (a answer) status() bool { return a.Status == "true" }

// read decodes an answer; false means that it is none of EZR's. The trailing comma of the published sample is tolerated.
func read(body []byte) (answer, bool) {
	var a answer
	if err := json.Unmarshal(body, &a); err != nil {
		a = answer{}
		mended, ok := withoutTrailingComma(body)
		if !ok || json.Unmarshal(mended, &a) != nil {
			return answer{}, false
		}
	}
	return a, a.Status == "true" || (a.Status == "false" && a.StatusCode != "")
}

func withoutTrailingComma(body []byte) ([]byte, bool) {
	head, ok := bytes.CutSuffix(bytes.TrimSpace(body), []byte("}"))
	if !ok {
		return nil, false
	}
	head, ok = bytes.CutSuffix(bytes.TrimSpace(head), []byte(","))
	if !ok {
		return nil, false
	}
	return append(bytes.Clone(head), '}'), true
}
