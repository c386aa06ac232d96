package main

import (
	"fmt"
	"io"
	"math/big"
	"time"

	"github.com/parquet-go/parquet-go"
	"github.com/shopspring/decimal"

	"orderflow/pkg/published"
)

// parquetOrder is one row of an exported file: the fields of orders.v1 under the same names. Amounts are DECIMAL(38,8) as
// in the Avro schema, times TIMESTAMP in microseconds of UTC; a missing value is null.
type parquetOrder struct {
	OrderKey         string        `parquet:"order_key"`
	Source           string        `parquet:"source,dict"`
	Revision         int64         `parquet:"revision"`
	EventID          string        `parquet:"event_id"`
	Kind             string        `parquet:"kind,dict"`
	OrderNo          string        `parquet:"order_no"`
	OriginalOrderNo  *string       `parquet:"original_order_no,optional"`
	Shop             *string       `parquet:"shop,optional,dict"`
	Channel          *string       `parquet:"channel,optional,dict"`
	Status           *string       `parquet:"status,optional,dict"`
	Currency         string        `parquet:"currency,dict"`
	Total            []byte        `parquet:"total,optional,decimal(8:38)"`
	Paid             []byte        `parquet:"paid,optional,decimal(8:38)"`
	Discount         []byte        `parquet:"discount,optional,decimal(8:38)"`
	ListPrice        []byte        `parquet:"list_price,optional,decimal(8:38)"`
	Lines            []parquetLine `parquet:"lines,list"`
	BuyerPseudonym   *string       `parquet:"buyer_pseudonym,optional"`
	PhonePseudonym   *string       `parquet:"phone_pseudonym,optional"`
	CompanyPseudonym *string       `parquet:"company_pseudonym,optional"`
	Province         *string       `parquet:"province,optional,dict"`
	City             *string       `parquet:"city,optional,dict"`
	PlacedAt         *int64        `parquet:"placed_at,optional,timestamp(microsecond:utc)"`
	PaidAt           *int64        `parquet:"paid_at,optional,timestamp(microsecond:utc)"`
	ReceivedAt       int64         `parquet:"received_at,timestamp(microsecond:utc)"`
	PublishedAt      int64         `parquet:"published_at,timestamp(microsecond:utc)"`
	ReplayJob        *string       `parquet:"replay_job,optional"`
	Warnings         []string      `parquet:"warnings,list"`
}

type parquetLine struct {
	LineNo    int32   `parquet:"line_no"`
	LineID    *string `parquet:"line_id,optional"`
	Product   *string `parquet:"product,optional"`
	Name      *string `parquet:"name,optional"`
	Quantity  []byte  `parquet:"quantity,optional,decimal(8:38)"`
	UnitPrice []byte  `parquet:"unit_price,optional,decimal(8:38)"`
	ListPrice []byte  `parquet:"list_price,optional,decimal(8:38)"`
	Discount  []byte  `parquet:"discount,optional,decimal(8:38)"`
	Amount    []byte  `parquet:"amount,optional,decimal(8:38)"`
}

// What is held in memory at most: rows until they are written to their columns, columns until their row group is. Both are
// counted in bytes of the records too, since one order may be a MiB.
const (
	batchRows  = 512
	batchBytes = 4 << 20
	groupRows  = 1 << 16
	groupBytes = 64 << 20
)

// parquetFile writes rows; the same rows always give the same bytes.
type parquetFile struct {
	writer     *parquet.GenericWriter[parquetOrder]
	batch      []parquetOrder
	batchBytes int
	groupRows  int
	groupBytes int
	rows       int64
}

func newParquetFile(out io.Writer, w window) *parquetFile {
	return &parquetFile{writer: parquet.NewGenericWriter[parquetOrder](out,
		parquet.Compression(&parquet.Snappy),
		parquet.CreatedBy("orderflow", "1", ""),
		parquet.KeyValueMetadata("orderflow.received_from", w.from.Format(time.RFC3339)),
		parquet.KeyValueMetadata("orderflow.received_to", w.to.Format(time.RFC3339)),
	)}
}

