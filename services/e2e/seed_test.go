//go:build e2e

package e2e

import (
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
)

// The signature vectors of protocols 2.5 and 4.1 are accepted as they stand, through the real endpoints: their dates lie
// years back, so the window is a century.
func TestPublishedVectors(t *testing.T) {
	t.Parallel()
	s := startStack(t, startKfake, "SIGNATURE_WINDOW=876000h", "ICBU_SECRETS=12345678=testsecret0123456789abcdef", "MALL_APPS=EZP=9cd8c0ed38a9e113")
	spi := func(sign string) string {
		query := url.Values{
			"method": {"qimen.alibaba.okki.customer.order.create"}, "app_key": {"12345678"}, "timestamp": {"2024-03-01 12:00:00"},
			"v": {"2.0"}, "format": {"json"}, "sign_method": {"md5"}, "target_app_key": {"87654321"}, "sign": {sign},
		}
		return s.ingest + "/icbu/okki/orders?" + query.Encode()
	}
	const body = `{"action":"1","ali_order_no":"P0001","amount":"100.00"}`
	s.accepted("icbu", s.postUntilTaken(spi("8CD0C160EF8FC5F13472EE14D987E37A"), "application/json", nil, []byte(body)))
	traced := http.Header{"X-Trace": {"abc"}, "Top-Sign-List": {"X-Trace"}}
	s.accepted("icbu", s.postUntilTaken(spi("50F55E4E61008D284A123DEFCD3E0C20"), "application/json", traced, []byte(body)))
	// The third one names no order: its signature holds, and it is told what is missing.
	unnamed := s.postUntilTaken(spi("1F465859BEF7D41D6454E73A8B760188"), "application/json", nil, []byte(`{"action":"1","product_name":"小满"}`))
	if unnamed.Status != 200 || unnamed.field(t, "resp_code") != "missing-order-no" {
		t.Errorf("SPI vector without an order number: %v", unnamed)
	}

	mall := mallOrder("HQS0001", "V1", "450.00")
	form := url.Values{
		"AppId": {"EZP"}, "Timestamp": {"20150701093010"}, "AppSystem": {"e2e"}, "Args": {string(batch([]pushed{mall}))},
		"Sign": {"657D0E34AD7B342F888CA3856F207F35CF2622A8"},
	}
	s.accepted("mall", s.postUntilTaken(s.ingest+"/api/morder/thirdOrdAdd", "application/x-www-form-urlencoded", nil, []byte(form.Encode())))

	orders := []pushed{{source: "icbu", number: "P0001", key: "icbu:P0001", total: "100.00"}, mall}
	s.waitFinal(patience, orders)
	s.deliveredOnce(orders)
	s.noLetters()
	s.waitAccounted()
}

// The three contracts' own examples, signed and sent by the command line, reach the partners' stand-ins and PostgreSQL with
// totals equal to the last digit. The mall's dates of 2019 are moved into the allowed year.
func seedExamples(t *testing.T, s *stack) {
	examples := filepath.Join(root(), "schemas", "examples")
	var files []string
	for _, source := range []string{"icbu", "procurement", "mall"} {
		files = append(files, filepath.Join(examples, source, "good-seed.json"))
	}
	args := append([]string{"send", "--shift-dates", "--to", s.ingest}, files...)
	t.Logf("orderctl send:\n%s", once(t, s.env, filepath.Join(bin, "orderctl"), args...))
	orders := []pushed{
		{source: "icbu", number: "Pxxxxx", key: "icbu:Pxxxxx", total: "28600.0"},
		{source: "procurement", number: "OMLJ202007011357473416078", key: "procurement:OMLJ202007011357473416078", total: "296"},
		{source: "mall", number: "0000128092", key: "mall:HQS0001:0000128092", total: "450.00"},
		{source: "mall", number: "0000128094", key: "mall:HQS0001:0000128094", total: "450.00"},
	}
	s.waitFinal(patience, orders)
	s.deliveredOnce(orders)
	if all := s.letters(orders...); len(all) > 0 {
		t.Errorf("letters: %+v", all)
	}
	// An outside client reads what became of the deliveries.
	outcomes := map[string]string{}
	for _, m := range s.broker.read(t, "deliveries.v1") {
		var d struct {
			OrderKey string `json:"order_key"`
			Outcome  string `json:"outcome"`
			Total    string `json:"total"`
		}
		if err := json.Unmarshal(m.Value, &d); err != nil {
			t.Fatal(err)
		}
		outcomes[d.OrderKey] += d.Outcome + " " + d.Total
	}
	for _, o := range orders {
		outcome, total, _ := strings.Cut(outcomes[o.key], " ")
		if o.source != "procurement" && (outcome != "delivered" || !sameAmount(total, o.total)) {
			t.Errorf("deliveries.v1 says of %s: %q", o.key, outcomes[o.key])
		}
	}
}
