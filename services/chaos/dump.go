package main

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
)

// dump writes everything that is known of every order to a file, for whoever looks for the cause of a broken law:
// `grep -A30 '^== KEY'`.
func (e *evidence) dump(ctx context.Context, url, path string) error {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(ctx) }()
	story := map[string][]moment{}
	for _, query := range []string{
		`select order_key, claimed_at, format('ledger     revision %s: %s %s, attempts %s, unknowns %s, takeovers %s, doubtful %s, dirty %s, total %s, settled %s, owner %s',
			revision, state, outcome, attempts, unknowns, takeovers, doubtful, dirty, total, settled_at, owner) from deliveries`,
		`select order_key, at, format('timeline   revision %s: %s %s by %s %s %s', revision, step, dedupe, service, code, detail) from order_events`,
		`select order_key, first_failed_at, format('letter     revision %s: %s by %s, %s', revision, code, service, state) from dead_letters`,
		`select order_key, updated_at, format('received   revision %s: %s/%s, %s', revision, partition, "offset", end_state) from received`,
		`select order_key, updated_at, format('order      revision %s: %s, total %s, delivered revision %s over %s', revision, state, total, delivered_revision, delivered_total) from orders`,
	} {
		rows, err := conn.Query(ctx, query)
		if err != nil {
			return err
		}
		var key string
		var m moment
		if _, err = pgx.ForEachRow(rows, []any{&key, &m.at, &m.text}, func() error { story[key] = append(story[key], m); return nil }); err != nil {
			return err
		}
	}
	for _, a := range e.attempts {
		for _, doc := range a.Docs {
			story[doc.Key] = append(story[doc.Key], moment{a.At, fmt.Sprintf("push       %s %s over %s: %d, accepted %t, took %d ms %s", a.Kind, doc.Verdict, doc.Amount, a.Status, a.Accepted, a.Took, a.Error)})
		}
	}
	for _, r := range e.received {
		story[r.key] = append(story[r.key], moment{r.at, fmt.Sprintf("kafka      %s, digest %.8s", r.origin, r.digest)})
	}
	for _, one := range e.effects {
		story[one.key()] = append(story[one.key()], moment{one.At, fmt.Sprintf("effect     %d over %s", one.Seq, one.Amount)})
	}
	return writeStories(path, story)
}

// moment is one thing that happened to an order.
type moment struct {
	at   time.Time
	text string
}

func writeStories(path string, story map[string][]moment) error {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	out := bufio.NewWriter(file)
	for _, key := range slices.Sorted(maps.Keys(story)) {
		fmt.Fprintf(out, "== %s\n", key)
		slices.SortStableFunc(story[key], func(a, b moment) int { return cmp.Compare(a.at.UnixNano(), b.at.UnixNano()) })
		for _, m := range story[key] {
			fmt.Fprintf(out, "   %s %s\n", m.at.UTC().Format("15:04:05.000"), m.text)
		}
	}
	return errors.Join(out.Flush(), file.Close())
}
