package main

import (
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/go-json-experiment/json"

	"orderflow/pkg/partner/ezr"
	"orderflow/pkg/partner/okki"
)

// The partners' names, as in a fault and in every list.
const (
	partnerOKKI = "okki"
	partnerEZR  = "ezr"
)

// maxBody holds a batch of 100 ordinary orders, and one order of 1 MiB when each of its bytes is percent-encoded.
const maxBody = 8 << 20

// clockWindow is how far a caller's timestamp may be off at both partners.
const clockWindow = 10 * time.Minute

type sandbox struct {
	okki   okki.Credentials
	ezr    ezr.Credentials
	book   *book
	faults *faults
	now    func() time.Time
}

func newSandbox(okki okki.Credentials, ezr ezr.Credentials) *sandbox {
	return &sandbox{okki: okki, ezr: ezr, book: newBook(), faults: &faults{}, now: time.Now}
}

func (s *sandbox) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/router/rest", s.serveOKKI)
	mux.HandleFunc("/"+ezr.Path, s.serveEZR)
	mux.HandleFunc("GET /_sandbox/orders", s.listOrders)
	mux.HandleFunc("DELETE /_sandbox/orders", s.forgetOrders)
	mux.HandleFunc("GET /_sandbox/calls", s.listCalls)
	mux.HandleFunc("GET /_sandbox/stats", s.showStats)
	mux.HandleFunc("DELETE /_sandbox/stats", s.resetStats)
	mux.HandleFunc("GET /_sandbox/faults", s.showFaults)
	mux.HandleFunc("PUT /_sandbox/faults", s.setFaults)
	mux.HandleFunc("DELETE /_sandbox/faults", s.clearFaults)
	mux.HandleFunc("GET /_sandbox/config", s.showConfig)
	mux.HandleFunc("PUT /_sandbox/config", s.setConfig)
	return mux
}

// underFaults answers a call that passed the partner's checks: the faults that match it, around taking the orders. Take
// makes the partner's own answer, render that of a fault with a code. A caller that left before the orders were taken
// has nothing taken, so that what a fault without `after` hits is never taken late.
func (s *sandbox) underFaults(w http.ResponseWriter, r *http.Request, partner string, numbers []string,
	render func(fault) []byte, take func() []byte,
) {
	struck := s.faults.match(partner, numbers)
	if !wait(r, struck.delayBefore) {
		panic(http.ErrAbortHandler)
	}
	if struck.effect != nil && !struck.effect.After {
		strike(w, r, *struck.effect, render)
		return
	}
	answer := take()
	if !wait(r, struck.delayAfter) {
		panic(http.ErrAbortHandler)
	}
	if struck.effect != nil {
		strike(w, r, *struck.effect, render)
		return
	}
	writeJSON(w, answer)
}

// strike answers in the way of a fault, or not at all.
func strike(w http.ResponseWriter, r *http.Request, f fault, render func(fault) []byte) {
	switch {
	case f.Hang:
		<-r.Context().Done()
		panic(http.ErrAbortHandler)
	case f.Drop:
		panic(http.ErrAbortHandler)
	}
	if f.RetryAfter != "" {
		w.Header().Set("Retry-After", string(f.RetryAfter))
	}
	if f.Status != 0 {
		http.Error(w, "fault on demand", f.Status)
		return
	}
	writeJSON(w, render(f))
}

// wait waits and tells whether the caller is still there.
func wait(r *http.Request, d time.Duration) bool {
	if d <= 0 {
		return true
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-r.Context().Done():
		return false
	}
}

var errTooLarge = errors.New("body too large")

func readBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return nil, errTooLarge
	}
	return body, err
}

func writeJSON(w http.ResponseWriter, body []byte) {
	w.Header().Set("Content-Type", "application/json;charset=utf-8")
	_, _ = w.Write(body) //nolint:gosec // JSON, echoed as the contract says, for no browser
}

// encode writes a value that always has a JSON form.
func encode(value any) []byte {
	body, err := json.Marshal(value)
	if err != nil {
		panic(err)
	}
	return body
}
