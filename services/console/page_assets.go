package main

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"net/http"
	"path"
	"time"
)

// assetFiles are what pages load. htmx is somebody else's work, unchanged, under the licence beside it.
//
//go:embed assets
var assetFiles embed.FS

// asset gives one of the pages' files. They hold nothing secret, so browsers may keep them, but ask whether they are new.
func (c *console) asset(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("name")
	text, err := assetFiles.ReadFile(path.Join("assets", path.Base(name)))
	if err != nil {
		c.fail(w, r, errNotFound)
		return
	}
	digest := sha256.Sum256(text)
	w.Header().Set("Etag", `"`+hex.EncodeToString(digest[:16])+`"`)
	w.Header().Set("Cache-Control", "no-cache")
	http.ServeContent(w, r, name, time.Time{}, bytes.NewReader(text))
}
