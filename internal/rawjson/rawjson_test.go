package rawjson

import (
	"bytes"
	"encoding/json"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestFieldsKeepTheirBytes(t *testing.T) {
	t.Parallel()
	got, err := Fields([]byte(" {\n\t\"id\" : 300.0 , \"\\u0069d\":[ 1 ,{}],\"ID\":\"\\/<&\",\"z\":null}\n"))
	if err != nil {
		t.Fatal(err)
	}
	want := []Field{
		{"id", []byte(`"id"`), []byte(`300.0`)},
		{"id", []byte(`"\u0069d"`), []byte(`[ 1 ,{}]`)},
		{"ID", []byte(`"ID"`), []byte(`"\/<&"`)},
		{"z", []byte(`"z"`), []byte(`null`)},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if got, err := Fields([]byte(`{}`)); err != nil || len(got) != 0 {
		t.Errorf("an empty object: %v, %v", got, err)
	}
}

func TestFieldsOfWhatIsNoObject(t *testing.T) {
	t.Parallel()
	for _, raw := range []string{``, ` `, `null`, `[]`, `"x"`, `1`, `{`, `{"a":1}{}`, `{"a":01}`, `{"a"}`, `{1:2}`, `{"a":1,}`} {
		if got, err := Fields([]byte(raw)); !errors.Is(err, ErrNotObject) {
			t.Errorf("%s: %v, %v", raw, got, err)
		}
	}
}

func TestMarshal(t *testing.T) {
	t.Parallel()
	if got, err := Marshal("<a&b>\u2028"); err != nil || string(got) != `"<a&b>\u2028"` {
		t.Errorf("%s, %v", got, err)
	}
	if _, err := Marshal(func() {}); err == nil {
		t.Error("a function was written")
	}
}

// What the fields hold is the object, whatever its spacing.
func FuzzFields(f *testing.F) {
	for _, seed := range []string{`{"a":1.50,"a":2}`, ` { "\ud800" : [ {} ] , "b":"x" } `, `{"":{"a":{"b":[]}}}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		fields, err := Fields(raw)
		var object map[string]json.RawMessage
		if valid := json.Unmarshal(raw, &object) == nil && object != nil; valid != (err == nil) {
			t.Fatalf("%q: valid %v, error %v", raw, valid, err)
		}
		if err != nil {
			return
		}
		parts := make([][]byte, len(fields))
		for i, f := range fields {
			parts[i] = append(append(bytes.Clone(f.Key), ':'), f.Value...)
		}
		var want, got bytes.Buffer
		joined := append(append([]byte{'{'}, bytes.Join(parts, []byte{','})...), '}')
		if err := errors.Join(json.Compact(&want, raw), json.Compact(&got, joined)); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want.String(), got.String()); diff != "" {
			t.Error(diff)
		}
	})
}
