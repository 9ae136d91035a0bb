package api

import (
	"encoding/json"
	"errors"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/villapay/villapay/internal/order"
)

func TestDecodeOrderReadsTheSeed(t *testing.T) {
	t.Parallel()
	order, err := DecodeOrder([]byte(seedOrder))
	if err != nil {
		t.Fatal(err)
	}
	no := false
	want := &Order{
		Raw: json.RawMessage(seedOrder), ID: "order_test_222110adff3affb5844c497fa9c22366b5bc6", Amount: Amount{"300.0"},
		Currency: "THB", Description: "Order 492500004632", Status: "success", ReferenceOrder: "4925000046321748613417.737979",
		SourceType: "qr", Livemode: &no, Created: time.Date(2025, 5, 30, 20, 56, 58, 833e6, Bangkok), Expiry: time.Hour,
	}
	if diff := cmp.Diff(want, order, sameDigits); diff != "" {
		t.Error(diff)
	}
	if utc := order.Created.UTC().Format(time.RFC3339Nano); utc != "2025-05-30T13:56:58.833Z" || order.Failed() {
		t.Errorf("created %s, failed %t", utc, order.Failed())
	}
}

func TestDecodeOrderIsTolerant(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		body  string
		check func(*Order) bool
	}{
		"wrapped": {`{"statusCode":200,"body":{"id":"o1","amount":1.10}}`, func(o *Order) bool {
			return string(o.Raw) == `{"id":"o1","amount":1.10}` && o.Amount.String() == "1.10"
		}},
		"wrapped as text":     {`{"statusCode":"200","body":"{\"id\":\"o1\"}"}`, func(o *Order) bool { return o.ID == "o1" }},
		"amount as text":      {`{"id":"o1","amount":"74.00"}`, func(o *Order) bool { return o.Amount.String() == "74.00" }},
		"amount unreadable":   {`{"id":"o1","amount":"1e3"}`, func(o *Order) bool { return !o.Amount.Known() }},
		"livemode as text":    {`{"id":"o1","livemode":"false"}`, func(o *Order) bool { return o.Livemode != nil && !*o.Livemode }},
		"livemode null":       {`{"id":"o1","livemode":null}`, func(o *Order) bool { return o.Livemode == nil }},
		"expiry as text":      {`{"id":"o1","expire_time_seconds":"600"}`, func(o *Order) bool { return o.Expiry == 10*time.Minute }},
		"expiry null":         {`{"id":"o1","expire_time_seconds":null}`, func(o *Order) bool { return o.Expiry == 0 && o.OddExpiry == "" }},
		"expiry with a point": {`{"id":"o1","expire_time_seconds":3600.0}`, func(o *Order) bool { return o.Expiry == time.Hour && o.OddExpiry == "" }},
		"expiry negative":     {`{"id":"o1","expire_time_seconds":-5}`, func(o *Order) bool { return o.Expiry == 0 && o.OddExpiry == "-5" }},
		"expiry no number":    {`{"id":"o1","expire_time_seconds":"soon"}`, func(o *Order) bool { return o.Expiry == 0 && o.OddExpiry == "soon" }},
		"expiry not finite":   {`{"id":"o1","expire_time_seconds":"NaN"}`, func(o *Order) bool { return o.Expiry == 0 && o.OddExpiry == "NaN" }},
		"created, 14 digits":  {`{"id":"o1","created":20250530205658}`, func(o *Order) bool { return o.Created.Equal(time.Date(2025, 5, 30, 13, 56, 58, 0, time.UTC)) }},
		"created unreadable":  {`{"id":"o1","created":"yesterday"}`, func(o *Order) bool { return o.Created.IsZero() }},
		"objects for strings": {`{"id":"o1","description":{"a":1},"metadata":[],"customer":""}`, func(o *Order) bool { return o.Description == "" }},
		"failed by code":      {`{"id":"o1","status":"success","failure_code":"x"}`, func(o *Order) bool { return o.Failed() }},
		"failed by status":    {`{"id":"o1","status":"failed"}`, func(o *Order) bool { return o.Failed() }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			order, err := DecodeOrder([]byte(test.body))
			if err != nil || !test.check(order) {
				t.Errorf("%+v, %v", order, err)
			}
		})
	}
	for _, body := range []string{"", "null", "[]", `"x"`, "{", `{"id":null}`, `{"object":"order"}`, `{"id":"c","object":"customer"}`, `{"message":"ok"}`} {
		if order, err := DecodeOrder([]byte(body)); !errors.Is(err, ErrNotOrder) {
			t.Errorf("%s: %+v, %v", body, order, err)
		}
	}
}

