package main

import (
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"

	"orderflow/pkg/order"
	"orderflow/pkg/source/mall"
	"orderflow/schemas"
)

// example is one push of the demo.
type example struct {
	source order.Source
	path   string
	name   string // of the file, without its ending
	body   []byte
}

// parked are the bad examples that the demo shows beside all the good ones: each is accepted, and parked with a reason.
var parked = []string{"icbu/bad-bad_amount.json", "procurement/bad-bad_amount.json", "mall/bad-sum_mismatch.json"}

// demoExamples are the pushes of the demo, by source. The mall's dates are moved into the allowed year, to the month's
// beginning: a stack that is started again pushes the same bytes, and its orders show as duplicates.
func demoExamples(now time.Time) ([]example, error) {
	var all []example
	for _, source := range order.Sources {
		folder := path.Join("examples", string(source))
		files, err := fs.Glob(schemas.Examples, path.Join(folder, "good-*.json"))
		if err != nil {
			return nil, fmt.Errorf("find the examples: %w", err)
		}
		for _, bad := range parked {
			if path.Dir(bad) == string(source) {
				files = append(files, path.Join("examples", bad))
			}
		}
		slices.Sort(files)
		for _, file := range files {
			e := example{source: source, path: "schemas/" + file, name: strings.TrimSuffix(path.Base(file), ".json")}
			if e.body, err = schemas.Examples.ReadFile(file); err != nil {
				return nil, fmt.Errorf("read an example: %w", err)
			}
			if source == order.Mall {
				if e.body, err = mall.ShiftDates(e.body, mall.Month(now)); err != nil {
					return nil, fmt.Errorf("%s: %w", e.path, err)
				}
			}
			all = append(all, e)
		}
	}
	return all, nil
}
