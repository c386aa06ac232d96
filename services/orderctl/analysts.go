package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"orderflow/pkg/store"
)

type analystSettings struct {
	Database store.Settings
	Password string `env:"ANALYST_PASSWORD,required" doc:"the password that the analyst logs in to PostgreSQL with"`
}

func analystsCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "analysts", Short: "let analysts read the views in PostgreSQL"}
	cmd.AddCommand(&cobra.Command{
		Use: "add NAME", Short: "let a user log in who reads the analysts' views and nothing else", Args: cobra.ExactArgs(1),
		Long: `add makes a user of PostgreSQL who may log in and read analytics.orders, analytics.order_lines and analytics.balance, and no
table. An analyst of that name gets the new password. It needs a DATABASE_URL whose user may make roles, after "orderctl
migrate".` + settingsHelp(&analystSettings{}),
		RunE: func(cmd *cobra.Command, args []string) error {
			var cfg analystSettings
			if err := load(&cfg); err != nil {
				return err
			}
			if err := store.AddAnalyst(cmd.Context(), cfg.Database.URL, args[0], cfg.Password); err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s may log in and read the views of the schema analytics\n", args[0])
			return nil
		},
	})
	return cmd
}
