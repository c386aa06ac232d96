package main

import (
	"bytes"
	"errors"
	"mime"
	"strings"

	"golang.org/x/text/encoding/simplifiedchinese"
)

// contentType is what a Content-Type header says.
type contentType struct {
	form bool
	gbk  bool
	ok   bool // false: a charset that we do not know
}

func readContentType(header string) contentType {
	media, params, err := mime.ParseMediaType(header)
	if err != nil && !errors.Is(err, mime.ErrInvalidMediaParameter) {
		media, params = header, nil
	}
	t := contentType{form: strings.EqualFold(media, "application/x-www-form-urlencoded"), ok: true}
	switch strings.ToLower(params["charset"]) {
	case "", "utf-8", "utf8", "us-ascii", "ascii":
	case "gbk", "gb2312", "gb18030", "cp936":
		t.gbk = true
	default:
		t.ok = false
	}
	return t
}

var errCharset = errors.New("not in the charset that its Content-Type tells")

// utf8 gives the text in UTF-8. GB18030 reads GBK and GB2312 too, being a superset of both. UTF-8 itself is checked where
// the JSON is.
func (t contentType) utf8(text []byte) ([]byte, error) {
	switch {
	case !t.ok:
		return nil, errCharset
	case !t.gbk || ascii(text):
		return text, nil
	}
	decoded, err := simplifiedchinese.GB18030.NewDecoder().Bytes(text)
	// The decoder writes U+FFFD where the bytes mean nothing; an honest text has none.
	if err != nil || bytes.Contains(decoded, []byte("\uFFFD")) {
		return nil, errCharset
	}
	return decoded, nil
}

func ascii(text []byte) bool {
	for _, c := range text {
		if c >= 0x80 {
			return false
		}
	}
	return true
}
