package store

import (
	"cmp"
	"time"

	"github.com/shopspring/decimal"

	"orderflow/pkg/event"
	"orderflow/pkg/order"
)

// letterRow is a row of dead_letters. Its identity is the service and the origin of the record.
type letterRow struct {
	id              int64 // 0: no row yet
	service         string
	originTopic     string
	originPartition int32
	originOffset    int64
	key             order.Key
	revision        order.Revision // 0: the record's headers did not tell
	code            string
	failedReplays   int
	sentReplays     int
	dlqOffset       int64
	firstFailedAt   time.Time
	state           LetterState
	discardedAt     time.Time
	total           decimal.NullDecimal
	shop            string

	erased  bool    // of the letter: it is written without its record
	letter  *Letter // to be written, with all that comes from it
	changed bool
}

func newLetterRow(l *Letter, meta *event.Meta) *letterRow {
	row := &letterRow{
		service: l.Stage, originTopic: l.Origin.Topic, originPartition: l.Origin.Partition, originOffset: l.Origin.Offset,
		key: meta.OrderKey, revision: meta.Revision, firstFailedAt: l.First,
	}
	row.take(l)
	return row
}

// merge adds what another record of the same letter says. The record with the most replays behind it tells how things
// stand; of two with equally many, the one written last.
func (l *letterRow) merge(n *Letter) {
	if n.First.Before(l.firstFailedAt) {
		l.firstFailedAt, l.changed = n.First, true
	}
	if later := cmp.Or(cmp.Compare(n.Replays, l.failedReplays), cmp.Compare(n.Record.Offset, l.dlqOffset)); later > 0 {
		l.take(n)
	}
}

func (l *letterRow) take(n *Letter) {
	l.letter, l.changed = n, true
	l.code, l.failedReplays, l.dlqOffset = n.Code, n.Replays, n.Record.Offset
	l.total, l.shop = n.Excerpt.Total, n.Excerpt.Shop
}
