package event

import (
	"time"

	"orderflow/pkg/order"
)

// Outcome is how a delivery to a partner ended.
type Outcome string

// The outcomes published on deliveries.v1. A refusal is no outcome: it is a dead letter.
const (
	Delivered  Outcome = "delivered"
	Duplicate  Outcome = "duplicate"  // equal content was delivered before; no call was made
	Superseded Outcome = "superseded" // a newer revision was delivered before, or is about to be; no call was made
)

// Delivery is the value of deliveries.v1: one outcome of one delivery to a partner, JSON. It holds codes and figures,
// never a payload.
type Delivery struct {
	Partner  string         `json:"partner"` // okki, ezr
	OrderKey order.Key      `json:"order_key"`
	Revision order.Revision `json:"revision"`
	Digest   string         `json:"content_digest"` // under a key, privacy.ContentKey
	Outcome  Outcome        `json:"outcome"`
	Other    order.Revision `json:"other_revision,omitzero"` // the revision that superseded this one, or that it duplicates
	Total    string         `json:"total,omitzero"`          // exact text; empty where the order has no total
	Code     string         `json:"code,omitzero"`           // the partner's own code
	Attempts int            `json:"attempts"`
	At       time.Time      `json:"at"`
	TookMS   int64          `json:"took_ms"`
}
