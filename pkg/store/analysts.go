package store

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
)

// Analysts is the group whose rights an analyst's login has: to read the views of the schema analytics.
const Analysts = "orderflow_analyst"

// analystLimits keep a forgotten query or session from holding the server up. A login may change them for its own sessions:
// they are against accidents.
const analystLimits = "connection limit 5"

var analystSettings = [][2]string{
	{"statement_timeout", "15min"}, {"idle_in_transaction_session_timeout", "5min"}, {"default_transaction_read_only", "on"},
}

// ErrExcess says that analysts could do more than read, and that the database's user may not change that.
var ErrExcess = errors.New("an analyst could do more than read")

// selectUser finds a user by name, what keeps it from being an analyst of ours and nothing besides, and the other databases
// in which it owns something: an analyst may have been let in there, by others, and that gives no rights in this one.
const selectUser = `with owned as (
		select d.dbid, b.datname from pg_shdepend d left join pg_database b on b.oid = d.dbid
			where d.refclassid = 'pg_authid'::regclass and d.refobjid = to_regrole(quote_ident($1)) and d.deptype = 'o'
	)
	select array_remove(array[
		case when not rolcanlogin then 'may not log in' end,
		case when not exists (select from pg_auth_members m where m.member = r.oid and m.roleid = to_regrole($2)) then 'is no member of ' || $2 end,
		case when rolname in (current_user, session_user) then 'is whom this command logs in as' end,
		case when rolsuper then 'is a superuser' end,
		case when rolcreaterole then 'may make roles' end,
		case when rolcreatedb then 'may make databases' end,
		case when rolreplication then 'may replicate' end,
		case when rolbypassrls then 'bypasses row security' end,
		case when not rolsuper and exists (select from pg_roles o where o.rolname not in (r.rolname, $2) and pg_has_role(r.oid, o.oid, 'member'))
			then 'has the rights of other roles' end,
		case when exists (select from owned where dbid = 0) then 'owns a database or tablespace' end,
		case when exists (select from owned where datname = current_database()) then 'owns something in this database' end
	], null), array(select distinct datname::text from owned where datname <> current_database() order by 1)
	from pg_roles r where rolname = $1`

// AddAnalyst lets a user log in who has the rights of Analysts and no others, with limits against accidents. An analyst of
// that name gets the new password and the limits. The database has to be migrated. Before, it takes from everybody but the
// program's own users of this database what an analyst must not have; where it may not, and anyway is not set, nothing is
// changed and the error is ErrExcess. Rights tells what was found.
func AddAnalyst(ctx context.Context, url, name, password string, anyway bool) (rights AnalystRights, err error) {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return rights, fmt.Errorf("add analyst: %w", err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	var more, owns []string
	err = conn.QueryRow(ctx, selectUser, name, Analysts).Scan(&more, &owns)
	exists := !errors.Is(err, pgx.ErrNoRows)
	switch {
	case err != nil && exists:
		return rights, fmt.Errorf("add analyst: %s", Describe(err))
	case name == Analysts:
		return rights, errors.New("add analyst: this is the group of all analysts, which nobody logs in as: take another name")
	case len(more) > 0:
		return rights, fmt.Errorf("add analyst: there is a user of that name who is no analyst, or more than that (%s): take another name", strings.Join(more, ", "))
	}
	err = pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		if rights, err = restrictAnalysts(ctx, tx); err != nil {
			return err
		}
		if len(rights.Excess) > 0 && !anyway {
			return ErrExcess
		}
		rights.Owns, rights.DropSQL = owns, "drop owned by "+pgx.Identifier{name}.Sanitize()+";"
		return writeAnalyst(ctx, tx, name, password, exists)
	})
	switch {
	case errors.Is(err, ErrExcess):
		return rights, err
	case sqlState(err) == "42501":
		return rights, fmt.Errorf("add analyst: user %[1]s may not make one: let a superuser run\n  alter role %[2]s createrole; grant %[3]s to %[2]s with admin option;\nand try again",
			conn.Config().User, pgx.Identifier{conn.Config().User}.Sanitize(), Analysts)
	case err != nil: // the server's own text quotes the statement, and with it the password
		return rights, fmt.Errorf("add analyst: %s", Describe(err))
	}
	return rights, nil
}

// writeAnalyst makes or changes the login. Neither a name nor a password can be a parameter of these statements: format
// quotes them.
func writeAnalyst(ctx context.Context, tx pgx.Tx, name, password string, exists bool) error {
	formats := []string{`create role %1$I login password %2$L in role ` + Analysts}
	if exists {
		formats = []string{`alter role %1$I password %2$L`}
	}
	formats = append(formats, `alter role %1$I `+analystLimits)
	for _, s := range analystSettings {
		formats = append(formats, fmt.Sprintf(`alter role %%1$I set %s = '%s'`, s[0], s[1]))
	}
	var statements string
	err := tx.QueryRow(ctx, `select format($1, $2::text, $3::text)`, strings.Join(formats, ";\n"), name, password).Scan(&statements)
	if err != nil {
		return err
	}
	_, err = tx.Conn().PgConn().Exec(ctx, statements).ReadAll()
	return err
}
