package main

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"os"
	"sync"
	"time"

	"github.com/go-json-experiment/json"
)

// attempt is one request of a sender and what it was told.
type attempt struct {
	At       time.Time  `json:"at"`
	Took     int64      `json:"took_ms"`
	Kind     string     `json:"kind"` // new, again (the same after no acceptance), equal, newer, return, bad, refused, or hostile's own
	Docs     []document `json:"docs,omitzero"`
	Status   int        `json:"status,omitzero"`
	Accepted bool       `json:"accepted,omitzero"`
	Receipt  string     `json:"receipt,omitzero"`
	Error    string     `json:"error,omitzero"`
}

// end is when the answer was there.
func (a attempt) end() time.Time { return a.At.Add(time.Duration(a.Took) * time.Millisecond) }

func (a attempt) hostile() bool { return len(a.Docs) > 0 && a.Docs[0].Verdict == hostile }

// journal is the file of all attempts, one JSON object a line: the only thing that the checker knows of the load.
type journal struct {
	mu   sync.Mutex
	file *os.File
	out  *bufio.Writer
}

func newJournal(path string) (*journal, error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	return &journal{file: file, out: bufio.NewWriter(file)}, nil
}

func (j *journal) write(a attempt) {
	line, err := json.Marshal(a)
	if err != nil {
		panic(err) // plain texts and numbers
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	_, _ = j.out.Write(append(line, '\n')) // the error stays until close
}

func (j *journal) close() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	return errors.Join(j.out.Flush(), j.file.Close())
}

func readJournal(path string) ([]attempt, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	var all []attempt
	for lines := bufio.NewReader(file); ; {
		line, err := lines.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return nil, err
		}
		var a attempt
		if err := json.Unmarshal(bytes.TrimSpace(line), &a); err != nil {
			return nil, err
		}
		all = append(all, a)
	}
}
