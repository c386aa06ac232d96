// Command orderctl is the command line of orderflow, for upstream teams, SREs and analysts: push an order as the real
// sender would, create and compare topics, migrate the database.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"orderflow/pkg/boot"
)

// Errors that end the process without another word, since everything was said already: with status 1, or with 3 where the work
// was done and somebody has to look at what it met.
var (
	errRefused = errors.New("refused")
	errForeign = errors.New("done, but for records that are not ours")
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	err := root().ExecuteContext(ctx)
	if err == nil {
		return
	}
	status := 1
	switch {
	case errors.Is(err, errForeign):
		status = 3
	case !errors.Is(err, errRefused):
		fmt.Fprintf(os.Stderr, "orderctl: %s\n", printableLines(err.Error()))
	}
	stop()
	os.Exit(status) //nolint:gocritic // stopped above
}

func root() *cobra.Command {
	var envPath string
	cmd := &cobra.Command{
		Use:   "orderctl",
		Short: "push orders, find them, look after dead letters, topics and the database",
		Long: "orderctl is the command line of orderflow. Its settings come from the environment, as every service's do;\n" +
			"NAME_FILE names a file that holds NAME. What is not set is taken from the file that a running `make run`\n" +
			"writes, so in its folder every command works as it stands.",
		SilenceUsage: true, SilenceErrors: true,
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			return readEnv(envPath, cmd.Flags().Changed("env"))
		},
	}
	cmd.PersistentFlags().StringVar(&envPath, "env", ".local/env", "file of NAME=value lines for settings that the environment lacks")
	cmd.AddCommand(sendCommand(), whereCommand(), ordersCommand(), dlqCommand(), replaysCommand(), quarantineCommand(), balanceCommand(), topicsCommand(),
		migrateCommand(), analystsCommand(), privacyCommand())
	return cmd
}

// settingsHelp is the table of a command's settings, for its help.
func settingsHelp(cfg any) string {
	var b strings.Builder
	b.WriteString("\n\n")
	_ = boot.Table(&b, cfg)
	return strings.TrimRight(b.String(), "\n")
}

func load(cfg any) error {
	if err := boot.Load(cfg); err != nil {
		return fmt.Errorf("the settings are wrong (see the command's --help):\n%w", err)
	}
	return nil
}
