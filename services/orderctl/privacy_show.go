package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
)

func privacyShowCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "show ORDER --reason TEXT",
		Short: "read one payload in clear, as an approver and with a reason",
		Long: `show asks the console for one payload in clear: that of an order, by its key or a number that only one order has, or with
--letter the record of one dead letter. It needs the role approver. Who read what, when and why stands in the audit, and so
does an attempt without the role. There is no command for many at once: what operators need for their work is shown masked
by orderctl dlq show.`,
		Example: "  orderctl privacy show icbu:P90001 --reason 'the customer disputes the amount, case 17'\n  orderctl privacy show --letter 7 --reason 'bad_type that the masked record does not explain'",
		Args:    cobra.MaximumNArgs(1),
	}
	letter := cmd.Flags().Int64("letter", 0, "number of a dead letter, instead of an order")
	reason := cmd.Flags().String("reason", "", "why, for the audit; no personal data (needed)")
	return withConsole(cmd, func(ctx context.Context, c *console, args []string) error {
		if strings.TrimSpace(*reason) == "" {
			return errors.New("say why: --reason TEXT; it stands in the audit")
		}
		if (len(args) == 1) == (*letter != 0) {
			return errors.New("say which one: an ORDER, or --letter NUMBER")
		}
		address := "/api/dead-letters/" + strconv.FormatInt(*letter, 10) + "/payload"
		if len(args) == 1 {
			key, err := c.orderKey(ctx, args[0])
			if err != nil {
				return err
			}
			address = "/api/orders/" + url.PathEscape(key) + "/payload"
		}
		var answer json.RawMessage
		if err := c.ask(ctx, http.MethodPost, address, nil, map[string]string{"reason": *reason}, &answer); err != nil || c.raw {
			return err
		}
		var text bytes.Buffer
		if err := json.Indent(&text, answer, "", "  "); err != nil {
			return fmt.Errorf("read the payload: %w", err)
		}
		fmt.Fprintln(c.out, printableLines(text.String()))
		return nil
	})
}

// orderKey tells the key of the one order that has a number.
func (c *console) orderKey(ctx context.Context, number string) (string, error) {
	quiet := *c
	quiet.raw = false
	var found struct {
		Items []struct {
			OrderKey string `json:"order_key"`
		} `json:"items"`
	}
	if err := quiet.ask(ctx, http.MethodGet, "/api/orders", url.Values{"number": {number}}, nil, &found); err != nil {
		return "", err
	}
	switch len(found.Items) {
	case 0:
		return "", errors.New("no order has this key or number")
	case 1:
		return found.Items[0].OrderKey, nil
	}
	keys := make([]string, len(found.Items))
	for i, item := range found.Items {
		keys[i] = printable(item.OrderKey)
	}
	return "", fmt.Errorf("several orders have this number: say which one by its key:\n  %s", strings.Join(keys, "\n  "))
}
