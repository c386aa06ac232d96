package main

import (
	"context"
	"strings"
	"time"

	"golang.org/x/time/rate"

	"orderflow/pkg/delivery"
	"orderflow/pkg/event"
	"orderflow/pkg/order"
	"orderflow/pkg/partner"
	"orderflow/pkg/partner/ezr"
)

// callTimeout is the client timeout of EZR's own helper (protocols 4.3).
const callTimeout = 8 * time.Second

// prepare gives EZR's form of an order: documented fields, money with exactly two decimals. A return comes after its sale.
func prepare(document []byte) (delivery.Prepared, error) {
	encoded, err := ezr.Encode(document)
	if err != nil {
		return delivery.Prepared{}, err
	}
	ready := delivery.Prepared{Body: encoded.Body, Total: encoded.Total}
	if encoded.Original != "" && strings.HasPrefix(encoded.Total, "-") {
		ready.After = order.NewKey(order.Mall, nil, encoded.ShopCode, encoded.Original)
	}
	return ready, nil
}

// shop is the ShopCode part of an order key, `mall:<ShopCode>:<Code>`: a batch holds orders of one shop only.
func shop(m event.Message) string {
	_, natural, _ := strings.Cut(m.Key, ":")
	code, _, _ := strings.Cut(natural, ":")
	return code
}

// uploader sends batches to EZR within its rate. As many are in flight as there are slots: the worker keeps to that by
// itself, and what is sent again beside it takes a slot as well. The calls of one batch follow each other.
type uploader struct {
	client *ezr.Client
	rate   *rate.Limiter
	slots  chan struct{}
}

func newUploader(client *ezr.Client, l limits) *uploader {
	limit := rate.Inf
	if share := l.rate(); share > 0 {
		limit = rate.Limit(share)
	}
	return &uploader{client, rate.NewLimiter(limit, max(1, int(l.rate()))), make(chan struct{}, l.inFlight())}
}

// send uploads the parcels together. A batch whose outcome nobody knows comes back as it was; the worker halves it when
// other orders got answers meanwhile. A return that EZR did not take before goes by itself: each time that EZR misses its
// sale, the batch around it would have to be bisected.
func (u *uploader) send(ctx context.Context, parcels []delivery.Parcel) []delivery.Answer {
	b := &batch{uploader: u, parcels: parcels, answers: make([]delivery.Answer, len(parcels))}
	select {
	case u.slots <- struct{}{}:
		defer func() { <-u.slots }()
	case <-ctx.Done():
		b.stopped = &partner.Error{Class: partner.NotTaken, Code: "slots", Err: ctx.Err()}
	}
	var together, alone []int
	for i, parcel := range parcels {
		if parcel.After != "" && parcel.Attempt > 1 && !parcel.MaybeTaken {
			alone = append(alone, i)
		} else {
			together = append(together, i)
		}
	}
	b.send(ctx, together)
	b.each(ctx, alone)
	return b.answers
}

// batch is one batch on its way. Members are named by their index.
type batch struct {
	*uploader
	parcels []delivery.Parcel
	answers []delivery.Answer
	stopped *partner.Error // a failure that further calls would share
}

// send uploads the members in one call and bisects when EZR blames some order: the culprit of 100 is found in 15 calls at
// most, the others are delivered on the way.
//
// 2102 of a batch says only that at least one order exists. Where all of them may have been taken by an earlier call they
// are asked one by one (n+1 calls), else the known one is found by bisecting, too (15 calls; 2n-1 if all are known).
func (b *batch) send(ctx context.Context, members []int) {
	if len(members) == 0 {
		return
	}
	failed := b.call(ctx, members)
	if failed == nil || len(members) == 1 {
		return
	}
	switch failed.Class {
	case partner.Exists:
		if b.allMaybeTaken(members) {
			b.each(ctx, members)
			return
		}
	case partner.Split, partner.TooLarge:
	default:
		return
	}
	half := len(members) / 2
	b.send(ctx, members[:half])
	b.send(ctx, members[half:])
}

// each uploads the members one by one.
func (b *batch) each(ctx context.Context, members []int) {
	for i := range members {
		_ = b.call(ctx, members[i:i+1]) // noted among the answers
	}
}

// call uploads the members once and notes the answer for each of them. After a failure that has nothing to do with these
// orders no further call is made; the remaining members were not sent.
func (b *batch) call(ctx context.Context, members []int) *partner.Error {
	answer := delivery.Answer{Err: b.stopped}
	if b.stopped == nil {
		answer = b.upload(ctx, members)
		b.stopped = stops(answer.Err, len(members))
	}
	for _, m := range members {
		b.answers[m] = answer
	}
	return answer.Err
}

func (b *batch) upload(ctx context.Context, members []int) delivery.Answer {
	if err := b.rate.Wait(ctx); err != nil {
		return delivery.Answer{Err: &partner.Error{Class: partner.NotTaken, Code: "rate", Err: err}}
	}
	orders := make([][]byte, len(members))
	for i, m := range members {
		orders[i] = b.parcels[m].Body
	}
	ctx, stop := context.WithTimeout(ctx, callTimeout)
	defer stop()
	start := time.Now()
	taken, err := b.client.Upload(ctx, orders)
	return delivery.NewAnswer(taken, err, time.Since(start))
}

// stops gives the error of the members that are not sent any more after a failed call of n members, or nil to go on. The
// failure of a single order may be its own.
func stops(failed *partner.Error, n int) *partner.Error {
	if failed == nil || failed.Class.Definite() || (failed.Class == partner.Unknown && n == 1 && failed.RetryAfter == 0) {
		return nil
	}
	class := partner.NotTaken
	if failed.Class == partner.Configuration {
		class = partner.Configuration
	}
	return &partner.Error{Class: class, Code: failed.Code, RetryAfter: failed.RetryAfter, Err: failed.Err}
}

func (b *batch) allMaybeTaken(members []int) bool {
	for _, m := range members {
		if !b.parcels[m].MaybeTaken {
			return false
		}
	}
	return true
}
