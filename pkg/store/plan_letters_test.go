package store_test

import (
	"context"
	"strings"
	"testing"

	"orderflow/pkg/event"
	"orderflow/pkg/store"
)

// planOf gives the plan of the one statement that is asked, with what was done.
func (s *shelf) planOf(t *testing.T, ask func(b *store.Store) error) string {
	t.Helper()
	var sql string
	var args []any
	traced := s.store.Traced(t, func(asked string, with []any) { sql, args = asked, with })
	if err := ask(traced); err != nil {
		t.Fatal(err)
	}
	return strings.Join(s.rows("explain analyze "+sql, args...), "\n")
}

// What has to look at every letter there ever was looks at an index, and leaves the letters with their records alone.
func TestSearchesOfAllLettersReadNoLetter(t *testing.T) {
	s := openShelf(t)
	s.fillLetters(20_000)
	for _, sql := range []string{ // as wide as letters are
		`update dead_letters set payload = decode(repeat(md5(id::text), 64), 'hex')`, `vacuum full dead_letters`, `vacuum analyze dead_letters`,
	} {
		if _, err := s.conn.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	search := func(f store.LetterFilter) func(b *store.Store) error {
		return func(b *store.Store) error { _, _, err := b.Letters(t.Context(), f, "", 50); return err }
	}
	group := func(f store.LetterFilter) func(b *store.Store) error {
		return func(b *store.Store) error { _, err := b.LetterGroups(t.Context(), f); return err }
	}
	some := []store.LetterState{store.LetterFixed, store.LetterDiscarded}
	for name, c := range map[string]struct {
		ask   func(b *store.Store) error
		index string
	}{
		"part of a key, open":        {search(store.LetterFilter{Q: "nothing"}), "dead_letters_live"},
		"part of a key, any state":   {search(store.LetterFilter{Q: "nothing", States: store.LetterStates}), "dead_letters_newest"},
		"part of a key, some states": {search(store.LetterFilter{Q: "nothing", States: some}), "dead_letters_newest"},
		"groups, any state":          {group(store.LetterFilter{States: store.LetterStates}), "dead_letters_causes"},
		"groups, some states":        {group(store.LetterFilter{States: some}), "dead_letters_causes"},
	} {
		plan := s.planOf(t, c.ask)
		if !strings.Contains(plan, "Index Only Scan") || !strings.Contains(plan, " using "+c.index+" ") {
			t.Errorf("%s:\n%s", name, plan)
		}
	}
}

// Parts of keys are found page by page, like everything else.
func TestPartsOfKeysPageByPage(t *testing.T) {
	s := openShelf(t)
	s.fillLetters(1000)
	f := store.LetterFilter{Q: "P99", States: store.LetterStates} // P99 and P990 to P999
	var found []string
	for cursor := ""; ; {
		letters, next, err := s.store.Letters(t.Context(), f, cursor, 4)
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range letters {
			found = append(found, string(l.OrderKey))
		}
		if cursor = next; next == "" {
			break
		}
	}
	if got := strings.Join(found, " "); got != "icbu:P999 icbu:P998 icbu:P997 icbu:P996 icbu:P995 icbu:P994 icbu:P993 icbu:P992 icbu:P991 icbu:P990 icbu:P99" {
		t.Errorf("found %s", got)
	}
}

// The list of jobs says of each what the job says, and counts only the letters of those that have not ended.
func TestTheListOfJobsDoesNotCountEndedOnes(t *testing.T) {
	s := openShelf(t)
	s.parked(4)
	s.job(store.NewReplay{Filter: store.LetterFilter{IDs: []int64{1, 2}}})
	run := s.claim()
	s.mark(run, 2)
	s.deliverAll(run, event.Delivered)
	s.settle(run)
	cancelled := s.job(store.NewReplay{Filter: store.LetterFilter{IDs: []int64{3}}})
	if _, err := s.store.CancelReplay(t.Context(), cancelled.ID, "ann", "x"); err != nil {
		t.Fatal(err)
	}
	list := func(b *store.Store) error { _, _, err := b.Replays(t.Context(), "", 50); return err }
	if plan := s.planOf(t, list); !strings.Contains(plan, "never executed") {
		t.Errorf("ended jobs are counted:\n%s", plan)
	}
	s.job(store.NewReplay{Filter: store.LetterFilter{IDs: []int64{4}}})
	if plan := s.planOf(t, list); strings.Contains(plan, "never executed") {
		t.Errorf("one that has not ended is not counted:\n%s", plan)
	}
	wantSameJobs(t.Context(), t, s.store)
	s.want(`select state, counts is null from replay_jobs order by id`, "done false", "cancelled false", "planned true")
}

func wantSameJobs(ctx context.Context, t *testing.T, db *store.Store) {
	t.Helper()
	jobs, _, err := db.Replays(ctx, "", 50)
	if err != nil {
		t.Fatal(err)
	}
	for _, listed := range jobs {
		one, err := db.Replay(ctx, listed.ID)
		if err != nil || one.Counts != listed.Counts || one.Sent() != listed.Sent() || !listed.Balanced() {
			t.Errorf("job %d: listed %+v, is %+v (%v)", one.ID, listed.Counts, one.Counts, err)
		}
	}
}
