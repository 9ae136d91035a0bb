package render

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"

	"github.com/villapay/villapay/internal/order"
)

func TestJSON(t *testing.T) {
	t.Parallel()
	raw := []byte("{\"z\": 300.0, \"a\":[1,{\"b\":\"น้ำ\u202e\"}], \"e\":{}}\n")
	terminal := Screen{TTY: true, UTF8: true, Color: true}
	for _, c := range []struct {
		name string
		s    Screen
		want string
	}{
		{"piped", Screen{Color: true}, `{"z":300.0,"a":[1,{"b":"น้ำ\u202e"}],"e":{}}` + "\n"},
		{"terminal", terminal, "{\n  \"z\": 300.0,\n  \"a\": [\n    1,\n    {\n      \"b\": \"น้ำ\\u202e\"\n    }\n  ],\n  \"e\": {}\n}\n"},
		{"terminal without UTF-8", Screen{TTY: true}, "{\n  \"z\": 300.0,\n  \"a\": [\n    1,\n    {\n      \"b\": \"\\u0e19\\u0e49\\u0e33\\u202e\"\n    }\n  ],\n  \"e\": {}\n}\n"},
	} {
		var out bytes.Buffer
		if err := JSON(&out, c.s, raw); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(c.want, out.String()); diff != "" {
			t.Errorf("%s: %s", c.name, diff)
		}
	}
	var out bytes.Buffer
	if err := JSONLine(&out, raw); err != nil || strings.Count(out.String(), "\n") != 1 {
		t.Errorf("JSONLine: %q, %v", out.String(), err)
	}
	if err := JSON(&out, Screen{}, []byte(`{`)); err == nil {
		t.Error("broken JSON was written")
	}
}

func TestJSONArray(t *testing.T) {
	t.Parallel()
	a, b := []byte(`{"n": 1.0}`), []byte(`{"n":2.50}`)
	for _, c := range []struct {
		name   string
		s      Screen
		values [][]byte
		want   string
	}{
		{"empty", Screen{}, nil, "[]\n"},
		{"empty at a terminal", Screen{TTY: true, UTF8: true}, nil, "[]\n"},
		{"one line each", Screen{}, [][]byte{a, b}, "[\n{\"n\":1.0},\n{\"n\":2.50}\n]\n"},
		{"terminal", Screen{TTY: true, UTF8: true}, [][]byte{a, b}, "[\n  {\n    \"n\": 1.0\n  },\n  {\n    \"n\": 2.50\n  }\n]\n"},
	} {
		var out bytes.Buffer
		if err := JSONArray(&out, c.s, All(c.values)); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(c.want, out.String()); diff != "" {
			t.Errorf("%s: %s", c.name, diff)
		}
		if !json.Valid(out.Bytes()) {
			t.Errorf("%s is not JSON: %s", c.name, out.String())
		}
	}
}

func TestBrokenListIsNoWholeArray(t *testing.T) {
	t.Parallel()
	broken := errors.New("the ledger broke")
	values := func(yield func([]byte, error) bool) {
		_ = yield([]byte(`{}`), nil) && yield(nil, broken)
	}
	var out bytes.Buffer
	if err := JSONArray(&out, Screen{}, values); !errors.Is(err, broken) || json.Valid(out.Bytes()) {
		t.Errorf("%q, %v", out.String(), err)
	}
	if err := YAMLList(&out, Screen{}, values); !errors.Is(err, broken) {
		t.Error(err)
	}
}

