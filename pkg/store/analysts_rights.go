package store

import (
	"context"
	"strings"

	"github.com/jackc/pgx/v5"
)

// AnalystRights is what analysts can do beside reading the views.
type AnalystRights struct {
	// Taken was taken from everybody in this database but Keepers, whom the program runs as.
	Taken   []string
	Keepers []string
	// Excess is what analysts still may do: this user may not forbid it. SQL is what a superuser runs in this database to do so.
	Excess []string
	SQL    string
	// Databases are the other ones of this server that analysts may connect to.
	Databases []string
	// Owns are the other databases of this server in which the analyst, who was one before, owns something. DropSQL is what a
	// superuser runs in each of them to delete it.
	Owns    []string
	DropSQL string
}

// What PostgreSQL lets every login do, in this database, and an analyst must not: with advisory locks one can hold up the
// deliveries, the retention and the balance, which agree by them; large objects and temporary tables fill the disk. Giving
// up locks stays allowed: drivers do so when they clean a session.
const (
	selectExcess = `select 'advisory locks', 'execute on function ' || p.oid::regprocedure from pg_proc p
			where pronamespace = 'pg_catalog'::regnamespace and proname ~ '^pg_(try_)?advisory_(xact_)?lock' and has_function_privilege($1, p.oid, 'execute')
		union all select 'large objects', 'execute on function ' || p.oid::regprocedure from pg_proc p
			where pronamespace = 'pg_catalog'::regnamespace and has_function_privilege($1, p.oid, 'execute')
				and proname in ('lo_creat', 'lo_create', 'lo_from_bytea', 'lo_import', 'lo_open', 'lo_put', 'lo_truncate', 'lo_truncate64', 'lo_unlink', 'lowrite')
		union all select 'temporary tables', format('temporary on database %I', current_database())
			where has_database_privilege($1, current_database(), 'temporary')
		order by 1, 2`

	// Who owns or writes the program's tables, or owns the database. Rights of a role reach its members.
	selectKeepers = `select distinct format('%I', r.rolname) from pg_roles r where r.rolname <> $1 and r.rolname = current_user
		or r.oid = (select datdba from pg_database where datname = current_database())
		or r.oid in (
			select relowner from pg_class where relnamespace = 'public'::regnamespace and relkind in ('r', 'p')
			union select acl.grantee from pg_class, aclexplode(relacl) acl
				where relnamespace = 'public'::regnamespace and relkind in ('r', 'p') and acl.privilege_type in ('INSERT', 'UPDATE', 'DELETE')
		) order by 1`

	selectDatabases = `select datname from pg_database where datallowconn and datname <> current_database() and has_database_privilege($1, oid, 'connect') order by 1`
)

// right is something that analysts may do, and how the server calls it.
type right struct{ what, name string }

// restrictAnalysts takes what analysts must not have from PUBLIC, which is where they have it from, and gives it back to
// whom the program runs as. Where this user may not, it changes nothing and tells what a superuser has to run.
func restrictAnalysts(ctx context.Context, tx pgx.Tx) (rights AnalystRights, err error) {
	before, err := excess(ctx, tx)
	if err != nil {
		return rights, err
	}
	if rights.Keepers, err = texts(ctx, tx, selectKeepers); err != nil {
		return rights, err
	}
	if rights.Databases, err = texts(ctx, tx, selectDatabases); err != nil {
		return rights, err
	}
	for _, r := range before {
		err := pgx.BeginFunc(ctx, tx, func(tx pgx.Tx) error { // a savepoint
			_, err := tx.Conn().PgConn().Exec(ctx, r.revoke(rights.Keepers)).ReadAll()
			return err
		})
		if err != nil && sqlState(err) != "42501" {
			return rights, err
		}
	}
	after, err := excess(ctx, tx)
	if err != nil {
		return rights, err
	}
	rights.Excess = kinds(after)
	for _, r := range after {
		rights.SQL += r.revoke(rights.Keepers) + "\n"
	}
	for _, what := range kinds(before) {
		if !strings.Contains(strings.Join(rights.Excess, "\n"), what) {
			rights.Taken = append(rights.Taken, what)
		}
	}
	return rights, nil
}

// revoke gives the statements that leave a right to the keepers.
func (r right) revoke(keepers []string) string {
	return "grant " + r.name + " to " + strings.Join(keepers, ", ") + "; revoke " + r.name + " from public;"
}

func excess(ctx context.Context, tx pgx.Tx) ([]right, error) {
	rows, err := tx.Query(ctx, selectExcess, Analysts)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (r right, err error) { return r, row.Scan(&r.what, &r.name) })
}

func texts(ctx context.Context, tx pgx.Tx, sql string) ([]string, error) {
	rows, err := tx.Query(ctx, sql, Analysts)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}

// kinds are the different things that rights are about.
func kinds(rights []right) (all []string) {
	for _, r := range rights {
		if len(all) == 0 || all[len(all)-1] != r.what {
			all = append(all, r.what)
		}
	}
	return all
}
