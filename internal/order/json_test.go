package order

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// quoted is a text as JSON.
func quoted(t testing.TB, text string) string {
	t.Helper()
	out, err := json.Marshal(text)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

func TestFields(t *testing.T) {
	t.Parallel()
	got, err := Fields([]byte(" {\"b\" : 1.50, \"\\u0062\":\n{ \"x\":[1, 2] }, \"B\":null, \"\":\"\", \"น้ำ\":\"\\u0e19\"} "))
	want := []Field{
		{"b", []byte(`"b"`), json.RawMessage("1.50")},
		{"b", []byte(`"\u0062"`), json.RawMessage(`{ "x":[1, 2] }`)},
		{"B", []byte(`"B"`), json.RawMessage("null")},
		{"", []byte(`""`), json.RawMessage(`""`)},
		{"น้ำ", []byte(`"น้ำ"`), json.RawMessage(`"\u0e19"`)},
	}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Error(err, diff)
	}
	if got, err := Fields([]byte("{}")); err != nil || got != nil {
		t.Errorf("%v, %v", got, err)
	}
	for _, c := range []struct{ body, says string }{
		{"", "not JSON"},
		{"{", "not JSON"},
		{`{"a":1}{}`, "not JSON"},
		{`{"a":1,}`, "not JSON"},
		{`{a:1}`, "not JSON"},
		{`{"a":01}`, "not JSON"},
		{"\ufeff{}", "not JSON"},
		{strings.Repeat(`{"a":`, 20000) + "1" + strings.Repeat("}", 20000), "not JSON"},
		{"null", "not a JSON object"},
		{"[]", "not a JSON object"},
		{`"a"`, "not a JSON object"},
		{"1", "not a JSON object"},
	} {
		if got, err := Fields([]byte(c.body)); err == nil || !strings.Contains(err.Error(), c.says) || got != nil {
			t.Errorf("%.40s: %v, %v; want %q", c.body, got, err, c.says)
		}
		if got, err := ParseObject([]byte(c.body)); err == nil || got != nil {
			t.Errorf("%.40s: %v, %v", c.body, got, err)
		}
	}
	for _, body := range []string{`{"id":"a","id":"a"}`, `{"id":"a","b":1,"\u0069d":"b"}`} {
		if got, err := ParseObject([]byte(body)); err == nil || !strings.Contains(err.Error(), `"id" twice`) || got != nil {
			t.Errorf("%s: %v, %v", body, got, err)
		}
	}
}

func TestObject(t *testing.T) {
	t.Parallel()
	o, err := ParseObject([]byte(`{"text":"a\nb","blank":" ","empty":"","escaped":"\u0020\n","null":null,"number":300.0,"yes":true,"no":false,"object":{},"list":[1],
		"true":"true","TRUE":" TRUE ","one":1,"zero":"0","two":2,"sum":"74.00","words":"THB 1.00","exponent":1e0,"null text":"null"}`))
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"text": "a\nb", "blank": " ", "empty": "", "null": "", "number": "300.0", "yes": "true", "no": "false", "object": "", "list": "", "missing": "", "null text": "null",
	} {
		if got := o.Text(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	for name, want := range map[string]string{
		"yes": "true", "no": "false", "true": "true", "TRUE": "true", "one": "true", "zero": "false",
		"two": "nil", "null": "nil", "empty": "nil", "object": "nil", "list": "nil", "words": "nil", "missing": "nil",
	} {
		got := "nil"
		if flag := o.Flag(name); flag != nil {
			got = map[bool]string{true: "true", false: "false"}[*flag]
		}
		if got != want {
			t.Errorf("%s is %s, want %s", name, got, want)
		}
	}
	for name, want := range map[string]string{"number": "300.0", "sum": "74.00", "null": "", "empty": "", "blank": "", "escaped": "", "missing": ""} {
		if got, err := o.Amount(name); got.String() != want || err != nil {
			t.Errorf("%s is %q, %v; want %q", name, got, err, want)
		}
	}
	for _, name := range []string{"words", "exponent", "yes", "object", "list", "null text"} {
		if got, err := o.Amount(name); err == nil {
			t.Errorf("%s is %s", name, got)
		}
	}
	for name, want := range map[string]bool{
		"text": true, "number": true, "no": true, "object": true, "list": true, "null text": true,
		"null": false, "empty": false, "blank": false, "escaped": false, "missing": false,
	} {
		if o.has(name) != want {
			t.Errorf("%s: %t is right", name, want)
		}
	}
}

// FuzzFields: what is read are the fields as they stand, in their order, and their
// values are JSON.
func FuzzFields(f *testing.F) {
	for _, body := range []string{`{"a":1,"A":"2"}`, `{"a":1,"a":1}`, " {\"a\" : [ 1 ] }\n", `{"a":{"b":null}}`, "[]", "null", "{\"\xff\":1}", `{"\ud800":1,"\ud801":2}`} {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		fields, err := Fields(body)
		if err != nil {
			if fields != nil {
				t.Errorf("%v beside %v", fields, err)
			}
			return
		}
		built := "{"
		for i, f := range fields {
			if !json.Valid(f.Value) {
				t.Fatalf("%q: %q", f.Name, f.Value)
			}
			if i > 0 {
				built += ","
			}
			built += string(f.Key) + ":" + string(f.Value)
		}
		again, err := Fields([]byte(built + "}"))
		if diff := cmp.Diff(fields, again); diff != "" || err != nil {
			t.Error(err, diff)
		}
		o, err := ParseObject(body)
		if err == nil && len(o) != len(fields) {
			t.Fatalf("%v of %v", o, fields)
		}
		for name := range o {
			_, _, _ = o.Text(name), o.Flag(name), o.has(name)
			if amount, err := o.Amount(name); err == nil && amount.Known() && !amountForm.MatchString(amount.String()) {
				t.Errorf("%q became %q", o[name], amount)
			}
		}
	})
}
