package main

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/crypto/bcrypt"
)

// role is what a person may do; a greater role may all that a smaller one may.
type role int

// The roles.
const (
	viewer   role = iota + 1 // looks
	operator                 // replays and discards
	approver                 // releases somebody else's large replay
)

var roles = map[string]role{"viewer": viewer, "operator": operator, "approver": approver}

func (r role) String() string {
	for name, known := range roles {
		if known == r {
			return name
		}
	}
	return "nobody"
}

// user is one entry of CONSOLE_USERS.
type user struct {
	name string
	role role
	hash []byte // bcrypt
}

// maxCost keeps a login well under a second: beyond it, two logins at once would lock everybody else out.
const maxCost = 14

// userName leaves out what has a meaning in the setting itself, in HTTP Basic, or in a log.
var userName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}$`)

// parseUsers reads name:role:bcrypt,... and reports every mistake at once, by the entry's number: a hash is never quoted.
// An empty text means that nobody can log in.
func parseUsers(text string) ([]user, error) {
	var users []user
	var errs []error
	for i, entry := range splitList(text) {
		u, err := parseUser(entry)
		if slices.ContainsFunc(users, func(other user) bool { return other.name == u.name }) {
			err = errors.Join(err, errors.New("its name stands twice"))
		}
		if err != nil {
			for fault := range strings.Lines(err.Error()) {
				errs = append(errs, fmt.Errorf("CONSOLE_USERS: entry %d: %s", i+1, strings.TrimSpace(fault)))
			}
			continue
		}
		users = append(users, u)
	}
	return users, errors.Join(errs...)
}

func parseUser(entry string) (user, error) {
	parts := strings.SplitN(entry, ":", 3)
	if len(parts) != 3 {
		return user{}, errors.New("not name:role:bcrypt")
	}
	u := user{parts[0], roles[parts[1]], []byte(parts[2])}
	var errs []error
	if !userName.MatchString(u.name) {
		errs = append(errs, errors.New("a name is 1 to 64 letters, digits, and . _ @ - after the first"))
	}
	if u.role == 0 {
		errs = append(errs, errors.New("the role is not viewer, operator or approver"))
	}
	if cost, err := bcrypt.Cost(u.hash); err != nil || len(u.hash) != 60 {
		errs = append(errs, errors.New("not a bcrypt hash (`htpasswd -nbB name password` makes one)"))
	} else if cost > maxCost {
		errs = append(errs, fmt.Errorf("the cost of its hash is over %d", maxCost))
	}
	return u, errors.Join(errs...)
}
