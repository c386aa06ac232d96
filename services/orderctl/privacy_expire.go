package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"orderflow/pkg/privacy"
	"orderflow/pkg/store"
)

type expireSettings struct {
	Database store.Settings
	Kept     privacy.RetentionSettings
}

func privacyExpireCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "expire",
		Short: "remove payloads and personal data whose retention has passed",
		Long: `expire does at once what persist does every hour: it removes payloads, personal columns and letters' records that are older
than PAYLOAD_RETENTION, in small batches beside the running services. Amounts, lines, order numbers, states, the timeline
and pseudonyms stay. An order's time counts from its newest push, a letter's from its first failure.

A letter that still wants attention keeps its record for twice the time, since it is what the order would be mended with;
after that it can only be discarded, or mended by a new push. A shorter setting takes effect at the next run; a longer one
brings nothing back.` + settingsHelp(&expireSettings{}),
		Args: cobra.NoArgs,
	}
	who := personFlags(cmd, false)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := who.check(false); err != nil {
			return err
		}
		var cfg expireSettings
		if err := load(&cfg); err != nil {
			return err
		}
		kept, err := privacy.ParseRetention(cfg.Kept.Text)
		if err != nil {
			return err
		}
		db, err := openDatabase(cmd.Context(), cfg.Database.URL)
		if err != nil {
			return err
		}
		defer db.Close()
		out := cmd.OutOrStdout()
		shown := progress{out: out, terminal: terminal(out), began: time.Now()}
		text := func(e store.Expired) string {
			return fmt.Sprintf("%d orders, %d letters, %d requests", e.Orders, e.Letters, e.Requests)
		}
		removed, err := db.Expire(cmd.Context(), kept, who.by, who.reason, func(e store.Expired) { shown.show(0, 0, text(e)) })
		shown.end()
		if removed == (store.Expired{}) { // each batch stands in the audit by itself
			entry := store.AuditEntry{Who: who.by, Action: "expire", Object: "nothing", Reason: who.reason}
			err = errors.Join(err, db.AddAudit(context.WithoutCancel(cmd.Context()), entry))
		}
		fmt.Fprintf(out, "removed the payloads and personal data of %s\n", text(removed))
		if errors.Is(err, store.ErrExpiring) {
			return errors.New("another process, such as persist, removes them just now: nothing is left to do here")
		}
		return err
	}
	return cmd
}
