package main

import (
	"context"
	"testing"

	"orderflow/pkg/delivery"
	"orderflow/pkg/partner"
	"orderflow/pkg/partner/ezr"
)

// What is sent again goes beside the worker's batches, and must not exceed what EZR grants.
func TestASendTakesASlot(t *testing.T) {
	s := startShopServer(t)
	client, err := ezr.New(s.settings())
	if err != nil {
		t.Fatal(err)
	}
	u := newUploader(client, limits{MaxInFlight: 1, Instances: 1})
	ready, err := prepare(document("S1", "1", "450.5"))
	if err != nil {
		t.Fatal(err)
	}
	parcels := []delivery.Parcel{{OrderKey: "mall:S1:1", Revision: 1, Body: ready.Body, Attempt: 1}}
	u.slots <- struct{}{}
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if a := u.send(ctx, parcels)[0]; a.Err == nil || a.Err.Class != partner.NotTaken {
		t.Errorf("without a slot: %+v", a)
	}
	if n := s.calls(); n != 0 {
		t.Errorf("%d calls without a slot", n)
	}
	<-u.slots
	if a := u.send(t.Context(), parcels)[0]; a.Err != nil {
		t.Errorf("with a slot: %v", a.Err)
	}
	if len(u.slots) != 0 {
		t.Error("the slot is not given back")
	}
}
