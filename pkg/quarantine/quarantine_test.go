package quarantine_test

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"orderflow/pkg/bus"
	"orderflow/pkg/bustest"
	"orderflow/pkg/event"
	"orderflow/pkg/quarantine"
)

func TestRead(t *testing.T) {
	broker := bustest.Start(t)
	read := func(choose quarantine.Choose) (ids []string) {
		t.Helper()
		client, err := bus.NewClient(broker.Settings, zap.NewNop(), nil, kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		err = quarantine.Read(t.Context(), client, choose, func(m event.Message) { ids = append(ids, m.Header(event.HeaderPushID)) })
		if err != nil {
			t.Fatal(err)
		}
		return ids
	}
	if ids := read(quarantine.Newest(3)); len(ids) != 0 {
		t.Errorf("an empty quarantine holds %v", ids)
	}
	var messages []event.Message
	for i := range 5 {
		m := event.New(event.Quarantine, "ingest", event.Meta{PushID: fmt.Sprint("push-", i)}, time.Now(), "text/plain", nil)
		m.Key = "mall" // one partition
		messages = append(messages, m)
	}
	broker.Produce(messages...)
	partition := int32(-1)
	for p := range int32(6) {
		if len(read(quarantine.Only(p, 0))) == 1 {
			partition = p
		}
	}
	for name, c := range map[string]struct {
		choose quarantine.Choose
		want   []string
	}{
		"the newest":      {quarantine.Newest(2), []string{"push-3", "push-4"}},
		"more than exist": {quarantine.Newest(99), []string{"push-0", "push-1", "push-2", "push-3", "push-4"}},
		"at least one":    {quarantine.Newest(0), []string{"push-4"}},
		"one":             {quarantine.Only(partition, 2), []string{"push-2"}},
		"none there":      {quarantine.Only(partition, 5), nil},
		"before all":      {quarantine.Only(partition, -1), nil},
		"no partition":    {quarantine.Only(99, 0), nil},
	} {
		if got := read(c.choose); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

func TestShape(t *testing.T) {
	for content, want := range map[string]string{
		`{"phone":"13800138000","name":"王小明"}`: `{"xxxxx":"00000000000","xxxx":"xxx"}`,
		"a\tb\x00\n١٢ €":                       "xxxx\n00 x",
		"\xff\xfe":                             "xx",
		"":                                     "",
	} {
		if got, more := quarantine.Shape([]byte(content)); got != want || more != 0 {
			t.Errorf("%q: %q and %d more, want %q", content, got, more, want)
		}
	}
	got, more := quarantine.Shape(bytes.Repeat([]byte("a"), quarantine.MaxShown+7))
	if more != 7 || got != strings.Repeat("x", quarantine.MaxShown) {
		t.Errorf("%d bytes and %d more", len(got), more)
	}
}

func TestContentType(t *testing.T) {
	for header, want := range map[string]string{
		"": "", "application/json": "application/json", "Application/JSON; charset=utf-8": "application/json", "multipart/form-data; boundary=13800138000": "multipart/form-data",
		"mary/13800138000": "•••(16)", "13800138000": "•••(11)", "application/json; \x1b": "•••(19)", "text/plain; name=陈": "•••(18)",
	} {
		if got := quarantine.ContentType(header); got != want {
			t.Errorf("%q: %s, want %s", header, got, want)
		}
	}
}
