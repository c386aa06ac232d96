// Package registry speaks to a schema registry (Confluent's HTTP API) and knows the Confluent wire format: a zero byte, the
// schema's id in four bytes, then the Avro bytes. A writer registers its schema once, at start, and needs the registry no
// more; a reader asks for a writer's schema once per id.
package registry

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/twmb/franz-go/pkg/sr"
	"go.uber.org/zap"

	"orderflow/pkg/boot"
)

// Settings say where the registry is.
type Settings struct {
	URL string `env:"SCHEMA_REGISTRY_URL,required" doc:"URL of a Confluent-compatible schema registry, a path included; may hold user:password@"`
}

// Validate checks the URL and never prints it, since it may hold a password.
func (s *Settings) Validate() error {
	u, err := url.Parse(s.URL)
	if s.URL != "" && (err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "") {
		return errors.New("SCHEMA_REGISTRY_URL: not an http or https URL")
	}
	return nil
}

// Client asks a registry. It is safe for concurrent use.
type Client struct{ registry *sr.Client }

// callTimeout bounds one call.
const callTimeout = 5 * time.Second

// New makes a client; it asks nothing yet.
func New(s Settings) (*Client, error) {
	u, err := url.Parse(s.URL)
	if err != nil {
		return nil, errors.New("SCHEMA_REGISTRY_URL: not a URL")
	}
	options := []sr.ClientOpt{sr.HTTPClient(&http.Client{Timeout: callTimeout}), sr.UserAgent("orderflow")}
	if u.User != nil {
		password, _ := u.User.Password()
		options = append(options, sr.BasicAuth(u.User.Username(), password))
		u.User = nil // errors quote the URL
	}
	registry, err := sr.NewClient(append(options, sr.URLs(u.String()))...)
	if err != nil {
		return nil, fmt.Errorf("make registry client: %w", err)
	}
	return &Client{registry}, nil
}

// ErrRefused says that the registry will not take a schema, however often it is asked: it breaks the subject's readers, or
// is no schema. The text of the registry follows.
var ErrRefused = errors.New("the schema registry refuses the schema")

// Register makes sure that the subject has the Avro schema and gives the schema's id. A subject without a compatibility
// level of its own gets BACKWARD_TRANSITIVE first, since a registry's global level may be anything; the global level is
// left alone. The error is ErrRefused, or the registry is away or unwell.
func (c *Client) Register(ctx context.Context, subject, schema string) (id int, err error) {
	if err := c.guard(ctx, subject); err != nil {
		return 0, fmt.Errorf("set compatibility of %s: %w", subject, err)
	}
	id, err = c.registry.RegisterSchema(ctx, subject, sr.Schema{Schema: schema, Type: sr.TypeAvro}, -1, -1)
	if status := statusOf(err); status == http.StatusConflict || status == http.StatusUnprocessableEntity {
		return 0, fmt.Errorf("register %s: %w: %w", subject, ErrRefused, err)
	}
	if err != nil {
		return 0, fmt.Errorf("register %s: %w", subject, err)
	}
	if id < 1 {
		return 0, fmt.Errorf("register %s: the registry gave no id", subject)
	}
	return id, nil
}

// guard gives the subject the house's level if it has none of its own.
func (c *Client) guard(ctx context.Context, subject string) error {
	own := sr.WithParams(ctx, sr.RawParams(url.Values{"defaultToGlobal": {"false"}}))
	level := c.registry.Compatibility(own, subject)[0]
	if statusOf(level.Err) != http.StatusNotFound {
		return level.Err
	}
	return c.registry.SetCompatibility(ctx, sr.SetCompatibility{Level: sr.CompatBackwardTransitive}, subject)[0].Err
}

// statusOf is the HTTP status of the registry's answer; 0 if there was none. The library's errors do not match its own
// sentinels.
func statusOf(err error) int {
	if answer, ok := errors.AsType[*sr.ResponseError](err); ok {
		return answer.StatusCode
	}
	return 0
}

// Waiting for the registry.
const (
	condition = "schema_registry"
	waitFirst = 500 * time.Millisecond
	waitMost  = 15 * time.Second
)

// Await registers the schema as soon as the registry is there; until then the process is not ready and says why. An error
// is the end of ctx, or ErrRefused: then this process must not write.
func (c *Client) Await(ctx context.Context, p *boot.Process, subject, schema string) (id int, err error) {
	for wait := waitFirst; ; wait = min(2*wait, waitMost) {
		id, err = c.Register(ctx, subject, schema)
		if ctx.Err() != nil {
			return 0, context.Cause(ctx)
		}
		if errors.Is(err, ErrRefused) {
			err = fmt.Errorf("%w; this version of %s must not write: deploy one whose schema is compatible, or publish the change as a new topic", err, p.Name)
		} else if err != nil {
			err = fmt.Errorf("the schema registry cannot be used, check SCHEMA_REGISTRY_URL and the registry: %w", err)
		}
		p.Health.Set(condition, err)
		if err == nil || errors.Is(err, ErrRefused) {
			return id, err
		}
		p.Log.Warn("waiting for the schema registry", zap.Error(err))
		select {
		case <-ctx.Done():
			return 0, context.Cause(ctx)
		case <-time.After(wait):
		}
	}
}
