package published

import (
	"time"

	"github.com/shopspring/decimal"

	"orderflow/pkg/order"
)

// wireRecord is a Record as the library writes and reads it; nil is null. Pointers and raw values are what the library is
// fast with.
type wireRecord struct {
	OrderKey         order.Key      `avro:"order_key"`
	Source           order.Source   `avro:"source"`
	Revision         order.Revision `avro:"revision"`
	EventID          string         `avro:"event_id"`
	Kind             order.Kind     `avro:"kind"`
	OrderNo          string         `avro:"order_no"`
	OriginalOrderNo  *string        `avro:"original_order_no"`
	Shop             *string        `avro:"shop"`
	Channel          *string        `avro:"channel"`
	Status           *string        `avro:"status"`
	Currency         string         `avro:"currency"`
	Total            []byte         `avro:"total"`
	Paid             []byte         `avro:"paid"`
	Discount         []byte         `avro:"discount"`
	ListPrice        []byte         `avro:"list_price"`
	Lines            []wireLine     `avro:"lines"`
	BuyerPseudonym   *string        `avro:"buyer_pseudonym"`
	PhonePseudonym   *string        `avro:"phone_pseudonym"`
	CompanyPseudonym *string        `avro:"company_pseudonym"`
	Province         *string        `avro:"province"`
	City             *string        `avro:"city"`
	PlacedAt         *int64         `avro:"placed_at"`
	PaidAt           *int64         `avro:"paid_at"`
	ReceivedAt       int64          `avro:"received_at"`
	PublishedAt      int64          `avro:"published_at"`
	ReplayJob        *string        `avro:"replay_job"`
	Warnings         []string       `avro:"warnings"`
}

type wireLine struct {
	LineNo    int     `avro:"line_no"`
	LineID    *string `avro:"line_id"`
	Product   *string `avro:"product"`
	Name      *string `avro:"name"`
	Quantity  []byte  `avro:"quantity"`
	UnitPrice []byte  `avro:"unit_price"`
	ListPrice []byte  `avro:"list_price"`
	Discount  []byte  `avro:"discount"`
	Amount    []byte  `avro:"amount"`
}

// toWire gives a record that points into r.
func toWire(r *Record) (*wireRecord, error) {
	a := amountWriter{buffer: make([]byte, 0, 8*(4+5*len(r.Lines)))}
	w := &wireRecord{
		OrderKey: r.OrderKey, Source: r.Source, Revision: r.Revision, EventID: r.EventID, Kind: r.Kind, OrderNo: r.OrderNo,
		OriginalOrderNo: given(&r.OriginalOrderNo), Shop: given(&r.Shop), Channel: given(&r.Channel), Status: given(&r.Status),
		Currency: r.Currency,
		Total:    a.write(r.Total), Paid: a.write(r.Paid), Discount: a.write(r.Discount), ListPrice: a.write(r.ListPrice),
		Lines:          make([]wireLine, len(r.Lines)),
		BuyerPseudonym: given(&r.BuyerPseudonym), PhonePseudonym: given(&r.PhonePseudonym), CompanyPseudonym: given(&r.CompanyPseudonym),
		Province: given(&r.Province), City: given(&r.City), PlacedAt: micros(r.PlacedAt), PaidAt: micros(r.PaidAt),
		ReceivedAt: r.ReceivedAt.UnixMicro(), PublishedAt: r.PublishedAt.UnixMicro(), ReplayJob: given(&r.ReplayJob), Warnings: r.Warnings,
	}
	for i := range r.Lines {
		l := &r.Lines[i]
		w.Lines[i] = wireLine{
			LineNo: l.LineNo, LineID: given(&l.LineID), Product: given(&l.Product), Name: given(&l.Name),
			Quantity: a.write(l.Quantity), UnitPrice: a.write(l.UnitPrice), ListPrice: a.write(l.ListPrice),
			Discount: a.write(l.Discount), Amount: a.write(l.Amount),
		}
	}
	return w, a.err
}

func fromWire(w *wireRecord) (Record, error) {
	var a amountReader
	r := Record{
		OrderKey: w.OrderKey, Source: w.Source, Revision: w.Revision, EventID: w.EventID, Kind: w.Kind, OrderNo: w.OrderNo,
		OriginalOrderNo: text(w.OriginalOrderNo), Shop: text(w.Shop), Channel: text(w.Channel), Status: text(w.Status),
		Currency: w.Currency,
		Total:    a.read(w.Total), Paid: a.read(w.Paid), Discount: a.read(w.Discount), ListPrice: a.read(w.ListPrice),
		Lines:          make([]Line, len(w.Lines)),
		BuyerPseudonym: text(w.BuyerPseudonym), PhonePseudonym: text(w.PhonePseudonym), CompanyPseudonym: text(w.CompanyPseudonym),
		Province: text(w.Province), City: text(w.City), PlacedAt: instant(w.PlacedAt), PaidAt: instant(w.PaidAt),
		ReceivedAt: instant(&w.ReceivedAt), PublishedAt: instant(&w.PublishedAt), ReplayJob: text(w.ReplayJob), Warnings: w.Warnings,
	}
	for i := range w.Lines {
		l := &w.Lines[i]
		r.Lines[i] = Line{
			LineNo: l.LineNo, LineID: text(l.LineID), Product: text(l.Product), Name: text(l.Name),
			Quantity: a.read(l.Quantity), UnitPrice: a.read(l.UnitPrice), ListPrice: a.read(l.ListPrice),
			Discount: a.read(l.Discount), Amount: a.read(l.Amount),
		}
	}
	return r, a.err
}

// given is nil for an empty text.
func given(text *string) *string {
	if *text == "" {
		return nil
	}
	return text
}

func text(given *string) string {
	if given == nil {
		return ""
	}
	return *given
}

func micros(t time.Time) *int64 {
	if t.IsZero() {
		return nil
	}
	return new(t.UnixMicro())
}

func instant(micros *int64) time.Time {
	if micros == nil {
		return time.Time{}
	}
	return time.UnixMicro(*micros).UTC()
}

// amountWriter turns a record's amounts into bytes and remembers the first that has no room.
type amountWriter struct {
	buffer []byte
	err    error
}

func (a *amountWriter) write(amount decimal.NullDecimal) (encoded []byte) {
	if a.err == nil {
		a.buffer, encoded, a.err = appendAmount(a.buffer, amount)
	}
	return encoded
}

// amountReader turns bytes into amounts, likewise.
type amountReader struct{ err error }

func (a *amountReader) read(encoded []byte) decimal.NullDecimal {
	amount, err := readAmount(encoded)
	if err != nil && a.err == nil {
		a.err = err
	}
	return amount
}
