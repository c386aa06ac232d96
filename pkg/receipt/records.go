package receipt

import (
	"encoding/binary"
	"math"
)

// appendRecords packs the records. Orders of one batch that share a partition mostly have consecutive offsets there, so
// most of them cost two bytes.
func appendRecords(b []byte, records []Record) []byte {
	b = binary.AppendUvarint(b, uint64(len(records)))
	var last lastOffsets
	for _, r := range records {
		b = binary.AppendUvarint(b, uint64(uint32(r.Partition)))
		b = binary.AppendVarint(b, r.Offset-last.of(r.Partition))
		last.set(r)
	}
	return b
}

func parseRecords(b []byte) ([]Record, bool) {
	count, n := binary.Uvarint(b)
	if n <= 0 || count > MaxRecords {
		return nil, false
	}
	b = b[n:]
	records := make([]Record, 0, count)
	var last lastOffsets
	for range count {
		partition, n := binary.Uvarint(b)
		if n <= 0 || partition > math.MaxInt32 {
			return nil, false
		}
		b = b[n:]
		delta, n := binary.Varint(b)
		if n <= 0 {
			return nil, false
		}
		b = b[n:]
		r := Record{Partition: int32(partition)}
		if r.Offset = last.of(r.Partition) + delta; r.Offset < 0 {
			return nil, false
		}
		last.set(r)
		records = append(records, r)
	}
	return records, len(b) == 0
}

// lastOffsets remembers each partition's last record. A push touches a handful of partitions: a slice beats a map.
type lastOffsets []Record

func (l lastOffsets) of(partition int32) int64 {
	for _, r := range l {
		if r.Partition == partition {
			return r.Offset
		}
	}
	return 0
}

func (l *lastOffsets) set(r Record) {
	for i := range *l {
		if (*l)[i].Partition == r.Partition {
			(*l)[i].Offset = r.Offset
			return
		}
	}
	*l = append(*l, r)
}
