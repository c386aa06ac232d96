package main

import (
	"encoding/csv"
	"encoding/json"
	"errors"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/shopspring/decimal"
	"golang.org/x/text/width"

	"orderflow/pkg/published"
)

// newPrinter gives what writes one record to out in a format.
func newPrinter(format string, out io.Writer) (func(*published.Record) error, error) {
	switch format {
	case "table":
		return tablePrinter(out), nil
	case "json":
		encoder := json.NewEncoder(out)
		encoder.SetEscapeHTML(false)
		return func(r *published.Record) error { return encoder.Encode(jsonOrder(r)) }, nil
	case "csv":
		return csvPrinter(out), nil
	}
	return nil, errors.New("--format: not one of table, json, csv")
}

// column is one column of the table.
type column struct {
	title string
	width int // 0: as long as it is; what is longer is cut, unless whole
	whole bool
	text  func(*published.Record) string
}

var tableColumns = []column{
	{"RECEIVED", 19, false, func(r *published.Record) string { return r.ReceivedAt.Local().Format(time.DateTime) }},
	{"KIND", 16, false, func(r *published.Record) string { return string(r.Kind) }},
	{"ORDER", 36, true, func(r *published.Record) string { return string(r.OrderKey) }},
	{"SHOP", 16, false, func(r *published.Record) string { return r.Shop }},
	{"CHANNEL", 10, false, func(r *published.Record) string { return r.Channel }},
	{"STATUS", 12, false, func(r *published.Record) string { return r.Status }},
	{"LINES", 5, false, func(r *published.Record) string { return strconv.Itoa(len(r.Lines)) }},
	{"TOTAL", 0, true, func(r *published.Record) string { return strings.TrimSpace(exact(r.Total) + " " + r.Currency) }},
}

// tablePrinter writes columns of fixed width, since what comes next is not known.
func tablePrinter(out io.Writer) func(*published.Record) error {
	titled := false
	return func(r *published.Record) error {
		var b strings.Builder
		if !titled {
			titled = true
			for _, c := range tableColumns {
				writeCell(&b, c.title, c.width, c.whole)
			}
			b.WriteByte('\n')
		}
		for _, c := range tableColumns {
			writeCell(&b, c.text(r), c.width, c.whole)
		}
		b.WriteByte('\n')
		_, err := io.WriteString(out, b.String())
		return err
	}
}

// writeCell fills a text to a width on the terminal, and cuts it there with a sign that it goes on; an order key is whole, to be
// copied. What is not printable could be a command to the terminal.
func writeCell(b *strings.Builder, text string, wanted int, whole bool) {
	cut := !whole && cells(text) > wanted
	taken := 0
	for _, r := range text {
		if !unicode.IsPrint(r) {
			r = '?'
		}
		size := cells(string(r))
		if cut && taken+size > wanted-1 {
			b.WriteRune('…')
			taken++
			break
		}
		b.WriteRune(r)
		taken += size
	}
	if wanted > 0 {
		b.WriteString(strings.Repeat(" ", max(wanted-taken, 0)+2))
	}
}

// cells is how much room a text takes on the terminal: letters of East Asia take two places.
func cells(text string) (taken int) {
	for _, r := range text {
		taken++
		if kind := width.LookupRune(r).Kind(); kind == width.EastAsianWide || kind == width.EastAsianFullwidth {
			taken++
		}
	}
	return taken
}

// exact is an amount as a text with at least two places and no more than it needs; "" if there is none.
func exact(amount decimal.NullDecimal) string {
	if !amount.Valid {
		return ""
	}
	text := amount.Decimal.String()
	_, places, _ := strings.Cut(text, ".")
	if len(places) < 2 {
		return amount.Decimal.StringFixed(2)
	}
	return text
}

var csvTitles = []string{
	"order_key", "source", "revision", "event_id", "kind", "order_no", "original_order_no", "shop", "channel", "status", "currency",
	"total", "paid", "discount", "list_price", "line_count", "buyer_pseudonym", "phone_pseudonym", "company_pseudonym", "province", "city",
	"placed_at", "paid_at", "received_at", "published_at", "replay_job", "warnings",
}

func csvPrinter(out io.Writer) func(*published.Record) error {
	w := csv.NewWriter(out)
	titled := false
	return func(r *published.Record) error {
		if !titled {
			titled = true
			_ = w.Write(csvTitles) // the error comes with Flush
		}
		_ = w.Write([]string{
			plain(string(r.OrderKey)), plain(string(r.Source)), strconv.FormatInt(int64(r.Revision), 10), plain(r.EventID), plain(string(r.Kind)),
			plain(r.OrderNo), plain(r.OriginalOrderNo), plain(r.Shop), plain(r.Channel), plain(r.Status), plain(r.Currency),
			exact(r.Total), exact(r.Paid), exact(r.Discount), exact(r.ListPrice), strconv.Itoa(len(r.Lines)),
			plain(r.BuyerPseudonym), plain(r.PhonePseudonym), plain(r.CompanyPseudonym), plain(r.Province), plain(r.City),
			instant(r.PlacedAt), instant(r.PaidAt), instant(r.ReceivedAt), instant(r.PublishedAt), plain(r.ReplayJob), plain(strings.Join(r.Warnings, " | ")),
		})
		w.Flush()
		return w.Error()
	}
}

