package main

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kgo"

	"orderflow/pkg/published"
	"orderflow/pkg/registry"
)

type exportOptions struct {
	from, to, out string
	incomplete    bool
}

func exportCommand() *cobra.Command {
	var o exportOptions
	cmd := &cobra.Command{
		Use: "export", Short: "write the orders of some hours to a Parquet file", Args: cobra.NoArgs,
		Long: `export writes what was received in whole hours, from --from up to but not including --to, to a Parquet file: one row per
order, the greatest revision that was received in that time; of one that orders.v1 has twice, the first record. Times without
a zone are UTC; a day in China is --from 2026-01-02T00+08:00 --to 2026-01-03T00+08:00. Amounts are DECIMAL(38,8), times TIMESTAMP in UTC, lines a nested list.

Each hour has to be complete, as orders.completeness.v1 tells: an hour with orders still under way would be another file
tomorrow. --incomplete takes what there is. The file appears when it is whole; the same hours give the same bytes, unless a
replay brought back an order of theirs.

A record that validate did not write (no order, another schema, forged headers) is left out, counted and named. The file is
written nonetheless, and the exit status is then 3; it is 1 where there is no file.` + settingsHelp(&ordersSettings{}),
		Example: "  orderctl orders export --from 2026-01-02 --to 2026-01-03 --out orders.parquet\n  duckdb -c \"select source, sum(total) from 'orders.parquet' group by all\"",
	}
	cmd.Flags().StringVar(&o.from, "from", "", "first hour, such as 2026-01-02 or 2026-01-02T15")
	cmd.Flags().StringVar(&o.to, "to", "", "end, not included")
	cmd.Flags().StringVar(&o.out, "out", "", "the file to write, such as orders.parquet; one of that name is replaced")
	cmd.Flags().BoolVar(&o.incomplete, "incomplete", false, "take hours that are not complete, as they are now")
	for _, flag := range []string{"from", "to", "out"} {
		_ = cmd.MarkFlagRequired(flag) // fails for a flag that is not there
	}
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return export(cmd, o) }
	return cmd
}

func export(cmd *cobra.Command, o exportOptions) error {
	w, err := parseWindow(o.from, o.to)
	if err != nil {
		return err
	}
	if err := checkTarget(o.out); err != nil {
		return fmt.Errorf("--out: %w", err)
	}
	var cfg ordersSettings
	if err := load(&cfg); err != nil {
		return err
	}
	ctx := cmd.Context()
	client, decoder, err := openOrders(ctx, cfg, kgo.KeepControlRecords(), kgo.ConsumeResetOffset(kgo.NoResetOffset()))
	if err != nil {
		return err
	}
	defer client.Close()
	e := &exporter{
		client: client, decoder: decoder, window: w, newest: newNewest(),
		bar: progress{out: cmd.ErrOrStderr(), terminal: terminal(cmd.ErrOrStderr()), began: time.Now()},
	}
	if !o.incomplete {
		if e.promised, err = completeHours(ctx, client, cfg, w, &e.foreign); err != nil {
			return err
		}
	}
	size, err := writeWhole(o.out, func(out io.Writer) error { return e.write(ctx, out) })
	e.bar.end()
	if err != nil {
		return err
	}
	e.tell(cmd.ErrOrStderr())
	fmt.Fprintf(cmd.OutOrStdout(), "%d orders received from %s to %s: %s, %d bytes\n",
		e.file.rows, w.from.Format(time.RFC3339), w.to.Format(time.RFC3339), o.out, size)
	if e.foreign.count > 0 {
		return errForeign
	}
	return nil
}

func parseWindow(from, to string) (w window, err error) {
	if w.from, err = parseTime(from); err != nil {
		return w, fmt.Errorf("--from: %w", err)
	}
	if w.to, err = parseTime(to); err != nil {
		return w, fmt.Errorf("--to: %w", err)
	}
	if w.from != w.from.Truncate(time.Hour) || w.to != w.to.Truncate(time.Hour) {
		return w, errors.New("--from and --to: whole hours, since completeness is told by the hour")
	}
	if !w.from.Before(w.to) {
		return w, errors.New("--to: has to be after --from, and is not included")
	}
	return w, nil
}

// clockLead is how far the clock of validate, which stamps the records, may be behind the broker's, which says when an
// order was received.
const clockLead = time.Hour

// exporter goes through the topic partition by partition, each twice: to find the newest revisions, then to write them.
type exporter struct {
	client   *kgo.Client
	decoder  *published.Decoder
	window   window
	spans    []span
	newest   *newest
	promised map[hourOf]int64 // revisions that each hour must have, each once; nil: whatever there is
	file     *parquetFile
	foreign  foreign
	bar      progress
	done     int64
	total    int64
}

