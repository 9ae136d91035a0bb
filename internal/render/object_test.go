package render

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/villapay/villapay/internal/ledger"
	"github.com/villapay/villapay/internal/order"
)

// The names and the order of the payment object's fields are a promise to
// scripts. A difference here breaks somebody's: add at the end, never rename.
func TestPaymentObjectIsFrozen(t *testing.T) {
	t.Parallel()
	p := gallery(t)[2]
	p.ReplacedBy, p.Replayed = "key-2", true
	got, err := PaymentJSON(View{
		Payment: p, Now: created, Code: &order.Code{Kind: order.Reference, Text: "order_test_2"}, Until: created.Add(time.Minute),
		Events: []ledger.Event{{At: created, Kind: "order", Actor: "me", Data: []byte(`{"a": 1.50}`)}},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := `{"id":"order_test_222110adff3affb5844c497fa9c22366b5bc6","object":"order","created":"20250530205658833","livemode":false,` +
		`"amount":300.0,"currency":"THB","customer":null,"description":"Order 492500004632","metadata":null,"status":"success",` +
		`"reference_order":"4925000046321748613417.737979","source_type":"qr","additional_data":{"term":null,"mid":null},` +
		`"failure_code":null,"failure_message":null,"expire_time_seconds":3600,` +
		`"villapay":{"orderid":"paid-1","env":"dev","source":"wechat","state":"paid","created_at":"2025-05-30T20:56:58.833+07:00",` +
		`"expires_at":"2025-05-30T21:56:58.833+07:00","expires_in":null,"idempotency_key":"2f5c1a34-7b7e-4d58-9f0b-0f4f2f1f9a10","replayed":true,"attempts":1,` +
		`"request_id":"req-1","known_at":"2025-05-30T20:56:59.833+07:00","known_from":"webhook","bank_state":"Authorized",` +
		`"charge_id":"chrg_test_1","paid_at":"2025-05-30T20:57:58.833+07:00","paid_at_from":"bank","paid_by":"transaction_state","replaced_by":"key-2",` +
		`"qr":{"kind":"reference","content":"order_test_2","expires_at":"2025-05-30T20:57:58.833+07:00"},` +
		`"warnings":[{"code":"paid_twice","message":"two charges paid this order: give one back"}],"error":null,` +
		`"events":[{"at":"2025-05-30T20:56:58.833+07:00","kind":"order","actor":"me","request_id":null,"note":null,"data":{"a":1.50}}]}}`
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Error(diff)
	}
}

func TestPaymentWithoutOrder(t *testing.T) {
	t.Parallel()
	got, err := PaymentJSON(View{Payment: gallery(t)[4]})
	if err != nil {
		t.Fatal(err)
	}
	want := `{"villapay":{"orderid":"rejected-1","env":"dev","source":"qr","state":"rejected","created_at":null,"expires_at":null,"expires_in":null,` +
		`"idempotency_key":"2f5c1a34-7b7e-4d58-9f0b-0f4f2f1f9a10","replayed":false,"attempts":1,"request_id":"req-1",` +
		`"known_at":"2025-05-30T20:56:59.833+07:00","known_from":"api","bank_state":null,"charge_id":null,"paid_at":null,"paid_at_from":null,` +
		`"paid_by":null,"replaced_by":null,"qr":null,"warnings":[],"error":{"code":"invalid_amount","message":"Invalid payment amount.",` +
		`"status":400,"request_id":"","retryable":false}}}`
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Error(diff)
	}
}

func TestExpiresIn(t *testing.T) {
	t.Parallel()
	p := awaiting(t)
	for _, c := range []struct {
		state order.State
		at    time.Time
		now   time.Time
		want  string
	}{
		{order.Awaiting, p.ExpiresAt, created.Add(time.Millisecond), "3599"},
		{order.Awaiting, p.ExpiresAt, p.ExpiresAt.Add(time.Hour), "0"},
		{order.Expired, p.ExpiresAt, p.ExpiresAt.Add(time.Hour), "0"},
		{order.Awaiting, time.Time{}, created, "null"},
		{order.Awaiting, p.ExpiresAt, time.Time{}, "null"},
		{order.Paid, p.ExpiresAt, created, "null"},
	} {
		p.State, p.ExpiresAt = c.state, c.at
		got, err := PaymentJSON(View{Payment: p, Now: c.now})
		if err != nil || !strings.Contains(string(got), `"expires_in":`+c.want+`,"idempotency_key"`) {
			t.Errorf("%s at %v, now %v: %s, %v", c.state, c.at, c.now, got, err)
		}
	}
}

