package main

import "net/http"

// pageRoutes are the addresses that people open in a browser.
func (c *console) pageRoutes(mux *http.ServeMux) {
	mux.HandleFunc("GET /login", c.loginPage)
	mux.HandleFunc("POST /login", c.enter)
	mux.HandleFunc("POST /logout", c.leave)
	mux.HandleFunc("POST /language", c.setLanguage)
	mux.HandleFunc("GET /assets/{name}", c.asset)

	mux.Handle("GET /{$}", c.page(viewer, c.overviewPage))
	mux.Handle("GET /search", c.page(viewer, c.searchPage))
	mux.Handle("GET /orders/{order_key}", c.page(viewer, c.orderPage))
	mux.Handle("GET /pushes/{id}", c.page(viewer, c.pushPage))

	mux.Handle("GET /letters", c.page(viewer, c.lettersPage))
	mux.Handle("GET /letters/groups", c.page(viewer, c.groupsPage))
	mux.Handle("GET /letters/{id}", c.page(viewer, c.letterPage))
	mux.Handle("POST /letters/{id}/discard", c.page(operator, c.discardPage))

	mux.Handle("GET /replays", c.page(viewer, c.jobsPage))
	mux.Handle("GET /replays/new", c.page(operator, c.newJobPage))
	mux.Handle("POST /replays", c.page(operator, c.createJobPage))
	mux.Handle("GET /replays/{id}", c.page(viewer, c.jobPage))
	mux.Handle("GET /replays/{id}/letters", c.page(viewer, c.itemsPage))
	mux.Handle("POST /replays/{id}/approve", c.page(approver, c.moveJobPage(c.db.ApproveReplay)))
	mux.Handle("POST /replays/{id}/pause", c.page(operator, c.moveJobPage(c.db.PauseReplay)))
	mux.Handle("POST /replays/{id}/resume", c.page(operator, c.moveJobPage(c.db.ResumeReplay)))
	mux.Handle("POST /replays/{id}/cancel", c.page(operator, c.moveJobPage(c.db.CancelReplay)))

	mux.Handle("GET /balance", c.page(viewer, c.balancePage))
	mux.Handle("GET /balance/hour", c.page(viewer, c.hourPage))
	mux.Handle("GET /quarantine", c.page(viewer, c.quarantinePage))
	mux.Handle("GET /quarantine/{partition}/{offset}", c.page(viewer, c.refusedPage))
	mux.Handle("GET /audit", c.page(viewer, c.auditPage))
}