func (e *exporter) write(ctx context.Context, out io.Writer) (err error) {
	if e.spans, err = spansSince(ctx, e.client, published.Topic, e.window.from.Add(-clockLead)); err != nil {
		return err
	}
	for _, s := range e.spans {
		e.total += 2 * (s.end - s.from)
	}
	e.file = newParquetFile(out, e.window)
	for _, s := range e.spans {
		e.newest.nextPartition()
		for _, each := range []func(context.Context, *kgo.Record) error{e.note, e.keep} {
			err := readSpan(ctx, e.client, published.Topic, s, e.passed, func(r *kgo.Record) error { return each(ctx, r) })
			if err != nil {
				return err
			}
		}
	}
	if err := e.allThere(); err != nil {
		return err
	}
	return e.file.close()
}

func (e *exporter) passed(offsets int64) {
	e.done += offsets
	e.bar.show(int(e.done), int(e.total), fmt.Sprintf("%d of %d records passed, %d orders", e.done/2, e.total/2, e.file.rows))
}

// note remembers which revision of an order is its newest. What was received outside the window does not count. Whether a
// record is ours is decided here: a forged revision that looks newer must not stand before a true one.
func (e *exporter) note(ctx context.Context, r *kgo.Record) error {
	meta, err := metaOf(r)
	if err == nil && !e.window.contains(meta.ReceivedAt) {
		return nil
	}
	if err == nil {
		_, err = decodeOurs(ctx, e.decoder, r, meta)
	}
	switch {
	case errors.Is(err, registry.ErrUnreadable):
		e.foreign.add(r, err)
		return nil
	case err != nil:
		return err
	}
	e.newest.note(meta, r.Offset)
	return nil
}

// keep writes a record if it is its order's newest.
func (e *exporter) keep(ctx context.Context, r *kgo.Record) error {
	meta, err := metaOf(r)
	if err != nil || !e.window.contains(meta.ReceivedAt) || !e.newest.chosen(meta, r.Offset) {
		return nil //nolint:nilerr // note has counted it
	}
	decoded, err := decodeOurs(ctx, e.decoder, r, meta)
	if err != nil {
		return fmt.Errorf("read %s/%d/%d again: %w", r.Topic, r.Partition, r.Offset, err)
	}
	return e.file.add(&decoded, len(r.Value))
}

// allThere holds what was read against what was counted when the hours were closed.
func (e *exporter) allThere() error {
	for _, hour := range slices.SortedFunc(maps.Keys(e.promised), hourOf.compare) {
		found, promised := e.newest.counts[hour], e.promised[hour]
		if found == promised {
			continue
		}
		meaning, next := "the topic's retention has begun to remove this hour", "take a later --from, or --incomplete for what is left"
		switch {
		case found > promised:
			meaning = "a replay has just brought more, or somebody else writes records that look like ours"
			next = "start again when orderctl balance tells of as many; --incomplete takes what there is"
		case e.foreign.count > 0:
			meaning = "some of these may be they, or else retention has begun to remove the hour:\n" + e.foreign.list()
			next = nextForeign
		}
		return fmt.Errorf("%s %s: the topic has %d records of this hour that can be read, %d were counted when it was complete\n  meaning: %s\n  next:    %s",
			hour.source, hour.hour.Format(hourLayout), found, promised, meaning, next)
	}
	return nil
}

// tell says what is not in the file, and why.
func (e *exporter) tell(out io.Writer) {
	for _, s := range e.spans {
		if s.cut {
			fmt.Fprintf(out, "%s/%d no longer keeps all records of that time: what its retention removed is missing\n", published.Topic, s.partition)
		}
		if s.open > 0 && e.promised == nil {
			fmt.Fprintf(out, "%s/%d: the %d offsets from %d on are not committed yet, or stand behind what is not, and are not in the file\n", published.Topic, s.partition, s.open, s.end)
		}
	}
	e.foreign.tell(out, "none of them is in the file; what stands in it is not touched by them. The exit status is 3")
}

// checkTarget refuses what a finished file must not take the place of: the file is moved there.
func checkTarget(path string) error {
	if filepath.Base(path) == "." || strings.HasSuffix(path, string(filepath.Separator)) {
		return errors.New("name a file")
	}
	info, err := os.Lstat(path)
	if err == nil && !info.Mode().IsRegular() {
		return fmt.Errorf("%s is a folder, a link or a device: name a file", path)
	}
	return nil
}

// writeWhole writes a file beside its place and moves it there when it is whole; until then there is none, or the old one.
func writeWhole(path string, write func(io.Writer) error) (size int64, err error) {
	part, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*.part")
	if err != nil {
		return 0, fmt.Errorf("write %s: %w", path, err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, part.Close(), os.Remove(part.Name()))
		}
	}()
	buffered := bufio.NewWriterSize(part, 1<<20)
	if err := write(buffered); err != nil {
		return 0, err
	}
	if err := cmp.Or(buffered.Flush(), part.Sync()); err != nil {
		return 0, fmt.Errorf("write %s: %w", path, err)
	}
	info, err := part.Stat()
	if err == nil {
		err = os.Rename(part.Name(), path)
	}
	if err != nil {
		return 0, fmt.Errorf("write %s: %w", path, err)
	}
	return info.Size(), part.Close()
}
