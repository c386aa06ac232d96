package published

import (
	"context"
	"fmt"
	"time"

	"github.com/shopspring/decimal"
	"github.com/twmb/avro"

	"orderflow/pkg/event"
	"orderflow/pkg/order"
	"orderflow/pkg/privacy"
	"orderflow/pkg/registry"
	"orderflow/schemas"
)

// ContentType of the records' values.
const ContentType = "application/vnd.confluent.avro"

// schema is the current one. Amounts stay raw bytes: the library's own way to them goes through big.Rat.
var schema = avro.MustParse(schemas.OrderSchema, avro.CustomType{LogicalType: "decimal", AvroType: "bytes"})

// wireRecord is a Record as the library writes and reads it; omitzero makes what is absent null.
type wireRecord struct {
	OrderKey         order.Key      `avro:"order_key"`
	Source           order.Source   `avro:"source"`
	Revision         order.Revision `avro:"revision"`
	EventID          string         `avro:"event_id"`
	Kind             order.Kind     `avro:"kind"`
	OrderNo          string         `avro:"order_no"`
	OriginalOrderNo  string         `avro:"original_order_no,omitzero"`
	Shop             string         `avro:"shop,omitzero"`
	Channel          string         `avro:"channel,omitzero"`
	Status           string         `avro:"status,omitzero"`
	Currency         string         `avro:"currency"`
	Total            []byte         `avro:"total,omitzero"`
	Paid             []byte         `avro:"paid,omitzero"`
	Discount         []byte         `avro:"discount,omitzero"`
	ListPrice        []byte         `avro:"list_price,omitzero"`
	Lines            []wireLine     `avro:"lines"`
	BuyerPseudonym   string         `avro:"buyer_pseudonym,omitzero"`
	PhonePseudonym   string         `avro:"phone_pseudonym,omitzero"`
	CompanyPseudonym string         `avro:"company_pseudonym,omitzero"`
	Province         string         `avro:"province,omitzero"`
	City             string         `avro:"city,omitzero"`
	PlacedAt         time.Time      `avro:"placed_at,omitzero"`
	PaidAt           time.Time      `avro:"paid_at,omitzero"`
	ReceivedAt       time.Time      `avro:"received_at"`
	PublishedAt      time.Time      `avro:"published_at"`
	ReplayJob        string         `avro:"replay_job,omitzero"`
	Warnings         []string       `avro:"warnings"`
}

type wireLine struct {
	LineNo    int    `avro:"line_no"`
	LineID    string `avro:"line_id,omitzero"`
	Product   string `avro:"product,omitzero"`
	Name      string `avro:"name,omitzero"`
	Quantity  []byte `avro:"quantity,omitzero"`
	UnitPrice []byte `avro:"unit_price,omitzero"`
	ListPrice []byte `avro:"list_price,omitzero"`
	Discount  []byte `avro:"discount,omitzero"`
	Amount    []byte `avro:"amount,omitzero"`
}

// Encoder writes records under the schema's id in the registry. It is safe for concurrent use.
type Encoder struct{ id int }

// NewEncoder makes an encoder for the id that the registry gave for schemas.OrderSchema under Subject.
func NewEncoder(id int) *Encoder { return &Encoder{id} }

// Encode gives a record's value in the Confluent wire format. Its error is ErrAmount, which no order that passed validation
// causes, or a record without a kind of the schema.
func (e *Encoder) Encode(r *Record) ([]byte, error) {
	wire, err := toWire(r)
	if err != nil {
		return nil, err
	}
	value, err := registry.Append(make([]byte, 0, sizeOf(r)), e.id, schema, wire)
	if err != nil {
		return nil, fmt.Errorf("encode record: %w", err)
	}
	return value, nil
}

// Message gives the message of a record, ready to be produced, with the headers of the house. The content digest is the one
// of the validated document under a key: the plain one could be guessed back into the phone number that the document holds.
func (e *Encoder) Message(r *Record, meta event.Meta, pseudonyms Pseudonyms) (event.Message, error) {
	value, err := e.Encode(r)
	if err != nil {
		return event.Message{}, err
	}
	meta.Digest = pseudonyms.Pseudonym(privacy.Content, meta.Digest)
	return event.New(Topic, "validate", meta, r.PublishedAt, ContentType, value), nil
}

// Decoder reads records that any version of validate has written. It is safe for concurrent use.
type Decoder struct{ decoder *registry.Decoder }

// NewDecoder makes a decoder that asks the registry once for each schema it meets.
func NewDecoder(client *registry.Client) *Decoder {
	return &Decoder{registry.NewDecoder(client, schema)}
}

