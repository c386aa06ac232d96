package store_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"orderflow/pkg/bustest"
	"orderflow/pkg/pgserver"
	"orderflow/pkg/pgtest"
	"orderflow/pkg/store"
)

// beyondReading is what PostgreSQL lets every login do.
var beyondReading = []string{
	"select pg_advisory_lock(1)", "select pg_try_advisory_xact_lock_shared(1, 2)", "select lo_create(0)", "select lo_from_bytea(0, 'x')",
	"create temporary table mine ()",
}

// plainOwner is a server with a database whose owner, plain, makes roles but is no superuser, and which worker writes.
func plainOwner(t *testing.T) (server *pgserver.Server, admin, plain string) {
	t.Helper()
	server = pgtest.Server(t)
	if err := server.CreateDatabase(t.Context(), "shop"); err != nil {
		t.Fatal(err)
	}
	admin = server.URL("shop")
	run(t, admin, `create role plain login createrole; create role worker login; create role other login; create role orderflow_analyst nologin;
		grant orderflow_analyst to plain with admin option; alter database shop owner to plain`)
	plain = as(t, admin, "plain")
	if err := store.Migrate(t.Context(), plain); err != nil {
		t.Fatal(err)
	}
	run(t, plain, `grant insert, update, select on all tables in schema public to worker`)
	return server, admin, plain
}

