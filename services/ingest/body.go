package main

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"hash"
	"io"
	"net/http"
)

// Bounds of a request's body.
const (
	maxBody        = 1 << 20
	firstRead      = 16 << 10  // not counted against the budget: every connection costs this much anyway
	quarantineSize = 64 << 10  // what quarantine keeps of a refused body
	drainSize      = 4 << 20   // read of a body that is too large, so that its sender gets to read the answer
	budgetSize     = 128 << 20 // bytes of bodies in memory, a source
)

// Why a body was not read whole.
var (
	errTooLarge   = errors.New("body is over 1 MiB")
	errOverloaded = errors.New("too many bytes of bodies in memory")
	errCutOff     = errors.New("body was cut off or came too slowly")
)

// body is what was read of a request. Content is all of it, unless it was too large: then it is the beginning.
type body struct {
	content []byte
	length  int64  // -1 when unknown
	digest  string // hex of SHA-256, or "" when not all of it was read
	counted int    // bytes taken from the budget
}

// readBody reads the request's body once, growing with what really arrives: a large Content-Length alone costs nothing.
func readBody(r *http.Request, b *budget) (body, error) {
	if r.ContentLength > maxBody {
		if r.Header.Get("Expect") != "" { // it waits for our word before it sends anything
			return body{length: r.ContentLength}, errTooLarge
		}
		return drain(r, nil), errTooLarge
	}
	size := firstRead
	if r.ContentLength >= 0 {
		size = min(size, int(r.ContentLength)+1)
	}
	got := body{content: make([]byte, 0, size), length: -1}
	for {
		n, err := r.Body.Read(got.content[len(got.content):cap(got.content)])
		got.content = got.content[:len(got.content)+n]
		switch {
		case errors.Is(err, io.EOF) && len(got.content) <= maxBody:
			got.length = int64(len(got.content))
			return got, nil
		case len(got.content) > maxBody:
			b.give(got.counted)
			return drain(r, got.content), errTooLarge
		case err != nil:
			b.give(got.counted)
			return body{}, errCutOff
		}
		if len(got.content) < cap(got.content) {
			continue
		}
		size := min(2*cap(got.content), maxBody+1)
		if r.ContentLength >= 0 {
			size = min(size, max(cap(got.content), int(r.ContentLength))+1)
		}
		if more := size - cap(got.content); b.take(more) {
			got.counted += more
		} else {
			b.give(got.counted)
			return body{}, errOverloaded
		}
		got.content = append(make([]byte, 0, size), got.content...)
	}
}

// readStart reads as much of a body as quarantine keeps.
func readStart(r *http.Request) body {
	got := body{length: r.ContentLength}
	content, err := io.ReadAll(io.LimitReader(r.Body, quarantineSize))
	got.content = content
	if err == nil && len(content) < quarantineSize {
		got.length = int64(len(content))
	}
	return got
}

// drain reads on in a body that is too large, keeps its beginning, and learns length and digest when it ends in time.
func drain(r *http.Request, read []byte) body {
	sum := sha256.New()
	sum.Write(read)
	got := body{content: make([]byte, 0, quarantineSize), length: r.ContentLength}
	got.content = append(got.content, read[:min(len(read), quarantineSize)]...)
	total, whole := drainInto(&got, sum, r.Body, int64(len(read)))
	if whole {
		got.length, got.digest = total, hex.EncodeToString(sum.Sum(nil))
	}
	return got
}

func drainInto(got *body, sum hash.Hash, from io.Reader, total int64) (int64, bool) {
	buffer := make([]byte, 32<<10)
	for total <= drainSize {
		n, err := from.Read(buffer)
		total += int64(n)
		sum.Write(buffer[:n])
		got.content = append(got.content, buffer[:min(n, quarantineSize-len(got.content))]...)
		if err != nil {
			return total, errors.Is(err, io.EOF)
		}
	}
	return total, false
}
