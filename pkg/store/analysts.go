package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// AddAnalyst lets a user log in who has the rights of orderflow_analyst and no others: to read the views of the schema
// analytics. A user of that name keeps what it has and gets the new password. The database has to be migrated.
func AddAnalyst(ctx context.Context, url, name, password string) error {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return fmt.Errorf("add analyst: %w", err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	var isAnalyst, exists bool
	err = conn.QueryRow(ctx, `select coalesce(bool_or(pg_has_role(oid, 'orderflow_analyst', 'member') and not rolsuper), false), count(*) > 0 from pg_roles where rolname = $1`, name).
		Scan(&isAnalyst, &exists)
	switch {
	case err != nil:
		return fmt.Errorf("add analyst: %w", err)
	case exists && !isAnalyst:
		return errors.New("add analyst: there is a user of that name who is no analyst: take another name")
	}
	// Neither a name nor a password can be a parameter of these statements; format quotes them.
	statement := `select format('create role %I login password %L in role orderflow_analyst', $1::text, $2::text)`
	if exists {
		statement = `select format('alter role %I login password %L', $1::text, $2::text)`
	}
	if err = conn.QueryRow(ctx, statement, name, password).Scan(&statement); err == nil {
		_, err = conn.Exec(ctx, statement)
	}
	if err != nil { // the server's own text quotes the statement, and with it the password
		return fmt.Errorf("add analyst: %s", Describe(err))
	}
	return nil
}
