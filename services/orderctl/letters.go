package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
)

// filterNames are the parameters that choose letters, with what they mean.
var filterNames = map[string]string{
	"service": "the worker that gave up: validate, okkisync, mallupload, persist", "source": "icbu, procurement or mall",
	"code": "why, such as bad_amount", "path": "the field at fault, with * for any line: /Dtls/*/Amount", "shop": "shop code",
	"order_key": "one order", "q": "part of an order key", "since": "failed since: RFC 3339, or a duration back from now such as 2h",
	"until": "failed before: the same", "min_amount": "amount from", "state": "comma list of open, replaying, fixed, failed_again, superseded, discarded",
	"ids": "comma list of letters' numbers",
}

const filterHelp = `

FILTER is name=value, or the number of a letter; the same names are flags (--order-key for order_key). Without state, a filter
means the letters that are open or failed again.`

// addFilter adds a flag for each parameter.
func addFilter(cmd *cobra.Command) *cobra.Command {
	cmd.Long += filterHelp
	for name, doc := range filterNames {
		cmd.Flags().String(strings.ReplaceAll(name, "_", "-"), "", doc)
	}
	return cmd
}

// readFilter collects flags and arguments. Values are the console's to judge.
func readFilter(cmd *cobra.Command, args []string) (url.Values, error) {
	query := url.Values{}
	for name := range filterNames {
		flag := strings.ReplaceAll(name, "_", "-")
		value, _ := cmd.Flags().GetString(flag)
		if value == "" && cmd.Flags().Changed(flag) {
			return nil, noValue(name)
		}
		if value != "" {
			query.Add(name, value)
		}
	}
	for _, arg := range args {
		name, value, found := strings.Cut(arg, "=")
		if _, err := strconv.ParseUint(arg, 10, 63); err == nil {
			name, value, found = "ids", arg, true
		}
		if _, known := filterNames[name]; !found || !known {
			return nil, fmt.Errorf("%q is no filter: write name=value with one of %s, or the number of a letter", name, strings.Join(slices.Sorted(maps.Keys(filterNames)), ", "))
		}
		if strings.Trim(value, ", ") == "" {
			return nil, noValue(name)
		}
		query.Add(name, value)
	}
	return query, nil
}

// noValue is what an unset variable of a script leads to. Left out, the filter would choose more letters than were meant.
func noValue(name string) error {
	return fmt.Errorf("%s has no value: is a variable unset? Give it one, or leave it out to choose all", name)
}

func dlqCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "dlq", Short: "look at dead letters, give one up, or send them home"}
	ls, groups := &cobra.Command{
		Use: "ls [FILTER...]", Short: "list dead letters, the newest first", Long: "ls lists dead letters, those that failed last first.",
		Example: "  orderctl dlq ls service=validate since=2h\n  orderctl dlq ls --state open,replaying,fixed --order-key mall:S1:1",
	}, &cobra.Command{
		Use: "groups [FILTER...]", Short: "count dead letters by cause", Long: "groups counts dead letters by service, code and field, the largest group first.",
	}
	ls.Flags().Int("limit", 100, "letters at most")
	withConsole(addFilter(ls), func(ctx context.Context, c *console, args []string) error { return listLetters(ctx, c, ls, args) })
	withConsole(addFilter(groups), func(ctx context.Context, c *console, args []string) error { return groupLetters(ctx, c, groups, args) })
	show := withConsole(&cobra.Command{
		Use: "show NUMBER", Short: "show one letter, by its own number: cause, record (masked), difference, verdict of the deployed code", Args: cobra.ExactArgs(1),
		Long: "show prints a letter: why the record could not go on, the record with personal data masked, how it differs from the newest\naccepted revision of the same order, and what the deployed code says about it today.",
	}, showLetter)
	discard := &cobra.Command{
		Use: "discard NUMBER --reason TEXT", Short: "give a letter up, by name and with a reason", Args: cobra.ExactArgs(1),
		Long: "discard gives a letter up for good: the order ends as discarded. It stands in the audit with your name and the reason.",
	}
	reason := discard.Flags().String("reason", "", "why (needed)")
	withConsole(discard, func(ctx context.Context, c *console, args []string) error {
		var letter letterView
		err := c.ask(ctx, http.MethodPost, letterPath(args[0])+"/discard", nil, map[string]string{"reason": *reason}, &letter)
		if err != nil {
			return c.noLetter(ctx, args[0], err)
		}
		if !c.raw {
			printf(c.out, "letter %s is discarded: %s of %s\n", args[0], letter.Code, letter.OrderKey)
		}
		return nil
	})
	cmd.AddCommand(ls, groups, show, discard, replayCommand())
	return cmd
}

