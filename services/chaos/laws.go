package main

import (
	"cmp"
	"fmt"
	"slices"
)

// The laws, as the report names them.
const (
	lawAccepted        = "an accepted push is in Kafka, where its receipt says"
	lawOneEnd          = "every accepted push ends in exactly one state"
	lawValidated       = "validate gives one outcome for each record"
	lawNothingInvented = "nothing refused or unanswered is claimed wrongly"
	lawInOrder         = "per order revisions in order, the newest at last"
	lawOneEffect       = "no order has two effects unless its ledger shows an unknown outcome"
	lawMoney           = "sums of money equal at sender, PostgreSQL and partner"
	lawLetters         = "letters are exactly the bad ones"
	lawNoOutageLetter  = "no letter because of an outage"
	lawReturns         = "no return at EZR before its sale"
	lawMended          = "no order's newest delivery is left to be made once more"
	lawDrained         = "everything has its end in time"
)

// ruling is the verdict on one law.
type ruling struct {
	law        string
	held       int // how many things were looked at
	violations []string
	note       string
}

func (r *ruling) broken(format string, args ...any) {
	r.violations = append(r.violations, fmt.Sprintf(format, args...))
}

// version is one record of an order in its received topic, in the only order that counts: that of the topic.
type version struct {
	doc      document
	place    place
	revision int64
	state    string
}

// mayTakeEffect tells whether a partner may take the version. One that it was told to refuse comes again when its worker
// died behind the refusal, and may then be taken: in its turn.
func (v version) mayTakeEffect() bool { return v.doc.Verdict == good || v.doc.Verdict == refused }

// checker holds the evidence against the laws. It shares no code with the pipeline.
type checker struct {
	*evidence
	authored map[string]document  // by key and digest
	stands   map[place]record     // received records
	ends     map[place][]fate     // rows of received
	history  map[string][]version // by order key
	taken    map[string][]effect  // by order key, in the partner's order
	kept     map[string]string    // amount that the partner holds at last, by order key
}

func newChecker(e *evidence) *checker {
	c := &checker{
		evidence: e, authored: map[string]document{}, stands: map[place]record{}, ends: map[place][]fate{},
		history: map[string][]version{}, taken: map[string][]effect{}, kept: map[string]string{},
	}
	for _, one := range e.effects {
		c.taken[one.key()] = append(c.taken[one.key()], one)
	}
	for _, h := range e.held {
		c.kept[h.key()] = h.Amount
	}
	for _, a := range e.attempts {
		for _, doc := range a.Docs {
			c.authored[doc.Key+" "+doc.Digest] = doc
		}
	}
	for _, r := range e.received {
		c.stands[r.origin] = r
	}
	for _, f := range e.fates {
		c.ends[f.place] = append(c.ends[f.place], f)
	}
	for at, r := range c.stands {
		doc, ok := c.authored[r.key+" "+r.digest]
		if !ok {
			continue
		}
		v := version{doc: doc, place: at}
		if rows := c.ends[at]; len(rows) > 0 {
			v.revision, v.state = rows[0].revision, rows[0].state
		}
		c.history[r.key] = append(c.history[r.key], v)
	}
	for _, versions := range c.history {
		slices.SortFunc(versions, func(a, b version) int { return cmp.Compare(a.place.offset, b.place.offset) })
	}
	return c
}

// rule judges all laws.
func (c *checker) rule() []ruling {
	return []ruling{
		c.acceptedIsThere(), c.oneEndState(), c.leftValidateOnce(), c.nothingInvented(), c.inOrder(), c.oneEffect(), c.money(),
		c.lettersAreTheBad(), c.noLetterOfAnOutage(), c.returnsBehindSales(), c.mended(), c.balanced(), c.closedInTime(),
	}
}

