package main

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kgo"

	"orderflow/pkg/published"
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
order, the greatest revision that was received in that time. Times without a zone are UTC; a day in China is
--from 2026-01-02T00+08:00 --to 2026-01-03T00+08:00. Amounts are DECIMAL(38,8), times TIMESTAMP in UTC, lines a nested list.

Each hour has to be complete, as orders.completeness.v1 tells: an hour with orders still under way would be another file
tomorrow. --incomplete takes what there is. The file appears when it is whole; the same hours give the same bytes, unless a
replay brought back an order of theirs.` + settingsHelp(&ordersSettings{}),
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
		client: client, decoder: decoder, window: w, newest: newNewest(w),
		bar: progress{out: cmd.ErrOrStderr(), terminal: terminal(cmd.ErrOrStderr()), began: time.Now()},
	}
	if !o.incomplete {
		if e.promised, err = completeHours(ctx, client, cfg, w); err != nil {
			return err
		}
	}
	size, err := writeWhole(o.out, func(out io.Writer) error { return e.write(ctx, out) })
	e.bar.end()
	if err != nil {
		return err
	}
	if e.cut {
		fmt.Fprintln(cmd.ErrOrStderr(), "the topic no longer keeps all records of that time: what its retention removed is missing")
	}
	fmt.Fprintf(cmd.OutOrStdout(), "%d orders received from %s to %s: %s, %d bytes\n",
		e.file.rows, w.from.Format(time.RFC3339), w.to.Format(time.RFC3339), o.out, size)
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
	newest   *newest
	promised map[hourOf]int64 // records that each hour must have; nil: whatever there is
	file     *parquetFile
	bar      progress
	done     int64
	total    int64
	cut      bool
}

func (e *exporter) write(ctx context.Context, out io.Writer) error {
	spans, err := spansSince(ctx, e.client, published.Topic, e.window.from.Add(-clockLead))
	if err != nil {
		return err
	}
	for _, s := range spans {
		e.total += 2 * (s.end - s.from)
		e.cut = e.cut || s.cut
	}
	e.file = newParquetFile(out, e.window)
	for _, s := range spans {
		e.newest.nextPartition()
		if err := readSpan(ctx, e.client, published.Topic, s, e.passed, e.newest.note); err != nil {
			return err
		}
		err := readSpan(ctx, e.client, published.Topic, s, e.passed, func(r *kgo.Record) error { return e.keep(ctx, r) })
		if err != nil {
			return err
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

// keep writes a record if it is its order's newest.
func (e *exporter) keep(ctx context.Context, r *kgo.Record) error {
	meta, chosen, err := e.newest.chosen(r)
	if err != nil || !chosen {
		return err
	}
	decoded, err := decode(ctx, e.decoder, r)
	if err != nil {
		return err
	}
	if decoded.OrderKey != meta.OrderKey || decoded.Revision != meta.Revision {
		return fmt.Errorf("%s/%d/%d: its value is not of the order and revision that its headers tell\n  next: tell an SRE the place", r.Topic, r.Partition, r.Offset)
	}
	return e.file.add(&decoded, len(r.Value))
}

// allThere holds what was read against what was counted when the hours were closed: the topic's retention may have begun to
// remove them.
func (e *exporter) allThere() error {
	for hour, promised := range e.promised {
		if found := e.newest.counts[hour]; found < promised {
			return fmt.Errorf("%s %s: the topic has %d records, %d were published\n  meaning: its retention has begun to remove this hour\n  next:    take a later --from, or --incomplete for what is left",
				hour.source, hour.hour.Format(hourLayout), found, promised)
		}
	}
	return nil
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
