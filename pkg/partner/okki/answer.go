package okki

import (
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"orderflow/pkg/partner"
)

// verdict is what one answer says.
type verdict struct {
	business jsontext.Value // OKKI's own answer, unwrapped; nil when the gateway answered in its place
	code     string         // of success
	err      *partner.Error // nil: taken
	clock    bool           // the timestamp was not accepted
}

// members are those names of an answer that carry a verdict, in the dialects of TOP, Qimen and OKKI (protocols 2.3).
type members struct {
	Flag       partner.Scalar  `json:"flag"`
	Code       partner.Scalar  `json:"code"`
	SubCode    partner.Scalar  `json:"sub_code"`
	Msg        partner.Scalar  `json:"msg"`
	SubMsg     partner.Scalar  `json:"sub_msg"`
	Message    partner.Scalar  `json:"message"`
	SubMessage partner.Scalar  `json:"sub_message"`
	Success    *partner.Scalar `json:"success"`
	RespCode   partner.Scalar  `json:"resp_code"`
}

// read finds the verdict: error_response, else response, else the only *_response, else the root itself.
func read(body []byte) verdict {
	var root map[string]jsontext.Value
	if err := json.Unmarshal(body, &root); err != nil || root == nil {
		return broken()
	}
	if value, ok := object(root["error_response"]); ok {
		return readPlatform(value, true)
	}
	if value, ok := object(root["response"]); ok {
		return readPlatform(value, false)
	}
	return readPlatform(unwrap(root, body), false)
}

// unwrap takes the only object whose name ends in _response; without one, or with several, the root is the answer.
func unwrap(root map[string]jsontext.Value, body []byte) jsontext.Value {
	var found jsontext.Value
	for name, candidate := range root {
		value, ok := object(candidate)
		if !ok || !strings.HasSuffix(name, "_response") {
			continue
		}
		if found != nil {
			return body
		}
		found = value
	}
	if found == nil {
		return body
	}
	return found
}

// readPlatform applies the gateway's test (code, sub_code and flag), then OKKI's own. An error_response is a failure
// whatever else it says.
func readPlatform(value jsontext.Value, failure bool) verdict {
	var m members
	if err := json.Unmarshal(value, &m); err != nil {
		return broken()
	}
	failed := failure || m.SubCode != "" || (m.Code != "" && m.Code != "0") || (m.Flag != "" && m.Flag != "success")
	if !failed {
		return readBusiness(value, m)
	}
	found := verdict{err: classify(string(m.Code), string(m.SubCode))}
	found.clock = m.Code == "30" || m.Code == "31"
	if found.err.Class == partner.NotTaken {
		texts := []string{string(m.SubMsg), string(m.SubMessage), string(m.Msg), string(m.Message)}
		found.err.RetryAfter = banned(texts)
	}
	return found
}

// readBusiness applies seed 000's own test: success is true and resp_code is "0". An answer that contradicts itself says
// nothing about the order; one without either member is no answer of OKKI's.
func readBusiness(value jsontext.Value, m members) verdict {
	fine := m.RespCode == "" || m.RespCode == "0"
	switch {
	case m.Success == nil && fine:
		return broken()
	case m.Success != nil && *m.Success == "true" && fine:
		return verdict{business: value, code: "0"}
	case m.Success != nil && *m.Success == "true":
		return verdict{business: value, err: &partner.Error{Class: partner.Unknown, Code: partner.SafeCode(string(m.RespCode))}}
	case fine:
		return verdict{business: value, err: &partner.Error{Class: partner.Refused, Code: "success-false"}}
	}
	code := string(m.RespCode)
	class, known := familyClass(code)
	if !known {
		class = partner.Refused
	}
	return verdict{business: value, err: &partner.Error{Class: class, Code: partner.SafeCode(code)}}
}

func broken() verdict {
	return verdict{err: &partner.Error{Class: partner.Unknown, Code: partner.CodeBrokenAnswer}}
}

func object(value jsontext.Value) (jsontext.Value, bool) { return value, value.Kind() == '{' }
