package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"orderflow/pkg/privacy"
	"orderflow/pkg/store"
)

func privacyRotateCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "rotate",
		Short: "seal everything that is encrypted under the first PAYLOAD_KEYS key",
		Long: `rotate seals every encrypted column of PostgreSQL anew under the first key of PAYLOAD_KEYS, and makes the pseudonyms anew
under the first key of PSEUDONYM_KEYS where the clear value is still there. It works in batches beside the running
services; what they write meanwhile is never overwritten. Ctrl-C or a crash costs nothing: run it again, and it goes on
where it stopped. Then it opens every encrypted value and makes every pseudonym anew to see whether they are those of these
keys, since an id alone does not tell: two services may have different keys under one id. At the end it tells what stands
under which key, and which key may leave the setting. --check does the same without sealing anything.

Run it once after an upgrade from a release that kept digests of contents without a key: it puts them under the content key.

A key is rotated in four steps:
  1. put the new key second in PAYLOAD_KEYS of every service, and restart them: now all can read it
  2. put it first, and restart them: now all write with it
  3. orderctl privacy rotate
  4. when it says so, remove the old key from the setting

Pseudonyms: orders.v1 and what analysts copied from it keep the key id that they were published with, since records in
Kafka do not change: across a rotation one buyer has two pseudonyms there. Orders whose personal data is gone keep the
pseudonym that they have. Backups of the database need the keys of their time.` + settingsHelp(&privacySettings{}),
		Args: cobra.NoArgs,
	}
	who := personFlags(cmd, false)
	check := cmd.Flags().Bool("check", false, "only open everything, and tell what stands under which key")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := who.check(false); err != nil {
			return err
		}
		db, keys, err := openPrivacy(cmd.Context())
		if err != nil {
			return err
		}
		defer db.Close()
		if *check {
			return checkKeys(cmd.Context(), cmd.OutOrStdout(), db, keys, who)
		}
		return rotate(cmd.Context(), cmd.OutOrStdout(), db, keys, who)
	}
	return cmd
}

func rotate(ctx context.Context, out io.Writer, db *store.Store, keys *privacy.Keys, who *person) error {
	rotation := store.Rotation{Store: db, Keys: keys}
	object := "keys " + keys.PayloadKeyID() + ", pseudonyms " + keys.PseudonymKeyID()
	if err := db.AddAudit(ctx, store.AuditEntry{Who: who.by, Action: "rotate", Object: object, Reason: who.reason}); err != nil {
		return err
	}
	all, err := rotation.Pending(ctx)
	if err != nil {
		return err
	}
	shown := progress{out: out, terminal: terminal(out), began: time.Now()}
	shown.show(0, all, fmt.Sprintf("0 of %d rows", all))
	rotation.Progress = func(done int) { shown.show(done, all, fmt.Sprintf("%d of %d rows", done, max(done, all))) }
	done, err := rotation.Run(ctx)
	shown.end()
	result := fmt.Sprintf("%d rows sealed anew", done.Rows)
	audit := store.AuditEntry{Who: who.by, Action: "rotated", Object: object, Reason: result}
	if errAudit := db.AddAudit(context.WithoutCancel(ctx), audit); errAudit != nil {
		err = errors.Join(err, errAudit)
	}
	printf(out, "%s in %s\n", result, time.Since(shown.began).Round(time.Millisecond))
	if err != nil {
		return fmt.Errorf("cut off; what was done stays done, run it again for the rest: %w", err)
	}
	if done.Contested > 0 {
		printf(out, "%d rows were being written at every attempt: run it again\n", done.Contested)
	}
	sound, err := verifyKeys(ctx, out, db, keys)
	if err == nil {
		err = printKeys(ctx, out, db, keys)
	}
	if err == nil && (done.Contested+done.Unreadable > 0 || !sound) {
		err = errRefused
	}
	return err
}

// checkKeys is a rotation that seals nothing.
func checkKeys(ctx context.Context, out io.Writer, db *store.Store, keys *privacy.Keys, who *person) error {
	object := "keys " + keys.PayloadKeyID() + ", pseudonyms " + keys.PseudonymKeyID()
	if err := db.AddAudit(ctx, store.AuditEntry{Who: who.by, Action: "check keys", Object: object, Reason: who.reason}); err != nil {
		return err
	}
	sound, err := verifyKeys(ctx, out, db, keys)
	if err == nil {
		err = printKeys(ctx, out, db, keys)
	}
	if err == nil && !sound {
		err = errRefused
	}
	return err
}

