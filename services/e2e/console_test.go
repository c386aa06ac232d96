//go:build e2e

package e2e

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
)

// consoleUsers are the people of the journeys; the password of each is the name and -password. The hashes cost little.
const consoleUsers = "anna:approver:$2a$04$Id5ZD67OhACVb2BYQ.JajOuPyZ3KQYSlaow.Y22roK3M0uEF4ORBu," +
	"olga:operator:$2a$04$etZqXL/72TPir/a/DIH4v.UuUyf0qbZ.4wwSkpAk8iFGrdLrJLVku," +
	"vera:viewer:$2a$04$lOs6FrDrjqrD80GvIbQgiuneo7/ZAfOHGhcwnk4cSqds7OitN35IK"

// consoleAsk asks the console as somebody, or without a login, and reads the answer into body.
func (s *stack) consoleAsk(who, method, path, send string, body any) (status int, err error) {
	request, err := http.NewRequestWithContext(s.t.Context(), method, s.console+path, strings.NewReader(send))
	if err != nil {
		return 0, err
	}
	if who != "" {
		request.SetBasicAuth(who, who+"-password")
	}
	response, err := sender.Do(request)
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err == nil && body != nil && response.StatusCode == http.StatusOK {
		err = json.Unmarshal(text, body)
	}
	return response.StatusCode, err
}

type receiptBody struct {
	Source string `json:"source"`
	Orders []struct {
		OrderKey string `json:"order_key"`
		State    string `json:"state"`
	} `json:"orders"`
}

type ordersBody struct {
	Items []struct {
		OrderKey string `json:"order_key"`
		State    string `json:"state"`
		Total    string `json:"total"`
		Steps    []struct {
			Step string `json:"step"`
		} `json:"steps"`
	} `json:"items"`
}

// A sender asks by its receipt while the workers are stopped, and after; an SRE by the order's numbers.
func whereIsMyOrder(t *testing.T, s *stack) {
	for _, worker := range workers {
		s.services[worker].stop()
	}
	orders := []pushed{mallOrder("HQS0001", "W500", "500.01"), mallOrder("HQS0001", "W501", "501.01")}
	pushed := s.sentUntilTaken(len(orders), func() answer { return s.pushMall(batch(orders)) })
	s.accepted("mall", pushed)
	address := "/receipts/" + pushed.Header.Get("Orderflow-Receipt")
	states := func(want string) error {
		var receipt receiptBody
		status, err := s.consoleAsk("", http.MethodGet, address, "", &receipt)
		if err != nil || status != http.StatusOK || receipt.Source != "mall" || len(receipt.Orders) != len(orders) {
			return fmt.Errorf("receipt: %d %+v %w", status, receipt, err)
		}
		for i, o := range receipt.Orders {
			if o.OrderKey != orders[i].key || o.State != want {
				return fmt.Errorf("order %d is %+v, want %s %s", i, o, orders[i].key, want)
			}
		}
		return nil
	}
	eventually(t, patience, "the receipt says received while no worker runs", func() error { return states("received") })
	for _, worker := range workers {
		s.restart(worker)
	}
	eventually(t, patience, "the receipt says delivered", func() error { return states("delivered") })

	for _, number := range []string{"W500", orders[0].key} {
		eventually(t, patience, "it is found by "+number, func() error {
			var found ordersBody
			status, err := s.consoleAsk("vera", http.MethodGet, "/api/orders?number="+url.QueryEscape(number), "", &found)
			if err != nil || status != http.StatusOK || len(found.Items) != 1 || found.Items[0].OrderKey != orders[0].key ||
				found.Items[0].State != "delivered" || found.Items[0].Total != orders[0].total || len(found.Items[0].Steps) < 3 {
				return fmt.Errorf("%s: %d %+v %w", number, status, found, err)
			}
			return nil
		})
	}
	env := append(slices.Clone(s.env), "CONSOLE_URL="+s.console, "CONSOLE_USER=vera", "CONSOLE_PASSWORD=vera-password")
	if out := once(t, env, filepath.Join(bin, "orderctl"), "where", "W501"); !strings.Contains(out, orders[1].key+"  delivered") {
		t.Errorf("orderctl where: %s", out)
	}
	if status, err := s.consoleAsk("vera", http.MethodPost, "/api/replays", `{"filter":{}}`, nil); status != http.StatusForbidden {
		t.Errorf("a replay by a viewer: %d %v", status, err)
	}
	var refusals int
	err := s.pool.QueryRow(t.Context(), "select count(*) from audit where who = 'vera' and action = 'refused'").Scan(&refusals)
	if err != nil || refusals != 1 {
		t.Errorf("%d refusals are in the audit: %v", refusals, err)
	}
	if status, err := s.consoleAsk("", http.MethodGet, "/api/orders?number=W500", "", nil); status != http.StatusUnauthorized {
		t.Errorf("without a login: %d %v", status, err)
	}
}
