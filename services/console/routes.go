package main

import (
	"context"
	_ "embed"
	"net/http"
	"strings"
	"time"
)

const (
	patternHealthz = "GET /healthz"
	patternReadyz  = "GET /readyz"
)

// index names the addresses of the API.
//
//go:embed index.html
var index []byte

func (c *console) routes() *http.ServeMux {
	mux := http.NewServeMux()
	mux.HandleFunc(patternHealthz, c.health.ServeHealthz)
	mux.HandleFunc(patternReadyz, c.health.ServeReadyz)
	c.pageRoutes(mux)
	mux.HandleFunc("GET /api/{$}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = w.Write(index)
	})
	mux.Handle("GET /receipts/{id}", c.open(c.getReceipt))

	mux.Handle("GET /api/orders", c.api(viewer, c.findOrders))
	mux.Handle("GET /api/orders/{order_key}", c.api(viewer, c.getOrder))
	mux.Handle("GET /api/receipts/{id}", c.api(viewer, c.getReceipt))

	mux.Handle("GET /api/dead-letters", c.api(viewer, c.listLetters))
	mux.Handle("GET /api/dead-letters/groups", c.api(viewer, c.groupLetters))
	mux.Handle("GET /api/dead-letters/{id}", c.api(viewer, c.getLetter))
	mux.Handle("POST /api/dead-letters/{id}/discard", c.api(operator, c.discardLetter))

	mux.Handle("GET /api/replays", c.api(viewer, c.listJobs))
	mux.Handle("POST /api/replays", c.api(operator, c.createJob))
	mux.Handle("GET /api/replays/{id}", c.api(viewer, c.getJob))
	mux.Handle("GET /api/replays/{id}/letters", c.api(viewer, c.listItems))
	mux.Handle("POST /api/replays/{id}/approve", c.api(approver, c.moveJob(c.db.ApproveReplay)))
	mux.Handle("POST /api/replays/{id}/pause", c.api(operator, c.moveJob(c.db.PauseReplay)))
	mux.Handle("POST /api/replays/{id}/resume", c.api(operator, c.moveJob(c.db.ResumeReplay)))
	mux.Handle("POST /api/replays/{id}/cancel", c.api(operator, c.moveJob(c.db.CancelReplay)))
	mux.Handle("POST /api/orders/{order_key}/payload", c.api(approver, c.readOrderPayload))
	mux.Handle("POST /api/dead-letters/{id}/payload", c.api(approver, c.readLetterPayload))
	mux.Handle("GET /api/quarantine", c.api(viewer, c.listRefused))
	mux.Handle("GET /api/quarantine/{partition}/{offset}", c.api(viewer, c.getRefused))
	mux.Handle("GET /api/audit", c.api(viewer, c.listAudit))
	mux.Handle("GET /api/balance", c.api(viewer, c.listBalance))
	mux.Handle("POST /api/balance/accept", c.api(approver, c.acceptDifference))
	return mux
}

// endpoint is one address of the API. What it returns is written as JSON.
type endpoint func(r *http.Request, by user) (any, error)

// api lets those in who have a login and at least the role.
func (c *console) api(needed role, e endpoint) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		by, err := c.login(r)
		if err == nil && by.role < needed {
			err = c.refuse(r, by, needed)
		}
		if err != nil {
			c.fail(w, r, err)
			return
		}
		c.run(w, r, by, e)
	})
}

// open lets everybody in, each remote address so often.
func (c *console) open(e endpoint) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !c.strangers.Allow(c.network(r), time.Now()) {
			c.fail(w, r, errTooMany)
			return
		}
		c.run(w, r, user{}, e)
	})
}

func (c *console) run(w http.ResponseWriter, r *http.Request, by user, e endpoint) {
	ctx, cancel := context.WithTimeout(r.Context(), answerTimeout)
	defer cancel()
	body, err := e(r.WithContext(ctx), by)
	c.answer(w, r, body, err)
}

// refuse tells somebody that they may not, and the audit that they tried.
func (c *console) refuse(r *http.Request, by user, needed role) error {
	kind := vain{
		who: by.name, action: "refused", object: r.Pattern, reason: "needs " + needed.String() + ", is " + by.role.String(), window: refusedWindow,
	}
	if c.vain.add(kind, clip(r.Method+" "+r.URL.Path)) {
		c.vain.tell(r.Context(), false)
	}
	return forbidden(needed)
}

// clip bounds an address that somebody may have made long on purpose, and leaves out what no database takes.
func clip(address string) string {
	const longest = 128
	address = strings.Map(func(r rune) rune {
		if r < 0x20 || r > 0x7e {
			return '?'
		}
		return r
	}, address)
	return address[:min(len(address), longest)]
}
