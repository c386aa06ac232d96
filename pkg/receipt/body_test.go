package receipt

import "testing"

// The MAC keeps strangers away from the parser behind it; this target does not.
func FuzzParseBody(f *testing.F) {
	f.Add([]byte{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 1, 0, 1, 1, 0, 0})
	f.Add([]byte{16: 3, 17: 1, 18: 0, 19: 101})
	f.Fuzz(func(t *testing.T, body []byte) {
		r, err := parseBody(body)
		if err != nil {
			return
		}
		if len(r.Records) > MaxRecords {
			t.Errorf("%d records", len(r.Records))
		}
		for _, record := range r.Records {
			if record.Partition < 0 || record.Offset < 0 {
				t.Errorf("negative coordinates %+v", record)
			}
		}
	})
}
