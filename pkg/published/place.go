package published

import (
	_ "embed"
	"strings"
)

// placeNames has a line for each province of China, and on it the cities and what else stands directly under a province, under
// their names of law (GB/T 2260, as of 2025). A slash ends the name by which a place is called.
//
//go:embed places.txt
var placeNames string

// provinces and cities are the names that analysts may see. No other text tells a place from a person: a city may be called like
// nobody, and somebody like no city that is known here.
var provinces, cities = readPlaces(placeNames)

// kinds are the words that may follow a place's name.
var kinds = []string{"特别行政区", "自治区", "自治州", "地区", "林区", "省", "市", "盟", "州", "县"}

func readPlaces(text string) (provinces, cities map[string]bool) {
	provinces, cities = map[string]bool{"海外": true}, map[string]bool{}
	for line := range strings.Lines(text) {
		for i, name := range strings.Fields(line) {
			names := cities
			if i == 0 {
				names = provinces
			}
			called, rest, _ := strings.Cut(name, "/")
			names[called+rest], names[called] = true, true
			for _, kind := range kinds {
				if short := strings.TrimSuffix(name, kind); rest == "" && len(short) > len("字") {
					names[short] = true
				}
			}
		}
	}
	return provinces, cities
}

// place gives a text as it was sent if it is one of the names, with whatever kind of place behind it, or nothing: a sender may write
// a whole address, a person's name or a number there, and none of it may come to analysts.
func place(names map[string]bool, text string) string {
	name := strings.TrimSpace(text)
	if names[name] {
		return name
	}
	for _, kind := range kinds {
		if short, ends := strings.CutSuffix(name, kind); ends && names[short] {
			return name
		}
	}
	return ""
}
