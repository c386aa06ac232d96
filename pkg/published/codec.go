package published

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/avro"

	"orderflow/pkg/event"
	"orderflow/pkg/privacy"
	"orderflow/pkg/registry"
	"orderflow/pkg/source"
	"orderflow/schemas"
)

// ContentType of the records' values.
const ContentType = "application/vnd.confluent.avro"

// schema is the current one. Amounts and times are raw bytes and microseconds for the library: its own way to amounts goes
// through big.Rat.
var schema = avro.MustParse(schemas.OrderSchema,
	avro.CustomType{LogicalType: "decimal", AvroType: "bytes"}, avro.CustomType{LogicalType: "timestamp-micros", AvroType: "long"})

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

// Message gives the message of a record, ready to be produced. Its headers are those of the validated document, but for
// what the value decides; and the content digest is under a key: a plain one of a document of which analysts know all but
// the phone number could be guessed back into the number.
func (e *Encoder) Message(r *Record, document *event.Message, pseudonyms Pseudonyms) (event.Message, error) {
	value, err := e.Encode(r)
	if err != nil {
		return event.Message{}, err
	}
	m := event.Message{Topic: Topic, Key: document.Key, Value: value, Headers: slices.Clone(document.Headers)}
	for i := range m.Headers {
		h := &m.Headers[i]
		switch h.Key {
		case event.HeaderType:
			h.Value = []byte(event.Type(Topic))
		case event.HeaderTime:
			h.Value = r.PublishedAt.UTC().AppendFormat(nil, time.RFC3339Nano)
		case event.HeaderContentType:
			h.Value = []byte(ContentType)
		case event.HeaderDigest:
			h.Value = []byte(pseudonyms.Pseudonym(privacy.Content, string(h.Value)))
		}
	}
	return m, nil
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
	if len(wire.Lines) > source.MaxLines { // before they take ten times their bytes
		return Record{}, fmt.Errorf("decode record of %s: %w: more lines than an order may have", Topic, registry.ErrUnreadable)
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
