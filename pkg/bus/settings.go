package bus

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"

	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"
)

// Settings say where the brokers are and how to prove who we are.
type Settings struct {
	Brokers       []string `env:"KAFKA_BROKERS" envDefault:"127.0.0.1:9092" doc:"comma list of host:port"`
	TLSCA         string   `env:"KAFKA_TLS_CA" doc:"PEM file of the brokers' authority; turns TLS on"`
	TLSCert       string   `env:"KAFKA_TLS_CERT" doc:"PEM file of our certificate; with KAFKA_TLS_KEY"`
	TLSKey        string   `env:"KAFKA_TLS_KEY" doc:"PEM file of our key"`
	SASLMechanism string   `env:"KAFKA_SASL_MECHANISM" doc:"PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512; empty: none"`
	SASLUser      string   `env:"KAFKA_SASL_USER" doc:"user of the mechanism"`
	SASLPassword  string   `env:"KAFKA_SASL_PASSWORD" doc:"password of the mechanism"`
}

// Validate reports every mistake at once. The PEM files are read, so that a wrong path is known before anything starts.
func (s *Settings) Validate() error {
	var errs []error
	if len(s.Brokers) == 0 {
		errs = append(errs, errors.New("KAFKA_BROKERS: at least one host:port"))
	}
	for _, broker := range s.Brokers {
		if host, port, err := net.SplitHostPort(broker); err != nil || host == "" || port == "" {
			errs = append(errs, fmt.Errorf("KAFKA_BROKERS: %q is not host:port", broker))
		}
	}
	if _, err := s.tls(); err != nil {
		errs = append(errs, err)
	}
	if _, err := s.mechanism(); err != nil {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// tls is nil when TLS is off.
func (s *Settings) tls() (*tls.Config, error) {
	if (s.TLSCert == "") != (s.TLSKey == "") {
		return nil, errors.New("KAFKA_TLS_CERT and KAFKA_TLS_KEY: both or none")
	}
	if s.TLSCA == "" && s.TLSCert == "" {
		return nil, nil
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if s.TLSCA != "" {
		pem, err := os.ReadFile(s.TLSCA)
		if err != nil {
			return nil, fmt.Errorf("KAFKA_TLS_CA: %w", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, errors.New("KAFKA_TLS_CA: no PEM certificate in the file")
		}
	}
	if s.TLSCert != "" {
		pair, err := tls.LoadX509KeyPair(s.TLSCert, s.TLSKey)
		if err != nil {
			return nil, fmt.Errorf("KAFKA_TLS_CERT: %w", err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return config, nil
}

// mechanism is nil when there is no SASL.
func (s *Settings) mechanism() (sasl.Mechanism, error) {
	if s.SASLMechanism == "" {
		if s.SASLUser != "" || s.SASLPassword != "" {
			return nil, errors.New("KAFKA_SASL_MECHANISM: needed with KAFKA_SASL_USER and KAFKA_SASL_PASSWORD")
		}
		return nil, nil
	}
	if s.SASLUser == "" || s.SASLPassword == "" {
		return nil, errors.New("KAFKA_SASL_USER and KAFKA_SASL_PASSWORD: needed with KAFKA_SASL_MECHANISM")
	}
	switch s.SASLMechanism {
	case "PLAIN":
		return plain.Auth{User: s.SASLUser, Pass: s.SASLPassword}.AsMechanism(), nil
	case "SCRAM-SHA-256":
		return scram.Auth{User: s.SASLUser, Pass: s.SASLPassword}.AsSha256Mechanism(), nil
	case "SCRAM-SHA-512":
		return scram.Auth{User: s.SASLUser, Pass: s.SASLPassword}.AsSha512Mechanism(), nil
	}
	return nil, errors.New("KAFKA_SASL_MECHANISM: not one of PLAIN, SCRAM-SHA-256, SCRAM-SHA-512")
}