// add takes a record; size is that of its bytes in Kafka.
func (f *parquetFile) add(r *published.Record, size int) error {
	row, err := parquetRow(r)
	if err != nil {
		return err
	}
	f.batch = append(f.batch, row)
	f.batchBytes += size
	f.groupBytes += size
	f.groupRows++
	f.rows++
	if len(f.batch) < batchRows && f.batchBytes < batchBytes {
		return nil
	}
	return f.write()
}

func (f *parquetFile) write() error {
	if _, err := f.writer.Write(f.batch); err != nil {
		return fmt.Errorf("write parquet: %w", err)
	}
	clear(f.batch)
	f.batch, f.batchBytes = f.batch[:0], 0
	if f.groupRows < groupRows && f.groupBytes < groupBytes {
		return nil
	}
	f.groupRows, f.groupBytes = 0, 0
	if err := f.writer.Flush(); err != nil {
		return fmt.Errorf("write parquet: %w", err)
	}
	return nil
}

func (f *parquetFile) close() error {
	if err := f.write(); err != nil {
		return err
	}
	if err := f.writer.Close(); err != nil {
		return fmt.Errorf("write parquet: %w", err)
	}
	return nil
}

// fixed turns amounts into DECIMAL(38,8) and remembers the first that has no room.
type fixed struct{ err error }

func (f *fixed) amount(amount decimal.NullDecimal) []byte {
	if !amount.Valid || f.err != nil {
		return nil
	}
	unscaled := amount.Decimal.Shift(scale).BigInt()
	if !decimal.NewFromBigInt(unscaled, -scale).Equal(amount.Decimal) || unscaled.BitLen() > 127 {
		f.err = published.ErrAmount
		return nil
	}
	if unscaled.Sign() < 0 {
		unscaled.Add(unscaled, modulus) // two's complement
	}
	return unscaled.FillBytes(make([]byte, 16))
}

const scale = 8

var modulus = new(big.Int).Lsh(big.NewInt(1), 128)

func micros(at time.Time) *int64 {
	if at.IsZero() {
		return nil
	}
	v := at.UnixMicro()
	return &v
}

func parquetRow(r *published.Record) (parquetOrder, error) {
	var f fixed
	row := parquetOrder{
		OrderKey: string(r.OrderKey), Source: string(r.Source), Revision: int64(r.Revision), EventID: r.EventID, Kind: string(r.Kind),
		OrderNo: r.OrderNo, OriginalOrderNo: absent(r.OriginalOrderNo), Shop: absent(r.Shop), Channel: absent(r.Channel),
		Status: absent(r.Status), Currency: r.Currency, Total: f.amount(r.Total), Paid: f.amount(r.Paid), Discount: f.amount(r.Discount),
		ListPrice: f.amount(r.ListPrice), Lines: make([]parquetLine, len(r.Lines)), BuyerPseudonym: absent(r.BuyerPseudonym),
		PhonePseudonym: absent(r.PhonePseudonym), CompanyPseudonym: absent(r.CompanyPseudonym), Province: absent(r.Province),
		City: absent(r.City), PlacedAt: micros(r.PlacedAt), PaidAt: micros(r.PaidAt), ReceivedAt: r.ReceivedAt.UnixMicro(),
		PublishedAt: r.PublishedAt.UnixMicro(), ReplayJob: absent(r.ReplayJob), Warnings: r.Warnings,
	}
	for i := range r.Lines {
		l := &r.Lines[i]
		row.Lines[i] = parquetLine{
			LineNo: int32(l.LineNo), LineID: absent(l.LineID), Product: absent(l.Product), Name: absent(l.Name), Quantity: f.amount(l.Quantity),
			UnitPrice: f.amount(l.UnitPrice), ListPrice: f.amount(l.ListPrice), Discount: f.amount(l.Discount), Amount: f.amount(l.Amount),
		}
	}
	return row, f.err
}
