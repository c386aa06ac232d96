package main

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"orderflow/pkg/boot"
	"orderflow/pkg/bus"
	"orderflow/pkg/partner/okki"
	"orderflow/pkg/receipt"
)

// Settings of ingest: its own and those of the rooms it uses.
type Settings struct {
	boot.Settings
	Kafka   bus.Settings
	OKKI    okki.Settings
	Receipt receipt.Settings
	Ingest  Door
}

// Door is what ingest itself reads.
type Door struct {
	Addr              string        `env:"INGEST_ADDR" envDefault:"127.0.0.1:8080" doc:"address that takes the pushes, /healthz and /readyz"`
	ICBUSecrets       string        `env:"ICBU_SECRETS" doc:"app_key=secret,... of the ICBU senders; * for any key; a key may stand twice while rotating"`
	ProcurementTokens string        `env:"PROCUREMENT_TOKENS" doc:"comma list of the tokens valid in the procurement address"`
	MallApps          string        `env:"MALL_APPS" doc:"AppId=Token,... of the mall connectors (AppId=Token:md5 for an MD5 brand); an AppId may stand twice while rotating"`
	SignatureWindow   time.Duration `env:"SIGNATURE_WINDOW" envDefault:"10m" doc:"how far an icbu or mall timestamp may be off, either way"`
	MaxInFlight       int           `env:"INGEST_MAX_IN_FLIGHT" envDefault:"1024" doc:"pushes judged and written at once; a quarter is kept free for each source"`
	QuarantineRate    float64       `env:"QUARANTINE_RATE" envDefault:"1" doc:"refused requests of unproven senders kept a second for each source and remote address, 5 times that for each source; the rest is counted"`
	Unreadable        string        `env:"PROCUREMENT_UNREADABLE" envDefault:"accept" doc:"what a procurement push that is no JSON is told: accept (it is in quarantine) or refuse"`
}

// Values of PROCUREMENT_UNREADABLE.
const (
	unreadableAccept = "accept"
	unreadableRefuse = "refuse"
)

// minInFlight leaves each of the three sources at least one slot of its own.
const minInFlight = 4

// Validate reports every mistake at once and quotes no value, since most of them are secrets.
func (d *Door) Validate() error {
	var errs []error
	if _, _, err := net.SplitHostPort(d.Addr); err != nil {
		errs = append(errs, errors.New("INGEST_ADDR: not host:port"))
	}
	_, err := parsePairs("ICBU_SECRETS", d.ICBUSecrets)
	errs = append(errs, err)
	_, err = parseMallApps(d.MallApps)
	errs = append(errs, err)
	for i, token := range parseTokens(d.ProcurementTokens) {
		if strings.ContainsAny(token, "/?#% ") {
			errs = append(errs, fmt.Errorf("PROCUREMENT_TOKENS: token %d holds a character that no address carries plainly", i+1))
		}
	}
	if d.SignatureWindow <= 0 {
		errs = append(errs, errors.New("SIGNATURE_WINDOW: more than 0"))
	}
	if d.MaxInFlight < minInFlight {
		errs = append(errs, fmt.Errorf("INGEST_MAX_IN_FLIGHT: at least %d", minInFlight))
	}
	if !(d.QuarantineRate > 0) {
		errs = append(errs, errors.New("QUARANTINE_RATE: more than 0"))
	}
	if d.Unreadable != unreadableAccept && d.Unreadable != unreadableRefuse {
		errs = append(errs, errors.New("PROCUREMENT_UNREADABLE: accept or refuse"))
	}
	return errors.Join(errs...)
}

// pair is one name=secret of a setting.
type pair struct{ name, secret string }

// parsePairs reads name=secret,... An empty text means none: every push of that source is refused.
func parsePairs(setting, text string) ([]pair, error) {
	var pairs []pair
	var errs []error
	for i, entry := range splitList(text) {
		name, secret, _ := strings.Cut(entry, "=")
		if name == "" || secret == "" {
			errs = append(errs, fmt.Errorf("%s: entry %d is not name=secret", setting, i+1))
			continue
		}
		pairs = append(pairs, pair{name, secret})
	}
	return pairs, errors.Join(errs...)
}

func parseTokens(text string) []string { return splitList(text) }

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
