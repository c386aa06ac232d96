package main

import (
	"context"
	"fmt"
	"time"

	"orderflow/pkg/order"
)

const saleParked = "sale_parked"

// saleKnownWithin is how long a received sale may be on its way until a return has to wait for it, faults included.
const saleKnownWithin = 90 * time.Second

// orphaned is the story of a return whose sale breaks a rule: the sale is parked, and then so is the return.
func (l *load) orphaned(ctx context.Context, sale author) {
	if !l.push(ctx, "bad", sale.source, sale.write(1, bad, "sum_mismatch")) {
		return
	}
	if len(l.replays.await(ctx, `select id, service, dlq_topic, dlq_partition, dlq_offset from dead_letters where order_key = $1`, sale.key())) == 0 {
		return
	}
	back := sale
	back.number, back.original = sale.number+"R", sale.number
	l.push(ctx, "orphan", order.Mall, back.write(1, bad, saleParked))
}

// returnsBehindSales: EZR has no return before its sale, if the sale had long been received.
func (c *checker) returnsBehindSales() ruling {
	r := ruling{law: lawReturns}
	overtook := 0
	for key, versions := range c.history {
		sale, back := c.taken[versions[0].doc.SaleOf], c.taken[key]
		if versions[0].doc.SaleOf == "" || len(back) == 0 {
			continue
		}
		r.held++
		if len(sale) > 0 && sale[0].Seq < back[0].Seq {
			continue
		}
		overtook++
		for _, v := range c.history[versions[0].doc.SaleOf] {
			if known := c.stands[v.place].at.Add(saleKnownWithin); v.doc.Verdict == good && known.Before(back[0].At) {
				r.broken("%s is at EZR before its sale, which was received %s earlier", key, back[0].At.Sub(c.stands[v.place].at).Round(time.Second))
				break
			}
		}
	}
	r.note = fmt.Sprintf("%d came before a sale that was not known yet", overtook-len(r.violations))
	return r
}

// mended: nobody's newest delivery is left as one that a late call may have undone.
func (c *checker) mended() ruling {
	r := ruling{law: lawMended, held: len(c.ledger)}
	for _, key := range c.dirty {
		r.broken("%s: its newest delivery is to be made once more", key)
	}
	return r
}
