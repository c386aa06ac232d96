package main

import (
	"strings"
	"testing"

	"orderflow/pkg/pgtest"
	"orderflow/pkg/store"
)

// Who owns the database but is no superuser is told, word by word, what a superuser has to run.
func TestAnalystsAddTellsWhatASuperuserHasToRun(t *testing.T) {
	server := pgtest.Server(t)
	if err := server.CreateDatabase(t.Context(), "shop"); err != nil {
		t.Fatal(err)
	}
	admin := server.URL("shop")
	pgtest.Texts(t, admin, `create role plain login createrole`)
	pgtest.Texts(t, admin, `create role orderflow_analyst nologin`)
	pgtest.Texts(t, admin, `grant orderflow_analyst to plain with admin option`)
	pgtest.Texts(t, admin, `alter database shop owner to plain`)
	plain := strings.Replace(admin, "user=orderflow", "user=plain", 1)
	if plain == admin {
		t.Fatalf("no user in %s", admin)
	}
	if err := store.Migrate(t.Context(), plain); err != nil {
		t.Fatal(err)
	}
	t.Setenv("DATABASE_URL", plain)
	t.Setenv("ANALYST_PASSWORD", "secret")
	_, err := orderctl(t, "analysts", "add", "ann")
	if err == nil {
		t.Fatal("added")
	}
	contains(t, err.Error(), "an analyst could do more than read: advisory locks, large objects. Nobody was added", "--anyway",
		"grant execute on function pg_advisory_lock(bigint) to plain; revoke execute on function pg_advisory_lock(bigint) from public;")
	out, err := orderctl(t, "analysts", "add", "ann", "--anyway")
	if err != nil {
		t.Fatal(err)
	}
	contains(t, out, "ann may log in", "in this database only plain may use from now on: temporary tables", "WARNING: analysts may still use advisory locks, large objects",
		"connect to these databases of the server, as everybody may: postgres, template1", "host all +orderflow_analyst all reject")
	t.Setenv("DATABASE_URL", admin)
	if out, err = orderctl(t, "analysts", "add", "ann"); err != nil {
		t.Fatal(err)
	}
	contains(t, out, "may use from now on: advisory locks, large objects")
	if strings.Contains(out, "WARNING") {
		t.Error(out)
	}
	pgtest.Texts(t, strings.Replace(server.URL("postgres"), "user=orderflow", "user=ann", 1), `select lo_from_bytea(0, 'x')::text`)
	if out, err = orderctl(t, "analysts", "add", "ann"); err != nil {
		t.Fatal(err)
	}
	contains(t, out, "WARNING: ann owns tables, large objects or the like in other databases of the server: postgres\n", "drop owned by \"ann\";")
}
