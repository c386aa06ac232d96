package main

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"

	"github.com/go-json-experiment/json"
)

func (s *sandbox) listOrders(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	orders := s.book.list(query.Get("partner"), query.Get("order_no"))
	writeJSON(w, encode(struct {
		Orders []taken `json:"orders"`
		Total  int     `json:"total"`
	}{orders, len(orders)}))
}

func (s *sandbox) forgetOrders(w http.ResponseWriter, _ *http.Request) {
	s.book.forget()
	w.WriteHeader(http.StatusNoContent)
}

// listCalls lists what was taken, effect by effect: [?partner=][&order_no=][&from=seq].
func (s *sandbox) listCalls(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	var from int64
	if text := query.Get("from"); text != "" {
		var err error
		if from, err = strconv.ParseInt(text, 10, 64); err != nil || from < 0 {
			refuse(w, errors.New("from: a sequence number"))
			return
		}
	}
	effects, dropped := s.book.calls(query.Get("partner"), query.Get("order_no"), from)
	writeJSON(w, encode(struct {
		Calls   []effect `json:"calls"`
		Dropped int64    `json:"dropped"` // oldest effects that are no longer kept
	}{effects, dropped}))
}

func (s *sandbox) showStats(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, encode(s.book.counts()))
}

func (s *sandbox) resetStats(w http.ResponseWriter, _ *http.Request) {
	s.book.resetCounts()
	w.WriteHeader(http.StatusNoContent)
}

type faultList struct {
	Faults []fault `json:"faults"`
}

func (s *sandbox) showFaults(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, encode(faultList{s.faults.list()}))
}

func (s *sandbox) setFaults(w http.ResponseWriter, r *http.Request) {
	var wanted faultList
	err := decode(w, r, &wanted)
	if err == nil {
		err = s.faults.set(wanted.Faults)
	}
	if err != nil {
		refuse(w, err)
		return
	}
	s.showFaults(w, r)
}

func (s *sandbox) clearFaults(w http.ResponseWriter, _ *http.Request) {
	_ = s.faults.set(nil) // no fault, nothing to refuse
	w.WriteHeader(http.StatusNoContent)
}

func (s *sandbox) showConfig(w http.ResponseWriter, _ *http.Request) {
	s.book.mu.Lock()
	shown := s.book.config
	s.book.mu.Unlock()
	writeJSON(w, encode(shown))
}

// setConfig changes the settings that are given and leaves the others.
func (s *sandbox) setConfig(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		refuse(w, err)
		return
	}
	s.book.mu.Lock()
	wanted := s.book.config
	if err = json.Unmarshal(body, &wanted, json.RejectUnknownMembers(true)); err == nil {
		err = wanted.check()
	}
	if err == nil {
		s.book.config = wanted
	}
	s.book.mu.Unlock()
	if err != nil {
		refuse(w, err)
		return
	}
	s.showConfig(w, r)
}

func (c config) check() error {
	switch {
	case !slices.Contains([]string{"take", "refuse"}, c.OKKIExisting):
		return errors.New("okki_existing: take or refuse")
	case !slices.Contains([]string{"2102", "overwrite"}, c.EZRExisting):
		return errors.New("ezr_existing: 2102 or overwrite")
	case !slices.Contains([]string{"accept", "refuse"}, c.EZRMissingSale):
		return errors.New("ezr_missing_sale: accept or refuse")
	case c.EZRConcurrency < 0:
		return errors.New("ezr_concurrency: 0 or more")
	}
	return nil
}

func decode(w http.ResponseWriter, r *http.Request, into any) error {
	if err := json.UnmarshalRead(http.MaxBytesReader(w, r.Body, maxBody), into, json.RejectUnknownMembers(true)); err != nil {
		return fmt.Errorf("body: %w", err)
	}
	return nil
}

func refuse(w http.ResponseWriter, err error) {
	var answer struct {
		Error struct {
			Code    string `json:"code"`
			Message string `json:"message"`
		} `json:"error"`
	}
	answer.Error.Code, answer.Error.Message = "bad_request", err.Error()
	w.Header().Set("Content-Type", "application/json;charset=utf-8")
	w.WriteHeader(http.StatusBadRequest)
	_, _ = w.Write(encode(answer))
}
