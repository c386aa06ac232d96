package bus

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestSettingsSayWhatIsWrong(t *testing.T) {
	folder := t.TempDir()
	junk := filepath.Join(folder, "junk.pem")
	if err := os.WriteFile(junk, []byte("no certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	good := []string{"127.0.0.1:9092"}
	cases := map[string]struct {
		settings Settings
		want     string // "" means valid
	}{
		"plain":                  {Settings{Brokers: good}, ""},
		"scram":                  {Settings{Brokers: good, SASLMechanism: "SCRAM-SHA-512", SASLUser: "u", SASLPassword: "p"}, ""},
		"no broker":              {Settings{}, "KAFKA_BROKERS"},
		"broker without port":    {Settings{Brokers: []string{"kafka"}}, "KAFKA_BROKERS"},
		"unknown mechanism":      {Settings{Brokers: good, SASLMechanism: "OAUTH", SASLUser: "u", SASLPassword: "p"}, "not one of"},
		"mechanism without user": {Settings{Brokers: good, SASLMechanism: "PLAIN"}, "KAFKA_SASL_USER"},
		"user without mechanism": {Settings{Brokers: good, SASLUser: "u"}, "KAFKA_SASL_MECHANISM"},
		"missing CA":             {Settings{Brokers: good, TLSCA: filepath.Join(folder, "none")}, "KAFKA_TLS_CA"},
		"CA without certificate": {Settings{Brokers: good, TLSCA: junk}, "no PEM certificate"},
		"certificate, no key":    {Settings{Brokers: good, TLSCert: junk}, "both or none"},
		"unreadable certificate": {Settings{Brokers: good, TLSCert: junk, TLSKey: junk}, "KAFKA_TLS_CERT"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			err := c.settings.Validate()
			if c.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, wanted %q in it", err, c.want)
			}
		})
	}
	two := Settings{SASLMechanism: "PLAIN"}
	if err := two.Validate(); !strings.Contains(err.Error(), "KAFKA_BROKERS") || !strings.Contains(err.Error(), "KAFKA_SASL_USER") {
		t.Errorf("not every mistake at once: %v", err)
	}
}
