package store_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"orderflow/pkg/store"
)

var wholeTable = regexp.MustCompile(`Seq Scan on (dead_letters|orders|order_lines|order_events|received|replay_items|audit|balance_published)\b`)

var indexScan = regexp.MustCompile(`Index (Only )?Scan.* on (orders|order_lines|order_events|received)\b`)

// readsAll tells whether a plan reads all rows of a big table, also one after the other along an index, from which it would
// take those that fit. A walk without a filter ends at its limit, and lists of letters end early.
func readsAll(plan []string) bool {
	for i, line := range plan {
		if wholeTable.MatchString(line) {
			return true
		}
		if !indexScan.MatchString(line) {
			continue
		}
		next := strings.Join(plan[i+1:min(i+2, len(plan))], "")
		first := i > 0 && strings.Contains(plan[i-1], "->  Limit") && !strings.Contains(next, "Filter")
		if !first && !strings.Contains(next, "Index Cond") {
			return true
		}
	}
	return false
}

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
		if plan := s.rows("explain "+st.sql, st.args...); readsAll(plan) {
			t.Errorf("%s\n%s", st.sql, strings.Join(plan, "\n"))
		}
	}
	if explained == 0 {
		t.Errorf("nothing was asked: %+v", asked)
	}
}

// awaitStatistics waits until no other session is in the connection's database. What a session read is told when it ends,
// which is after its client has gone, and before it leaves the list.
func awaitStatistics(t *testing.T, conn *pgx.Conn) {
	t.Helper()
	for others := 1; others > 0; {
		err := conn.QueryRow(t.Context(), `select count(*) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()`).Scan(&others)
		if err != nil {
			t.Fatal(err)
		}
	}
}
