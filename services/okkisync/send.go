package main

import (
	"context"
	"time"

	"orderflow/pkg/delivery"
	"orderflow/pkg/partner/okki"
	"orderflow/pkg/source"
)

// prepare sends the normalised document as it stands, `ack` and unknown fields included, and finds the order's amount.
func prepare(document []byte) (delivery.Prepared, error) {
	var peek struct {
		Amount source.AmountText `json:"amount"`
	}
	if err := source.Decode(document, &peek); err != nil {
		return delivery.Prepared{}, err
	}
	return delivery.Prepared{Body: document, Total: peek.Amount.Text}, nil
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