func TestYAML(t *testing.T) {
	t.Parallel()
	raw := `{"id":"0123","amount":300.0,"big":123456789012345678901234567890,"neg":-0.10,"ok":true,"none":null,
		"yes":[1,{"a":[]},{}],"no":"no","on":"12:30:00","norway":"NO","oct":"0o17","hex":"0x1F","tilde":"~","exp":"1e5",
		"date":"2025-05-30","multi":"a\nb","thai":"น้ำ: #","hidden":"\u202e\u0085\u001b\udb40\udc41","odd key: -":"x","id":"last"}`
	want := `id: "last"
amount: 300.0
big: 123456789012345678901234567890
neg: -0.10
ok: true
none: null
"yes":
  - 1
  - a: []
  - {}
"no": "no"
"on": "12:30:00"
norway: "NO"
oct: "0o17"
hex: "0x1F"
tilde: "~"
exp: "1e5"
date: "2025-05-30"
multi: "a\nb"
thai: "น้ำ: #"
hidden: "\u202e\N\e\U000E0041"
"odd key: -": "x"
`
	var out bytes.Buffer
	if err := YAML(&out, Screen{}, []byte(raw)); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Error(diff)
	}
	var fromYAML, fromJSON map[string]any
	if err := yaml.Unmarshal(out.Bytes(), &fromYAML); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(raw), &fromJSON); err != nil {
		t.Fatal(err)
	}
	for key, value := range fromJSON {
		if text, ok := value.(string); ok && fromYAML[key] != text {
			t.Errorf("%s reads %#v, want %q", key, fromYAML[key], text)
		}
	}
}

func TestYAMLList(t *testing.T) {
	t.Parallel()
	for want, values := range map[string][][]byte{
		"[]\n":                        nil,
		"- a: 1.0\n  b: 2\n- \"x\"\n": {[]byte(`{"a":1.0,"b":2}`), []byte(`"x"`)},
	} {
		var out bytes.Buffer
		if err := YAMLList(&out, Screen{}, All(values)); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, out.String()); diff != "" {
			t.Error(diff)
		}
	}
	if err := YAML(&bytes.Buffer{}, Screen{}, []byte(`{"a":`)); err == nil {
		t.Error("broken JSON was written")
	}
}

// A terminal without UTF-8 gets ASCII alone, which reads as the same.
func TestYAMLWithoutUTF8(t *testing.T) {
	t.Parallel()
	raw := []byte(`{"thai":"น้ำ","flag":"🇹🇭","ครับ":1,"hidden":"\u202e\u0085"}`)
	want := `thai: "\u0e19\u0e49\u0e33"
flag: "\U0001F1F9\U0001F1ED"
"\u0e04\u0e23\u0e31\u0e1a": 1
hidden: "\u202e\N"
`
	var out bytes.Buffer
	if err := YAML(&out, Screen{TTY: true}, raw); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Error(diff)
	}
	var fromYAML, fromJSON map[string]any
	if err := errors.Join(yaml.Unmarshal(out.Bytes(), &fromYAML), json.Unmarshal(raw, &fromJSON)); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(shape(fromJSON), shape(fromYAML)); diff != "" {
		t.Error(diff)
	}
	out.Reset()
	if err := YAMLList(&out, Screen{TTY: true}, All([][]byte{raw})); err != nil || strings.ContainsFunc(out.String(), func(r rune) bool { return r > '~' }) {
		t.Errorf("%q, %v", out.String(), err)
	}
}

