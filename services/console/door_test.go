package main

import (
	"errors"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestUsersReportEveryMistakeAndNoHash(t *testing.T) {
	good := entry(t, "anna", "approver")
	_, err := parseUsers("anna," + good + ",b@d name:chief:$2a$04$geheimnis,:viewer:x," + good + ",olga:operator:" + strings.Replace(strings.SplitN(good, ":", 3)[2], "$04$", "$15$", 1))
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{
		"CONSOLE_USERS: entry 1: not name:role:bcrypt", "CONSOLE_USERS: entry 3: a name is", "CONSOLE_USERS: entry 3: the role", "CONSOLE_USERS: entry 3: not a bcrypt",
		"CONSOLE_USERS: entry 4: a name is", "CONSOLE_USERS: entry 5: its name stands twice", "CONSOLE_USERS: entry 6: the cost",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is missing in\n%v", want, err)
		}
	}
	if strings.Contains(err.Error(), "$2") || strings.Contains(err.Error(), "geheimnis") {
		t.Errorf("a hash is quoted: %v", err)
	}
	users, err := parseUsers(" " + good + ", ," + entry(t, "vera", "viewer"))
	if err != nil || len(users) != 2 || users[0].role != approver || users[1].role != viewer {
		t.Errorf("users %v %v", users, err)
	}
	if users, err := parseUsers(""); err != nil || len(users) != 0 {
		t.Errorf("nobody: %v %v", users, err)
	}
}

var here = netip.MustParseAddr("127.0.0.1")

func testDoor(t *testing.T) *door {
	t.Helper()
	users, err := parseUsers(entry(t, "vera", "viewer") + "," + entry(t, "anna", "approver"))
	if err != nil {
		t.Fatal(err)
	}
	d, err := newDoor(users)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestDoor(t *testing.T) {
	d := testDoor(t)
	for range 2 { // hashed, then remembered
		if u, err := d.enter(t.Context(), here, "anna", "annaanna"); err != nil || u.name != "anna" || u.role != approver {
			t.Errorf("anna: %+v %v", u, err)
		}
		for _, wrong := range [][2]string{{"anna", "veravera"}, {"anna", ""}, {"nobody", "annaanna"}, {"", ""}, {"ann", "aannaanna"}, {"anna\x00", "annaanna"}} {
			if u, err := d.enter(t.Context(), here, wrong[0], wrong[1]); !errors.Is(err, errLogin) || u.role != 0 {
				t.Errorf("%q: %+v %v", wrong, u, err)
			}
		}
	}
	if len(d.verified) != 1 {
		t.Errorf("%d credentials are remembered, only those that were right may be", len(d.verified))
	}
}

func TestVerifiedCredentialsAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := testDoor(t)
		if _, err := d.enter(t.Context(), here, "anna", "annaanna"); err != nil {
			t.Fatal(err)
		}
		d.users = nil // from here on only memory lets anybody in
		for range 3 {
			<-time.After(verifiedFor - time.Second)
			if _, err := d.enter(t.Context(), here, "anna", "annaanna"); err != nil {
				t.Errorf("within %v of the last use: %v", verifiedFor, err)
			}
		}
		<-time.After(verifiedFor)
		if _, err := d.enter(t.Context(), here, "anna", "annaanna"); !errors.Is(err, errLogin) {
			t.Errorf("after %v: %v", verifiedFor, err)
		}
	})
}

// While as many hashes run as may, others wait a bounded time; who is remembered does not wait at all.
func TestTooManyLogins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := testDoor(t)
		if _, err := d.enter(t.Context(), here, "vera", "veravera"); err != nil {
			t.Fatal(err)
		}
		for range hashesAtOnce {
			d.queue.slots <- struct{}{}
		}
		began := time.Now()
		if _, err := d.enter(t.Context(), here, "vera", "veravera"); err != nil || time.Since(began) > 0 {
			t.Errorf("remembered: %v after %v", err, time.Since(began))
		}
		if _, err := d.enter(t.Context(), here, "anna", "annaanna"); !errors.Is(err, errBusy) || time.Since(began) != waitForHash {
			t.Errorf("%v after %v", err, time.Since(began))
		}
		done := make(chan error, 1)
		go func() { _, err := d.enter(t.Context(), here, "anna", "annaanna"); done <- err }()
		synctest.Wait()
		<-d.queue.slots
		if err := <-done; err != nil {
			t.Errorf("once there is room: %v", err)
		}
	})
}

func TestMemoryOfCredentialsIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := testDoor(t)
		for i := range 2 * maxVerified {
			d.remember(d.digest("anna", string(rune(i))), user{})
		}
		if len(d.verified) != maxVerified {
			t.Errorf("%d are remembered, at most %d may be", len(d.verified), maxVerified)
		}
		<-time.After(verifiedFor)
		d.remember(d.digest("anna", "new"), user{})
		if len(d.verified) != 1 {
			t.Errorf("%d are remembered after all others ran out", len(d.verified))
		}
	})
}

// In the same flood, no more hashes run at once than may, and a queue of strangers does not outlast its bound.
func TestHashesAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := testDoor(t)
		if cap(d.queue.slots) != 2 {
			t.Errorf("%d hashes may run at once", cap(d.queue.slots))
		}
		if _, err := d.enter(t.Context(), here, "vera", "veravera"); err != nil {
			t.Fatal(err)
		}
		for range hashesAtOnce { // hashes that never end
			d.queue.slots <- struct{}{}
		}
		var flood sync.WaitGroup
		for range 1000 {
			flood.Go(func() {
				if _, err := d.enter(t.Context(), here, "mallory", "x"); !errors.Is(err, errBusy) {
					t.Errorf("beyond the slots: %v", err)
				}
			})
		}
		began := time.Now()
		for range 40 {
			if _, err := d.enter(t.Context(), here, "vera", "veravera"); err != nil {
				t.Fatalf("vera after %v: %v", time.Since(began), err)
			}
			<-time.After(verifiedFor / 2)
		}
		flood.Wait()
	})
}
