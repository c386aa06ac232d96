package main

import (
	"fmt"
	"maps"
	"slices"

	"github.com/shopspring/decimal"
)

// money: the sums over delivered orders at their delivered revision are the same for sender, PostgreSQL and partner.
func (c *checker) money() ruling {
	r := ruling{law: lawMoney}
	atPartner := maps.Clone(c.kept)
	for _, source := range sourceNames {
		sent, stored, taken := decimal.Zero, decimal.Zero, decimal.Zero
		count := 0
		for _, key := range slices.Sorted(maps.Keys(c.orders)) {
			o := c.orders[key]
			if o.source != source {
				continue
			}
			theirs, ours, ok := c.deliveredAmounts(o)
			if !ok {
				continue
			}
			count++
			sent, stored = sent.Add(amount(theirs)), stored.Add(amount(ours))
			if !sameAmount(theirs, ours) {
				r.broken("%s: pushed over %s, PostgreSQL has %s", key, theirs, ours)
			}
			if source != "procurement" {
				taken = taken.Add(amount(atPartner[key]))
				if !sameAmount(theirs, atPartner[key]) {
					r.broken("%s: pushed over %s, its partner has %q", key, theirs, atPartner[key])
				}
			}
			delete(atPartner, key)
		}
		r.held += count
		r.note += fmt.Sprintf("%s: %d orders, %s; ", source, count, sent)
		if !sent.Equal(stored) || source != "procurement" && !sent.Equal(taken) {
			r.broken("%s: %s sent, %s in PostgreSQL, %s at the partner", source, sent, stored, taken)
		}
	}
	for key := range atPartner {
		r.broken("%s is at its partner, PostgreSQL does not know it as delivered", key)
	}
	return r
}

// deliveredAmounts are what sender and PostgreSQL say of a delivered order; false for one that is not delivered.
func (c *checker) deliveredAmounts(o orderRow) (sent, stored string, ok bool) {
	versions := c.history[o.key]
	if o.source == "procurement" {
		newest := newestGood(versions)
		if o.state != "persisted" || newest < 0 {
			return "", "", false
		}
		return versions[newest].doc.Amount, o.total, true
	}
	if o.deliveredRevision == 0 {
		return "", "", false
	}
	i := slices.IndexFunc(versions, func(v version) bool { return v.revision == o.deliveredRevision })
	if i < 0 {
		return "no such revision", o.deliveredTotal, true
	}
	return versions[i].doc.Amount, o.deliveredTotal, true
}

// amount reads an exact amount; what is none counts as nothing, which the comparison of sums shows.
func amount(text string) decimal.Decimal {
	d, err := decimal.NewFromString(text)
	if err != nil {
		return decimal.Zero
	}
	return d
}

func sameAmount(a, b string) bool {
	x, errX := decimal.NewFromString(a)
	y, errY := decimal.NewFromString(b)
	return errX == nil && errY == nil && x.Equal(y)
}
