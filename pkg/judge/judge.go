// Package judge is what validate does with a record: it stamps a received record with its revision and judges it by its
// contract. It lives here because the console rehearses a replay with the same code. It does no I/O.
package judge

import (
	"errors"
	"time"

	"orderflow/pkg/bus"
	"orderflow/pkg/event"
	"orderflow/pkg/order"
	"orderflow/pkg/source"
	"orderflow/pkg/source/icbu"
	"orderflow/pkg/source/mall"
	"orderflow/pkg/source/procurement"
	"orderflow/pkg/worker"
)

// writer is the service whose name the validated documents carry.
const writer = "validate"

// contract is what every contract offers: the normalised document and the canonical order, or a *source.Fault.
type contract func(body []byte, receivedAt time.Time) (doc []byte, o order.Order, err error)

var contracts = map[order.Source]contract{
	order.ICBU:        icbu.Judge,
	order.Procurement: procurement.Judge,
	order.Mall:        mall.Judge,
}

// sources tells the contract of a received topic.
var sources = map[string]order.Source{
	event.Received(order.ICBU):        order.ICBU,
	event.Received(order.Procurement): order.Procurement,
	event.Received(order.Mall):        order.Mall,
}

// houseHeaders are those that only the house may say: Stamp writes them anew, or leaves them out.
var houseHeaders = map[string]bool{
	event.HeaderOrderKey: true, event.HeaderDigest: true, event.HeaderPushID: true,
	event.HeaderRevision: true, event.HeaderReceivedPartition: true, event.HeaderReceivedOffset: true, event.HeaderReceivedAt: true,
	event.HeaderReplayJob: true, event.HeaderReplayLetter: true,
}

// Stamp gives a record of a received topic its revision, its coordinates and its time of receipt. A dead letter carries
// them on, so that a replay keeps the revision and is judged by the same clock.
func Stamp(in event.Message) event.Message {
	meta := in.ReceivedMeta(bus.Generation(in.Topic))
	headers := make([]event.Header, 0, len(in.Headers)+len(houseHeaders))
	for _, h := range in.Headers {
		if !houseHeaders[h.Key] {
			headers = append(headers, h)
		}
	}
	in.Headers = append(headers, meta.Headers()...)
	return in
}

// Passed is a record that broke no stated rule.
type Passed struct {
	Document event.Message // normalised, for <source>.validated.v1
	Order    order.Order
	Meta     event.Meta // of Document
}

// Judge gives the normalised document and the order of a stamped record, or of one that came home by a replay. Its only
// error is a *worker.PermanentError: the record is at fault, since nothing else is asked.
func Judge(in event.Message) (Passed, error) {
	meta, err := in.Meta()
	if err != nil {
		return Passed{}, refuse(&source.Fault{Code: source.MissingField, Rule: err.Error()})
	}
	from, received := sources[in.Topic]
	if !received {
		from = meta.OrderKey.Source()
	}
	judged, known := contracts[from]
	if !known {
		return Passed{}, refuse(&source.Fault{Code: source.BadEnum, Rule: "the order key names no source of the house"})
	}
	doc, o, err := judged(in.Value, meta.ReceivedAt)
	if fault, ok := errors.AsType[*source.Fault](err); ok {
		return Passed{}, refuse(fault)
	}
	if err != nil {
		return Passed{}, err
	}
	// A record under another key would live in another lane than its order, and revisions would say nothing.
	if o.Key != meta.OrderKey || in.Key != string(meta.OrderKey) {
		return Passed{}, refuse(&source.Fault{Code: source.BadType, Rule: "the record's key is not the order's key"})
	}
	meta.Digest = order.Digest(doc)
	document := event.New(event.Validated(from), writer, meta, meta.ReceivedAt, "application/json", doc)
	return Passed{document, o, meta}, nil
}

func refuse(fault *source.Fault) error {
	return &worker.PermanentError{Code: worker.Code(fault.Code), Path: fault.Path, Err: errors.New(fault.Rule)}
}
