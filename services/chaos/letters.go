package main

import (
	"fmt"
	"slices"
)

// outageCodes are those that a letter has when the world was blamed on a record.
var outageCodes = []string{"retries_exhausted", "deadline", "panic", "db_data"}

// lettersAreTheBad: the letters are those of the documents that break a rule or that their partner was told to refuse and,
// where EZR takes no changes, of changed mall orders: no more, no fewer, each with its code.
func (c *checker) lettersAreTheBad() ruling {
	r := ruling{law: lawLetters, held: len(c.parked)}
	by := map[string]map[int64][]parked{}
	for _, l := range c.parked {
		if by[l.key] == nil {
			by[l.key] = map[int64][]parked{}
		}
		by[l.key][l.revision] = append(by[l.key][l.revision], l)
	}
	conflicts := 0
	for key, versions := range c.history {
		lettersOfRefused, refusedVersions := 0, 0
		for i, v := range versions {
			letters := by[key][v.revision]
			delete(by[key], v.revision)
			if v.doc.Verdict == refused {
				refusedVersions++
				lettersOfRefused += len(letters)
			}
			switch {
			case len(letters) > 1:
				r.broken("%s at %s has %d letters", key, v.place, len(letters))
			case v.doc.Code == saleParked && len(letters) == 0 && i < len(versions)-1: // superseded
			case v.doc.Verdict == bad && len(letters) == 0:
				r.broken("%s at %s is bad (%s) and has no letter", key, v.place, v.doc.Code)
			case len(letters) == 0:
			case v.doc.Verdict == good && letters[0].code == "partner_conflict" && c.changed(key, versions, i):
				conflicts++
			case v.doc.Verdict == good:
				r.broken("%s at %s is good and has a letter (%s, %s)", key, v.place, letters[0].service, letters[0].code)
			case letters[0].code != v.doc.Code:
				r.broken("%s at %s: its letter says %s, it is %s", key, v.place, letters[0].code, v.doc.Code)
			}
			if v.doc.Verdict == refused && len(letters) == 1 && letters[0].state != "superseded" && letters[0].state != "fixed" {
				r.broken("%s at %s: refused, replayed behind a newer revision, its letter is %s", key, v.place, letters[0].state)
			}
		}
		if refusedVersions > 0 && lettersOfRefused == 0 {
			r.broken("%s was refused by its partner and has no letter", key)
		}
		c.conflictIsSaid(&r, key, versions)
	}
	for key, rest := range by {
		for revision := range rest {
			r.broken("a letter of %s at revision %d, which nobody pushed", key, revision)
		}
	}
	c.lettersInKafka(&r)
	if c.existing == "2102" {
		r.note = fmt.Sprintf("%d changed mall orders", conflicts)
	}
	return r
}

// changed tells whether EZR, which takes no changes, already had the order with another content than this version's.
func (c *checker) changed(key string, versions []version, i int) bool {
	if c.existing != "2102" || versions[i].doc.Source != "mall" {
		return false
	}
	kept, known := c.kept[key]
	return known && !sameAmount(kept, versions[i].doc.Amount)
}

// conflictIsSaid: where EZR takes no changes, a mall order whose newest content is not the one at EZR is parked, and is not
// claimed to be delivered.
func (c *checker) conflictIsSaid(r *ruling, key string, versions []version) {
	newest := newestGood(versions)
	if newest < 0 || !c.changed(key, versions, newest) {
		return
	}
	if state := versions[newest].state; state != "parked" {
		r.broken("%s at %s: EZR holds another content, but it is %s", key, versions[newest].place, state)
	}
}

// lettersInKafka: the dead-letter topics hold the letters that PostgreSQL lists, and no others.
func (c *checker) lettersInKafka(r *ruling) {
	listed := map[string]int{}
	for _, l := range c.parked {
		listed[l.key]++
	}
	distinct := map[string]map[place]bool{}
	for _, l := range c.letters {
		if distinct[l.key] == nil {
			distinct[l.key] = map[place]bool{}
		}
		distinct[l.key][l.origin] = true
	}
	for key, places := range distinct {
		if len(places) != listed[key] {
			r.broken("%s: %d letters in Kafka, %d in PostgreSQL", key, len(places), listed[key])
		}
	}
	for key, n := range listed {
		if distinct[key] == nil {
			r.broken("%s: %d letters in PostgreSQL, none in Kafka", key, n)
		}
	}
}

// noLetterOfAnOutage: nothing good was parked because something else was away.
func (c *checker) noLetterOfAnOutage() ruling {
	r := ruling{law: lawNoOutageLetter, held: len(c.parked)}
	for _, l := range c.parked {
		if slices.Contains(outageCodes, l.code) {
			r.broken("%s: %s wrote a letter with code %s", l.key, l.service, l.code)
		}
	}
	return r
}
