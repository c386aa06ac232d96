package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"orderflow/pkg/order"
)

type hourView struct {
	Source     string       `json:"source"`
	Hour       time.Time    `json:"hour"`
	State      string       `json:"state"`
	Received   int64        `json:"received"`
	Refused    int64        `json:"refused"`
	Validated  int64        `json:"validated"`
	Published  int64        `json:"published"`
	Delivered  int64        `json:"delivered"`
	Persisted  int64        `json:"persisted"`
	Duplicate  int64        `json:"duplicate"`
	Superseded int64        `json:"superseded"`
	Parked     int64        `json:"parked"`
	Discarded  int64        `json:"discarded"`
	Open       int64        `json:"open"`
	Absent     int64        `json:"missing_count"`
	Faults     int64        `json:"faults"`
	Accepted   int64        `json:"accepted"`
	Balanced   bool         `json:"balanced"`
	Complete   bool         `json:"complete"`
	CheckedAt  time.Time    `json:"checked_at"`
	Missing    []offsetView `json:"missing"`
	Waiting    []offsetView `json:"waiting"`
	Waived     []waivedView `json:"accepted_differences"`
}

type offsetView struct {
	OrderKey  string `json:"order_key"`
	Partition int32  `json:"partition"`
	Offset    int64  `json:"offset"`
	Fault     string `json:"fault"`
}

// waivedView is a difference that somebody accepted.
type waivedView struct {
	offsetView
	By     string    `json:"by"`
	Reason string    `json:"reason"`
	At     time.Time `json:"at"`
}

// faultHelp says what is wrong with an offset and what to do about it, by the API's names.
var faultHelp = map[string][2]string{
	"no_row": {"every service is past it, and PostgreSQL has no row", makeAgain + "; where Kafka has nothing of it either, validate passed over it: read its log, push the order again, " +
		"and let an approver accept what is left: orderctl balance accept PLACE"},
	"no_end": {"every service is past it, and nothing tells how it ended", "see whether the partner has it (orderctl where KEY), then " + makeAgain + "; where that changes nothing, " +
		"the worker passed over it: push the order again, and accept what is left: orderctl balance accept PLACE"},
	"two_rows":        {"PostgreSQL has several rows for it", "the house writes one: find out who wrote the other, and remove that from the table received"},
	"stray_row":       {"PostgreSQL has a row for a record that Kafka never had", "the house writes none: find out who did, or whether the database belongs to another Kafka, and remove it from the table received"},
	"not_published":   {"it passed validation, and orders.v1 lacks it", "analysts do not see it: push the order again, they then see that; and accept what is left of this push: orderctl balance accept PLACE"},
	"published_twice": {"orders.v1 has it more than once", "a record cannot be taken back; analysts who keep the greatest revision are right all the same: read the log of validate around that time, then orderctl balance accept PLACE"},
	"not_stored":      {"orders.v1 has it, and PostgreSQL lacks its document", "read the log of persist around that time, then " + makeAgain},
	"no_order":        {"PostgreSQL lacks its order", makeAgain},
	"old_order":       {"PostgreSQL has an older revision of its order", makeAgain},
	"amounts_differ":  {"PostgreSQL has other amounts of its order than orders.v1", makeAgain},
	"lines_differ":    {"PostgreSQL has other lines of its order than orders.v1", makeAgain},
	"stray_order": {"PostgreSQL has an order at a revision that no record brought", "the house writes none: find out who did. If orderctl where KEY shows records of this order, then " +
		makeAgain + "; else remove it from the tables orders and order_lines"},
}

// makeAgain is the cure of what PostgreSQL lacks, while Kafka has it.
const makeAgain = "orderctl balance restore KEY makes it again from Kafka's records"

// maxHours is how many hours are listed at most: a month of three sources.
const maxHours = 31 * 24 * 3

func balanceCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "balance",
		Short: "say for each hour whether everything that came in is accounted for",
		Long: `balance lists hours of receipt: how many records Kafka received, and what became of them by PostgreSQL and by the analysts' topic
orders.v1, which are counted apart. Without dates it shows today, the present hour included.

RECEIVED is the sum of DELIVERED, STORED, DUPLICATE, SUPERSEDED, PARKED, DISCARDED, OPEN and MISSING; refused ones are parked or
discarded. What does not balance is named below the table, with what to do next: what PostgreSQL lacks or has otherwise is made
again by "balance restore", and what nothing can mend is accepted, by name and with a reason, by "balance accept". The exit status
is 1 when an hour does not balance.`,
		Example: "  orderctl balance\n  orderctl balance --source mall --from 2026-01-30 --to 2026-01-31\n  orderctl balance --json",
		Args:    cobra.NoArgs,
	}
	cmd.AddCommand(balanceAcceptCommand(), balanceRestoreCommand())
	source := cmd.Flags().String("source", "", "icbu, procurement or mall")
	from := cmd.Flags().String("from", "", "first day, such as 2026-01-31, by this machine's time zone, or an instant in RFC 3339; without it today")
	to := cmd.Flags().String("to", "", "last day, or the instant before which hours begin")
	return withConsole(cmd, func(ctx context.Context, c *console, _ []string) error {
		query, err := balanceQuery(*source, *from, *to, time.Now())
		if err != nil {
			return err
		}
		hours, more, err := list[hourView](ctx, c, "/api/balance", query, maxHours)
		if err != nil {
			return err
		}
		if !c.raw {
			c.printBalance(hours, more)
		}
		for _, h := range hours {
			if !h.Balanced {
				return errRefused
			}
		}
		return nil
	})
}

func balanceQuery(source, from, to string, now time.Time) (url.Values, error) {
	year, month, day := now.Date()
	first, last := time.Date(year, month, day, 0, 0, 0, 0, now.Location()), time.Time{}
	var err error
	if from != "" {
		if first, err = balanceTime("from", from, 0, now.Location()); err != nil {
			return nil, err
		}
	}
	if to != "" {
		if last, err = balanceTime("to", to, 1, now.Location()); err != nil {
			return nil, err
		}
		if from == "" {
			first = last.AddDate(0, 0, -1)
		}
	}
	if source != "" && !slices.Contains(order.Sources, order.Source(source)) {
		return nil, errors.New("--source: not one of icbu, procurement, mall")
	}
	if !last.IsZero() && !first.Before(last) {
		return nil, errors.New("--from: not before --to; a day given to --to is counted to its end")
	}
	query := url.Values{"from": {first.UTC().Format(time.RFC3339)}}
	if !last.IsZero() {
		query.Set("to", last.UTC().Format(time.RFC3339))
	}
	if source != "" {
		query.Set("source", source)
	}
	return query, nil
}

// balanceTime reads an instant, or a day, of which it takes the start some days later.
func balanceTime(flag, text string, days int, zone *time.Location) (time.Time, error) {
	if at, err := time.Parse(time.RFC3339, text); err == nil {
		return at, nil
	}
	day, err := time.ParseInLocation(time.DateOnly, text, zone)
	if err != nil {
		return time.Time{}, fmt.Errorf("--%s: give a day such as 2026-01-31, or an instant such as 2026-01-31T08:00:00Z", flag)
	}
	return day.AddDate(0, 0, days), nil
}

// balanceLate is when somebody should ask whether balance runs.
const balanceLate = 3 * time.Minute

