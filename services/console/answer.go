package main

import (
	"encoding/json"
	"errors"
	"net/http"
	"strconv"

	"go.uber.org/zap"

	"orderflow/pkg/store"
)

// failure is an error as the caller sees it: a code to act on, and a sentence for people. It quotes nothing that was sent.
type failure struct {
	status  int
	code    string
	message string
}

func (f *failure) Error() string { return f.code + ": " + f.message }

// Failures that every address may give.
var (
	errNotFound = &failure{http.StatusNotFound, "not_found", "there is nothing at this address"}
	errMethod   = &failure{http.StatusMethodNotAllowed, "method_not_allowed", "this address takes another method: see Allow"}
	errNoLogin  = &failure{http.StatusUnauthorized, "unauthorized", "give name and password of CONSOLE_USERS by HTTP Basic"}
	errCrowd    = &failure{http.StatusServiceUnavailable, "busy", "too many logins at once: ask again in a moment"}
	errOrigin   = &failure{http.StatusForbidden, "cross_origin", "changes come from the console's own pages, or from an origin in CONSOLE_ORIGINS"}
	errTooWrong = &failure{http.StatusTooManyRequests, "rate_limited", "too many wrong logins came from this network address: wait as long as Retry-After says, and mind the name and the password"}
	errTooMany  = &failure{http.StatusTooManyRequests, "rate_limited", "too many questions from this address: ask again in a moment"}
	errAway     = &failure{http.StatusServiceUnavailable, "unavailable", "PostgreSQL does not answer, so nobody can tell now: ask again in a moment"}
	errKafka    = &failure{http.StatusServiceUnavailable, "unavailable", "Kafka does not answer, so nobody can tell now: ask again in a moment"}
	errInternal = &failure{http.StatusInternalServerError, "internal", "the console failed; its log says where"}
)

func badRequest(code, message string) *failure { return &failure{http.StatusBadRequest, code, message} }

func forbidden(needed role) *failure {
	return &failure{http.StatusForbidden, "forbidden", "this needs the role " + needed.String()}
}

// page is one part of a list: Next leads to the one after it, null behind the last.
type page[T any] struct {
	Items []T     `json:"items"`
	Next  *string `json:"next"`
}

func (c *console) answer(w http.ResponseWriter, r *http.Request, body any, err error) {
	if err != nil {
		c.fail(w, r, err)
		return
	}
	c.write(w, r, http.StatusOK, body)
}

// fail answers an error. What is no failure of the caller is the world's, and is told in the log.
func (c *console) fail(w http.ResponseWriter, r *http.Request, err error) {
	f, ok := errors.AsType[*failure](err)
	switch {
	case ok:
	case errors.Is(err, store.ErrNotFound):
		f = errNotFound
	default:
		f = errAway
		if r.Context().Err() == nil { // else the caller has left
			c.log.Warn("request not answered", zap.String("address", r.Pattern), zap.String("cause", store.Describe(err)))
		}
	}
	switch f.status {
	case http.StatusUnauthorized:
		w.Header().Set("WWW-Authenticate", `Basic realm="orderflow console", charset="UTF-8"`)
	case http.StatusServiceUnavailable, http.StatusTooManyRequests:
		w.Header().Set("Retry-After", "2")
	}
	if later, ok := errors.AsType[*limited](err); ok {
		w.Header().Set("Retry-After", strconv.Itoa(later.seconds()))
	}
	var body struct {
		Error struct {
			Code    string `json:"code"`
			Message string `json:"message"`
		} `json:"error"`
	}
	body.Error.Code, body.Error.Message = f.code, f.message
	c.write(w, r, f.status, body)
}

func (c *console) write(w http.ResponseWriter, r *http.Request, status int, body any) {
	text, err := json.Marshal(body)
	if err != nil {
		c.log.Error("answer not written", zap.String("address", r.Pattern), zap.Error(err))
		status, text = http.StatusInternalServerError, []byte(`{"error":{"code":"internal","message":"the console failed"}}`)
	}
	text = append(text, '\n')
	h := w.Header()
	h.Set("Content-Type", "application/json; charset=utf-8")
	h.Set("Content-Length", strconv.Itoa(len(text)))
	w.WriteHeader(status)
	_, _ = w.Write(text)
}
