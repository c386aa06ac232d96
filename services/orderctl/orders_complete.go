package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/twmb/avro"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"orderflow/pkg/event"
	"orderflow/pkg/order"
	"orderflow/pkg/registry"
)

// completeness is what this command reads of a record of orders.completeness.v1.
type completeness struct {
	Source    order.Source `avro:"source"`
	Hour      time.Time    `avro:"hour"`
	Revision  int          `avro:"revision"`
	Complete  bool         `avro:"complete"`
	Published int64        `avro:"published"`
	Open      int64        `avro:"open"`
	Faults    int64        `avro:"faults"`
}

// completenessSchema has these fields of schemas/events/completeness.avsc and no others: it reads every version of it.
var completenessSchema = avro.MustParse(`{"type": "record", "name": "Completeness", "namespace": "orderflow", "fields": [
	{"name": "source", "type": "string"}, {"name": "hour", "type": {"type": "long", "logicalType": "timestamp-millis"}},
	{"name": "revision", "type": "int"}, {"name": "complete", "type": "boolean"},
	{"name": "published", "type": "long"}, {"name": "open", "type": "long"}, {"name": "faults", "type": "long"}]}`)

// completeHours gives the number of records that each hour of the window has in orders.v1, one that stands there twice counted
// once, or an error that names the hours that are not complete. Records that balance did not write are counted and passed over.
func completeHours(ctx context.Context, client *kgo.Client, cfg ordersSettings, w window, strange *foreign) (map[hourOf]int64, error) {
	said, err := readCompleteness(ctx, client, cfg, w, strange)
	if err != nil {
		return nil, err
	}
	promised := map[hourOf]int64{}
	var lacking []string
	for hour := w.from; hour.Before(w.to); hour = hour.Add(time.Hour) {
		for _, source := range order.Sources {
			h := hourOf{source, hour}
			if why := lacks(said[h]); why != "" {
				lacking = append(lacking, fmt.Sprintf("  %-11s %s  %s", source, hour.Format(hourLayout), why))
			}
			promised[h] = said[h].Published
		}
	}
	if len(lacking) > 0 {
		return nil, incomplete(lacking, strange)
	}
	return promised, nil
}

const hourLayout = "2006-01-02T15:04Z"

func lacks(c completeness) string {
	switch {
	case c.Revision == 0:
		return "not closed yet, or from before balance ran"
	case c.Complete:
		return ""
	case c.Faults > 0:
		return fmt.Sprintf("%d records do not balance", c.Faults)
	}
	return fmt.Sprintf("%d records still under way", c.Open)
}

// maxNamed is how many hours are named in an error.
const maxNamed = 12

func incomplete(lacking []string, strange *foreign) error {
	count := len(lacking)
	if count > maxNamed {
		lacking = append(lacking[:maxNamed:maxNamed], fmt.Sprintf("  and %d more", count-maxNamed))
	}
	meaning, next := "an export of them would be another file later", "orderctl balance tells what is open; --incomplete takes what there is"
	if strange.count > 0 {
		meaning += fmt.Sprintf("; %d records of %s cannot be read:\n%s", strange.count, event.Completeness, strange.list())
		next += "; " + nextForeign
	}
	return fmt.Errorf("%d hours are not complete:\n%s\n  meaning: %s\n  next:    %s", count, strings.Join(lacking, "\n"), meaning, next)
}

// readCompleteness gives what was said last of each hour of the window.
func readCompleteness(ctx context.Context, client *kgo.Client, cfg ordersSettings, w window, strange *foreign) (map[hourOf]completeness, error) {
	asked, err := registry.New(cfg.Registry)
	if err != nil {
		return nil, err
	}
	decoder := registry.NewDecoder(asked, completenessSchema)
	spans, err := spansSince(ctx, client, event.Completeness, w.from) // nothing is said of an hour before it began
	if errors.Is(err, kerr.UnknownTopicOrPartition) {
		return nil, fmt.Errorf("%w\n  meaning: nobody tells whether an hour is complete\n  next:    orderctl topics apply, and start balance; or --incomplete takes what there is", err)
	}
	if err != nil {
		return nil, err
	}
	said := map[hourOf]completeness{}
	for _, s := range spans {
		err := readSpan(ctx, client, event.Completeness, s, func(int64) {}, func(r *kgo.Record) error {
			var c completeness
			if len(r.Value) == 0 {
				return nil // removed by compaction
			}
			err := decoder.Decode(ctx, r.Value, &c)
			h := hourOf{c.Source, c.Hour.UTC()}
			switch {
			case err != nil && !errors.Is(err, registry.ErrUnreadable):
				return fmt.Errorf("%s/%d/%d: %w\n  next: %s", r.Topic, r.Partition, r.Offset, err, nextRegistry)
			case err == nil && (!slices.Contains(order.Sources, h.source) || h.hour != h.hour.Truncate(time.Hour)):
				err = errors.New("it tells of no hour of a source of the house")
			}
			if err != nil {
				strange.add(r, err)
			} else if w.contains(h.hour) && c.Revision > said[h].Revision {
				said[h] = c
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return said, nil
}