func FuzzYAML(f *testing.F) {
	for _, seed := range []string{seedOrder, `["\u0085","\u2028","~","=","<<","0b1","1_000",".5"]`, `{"<<":"x","":1,"y":2,"~":3}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		var want any
		if json.Unmarshal(raw, &want) != nil || bytes.Count(raw, []byte("[")) > 100 {
			return
		}
		text, err := yamlText(Screen{}, raw, false)
		if err != nil {
			t.Fatal(err)
		}
		checkSafe(t, strings.ReplaceAll(text, "\n", ""))
		var got any
		if err := yaml.Unmarshal([]byte(text), &got); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if diff := cmp.Diff(shape(want), shape(got)); diff != "" {
			t.Error(diff)
		}
	})
}

// shape keeps a document's shape and strings and drops its numbers, which
// Go's readers of JSON and YAML type differently.
func shape(value any) any {
	switch v := value.(type) {
	case map[string]any:
		out := map[string]any{}
		for key, value := range v {
			out[key] = shape(value)
		}
		return out
	case []any:
		out := []any{}
		for _, value := range v {
			out = append(out, shape(value))
		}
		return out
	case string, bool, nil:
		return v
	}
	return 0
}

func TestCSV(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	c, err := NewCSV(&out, List{})
	if err != nil {
		t.Fatal(err)
	}
	payments := append(gallery(t)[:5], order.Payment{
		OrderID: "1", Currency: "@SUM(1)", BankOrderID: `=HYPERLINK("http://x")`, Amount: sum(t, "-5.00"),
		BankState: "x;=1;\"-2\t+3", Error: &order.Failure{Code: " +1", Message: "a,\"b\"\r\n=c"},
	})
	payments[2].Warnings = append(payments[2].Warnings, order.Warning{Code: "livemode"})
	for _, p := range payments {
		if err := c.Row(p); err != nil {
			t.Fatal(err)
		}
	}
	const bank = "order_test_222110adff3affb5844c497fa9c22366b5bc6"
	want := strings.NewReplacer("\n", "\r\n", "ORDER", bank, "TIMES", "2025-05-30T20:56:58.833+07:00,2025-05-30T21:56:58.833+07:00",
		"REFERENCE", "4925000046321748613417.737979", "RECORDED", "2025-05-30T20:56:57.833+07:00").Replace(
		`orderid,source,state,id,amount,currency,created_at,expires_at,env,error_code,error_message,` +
			`reference_order,charge_id,paid_at,paid_by,bank_state,recorded_at,replaced_by,warnings
492500004632,qr,awaiting,ORDER,300.0,THB,TIMES,dev,,,REFERENCE,,,,,RECORDED,,
replaced-1,qr,awaiting,ORDER,300.0,THB,TIMES,dev,,,REFERENCE,,,,,RECORDED,other-key,
paid-1,wechat,paid,ORDER,1234567.5,THB,TIMES,dev,,,REFERENCE,chrg_test_1,2025-05-30T20:57:58.833+07:00,transaction_state,Authorized,RECORDED,,paid_twice livemode
failed-1,qr,failed,ORDER,300.0,THB,TIMES,dev,limit,วงเงินเกิน\x1b[2J\n🇹🇭 \u202e微信,REFERENCE,,,,,RECORDED,,
rejected-1,qr,rejected,,,,,,dev,invalid_amount,Invalid payment amount.,,,,,,RECORDED,,
1,,,"'=HYPERLINK(""http://x"")",-5.00,'@SUM(1),,,,' +1,"a,""b""\r\n=c",,,,,"x;'=1;'""-2\t+3",,,
`)
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Error(diff)
	}
	rows, err := csv.NewReader(&out).ReadAll()
	if err != nil || len(rows) != len(payments)+1 {
		t.Errorf("%d rows, %v", len(rows), err)
	}
}

func TestCSVColumns(t *testing.T) {
	t.Parallel()
	for want, list := range map[string]List{
		"env,orderid,orderid\r\ndev,492500004632,492500004632\r\n": {Columns: []string{"env", "orderid", "orderid"}},
		"300.0\r\n": {Columns: []string{"amount"}, NoHeader: true},
	} {
		var out bytes.Buffer
		c, err := NewCSV(&out, list)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Row(awaiting(t)); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, out.String()); diff != "" {
			t.Error(diff)
		}
	}
}

func TestDefuse(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"":        "",
		"text":    "text",
		"a=b":     "a=b",
		"=1":      "'=1",
		"+66":     "'+66",
		"-1":      "'-1",
		"@x":      "'@x",
		"＝1":      "'＝1",
		"  =1":    "'  =1",
		"\u3000@": "'\u3000@",
		"a;b=c":   "a;b=c",
		"a;=1":    "a;'=1",
		"a; -1;@": "a;' -1;'@",
		"=1;＋2":   "'=1;'＋2",
		`a;"=1"`:  `a;'"=1"`,
	} {
		if got := defuse(in); got != want {
			t.Errorf("defuse(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestJQ(t *testing.T) {
	t.Parallel()
	raw := []byte("{\"z\":1,\"amount\":300.0,\"big\":12345678901234567890123,\"s\":\"a\\tb\\nc\\u001b[2J\\u202e\",\"l\":[1.50]}")
	terminal := Screen{TTY: true, UTF8: true}
	for _, c := range []struct {
		expr string
		s    Screen
		want string
	}{
		{".amount, .big, .l", Screen{}, "300.0\n12345678901234567890123\n[1.50]\n"},
		{".s", Screen{}, "a\tb\nc\x1b[2J\u202e\n"},
		{".s", terminal, "a\tb\nc\\x1b[2J\\u202e\n"},
		{"[.s]", Screen{}, `["a\tb\nc\u001b[2J\u202e"]` + "\n"},
		{"{z,amount}", terminal, "{\n  \"amount\": 300.0,\n  \"z\": 1\n}\n"},
		{"empty", Screen{}, ""},
		{"null, true", Screen{}, "null\ntrue\n"},
		{"env, $ENV.HOME", Screen{}, "{}\nnull\n"},
		{"1, halt, 2", Screen{}, "1\n"},
	} {
		query, err := JQ(c.expr)
		if err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		if err := query.Run(t.Context(), time.Minute, &out, c.s, raw); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(c.want, out.String()); diff != "" {
			t.Errorf("%s: %s", c.expr, diff)
		}
	}
}

func TestJQErrors(t *testing.T) {
	t.Parallel()
	for _, expr := range []string{".a |", "nosuch", "", "$x", `import "a" as a; 1`, "input"} {
		query, err := JQ(expr)
		if err == nil {
			err = query.Run(t.Context(), time.Minute, &bytes.Buffer{}, Screen{}, []byte(`{}`))
		}
		if expr != "" && err == nil {
			t.Errorf("%q was taken", expr)
		}
	}
	query, err := JQ(".a.b.c")
	if err != nil {
		t.Fatal(err)
	}
	if err := query.Run(t.Context(), time.Minute, &bytes.Buffer{}, Screen{}, []byte(`{"a":1}`)); err == nil {
		t.Error("an index into a number was taken")
	}
	if err := query.Run(t.Context(), time.Minute, &bytes.Buffer{}, Screen{}, []byte(`{`)); err == nil {
		t.Error("broken JSON was taken")
	}
}

func TestJQEndsWithItsContext(t *testing.T) {
	t.Parallel()
	for _, expr := range []string{"[limit(1; repeat(empty))]", "last(range(1e12))", "repeat(1)"} {
		query, err := JQ(expr)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		err = query.Run(ctx, time.Minute, &bytes.Buffer{}, Screen{}, []byte(`{}`))
		cancel()
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: %v", expr, err)
		}
	}
}

func TestJQLimit(t *testing.T) {
	t.Parallel()
	for _, expr := range []string{"last(range(1e12))", "repeat(1)"} {
		query, err := JQ(expr)
		if err != nil {
			t.Fatal(err)
		}
		if err := query.Run(t.Context(), 50*time.Millisecond, &bytes.Buffer{}, Screen{}, []byte(`{}`)); !errors.Is(err, ErrJQLimit) {
			t.Errorf("%s: %v", expr, err)
		}
	}
}

// slowReader is a pipe whose reader takes its time for everything.
type slowReader struct{ got bytes.Buffer }

func (r *slowReader) Write(p []byte) (int, error) {
	time.Sleep(time.Minute)
	return r.got.Write(p)
}

// The time limit is the expression's, not the reader's.
func TestJQLimitLeavesOutTheReader(t *testing.T) {
	t.Parallel()
	query, err := JQ(".[]")
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		var out slowReader
		if err := query.Run(t.Context(), 10*time.Second, &out, Screen{}, []byte(`[1,2,3]`)); err != nil || out.got.String() != "1\n2\n3\n" {
			t.Errorf("%q, %v", out.got.String(), err)
		}
	})
}
