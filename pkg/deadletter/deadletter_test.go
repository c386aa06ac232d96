package deadletter_test

import (
	"bytes"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"pgregory.net/rapid"

	"orderflow/pkg/deadletter"
	"orderflow/pkg/event"
	"orderflow/pkg/order"
)

func drawLetter(t *rapid.T) deadletter.Letter {
	word := rapid.StringMatching(`[a-z_/]{1,20}`)
	moment := rapid.Custom(func(t *rapid.T) time.Time {
		return time.Unix(rapid.Int64Range(0, 1<<33).Draw(t, "s"), rapid.Int64Range(0, 999_999_999).Draw(t, "ns")).UTC()
	})
	l := deadletter.Letter{
		Origin: event.Message{
			Topic: word.Draw(t, "topic"), Partition: rapid.Int32Min(0).Draw(t, "partition"), Offset: rapid.Int64Min(0).Draw(t, "offset"),
			Timestamp: moment.Draw(t, "timestamp"), Key: rapid.String().Draw(t, "key"), Value: rapid.SliceOf(rapid.Byte()).Draw(t, "value"),
		},
		Stage: word.Draw(t, "stage"), Code: word.Draw(t, "code"), Path: word.Draw(t, "path"), Detail: word.Draw(t, "detail"),
		Class: word.Draw(t, "class"), Message: word.Draw(t, "message"), Attempts: rapid.IntMin(0).Draw(t, "attempts"),
		First: moment.Draw(t, "first"), Last: moment.Draw(t, "last"), Replays: rapid.IntMin(0).Draw(t, "replays"), Version: word.Draw(t, "version"),
	}
	for _, name := range rapid.SliceOfN(rapid.StringMatching(`[a-c]{1,3}`), 0, 4).Draw(t, "headers") {
		l.Origin.Headers = append(l.Origin.Headers, event.Header{Key: name, Value: rapid.SliceOf(rapid.Byte()).Draw(t, "header")})
	}
	return l
}

func TestLetterComesBackWithItsBytesUntouched(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := drawLetter(t)
		m := deadletter.Wrap(l)
		got, err := deadletter.Parse(m)
		if err != nil || !reflect.DeepEqual(got, l) {
			t.Fatalf("got %+v (%v)\nwanted %+v", got, err, l)
		}
		if m.Topic != event.DeadLetters(l.Stage) || m.Key != l.Origin.Key {
			t.Fatalf("written to %s under %s", m.Topic, m.Key)
		}
	})
}

// However often a letter is replayed and fails again, it stays the letter of its first origin.
func TestReplayedLetterKeepsItsOrigin(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := drawLetter(t)
		l.Replays = 0
		for round := 1; round <= 3; round++ {
			home := deadletter.Home(l, "job", "letter")
			if home.Topic != event.Replay(l.Stage) || home.Key != l.Origin.Key || !bytes.Equal(home.Value, l.Origin.Value) {
				t.Fatalf("sent home as %+v", home)
			}
			home.Partition, home.Offset, home.Timestamp = 9, 99, time.Now() // as it is read from the replay topic
			again := l
			again.Origin = home
			again.Origin.Topic, again.Origin.Partition, again.Origin.Offset, again.Origin.Timestamp, again.Replays = deadletter.Origin(home)
			if again.Replays != round {
				t.Fatalf("replay %d counts as %d", round, again.Replays)
			}
			parsed, err := deadletter.Parse(deadletter.Wrap(again))
			if err != nil {
				t.Fatal(err)
			}
			if o, p := l.Origin, parsed.Origin; p.Topic != o.Topic || p.Partition != o.Partition || p.Offset != o.Offset || !p.Timestamp.Equal(o.Timestamp) {
				t.Fatalf("round %d: origin %+v, wanted %+v", round, p, o)
			}
			if parsed.Origin.Header(event.HeaderReplayJob) != "job" || parsed.Origin.Header(event.HeaderReplayLetter) != "letter" {
				t.Fatal("the letter of a failed replay does not know its job")
			}
			l = parsed
		}
	})
}

func TestSendingHomeLeavesTheLetterAlone(t *testing.T) {
	l := deadletter.Letter{Origin: event.Message{Headers: make([]event.Header, 0, 20)}, Stage: "validate", Code: "x"}
	l.Origin.SetHeader("a", "1")
	deadletter.Home(l, "one", "1")
	deadletter.Home(l, "two", "2")
	if len(l.Origin.Headers) != 1 || l.Origin.Header(event.HeaderReplayJob) != "" {
		t.Errorf("%v", l.Origin.Headers)
	}
}

