package registry

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

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
	known map[int]known // by the writer's id
}

// known is what the registry said of an id: a schema that decodes the writer's bytes as the reader's, or why there is none.
type known struct {
	schema  *avro.Schema
	refused error
	until   time.Time // when a refused one is asked for again: a later writer may have got that id
}

const (
	// maxKnown bounds what a topic full of strange ids can make a reader keep; an honest topic has as many as versions.
	maxKnown = 256
	// refusedFor bounds how often a topic full of one strange id can make a reader ask.
	refusedFor = time.Minute
)

// NewDecoder makes a decoder whose values are those of the reader's schema.
func NewDecoder(client *Client, reader *avro.Schema) *Decoder {
	return &Decoder{client: client, reader: reader, known: map[int]known{}}
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
	k, ok := d.known[id]
	d.mu.Unlock()
	if ok && (k.refused == nil || time.Now().Before(k.until)) {
		return k.schema, k.refused
	}
	schema, err := d.ask(ctx, id)
	if err != nil && !errors.Is(err, ErrUnreadable) {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for other := range d.known {
		if len(d.known) < maxKnown {
			break
		}
		delete(d.known, other)
	}
	d.known[id] = known{schema, err, time.Now().Add(refusedFor)}
	return schema, err
}

func (d *Decoder) ask(ctx context.Context, id int) (*avro.Schema, error) {
	found, err := d.client.registry.SchemaByID(ctx, id)
	if says(err, http.StatusNotFound) {
		return nil, fmt.Errorf("%w: the registry does not know its schema", ErrUnreadable)
	}
	if answer, ok := errors.AsType[*sr.ResponseError](err); ok {
		return nil, fmt.Errorf("ask registry: HTTP %d, code %d", answer.StatusCode, answer.ErrorCode) // the body may be anybody's
	}
	if err != nil {
		return nil, fmt.Errorf("ask registry: %w", err)
	}
	if found.Schema == "" {
		return nil, errors.New("ask registry: an answer without a schema, as of something else than a schema registry")
	}
	writer, err := avro.Parse(found.Schema)
	if err != nil {
		return nil, fmt.Errorf("%w: parse schema: %w", ErrUnreadable, err)
	}
	schema, err := avro.Resolve(writer, d.reader)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnreadable, err)
	}
	return schema, nil
}

// says tells whether a registry itself gave that status: its error codes begin with it. Whoever else listens at the address,
// or a wrong path, answers 404 too.
func says(err error, status int) bool {
	answer, ok := errors.AsType[*sr.ResponseError](err)
	return ok && answer.StatusCode == status && answer.ErrorCode/100 == status
}
