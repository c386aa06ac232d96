package store_test

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"orderflow/pkg/event"
	"orderflow/pkg/order"
	"orderflow/pkg/store"
)

// happening is one thing that happens to the letters of one order: a fact that arrives, or what a person or console does.
type happening struct {
	fact    *store.Fact
	letter  string // whose letter is sent home or given up: its service and revision
	sends   bool
	discard bool
	after   []int // what must have happened before
}

// lives draws what happens to the revisions of an order. Each letter has a life of its own: it fails, is sent home, fails
// again, and at last may succeed, or a person gives it up, also while it is under way.
func lives(t *rapid.T, key order.Key) (all []happening) {
	add := func(h happening, after ...int) int {
		h.after = after
		all = append(all, h)
		return len(all) - 1
	}
	life := func(n int64, failed func(replays int) store.Fact, succeeded *store.Fact) (success int) {
		letter := fmt.Sprint(failed(0).Letter.Stage, " ", int64(rev(n)))
		first := failed(0)
		last := add(happening{fact: &first})
		attempts := rapid.IntRange(0, 3).Draw(t, "attempts")
		for attempt := range attempts {
			last = add(happening{letter: letter, sends: true}, last)
			givenUp := rapid.IntRange(0, 5).Draw(t, "given up under way") == 0
			if givenUp {
				last = add(happening{letter: letter, discard: true}, last)
			}
			switch result := rapid.SampledFrom([]string{"fails", "fails", "succeeds", "is under way"}).Draw(t, "attempt"); {
			case result == "succeeds" && succeeded != nil:
				return add(happening{fact: succeeded}, last)
			case result == "is under way":
				return -1
			default:
				again := failed(attempt + 1)
				last = add(happening{fact: &again}, last)
			}
			if givenUp {
				return -1
			}
		}
		if rapid.IntRange(0, 4).Draw(t, "given up") == 0 {
			add(happening{letter: letter, discard: true}, last)
		}
		return -1
	}
	for n := range int64(rapid.IntRange(1, 3).Draw(t, "pushes")) {
		n++
		digest := rapid.SampledFrom([]string{"a", "bb"}).Draw(t, "digest")
		passed, outcome := validated(key, n, digest), delivery(key, n, digest, rapid.SampledFrom([]event.Outcome{event.Delivered, event.Superseded}).Draw(t, "outcome"))
		kind := rapid.SampledFrom([]string{"refused", "refused and rejected", "rejected", "rejected", "delivered"}).Draw(t, "kind")
		var valid int // what passes validation; below 0: nothing does
		if strings.HasPrefix(kind, "refused") {
			passed.Meta.ReplayJob = "1"
			valid = life(n, func(replays int) store.Fact { return refused(key, n, digest, replays) }, &passed)
		} else {
			valid = add(happening{fact: &passed})
		}
		switch {
		case valid < 0:
		case kind == "delivered":
			add(happening{fact: &outcome})
		case strings.HasSuffix(kind, "rejected"):
			life(n, func(replays int) store.Fact { return rejected(key, n, digest, replays) }, &outcome)
		}
	}
	return all
}

// arrange draws an order of arrival. Facts of the validated topic come as in like, where one is given: they have one order.
func arrange(t *rapid.T, all []happening, like []int) (order []int) {
	inTopic := slices.DeleteFunc(slices.Clone(like), func(i int) bool { return all[i].fact == nil || all[i].fact.Validated == nil })
	for len(order) < len(all) {
		var ready []int
		for i, h := range all {
			waits := slices.ContainsFunc(h.after, func(before int) bool { return !slices.Contains(order, before) })
			turn := slices.Index(inTopic, i)
			if !waits && !slices.Contains(order, i) && (turn <= 0 || slices.Contains(order, inTopic[turn-1])) {
				ready = append(ready, i)
			}
		}
		order = append(order, rapid.SampledFrom(ready).Draw(t, "next"))
	}
	return order
}

// Whatever order letters, replays and outcomes arrive in, what is delivered again, and when a console looks for results:
// letters and results end the same.
func TestArrivalDoesNotShowInReplays(t *testing.T) {
	s := openShelf(t)
	count := 0
	rapid.Check(t, func(t *rapid.T) {
		count++
		all := lives(t, "icbu:template")
		var like []int
		var dumps [2]string
		for i := range dumps {
			w := &replayed{shelf: s, key: order.Key(fmt.Sprintf("icbu:%d-%d", count, i)), partition: int32(count*2 + i)}
			arrival := arrange(t, all, like)
			for _, n := range arrival {
				w.happen(t, all[n])
				if i > 0 && rapid.IntRange(0, 3).Draw(t, "again") == 0 && len(w.arrived) > 0 {
					w.arrive(rapid.SampledFrom(w.arrived).Draw(t, "what"))
				}
				if i > 0 && rapid.IntRange(0, 3).Draw(t, "look") == 0 {
					w.look()
				}
			}
			w.look()
			like, dumps[i] = arrival, w.dump()
		}
		if dumps[0] != dumps[1] {
			t.Fatalf("one by one:\n%s\n\nas they came:\n%s", dumps[0], dumps[1])
		}
	})
}

// replayed is one order, and the jobs in which its letters are sent, one each time.
type replayed struct {
	*shelf
	key       order.Key
	partition int32
	arrived   []store.Fact
	jobs      []*store.ReplayRun
}

func (w *replayed) arrive(f store.Fact) { w.apply(f) }

func (w *replayed) happen(t *rapid.T, h happening) {
	if h.fact != nil {
		f := moveTo(*h.fact, w.key, w.partition)
		w.arrived = append(w.arrived, f)
		w.arrive(f)
		return
	}
	service, revision, _ := strings.Cut(h.letter, " ")
	id, err := strconv.ParseInt(w.rows(`select id from dead_letters where order_key = $1 and service = $2 and revision = $3::text::bigint`, w.key, service, revision)[0], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	if h.discard {
		if err := w.Discard(w.Context(), id, "ann", "x"); err != nil {
			t.Fatal(err)
		}
		return
	}
	w.job(store.NewReplay{Filter: store.LetterFilter{IDs: []int64{id}}})
	run := w.claim()
	w.jobs = append(w.jobs, run)
	if marked, _ := w.mark(run, 1); marked != 1 {
		t.Fatalf("letter %d is not sent", id)
	}
	if err := run.Confirm(w.Context(), []store.Produced{{LetterID: id, Offset: id}}); err != nil {
		t.Fatal(err)
	}
}

// look notes the results that are there.
func (w *replayed) look() {
	for _, run := range w.jobs {
		w.settle(run)
	}
}

// dump is what is stored about the letters, the jobs' results and the order, as text that names neither order nor job.
func (w *replayed) dump() string {
	all := w.rows(`select 'letter', service, revision, code, failed_replays, sent_replays, state from dead_letters where order_key = $1 order by service, revision`, w.key)
	all = append(all, w.rows(`select 'item', d.service, d.revision, i.replay, i.result, i.code, i.path from replay_items i join dead_letters d on d.id = i.letter_id
		where d.order_key = $1 order by 2, 3, 4`, w.key)...)
	all = append(all, w.rows(`select 'job', j.state, count(*) from replay_jobs j where id in (select job_id from replay_items i
		join dead_letters d on d.id = i.letter_id where d.order_key = $1) group by 2 order by 2`, w.key)...)
	all = append(all, w.rows(`select 'received', revision, end_state from received where order_key = $1 order by revision`, w.key)...)
	all = append(all, w.rows(`select 'order', revision, state, delivered_revision from orders where order_key = $1`, w.key)...)
	return strings.Join(all, "\n")
}
