package main

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"orderflow/pkg/store"
)

type analystSettings struct {
	Database store.Settings
	Password string `env:"ANALYST_PASSWORD,required" doc:"the password that the analyst logs in to PostgreSQL with"`
}

func analystsCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "analysts", Short: "let analysts read the views in PostgreSQL"}
	var anyway bool
	add := &cobra.Command{
		Use: "add NAME", Short: "let a user log in who reads the analysts' views and nothing else", Args: cobra.ExactArgs(1),
		Long: `add makes a user of PostgreSQL who may log in and read analytics.orders, analytics.order_lines and analytics.balance, and no
table. An analyst of that name gets the new password, and the limits below; add warns of what she owns in other databases of
the server. Any other user of that name is refused. It needs a DATABASE_URL whose user may make roles, after "orderctl
migrate".

PostgreSQL lets every login take advisory locks, by which services agree who delivers and who removes old data, and make
large objects and temporary tables. add takes that from everybody in this database but the users whom the services run as
(who own its tables or may write them). Only a superuser can; for another user add prints what a superuser has to run, and
adds nobody before that is done, or --anyway. Where nobody can, as with some providers, let analysts log in to a read
replica: locks that are taken there hold nobody up.

Each analyst has 5 sessions, 15 minutes for a statement, 5 for an idle transaction, and reads only. Connections are the
server's limit; the others are against accidents: who means it can change them in a session.` + settingsHelp(&analystSettings{}),
	}
	add.Flags().BoolVar(&anyway, "anyway", false, "add the analyst even if more than reading cannot be forbidden")
	add.RunE = func(cmd *cobra.Command, args []string) error {
		var cfg analystSettings
		if err := load(&cfg); err != nil {
			return err
		}
		rights, err := store.AddAnalyst(cmd.Context(), cfg.Database.URL, args[0], cfg.Password, anyway)
		if errors.Is(err, store.ErrExcess) {
			return fmt.Errorf("%w: %s. Nobody was added, and nothing changed.\nLet a superuser run this in the database, then try again; --anyway adds the analyst all the same:\n\n%s",
				err, strings.Join(rights.Excess, ", "), rights.SQL)
		}
		if err != nil {
			return err
		}
		printRights(cmd.OutOrStdout(), args[0], rights)
		return nil
	}
	cmd.AddCommand(add)
	return cmd
}

func printRights(out io.Writer, name string, rights store.AnalystRights) {
	printf(out, "%s may log in and read the views of the schema analytics\n", name)
	if len(rights.Taken) > 0 {
		printf(out, "in this database only %s may use from now on: %s; grant it to whoever else needs it\n",
			strings.Join(rights.Keepers, ", "), strings.Join(rights.Taken, ", "))
	}
	if len(rights.Excess) > 0 {
		fmt.Fprintf(out, "WARNING: analysts may still use %s: with locks one can hold up deliveries and retention. A superuser ends that with\n\n%s\n",
			strings.Join(rights.Excess, ", "), rights.SQL)
	}
	if len(rights.Databases) > 0 {
		fmt.Fprintf(out, `analysts may also connect to these databases of the server, as everybody may: %s
Their owners end that with "revoke connect on database NAME from public", or pg_hba.conf does, for all of them at once:
  host all +%s all reject    # below the line that lets them into this database
`, printable(strings.Join(rights.Databases, ", ")), store.Analysts)
	}
	if len(rights.Owns) > 0 {
		printf(out, `WARNING: %[1]s owns tables, large objects or the like in other databases of the server: %[2]s
They may fill the disk. A superuser deletes them, connected to each of these databases, with
  %[3]s
`, name, strings.Join(rights.Owns, ", "), rights.DropSQL)
	}
}