func (c *console) printBalance(hours []hourView, more bool) {
	if len(hours) == 0 {
		fmt.Fprintln(c.out, "no hour was counted in that time\n  next: see that the service balance runs and answers /readyz; it counts from the oldest record on that Kafka had when it started first")
		return
	}
	var table strings.Builder
	t := tabwriter.NewWriter(&table, 0, 4, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "HOUR\tSOURCE\tRECEIVED\tREFUSED\tPUBLISHED\tDELIVERED\tSTORED\tDUPLICATE\tSUPERSEDED\tPARKED\tDISCARDED\tOPEN\tMISSING\tSTATE\t")
	newest := time.Time{}
	for _, h := range hours {
		printf(t, "%s\t%s\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%s\t\n", h.Hour.Local().Format("2006-01-02 15h"), h.Source, h.Received, h.Refused, h.Published,
			h.Delivered, h.Persisted, h.Duplicate, h.Superseded, h.Parked, h.Discarded, h.Open, h.Absent, h.word())
		if h.CheckedAt.After(newest) {
			newest = h.CheckedAt
		}
	}
	_ = t.Flush()
	for n, line := range strings.SplitAfter(table.String(), "\n") { // colours would count as width
		if n > 0 && n <= len(hours) && !hours[n-1].Balanced {
			line = c.red(strings.TrimSuffix(line, "\n")) + "\n"
		}
		fmt.Fprint(c.out, line)
	}
	if more {
		printf(c.out, "only the newest %d are shown: give --from, --to or --source\n", len(hours))
	}
	for i := range hours {
		c.printFaults(&hours[i])
	}
	if late := time.Since(newest); late > balanceLate && !newest.IsZero() && hours[0].State == "open" {
		printf(c.out, "\nnobody has counted for %s\n  next: see that the service balance runs; its /readyz says what it waits for\n", late.Round(time.Second))
	}
}

// word says in one how an hour stands.
func (h *hourView) word() string {
	switch {
	case !h.Balanced:
		return "DOES NOT BALANCE"
	case h.Complete && h.Accepted > 0:
		return fmt.Sprintf("complete, %d accepted", h.Accepted)
	case h.Complete:
		return "complete"
	case h.State == "open":
		return "counting"
	default:
		return "not closed"
	}
}

func (c *console) printFaults(h *hourView) {
	place := func(o offsetView) string {
		key := o.OrderKey
		if key == "" {
			key = "(order not known any more)"
		}
		if o.Partition < 0 {
			return printable(key)
		}
		return printable(fmt.Sprintf("%s  %s.received.v1/%d/%d", key, h.Source, o.Partition, o.Offset))
	}
	if len(h.Missing) > 0 {
		printf(c.out, "\n%s, %s: %d at fault\n", h.Source, h.Hour.Local().Format("2006-01-02 15h"), h.Faults)
	}
	said := map[string]bool{}
	for _, o := range h.Missing {
		help := helpOf(o.Fault)
		fmt.Fprintf(c.out, "  %s\n    meaning: %s\n", c.red(place(o)), printable(help[0]))
		if !said[o.Fault] {
			said[o.Fault] = true
			printf(c.out, "    next:    %s\n", help[1])
		}
	}
	if len(h.Waived) > 0 {
		printf(c.out, "\n%s, %s: %d accepted\n", h.Source, h.Hour.Local().Format("2006-01-02 15h"), h.Accepted)
	}
	for _, w := range h.Waived {
		printf(c.out, "  %s\n    %s; accepted by %s, %s: %s\n", place(w.offsetView), printable(helpOf(w.Fault)[0]), printable(w.By),
			w.At.Local().Format("2006-01-02 15:04"), printable(w.Reason))
	}
	if len(h.Waiting) > 0 {
		printf(c.out, "\n%s, %s: %d open\n    next:    orderctl where KEY shows how far each came; the console's overview shows which service is behind\n",
			h.Source, h.Hour.Local().Format("2006-01-02 15h"), h.Open)
	}
	for _, o := range h.Waiting {
		printf(c.out, "  %s\n", place(o))
	}
}

func helpOf(fault string) [2]string {
	if help, known := faultHelp[fault]; known {
		return help
	}
	return [2]string{fault, "see the console's page of the hour"}
}

// red colours a text where somebody looks at it.
func (c *console) red(text string) string {
	if terminal(c.out) && os.Getenv("NO_COLOR") == "" {
		return "\x1b[31m" + text + "\x1b[0m"
	}
	return text
}