func TestOriginOfAFreshRecordIsItself(t *testing.T) {
	at := time.Now()
	m := event.Message{Topic: event.Received(order.Mall), Partition: 1, Offset: 2, Timestamp: at}
	for name, header := range map[string]string{"none": "", "half": "mall.received.v1"} {
		m.SetHeader("dlq-origin-topic", header)
		topic, partition, offset, stamp, replays := deadletter.Origin(m)
		if topic != m.Topic || partition != 1 || offset != 2 || !stamp.Equal(at) || replays != 0 {
			t.Errorf("%s: %s/%d/%d, %d replays", name, topic, partition, offset, replays)
		}
	}
}

// PostgreSQL takes no NUL and a terminal no control characters; a cause is never longer than a header should be.
func TestCausesAreBoundedAndPrintable(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.OneOf(rapid.String(), rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) string { return string(b) }),
			rapid.StringN(400, 2000, -1)).Draw(t, "text")
		m := deadletter.Wrap(deadletter.Letter{Stage: "validate", Code: text, Path: text, Detail: text, Message: text})
		for _, h := range m.Headers {
			if len(h.Value) > 512 || !utf8.Valid(h.Value) || bytes.ContainsAny(h.Value, "\x00\n\x1b\x7f\u009b") {
				t.Fatalf("%s: %q", h.Key, h.Value)
			}
		}
	})
}

func TestParseRefusesWhatWrapNeverWrote(t *testing.T) {
	good := deadletter.Wrap(deadletter.Letter{Origin: event.Message{Topic: "t.v1"}, Stage: "s", Code: "c"})
	if _, err := deadletter.Parse(event.Message{Topic: "t.v1"}); err == nil {
		t.Error("a record without headers is no letter")
	}
	for _, name := range []string{
		"dlq-origin-topic", "dlq-origin-partition", "dlq-origin-offset", "dlq-origin-timestamp", "dlq-stage", "dlq-code",
		"dlq-attempts", "dlq-first-failure", "dlq-last-failure", "dlq-replays",
	} {
		m := good
		m.SetHeader(name, "")
		if _, err := deadletter.Parse(m); err == nil {
			t.Errorf("a letter without %s was read", name)
		}
	}
	for _, stamp := range []string{"9999-12-31T23:59:59-00:01", "0000-01-01T00:00:00+00:01"} { // could not be written again
		m := good
		m.SetHeader("dlq-last-failure", stamp)
		if _, err := deadletter.Parse(m); err == nil {
			t.Errorf("a letter of %s was read", stamp)
		}
	}
	m := good
	m.SetHeader("dlq-attempts", "secret")
	if _, err := deadletter.Parse(m); err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("got %v", err)
	}
}

// FuzzParse: a dead-letter topic may hold anything; reading it never panics, and what was read can be wrapped again.
func FuzzParse(f *testing.F) {
	good := deadletter.Wrap(deadletter.Letter{Origin: event.Message{Topic: "t.v1", Key: "k"}, Stage: "s", Code: "c"})
	f.Add([]byte(good.Header("dlq-origin-timestamp")), []byte("7"), []byte("x"), []byte("value"))
	f.Add([]byte("9999-12-31T23:59:59-00:01"), []byte("7"), []byte("x"), []byte("value"))
	f.Fuzz(func(t *testing.T, stamp, number, text, value []byte) {
		m := good
		m.Value = value
		for _, name := range []string{"dlq-origin-timestamp", "dlq-first-failure", "dlq-last-failure"} {
			m.SetHeader(name, string(stamp))
		}
		for _, name := range []string{"dlq-origin-partition", "dlq-origin-offset", "dlq-attempts", "dlq-replays"} {
			m.SetHeader(name, string(number))
		}
		m.SetHeader("dlq-code", string(text))
		m.SetHeader("dlq-message", string(text))
		l, err := deadletter.Parse(m)
		if err != nil {
			return
		}
		again, err := deadletter.Parse(deadletter.Wrap(l))
		if err != nil || !bytes.Equal(again.Origin.Value, value) || again.Origin.Offset != l.Origin.Offset {
			t.Fatalf("read %+v, wrapped and read again %+v (%v)", l, again, err)
		}
		deadletter.Origin(deadletter.Home(l, "job", "1"))
	})
}
