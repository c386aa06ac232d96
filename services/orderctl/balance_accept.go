package main

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// balanceAcceptCommand lets a difference stay that nothing can mend.
func balanceAcceptCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "accept PLACE --reason TEXT",
		Short: "let a difference stay that nothing can mend, by name and with a reason",
		Long: `accept says, in the name of CONSOLE_USER, that what is wrong with one received record can stay: PLACE is as "orderctl balance" shows
it, such as mall.received.v1/2/8. Its hour can then be complete. The difference stays visible: beside the hour's figures, in the
completeness record that analysts read (accepted), and in the audit, with name and reason. It takes an approver.

Accept only what cannot be mended, such as a record that stands twice in orders.v1, or a row whose records Kafka no longer has:
"orderctl balance restore" makes again what PostgreSQL lacks. What is accepted is this difference at this place; another one of
the same record is a fault as before. There is no way back.`,
		Example: `  orderctl balance accept mall.received.v1/2/8 --reason "OPS-311: published twice after the restore, analysts know"`,
		Args:    cobra.ExactArgs(1),
	}
	reason := cmd.Flags().String("reason", "", "why it can stay, for the audit; no personal data (needed)")
	return withConsole(cmd, func(ctx context.Context, c *console, args []string) error {
		body, err := placeOf(args[0])
		if err != nil {
			return err
		}
		body.Reason = *reason
		var accepted struct {
			Items []struct {
				offsetView
				Hour time.Time `json:"hour"`
			} `json:"items"`
		}
		if err := c.ask(ctx, http.MethodPost, "/api/balance/accept", nil, body, &accepted); err != nil || c.raw {
			return err
		}
		for _, a := range accepted.Items {
			help := helpOf(a.Fault)
			printf(c.out, "accepted: %s  %s\n  the hour %s is counted again within a minute, and complete if nothing else is open or at fault\n",
				printable(a.OrderKey), printable(help[0]), a.Hour.Local().Format("2006-01-02 15h"))
			if strings.Contains(help[1], makeAgain) {
				printf(c.out, "  better, and still possible while Kafka has its records: orderctl balance restore %s\n", printable(a.OrderKey))
			}
		}
		return nil
	})
}

type acceptBody struct {
	Source    string `json:"source"`
	Partition int32  `json:"partition"`
	Offset    int64  `json:"offset"`
	Reason    string `json:"reason"`
}

// placeOf reads the place of a received record, TOPIC/PARTITION/OFFSET.
func placeOf(text string) (body acceptBody, err error) {
	wrong := errors.New("PLACE: give it as orderctl balance shows it, such as mall.received.v1/2/8")
	parts := strings.Split(text, "/")
	if len(parts) != 3 {
		return body, wrong
	}
	source, found := strings.CutSuffix(parts[0], ".received.v1")
	partition, errPartition := strconv.ParseInt(parts[1], 10, 32)
	offset, errOffset := strconv.ParseInt(parts[2], 10, 64)
	if !found || errPartition != nil || errOffset != nil || partition < 0 || offset < 0 {
		return body, wrong
	}
	return acceptBody{Source: source, Partition: int32(partition), Offset: offset}, nil
}
