//go:build e2e

package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// A price query goes straight to OKKI and leaves nothing in Kafka; when OKKI hangs, the platform is told so within 2 s.
func priceQuery(t *testing.T, s *stack) {
	query := []byte(strings.Replace(icbuOrder("P500", "500.05").body, `"action":1`, `"action":0`, 1))
	asked := func(what string, well func(a answer) bool) { // a busy machine may be late, but not each time
		eventually(t, patience, what, func() error {
			if a := s.pushICBU(query); !well(a) {
				return fmt.Errorf("%v after %s", a, a.Elapsed)
			}
			return nil
		})
	}
	asked("a price query is answered", func(a answer) bool {
		return a.Status == 200 && a.field(t, "success") == true && a.field(t, "resp_code") == "0"
	})
	s.faults(`{"partner":"okki","hang":true}`)
	asked("a price query is told that OKKI hangs", func(a answer) bool {
		return a.field(t, "success") == false && a.field(t, "resp_code") == "okki-unavailable" && a.Elapsed <= 3*time.Second
	})
	for partition, end := range s.broker.ends(t, "icbu.received.v1") {
		if end > 0 {
			t.Errorf("icbu.received.v1/%d holds %d records", partition, end)
		}
	}
	if took, ok := s.partner("okki")["P500"]; ok {
		t.Errorf("OKKI took %v for a query", took)
	}
	s.faults("")
}
