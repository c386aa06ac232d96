package store

import (
	"errors"

	"github.com/jackc/pgx/v5/pgconn"
)

// Class says whose fault a failed statement is.
type Class int

// The classes of database errors.
const (
	// Outage: the database, the way to it or our own doing. The row is innocent; try again. Everything unknown is here.
	Outage Class = iota
	// RowData: the row's own data can never be stored (SQLSTATE classes 22 and 23).
	RowData
)

// Classify tells whose fault an error of this package is. Only what the server says about the data itself, SQLSTATE class
// 22 (data exception) or 23 (integrity constraint), or 54000 (too long for an index), is blamed on a row; 08, 40, 53, 57,
// timeouts, cut connections and everything else is an outage.
func Classify(err error) Class {
	switch state := sqlState(err); {
	case len(state) != 5:
		return Outage
	case state[:2] == "22", state[:2] == "23", state == "54000":
		return RowData
	default:
		return Outage
	}
}

// Describe gives an error's text without any value: PostgreSQL's messages quote the data that they complain about. A
// server's error is told by its SQLSTATE and the column or constraint, everything else by its own text.
func Describe(err error) string {
	var pg *pgconn.PgError
	if !errors.As(err, &pg) {
		return err.Error()
	}
	text := "sqlstate " + pg.Code
	if pg.TableName != "" {
		text += " table " + pg.TableName
	}
	if pg.ColumnName != "" {
		text += " column " + pg.ColumnName
	}
	if pg.ConstraintName != "" {
		text += " constraint " + pg.ConstraintName
	}
	return text
}

// serialization tells whether a transaction failed only because of another one, a deadlock included.
func serialization(err error) bool {
	state := sqlState(err)
	return len(state) == 5 && state[:2] == "40"
}

// missingTable tells whether a statement failed because a table does not exist.
func missingTable(err error) bool { return sqlState(err) == "42P01" }

func sqlState(err error) string {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return pg.Code
	}
	return ""
}
