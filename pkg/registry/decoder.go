package registry

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"

	"github.com/twmb/avro"
	"github.com/twmb/franz-go/pkg/sr"
)

var wireFormat sr.ConfluentHeader

// Append encodes a value behind its Confluent header and appends both to dst.
func Append(dst []byte, id int, schema *avro.Schema, value any) ([]byte, error) {
	dst, _ = wireFormat.AppendEncode(dst, id, nil) // never fails
	return schema.AppendEncode(dst, value)
}

// ErrUnreadable says that a record is not what its topic promises: no Confluent header, a schema that the registry does not
// know or that cannot be read as ours, or bytes that are not of their schema. The record is at fault, not the world.
var ErrUnreadable = errors.New("the record cannot be read")

// Decoder reads records of any writer's schema as the schema of this reader. It is safe for concurrent use and keeps the
// schemas that it has seen.
type Decoder struct {
	client *Client
	reader *avro.Schema

	mu    sync.Mutex
	known map[int]*avro.Schema // by the writer's id: decodes its bytes as the reader's
}

// maxKnown bounds what a topic full of strange ids can make a reader keep; an honest topic has as many as versions.
const maxKnown = 256

// NewDecoder makes a decoder whose values are those of the reader's schema.
func NewDecoder(client *Client, reader *avro.Schema) *Decoder {
	return &Decoder{client: client, reader: reader, known: map[int]*avro.Schema{}}
}

// Decode reads a record's value into v, a pointer as the reader's schema needs it. The error is ErrUnreadable, or the
// registry is away; it never quotes the value.
func (d *Decoder) Decode(ctx context.Context, value []byte, v any) error {
	id, body, err := wireFormat.DecodeID(value)
	if err != nil {
		return fmt.Errorf("%w: no Confluent header", ErrUnreadable)
	}
	schema, err := d.schema(ctx, id)
	if err != nil {
		return fmt.Errorf("schema %d: %w", id, err)
	}
	rest, err := schema.Decode(body, v)
	if err != nil || len(rest) > 0 {
		return fmt.Errorf("%w: its bytes are not of schema %d", ErrUnreadable, id) // the library's error may quote them
	}
	return nil
}

func (d *Decoder) schema(ctx context.Context, id int) (*avro.Schema, error) {
	d.mu.Lock()
	schema := d.known[id]
	d.mu.Unlock()
	if schema != nil {
		return schema, nil
	}
	found, err := d.client.registry.SchemaByID(ctx, id)
	if statusOf(err) == http.StatusNotFound {
		return nil, fmt.Errorf("%w: the registry does not know its schema", ErrUnreadable)
	}
	if err != nil {
		return nil, fmt.Errorf("ask registry: %w", err)
	}
	writer, err := avro.Parse(found.Schema)
	if err != nil {
		return nil, fmt.Errorf("%w: parse schema: %w", ErrUnreadable, err)
	}
	if schema, err = avro.Resolve(writer, d.reader); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnreadable, err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for other := range d.known {
		if len(d.known) < maxKnown {
			break
		}
		delete(d.known, other)
	}
	d.known[id] = schema
	return schema, nil
}
