package main

import (
	"context"
	"time"

	"orderflow/pkg/delivery"
	"orderflow/pkg/partner/okki"
)

// prepare sends the normalised document as it stands, `ack` and unknown fields included, and finds the order's amount.
func prepare(document []byte) (delivery.Prepared, error) {
	total, err := okki.Total(document)
	return delivery.Prepared{Body: document, Total: total}, err
}

// sendTo makes one call per order: OKKI takes them one at a time.
func sendTo(client *okki.Client) func(context.Context, []delivery.Parcel) []delivery.Answer {
	return func(ctx context.Context, parcels []delivery.Parcel) []delivery.Answer {
		answers := make([]delivery.Answer, len(parcels))
		for i, parcel := range parcels {
			start := time.Now()
			taken, err := client.Create(ctx, parcel.Body)
			answers[i] = delivery.NewAnswer(taken, err, time.Since(start))
		}
		return answers
	}
}
