// Package quarantine reads the requests that ingest refused at the door, for the command line and the console. Nothing of
// what they say is shown to anybody: only their cause, and how their bytes are built.
package quarantine

import (
	"cmp"
	"context"
	"fmt"
	"mime"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"orderflow/pkg/bus"
	"orderflow/pkg/event"
)

// Headers of a refused request, beside the house's own.
const (
	HeaderCause  = "quarantine-cause"
	HeaderLength = "quarantine-length" // bytes of the whole body; absent when unknown
	HeaderRemote = "quarantine-remote" // the sender's network, never its address
)

// MaxShown is how many bytes of a refused request Shape shows.
const MaxShown = 4096

// ContentType is what a stranger wrote into the header of that name, as others may see it: the media type where it is a usual
// one, else only how long the text is.
func ContentType(header string) string {
	base, _, err := mime.ParseMediaType(header)
	switch {
	case header == "":
		return ""
	case err == nil && slices.Contains(mediaTypes, base):
		return base
	default:
		return fmt.Sprintf("•••(%d)", utf8.RuneCountInString(header))
	}
}

var mediaTypes = []string{
	"application/json", "text/json", "application/x-www-form-urlencoded", "multipart/form-data", "text/plain", "text/html", "application/xml",
	"text/xml", "application/octet-stream",
}

// Choose tells which offsets of a partition are wanted, from one to before another, given the first that there is and the
// one after the last; nothing is read where from is not before to.
type Choose func(partition int32, start, end int64) (from, to int64)

// Newest chooses the last n requests of each partition.
func Newest(n int) Choose {
	return func(_ int32, start, end int64) (int64, int64) { return max(start, end-int64(max(n, 1))), end }
}

// Only chooses one request by its place.
func Only(partition int32, offset int64) Choose {
	return func(p int32, start, end int64) (int64, int64) {
		if p != partition || offset < start || offset >= end {
			return 0, 0
		}
		return offset, offset + 1
	}
}

// Read gives the chosen requests to take, one by one, of each partition the oldest first. The client consumes nothing else.
func Read(ctx context.Context, client *kgo.Client, choose Choose, take func(event.Message)) error {
	admin := kadm.NewClient(client)
	first, errFirst := admin.ListStartOffsets(ctx, event.Quarantine)
	end, errEnd := admin.ListEndOffsets(ctx, event.Quarantine)
	if err := cmp.Or(errFirst, errEnd, first.Error(), end.Error()); err != nil {
		return fmt.Errorf("read the quarantine: %w", err)
	}
	from, left := map[int32]kgo.Offset{}, map[int32]int64{}
	end.Each(func(o kadm.ListedOffset) {
		start, _ := first.Lookup(o.Topic, o.Partition)
		if first, to := choose(o.Partition, start.Offset, o.Offset); first < to {
			from[o.Partition], left[o.Partition] = kgo.NewOffset().At(first), to
		}
	})
	client.AddConsumePartitions(map[string]map[int32]kgo.Offset{event.Quarantine: from})
	for len(left) > 0 {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return fmt.Errorf("read the quarantine: %w", err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			to, wanted := left[r.Partition]
			if wanted && r.Offset < to {
				take(bus.FromRecord(r))
			}
			if wanted && r.Offset >= to-1 {
				delete(left, r.Partition)
			}
		})
	}
	return nil
}

// Shape shows how bytes are built and nothing of what they say: every letter is x and every digit 0. It gives the first
// MaxShown bytes, and how many there are more.
func Shape(content []byte) (shape string, more int) {
	shown := content[:min(len(content), MaxShown)]
	shape = strings.Map(func(r rune) rune {
		switch {
		case unicode.IsDigit(r):
			return '0'
		case r == '\n' || r == ' ' || r < unicode.MaxASCII && unicode.IsPunct(r) || r < unicode.MaxASCII && unicode.IsSymbol(r):
			return r
		default:
			return 'x'
		}
	}, string(shown))
	return shape, len(content) - len(shown)
}