type letterView struct {
	ID       int64     `json:"id"`
	State    string    `json:"state"`
	Service  string    `json:"service"`
	Code     string    `json:"code"`
	Path     string    `json:"path"`
	Detail   string    `json:"detail"`
	OrderKey string    `json:"order_key"`
	Total    *string   `json:"total"`
	FailedAt time.Time `json:"failed_at"`
}

func listLetters(ctx context.Context, c *console, cmd *cobra.Command, args []string) error {
	query, err := readFilter(cmd, args)
	if err != nil {
		return err
	}
	limit, _ := cmd.Flags().GetInt("limit")
	letters, more, err := list[letterView](ctx, c, "/api/dead-letters", query, max(limit, 1))
	if err != nil || c.raw {
		return err
	}
	t := tabwriter.NewWriter(c.out, 0, 4, 2, ' ', 0)
	fmt.Fprintln(t, "NUMBER\tFAILED\tSERVICE\tCODE\tPATH\tSTATE\tTOTAL\tORDER")
	for _, l := range letters {
		total := "-"
		if l.Total != nil {
			total = *l.Total
		}
		printf(t, "%d\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", l.ID, stamp(l.FailedAt), l.Service, strings.TrimSpace(l.Code+" "+l.Detail), l.Path, l.State, total, l.OrderKey)
	}
	_ = t.Flush()
	if more {
		printf(c.out, "and more: --limit shows up to as many as you say, orderctl dlq groups counts them\n")
	}
	return nil
}

func groupLetters(ctx context.Context, c *console, cmd *cobra.Command, args []string) error {
	query, err := readFilter(cmd, args)
	if err != nil {
		return err
	}
	var groups struct {
		Items []struct {
			Service   string    `json:"service"`
			Code      string    `json:"code"`
			Path      string    `json:"path"`
			Count     int       `json:"count"`
			FirstSeen time.Time `json:"first_seen"`
			LastSeen  time.Time `json:"last_seen"`
			Example   int64     `json:"example"`
		} `json:"items"`
	}
	if err := c.ask(ctx, http.MethodGet, "/api/dead-letters/groups", query, nil, &groups); err != nil || c.raw {
		return err
	}
	t := tabwriter.NewWriter(c.out, 0, 4, 2, ' ', 0)
	fmt.Fprintln(t, "COUNT\tSERVICE\tCODE\tPATH\tFIRST SEEN\tLAST SEEN\tEXAMPLE")
	for _, g := range groups.Items {
		printf(t, "%d\t%s\t%s\t%s\t%s\t%s\t%d\n", g.Count, g.Service, g.Code, g.Path, stamp(g.FirstSeen), stamp(g.LastSeen), g.Example)
	}
	return t.Flush()
}

func letterPath(number string) string { return "/api/dead-letters/" + url.PathEscape(number) }

// noLetter says of a number that is no letter's whether it is an order's, which is easily taken for it.
func (c *console) noLetter(ctx context.Context, number string, err error) error {
	refused, ok := errors.AsType[*apiError](err)
	if !ok || refused.status != http.StatusNotFound {
		return err
	}
	orders := c.ordersNumbered(ctx, number)
	if len(orders) == 0 {
		return fmt.Errorf("%w\n  next: orderctl dlq ls prints the letters with their numbers", err)
	}
	return fmt.Errorf("%w\n  this is no letter's number but an order's, %s: orderctl dlq ls order_key=%s lists its letters",
		err, printable(orders[0].OrderKey), printable(orders[0].OrderKey))
}

// ordersNumbered are the orders of a number, none where nobody can tell: a hint is not worth an error.
func (c *console) ordersNumbered(ctx context.Context, number string) []orderView {
	quiet := *c
	quiet.raw = false
	var found struct {
		Items []orderView `json:"items"`
	}
	if quiet.ask(ctx, http.MethodGet, "/api/orders", url.Values{"number": {number}, "limit": {"1"}}, nil, &found) != nil {
		return nil
	}
	return found.Items
}

// showLetter prints the API's answer, which is masked already, field by field.
func showLetter(ctx context.Context, c *console, args []string) error {
	var letter json.RawMessage
	if err := c.ask(ctx, http.MethodGet, letterPath(args[0]), nil, nil, &letter); err != nil {
		return c.noLetter(ctx, args[0], err)
	}
	if orders := c.ordersNumbered(ctx, args[0]); len(orders) > 0 {
		printf(c.notes, "note: this is letter %s; an order has that number too, %s: orderctl where %s\n", args[0], orders[0].OrderKey, args[0])
	}
	if c.raw {
		return nil
	}
	var text bytes.Buffer
	if err := json.Indent(&text, letter, "", "  "); err != nil {
		return fmt.Errorf("read the letter: %w", err)
	}
	fmt.Fprintln(c.out, printableLines(text.String()))
	return nil
}
