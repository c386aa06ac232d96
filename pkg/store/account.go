package store

import (
	"strconv"
	"time"

	"orderflow/pkg/event"
	"orderflow/pkg/order"
)

// Services whose letters are told apart by stageDone, and writers of steps.
const (
	serviceIngest   = "ingest"
	serviceValidate = "validate"
	servicePersist  = "persist"
	serviceConsole  = "console"
)

// account is what one batch of facts needs to know and changes of one order: the order's row, the revisions that the facts
// are about, the newest one and the one that brought its content, and the letters of these. That is enough for the tables
// in fold.go, so the work does not grow with the number of pushes of an order.
type account struct {
	order     orderRow
	revisions map[order.Revision]*revisionRow
	letters   []*letterRow
	events    []Event
	erasure   erasure
	changed   bool
}

// erasure tells which revisions of an order lost their payload and personal data for good, by a person's request; the zero
// value is none.
type erasure struct {
	revision order.Revision // the greatest that was known then
	at       time.Time
}

// covers tells whether a revision is erased, also where its record was on its way when the order was.
func (e erasure) covers(r *revisionRow) bool {
	return !e.at.IsZero() && (r.revision <= e.revision || !r.receivedAt.After(e.at))
}

type orderRow struct {
	key               order.Key
	source            order.Source
	version           int64 // 0: no row yet
	revision          order.Revision
	validated         bool
	state             State
	contentDigest     string
	contentRevision   order.Revision
	documentRevision  order.Revision
	deliveredRevision order.Revision
	deliveredTotal    string
	deliveredDigest   string
	receivedAt        time.Time
	numbers           []string // every number of any push of the order, see know
	hasDocument       bool     // false before the first one, and after it was erased or its retention had passed

	renumbered bool       // numbers are to be written
	document   *Validated // to be written, with all that was read from it
	excerpt    *Excerpt   // to be written; at most one of the two
}

type revisionRow struct {
	key          order.Key
	source       order.Source
	revision     order.Revision
	partition    int32
	offset       int64
	pushID       string
	digest       string
	receivedAt   time.Time
	validatedAt  time.Time
	content      content
	contentOther order.Revision
	outcome      event.Outcome
	outcomeOther order.Revision
	outcomeAt    time.Time
	outcomeCode  string
	endState     State

	changed bool
}

func newAccount(key order.Key) *account {
	return &account{order: orderRow{key: key, source: key.Source()}, revisions: map[order.Revision]*revisionRow{}}
}

// apply adds one fact. Facts of one topic must come in that topic's order; settle follows the last one.
func (a *account) apply(f *Fact, now time.Time) {
	r := a.touch(f)
	if a.order.version == 0 {
		a.know(a.order.numbers, []string{numberOfKey(a.order.key)})
	}
	switch {
	case f.Validated != nil:
		a.addValidated(f, r, now)
	case f.Delivery != nil:
		a.addDelivery(f, r)
	case f.Letter != nil:
		a.addLetter(f, r)
	case f.Discard != nil:
		a.addDiscard(f, r)
	}
	if f.Meta.ReplayJob != "" && f.Letter == nil {
		a.step(r, StepReplayed, f.Meta.ReplayJob, factTime(f), f.Service, "", "")
	}
}

// touch finds or makes the row of the fact's revision. While nothing passed validation, the order stands at the newest one.
func (a *account) touch(f *Fact) *revisionRow {
	r := a.revisions[f.Meta.Revision]
	if r == nil {
		r = &revisionRow{
			key: f.Meta.OrderKey, source: a.order.source, revision: f.Meta.Revision, partition: f.Meta.ReceivedPartition,
			offset: f.Meta.ReceivedOffset, receivedAt: f.Meta.ReceivedAt, changed: true,
		}
		a.revisions[r.revision] = r
		a.step(r, StepReceived, "", r.receivedAt, serviceIngest, "", "")
	}
	fill(&r.pushID, f.Meta.PushID, &r.changed)
	if f.Letter == nil || f.Letter.Stage != serviceValidate { // whose digest is that of the push, not of the document
		fill(&r.digest, f.Meta.Digest, &r.changed)
	}
	if !a.order.validated && r.revision > a.order.revision {
		a.order.revision, a.order.receivedAt = r.revision, r.receivedAt
		a.changed = true
	}
	return r
}

// fill keeps the least of what the facts say, where they differ at all: the result must not depend on their order.
func fill(field *string, value string, changed *bool) {
	if value != "" && (*field == "" || value < *field) {
		*field, *changed = value, true
	}
}

