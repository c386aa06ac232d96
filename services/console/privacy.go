package main

import (
	"encoding/json"
	"errors"
	"net/http"
	"time"
	"unicode/utf8"

	"go.uber.org/zap"

	"orderflow/pkg/event"
	"orderflow/pkg/order"
	"orderflow/pkg/store"
)

// Reading in clear: one record at a time, by an approver, with a reason, and never before the audit has it. The reason
// travels in the body, and nothing that was read in an address, a log or an error.

var (
	errGone   = &failure{http.StatusGone, "gone", "there is no payload any more: it was erased, or its retention has passed"}
	errSealed = &failure{http.StatusConflict, "sealed", "the payload cannot be decrypted: its key is not in PAYLOAD_KEYS, or it is damaged"}
)

// clearOrder is what is held of an order in clear.
type clearOrder struct {
	OrderKey order.Key       `json:"order_key"`
	Revision order.Revision  `json:"revision"` // that the payload is of
	Personal *order.Personal `json:"personal"`
	Payload  any             `json:"payload"`
}

// clearLetter is the record of a letter in clear.
type clearLetter struct {
	ID       int64          `json:"id"`
	OrderKey order.Key      `json:"order_key"`
	Revision order.Revision `json:"revision,omitzero"`
	Topic    string         `json:"topic"` // that the record was first read from
	FailedAt time.Time      `json:"failed_at"`
	Payload  any            `json:"payload"`
	Headers  []clearHeader  `json:"headers"`
}

type clearHeader struct {
	Name  string `json:"name"`
	Value any    `json:"value"`
}

func (c *console) readOrderPayload(r *http.Request, by user) (any, error) {
	key := r.PathValue("order_key")
	if !searchable(key) {
		return nil, errNotFound
	}
	reason, err := whyRead(r)
	if err != nil {
		return nil, err
	}
	read, err := c.db.ClearOrder(r.Context(), c.personal, order.Key(key))
	switch {
	case err != nil:
		return nil, err
	case read.Err != nil:
		return nil, errSealed
	case read.Personal == nil && read.Document == nil:
		return nil, errGone
	}
	if err := c.auditRead(r, by, "order "+key, reason); err != nil {
		return nil, err
	}
	return clearOrder{order.Key(key), read.Revision, read.Personal, inClear(read.Document)}, nil
}

func (c *console) readLetterPayload(r *http.Request, by user) (any, error) {
	id, err := pathID(r)
	if err != nil {
		return nil, err
	}
	reason, err := whyRead(r)
	if err != nil {
		return nil, err
	}
	read, err := c.db.ClearLetter(r.Context(), c.personal, id)
	switch {
	case err != nil:
		return nil, err
	case errors.Is(read.Err, store.ErrGone):
		return nil, errGone
	case read.Err != nil:
		return nil, errSealed
	}
	if err := c.auditRead(r, by, "letter "+r.PathValue("id"), reason); err != nil {
		return nil, err
	}
	return clearLetter{id, read.OrderKey, read.Revision, read.Topic, read.FailedAt.UTC(), inClear(read.Payload), clearHeaders(read.Headers)}, nil
}

// whyRead is the reason that must be given.
func whyRead(r *http.Request) (string, error) {
	var body struct {
		Reason string `json:"reason"`
	}
	if err := readBody(r, &body); err != nil {
		return "", err
	}
	if err := readReason(&body.Reason); err != nil || body.Reason == "" {
		return "", badRequest("bad_parameter", "reason: say in at most 1024 bytes why you read this in clear; it stands in the audit")
	}
	return body.Reason, nil
}

// auditRead writes down who reads. Without that line nobody reads.
func (c *console) auditRead(r *http.Request, by user, object, reason string) error {
	err := c.db.AddAudit(r.Context(), store.AuditEntry{Who: by.name, Action: "read_payload", Object: object, Reason: reason})
	if err != nil {
		c.log.Warn("payload not shown: the audit does not take it", zap.String("address", r.Pattern), zap.String("cause", store.Describe(err)))
		return errAway
	}
	return nil
}

// inClear is content as it is best read: JSON as it stands, else text, else bytes in base64.
func inClear(content []byte) any {
	if content != nil && utf8.Valid(content) && json.Valid(content) {
		return json.RawMessage(content)
	}
	return textInClear(content)
}

func textInClear(content []byte) any {
	switch {
	case content == nil:
		return nil
	case utf8.Valid(content):
		return string(content)
	default:
		return map[string][]byte{"base64": content}
	}
}

func clearHeaders(headers []event.Header) []clearHeader {
	all := make([]clearHeader, len(headers))
	for i, h := range headers {
		all[i] = clearHeader{h.Key, textInClear(h.Value)}
	}
	return all
}
