package main

import (
	"math"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// Text has at least the contrast of WCAG AA in both modes, whatever it stands on.
func TestContrast(t *testing.T) {
	css, err := assetFiles.ReadFile("assets/console.css")
	if err != nil {
		t.Fatal(err)
	}
	light, rest, ok := strings.Cut(string(css), "@media (prefers-color-scheme: dark)")
	if !ok {
		t.Fatal("no dark mode")
	}
	dark, _, _ := strings.Cut(rest, "* {")
	pairs := [][2]string{{"button-text", "button"}, {"danger-text", "danger"}, {"focus", "page"}, {"focus", "card"}}
	for _, ground := range []string{"page", "card"} {
		for _, text := range []string{"text", "dim", "link"} {
			pairs = append(pairs, [2]string{text, ground})
		}
	}
	for _, tone := range []string{"good", "busy", "warn", "bad", "quiet"} {
		pairs = append(pairs, [2]string{tone + "-text", tone})
	}
	for mode, text := range map[string]string{"light": light, "dark": dark} {
		colours := map[string][3]float64{}
		for _, found := range regexp.MustCompile(`--([a-z-]+): #([0-9a-f]{6});`).FindAllStringSubmatch(text, -1) {
			value, err := strconv.ParseUint(found[2], 16, 32)
			if err != nil {
				t.Fatal(err)
			}
			colours[found[1]] = [3]float64{float64(value >> 16), float64(value >> 8 & 255), float64(value & 255)}
		}
		for _, pair := range pairs {
			a, okA := colours[pair[0]]
			b, okB := colours[pair[1]]
			if got := contrast(a, b); !okA || !okB || got < 4.5 {
				t.Errorf("%s: %s on %s has %.2f", mode, pair[0], pair[1], got)
			}
		}
	}
	if got := contrast([3]float64{255, 255, 255}, [3]float64{}); math.Abs(got-21) > 0.01 {
		t.Errorf("white on black has %.2f", got)
	}
	// Outside the two lists of colours, the style sheet names none.
	for _, line := range strings.Split(string(css)[strings.Index(string(css), "* {"):], "\n") {
		if regexp.MustCompile(`#[0-9a-f]{3,6}\b`).MatchString(line) {
			t.Errorf("a colour of its own: %s", line)
		}
	}
}

// contrast is the ratio that WCAG 2 defines.
func contrast(a, b [3]float64) float64 {
	x, y := luminance(a), luminance(b)
	return (max(x, y) + 0.05) / (min(x, y) + 0.05)
}

func luminance(colour [3]float64) float64 {
	linear := func(c float64) float64 {
		if c /= 255; c <= 0.04045 {
			return c / 12.92
		}
		return math.Pow((c+0.055)/1.055, 2.4)
	}
	return 0.2126*linear(colour[0]) + 0.7152*linear(colour[1]) + 0.0722*linear(colour[2])
}
