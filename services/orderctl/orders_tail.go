package main

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kgo"

	"orderflow/pkg/order"
	"orderflow/pkg/published"
	"orderflow/pkg/registry"
)

// tailOptions choose what is shown, and how.
type tailOptions struct {
	source, shop, since, format string
}

func tailCommand() *cobra.Command {
	var o tailOptions
	cmd := &cobra.Command{
		Use: "tail", Short: "show orders as they are published, until Ctrl-C", Args: cobra.NoArgs,
		Long: `tail shows the records of orders.v1 as they come, from now on, or from a time on with --since. A record is shown once its
transaction is committed. A corrected order comes again with a greater revision.

A table shows the main columns; csv and json show every field, csv the number of lines instead of the lines. Amounts are exact
texts. In csv, a text that a spreadsheet would take for a formula has an apostrophe before it.` + settingsHelp(&ordersSettings{}),
		Example: "  orderctl orders tail --source mall --shop HQS0001\n  orderctl orders tail --since 2h --format json | jq .total",
	}
	cmd.Flags().StringVar(&o.source, "source", "", "only this source: icbu, procurement or mall")
	cmd.Flags().StringVar(&o.shop, "shop", "", "only this shop")
	cmd.Flags().StringVar(&o.since, "since", "", "start with what was published then: a duration such as 2h, or a time such as 2026-01-02T15:04Z")
	cmd.Flags().StringVar(&o.format, "format", "table", "table, json (a line each) or csv")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return tail(cmd, o) }
	return cmd
}

func tail(cmd *cobra.Command, o tailOptions) error {
	if o.source != "" && !slices.Contains(order.Sources, order.Source(o.source)) {
		return errors.New("--source: not one of icbu, procurement, mall")
	}
	show, err := newPrinter(o.format, cmd.OutOrStdout())
	if err != nil {
		return err
	}
	start := kgo.NewOffset().AtEnd()
	if o.since != "" {
		since, err := parseSince(o.since, time.Now())
		if err != nil {
			return err
		}
		start = kgo.NewOffset().AfterMilli(since.UnixMilli())
	}
	var cfg ordersSettings
	if err := load(&cfg); err != nil {
		return err
	}
	client, decoder, err := openOrders(cmd.Context(), cfg, kgo.ConsumeTopics(published.Topic), kgo.ConsumeResetOffset(start))
	if err != nil {
		return err
	}
	defer client.Close()
	if o.since == "" {
		fmt.Fprintln(cmd.ErrOrStderr(), "showing what is published from now on (--since 1h shows the last hour too); Ctrl-C ends")
	}
	var strange foreign
	err = eachOrder(cmd, client, decoder, &strange, func(r *published.Record) error {
		if o.source != "" && string(r.Source) != o.source || o.shop != "" && r.Shop != o.shop {
			return nil
		}
		return show(r)
	})
	strange.tell(cmd.ErrOrStderr(), "none of them was shown")
	if cmd.Context().Err() != nil {
		return nil // as asked
	}
	return err
}

// eachOrder gives every record as it comes, until the command's context ends. A record that validate did not write is left
// out and counted; the first are named as they come.
func eachOrder(cmd *cobra.Command, client *kgo.Client, decoder *published.Decoder, strange *foreign, each func(*published.Record) error) error {
	ctx := cmd.Context()
	for {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return fmt.Errorf("read %s: %w", published.Topic, err)
		}
		for records := fetches.RecordIter(); !records.Done(); {
			r := records.Next()
			meta, err := metaOf(r)
			var decoded published.Record
			if err == nil {
				decoded, err = decodeOurs(ctx, decoder, r, meta)
			}
			if errors.Is(err, registry.ErrUnreadable) {
				if name, named := strange.add(r, err); named {
					printf(cmd.ErrOrStderr(), "not shown: %s\n", name)
				}
				continue
			}
			if err == nil {
				err = each(&decoded)
			}
			if err != nil {
				return err
			}
		}
	}
}

// parseSince reads a duration before now, or a time.
func parseSince(text string, now time.Time) (time.Time, error) {
	if d, err := time.ParseDuration(text); err == nil && d >= 0 {
		return now.Add(-d), nil
	}
	if at, err := parseTime(text); err == nil {
		return at, nil
	}
	return time.Time{}, errors.New("--since: neither a duration such as 90m nor a time such as 2026-01-02T15:04Z")
}

// timeLayouts are how people write times; without a zone they mean UTC.
var timeLayouts = []string{time.RFC3339, "2006-01-02T15:04Z07:00", "2006-01-02T15Z07:00", "2006-01-02T15:04:05", "2006-01-02T15:04", "2006-01-02T15", "2006-01-02"}

func parseTime(text string) (time.Time, error) {
	for _, layout := range timeLayouts {
		if at, err := time.Parse(layout, text); err == nil {
			return at.UTC(), nil
		}
	}
	return time.Time{}, errors.New("not a time such as 2026-01-02, 2026-01-02T15 or 2026-01-02T15:04+08:00 (without a zone it is UTC)")
}
