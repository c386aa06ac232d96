package main

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
)

// secret is one generated value of the demo. It is made once and kept, so that a restarted stack can read what it wrote.
type secret struct {
	name string
	make func() string
}

// secrets are the demo's, under the names that the services know them by.
var secrets = []secret{
	{"ICBU_SECRETS", func() string { return "12345678=" + hexText(16) }},
	{"PROCUREMENT_TOKENS", func() string { return hexText(20) }},
	{"MALL_APPS", func() string { return "EZP=" + hexText(8) }},
	{"OKKI_APP_KEY", func() string { return "23456789" }},
	{"OKKI_APP_SECRET", func() string { return hexText(16) }},
	{"OKKI_TARGET_APP_KEY", func() string { return "87654321" }},
	{"EZR_APP_ID", func() string { return "EZP" }},
	{"EZR_TOKEN", func() string { return hexText(8) }},
	{"EZR_APP_SYSTEM", func() string { return "orderflow" }},
	{"PSEUDONYM_KEYS", key},
	{"PAYLOAD_KEYS", key},
	{"RECEIPT_KEYS", key},
	{"CONSOLE_PASSWORD", func() string { return hexText(10) }},
	{"CONSOLE_OPERATOR_PASSWORD", func() string { return hexText(10) }},
	{"CONSOLE_VIEWER_PASSWORD", func() string { return hexText(10) }},
	{"ANALYST_PASSWORD", func() string { return hexText(10) }},
}

// loadSecrets gives the generated secrets of this folder, and makes those that are not there yet.
func loadSecrets(path string) (map[string]string, error) {
	values, err := readSecrets(path)
	if err != nil {
		return nil, err
	}
	var text bytes.Buffer
	for _, s := range secrets {
		if values[s.name] == "" {
			values[s.name] = s.make()
		}
		fmt.Fprintf(&text, "%s=%s\n", s.name, values[s.name])
	}
	return values, writeFile(path, text.Bytes())
}

func readSecrets(path string) (map[string]string, error) {
	values := map[string]string{}
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return values, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the generated secrets: %w", err)
	}
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
		if name, value, found := strings.Cut(lines.Text(), "="); found {
			values[name] = value
		}
	}
	return values, nil
}

// key is a list with one key of 32 bytes: id=base64.
func key() string { return "k1=" + base64.StdEncoding.EncodeToString(random(32)) }

func hexText(n int) string { return hex.EncodeToString(random(n)) }

func random(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails: the runtime ends the process instead
	return b
}
