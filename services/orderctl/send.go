package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"orderflow/pkg/order"
	"orderflow/pkg/sender"
	"orderflow/pkg/source/mall"
)

// sendSettings are what send reads from the environment.
type sendSettings struct {
	To      string `env:"INGEST_URL" envDefault:"http://127.0.0.1:8080" doc:"base address of ingest, where --to does not say otherwise"`
	Secrets sender.Secrets
}

// sendFlags are what the command line says.
type sendFlags struct {
	source     string
	to         string
	form       bool
	shiftDates bool
}

func sendCommand() *cobra.Command {
	var flags sendFlags
	cmd := &cobra.Command{
		Use:   "send FILE...",
		Short: "push files as the real sender would, and say what became of each",
		Long: `send signs each FILE (- is standard input) as its real sender would, pushes it to ingest and prints the answer.

  accepted  the push is on all in-sync replicas of Kafka, and the receipt proves it. Whether the order keeps every rule
            of its contract is found out after that: a bad one is parked, with a reason, not refused.
  refused   ingest did not take it; the sender's code, its meaning and what to do are printed.
  unknown   there was no answer. Send the same file again: an equal push is recognised and does no harm.

The exit status is 0 when everything was accepted, else 1.

A FILE holds what the sender would send: icbu one order as a JSON object, procurement one order as a JSON object, mall an
array of up to 100 orders of one shop. The source is taken from --source, else from a folder or file named after it (such
as schemas/examples/mall/), else from the document's own fields.` + settingsHelp(&sendSettings{}),
		Example: `  orderctl send schemas/examples/icbu/good-seed.json
  orderctl send --shift-dates schemas/examples/mall/*.json
  orderctl send --form schemas/examples/icbu/good-seed.json
  curl -s https://example.com/order.json | orderctl send --source procurement --to https://ingest.example.com -`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, files []string) error {
			var cfg sendSettings
			if err := load(&cfg); err != nil {
				return err
			}
			return send(cmd.Context(), cmd, cfg, flags, files)
		},
	}
	cmd.Flags().StringVar(&flags.source, "source", "", "icbu, procurement or mall; empty: found out by file name and content")
	cmd.Flags().StringVar(&flags.to, "to", "", "base address of ingest (default INGEST_URL)")
	cmd.Flags().BoolVar(&flags.form, "form", false, "icbu: push the fields as a form instead of a JSON body")
	cmd.Flags().BoolVar(&flags.shiftDates, "shift-dates", false, "mall: move the order and payment times into the allowed year, all by the same span")
	return cmd
}

func send(ctx context.Context, cmd *cobra.Command, cfg sendSettings, flags sendFlags, files []string) error {
	if flags.source != "" && !slices.Contains(order.Sources, order.Source(flags.source)) {
		return errors.New("--source: not one of icbu, procurement, mall")
	}
	if flags.to != "" {
		cfg.To = flags.to
	}
	to := sender.New(cfg.To, cfg.Secrets)
	var refused int
	for _, file := range files {
		if !sendFile(ctx, cmd, to, flags, file) {
			refused++
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	if len(files) > 1 {
		fmt.Fprintf(cmd.OutOrStdout(), "%d of %d accepted\n", len(files)-refused, len(files))
	}
	if refused > 0 {
		return errRefused
	}
	return nil
}

// sendFile pushes one file and prints what became of it; it tells whether it was accepted.
func sendFile(ctx context.Context, cmd *cobra.Command, to *sender.Sender, flags sendFlags, file string) bool {
	out := cmd.OutOrStdout()
	push, err := readPush(cmd.InOrStdin(), flags, file)
	if err != nil {
		err = fmt.Errorf("%w: %w", sender.ErrNotSent, err)
	}
	began := time.Now()
	var answer sender.Answer
	if err == nil {
		answer, err = to.Send(ctx, push)
	}
	took := time.Since(began).Round(time.Millisecond)
	switch {
	case errors.Is(err, sender.ErrNotSent):
		fmt.Fprintf(out, "unsent    %s\n          %s\n", printable(file), printableLines(err.Error()))
	case err != nil:
		fmt.Fprintf(out, "unknown   %s (%s)\n          %s\n          next: see that ingest runs at that address and answers /readyz, then send the same file again\n", printable(file), push.Source, printableLines(err.Error()))
	case answer.Accepted:
		printf(out, "accepted  %s (%s) code %s, %v\n          receipt %s\n", file, push.Source, answer.Code, took, answer.Receipt)
	default:
		meaning := explain(push.Source, answer)
		printf(out, "refused   %s (%s) %s\n          meaning: %s\n          next: %s\n", file, push.Source, verdict(answer), meaning.what, meaning.next)
	}
	return err == nil && answer.Accepted
}

// verdict is the answer in the sender's own words.
func verdict(a sender.Answer) string {
	text := fmt.Sprintf("HTTP %d", a.Status)
	if a.Code != "" {
		text += ", code " + a.Code
	}
	if a.Text != "" {
		text += ": " + a.Text
	}
	return text
}

func readPush(stdin io.Reader, flags sendFlags, file string) (sender.Push, error) {
	var push sender.Push
	var err error
	if file == "-" {
		push.Body, err = io.ReadAll(stdin)
	} else {
		push.Body, err = os.ReadFile(file)
	}
	if err != nil {
		return push, err
	}
	push.Source, push.Form = order.Source(flags.source), flags.form
	if push.Source == "" {
		var ok bool
		if push.Source, ok = sender.Guess(file, push.Body); !ok {
			return push, errors.New("neither its name nor its content tells whose push it is\n          next: say so with --source icbu, procurement or mall")
		}
	}
	if push.Form && push.Source != order.ICBU {
		return push, errors.New("--form is for icbu only: the other contracts have one form of push")
	}
	if flags.shiftDates && push.Source == order.Mall {
		push.Body, err = mall.ShiftDates(push.Body, mall.Month(time.Now()))
	}
	return push, err
}