func (a *account) addValidated(f *Fact, r *revisionRow, now time.Time) {
	a.step(r, StepValidated, "", f.Validated.At, serviceValidate, "", "")
	if r.validatedAt.IsZero() || f.Validated.At.Before(r.validatedAt) {
		r.validatedAt, r.changed = f.Validated.At, true
	}
	if r.content == "" {
		r.content, r.contentOther = judgeContent(&a.order, r.revision, f.Meta.Digest)
		r.changed = true
		if !partner(r.source) {
			a.step(r, stepOfContent(r.content), "", now, servicePersist, "", revisionText(r.contentOther))
		}
	}
	o := &a.order
	if o.validated && r.revision <= o.revision {
		a.know(o.numbers, f.Validated.Order.Numbers)
		return
	}
	a.know(f.Validated.Order.Numbers, o.numbers)
	o.validated, o.revision, o.receivedAt, o.contentDigest = true, r.revision, r.receivedAt, f.Meta.Digest
	if r.content != contentDuplicate {
		o.contentRevision = r.revision
	}
	// A push of equal content brings the document back where it is gone: it is new data of its sender.
	if r.content != contentDuplicate || !o.hasDocument {
		o.documentRevision, o.hasDocument = r.revision, true
		o.document, o.excerpt = f.Validated, nil
	}
	if o.document == f.Validated && a.erasure.covers(r) {
		o.document, o.hasDocument = withoutPersons(f.Validated), false
	}
	a.changed = true
}

// withoutPersons is what is kept of an erased revision: numbers, amounts, lines and times.
func withoutPersons(v *Validated) *Validated {
	kept := *v
	kept.Document, kept.Order.Personal = nil, order.Personal{}
	return &kept
}

func stepOfContent(c content) Step {
	if c == contentNew {
		return StepPersisted
	}
	return Step(c)
}

func (a *account) addDelivery(f *Fact, r *revisionRow) {
	d := f.Delivery
	a.step(r, Step(d.Outcome), "", d.At, f.Service, d.Code, revisionText(d.Other))
	if better(d.Outcome, r.outcome) || d.Outcome == r.outcome && d.At.Before(r.outcomeAt) {
		r.outcome, r.outcomeOther, r.outcomeAt, r.outcomeCode = d.Outcome, d.Other, d.At, d.Code
		r.changed = true
	}
	o := &a.order
	if d.Outcome == event.Delivered && r.revision > o.deliveredRevision {
		o.deliveredRevision, o.deliveredTotal, o.deliveredDigest = r.revision, d.Total, d.Digest
		a.changed = true
	}
}

func (a *account) addLetter(f *Fact, r *revisionRow) {
	step := StepDeadLettered
	if f.Letter.Stage == serviceValidate {
		step = StepRefused
	}
	detail := f.Letter.Detail
	if f.Letter.Path != "" {
		detail = f.Letter.Path
	}
	a.step(r, step, letterDedupe(f.Letter), f.Letter.Last, f.Letter.Stage, f.Letter.Code, detail)
	l := a.letterOf(f.Letter)
	if l == nil {
		l = newLetterRow(f.Letter, &f.Meta)
		a.letters = append(a.letters, l)
	} else {
		l.merge(f.Letter)
	}
	l.erased = a.erasure.covers(r)
	o := &a.order
	a.know(o.numbers, f.Letter.Excerpt.Numbers)
	if !o.validated && step == StepRefused && r.revision > o.documentRevision {
		o.documentRevision, o.excerpt = r.revision, &f.Letter.Excerpt
		a.changed = true
	}
}

// letterDedupe tells the letters of one revision apart: their stage, topic and how many replays were behind them.
func letterDedupe(l *Letter) string {
	return l.Stage + " " + l.Origin.Topic + " " + strconv.Itoa(l.Replays)
}

func (a *account) letterOf(l *Letter) *letterRow {
	for _, row := range a.letters {
		if row.service == l.Stage && row.originTopic == l.Origin.Topic &&
			row.originPartition == l.Origin.Partition && row.originOffset == l.Origin.Offset {
			return row
		}
	}
	return nil
}

// addDiscard adds the step; the letter's row tells already that it is given up.
func (a *account) addDiscard(f *Fact, r *revisionRow) {
	a.step(r, StepDiscarded, strconv.FormatInt(f.Discard.LetterID, 10), f.Discard.At, f.Service, "", "")
}

// settle applies the tables of fold.go to what has been read and added.
func (a *account) settle() {
	for _, l := range a.letters {
		if state := letterState(l, a.revisions[l.revision]); state != l.state {
			l.state, l.changed = state, true
		}
		a.changed = a.changed || l.changed
	}
	for _, r := range a.revisions {
		if end := endState(r, a.letters); end != r.endState {
			r.endState, r.changed = end, true
		}
		a.changed = a.changed || r.changed
	}
	o := &a.order
	if state := orderState(o, a.revisions[o.revision], a.revisions[o.contentRevision]); state != o.state {
		o.state, a.changed = state, true
	}
}

func (a *account) step(r *revisionRow, step Step, dedupe string, at time.Time, service, code, detail string) {
	a.events = append(a.events, Event{r.key, r.revision, step, dedupe, at, service, code, detail})
}

func revisionText(r order.Revision) string {
	if r == 0 {
		return ""
	}
	return strconv.FormatInt(int64(r), 10)
}

func factTime(f *Fact) time.Time {
	switch {
	case f.Validated != nil:
		return f.Validated.At
	case f.Delivery != nil:
		return f.Delivery.At
	default:
		return f.Meta.ReceivedAt
	}
}
