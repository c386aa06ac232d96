package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kgo"

	"orderflow/pkg/bus"
	"orderflow/pkg/event"
	"orderflow/pkg/fact"
	"orderflow/pkg/order"
	"orderflow/pkg/privacy"
	"orderflow/pkg/store"
)

type restoreSettings struct {
	Kafka    bus.Settings
	Database store.Settings
	Privacy  privacy.Settings
}

// balanceRestoreCommand makes again what PostgreSQL lacks of an order, or has otherwise than it was.
func balanceRestoreCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "restore KEY --by NAME --reason TEXT",
		Short: "make an order's rows again from Kafka's records",
		Long: `restore reads all that Kafka still has of one order (it keeps records for 14 days): what was received, what passed validation, how
each delivery ended. From that it makes the order's row and lines again, and the rows of received that are lost, in one
transaction, beside the running services. KEY is the order's key as "orderctl balance" shows it. It connects to Kafka and
PostgreSQL itself, and stands in the audit. Nothing is sent to a partner or published.

Nothing is changed when Kafka no longer has the newest revision that PostgreSQL knows: an older order would take its place.
A person's erasure stays in force. Letters are left as they are. The next count, within a minute, shows whether it balances.` + settingsHelp(&restoreSettings{}),
		Example: `  orderctl balance restore mall:HQS0001:R100 --by vera --reason "OPS-312: row deleted by hand"`,
		Args:    cobra.ExactArgs(1),
	}
	who := personFlags(cmd, true)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := who.check(true); err != nil {
			return err
		}
		key := order.Key(args[0])
		if !slices.Contains(order.Sources, key.Source()) {
			return errors.New("KEY: give the order's key as orderctl balance shows it, such as icbu:1234, procurement:1234 or mall:HQS0001:1234")
		}
		var cfg restoreSettings
		if err := load(&cfg); err != nil {
			return err
		}
		return restore(cmd, cfg, key, who)
	}
	return cmd
}

func restore(cmd *cobra.Command, cfg restoreSettings, key order.Key, who *person) error {
	ctx := cmd.Context()
	keys, err := privacy.New(cfg.Privacy)
	if err != nil {
		return err
	}
	db, err := openDatabase(ctx, cfg.Database.URL)
	if err != nil {
		return err
	}
	defer db.Close()
	facts, err := factsOf(ctx, cfg.Kafka, key)
	if err != nil {
		return err
	}
	if len(facts) == 0 {
		return errors.New("no record of this order is left in Kafka: nothing was changed\n" +
			"  next: see that KEY is whole; a row that no record brought is to be removed by whoever wrote it; an approver accepts what is left: orderctl balance accept PLACE")
	}
	revision, err := store.NewWriter(db, keys).Restore(ctx, key, facts, who.by, who.reason)
	if errors.Is(err, store.ErrTooLittle) {
		return fmt.Errorf("%w: nothing was changed\n  meaning: Kafka no longer has the newest revision of this order, or persist has not come to it yet\n"+
			"  next:    let its sender push the order again, and an approver accept what is left: orderctl balance accept PLACE", err)
	}
	if err != nil {
		return err
	}
	printf(cmd.OutOrStdout(), "order %s is made again from %d records, at revision %d\n  next: orderctl balance, in a minute, shows whether it balances\n",
		printable(string(key)), len(facts), revision)
	return nil
}

// factsOf gives all that Kafka has of an order.
func factsOf(ctx context.Context, cfg bus.Settings, key order.Key) ([]store.Fact, error) {
	client, err := openCommitted(ctx, cfg, kgo.KeepControlRecords())
	if err != nil {
		return nil, err
	}
	defer client.Close()
	received := event.Received(key.Source())
	var facts []store.Fact
	for _, topic := range []string{received, event.Validated(key.Source()), event.Deliveries} {
		err := eachOf(ctx, client, topic, key, func(m event.Message) error {
			if topic == received {
				meta := m.ReceivedMeta(bus.Generation(topic))
				meta.Digest = "" // of the push, not of its document
				facts = append(facts, store.Fact{Meta: meta, Service: "ingest"})
				return nil
			}
			if f, err := fact.Read(m); err == nil && f.Meta.OrderKey == key { // persist has made a letter of what it could not read
				facts = append(facts, f)
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return facts, nil
}

// eachOf gives every record of a topic that has the key, in order. One key lies in one partition, by the hash that every
// producer of the house uses.
func eachOf(ctx context.Context, client *kgo.Client, topic string, key order.Key, each func(event.Message) error) error {
	spans, err := spansSince(ctx, client, topic, time.UnixMilli(0))
	if err != nil {
		return err
	}
	partition := kgo.StickyKeyPartitioner(nil).ForTopic(topic).Partition(&kgo.Record{Key: []byte(key)}, len(spans))
	for _, s := range spans {
		if int(s.partition) != partition {
			continue
		}
		err := readSpan(ctx, client, topic, s, func(int64) {}, func(r *kgo.Record) error {
			if string(r.Key) != string(key) {
				return nil
			}
			return each(bus.FromRecord(r))
		})
		if err != nil {
			return err
		}
	}
	return nil
}
