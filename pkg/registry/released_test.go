package registry_test

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/twmb/avro"

	"orderflow/schemas"
)

// TestReleasedSchemas is the gate of `make check-schemas`: every Avro schema under schemas/events can read what any released
// version of it wrote (BACKWARD_TRANSITIVE), and no released version was changed.
func TestReleasedSchemas(t *testing.T) {
	events, err := fs.Sub(schemas.Events, "events")
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range checkReleased(events) {
		t.Error(err)
	}
}

const sumsFile = "SHA256SUMS"

// checkReleased holds a folder of NAME.avsc beside NAME/1.avsc, NAME/2.avsc and so on. Its errors are for people.
func checkReleased(events fs.FS) []error {
	current, err := fs.Glob(events, "*.avsc")
	if err != nil || len(current) == 0 {
		return []error{errors.Join(errors.New("no schema"), err)}
	}
	released, err := fs.Glob(events, "*/*.avsc")
	if err != nil {
		return []error{err}
	}
	errs := checkSums(events, released)
	for _, file := range released {
		if !slices.Contains(current, path.Dir(file)+".avsc") {
			errs = append(errs, fmt.Errorf("%s: there is no %s.avsc any more; what was released must stay readable", file, path.Dir(file)))
		}
	}
	for _, file := range current {
		errs = append(errs, checkHistory(events, strings.TrimSuffix(file, ".avsc"))...)
	}
	return errs
}

// checkSums tells released files that were changed, forgotten in the list, or removed.
func checkSums(events fs.FS, released []string) (errs []error) {
	text, err := fs.ReadFile(events, sumsFile)
	if err != nil {
		return []error{err}
	}
	sums := map[string]string{}
	for line := range strings.Lines(string(text)) {
		sum, file, found := strings.Cut(strings.TrimSuffix(line, "\n"), "  ")
		if !found {
			return []error{fmt.Errorf("%s: not lines as sha256sum writes them", sumsFile)}
		}
		sums[file] = sum
	}
	for _, file := range released {
		content, err := fs.ReadFile(events, file)
		if err != nil {
			return []error{err}
		}
		switch sum := fmt.Sprintf("%x", sha256.Sum256(content)); {
		case sums[file] == "":
			errs = append(errs, fmt.Errorf("%s is not in %s: add it there once it is final (cd schemas/events; sha256sum %s >> %s)", file, sumsFile, file, sumsFile))
		case sums[file] != sum:
			errs = append(errs, fmt.Errorf("%s was released and is not what it was: take the change back and make it in %s.avsc", file, path.Dir(file)))
		}
		delete(sums, file)
	}
	for _, file := range slices.Sorted(maps.Keys(sums)) {
		errs = append(errs, fmt.Errorf("%s was released and is gone: records of it may still be read", file))
	}
	return errs
}

// checkHistory holds every version of a schema, the current one last, against all that came before.
func checkHistory(events fs.FS, name string) (errs []error) {
	var versions []version
	for n := 1; ; n++ {
		file := path.Join(name, strconv.Itoa(n)+".avsc")
		text, err := fs.ReadFile(events, file)
		if errors.Is(err, fs.ErrNotExist) {
			break
		}
		versions = append(versions, version{file, string(text), nil})
	}
	text, err := fs.ReadFile(events, name+".avsc")
	if err != nil {
		return []error{err}
	}
	if all, _ := fs.Glob(events, name+"/*"); len(all) != len(versions) || len(all) == 0 {
		errs = append(errs, fmt.Errorf("%s/: needs the released versions as 1.avsc, 2.avsc and so on, without a gap and nothing else", name))
	}
	versions = append(versions, version{name + ".avsc", string(text), nil})
	for i := range versions {
		reader := &versions[i]
		if reader.schema, err = avro.Parse(reader.text); err != nil {
			return append(errs, fmt.Errorf("%s is no Avro schema: %w", reader.file, err))
		}
		for _, writer := range versions[:i] {
			if err := compatible(writer.schema, reader.schema); err != nil {
				errs = append(errs, fmt.Errorf("%s cannot read records of %s, which was released: %w.\n"+
					"Keep the field's type, give a new field a default, give a renamed one an alias. If the change must break readers, "+
					"it is a new topic with a schema of its own (such as orders.v2)", reader.file, writer.file, err))
			}
		}
	}
	return errs
}

