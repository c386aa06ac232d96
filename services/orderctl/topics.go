package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"orderflow/pkg/bus"
	"orderflow/pkg/store"
)

type topicsSettings struct {
	Kafka    bus.Settings
	Database string `env:"DATABASE_URL" doc:"PostgreSQL as a libpq URL; apply records there which topics its rows come from"`
}

// topicsWithin bounds a command: brokers that are away are an error, not a long wait.
const topicsWithin = 60 * time.Second

func topicsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "topics",
		Short: "create the topics of schemas/topics.yaml, or compare a cluster with it",
	}
	cmd.AddCommand(
		topicsStep("apply", "create what is missing and set what differs",
			`apply creates the topics of schemas/topics.yaml that the cluster lacks, with the brokers' default replication, and sets the
configs that differ. It deletes nothing and never changes a partition count: the key decides the partition, and the
offset in it is the order's revision.

With DATABASE_URL it also records id and generation of every topic in PostgreSQL (run "orderctl migrate" before). A topic
that was deleted and made again has another id; its offsets begin at 0, so every new push would look older than what is
stored. That is an error here, and workers refuse to start on such a topic. Running apply again does nothing.`, applyTopics),
		topicsStep("check", "compare, and change nothing",
			`check compares the cluster with schemas/topics.yaml, prints each difference and changes nothing. The exit status is 1 when
there is one.`, checkTopics),
	)
	return cmd
}

func topicsStep(use, short, long string, run func(context.Context, *cobra.Command, topicsSettings, *kgo.Client) error) *cobra.Command {
	return &cobra.Command{
		Use: use, Short: short, Long: long + settingsHelp(&topicsSettings{}), Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var cfg topicsSettings
			if err := load(&cfg); err != nil {
				return err
			}
			client, err := bus.NewClient(cfg.Kafka, zap.NewNop(), nil)
			if err != nil {
				return err
			}
			defer client.Close()
			ctx, cancel := context.WithTimeout(cmd.Context(), topicsWithin)
			defer cancel()
			return run(ctx, cmd, cfg, client)
		},
	}
}

func applyTopics(ctx context.Context, cmd *cobra.Command, cfg topicsSettings, client *kgo.Client) error {
	changes, err := bus.Apply(ctx, client)
	for _, change := range changes {
		fmt.Fprintln(cmd.OutOrStdout(), change)
	}
	if err != nil {
		return err
	}
	if cfg.Database == "" {
		fmt.Fprintf(cmd.OutOrStdout(), "topics are as in topics.yaml (%d changes); DATABASE_URL is not set, so nothing is recorded\n", len(changes))
		return nil
	}
	if err := recordTopics(ctx, cfg.Database, client); err != nil {
		return err
	}
	fmt.Fprintf(cmd.OutOrStdout(), "topics are as in topics.yaml (%d changes) and recorded in the database\n", len(changes))
	return nil
}

// allIdentities waits until the brokers tell of every topic: one that was made a moment ago may not be known to all of them
// yet, and a service would wait for ever for one that was not recorded.
func allIdentities(ctx context.Context, client *kgo.Client) (map[string]string, error) {
	for {
		ids, err := bus.Identities(ctx, client)
		if err != nil || len(ids) == len(bus.Topics()) {
			return ids, err
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("list topics: %d of %d are known to the brokers: %w", len(ids), len(bus.Topics()), context.Cause(ctx))
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// recordTopics writes down which topics the rows of the database come from.
func recordTopics(ctx context.Context, database string, client *kgo.Client) error {
	ids, err := allIdentities(ctx, client)
	if err != nil {
		return err
	}
	topics := map[string]store.Topic{}
	for name, id := range ids {
		topics[name] = store.Topic{ID: id, Generation: bus.Generation(name)}
	}
	db, err := store.Open(ctx, database)
	if err != nil {
		return err
	}
	defer db.Close()
	return db.RecordTopics(ctx, topics)
}

func checkTopics(ctx context.Context, cmd *cobra.Command, _ topicsSettings, client *kgo.Client) error {
	differences, err := bus.Check(ctx, client)
	if err != nil {
		return err
	}
	for _, difference := range differences {
		fmt.Fprintln(cmd.OutOrStdout(), difference)
	}
	if len(differences) > 0 {
		fmt.Fprintln(cmd.OutOrStdout(), "next: orderctl topics apply mends everything but partition counts, which need a new version of the topic")
		return errRefused
	}
	fmt.Fprintln(cmd.OutOrStdout(), "topics are as in topics.yaml")
	return nil
}
