//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"crypto/md5"
	"crypto/sha1"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
)

// What the three senders know. They sign here with code of their own, written from the protocols and not from the house.
const (
	icbuKey          = "12345678"
	icbuSecret       = "e2e-icbu-secret-03d9"
	procurementToken = "e2e-procurement-token-a41b"
	mallApp          = "EZP"
	mallToken        = "e2e-mall-token-86f5"
)

// beijing is the zone of all three senders.
var beijing = time.FixedZone("GMT+8", 8*60*60)

// answer is what a sender was told, and how long it waited.
type answer struct {
	Status  int
	Header  http.Header
	Body    []byte
	Elapsed time.Duration
}

// field gives a member of a JSON answer, nil if it is not there.
func (a answer) field(t testing.TB, name string) any {
	t.Helper()
	var all map[string]any
	if err := json.Unmarshal(a.Body, &all); err != nil {
		t.Fatalf("answer %d is no JSON object: %v: %s", a.Status, err, a.Body)
	}
	return all[name]
}

func (a answer) String() string { return fmt.Sprintf("%d %.300s", a.Status, a.Body) }

var sender = &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 64}}

func (s *stack) post(url, contentType string, header http.Header, body []byte) answer {
	s.t.Helper()
	a, err := tryPost(s.t.Context(), url, contentType, header, body)
	if err != nil {
		s.t.Errorf("push: %v", err)
	}
	return a
}

// sentUntilTaken pushes so many orders as a sender does: one that is told to come again because Kafka was too slow pushes the same
// once more. The former push may be in Kafka all the same: its orders are counted.
func (s *stack) sentUntilTaken(orders int, push func() answer) (a answer) {
	s.t.Helper()
	for late := time.Now().Add(patience); ; <-time.After(time.Second) {
		a = push()
		if a.Status != http.StatusServiceUnavailable || a.Header.Get("Retry-After") == "" || time.Now().After(late) {
			return a
		}
		s.again.Add(int64(orders))
	}
}

// postUntilTaken is post as a sender of one order does it. What is refused may have to wait for Kafka, too: quarantine keeps it
// before the answer.
func (s *stack) postUntilTaken(url, contentType string, header http.Header, body []byte) answer {
	s.t.Helper()
	return s.sentUntilTaken(1, func() answer { return s.post(url, contentType, header, body) })
}

func tryPost(ctx context.Context, url, contentType string, header http.Header, body []byte) (answer, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	maps.Copy(request.Header, header)
	request.Header.Set("Content-Type", contentType)
	start := time.Now()
	response, err := sender.Do(request)
	if err != nil {
		return answer{}, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	return answer{response.StatusCode, response.Header, text, time.Since(start)}, err
}

// icbuQuery are the system parameters of the SPI call, unsigned.
func icbuQuery(at time.Time) url.Values {
	return url.Values{
		"method": {"qimen.alibaba.okki.customer.order.create"}, "app_key": {icbuKey}, "v": {"2.0"}, "format": {"json"},
		"sign_method": {"md5"}, "target_app_key": {"87654321"}, "timestamp": {at.In(beijing).Format(time.DateTime)},
	}
}

// spiSign signs as the Qimen platform does (protocols 2.1): MD5 over secret, sorted names and values, body, secret.
func spiSign(secret string, query url.Values, body []byte) string {
	text := secret
	for _, name := range slices.Sorted(maps.Keys(query)) {
		text += name + query.Get(name)
	}
	sum := md5.Sum([]byte(text + string(body) + secret))
	return strings.ToUpper(hex.EncodeToString(sum[:]))
}

func (s *stack) pushICBU(body []byte) answer {
	s.t.Helper()
	query := icbuQuery(time.Now())
	query.Set("sign", spiSign(icbuSecret, query, body))
	return s.post(s.ingest+"/icbu/okki/orders?"+query.Encode(), "application/json", nil, body)
}

func (s *stack) pushProcurement(body []byte) answer {
	s.t.Helper()
	return s.post(s.ingest+"/fenbeitong/"+procurementToken+"/procurement-orders", "application/json", nil, body)
}

// mallSign signs as EZR does (protocols 4.1); the payload is not covered.
func mallSign(app, stamp, token string) string {
	sum := sha1.Sum([]byte("AppId=" + app + "&Timestamp=" + stamp + "&Token=" + token))
	return strings.ToUpper(hex.EncodeToString(sum[:]))
}

func mallForm(args []byte, at time.Time) url.Values {
	stamp := at.In(beijing).Format("20060102150405")
	return url.Values{
		"AppId": {mallApp}, "Timestamp": {stamp}, "AppSystem": {"e2e"}, "Args": {string(args)},
		"Sign": {mallSign(mallApp, stamp, mallToken)},
	}
}

func (s *stack) pushMall(args []byte) answer {
	s.t.Helper()
	form := mallForm(args, time.Now())
	return s.post(s.ingest+"/api/morder/thirdOrdAdd", "application/x-www-form-urlencoded", nil, []byte(form.Encode()))
}

// accepted fails the test unless the answer is an acceptance in the source's own dialect, with a receipt.
func (s *stack) accepted(source string, a answer) {
	s.t.Helper()
	ok := a.Status == http.StatusOK && a.Header.Get("Orderflow-Receipt") != ""
	if ok {
		switch source {
		case "icbu":
			ok = a.field(s.t, "success") == true && a.field(s.t, "resp_code") == "0"
		case "procurement":
			data, _ := a.field(s.t, "data").(map[string]any)
			ok = a.field(s.t, "code") == 0.0 && data["code"] == "1"
		case "mall":
			ok = a.field(s.t, "Status") == true && a.field(s.t, "StatusCode") == 200.0
		}
	}
	if !ok {
		s.t.Fatalf("%s push was not accepted: %v", source, a)
	}
}
