// Package sender pushes orders to ingest as the three upstream systems do: it signs, sends and reads the answer in the
// sender's own dialect. orderctl, the demo of `make run` and the journeys use it.
package sender

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"orderflow/pkg/order"
)

// Secrets are what ingest checks pushes with; a sender signs with the first entry of each list.
type Secrets struct {
	ICBU        string `env:"ICBU_SECRETS" doc:"app_key=secret,...; icbu pushes are signed with the first"`
	Procurement string `env:"PROCUREMENT_TOKENS" doc:"comma list; procurement pushes go to the address with the first"`
	Mall        string `env:"MALL_APPS" doc:"AppId=Token,...; mall pushes are signed with the first (AppId=Token:md5 for an MD5 brand)"`
}

// Push is what is to be sent.
type Push struct {
	Source order.Source
	Body   []byte // the document as the sender has it: icbu and procurement an object, mall an array of orders
	Form   bool   // icbu only: as the fields of a form instead of a JSON body
}

// Answer is what ingest said.
type Answer struct {
	Accepted   bool
	Again      bool   // not accepted, but the sender is asked to try again later
	Status     int    // HTTP
	Code       string // the dialect's own
	Text       string // the dialect's own
	Receipt    string // of an accepted push
	RetryAfter string // as the header says it
}

// Sender sends pushes to one ingest. It is safe for concurrent use.
type Sender struct {
	base    string
	secrets Secrets
	client  *http.Client
	now     func() time.Time
}

// ErrNotSent is in the error of a push that never left: a secret is missing, or the document does not fit the source.
var ErrNotSent = errors.New("not sent")

// answerLimit bounds what is read of an answer; an icbu answer echoes the push, of at most 1 MiB.
const answerLimit = 4 << 20

// timeout is longer than ingest takes to say that Kafka is away.
const timeout = 30 * time.Second

// New makes a sender for the ingest at base, such as http://127.0.0.1:8080.
func New(base string, secrets Secrets) *Sender {
	return &Sender{base: strings.TrimRight(base, "/"), secrets: secrets, client: &http.Client{Timeout: timeout}, now: time.Now}
}

// Send signs and sends one push. An error means that there is no answer: the push was not sent, or what became of it is
// unknown. It never holds a secret.
func (s *Sender) Send(ctx context.Context, p Push) (Answer, error) {
	request, err := s.request(ctx, p)
	if err != nil {
		return Answer{}, fmt.Errorf("%w: %w", ErrNotSent, err)
	}
	response, err := s.client.Do(request)
	if err != nil {
		var withURL *url.Error
		if errors.As(err, &withURL) { // its text quotes the address, and procurement's token stands in the address
			err = withURL.Err
		}
		return Answer{}, fmt.Errorf("push to %s: %w", s.base, err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, answerLimit))
	if err != nil {
		return Answer{}, fmt.Errorf("read the answer of %s: %w", s.base, err)
	}
	answer := readAnswer(p.Source, body)
	answer.Status = response.StatusCode
	answer.RetryAfter = response.Header.Get("Retry-After")
	answer.Receipt = response.Header.Get("Orderflow-Receipt")
	answer.Accepted = answer.Accepted && response.StatusCode == http.StatusOK
	answer.Again = response.StatusCode == http.StatusServiceUnavailable
	return answer, nil
}

func (s *Sender) request(ctx context.Context, p Push) (*http.Request, error) {
	var address, contentType string
	var body []byte
	var err error
	switch p.Source {
	case order.ICBU:
		address, contentType, body, err = s.icbu(p)
	case order.Procurement:
		address, contentType, body, err = s.procurement(p)
	case order.Mall:
		address, contentType, body, err = s.mall(p)
	default:
		err = errors.New("unknown source")
	}
	if err != nil {
		return nil, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, s.base+address, bytes.NewReader(body))
	if err != nil {
		return nil, errors.New("not a usable address")
	}
	request.Header.Set("Content-Type", contentType)
	return request, nil
}