// verifyKeys opens everything that is encrypted, and tells whether all of it is under these keys.
func verifyKeys(ctx context.Context, out io.Writer, db *store.Store, keys *privacy.Keys) (sound bool, err error) {
	check := store.Rotation{Store: db, Keys: keys}
	all, err := check.Sealed(ctx)
	if err != nil {
		return false, err
	}
	shown := progress{out: out, terminal: terminal(out), began: time.Now()}
	check.Progress = func(done int) { shown.show(done, all, fmt.Sprintf("%d of %d rows opened", done, max(done, all))) }
	v, err := check.Verify(ctx)
	shown.end()
	if err != nil {
		return false, fmt.Errorf("cut off after %d rows were opened: %w", v.Rows, err)
	}
	sound = v.Unreadable+v.Strange == 0
	if sound {
		printf(out, "%d encrypted rows looked at: all of them open\n", v.Rows)
		return true, nil
	}
	if v.Unreadable > 0 {
		printf(out, "%d of %d rows cannot be opened: their key is not in PAYLOAD_KEYS, another key stands under its id, or they are damaged\n", v.Unreadable, v.Rows)
	}
	if v.Strange > 0 {
		printf(out, "%d orders have pseudonyms that the keys of these ids do not make: another key stood under an id of PSEUDONYM_KEYS when they were written\n", v.Strange)
	}
	fmt.Fprintf(out, "  %s\nCompare the keys of all services and mend that first: until then remove no key.\n", printableLines(strings.Join(v.Examples, "\n  ")))
	return false, nil
}

// printKeys tells what stands under which key, and which key may leave the settings.
func printKeys(ctx context.Context, out io.Writer, db *store.Store, keys *privacy.Keys) error {
	counts, err := db.KeyCounts(ctx)
	if err != nil {
		return err
	}
	t := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	fmt.Fprintln(t, "KEY\tCOLUMN\tROWS")
	payloads, pseudonyms, alone := map[string]int{}, map[string]int{}, map[string]int{}
	for _, c := range counts {
		printf(t, "%s\t%s\t%d\n", orDash(c.KeyID), c.Column, c.Rows)
		switch c.Column {
		case store.PseudonymColumn:
			pseudonyms[c.KeyID] += c.Rows
		case store.LonePseudonyms:
			alone[c.KeyID] += c.Rows
		default:
			payloads[c.KeyID] += c.Rows
		}
	}
	if err := t.Flush(); err != nil {
		return err
	}
	verdicts(out, "PAYLOAD_KEYS", keys.PayloadKeyIDs(), payloads, nil)
	verdicts(out, "PSEUDONYM_KEYS", keys.PseudonymKeyIDs(), pseudonyms, alone)
	plain, err := db.PlainDigests(ctx)
	if err == nil && plain > 0 {
		printf(out, "%d digests of contents stand without a key, as an earlier release wrote them: orderctl privacy rotate puts them under one\n", plain)
	}
	return err
}

// verdicts says of each key of a setting whether it may go; the first one writes.
func verdicts(out io.Writer, setting string, ids []string, rows, alone map[string]int) {
	for i, id := range ids {
		switch {
		case i == 0:
			printf(out, "%s: %s writes\n", setting, id)
		case rows[id] > 0:
			printf(out, "%s: keep %s: %d values stand under it. If it does not go away, a service still writes with it (put the new key first everywhere, restart, and rotate again), or values under it cannot be opened, see above\n", setting, id, rows[id])
		case alone[id] > 0:
			printf(out, "%s: %s may be removed, and then nobody can look up a buyer in %d orders whose personal data is gone: their pseudonyms stay under it\n", setting, id, alone[id])
		default:
			printf(out, "%s: %s may be removed: nothing stands under it. Backups still need it, and so do services that still write with it: restart them with %s first before\n", setting, id, ids[0])
		}
	}
	for id, n := range rows {
		if !slices.Contains(ids, id) {
			printf(out, "%s: it lacks %s, and nobody can read the %d values under it\n", setting, orDash(id), n)
		}
	}
}

func orDash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}
