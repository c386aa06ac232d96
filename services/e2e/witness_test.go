//go:build e2e

package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/jackc/pgx/v5"
	"github.com/shopspring/decimal"
)

// final is the state in which an order of a source ends when all is well.
var final = map[string]string{"icbu": "delivered", "procurement": "persisted", "mall": "delivered"}

// row is an order as PostgreSQL has it.
type row struct {
	State          string
	Total          string
	DeliveredTotal string
}

func (s *stack) row(key string) (row, error) {
	var r row
	err := s.pool.QueryRow(s.t.Context(),
		`select state, coalesce(total::text, ''), coalesce(delivered_total::text, '') from orders where order_key = $1`, key,
	).Scan(&r.State, &r.Total, &r.DeliveredTotal)
	if errors.Is(err, pgx.ErrNoRows) {
		err = fmt.Errorf("%s is not in PostgreSQL", key)
	}
	return r, err
}

// waitState waits until the order has that state.
func (s *stack) waitState(key, state string) row {
	s.t.Helper()
	var r row
	eventually(s.t, patience, key+" becomes "+state, func() (err error) {
		if r, err = s.row(key); err == nil && r.State != state {
			err = fmt.Errorf("it is %s", r.State)
		}
		return err
	})
	return r
}

// waitFinal waits until every order has arrived where its source goes, with its own total.
func (s *stack) waitFinal(within time.Duration, orders []pushed) {
	s.t.Helper()
	eventually(s.t, within, fmt.Sprintf("all %d orders end well", len(orders)), func() error {
		rows, err := s.rows()
		if err != nil {
			return err
		}
		var open int
		var first string
		for _, o := range orders {
			if r := rows[o.key]; r.State != final[o.source] {
				if open++; open == 1 {
					first = fmt.Sprintf("%s is %q", o.key, r.State)
				}
			}
		}
		if open > 0 {
			return fmt.Errorf("%d are open, such as %s", open, first)
		}
		return nil
	})
	rows, err := s.rows()
	if err != nil {
		s.t.Fatal(err)
	}
	for _, o := range orders {
		r := rows[o.key]
		if !sameAmount(r.Total, o.total) || final[o.source] == "delivered" && !sameAmount(r.DeliveredTotal, o.total) {
			s.t.Errorf("%s: sent with %s, stored %+v", o.key, o.total, r)
		}
	}
}

func (s *stack) rows() (map[string]row, error) {
	rows, err := s.pool.Query(s.t.Context(), `select order_key, state, coalesce(total::text, ''), coalesce(delivered_total::text, '') from orders`)
	if err != nil {
		return nil, err
	}
	all := map[string]row{}
	var key string
	var r row
	_, err = pgx.ForEachRow(rows, []any{&key, &r.State, &r.Total, &r.DeliveredTotal}, func() error {
		all[key] = r
		return nil
	})
	return all, err
}

// sameAmount compares exact amounts; 450.0 and 450.00 are the same.
func sameAmount(a, b string) bool {
	x, errX := decimal.NewFromString(a)
	y, errY := decimal.NewFromString(b)
	return errX == nil && errY == nil && x.Equal(y)
}

// waitAccounted waits until every record of every received topic has its one row with an end state: nothing that was
// accepted is lost, and nothing was counted twice.
func (s *stack) waitAccounted() {
	s.t.Helper()
	for source := range final {
		for partition, end := range s.broker.ends(s.t, source+".received.v1") {
			what := fmt.Sprintf("every record of %s.received.v1/%d has its end", source, partition)
			eventually(s.t, patience, what, func() error {
				var ended, distinct, highest int64
				err := s.pool.QueryRow(s.t.Context(), `select count(*) filter (where end_state <> ''), count(distinct "offset"),
					coalesce(max("offset") + 1, 0) from received where source = $1 and partition = $2`, source, partition,
				).Scan(&ended, &distinct, &highest)
				if err == nil && (ended != end || distinct != end || highest != end) {
					err = fmt.Errorf("%d records, %d rows of which %d have an end, highest offset %d", end, distinct, ended, highest-1)
				}
				return err
			})
		}
	}
}