func run(t *testing.T, url, sql string) {
	t.Helper()
	if err := try(t, url, sql); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

func try(t *testing.T, url, sql string) error {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	if _, err := conn.Exec(t.Context(), "set default_transaction_read_only = off"); err != nil {
		t.Fatal(err)
	}
	_, err = conn.PgConn().Exec(t.Context(), sql).ReadAll()
	return err
}

// An owner who is no superuser cannot take advisory locks from analysts: nobody is added, and what a superuser has to run is
// told. After that it goes through, the program's users have what they need, and an analyst has no more than the views.
func TestAddAnalystWhereTheOwnerIsNoSuperuser(t *testing.T) {
	_, admin, plain := plainOwner(t)
	rights, err := store.AddAnalyst(t.Context(), plain, "ann", "secret", false)
	if !errors.Is(err, store.ErrExcess) || !slices.Equal(rights.Excess, []string{"advisory locks", "large objects"}) || len(rights.Taken) != 1 {
		t.Fatalf("%+v %v", rights, err)
	}
	if done := pgtest.Rows(t, admin, `select has_database_privilege('other', 'shop', 'temporary'), to_regrole('ann') is null`); !slices.Equal(done, []string{"true true"}) {
		t.Errorf("something was done: %q", done)
	}
	run(t, admin, rights.SQL)
	for _, again := range []bool{false, true} {
		rights, err = store.AddAnalyst(t.Context(), plain, "ann", "secret", false)
		if err != nil || len(rights.Excess) > 0 || (len(rights.Taken) == 0) != again || !slices.Equal(rights.Databases, []string{"postgres", "template1"}) {
			t.Fatalf("after the superuser: %+v %v", rights, err)
		}
	}
	ann := as(t, admin, "ann")
	for _, sql := range append(beyondReading, "select * from public.orders", "set role plain") {
		if err := try(t, ann, sql); !refusedByServer(err) {
			t.Errorf("an analyst: %s: %v", sql, err)
		}
	}
	run(t, ann, `select * from analytics.orders; select pg_advisory_unlock_all()`)
	for _, user := range []string{"plain", "worker"} {
		for _, sql := range beyondReading {
			if err := try(t, as(t, admin, user), sql); err != nil {
				t.Errorf("%s: %s: %v", user, sql, err)
			}
		}
	}
	if err := store.Migrate(t.Context(), plain); err != nil {
		t.Errorf("migrate under its lock: %v", err)
	}
	got := pgtest.Rows(t, ann, `select current_setting('statement_timeout'), current_setting('idle_in_transaction_session_timeout'),
		current_setting('default_transaction_read_only'), rolconnlimit from pg_roles where rolname = current_user`)
	if !slices.Equal(got, []string{"15min 5min on 5"}) {
		t.Errorf("limits %q", got)
	}
	// The server counts a session until its process has ended, which it does a moment after its client has gone: those from
	// above may still stand in the way of the first ones here.
	sessions := 0
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for late := time.Now().Add(bustest.Patience); sessions < 10; {
		conn, err := pgx.Connect(t.Context(), ann)
		if refusal, ok := errors.AsType[*pgconn.PgError](err); ok && refusal.Code == "53300" {
			if sessions < 5 && time.Now().Before(late) {
				<-tick.C
				continue
			}
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close(context.Background()) }()
		sessions++
	}
	if sessions != 5 {
		t.Errorf("%d sessions at once", sessions)
	}
}

// Who insists gets the analyst, and is told what stays open; what the owner may forbid is forbidden.
func TestAddAnalystAnyway(t *testing.T) {
	_, admin, plain := plainOwner(t)
	rights, err := store.AddAnalyst(t.Context(), plain, "ann", "secret", true)
	if err != nil || !slices.Equal(rights.Excess, []string{"advisory locks", "large objects"}) || !strings.Contains(rights.SQL, "pg_try_advisory_lock(bigint) to plain, worker; revoke") {
		t.Fatalf("%+v %v", rights, err)
	}
	if err := try(t, as(t, admin, "ann"), "create temporary table mine ()"); !refusedByServer(err) {
		t.Error(err)
	}
	run(t, as(t, admin, "ann"), "select pg_advisory_lock(1)")
}

// What an analyst made in other databases of the server keeps nobody from giving her a new password; it is told, until a
// superuser drops it as told. What she owns in this database is another matter.
func TestAddAnalystWhoOwnsThingsElsewhere(t *testing.T) {
	server, admin, plain := plainOwner(t)
	const name = `Ann "x"`
	add := func(want ...string) (drop string) {
		t.Helper()
		rights, err := store.AddAnalyst(t.Context(), plain, name, "secret", true)
		if err != nil || !slices.Equal(rights.Owns, want) {
			t.Fatalf("%+v %v, want %q", rights, err, want)
		}
		return rights.DropSQL
	}
	add()
	for _, database := range []string{"template1", "postgres"} {
		run(t, as(t, server.URL(database), name), `select lo_from_bytea(0, 'x')`)
	}
	run(t, server.URL("postgres"), add("postgres", "template1"))
	run(t, server.URL("template1"), add("template1"))
	add()
	run(t, as(t, admin, name), `select * from analytics.orders`)
	run(t, admin, `create schema hers authorization "Ann ""x"""`)
	if _, err := store.AddAnalyst(t.Context(), plain, name, "secret", true); err == nil || !strings.Contains(err.Error(), "(owns something in this database)") {
		t.Error(err)
	}
}

// Only an analyst becomes an analyst: the group stays a group, and nobody with rights of another kind gets another password.
func TestAddAnalystChangesNobodyElse(t *testing.T) {
	_, admin, plain := plainOwner(t)
	run(t, admin, `create role twice login in role orderflow_analyst, worker; create role maker login createdb in role orderflow_analyst;
		create role holder login in role orderflow_analyst; create schema holders authorization holder; create role asleep in role orderflow_analyst;
		create role landlord login in role orderflow_analyst; create role boss login superuser in role orderflow_analyst`)
	run(t, admin, `create database land owner landlord`)
	before := pgtest.Rows(t, admin, `select * from pg_authid order by oid`)
	for name, reason := range map[string]string{
		store.Analysts: "", "plain": "may make roles, ", "worker": "(is no member of orderflow_analyst)", "other": "(is no member of orderflow_analyst)",
		"twice": "(has the rights of other roles)", "maker": "(may make databases)", "holder": "(owns something in this database)", "asleep": "(may not log in)",
		"landlord": "owns a database or tablespace)", "boss": "(is a superuser)", "pg_monitor": "has the rights of other roles",
	} {
		for _, url := range []string{plain, admin} {
			_, err := store.AddAnalyst(t.Context(), url, name, "secret", true)
			if err == nil || !strings.Contains(err.Error(), "take another name") || !strings.Contains(err.Error(), reason) {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	if _, err := store.AddAnalyst(t.Context(), admin, store.Analysts, "secret", true); err == nil || !strings.Contains(err.Error(), "the group of all analysts") {
		t.Errorf("the group: %v", err)
	}
	if after := pgtest.Rows(t, admin, `select * from pg_authid order by oid`); !slices.Equal(before, after) {
		t.Errorf("roles changed:\n%s\n%s", before, after)
	}
	run(t, admin, `alter role plain nocreaterole`)
	if _, err := store.AddAnalyst(t.Context(), plain, "ann", "secret", true); err == nil || !strings.Contains(err.Error(), `alter role "plain" createrole; grant orderflow_analyst to "plain" with admin option`) {
		t.Errorf("who may not make roles: %v", err)
	}
}
