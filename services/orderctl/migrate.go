package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"orderflow/pkg/store"
)

type migrateSettings struct {
	Database store.Settings
}

func migrateCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "migrate",
		Short: "bring the database to the newest migration",
		Long: `migrate runs the migrations that the database has not had yet, in order, forward only. It is one locked step: running it
from several places at once is safe, and running it again does nothing. Run it before services of a new version start;
until then they stay unready and say so.` + settingsHelp(&migrateSettings{}),
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var cfg migrateSettings
			if err := load(&cfg); err != nil {
				return err
			}
			if err := store.Migrate(cmd.Context(), cfg.Database.URL); err != nil {
				return err
			}
			fmt.Fprintln(cmd.OutOrStdout(), "the database is at the newest migration")
			return nil
		},
	}
}