type version struct {
	file, text string
	schema     *avro.Schema
}

// compatible is stricter than Avro's own rules: a changed logical type, and a symbol or a field that is gone, change what people
// read without a word.
func compatible(writer, reader *avro.Schema) error {
	if err := avro.CheckCompatibility(writer, reader); err != nil {
		return err
	}
	w, r := writer.Root(), reader.Root()
	return sameMeaning(r.Name, w, r)
}

// sameMeaning compares the logical types and symbols of two compatible schemas.
func sameMeaning(at string, writer, reader *avro.SchemaNode) error {
	if writer.LogicalType != reader.LogicalType && writer.Type != "union" && reader.Type != "union" {
		return fmt.Errorf("%s: its values would mean something else: %s became %s", at, meaning(writer), meaning(reader))
	}
	for _, symbol := range writer.Symbols { // Avro would take the reader's default for it
		if !slices.Contains(reader.Symbols, symbol) {
			return fmt.Errorf("%s: records with %s would be read as %s", at, symbol, reader.EnumDefault)
		}
	}
	for _, old := range writer.Fields {
		i := slices.IndexFunc(reader.Fields, func(f avro.SchemaField) bool { return f.Name == old.Name || slices.Contains(f.Aliases, old.Name) })
		if i < 0 {
			return fmt.Errorf("%s.%s: is gone: who reads it would find nothing", at, old.Name)
		}
		if err := sameMeaning(at+"."+old.Name, &old.Type, &reader.Fields[i].Type); err != nil {
			return err
		}
	}
	if writer.Items != nil && reader.Items != nil {
		return sameMeaning(at+"[]", writer.Items, reader.Items)
	}
	for _, w := range branches(writer) {
		for _, r := range branches(reader) {
			if w.Type == r.Type && (writer.Type == "union" || reader.Type == "union") {
				if err := sameMeaning(at, w, r); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func branches(node *avro.SchemaNode) []*avro.SchemaNode {
	if node.Type != "union" {
		return []*avro.SchemaNode{node}
	}
	var all []*avro.SchemaNode
	for i := range node.Branches {
		all = append(all, &node.Branches[i])
	}
	return all
}

func meaning(node *avro.SchemaNode) string {
	if node.LogicalType == "" {
		return "plain " + node.Type
	}
	return node.LogicalType
}

// changed gives the house's schemas with an order.avsc that is the first release, the first of each pair of texts replaced
// by the second.
func changed(t *testing.T, pairs ...string) fstest.MapFS {
	t.Helper()
	first, err := schemas.Events.ReadFile("events/order/1.avsc")
	if err != nil {
		t.Fatal(err)
	}
	text := string(first)
	for i := 0; i < len(pairs); i += 2 {
		if !strings.Contains(text, pairs[i]) {
			t.Fatalf("the schema has no %s", pairs[i])
		}
		text = strings.Replace(text, pairs[i], pairs[i+1], 1)
	}
	files := fstest.MapFS{}
	err = fs.WalkDir(schemas.Events, "events", func(file string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := schemas.Events.ReadFile(file)
		files[strings.TrimPrefix(file, "events/")] = &fstest.MapFile{Data: content}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	files["order.avsc"] = &fstest.MapFile{Data: []byte(text)}
	return files
}

// field is a place in the schema where a field can be put in.
const field = `{"name": "original_order_no",`

func TestBreakingChangesAreRefused(t *testing.T) {
	decimal := `"logicalType": "decimal", "precision": 38, "scale": 8`
	for name, c := range map[string]struct {
		change []string
		reason string
	}{
		"a new field without a default":     {[]string{field, `{"name": "weight", "type": "long"}, ` + field}, "weight"},
		"another type":                      {[]string{`"name": "revision", "type": "long"`, `"name": "revision", "type": "int"`}, "revision"},
		"what may be absent becomes needed": {[]string{`{"name": "shop", "type": ["null", "string"], "default": null`, `{"name": "shop", "type": "string"`}, "shop"},
		"another scale":                     {[]string{decimal, `"logicalType": "decimal", "precision": 38, "scale": 2`}, "total"},
		"a renamed field":                   {[]string{`"name": "order_no"`, `"name": "order_number"`}, "order_number"},
		"a renamed record":                  {[]string{`"name": "Line"`, `"name": "OrderLine"`}, "lines"},
		"another unit of time":              {[]string{`"logicalType": "timestamp-micros"`, `"logicalType": "timestamp-millis"`}, "placed_at"},
		"a plain number for a time":         {[]string{`"type": {"type": "long", "logicalType": "timestamp-micros"}`, `"type": "long"`}, "received_at"},
		"a field that is gone": {[]string{
			`{"name": "replay_job", "type": ["null", "string"], "default": null, "class": "internal",`,
			`{"name": "replay", "type": ["null", "string"], "default": null, "class": "internal",`,
		}, "replay_job: is gone"},
		"a kind that is gone": {[]string{`"return", `, ``}, "return"},
		"no Avro":             {[]string{`"type": "record"`, `"type": "table"`}, "no Avro schema"},
	} {
		t.Run(name, func(t *testing.T) {
			errs := checkReleased(changed(t, c.change...))
			if len(errs) != 1 || !strings.Contains(errs[0].Error(), c.reason) {
				t.Fatalf("refused with %v, want one reason with %q", errs, c.reason)
			}
			t.Log(errs[0])
		})
	}
}

func TestCompatibleChangesPass(t *testing.T) {
	for name, change := range map[string][]string{
		"nothing":                        {},
		"a new field with a default":     {field, `{"name": "weight", "type": ["null", "long"], "default": null}, ` + field},
		"a new kind":                     {`"procurement"], "default"`, `"procurement", "gift"], "default"`},
		"a renamed field with an alias":  {`"name": "order_no"`, `"name": "order_number", "aliases": ["order_no"]`},
		"a field that is needed no more": {`"name": "order_no", "type": "string"`, `"name": "order_no", "type": ["null", "string"]`},
		"another text":                   {`Where it goes.`, `Where the goods go.`},
	} {
		t.Run(name, func(t *testing.T) {
			if errs := checkReleased(changed(t, change...)); len(errs) > 0 {
				t.Error(errs)
			}
		})
	}
}

// What was released stays as it was.
func TestReleasedVersionsStay(t *testing.T) {
	for name, c := range map[string]struct {
		change func(files fstest.MapFS)
		reason string
	}{
		"changed": {func(files fstest.MapFS) {
			files["order/1.avsc"].Data = append(files["order/1.avsc"].Data, '\n')
		}, "order/1.avsc was released and is not what it was"},
		"removed":        {func(files fstest.MapFS) { delete(files, "order/1.avsc") }, "order/1.avsc was released and is gone"},
		"abandoned":      {func(files fstest.MapFS) { files["note.avsc"] = files["order.avsc"]; delete(files, "order.avsc") }, "no order.avsc any more"},
		"not noted":      {func(files fstest.MapFS) { files["order/2.avsc"] = files["order/1.avsc"] }, "order/2.avsc is not in SHA256SUMS"},
		"a gap":          {func(files fstest.MapFS) { files["order/3.avsc"] = files["order/1.avsc"] }, "without a gap"},
		"never released": {func(files fstest.MapFS) { files["note.avsc"] = files["order.avsc"] }, "note/: needs the released versions"},
	} {
		t.Run(name, func(t *testing.T) {
			files := changed(t)
			c.change(files)
			if err := errors.Join(checkReleased(files)...); err == nil || !strings.Contains(err.Error(), c.reason) {
				t.Errorf("%v, want %q", err, c.reason)
			}
		})
	}
}
