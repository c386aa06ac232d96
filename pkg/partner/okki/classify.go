package okki

import (
	"regexp"
	"strconv"
	"strings"
	"time"

	"orderflow/pkg/partner"
)

// DuplicateCode is how OKKI says that it holds an ali_order_no already. No source names such a code: it is our sandbox's
// convention (interfaces.md section 4), in the family of sub_codes that blame the caller. Put OKKI's own here once it is known.
const DuplicateCode = "isv.order-already-exists"

// codeClasses are the gateway's own codes, protocols 2.4. Codes that blame the method, the format or the version would be
// answered to every order alike and so are no order's fault.
var codeClasses = map[string]partner.Class{
	"3": partner.Unknown,
	"4": partner.NotTaken, "5": partner.NotTaken, "6": partner.NotTaken, "7": partner.NotTaken, "8": partner.NotTaken,
	"9":  partner.Configuration,
	"10": partner.Unknown,
	"11": partner.Configuration, "12": partner.Configuration, "13": partner.Configuration,
	"21": partner.Configuration, "22": partner.Configuration, "23": partner.Configuration,
	"24": partner.Configuration, "25": partner.Configuration, "26": partner.Configuration, "27": partner.Configuration,
	"28": partner.Configuration, "29": partner.Configuration,
	"30": partner.Configuration, "31": partner.Configuration, // a second time: our clock is off
	"32": partner.Configuration, "33": partner.Configuration, "34": partner.Configuration,
	"40": partner.Refused, "41": partner.Refused, "42": partner.Refused, "43": partner.Refused,
}

// subCodeClasses are sub_codes whose class differs from that of their family.
var subCodeClasses = map[string]partner.Class{
	DuplicateCode:                       partner.Exists,
	"sign-check-failure":                partner.Configuration,
	"isp.top-remote-connection-timeout": partner.NotTaken,
	"isp.remote-connection-error":       partner.NotTaken,
	"isp.call-limited":                  partner.NotTaken,
}

// families class a sub_code by its beginning; the first that fits counts.
var families = []struct {
	prefix string
	class  partner.Class
}{
	{"accesscontrol.", partner.NotTaken},
	{"isp.http-connection-", partner.NotTaken},
	{"isp.", partner.Unknown},
	{"http-service-", partner.Unknown},
	{"isv.", partner.Refused},
}

// classify classes a failure that the gateway reports. The code counts first where it has a class that is no refusal (11
// comes with sub_codes such as isv.permission-...), then the sub_code; what nobody documents is Unknown.
func classify(code, subCode string) *partner.Error {
	name := subCode
	if name == "" {
		name = code
	}
	failed := &partner.Error{Class: partner.Unknown, Code: partner.SafeCode(name)}
	if failed.Code == "" {
		failed.Code = partner.CodeBrokenAnswer
	}
	class, known := codeClasses[code]
	if known && class != partner.Refused && class != partner.Unknown {
		failed.Class = class
		return failed
	}
	if family, ok := familyClass(name); ok {
		failed.Class = family
	} else if known {
		failed.Class = class
	}
	return failed
}

func familyClass(subCode string) (partner.Class, bool) {
	if class, ok := subCodeClasses[subCode]; ok {
		return class, true
	}
	for _, f := range families {
		if strings.HasPrefix(subCode, f.prefix) {
			return f.class, true
		}
	}
	return "", false
}

var banPattern = regexp.MustCompile(`(?i)ban will last for ([0-9]{1,9}) more seconds?`)

// banned reads how long the gateway's flow limit lasts from the first text that says so.
func banned(texts []string) time.Duration {
	for _, text := range texts {
		if match := banPattern.FindStringSubmatch(text); match != nil {
			seconds, err := strconv.ParseInt(match[1], 10, 64)
			if err == nil {
				return partner.BoundRetryAfter(time.Duration(seconds) * time.Second)
			}
		}
	}
	return 0
}