// plain makes a text that no spreadsheet takes for a formula: https://owasp.org/www-community/attacks/CSV_Injection
func plain(text string) string {
	begin := strings.TrimLeftFunc(text, unicode.IsSpace)
	if begin != "" && strings.ContainsRune("=+-@＝＋－＠", []rune(begin)[0]) || text != "" && strings.IndexByte("\t\r\n", text[0]) >= 0 {
		return "'" + text
	}
	return text
}

// instant is a time in UTC with its microseconds; "" if there is none.
func instant(at time.Time) string {
	if at.IsZero() {
		return ""
	}
	return at.UTC().Format("2006-01-02T15:04:05.000000Z")
}

// absent leaves a missing value null.
func absent(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}

// orderJSON is a record as a line of JSON: the schema's names, amounts as exact texts.
type orderJSON struct {
	OrderKey         string     `json:"order_key"`
	Source           string     `json:"source"`
	Revision         int64      `json:"revision"`
	EventID          string     `json:"event_id"`
	Kind             string     `json:"kind"`
	OrderNo          string     `json:"order_no"`
	OriginalOrderNo  *string    `json:"original_order_no"`
	Shop             *string    `json:"shop"`
	Channel          *string    `json:"channel"`
	Status           *string    `json:"status"`
	Currency         string     `json:"currency"`
	Total            *string    `json:"total"`
	Paid             *string    `json:"paid"`
	Discount         *string    `json:"discount"`
	ListPrice        *string    `json:"list_price"`
	Lines            []lineJSON `json:"lines"`
	BuyerPseudonym   *string    `json:"buyer_pseudonym"`
	PhonePseudonym   *string    `json:"phone_pseudonym"`
	CompanyPseudonym *string    `json:"company_pseudonym"`
	Province         *string    `json:"province"`
	City             *string    `json:"city"`
	PlacedAt         *string    `json:"placed_at"`
	PaidAt           *string    `json:"paid_at"`
	ReceivedAt       string     `json:"received_at"`
	PublishedAt      string     `json:"published_at"`
	ReplayJob        *string    `json:"replay_job"`
	Warnings         []string   `json:"warnings"`
}

type lineJSON struct {
	LineNo    int     `json:"line_no"`
	LineID    *string `json:"line_id"`
	Product   *string `json:"product"`
	Name      *string `json:"name"`
	Quantity  *string `json:"quantity"`
	UnitPrice *string `json:"unit_price"`
	ListPrice *string `json:"list_price"`
	Discount  *string `json:"discount"`
	Amount    *string `json:"amount"`
}

func jsonOrder(r *published.Record) orderJSON {
	o := orderJSON{
		OrderKey: string(r.OrderKey), Source: string(r.Source), Revision: int64(r.Revision), EventID: r.EventID, Kind: string(r.Kind),
		OrderNo: r.OrderNo, OriginalOrderNo: absent(r.OriginalOrderNo), Shop: absent(r.Shop), Channel: absent(r.Channel),
		Status: absent(r.Status), Currency: r.Currency, Total: absent(exact(r.Total)), Paid: absent(exact(r.Paid)),
		Discount: absent(exact(r.Discount)), ListPrice: absent(exact(r.ListPrice)), Lines: make([]lineJSON, len(r.Lines)),
		BuyerPseudonym: absent(r.BuyerPseudonym), PhonePseudonym: absent(r.PhonePseudonym), CompanyPseudonym: absent(r.CompanyPseudonym),
		Province: absent(r.Province), City: absent(r.City), PlacedAt: absent(instant(r.PlacedAt)), PaidAt: absent(instant(r.PaidAt)),
		ReceivedAt: instant(r.ReceivedAt), PublishedAt: instant(r.PublishedAt), ReplayJob: absent(r.ReplayJob),
		Warnings: append([]string{}, r.Warnings...),
	}
	for i := range r.Lines {
		l := &r.Lines[i]
		o.Lines[i] = lineJSON{
			LineNo: l.LineNo, LineID: absent(l.LineID), Product: absent(l.Product), Name: absent(l.Name), Quantity: absent(exact(l.Quantity)),
			UnitPrice: absent(exact(l.UnitPrice)), ListPrice: absent(exact(l.ListPrice)), Discount: absent(exact(l.Discount)), Amount: absent(exact(l.Amount)),
		}
	}
	return o
}