// acceptedIsThere: what a sender was told is accepted stands where its receipt says, byte by byte, and nobody else's
// receipt says the same place.
func (c *checker) acceptedIsThere() ruling {
	r := ruling{law: lawAccepted, held: len(c.accepted)}
	claimed := map[place]bool{}
	for _, a := range c.accepted {
		stands, ok := c.stands[a.place]
		switch {
		case !ok:
			r.broken("%s: accepted at %s, where there is nothing", a.doc.Key, a.place)
		case stands.key != a.doc.Key || stands.digest != a.doc.Digest:
			r.broken("%s: accepted at %s, where something else stands", a.doc.Key, a.place)
		case claimed[a.place]:
			r.broken("%s: two receipts name %s", a.doc.Key, a.place)
		}
		claimed[a.place] = true
	}
	return r
}

// oneEndState: every record of a received topic, so every accepted push, has one row with one end, and an end that fits it.
func (c *checker) oneEndState() ruling {
	r := ruling{law: lawOneEnd, held: len(c.stands)}
	places := map[place]bool{}
	for _, a := range c.accepted {
		places[a.place] = true
	}
	for at := range c.stands {
		places[at] = true
	}
	for at := range places {
		switch rows := c.ends[at]; {
		case len(rows) == 0:
			r.broken("%s (%s) is not in PostgreSQL", at, c.stands[at].key)
		case len(rows) > 1:
			r.broken("%s (%s) has %d rows in PostgreSQL", at, c.stands[at].key, len(rows))
		case rows[0].state == "":
			r.broken("%s (%s) has no end", at, rows[0].key)
		}
	}
	for key, versions := range c.history {
		newest := newestGood(versions)
		for i, v := range versions {
			if v.state != "" && !slices.Contains(c.fitting(v, i == newest), v.state) {
				r.broken("%s at %s: %s, but it is %s (newest: %t)", key, v.place, v.state, v.doc.Verdict, i == newest)
			}
		}
	}
	return r
}

// newestGood is the index of the newest version that every stage has to take, -1 if there is none.
func newestGood(versions []version) int {
	for i := len(versions) - 1; i >= 0; i-- {
		if versions[i].doc.Verdict == good {
			return i
		}
	}
	return -1
}

// fitting are the ends that a version may have.
func (c *checker) fitting(v version, newest bool) []string {
	conflicts := c.existing == "2102" && v.doc.Source == "mall"
	switch {
	case v.doc.Verdict == bad && v.doc.Code == saleParked:
		return []string{"parked", "superseded"} // by the same push, come again while it waited
	case v.doc.Verdict == bad:
		return []string{"parked"}
	case v.doc.Verdict == refused:
		return []string{"parked", "superseded", "delivered", "duplicate"}
	case v.doc.Source == "procurement" && newest:
		return []string{"persisted", "duplicate"}
	case v.doc.Source == "procurement":
		return []string{"persisted", "duplicate", "superseded"}
	case newest && conflicts:
		return []string{"delivered", "duplicate", "parked"}
	case newest:
		return []string{"delivered", "duplicate"}
	case conflicts:
		return []string{"delivered", "duplicate", "superseded", "parked"}
	default:
		return []string{"delivered", "duplicate", "superseded"}
	}
}

// leftValidateOnce: readers of committed records see exactly one outcome of validate for each received record.
func (c *checker) leftValidateOnce() ruling {
	r := ruling{law: lawValidated, held: len(c.left)}
	count := map[place]int{}
	for _, out := range c.left {
		count[out.origin]++
	}
	for at, stands := range c.stands {
		if count[at] != 1 {
			r.broken("%s (%s) has %d outcomes", at, stands.key, count[at])
		}
	}
	if len(count) > len(c.stands) {
		r.broken("%d records left validate that nobody received", len(count)-len(c.stands))
	}
	return r
}

