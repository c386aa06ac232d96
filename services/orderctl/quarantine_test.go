package main

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"orderflow/pkg/bustest"
	"orderflow/pkg/event"
)

func TestQuarantine(t *testing.T) {
	broker := bustest.Start(t)
	settings(t, map[string]string{"KAFKA_BROKERS": broker.Brokers[0]})
	if out, err := orderctl(t, "quarantine", "ls"); err != nil || strings.Count(out, "\n") != 1 {
		t.Errorf("an empty quarantine: %v\n%s", err, out)
	}
	var messages []event.Message
	for i := range 5 {
		m := event.New(event.Quarantine, "ingest", event.Meta{PushID: fmt.Sprint("push-", i)}, time.Now(), "application/json", []byte(`{"phone":"13800138000","name":"王小明"`))
		m.Key = "mall"
		m.SetHeader("quarantine-cause", "bad_json")
		m.SetHeader("quarantine-length", "41")
		messages = append(messages, m)
	}
	broker.Produce(messages...)
	out, err := orderctl(t, "quarantine", "ls", "--limit", "3")
	if err != nil || strings.Count(out, "bad_json") != 3 {
		t.Errorf("%v\n%s", err, out)
	}
	var offsets []string
	for line := range strings.Lines(out) {
		if _, offset, ok := strings.Cut(strings.Fields(line)[0], "/"); ok {
			offsets = append(offsets, offset)
		}
	}
	if !slices.Equal(offsets, []string{"4", "3", "2"}) { // the newest first, though a batch has one time
		t.Errorf("listed %v:\n%s", offsets, out)
	}
	number := strings.Fields(strings.Split(out, "\n")[1])[0]
	out, err = orderctl(t, "quarantine", "show", number)
	if err != nil {
		t.Error(err)
	}
	contains(t, out, "cause    bad_json", "next ")
	// The bytes' shape is all that follows the empty line. What stands before it tells the time too, in which any three digits
	// may follow each other, but never five.
	about, shape, _ := strings.Cut(out, "\n\n")
	if shape != `{"xxxxx":"00000000000","xxxx":"xxx"`+"\n" {
		t.Errorf("the bytes are shown as\n%s", shape)
	}
	for _, secret := range []string{"13800", "38001", "80013", "00138", "01380", "38000", "王"} {
		if strings.Contains(about, secret) {
			t.Errorf("%s is shown:\n%s", secret, out)
		}
	}
	for _, wrong := range []string{"7", "0/999999", "x/y"} {
		if _, err := orderctl(t, "quarantine", "show", wrong); err == nil {
			t.Errorf("%s is no request", wrong)
		}
	}
}
