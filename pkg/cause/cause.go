// Package cause says in words what the codes of letters and of quarantine mean (interfaces.md section 7), for the command
// line and the console, in English and in Chinese.
package cause

import (
	_ "embed" // the texts
	"fmt"

	"github.com/go-json-experiment/json"
)

// Language of a text, as BCP 47 has it.
type Language string

// The languages.
const (
	English Language = "en"
	Chinese Language = "zh"
)

// Text is a cause in words; one or two sentences each, without values of a record.
type Text struct {
	Happened string `json:"happened"`
	Means    string `json:"means"`
	Next     string `json:"next"` // what to do
}

//go:embed en.json
var english []byte

//go:embed zh.json
var chinese []byte

var texts = map[Language]map[string]Text{English: parse(english), Chinese: parse(chinese)}

// Of tells what a code means; false for a code that nobody described, or a language that is not spoken here.
func Of(language Language, code string) (Text, bool) {
	text, known := texts[language][code]
	return text, known
}

func parse(file []byte) map[string]Text {
	var all map[string]Text
	if err := json.Unmarshal(file, &all, json.RejectUnknownMembers(true)); err != nil {
		panic(fmt.Sprintf("texts of causes: %v", err)) // the files are part of the program
	}
	return all
}