// nothingInvented: whatever stands anywhere is what a sender has pushed; nothing that was refused at the door, and no push
// whose sender heard nothing, is anywhere with another content than its sender's.
func (c *checker) nothingInvented() ruling {
	r := ruling{law: lawNothingInvented, held: len(c.stands) + len(c.orders) + len(c.held)}
	accepted := map[place]bool{}
	for _, a := range c.accepted {
		accepted[a.place] = true
	}
	unanswered := 0
	for at, stands := range c.stands {
		if doc, ok := c.authored[stands.key+" "+stands.digest]; !ok || doc.Verdict == hostile {
			r.broken("%s (%s) was pushed by nobody, or was refused", at, stands.key)
		}
		if !accepted[at] {
			unanswered++
		}
	}
	r.note = fmt.Sprintf("%d records of pushes that were told to come again or heard nothing", unanswered)
	for at, rows := range c.ends {
		if _, ok := c.stands[at]; !ok {
			r.broken("PostgreSQL has %s (%s), Kafka does not", at, rows[0].key)
		}
	}
	for key := range c.orders {
		if len(c.history[key]) == 0 {
			r.broken("PostgreSQL has %s, which nobody pushed", key)
		}
	}
	for _, h := range c.held {
		known := slices.ContainsFunc(c.history[h.key()], func(v version) bool { return v.mayTakeEffect() && sameAmount(v.doc.Amount, h.Amount) })
		if !known {
			r.broken("%s holds %s over %s, which nobody had accepted", h.Partner, h.key(), h.Amount)
		}
	}
	for key, o := range c.orders {
		if o.deliveredRevision == 0 {
			continue
		}
		if !slices.ContainsFunc(c.history[key], func(v version) bool { return v.revision == o.deliveredRevision && v.mayTakeEffect() }) {
			r.broken("PostgreSQL claims %s delivered at a revision that nobody pushed so", key)
		}
	}
	return r
}

// inOrder: a partner saw the revisions of an order in their order, and ended with the newest.
func (c *checker) inOrder() ruling {
	r := ruling{law: lawInOrder}
	late := 0
	for key, effects := range c.taken {
		r.held++
		_, behind := match(c.history[key], effects)
		if len(behind) > 0 && c.ledger[key].takeovers >= len(behind) {
			late += len(behind)
		} else if len(behind) > 0 {
			r.broken("%s: an older revision (%s) came after a newer one; the ledger shows %d takeovers", key, behind[0].Amount, c.ledger[key].takeovers)
		}
	}
	for key, versions := range c.history {
		newest := newestGood(versions)
		if newest < 0 || versions[0].doc.Source == "procurement" {
			continue
		}
		effects := c.taken[key]
		switch {
		case len(effects) == 0:
			r.broken("%s never reached its partner", key)
		case c.existing == "2102" && versions[0].doc.Source == "mall": // the partner keeps what it took first
		case !sameAmount(effects[len(effects)-1].Amount, versions[newest].doc.Amount):
			r.broken("%s: its partner ended with %s, the newest is %s", key, effects[len(effects)-1].Amount, versions[newest].doc.Amount)
		}
	}
	r.note = fmt.Sprintf("%d late calls that the ledger shows as takeovers", late)
	return r
}

// match follows an order's effects along its versions: each effect belongs to the version that the one before it belongs
// to, or to a later one. Repeated effects of a version are extra; an effect that fits no later version is behind.
func match(versions []version, effects []effect) (extra int, behind []effect) {
	at := -1
	for _, e := range effects {
		fits := func(v version) bool { return v.mayTakeEffect() && sameAmount(v.doc.Amount, e.Amount) }
		if at >= 0 && fits(versions[at]) {
			extra++
			continue
		}
		next := slices.IndexFunc(versions[at+1:], fits)
		if next < 0 {
			behind = append(behind, e)
			continue
		}
		at += 1 + next
	}
	return extra, behind
}

// oneEffect: an order takes effect once per revision, unless its ledger shows that the outcome of a call was unknown.
func (c *checker) oneEffect() ruling {
	r := ruling{law: lawOneEffect}
	repeated, unknown := 0, 0
	for key, effects := range c.taken {
		r.held++
		extra, behind := match(c.history[key], effects)
		extra += len(behind)
		repeated += extra
		if a := c.ledger[key]; extra > a.unknowns+a.takeovers {
			r.broken("%s: %d effects too many, its ledger shows %d unknown outcomes and %d takeovers", key, extra, a.unknowns, a.takeovers)
		}
	}
	for _, a := range c.ledger {
		unknown += a.unknowns
	}
	r.note = fmt.Sprintf("%d repeated effects, %d calls with an unknown outcome", repeated, unknown)
	return r
}