func TestOrderFieldsPassThrough(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ order, want string }{
		"digits":         {`{"a":300.0,"b":1E5,"c":-0,"d":123456789012345678901234567890}`, `{"a":300.0,"b":1E5,"c":-0,"d":123456789012345678901234567890,`},
		"order of keys":  {`{"z":1,"a":2,"z":3}`, `{"z":1,"a":2,"z":3,`},
		"blanks":         {" {\n\t\"a\" : [ 1 , {} ] }\n", `{"a":[1,{}],`},
		"escapes stay":   {`{"\u0061<>&":"\/\u00e9<b>\ud83d\ude00"}`, `{"\u0061<>&":"\/\u00e9<b>\ud83d\ude00",`},
		"Thai":           {`{"a":"น้ำ"}`, `{"a":"น้ำ",`},
		"hidden":         {"{\"a\":\"\u202e\u009b\x7f\"}", `{"a":"\u202e\u009b\u007f",`},
		"own key":        {`{"villapay":{"state":"paid"},"a":1,"villap\u0061y":2}`, `{"a":1,`},
		"empty":          {`{}`, `{`},
		"no order":       {``, `{`},
		"a broken rune":  {"{\"a\":\"\x9b\"}", `{"a":"\ufffd",`},
		"joined emoji":   {"{\"a\":\"👨\u200d👩\"}", "{\"a\":\"👨\u200d👩\","},
		"beyond the BMP": {"{\"a\":\"\U000e0041\"}", `{"a":"\udb40\udc41",`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := PaymentJSON(View{Payment: order.Payment{Order: []byte(c.order)}})
			if err != nil {
				t.Fatal(err)
			}
			before, _, _ := strings.Cut(string(got), `"villapay":{"orderid"`)
			if diff := cmp.Diff(c.want, before); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestOrderThatIsNoObject(t *testing.T) {
	t.Parallel()
	for _, raw := range []string{`null`, `[]`, `"x"`, `{`, `{"a":1}{}`, `{"a":01}`} {
		if got, err := PaymentJSON(View{Payment: order.Payment{OrderID: "o\x1b", Order: []byte(raw)}}); err == nil {
			t.Errorf("%s became %s", raw, got)
		} else {
			checkSafe(t, err.Error())
		}
	}
}

func TestEventData(t *testing.T) {
	t.Parallel()
	got, err := PaymentJSON(View{Events: []ledger.Event{{Data: []byte("<html>\x1b")}, {Data: nil}}})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"data":"<html>\u001b"}`, `"data":null}`} {
		if !bytes.Contains(got, []byte(want)) {
			t.Errorf("%s lacks %s", got, want)
		}
	}
	if got, _ := PaymentJSON(View{Events: []ledger.Event{}}); !bytes.Contains(got, []byte(`"events":[]`)) {
		t.Errorf("no events: %s", got)
	}
}

func FuzzPaymentJSON(f *testing.F) {
	f.Add([]byte(seedOrder), "note")
	f.Add([]byte(`{"villapay":1,"a":"\u202e"}`), "\x1b\x9b\u202e")
	f.Add([]byte(`{"a":{"villapay":2},"\ud800":1}`), "<>&")
	f.Fuzz(func(t *testing.T, raw []byte, note string) {
		got, err := PaymentJSON(View{Payment: order.Payment{OrderID: "o", Order: raw, RequestID: note}})
		var wanted map[string]json.RawMessage
		if valid := json.Unmarshal(raw, &wanted) == nil && wanted != nil; len(bytes.TrimSpace(raw)) > 0 && valid != (err == nil) {
			t.Fatalf("%q: valid %v, error %v", raw, valid, err)
		}
		if err != nil {
			return
		}
		checkSafe(t, string(got))
		var whole map[string]json.RawMessage
		if err := json.Unmarshal(got, &whole); err != nil {
			t.Fatalf("%s: %v", got, err)
		}
		var own struct {
			OrderID string `json:"orderid"`
		}
		if err := json.Unmarshal(whole[ownKey], &own); err != nil || own.OrderID != "o" {
			t.Errorf("%s: own fields are not ours (%v)", got, err)
		}
		delete(wanted, ownKey)
		if len(whole) != len(wanted)+1 {
			t.Errorf("%q has %d fields, %s %d", raw, len(wanted), got, len(whole))
		}
	})
}
