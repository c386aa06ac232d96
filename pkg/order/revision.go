package order

// Revision orders the pushes of one order: the offset of the received record in its partition, with the topic's
// generation in the high bits. One key lives in one partition, so the broker is the only sequencer: greater means newer,
// and no clock is asked (design.md section 4). The zero Revision means "none".
type Revision int64

// offsetBits leaves room for 2^47 records a partition and keeps revisions of the first 31 generations exact in readers
// that know only IEEE doubles.
const offsetBits = 48

// NewRevision makes the revision of the record at offset in a received topic of the given generation (1 and up).
func NewRevision(generation int, offset int64) Revision {
	return Revision(int64(generation)<<offsetBits | offset)
}

// Offset is the offset of the received record.
func (r Revision) Offset() int64 { return int64(r) & (1<<offsetBits - 1) }

// Generation is the received topic's generation.
func (r Revision) Generation() int { return int(r >> offsetBits) }
