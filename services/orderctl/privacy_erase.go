package main

import (
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"orderflow/pkg/bus"
	"orderflow/pkg/order"
	"orderflow/pkg/store"
)

type eraseSettings struct {
	Database store.Settings
}

func privacyEraseCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "erase ORDER --by NAME --reason TEXT",
		Short: "remove an order's personal data by a person's request (PIPL Art. 47)",
		Long: `erase removes for good what PostgreSQL holds of an order that points at a person: the payload, the personal columns, the
pseudonyms, the records and headers of its letters, what the ledger kept of a call in doubt, and digests without a key. Amounts, lines, order
numbers, states and the timeline stay. Letters that want attention are discarded in the same name: without their record
there is nothing left to send. ORDER is the key, or a number that only one order has. There is no way back.

Nothing of what was received until now comes back, by a redelivery, a replay or a table that is filled again. A new push of
the order by its sender is new data and is kept: ask the sender to stop first. Erasing again does no harm, and also removes
what came since.

Kafka's topics cannot be erased; erase tells when the last copy that is known of expires. Not erased either: what partners
and senders hold, backups, requests in quarantine.v1 and letters whose headers name no order (they expire by themselves).` + settingsHelp(&eraseSettings{}),
		Args: cobra.ExactArgs(1),
	}
	who := personFlags(cmd, true)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := who.check(true); err != nil {
			return err
		}
		var cfg eraseSettings
		if err := load(&cfg); err != nil {
			return err
		}
		ctx := cmd.Context()
		db, err := openDatabase(ctx, cfg.Database.URL)
		if err != nil {
			return err
		}
		defer db.Close()
		key, err := findOrder(ctx, db, args[0])
		if err != nil {
			return err
		}
		erased, err := db.Erase(ctx, key, who.by, who.reason)
		if err != nil {
			return err
		}
		return printErasure(cmd.OutOrStdout(), key, erased, time.Now())
	}
	return cmd
}

func printErasure(out io.Writer, key order.Key, e store.Erasure, now time.Time) error {
	if e.Order || e.Letters+e.Discarded+e.Requests > 0 {
		printf(out, "order %s: personal data and payload are erased, with the records of %d letters and %d requests in doubt; amounts stay\n", key, e.Letters, e.Requests)
	} else {
		printf(out, "order %s: PostgreSQL held nothing personal of it any more\n", key)
	}
	if e.Discarded > 0 {
		printf(out, "%d letters that wanted attention are discarded in the same name\n", e.Discarded)
	}
	if e.UnderWay > 0 {
		printf(out, "%d pushes of it are still under way: they are stored without personal data, but may still go to the partner,\nand into further topics; erase again once `orderctl where` shows no change, for the last date\n", e.UnderWay)
	}
	t := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	fmt.Fprintln(t, "KAFKA TOPIC\tLAST WRITTEN\tGONE BY\tHOLDS")
	var last time.Time
	for _, c := range e.Copies {
		topic, known := topicNamed(c.Topic)
		gone, ends := topic.Gone(c.Written)
		switch {
		case !known:
			continue
		case !ends:
			printf(t, "%s\t%s\tnever\t%s\n", c.Topic, stamp(c.Written), holds(c.Topic))
			continue
		case gone.Before(now):
			printf(t, "%s\t%s\tgone\t%s\n", c.Topic, stamp(c.Written), holds(c.Topic))
			continue
		}
		printf(t, "%s\t%s\t%s\t%s\n", c.Topic, stamp(c.Written), stamp(gone), holds(c.Topic))
		if gone.After(last) {
			last = gone
		}
	}
	if err := t.Flush(); err != nil {
		return err
	}
	if last.IsZero() {
		fmt.Fprintln(out, "no copy in Kafka that is known of is left")
		return nil
	}
	printf(out, "the last copy in Kafka expires by %s\n", stamp(last))
	return nil
}

// holds says what of a person a topic has.
func holds(topic string) string {
	if topic == store.AnalystsTopic {
		return "pseudonyms only"
	}
	return "payload"
}

func topicNamed(name string) (bus.Topic, bool) {
	for _, t := range bus.Topics() {
		if t.Name == name {
			return t, true
		}
	}
	return bus.Topic{}, false
}
