package delivery

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"

	"orderflow/pkg/event"
	"orderflow/pkg/store"
	"orderflow/pkg/worker"
)

const (
	mendPause = 15 * time.Second // between rounds
	mendBatch = 100              // orders of one round
)

// StartMending sends again, beside the deliveries, what a late call may have overwritten at the partner: at once and then
// every 15 s, one order at a time, until ctx ends or the returned function is called, which waits for the end. A failure
// of the world ends the round, so that a partner that is away gets one call a round at most.
//
// Nothing is published: the outcome was when the record ended, and stays as it was. A partner's "exists already" mends as
// well: whoever says so takes no changes, so the late call changed nothing either; or it knows this very content. After a
// refusal the order stays dirty and is tried again later, less and less often.
func (d *Desk) StartMending(ctx context.Context, log *zap.Logger) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	m := &mender{desk: *d, log: log}
	m.desk.Ledger = d.Ledger.Mender()
	done := make(chan struct{})
	go func() {
		defer close(done)
		m.run(ctx)
	}()
	return func() {
		cancel()
		<-done
	}
}

// mender is a desk that sends again, under an owner of its own.
type mender struct {
	desk Desk
	log  *zap.Logger
	told string // the failure that was logged last
}

func (m *mender) run(ctx context.Context) {
	for {
		err := m.round(ctx)
		if ctx.Err() != nil {
			return
		}
		m.tell(err)
		pause := mendPause
		if asked, ok := errors.AsType[*worker.PauseError](err); ok {
			pause = max(pause, asked.After)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
	}
}

// tell logs a failure when it is another one than before, so that an outage is one line and not one a round.
func (m *mender) tell(err error) {
	if err == nil {
		m.told = ""
		return
	}
	if text := err.Error(); text != m.told {
		m.told = text
		m.log.Warn("dirty deliveries wait to be mended", zap.Error(err))
	}
}

// round mends what is due, until the first failure that is not the order's own.
func (m *mender) round(ctx context.Context) error {
	mends, err := m.desk.Ledger.Dirty(ctx, mendBatch)
	if err != nil {
		return outage(ctx, err)
	}
	var unreadable error
	for _, mend := range mends {
		body, keyErr := m.desk.Keys.Decrypt(mend.Request, place(mend.Intent.OrderKey, mend.RequestRevision))
		if keyErr != nil {
			unreadable = fmt.Errorf("open a kept request: %w", keyErr)
			continue
		}
		if err = m.mend(ctx, mend, body); err != nil {
			break
		}
	}
	left, countErr := m.desk.Ledger.CountDirty(ctx)
	if countErr != nil {
		return outage(ctx, errors.Join(err, countErr))
	}
	m.desk.Metrics.dirty.Set(float64(left))
	if err != nil {
		return err
	}
	if err := m.desk.Ledger.ForgetRequests(ctx); err != nil {
		return outage(ctx, err)
	}
	return unreadable
}

// mend sends one order again. It gives an error only for what other orders would suffer from as well.
func (m *mender) mend(ctx context.Context, mend store.Mend, body []byte) error {
	in := mend.Intent
	j := &job{meta: event.Meta{OrderKey: in.OrderKey, Revision: in.Revision, Digest: in.Digest}, ready: Prepared{Body: body, Total: in.Total}, mending: true}
	m.desk.round(ctx, []*job{j})
	switch {
	case j.result == nil || errors.Is(j.result.Err, worker.ErrBusy) || j.result.Err == nil && j.grant.Verdict != store.Call:
		return nil // somebody else has the order in hand
	case j.result.Err != nil:
		return j.result.Err
	}
	fields := []zap.Field{
		zap.String("order_key", string(in.OrderKey)), zap.Int64("revision", int64(in.Revision)),
		zap.Int("attempt", mend.Tries+1), zap.String("code", j.answer.code()), zap.Duration("took", j.answer.Took),
	}
	if m.desk.ending(j.parcel, j.answer) == store.Delivered {
		m.log.Info("delivered order sent again after a late call", fields...)
	} else {
		m.log.Warn("partner refuses a delivered order that is sent again after a late call", fields...)
	}
	return nil
}
