package main

import (
	"context"
	"errors"
	"fmt"
	"os/user"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"orderflow/pkg/order"
	"orderflow/pkg/privacy"
	"orderflow/pkg/store"
)

type privacySettings struct {
	Database store.Settings
	Privacy  privacy.Settings
}

// maxReason is what the audit takes of a reason, as in the console.
const maxReason = 1024

func privacyCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "privacy",
		Short: "personal data: rotate its keys, remove what is too old, answer a person's request",
		Long: `privacy looks after personal data over its whole life. All but show connect to PostgreSQL themselves; every run stands
in the audit with a name.

What is where: PostgreSQL holds payloads and personal data encrypted, for PAYLOAD_RETENTION; Kafka holds them for 14 days
and up to one more. Amounts, lines, order numbers and keyed pseudonyms have no such limit.`,
	}
	cmd.AddCommand(privacyRotateCommand(), privacyExpireCommand(), privacyShowCommand(), privacyExportCommand(), privacyEraseCommand())
	return cmd
}

// person are the flags that say in whose name a command runs, and why.
type person struct{ by, reason string }

// personFlags adds --by and --reason. Where they are not needed, the user of the system stands in for --by.
func personFlags(cmd *cobra.Command, needed bool) *person {
	p := &person{}
	suffix := ""
	if needed {
		suffix = " (needed)"
	}
	cmd.Flags().StringVar(&p.by, "by", "", "who does this, for the audit"+suffix)
	cmd.Flags().StringVar(&p.reason, "reason", "", "why, for the audit, such as the number of the request; no personal data"+suffix)
	return p
}

// check fills in the system's user, and refuses what the audit would not take.
func (p *person) check(needed bool) error {
	p.by, p.reason = strings.TrimSpace(p.by), strings.TrimSpace(p.reason)
	if needed && (p.by == "" || p.reason == "") {
		return errors.New("say who asks and why: --by NAME --reason TEXT; both stand in the audit")
	}
	if p.by == "" {
		if u, err := user.Current(); err == nil {
			p.by = u.Username
		}
	}
	if p.by == "" {
		return errors.New("the system does not tell who you are: --by NAME")
	}
	for flag, text := range map[string]string{"--by": p.by, "--reason": p.reason} {
		if len(text) > maxReason || !utf8.ValidString(text) || strings.ContainsFunc(text, unicode.IsControl) {
			return fmt.Errorf("%s: at most %d bytes of UTF-8 on one line", flag, maxReason)
		}
	}
	return nil
}

// openPrivacy opens the database and the keys, and wants the database to be at this program's migration.
func openPrivacy(ctx context.Context) (*store.Store, *privacy.Keys, error) {
	var cfg privacySettings
	if err := load(&cfg); err != nil {
		return nil, nil, err
	}
	keys, err := privacy.New(cfg.Privacy)
	if err != nil {
		return nil, nil, err
	}
	db, err := openDatabase(ctx, cfg.Database.URL)
	return db, keys, err
}

func openDatabase(ctx context.Context, url string) (*store.Store, error) {
	db, err := store.Open(ctx, url)
	if err != nil {
		return nil, err
	}
	if err := db.Ping(ctx); err != nil {
		db.Close()
		return nil, err
	}
	return db, nil
}

// findOrder tells the order that somebody means by its key or one of its numbers. A number that several orders have is an
// error: nobody's data is shown or erased by a guess.
func findOrder(ctx context.Context, db *store.Store, text string) (order.Key, error) {
	view, err := db.Order(ctx, order.Key(text))
	if err == nil {
		return view.Key, nil
	}
	if !errors.Is(err, store.ErrNotFound) {
		return "", err
	}
	views, err := db.OrdersByNumber(ctx, text)
	if err != nil {
		return "", err
	}
	switch len(views) {
	case 0:
		return "", errors.New("PostgreSQL knows no order by this key or number: if it was pushed a moment ago, wait until `orderctl where` shows it")
	case 1:
		return views[0].Key, nil
	}
	keys := make([]string, len(views))
	for i, v := range views {
		keys[i] = printable(string(v.Key))
	}
	return "", fmt.Errorf("several orders have this number: say which one by its key:\n  %s", strings.Join(keys, "\n  "))
}
