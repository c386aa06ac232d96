package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// consoleSettings say where the console is and who asks.
type consoleSettings struct {
	URL      string `env:"CONSOLE_URL" envDefault:"http://127.0.0.1:8090" doc:"base address of the console"`
	User     string `env:"CONSOLE_USER" doc:"name of a user of the console"`
	Password string `env:"CONSOLE_PASSWORD" doc:"that user's password"`
}

// console asks the console's JSON API.
type console struct {
	cfg    consoleSettings
	client *http.Client
	out    io.Writer
	notes  io.Writer // beside what a program may read
	raw    bool      // print the API's own answer
}

const (
	consoleTimeout = 30 * time.Second
	consoleAnswer  = 32 << 20
)

func openConsole(cmd *cobra.Command) (*console, error) {
	c := &console{client: &http.Client{Timeout: consoleTimeout}, out: cmd.OutOrStdout(), notes: cmd.ErrOrStderr()}
	if flag := cmd.Flags().Lookup("json"); flag != nil {
		c.raw = flag.Value.String() == "true"
	}
	return c, load(&c.cfg)
}

// withConsole makes a command that asks the console.
func withConsole(cmd *cobra.Command, run func(ctx context.Context, c *console, args []string) error) *cobra.Command {
	cmd.Long += settingsHelp(&consoleSettings{})
	cmd.Flags().Bool("json", false, "print the API's answer as it is, for programs; a list is one answer, with the items of all its pages")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, err := openConsole(cmd)
		if err != nil {
			return err
		}
		return run(cmd.Context(), c, args)
	}
	return cmd
}

// apiError is what the console answered instead of what was asked for.
type apiError struct {
	status  int
	code    string
	message string
	after   string // seconds after which to ask again, as the console says them
}

func (e *apiError) Error() string {
	text := fmt.Sprintf("the console refused: %s (HTTP %d, %s)", printable(e.message), e.status, printable(e.code))
	next := nextSteps[e.code]
	if seconds, err := strconv.Atoi(e.after); err == nil && e.status == http.StatusTooManyRequests {
		next = fmt.Sprintf("try again in %d s", seconds)
	}
	if next != "" {
		text += "\n  next: " + next
	}
	return text
}

// nextSteps are what can be done about an error, by its code.
var nextSteps = map[string]string{
	"unauthorized":  "set CONSOLE_USER and CONSOLE_PASSWORD; in the folder of a running `make run`, .local/env has them",
	"forbidden":     "ask somebody with that role; what you tried stands in the audit",
	"own_job":       "a second approver runs: orderctl replays approve NUMBER",
	"wrong_state":   "orderctl replays show NUMBER tells where the job stands",
	"gone":          "the sender can push the order again; Kafka may hold a copy for some days",
	"sealed":        "an SRE compares PAYLOAD_KEYS with orderctl privacy rotate --check",
	"no_difference": "orderctl balance shows what is named now, and what was accepted before",
	"settled":       "orderctl dlq show NUMBER tells what became of the letter",
	"unavailable":   "try again; an SRE looks at the console's /readyz",
	"busy":          "try again in a moment",
	"rate_limited":  "try again in a moment",
}

// errNoConsole says that nobody answered.
var errNoConsole = errors.New("the console does not answer")

// ask sends a request and reads the answer; body and into may be nil.
func (c *console) ask(ctx context.Context, method, path string, query url.Values, body, into any) error {
	text, err := c.request(ctx, method, path, query, body)
	if err != nil {
		return err
	}
	if c.raw {
		fmt.Fprintf(c.out, "%s", text)
	}
	if into == nil {
		return nil
	}
	if err := json.Unmarshal(text, into); err != nil {
		return fmt.Errorf("read the console's answer: is CONSOLE_URL the console's address? %w", err)
	}
	return nil
}

func (c *console) request(ctx context.Context, method, path string, query url.Values, body any) ([]byte, error) {
	var sent io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return nil, err
		}
		sent = bytes.NewReader(text)
	}
	address := strings.TrimRight(c.cfg.URL, "/") + path
	if len(query) > 0 {
		address += "?" + query.Encode()
	}
	request, err := http.NewRequestWithContext(ctx, method, address, sent)
	if err != nil {
		return nil, errors.New("CONSOLE_URL is not a usable address")
	}
	if c.cfg.User != "" {
		request.SetBasicAuth(c.cfg.User, c.cfg.Password)
	}
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	response, err := c.client.Do(request)
	if err != nil {
		if withURL, ok := errors.AsType[*url.Error](err); ok { // its text quotes the address, and with it a receipt
			err = withURL.Err
		}
		return nil, fmt.Errorf("%w at %s: %w\n  next: see that it runs there and answers /readyz; CONSOLE_URL names another address", errNoConsole, c.place(), err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, consoleAnswer))
	if err != nil {
		return nil, fmt.Errorf("%w to the end: %w", errNoConsole, err)
	}
	if response.StatusCode == http.StatusOK {
		return text, nil
	}
	var told struct {
		Error struct{ Code, Message string } `json:"error"`
	}
	if json.Unmarshal(text, &told) != nil || told.Error.Code == "" {
		return nil, fmt.Errorf("HTTP %d from %s, which does not look like the console: see CONSOLE_URL", response.StatusCode, c.place())
	}
	return nil, &apiError{response.StatusCode, told.Error.Code, told.Error.Message, response.Header.Get("Retry-After")}
}

// place is the console's address without the name, password or token that somebody may have put into it.
func (c *console) place() string {
	address, err := url.Parse(c.cfg.URL)
	if err != nil {
		return "CONSOLE_URL"
	}
	return (&url.URL{Scheme: address.Scheme, Host: address.Host, Path: address.Path}).String()
}

// list reads all pages of a list, up to most items, and tells whether there are more. What --json prints is one answer of the
// API's shape, with the items of all pages.
func list[T any](ctx context.Context, c *console, path string, query url.Values, most int) (items []T, more bool, err error) {
	return listParts[T](ctx, c, path, query, most, 500)
}

// listParts is list with so many items a page; 0: as many as the console likes.
func listParts[T any](ctx context.Context, c *console, path string, query url.Values, most, part int) (items []T, more bool, err error) {
	type page struct {
		Items []json.RawMessage `json:"items"`
		Next  *string           `json:"next"`
	}
	all := page{Items: []json.RawMessage{}}
	quiet := *c
	quiet.raw = false
	for {
		if part > 0 {
			query.Set("limit", fmt.Sprint(min(most-len(all.Items), part)))
		}
		var one page
		if err := quiet.ask(ctx, http.MethodGet, path, query, nil, &one); err != nil {
			return nil, false, err
		}
		all.Items, all.Next = append(all.Items, one.Items...), one.Next
		if one.Next == nil || len(all.Items) >= most {
			break
		}
		query.Set("cursor", *one.Next)
	}
	if c.raw {
		out := json.NewEncoder(c.out)
		out.SetEscapeHTML(false)
		if err := out.Encode(all); err != nil {
			return nil, false, fmt.Errorf("print the list: %w", err)
		}
	}
	items = make([]T, len(all.Items))
	for i, text := range all.Items {
		if err := json.Unmarshal(text, &items[i]); err != nil {
			return nil, false, fmt.Errorf("read the console's answer: %w", err)
		}
	}
	return items, all.Next != nil, nil
}
