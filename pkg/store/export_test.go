package store

import "time"

// SetNow replaces a writer's clock.
func (w *Writer) SetNow(now func() time.Time) { w.now = now }

// SalesQuery is asked how PostgreSQL executes it.
const SalesQuery = sales

// MendQueries are the mender's statements by name.
func MendQueries() map[string]string {
	return map[string]string{"dirty": dirtyRows, "count": countDirty, "forget": forgetRequests}
}