func TestCheckOrderID(t *testing.T) {
	t.Parallel()
	for _, id := range []string{"4", "492500004632", "A.b_c:d-e", strings.Repeat("9", 64)} {
		if err := CheckOrderID(id); err != nil {
			t.Error(err)
		}
	}
	for _, id := range []string{"", "-1", ".x", " 1", "1 ", "1/2", "a\n", "\x1b[2J", "๑", strings.Repeat("9", 65), strings.Repeat("9", 500)} {
		if err := CheckOrderID(id); err == nil {
			t.Errorf("%q was taken", id)
		}
	}
}

func TestAmount(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"1e3", "+5", ".5", "5.", "", "NaN", "Infinity", "01", "0x1", "1,000", "1 ", "--1", strings.Repeat("9", 40)} {
		if a, err := ParseAmount(text); err == nil {
			t.Errorf("%q became %s", text, a)
		}
	}
	for _, test := range []struct{ text, four, err string }{
		{"300.0", "300.0000", ""}, {"300", "300.0000", ""}, {"0.1234", "0.1234", ""}, {"1.10000", "1.1000", ""}, {"1.12345", "", "more than 4 decimals"},
	} {
		a, err := ParseAmount(test.text)
		if err != nil {
			t.Fatal(err)
		}
		got, err := a.Fixed(4)
		if got != test.four || (err != nil) != (test.err != "") {
			t.Errorf("%s: %q, %v", test.text, got, err)
		}
		out, err := json.Marshal(a)
		if err != nil || string(out) != test.text {
			t.Errorf("%s became %s: %v", test.text, out, err)
		}
	}
	a, b, c := Amount{"74"}, Amount{"74.00"}, Amount{"74.01"}
	if !a.Equal(b) || a.Equal(c) || !a.Less(c) || c.Less(a) || (Amount{}).Equal(Amount{}) {
		t.Error("amounts compare by value, and unknown ones never equal")
	}
}

func FuzzDecodeOrder(f *testing.F) {
	f.Add([]byte(seedOrder))
	f.Add([]byte(`{"statusCode":200,"body":"{\"id\":1}"}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		order, err := DecodeOrder(body)
		if (order == nil) == (err == nil) {
			t.Fatalf("%v, %v", order, err)
		}
		if order != nil && (order.ID == "" || !json.Valid(order.Raw)) {
			t.Errorf("an order without an id, or not JSON: %q", order.Raw)
		}
	})
}

func FuzzDecodeError(f *testing.F) {
	f.Add([]byte(`{"error":{"code":"a","message":"b"}}`))
	f.Add([]byte(`{"statusCode":400,"body":{"error":"b","code":"a"}}`))
	f.Add([]byte(`{"message":"b"}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		code, message := DecodeError(body)
		if !json.Valid(body) && code+message != "" {
			t.Errorf("%q from what is not JSON", code+message)
		}
	})
}

// The forms are checked by hand, since compiling a regular expression is felt
// when a program starts. Here the expressions say what the checks must.
var (
	orderIDForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._:-]{0,63}$`)
	amountForm  = regexp.MustCompile(`^-?(0|[1-9][0-9]{0,17})(\.[0-9]{1,12})?$`)
)

func FuzzCheckOrderID(f *testing.F) {
	for _, id := range []string{"492500004632", "A.b_c:d-e", "Z", "a", "@", "[", "`", "{", "/", ":", "\xc1", "é", strings.Repeat("z", 65)} {
		f.Add(id)
	}
	f.Fuzz(func(t *testing.T, id string) {
		if want := orderIDForm.MatchString(id); (CheckOrderID(id) == nil) != want {
			t.Errorf("%q: %t is right", id, want)
		}
	})
}

func FuzzParseAmount(f *testing.F) {
	for _, text := range []string{"300.0", "-0", "0.0", "00", "-", ".", "-.1", "1.", "--1", "1.2.3", "1٣", strings.Repeat("9", 18), strings.Repeat("9", 19), "1." + strings.Repeat("0", 12), "1." + strings.Repeat("0", 13)} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if _, err := ParseAmount(text); (err == nil) != amountForm.MatchString(text) {
			t.Errorf("%q: %v", text, err)
		}
	})
}

func FuzzStatus(f *testing.F) {
	f.Add([]byte(`{"status":"success","data":{"id":"x"}}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		if status, err := decodeStatus(body); err == nil && !json.Valid(status.Raw) {
			t.Errorf("not JSON: %q", status.Raw)
		}
	})
}

// sameDigits compares amounts as texts: to a test 74 and 74.00 differ.
var sameDigits = cmp.Comparer(func(a, b Amount) bool { return a.text == b.text })
