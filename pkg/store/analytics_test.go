package store_test

import (
	"context"
	"errors"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"orderflow/pkg/pgtest"
	"orderflow/pkg/store"
)

// views are all that an analyst may read, and reading is all that an analyst may do.
var views = []string{"analytics.balance", "analytics.order_lines", "analytics.orders"}

// Whatever a later migration adds is walked too: a table, a view, a column or a function that analysts can reach fails here.
func TestAnalystsReadTheViewsAndNothingElse(t *testing.T) {
	_, url := open(t)
	readable := pgtest.Rows(t, url, `select c.oid::regclass::text from pg_class c
		join pg_namespace n on n.oid = c.relnamespace and n.nspname !~ '^(pg_catalog|pg_toast|information_schema)'
		where c.relkind in ('r', 'p', 'v', 'm', 'f') and has_any_column_privilege('orderflow_analyst', c.oid, 'select') order by 1`)
	if !slices.Equal(readable, views) {
		t.Errorf("an analyst can read %q, want %q", readable, views)
	}
	for what, sql := range map[string]string{
		"write to relations": `select c.oid::regclass from pg_class c where c.relkind in ('r', 'p', 'v', 'm', 'f')
			and (has_table_privilege('orderflow_analyst', c.oid, 'insert, update, delete, truncate, references, trigger')
				or has_any_column_privilege('orderflow_analyst', c.oid, 'insert, update, references'))
			and (c.relnamespace <> 'pg_catalog'::regnamespace or c.relname <> 'pg_settings')`, // set_config of one's own session
		"use sequences":          `select c.oid::regclass from pg_class c where case c.relkind when 'S' then has_sequence_privilege('orderflow_analyst', c.oid, 'usage, select, update') end`,
		"make things in schemas": `select nspname from pg_namespace where has_schema_privilege('orderflow_analyst', oid, 'create')`,
		"borrow rights from functions": `select p.oid::regprocedure from pg_proc p join pg_namespace n on n.oid = p.pronamespace and n.nspname !~ '^(pg_catalog|information_schema)'
			where p.prosecdef and has_function_privilege('orderflow_analyst', p.oid, 'execute')`,
		"act as other roles": `select rolname from pg_roles where rolname <> 'orderflow_analyst' and pg_has_role('orderflow_analyst', oid, 'member')`,
		"stand above the rules": `select rolname from pg_roles where rolname = 'orderflow_analyst'
			and (rolsuper or rolcreaterole or rolcreatedb or rolcanlogin or rolreplication or rolbypassrls)`,
	} {
		if got := pgtest.Rows(t, url, sql); len(got) > 0 {
			t.Errorf("an analyst can %s: %q", what, got)
		}
	}
	// The catalogue's word is good, the server's own refusal is better.
	conn := analyst(t, url)
	tables := pgtest.Rows(t, url, `select c.oid::regclass from pg_class c join pg_namespace n on n.oid = c.relnamespace
		where n.nspname !~ '^(pg_catalog|pg_toast|information_schema|analytics)' and c.relkind in ('r', 'p', 'v', 'm', 'f')`)
	if !slices.Contains(tables, "orders") || !slices.Contains(tables, "dead_letters") {
		t.Fatalf("the walk misses tables: %q", tables)
	}
	for _, table := range append(tables, "pg_authid", "pg_statistic") {
		if _, err := conn.Exec(t.Context(), "select * from "+table); !refusedByServer(err) {
			t.Errorf("an analyst reads %s: %v", table, err)
		}
	}
	for _, view := range views {
		if _, err := conn.Exec(t.Context(), "select * from "+view); err != nil {
			t.Errorf("an analyst reads %s: %v", view, err)
		}
	}
}

