package main

import (
	"fmt"
	"strings"

	"golang.org/x/crypto/bcrypt"
)

// person is somebody who can log in to the demo's console. Two people can do together what needs two: the operator's
// large replays are released by the approver.
type person struct {
	name     string
	role     string
	setting  string // the variable that tells the name
	password string // the variable that tells the password
}

var people = []person{
	{"approver", "approver", "CONSOLE_USER", "CONSOLE_PASSWORD"},
	{"operator", "operator", "CONSOLE_OPERATOR", "CONSOLE_OPERATOR_PASSWORD"},
	{"viewer", "viewer", "CONSOLE_VIEWER", "CONSOLE_VIEWER_PASSWORD"},
}

// invite gives the console its users, with the demo's passwords. Where CONSOLE_USERS was given, they are somebody else's, and
// nothing is told about them.
func (e environment) invite() error {
	if e["CONSOLE_USERS"] != "" || e["CONSOLE_USERS_FILE"] != "" {
		for _, p := range people {
			for _, name := range []string{p.setting, p.password} {
				delete(e, name)
				delete(e, name+"_FILE")
			}
		}
		return nil
	}
	var entries []string
	for _, p := range people {
		e.standard(p.setting, p.name)
		hash, err := bcrypt.GenerateFromPassword([]byte(e.value(p.password)), bcrypt.DefaultCost)
		if err != nil {
			return fmt.Errorf("%s: %w", p.password, err)
		}
		entries = append(entries, e.value(p.setting)+":"+p.role+":"+string(hash))
	}
	e["CONSOLE_USERS"] = strings.Join(entries, ",")
	return nil
}

// logins is what people type to enter the console.
func (e environment) logins() string {
	if e["CONSOLE_USER"] == "" {
		return "users as in CONSOLE_USERS"
	}
	var logins []string
	for _, p := range people {
		logins = append(logins, e.value(p.setting)+" / "+e.value(p.password))
	}
	return "log in as " + strings.Join(logins, ", ")
}
