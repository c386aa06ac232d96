package main

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"orderflow/pkg/partner"
)

// fault is one failure on demand, interfaces.md section 4.
type fault struct {
	Partner    string         `json:"partner"`
	OrderNo    string         `json:"order_no,omitzero"` // ali_order_no or Code; empty: every call
	Times      *int           `json:"times,omitzero"`    // calls still to hit; absent: for ever
	Status     int            `json:"status,omitzero"`
	RetryAfter partner.Scalar `json:"retry_after,omitzero"` // seconds or an HTTP date
	Code       partner.Scalar `json:"code,omitzero"`
	SubCode    string         `json:"sub_code,omitzero"`
	SubMsg     string         `json:"sub_msg,omitzero"`
	DelayMS    int            `json:"delay_ms,omitzero"`
	Hang       bool           `json:"hang,omitzero"`
	Drop       bool           `json:"drop,omitzero"`
	After      bool           `json:"after,omitzero"` // the order is taken first
}

// check tells what is wrong with a fault.
func (f fault) check() error {
	effects := 0
	for _, has := range []bool{f.Status != 0, f.Code != "" || f.SubCode != "", f.Hang, f.Drop} {
		if has {
			effects++
		}
	}
	switch {
	case f.Partner != partnerOKKI && f.Partner != partnerEZR:
		return errors.New("partner: okki or ezr")
	case f.Times != nil && *f.Times < 1:
		return errors.New("times: at least 1, or absent")
	case effects > 1 || (effects == 0 && f.DelayMS == 0):
		return errors.New("one of status, code or sub_code, delay_ms, hang, drop")
	case f.Status != 0 && (f.Status < 200 || f.Status > 599):
		return errors.New("status: 200 to 599")
	case f.DelayMS < 0 || f.DelayMS > int(time.Hour/time.Millisecond):
		return errors.New("delay_ms: 0 to one hour")
	case f.Partner == partnerEZR && f.SubCode != "":
		return errors.New("sub_code: ezr has none, use code")
	}
	return nil
}

// onlyDelays tells whether the call goes on as usual after the fault.
func (f fault) onlyDelays() bool {
	return f.Status == 0 && f.Code == "" && f.SubCode == "" && !f.Hang && !f.Drop
}

func (f fault) hits(partner string, numbers []string) bool {
	return f.Partner == partner && (f.Times == nil || *f.Times > 0) &&
		(f.OrderNo == "" || slices.Contains(numbers, f.OrderNo))
}

// faults are those in force, in the order in which they were set.
type faults struct {
	mu  sync.Mutex
	all []fault
}

// hit is what the faults do to one call.
type hit struct {
	delayBefore, delayAfter time.Duration
	effect                  *fault
}

// match finds what hits a call and counts it down: every fault that only delays, and the first that does more.
func (f *faults) match(partner string, numbers []string) hit {
	f.mu.Lock()
	defer f.mu.Unlock()
	var found hit
	for i := range f.all {
		candidate := &f.all[i]
		if !candidate.hits(partner, numbers) || (!candidate.onlyDelays() && found.effect != nil) {
			continue
		}
		if candidate.Times != nil {
			*candidate.Times--
		}
		delay := time.Duration(candidate.DelayMS) * time.Millisecond
		if candidate.After {
			found.delayAfter += delay
		} else {
			found.delayBefore += delay
		}
		if !candidate.onlyDelays() {
			struck := *candidate
			found.effect = &struck
		}
	}
	return found
}

func (f *faults) set(all []fault) error {
	for i, candidate := range all {
		if err := candidate.check(); err != nil {
			return fmt.Errorf("fault %d: %w", i+1, err)
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.all = all
	return nil
}

// list gives the faults that can still hit, with the times that are left.
func (f *faults) list() []fault {
	f.mu.Lock()
	defer f.mu.Unlock()
	left := []fault{}
	for _, candidate := range f.all {
		if candidate.Times != nil {
			if *candidate.Times == 0 {
				continue
			}
			times := *candidate.Times
			candidate.Times = &times
		}
		left = append(left, candidate)
	}
	return left
}
