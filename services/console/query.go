package main

import (
	"net/http"
	"net/url"
)

// parseQuery reads the query, and refuses one that cannot be read instead of dropping parts of it.
func parseQuery(r *http.Request) (url.Values, error) {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, badRequest("bad_query", "the query cannot be read: percent-encode what stands in it")
	}
	return query, nil
}
