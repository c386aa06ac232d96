package worker

import (
	"fmt"
	"runtime"
	"time"

	"orderflow/pkg/deadletter"
	"orderflow/pkg/event"
)

// letter wraps a record that is given up. A replayed record keeps the coordinates of its first origin.
func letter(service, version string, m event.Message, f *fault, tries int, first, last time.Time) event.Message {
	origin := m
	var replays int
	origin.Topic, origin.Partition, origin.Offset, origin.Timestamp, replays = deadletter.Origin(m)
	return deadletter.Wrap(deadletter.Letter{
		Origin: origin, Stage: service, Version: version, Replays: replays,
		Code: string(f.code), Path: f.path, Detail: f.detail, Class: f.class, Message: f.message,
		Attempts: tries, First: first, Last: last,
	})
}

// panicked describes a recovered panic without its value, which may quote the record. The runtime's own errors (a nil
// pointer, an index out of range) hold no values of a record and are kept.
func panicked(value any) *fault {
	message := fmt.Sprintf("the handler panicked with a %T", value)
	if err, ok := value.(runtime.Error); ok {
		message = "the handler panicked: " + err.Error()
	}
	return &fault{code: PanicCode, class: classPanic, message: message}
}

// hung describes a handler that went on after its call was cancelled.
func hung(timeout time.Duration) *fault {
	return &fault{code: DeadlineCode, class: classDeadline, message: fmt.Sprintf("the handler ignored the end of its time, %s", timeout)}
}