// What a view shows is named here once more: a column that is added must be a decision.
func TestAnalystsSeeNoPersonalColumns(t *testing.T) {
	_, url := open(t)
	got := pgtest.Rows(t, url, `select table_name, string_agg(column_name, ' ' order by ordinal_position) from information_schema.columns
		where table_schema = 'analytics' group by 1 order by 1`)
	want := []string{
		"balance source hour received refused validated published delivered persisted duplicate superseded parked discarded open missing" +
			" faults balanced sums complete revision checked_at accepted",
		"order_lines order_key line_no line_id product name quantity unit_price list_price discount amount",
		"orders order_key source revision event_id kind order_no original_order_no shop channel status state currency total paid discount" +
			" list_price delivered_total buyer_pseudonym phone_pseudonym company_pseudonym placed_at paid_at received_at updated_at warnings",
	}
	if !slices.Equal(got, want) {
		t.Errorf("the views show\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// The exact amounts of the tables come through, and an order that never passed validation does not.
func TestAnalystsSeeWhatPassedValidation(t *testing.T) {
	_, url := open(t)
	pgtest.Texts(t, url, `insert into orders (order_key, source, order_no, revision, validated, state, currency, total, buyer_pseudonym, received_at, updated_at, version)
		values ('icbu:1', 'icbu', '1', 7, true, 'delivered', 'CNY', 123456789012345678.12345678, 'k1.abc', now(), now(), 1),
			('icbu:2', 'icbu', '2', 8, false, 'parked', '', 1, '', now(), now(), 1)`)
	var key, event, total, buyer string
	var phone *string
	rows, err := analyst(t, url).Query(t.Context(), `select order_key, event_id, total::text, buyer_pseudonym, phone_pseudonym from analytics.orders`)
	if err == nil {
		count := 0
		_, err = pgx.ForEachRow(rows, []any{&key, &event, &total, &buyer, &phone}, func() error { count++; return nil })
		if count != 1 {
			t.Errorf("%d orders, want one", count)
		}
	}
	if err != nil || key != "icbu:1" || event != "icbu:1@7" || total != "123456789012345678.12345678" || buyer != "k1.abc" || phone != nil {
		t.Errorf("%v: %s %s %s %s %v", err, key, event, total, buyer, phone)
	}
}

// A login of its own reads the views with its password, and nothing else.
func TestAddAnalyst(t *testing.T) {
	_, database := open(t)
	name := strings.TrimPrefix(mustParse(t, database).Path, "/") + `"; drop table orders; --`
	for range 2 {
		rights, err := store.AddAnalyst(t.Context(), database, name, `it's a "secret"`, false)
		if err != nil || len(rights.Excess) > 0 || rights.SQL != "" || !slices.Contains(rights.Keepers, "orderflow") {
			t.Fatalf("%+v %v", rights, err)
		}
	}
	t.Cleanup(func() { pgtest.Texts(t, database, "drop role "+pgx.Identifier{name}.Sanitize()) })
	conn, err := pgx.Connect(t.Context(), as(t, database, name))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	if _, err := conn.Exec(t.Context(), "select * from analytics.orders"); err != nil {
		t.Error(err)
	}
	if _, err := conn.Exec(t.Context(), "create table analytics.mine ()"); err == nil || !strings.Contains(err.Error(), "read-only transaction") {
		t.Errorf("an analyst's sessions begin as read-only ones: %v", err)
	}
	if _, err := conn.Exec(t.Context(), "set default_transaction_read_only = off"); err != nil { // its own sessions are its own
		t.Fatal(err)
	}
	for _, statement := range []string{"select * from orders", "set role orderflow", "create table analytics.mine ()"} {
		if _, err := conn.Exec(t.Context(), statement); !refusedByServer(err) {
			t.Errorf("%s: %v", statement, err)
		}
	}
	for _, taken := range []string{"orderflow", "pg_monitor", store.Analysts} {
		if _, err := store.AddAnalyst(t.Context(), database, taken, "secret", true); err == nil || !strings.Contains(err.Error(), "take another name") {
			t.Errorf("%s: %v", taken, err)
		}
	}
	if _, err := store.AddAnalyst(t.Context(), database, "pg_reserved", "hidden-secret", true); err == nil || strings.Contains(err.Error(), "hidden") {
		t.Errorf("a name that PostgreSQL reserves: %v", err)
	}
}

// What schemas/README.md shows to analysts runs with an analyst's rights.
func TestAnalystsQueriesOfTheReadme(t *testing.T) {
	text, err := os.ReadFile("../../schemas/README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, url := open(t)
	conn := analyst(t, url)
	ran := 0
	for _, block := range strings.Split(string(text), "```sql\n")[1:] {
		query, _, _ := strings.Cut(block, "```")
		if !strings.Contains(query, "analytics.") {
			continue // another system's
		}
		ran++
		if _, err := conn.Exec(t.Context(), query); err != nil {
			t.Errorf("%v:\n%s", err, query)
		}
	}
	if ran < 2 {
		t.Errorf("%d queries found", ran)
	}
}

// A user that owns a database but may not make roles is told what somebody else has to run; after that it goes through.
func TestMigrateWithoutTheRightToMakeRoles(t *testing.T) {
	server := pgtest.Server(t)
	if err := server.CreateDatabase(t.Context(), "plain"); err != nil {
		t.Fatal(err)
	}
	admin := server.URL("plain")
	pgtest.Texts(t, admin, `create role plain login`)
	pgtest.Texts(t, admin, `alter database plain owner to plain`)
	own := as(t, admin, "plain")
	err := store.Migrate(t.Context(), own)
	if err == nil || !strings.Contains(err.Error(), `let a superuser run "create role orderflow_analyst nologin"`) {
		t.Fatalf("without the role: %v", err)
	}
	pgtest.Texts(t, admin, `create role orderflow_analyst nologin`)
	if err := store.Migrate(t.Context(), own); err != nil {
		t.Errorf("with the role there: %v", err)
	}
}

// A role belongs to the server, a migration to one of its databases: two that make the role at once must not stumble.
func TestMigrateWhileAnotherDatabaseMakesTheRole(t *testing.T) {
	server := pgtest.Server(t)
	if err := server.CreateDatabase(t.Context(), "here"); err != nil {
		t.Fatal(err)
	}
	elsewhere, err := pgx.Connect(t.Context(), server.URL("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = elsewhere.Close(context.Background()) }()
	watcher, err := pgx.Connect(t.Context(), server.URL("postgres")) // a transaction looks at pg_stat_activity once only
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = watcher.Close(context.Background()) }()
	if _, err := elsewhere.Exec(t.Context(), "begin; create role orderflow_analyst nologin"); err != nil {
		t.Fatal(err)
	}
	migrated := make(chan error, 1)
	go func() { migrated <- store.Migrate(t.Context(), server.URL("here")) }()
	for waiting := false; !waiting; {
		select {
		case err := <-migrated:
			t.Fatalf("migrated without waiting for the other: %v", err)
		case <-time.After(10 * time.Millisecond):
		}
		err := watcher.QueryRow(t.Context(), `select exists (select from pg_stat_activity where datname = 'here' and wait_event_type = 'Lock')`).Scan(&waiting)
		if err != nil {
			t.Fatal(err)
		}
	}
	if _, err := elsewhere.Exec(t.Context(), "commit"); err != nil {
		t.Fatal(err)
	}
	if err := <-migrated; err != nil {
		t.Error(err)
	}
}

// analyst is a connection that has an analyst's rights.
func analyst(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err == nil {
		_, err = conn.Exec(t.Context(), "set role orderflow_analyst")
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

func as(t *testing.T, address, user string) string {
	t.Helper()
	u := mustParse(t, address)
	query := u.Query()
	query.Set("user", user)
	u.RawQuery = strings.ReplaceAll(query.Encode(), "+", "%20")
	return u.String()
}

func mustParse(t *testing.T, address string) *url.URL {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func refusedByServer(err error) bool {
	refusal, ok := errors.AsType[*pgconn.PgError](err)
	return ok && refusal.Code == "42501"
}
