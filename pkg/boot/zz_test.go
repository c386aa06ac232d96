package boot

import (
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/shopspring/decimal"
)

func TestX(t *testing.T) {
	d := decimal.NewFromFloat(1)
	_ = d.InexactFloat64()
	_ = pgx.ErrNoRows
	t.Skipf("x")
}