// Decode reads a record's value. The error is registry.ErrUnreadable, or the registry is away.
func (d *Decoder) Decode(ctx context.Context, value []byte) (Record, error) {
	var wire wireRecord
	if err := d.decoder.Decode(ctx, value, &wire); err != nil {
		return Record{}, fmt.Errorf("decode record of %s: %w", Topic, err)
	}
	r, err := fromWire(&wire)
	if err != nil {
		return Record{}, fmt.Errorf("decode record of %s: %w: %w", Topic, registry.ErrUnreadable, err)
	}
	return r, nil
}

// sizeOf guesses the length of a record's value, so that it is rarely copied.
func sizeOf(r *Record) int {
	const head, line = 512, 160
	return head + line*len(r.Lines)
}

// amounts turns amounts into bytes, and remembers the first that has no room.
type amounts struct {
	buffer []byte
	err    error
}

func (a *amounts) bytes(amount decimal.NullDecimal) (encoded []byte) {
	if a.err == nil {
		a.buffer, encoded, a.err = appendAmount(a.buffer, amount)
	}
	return encoded
}

// reading turns bytes into amounts, likewise.
type reading struct{ err error }

func (a *reading) amount(encoded []byte) decimal.NullDecimal {
	amount, err := readAmount(encoded)
	if err != nil && a.err == nil {
		a.err = err
	}
	return amount
}

func toWire(r *Record) (*wireRecord, error) {
	a := amounts{buffer: make([]byte, 0, 8*(4+5*len(r.Lines)))}
	w := &wireRecord{
		OrderKey: r.OrderKey, Source: r.Source, Revision: r.Revision, EventID: r.EventID, Kind: r.Kind, OrderNo: r.OrderNo,
		OriginalOrderNo: r.OriginalOrderNo, Shop: r.Shop, Channel: r.Channel, Status: r.Status, Currency: r.Currency,
		Total: a.bytes(r.Total), Paid: a.bytes(r.Paid), Discount: a.bytes(r.Discount), ListPrice: a.bytes(r.ListPrice),
		Lines:          make([]wireLine, len(r.Lines)),
		BuyerPseudonym: r.BuyerPseudonym, PhonePseudonym: r.PhonePseudonym, CompanyPseudonym: r.CompanyPseudonym,
		Province: r.Province, City: r.City, PlacedAt: r.PlacedAt, PaidAt: r.PaidAt, ReceivedAt: r.ReceivedAt,
		PublishedAt: r.PublishedAt, ReplayJob: r.ReplayJob, Warnings: r.Warnings,
	}
	for i := range r.Lines {
		l := &r.Lines[i]
		w.Lines[i] = wireLine{
			LineNo: l.LineNo, LineID: l.LineID, Product: l.Product, Name: l.Name,
			Quantity: a.bytes(l.Quantity), UnitPrice: a.bytes(l.UnitPrice), ListPrice: a.bytes(l.ListPrice),
			Discount: a.bytes(l.Discount), Amount: a.bytes(l.Amount),
		}
	}
	return w, a.err
}

func fromWire(w *wireRecord) (Record, error) {
	var a reading
	r := Record{
		OrderKey: w.OrderKey, Source: w.Source, Revision: w.Revision, EventID: w.EventID, Kind: w.Kind, OrderNo: w.OrderNo,
		OriginalOrderNo: w.OriginalOrderNo, Shop: w.Shop, Channel: w.Channel, Status: w.Status, Currency: w.Currency,
		Total: a.amount(w.Total), Paid: a.amount(w.Paid), Discount: a.amount(w.Discount), ListPrice: a.amount(w.ListPrice),
		Lines:          make([]Line, len(w.Lines)),
		BuyerPseudonym: w.BuyerPseudonym, PhonePseudonym: w.PhonePseudonym, CompanyPseudonym: w.CompanyPseudonym,
		Province: w.Province, City: w.City, PlacedAt: w.PlacedAt, PaidAt: w.PaidAt, ReceivedAt: w.ReceivedAt,
		PublishedAt: w.PublishedAt, ReplayJob: w.ReplayJob, Warnings: w.Warnings,
	}
	for i := range w.Lines {
		l := &w.Lines[i]
		r.Lines[i] = Line{
			LineNo: l.LineNo, LineID: l.LineID, Product: l.Product, Name: l.Name,
			Quantity: a.amount(l.Quantity), UnitPrice: a.amount(l.UnitPrice), ListPrice: a.amount(l.ListPrice),
			Discount: a.amount(l.Discount), Amount: a.amount(l.Amount),
		}
	}
	return r, a.err
}
