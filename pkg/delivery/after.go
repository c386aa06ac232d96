package delivery

import (
	"context"
	"errors"
	"fmt"

	"orderflow/pkg/order"
	"orderflow/pkg/store"
	"orderflow/pkg/worker"
)

var (
	errSaleOpen   = fmt.Errorf("the sale of this return is not delivered yet: %w", worker.ErrBusy)
	errSaleParked = errors.New("the sale of this return is parked")
)

// holdBack finds the jobs that come after an order which the partner does not hold yet: returns. One waits while its sale
// is under way, and is parked when that is. A sale that nobody knows holds nothing back: the partner may know it.
//
// Sale and return in one batch would be one call, so the return waits; but for a sale that is a return itself, for two of
// them may name each other.
func (d *Desk) holdBack(ctx context.Context, jobs []*job) {
	sales := map[order.Key]bool{}
	var after []order.Key
	for _, j := range jobs {
		switch {
		case j.result != nil:
		case j.ready.After == "":
			sales[j.meta.OrderKey] = true
		default:
			after = append(after, j.ready.After)
		}
	}
	if len(after) == 0 {
		return
	}
	asking, stop := context.WithTimeout(ctx, d.Ledger.Lease)
	states, err := d.Ledger.Sales(asking, after)
	stop()
	for _, j := range jobs {
		if j.result != nil || j.ready.After == "" {
			continue
		}
		switch state := states[j.ready.After]; {
		case err != nil:
			j.fail(outage(ctx, err))
		case state == store.SaleTaken:
		case state == store.SaleOpen, sales[j.ready.After]:
			j.held = errSaleOpen
		case state == store.SaleParked:
			j.held = worker.Permanent(worker.SaleParked, errSaleParked)
		}
	}
}
