package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"orderflow/pkg/bus"
	"orderflow/pkg/cause"
	"orderflow/pkg/event"
	"orderflow/pkg/quarantine"
)

type quarantineSettings struct {
	Kafka bus.Settings
}

// quarantineWithin bounds a command: brokers that are away are an error, not a long wait.
const quarantineWithin = 60 * time.Second

func quarantineCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "quarantine", Short: "look at what was refused at the door"}
	ls := &cobra.Command{
		Use: "ls", Short: "list the newest refused requests with their cause", Args: cobra.NoArgs,
		Long: "ls lists requests that ingest refused, the newest first, as far back as the topic keeps them." + settingsHelp(&quarantineSettings{}),
	}
	limit := ls.Flags().Int("limit", 50, "requests at most, of each partition")
	ls.RunE = func(cmd *cobra.Command, _ []string) error {
		found, err := refused(cmd.Context(), quarantine.Newest(*limit))
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

// refused gives the chosen requests, the newest first.
func refused(ctx context.Context, choose quarantine.Choose) ([]event.Message, error) {
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
	var found []event.Message
	if err := quarantine.Read(ctx, client, choose, func(m event.Message) { found = append(found, m) }); err != nil {
		return nil, err
	}
	slices.SortFunc(found, func(a, b event.Message) int { // those of one batch have one time
		return cmp.Or(b.Timestamp.Compare(a.Timestamp), cmp.Compare(b.Partition, a.Partition), cmp.Compare(b.Offset, a.Offset))
	})
	return found, nil
}

func printRefused(out io.Writer, found []event.Message) error {
	t := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	fmt.Fprintln(t, "NUMBER\tREFUSED\tSOURCE\tCAUSE\tBYTES\tFROM")
	for _, m := range found {
		printf(t, "%d/%d\t%s\t%s\t%s\t%s\t%s\n", m.Partition, m.Offset, stamp(m.Timestamp), m.Key, m.Header(quarantine.HeaderCause),
			m.Header(quarantine.HeaderLength), m.Header(quarantine.HeaderRemote))
	}
	return t.Flush()
}

func showRefused(cmd *cobra.Command, number string) error {
	var partition int32
	var offset int64
	if n, err := fmt.Sscanf(number, "%d/%d", &partition, &offset); n != 2 || err != nil {
		return errors.New("not PARTITION/OFFSET: orderctl quarantine ls prints them")
	}
	found, err := refused(cmd.Context(), quarantine.Only(partition, offset))
	if err != nil {
		return err
	}
	if len(found) == 0 {
		return errors.New("there is no such request in the quarantine; its topic keeps them for a time only")
	}
	m, out := found[0], cmd.OutOrStdout()
	printf(out, "refused  %s, of %s, from %s\ncause    %s\n", stamp(m.Timestamp), m.Key, m.Header(quarantine.HeaderRemote), m.Header(quarantine.HeaderCause))
	if text, known := cause.Of(cause.English, m.Header(quarantine.HeaderCause)); known {
		printf(out, "         %s\nmeans    %s\nnext     %s\n", text.Happened, text.Means, text.Next)
	}
	printf(out, "push id  %s\ntype     %s\nlength   %s\ndigest   %s\n\n", m.Header(event.HeaderPushID), quarantine.ContentType(m.Header(event.HeaderContentType)),
		m.Header(quarantine.HeaderLength), m.Header(event.HeaderDigest))
	fmt.Fprintln(out, printableLines(shape(m.Value)))
	return nil
}

// shape shows how bytes are built and nothing of what they say.
func shape(content []byte) string {
	text, more := quarantine.Shape(content)
	if more > 0 {
		text += fmt.Sprintf("\n(and %d bytes more)", more)
	}
	return text
}
