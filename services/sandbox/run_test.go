package main

import (
	"context"
	"net"
	"net/http"
	"testing"
	"time"

	"go.uber.org/zap"

	"orderflow/pkg/boot"
	"orderflow/pkg/partner"
	"orderflow/pkg/partner/okki"
)

// A stop ends calls that hang on demand, and gives the address back.
func TestRunStops(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	p := &boot.Process{Log: zap.NewNop(), Health: boot.NewHealth()}
	if err := run(t.Context(), p, settings{Addr: address}); err == nil {
		t.Error("a taken address was served")
	}
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- run(ctx, p, settings{Addr: address, OKKI: okkiKeys, EZR: ezrKeys}) }()
	s := &stand{T: t, url: "http://" + address}
	s.waitFor("ready", func() bool { return len(p.Health.Ready()) == 0 })
	s.put("faults", `{"faults":[{"partner":"okki","hang":true}]}`)
	if s.okki, err = okki.New(okki.Settings{URL: s.url + "/router/rest", SignMethod: "md5", Credentials: okkiKeys}); err != nil {
		t.Fatal(err)
	}
	hung := make(chan error, 1)
	go func() { hung <- s.send("okki", 20*time.Second) }()
	s.waitFor("the call is in", func() bool { return s.stats("okki").MaxInFlight == 1 })
	stop()
	if err := <-ended; err != nil {
		t.Errorf("run: %v", err)
	}
	wantClass(t, "the call that hung", <-hung, partner.Unknown, partner.CodeCut)
	if _, err := http.Get(s.url + "/_sandbox/stats"); err == nil { //nolint:bodyclose // nobody is there
		t.Error("it still answers")
	}
}

func TestSettingsTable(t *testing.T) {
	t.Setenv("OKKI_APP_KEY", "k")
	t.Setenv("OKKI_APP_SECRET", "s")
	t.Setenv("EZR_APP_ID", "a")
	t.Setenv("EZR_TOKEN", "t")
	var cfg settings
	if err := boot.Load(&cfg); err != nil {
		t.Fatal(err)
	}
	if cfg.Addr != "127.0.0.1:8099" || cfg.OKKI.AppKey != "k" || cfg.EZR.Sign != "sha1" {
		t.Error("the settings did not arrive")
	}
}
