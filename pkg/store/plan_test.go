package store_test

import (
	"regexp"
	"strings"
	"testing"

	"orderflow/pkg/store"
)

var wholeTable = regexp.MustCompile(`Seq Scan on (dead_letters|orders|order_events|received|replay_items)\b`)

// wantNoScan runs what is asked and wants the plan of none of its statements to read a whole big table.
func (s *shelf) wantNoScan(t *testing.T, ask func(b *store.Store) error) {
	t.Helper()
	type statement struct {
		sql  string
		args []any
	}
	var asked []statement
	traced := s.store.Traced(t, func(sql string, args []any) { asked = append(asked, statement{sql, args}) })
	if err := ask(traced); err != nil {
		t.Fatal(err)
	}
	explained := 0
	for _, st := range asked {
		first, _, _ := strings.Cut(strings.TrimSpace(strings.ToLower(st.sql)), " ")
		if first != "select" && first != "with" && first != "insert" && first != "update" {
			continue
		}
		explained++
		plan := strings.Join(s.rows("explain "+st.sql, st.args...), "\n")
		if wholeTable.MatchString(plan) {
			t.Errorf("%s\n%s", st.sql, plan)
		}
	}
	if explained == 0 {
		t.Errorf("nothing was asked: %+v", asked)
	}
}
