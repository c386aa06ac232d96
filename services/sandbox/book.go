package main

import (
	"sync"
	"time"
)

// maxEffects bounds the list of effects; the oldest go first.
const maxEffects = 500_000

// taken is one order as a partner holds it.
type taken struct {
	Partner string `json:"partner"`
	Shop    string `json:"shop,omitzero"` // ezr: the ShopCode, since a Code is unique per shop only
	OrderNo string `json:"order_no"`
	Times   int    `json:"times"`  // accepted calls
	Amount  string `json:"amount"` // the last accepted one, exact text
}

// effect is one order taken by one call, in the order in which the partner took them.
type effect struct {
	Seq     int64     `json:"seq"`
	Partner string    `json:"partner"`
	Shop    string    `json:"shop,omitzero"`
	OrderNo string    `json:"order_no"`
	Amount  string    `json:"amount"`
	At      time.Time `json:"at"`
}

// counts are one partner's figures since the last reset.
type counts struct {
	Calls        int `json:"calls"`    // every call, whatever the answer
	Accepted     int `json:"accepted"` // calls whose orders were taken
	MaxInFlight  int `json:"max_in_flight"`
	LargestBatch int `json:"largest_batch"` // orders of one call, taken or not
}

// config is how the partners deal with what the contracts leave open.
type config struct {
	OKKIExisting   string `json:"okki_existing"`    // take, refuse
	EZRExisting    string `json:"ezr_existing"`     // 2102, overwrite
	EZRMissingSale string `json:"ezr_missing_sale"` // accept, refuse (2103): a return whose sale EZR does not hold
	EZRConcurrency int    `json:"ezr_concurrency"`  // calls at once before EZR answers 407; 0: no limit
}

type orderID struct{ partner, shop, number string }

// item is one order of a call.
type item struct {
	shop, number, amount string
	original             string // ezr: the sale that a return takes back
}

// book is what the partners remember.
type book struct {
	mu       sync.Mutex
	orders   map[orderID]*taken
	listed   []*taken // in the order of their first arrival
	effects  []effect // a ring once it holds kept
	kept     int
	seq      int64
	stats    map[string]*counts
	inFlight map[string]int
	config   config
}

func newBook() *book {
	return &book{
		orders:   map[orderID]*taken{},
		stats:    map[string]*counts{partnerOKKI: {}, partnerEZR: {}},
		kept:     maxEffects,
		inFlight: map[string]int{},
		config:   config{OKKIExisting: "take", EZRExisting: "2102", EZRMissingSale: "accept"},
	}
}

// enter counts a call in and tells how many are in flight with it; leave ends it.
func (b *book) enter(partner string) (inFlight int, leave func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.inFlight[partner]++
	inFlight = b.inFlight[partner]
	b.stats[partner].Calls++
	b.stats[partner].MaxInFlight = max(b.stats[partner].MaxInFlight, inFlight)
	return inFlight, func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.inFlight[partner]--
	}
}

func (b *book) sawBatch(partner string, size int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.stats[partner].LargestBatch = max(b.stats[partner].LargestBatch, size)
}

// take takes all orders of a call or, where one is known and known ones are refused, none.
func (b *book) take(partner string, items []item, at time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.refusesKnown(partner) {
		for _, it := range items {
			if b.orders[orderID{partner, it.shop, it.number}] != nil {
				return false
			}
		}
	}
	for _, it := range items {
		id := orderID{partner, it.shop, it.number}
		known := b.orders[id]
		if known == nil {
			known = &taken{Partner: partner, Shop: it.shop, OrderNo: it.number}
			b.orders[id] = known
			b.listed = append(b.listed, known)
		}
		known.Times++
		known.Amount = it.amount
		b.note(effect{Partner: partner, Shop: it.shop, OrderNo: it.number, Amount: it.amount, At: at.UTC()})
	}
	b.stats[partner].Accepted++
	return true
}

// lacksSale tells whether EZR refuses a call because one of its returns names a sale that was not taken before; one in the
// same call does not count.
func (b *book) lacksSale(items []item) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.config.EZRMissingSale != "refuse" {
		return false
	}
	for _, it := range items {
		if it.original != "" && b.orders[orderID{partnerEZR, it.shop, it.original}] == nil {
			return true
		}
	}
	return false
}

func (b *book) refusesKnown(partner string) bool {
	if partner == partnerOKKI {
		return b.config.OKKIExisting == "refuse"
	}
	return b.config.EZRExisting == "2102"
}

func (b *book) note(e effect) {
	e.Seq = b.seq
	b.seq++
	if len(b.effects) < b.kept {
		b.effects = append(b.effects, e)
		return
	}
	b.effects[e.Seq%int64(b.kept)] = e
}

// list copies what is held, of one partner and one number or, where these are empty, of all.
func (b *book) list(partner, number string) []taken {
	b.mu.Lock()
	defer b.mu.Unlock()
	found := []taken{}
	for _, t := range b.listed {
		if (partner == "" || t.Partner == partner) && (number == "" || t.OrderNo == number) {
			found = append(found, *t)
		}
	}
	return found
}

// calls copies the effects from a sequence number on, and tells how many older ones are no longer kept.
func (b *book) calls(partner, number string, from int64) (found []effect, dropped int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	found = []effect{}
	dropped = b.seq - int64(len(b.effects))
	for seq := max(from, dropped); seq < b.seq; seq++ {
		e := b.effects[seq%int64(b.kept)]
		if (partner == "" || e.Partner == partner) && (number == "" || e.OrderNo == number) {
			found = append(found, e)
		}
	}
	return found, dropped
}

func (b *book) forget() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.orders, b.listed, b.effects, b.seq = map[orderID]*taken{}, nil, nil, 0
}

func (b *book) counts() map[string]counts {
	b.mu.Lock()
	defer b.mu.Unlock()
	copied := map[string]counts{}
	for name, c := range b.stats {
		copied[name] = *c
	}
	return copied
}

func (b *book) resetCounts() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for name := range b.stats {
		b.stats[name] = &counts{MaxInFlight: b.inFlight[name]}
	}
}

// limited tells whether EZR's limit of calls at once, if there is one, is exceeded.
func (b *book) limited(inFlight int) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.config.EZRConcurrency > 0 && inFlight > b.config.EZRConcurrency
}
