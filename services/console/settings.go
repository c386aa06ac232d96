package main

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
)

// Settings of the console itself.
type Settings struct {
	Addr           string  `env:"CONSOLE_ADDR" envDefault:"127.0.0.1:8090" doc:"address of the pages and the JSON API"`
	Users          string  `env:"CONSOLE_USERS" doc:"name:role:bcrypt,... with role viewer, operator or approver"`
	Origins        string  `env:"CONSOLE_ORIGINS" doc:"comma list of further origins, such as that of a proxy, from which changes are accepted"`
	Proxies        string  `env:"CONSOLE_PROXIES" doc:"comma list of addresses and networks of proxies that write who asks into X-Forwarded-For: wrong logins and receipts are limited for each address; empty: none is believed, and all who come through a proxy share its address"`
	WorkerOps      string  `env:"WORKER_OPS" doc:"service=http://host:port,... of the ops addresses of ingest, the workers and balance, several of one service too: their readiness, breakers and guards are shown; empty: not known"`
	ApprovalSize   int     `env:"APPROVAL_SIZE" envDefault:"1000" doc:"letters beyond which a second person approves a replay"`
	ReplayMaxTimes int     `env:"REPLAY_MAX_TIMES" envDefault:"3" doc:"replays without success after which a letter is replayed by its id only"`
	StopRatio      float64 `env:"REPLAY_STOP_RATIO" envDefault:"0.5" doc:"share of letters that failed again beyond which a replay stops by itself"`
}

// Validate reports every mistake at once.
func (s *Settings) Validate() error {
	var errs []error
	if _, _, err := net.SplitHostPort(s.Addr); err != nil {
		errs = append(errs, errors.New("CONSOLE_ADDR: not host:port"))
	}
	_, err := parseUsers(s.Users)
	errs = append(errs, err)
	for i, origin := range s.origins() {
		if http.NewCrossOriginProtection().AddTrustedOrigin(origin) != nil {
			errs = append(errs, fmt.Errorf("CONSOLE_ORIGINS: entry %d is not scheme://host[:port]", i+1))
		}
	}
	_, err = parseProxies(s.Proxies)
	errs = append(errs, err)
	_, err = parseTargets(s.WorkerOps)
	errs = append(errs, err)
	if s.ApprovalSize < 1 {
		errs = append(errs, errors.New("APPROVAL_SIZE: at least 1"))
	}
	if s.ReplayMaxTimes < 1 {
		errs = append(errs, errors.New("REPLAY_MAX_TIMES: at least 1"))
	}
	if !(s.StopRatio > 0 && s.StopRatio <= 1) {
		errs = append(errs, errors.New("REPLAY_STOP_RATIO: more than 0, at most 1"))
	}
	return errors.Join(errs...)
}

func (s *Settings) origins() []string { return splitList(s.Origins) }

// splitList reads a comma list; blanks around an entry and empty entries are dropped.
func splitList(text string) []string {
	var entries []string
	for entry := range strings.SplitSeq(text, ",") {
		if entry = strings.TrimSpace(entry); entry != "" {
			entries = append(entries, entry)
		}
	}
	return entries
}
