package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"orderflow/pkg/bus"
	"orderflow/pkg/cause"
	"orderflow/pkg/event"
)

type quarantineSettings struct {
	Kafka bus.Settings
}

// quarantineWithin bounds a command: brokers that are away are an error, not a long wait.
const quarantineWithin = 60 * time.Second

// maxShown is how many bytes of a refused request are shown, masked.
const maxShown = 4096

func quarantineCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "quarantine", Short: "look at what was refused at the door"}
	ls := &cobra.Command{
		Use: "ls", Short: "list the newest refused requests with their cause", Args: cobra.NoArgs,
		Long: "ls lists requests that ingest refused, the newest first, as far back as the topic keeps them." + settingsHelp(&quarantineSettings{}),
	}
	limit := ls.Flags().Int("limit", 50, "requests at most, of each partition")
	ls.RunE = func(cmd *cobra.Command, _ []string) error {
		found, err := refused(cmd.Context(), func(_ int32, start, end int64) (int64, int64) {
			return max(start, end-int64(max(*limit, 1))), end
		})
		if err != nil {
			return err
		}
		return printRefused(cmd.OutOrStdout(), found)
	}
	show := &cobra.Command{
		Use: "show PARTITION/OFFSET", Short: "show one refused request, its bytes masked", Args: cobra.ExactArgs(1),
		Long: "show prints why a request was refused, what that means, and the shape of its bytes: every letter is x and every digit 0,\n" +
			"since it may hold anybody's data." + settingsHelp(&quarantineSettings{}),
	}
	show.RunE = func(cmd *cobra.Command, args []string) error { return showRefused(cmd, args[0]) }
	cmd.AddCommand(ls, show)
	return cmd
}

// refused reads records of the quarantine, the newest first: of each partition those that choose asks for, given what there
// is, from one offset to before another.
func refused(ctx context.Context, choose func(partition int32, start, end int64) (from, to int64)) ([]event.Message, error) {
	var cfg quarantineSettings
	if err := load(&cfg); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, quarantineWithin)
	defer cancel()
	client, err := bus.NewClient(cfg.Kafka, zap.NewNop(), nil, kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		return nil, err
	}
	defer client.Close()
	admin := kadm.NewClient(client)
	first, errFirst := admin.ListStartOffsets(ctx, event.Quarantine)
	end, errEnd := admin.ListEndOffsets(ctx, event.Quarantine)
	if err := cmp.Or(errFirst, errEnd, first.Error(), end.Error()); err != nil {
		return nil, fmt.Errorf("read the quarantine: %w", err)
	}
	from, left := map[int32]kgo.Offset{}, map[int32]int64{}
	end.Each(func(o kadm.ListedOffset) {
		start, _ := first.Lookup(o.Topic, o.Partition)
		if first, to := choose(o.Partition, start.Offset, o.Offset); first < to {
			from[o.Partition], left[o.Partition] = kgo.NewOffset().At(first), to
		}
	})
	client.AddConsumePartitions(map[string]map[int32]kgo.Offset{event.Quarantine: from})
	var found []event.Message
	for len(left) > 0 {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return nil, fmt.Errorf("read the quarantine: %w", err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			to, wanted := left[r.Partition]
			if wanted && r.Offset < to {
				found = append(found, bus.FromRecord(r))
			}
			if wanted && r.Offset >= to-1 {
				delete(left, r.Partition)
			}
		})
	}
	slices.SortStableFunc(found, func(a, b event.Message) int { return b.Timestamp.Compare(a.Timestamp) })
	return found, nil
}

func printRefused(out io.Writer, found []event.Message) error {
	t := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	fmt.Fprintln(t, "NUMBER\tREFUSED\tSOURCE\tCAUSE\tBYTES\tFROM")
	for _, m := range found {
		fmt.Fprintf(t, "%d/%d\t%s\t%s\t%s\t%s\t%s\n", m.Partition, m.Offset, stamp(m.Timestamp), m.Key, m.Header("quarantine-cause"),
			m.Header("quarantine-length"), m.Header("quarantine-remote"))
	}
	return t.Flush()
}

func showRefused(cmd *cobra.Command, number string) error {
	var partition int32
	var offset int64
	if n, err := fmt.Sscanf(number, "%d/%d", &partition, &offset); n != 2 || err != nil {
		return errors.New("not PARTITION/OFFSET: orderctl quarantine ls prints them")
	}
	found, err := refused(cmd.Context(), func(p int32, start, end int64) (int64, int64) {
		if p != partition || offset < start || offset >= end {
			return 0, 0
		}
		return offset, offset + 1
	})
	if err != nil {
		return err
	}
	if len(found) == 0 {
		return errors.New("there is no such request in the quarantine; its topic keeps them for a time only")
	}
	m, out := found[0], cmd.OutOrStdout()
	fmt.Fprintf(out, "refused  %s, of %s, from %s\ncause    %s\n", stamp(m.Timestamp), m.Key, m.Header("quarantine-remote"), m.Header("quarantine-cause"))
	if text, known := cause.Of(cause.English, m.Header("quarantine-cause")); known {
		fmt.Fprintf(out, "         %s\nmeans    %s\nnext     %s\n", text.Happened, text.Means, text.Next)
	}
	fmt.Fprintf(out, "push id  %s\ntype     %s\nlength   %s\ndigest   %s\n\n%s\n", m.Header(event.HeaderPushID), m.Header(event.HeaderContentType),
		m.Header("quarantine-length"), m.Header(event.HeaderDigest), shape(m.Value))
	return nil
}

// shape shows how bytes are built and nothing of what they say.
func shape(content []byte) string {
	shown := content[:min(len(content), maxShown)]
	text := strings.Map(func(r rune) rune {
		switch {
		case unicode.IsDigit(r):
			return '0'
		case r == '\n' || r == ' ' || r < unicode.MaxASCII && unicode.IsPunct(r) || r < unicode.MaxASCII && unicode.IsSymbol(r):
			return r
		default:
			return 'x'
		}
	}, string(shown))
	if len(shown) < len(content) {
		text += fmt.Sprintf("\n(and %d bytes more)", len(content)-len(shown))
	}
	return text
}