// letter is a dead letter as PostgreSQL lists it.
type letter struct{ Service, Code, Path, Detail, OrderKey string }

// letters gives the dead letters of those orders, or of all if none is named.
func (s *stack) letters(of ...pushed) []letter {
	s.t.Helper()
	var keys []string
	for _, o := range of {
		keys = append(keys, o.key)
	}
	rows, err := s.pool.Query(s.t.Context(), `select service, code, coalesce(path, ''), coalesce(detail, ''), order_key from dead_letters
		where $1::text[] is null or order_key = any($1) order by id`, keys)
	if err != nil {
		s.t.Fatal(err)
	}
	all, err := pgx.CollectRows(rows, pgx.RowToStructByPos[letter])
	if err != nil {
		s.t.Fatal(err)
	}
	return all
}

// noLetters holds that nothing was dead-lettered, in PostgreSQL and, as far as an outsider can read them, in the topics.
func (s *stack) noLetters() {
	s.t.Helper()
	if all := s.letters(); len(all) > 0 {
		s.t.Errorf("%d dead letters, the first: %+v", len(all), all[0])
	}
	for _, service := range []string{"validate", "okkisync", "mallupload", "persist"} {
		for partition, end := range s.broker.ends(s.t, service+".dlq.v1") {
			if end > 0 {
				s.t.Errorf("%s.dlq.v1/%d holds %d records", service, partition, end)
			}
		}
	}
}

// taken is an order that a partner's stand-in accepted.
type taken struct {
	OrderNo string `json:"order_no"`
	Times   int    `json:"times"`
	Amount  string `json:"amount"`
}

// partner gives what a partner took, by order number.
func (s *stack) partner(name string) map[string]taken {
	s.t.Helper()
	var answer struct {
		Orders []taken `json:"orders"`
	}
	s.admin(http.MethodGet, "/_sandbox/orders?partner="+name, "", &answer)
	all := map[string]taken{}
	for _, o := range answer.Orders {
		all[o.OrderNo] = o
	}
	return all
}

// calls counts the requests that a partner saw.
func (s *stack) calls(partner string) int {
	s.t.Helper()
	var stats map[string]struct {
		Calls int `json:"calls"`
	}
	s.admin(http.MethodGet, "/_sandbox/stats", "", &stats)
	return stats[partner].Calls
}

// faults replaces what goes wrong at the partners; each is a JSON object of interfaces.md section 4.
func (s *stack) faults(list string) {
	s.t.Helper()
	s.admin(http.MethodPut, "/_sandbox/faults", `{"faults":[`+list+`]}`, nil)
}

func (s *stack) admin(method, path, body string, into any) {
	s.t.Helper()
	request, err := http.NewRequestWithContext(s.t.Context(), method, s.sandbox+path, bytes.NewReader([]byte(body)))
	if err != nil {
		s.t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := sender.Do(request)
	if err != nil {
		s.t.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode/100 != 2 {
		s.t.Fatalf("%s %s: %s", method, path, response.Status)
	}
	if into == nil {
		return
	}
	if err := json.UnmarshalRead(response.Body, into); err != nil {
		s.t.Fatalf("%s %s: %v", method, path, err)
	}
}

// deliveredOnce wants each order at its partner, taken exactly once, with the amount that its sender pushed.
func (s *stack) deliveredOnce(orders []pushed) {
	s.t.Helper()
	s.deliveredAtMost(1, orders)
}

// deliveredAtMost allows an order to be taken several times and says how many were.
func (s *stack) deliveredAtMost(times int, orders []pushed) (repeated int) {
	s.t.Helper()
	at := map[string]map[string]taken{"icbu": s.partner("okki"), "mall": s.partner("ezr")}
	for _, o := range orders {
		if o.source == "procurement" {
			continue
		}
		got, ok := at[o.source][o.number]
		if !ok || got.Times < 1 || got.Times > times || !sameAmount(got.Amount, o.total) {
			s.t.Errorf("%s over %s: the partner has %+v", o.key, o.total, got)
		}
		if got.Times > 1 {
			repeated++
		}
	}
	return repeated
}
