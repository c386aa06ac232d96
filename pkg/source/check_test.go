package source_test

import (
	"errors"
	"runtime"
	"strings"
	"testing"
	"time"

	"orderflow/pkg/source"
)

func TestCheck(t *testing.T) {
	deep := func(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }
	// Many brackets side by side, and brackets inside text, are not deep.
	wide := "[" + strings.Repeat(`{"a":"[[[{{{\""},`, 100) + "1]"
	for name, c := range map[string]struct {
		body string
		ok   bool
	}{
		"object":            {`{"a":1}`, true},
		"white space":       {" \r\n\t{} \n", true},
		"scalar":            {`5`, true},
		"deep enough":       {deep(source.MaxDepth), true},
		"wide":              {wide, true},
		"huge exponent":     {`{"a":1e1000000000}`, true},
		"same in siblings":  {`[{"a":1},{"a":1}]`, true},
		"escaped NUL":       {`{"a":"\u0000"}`, true},
		"many members":      {`{` + members(source.MaxMembers) + `}`, true},
		"many elements":     {`[` + strings.Repeat("1,", 3*source.MaxMembers) + `1]`, true},
		"nothing":           {``, false},
		"white space only":  {`  `, false},
		"not JSON":          {`<xml/>`, false},
		"cut off":           {`{"a":`, false},
		"second value":      {`{} {}`, false},
		"trailing comma":    {`[1,]`, false},
		"too deep":          {deep(source.MaxDepth + 1), false},
		"too deep, mixed":   {strings.Repeat(`{"a":[`, 40) + strings.Repeat(`]}`, 40), false},
		"too many members":  {`{` + members(source.MaxMembers+1) + `}`, false},
		"name twice":        {`{"a":1,"b":{"c":1,"c":2}}`, false},
		"escaped name":      {`{"a":1,"\u0061":2}`, false},
		"not UTF-8":         {"{\"a\":\"\xd6\xd0\"}", false},
		"lone surrogate":    {`{"a":"\ud800"}`, false},
		"byte order mark":   {"\ufeff{}", false},
		"NaN":               {`{"a":NaN}`, false},
		"leading zero":      {`{"a":01}`, false},
		"control character": {"{\"a\":\"\n\"}", false},
	} {
		t.Run(name, func(t *testing.T) {
			err := source.Check([]byte(c.body))
			if (err == nil) != c.ok {
				t.Fatalf("ok %v: %v", c.ok, err)
			}
			fault, is := errors.AsType[*source.Fault](err)
			if err != nil && (!is || fault.Code != source.BadJSON || strings.Contains(fault.Error(), "xml")) {
				t.Errorf("fault %#v", err)
			}
		})
	}
}

// members are n members of an object, all of different names.
func members(n int) string {
	var b strings.Builder
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(`"`)
		for d := i + 1; d > 0; d /= 26 {
			b.WriteByte(byte('a' + d%26))
		}
		b.WriteString(`":1`)
	}
	return b.String()
}

// TestHostileBodiesAreCheap bounds what a hostile push of 1 MiB may cost, at the door and in validate. The bound on time
// is far above what it takes, and far below what a quadratic reader would take.
func TestHostileBodiesAreCheap(t *testing.T) {
	const (
		doorBytes  = 8 << 20
		judgeBytes = 64 << 20
		longest    = time.Minute
	)
	for name, body := range hostile() {
		t.Run(name, func(t *testing.T) {
			start := time.Now()
			accepted := false
			if cost := allocated(func() { accepted = source.Check(body) == nil }); cost > doorBytes {
				t.Errorf("the check allocates %d bytes", cost)
			}
			for from, c := range contracts {
				cost := allocated(func() {
					if _, _, err := c.judge(body, receivedAt); err == nil {
						t.Errorf("%s takes it", from)
					}
				})
				if accepted && cost > judgeBytes {
					t.Errorf("judging it as %s allocates %d bytes", from, cost)
				}
				if key, err := c.key(body); err == nil && key.Source() != from {
					t.Errorf("key %q of another source than %s", key, from)
				}
			}
			if took := time.Since(start); took > longest {
				t.Errorf("took %s", took)
			}
		})
	}
}

func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}
