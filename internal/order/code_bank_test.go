package order

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"
)

// received is when answers arrive in these tests, to the second as Date headers
// are.
var received = time.Date(2025, 5, 30, 20, 0, 0, 0, Bangkok)

// heldPayment is an open payment of an hour with a code or page.
func heldPayment(held *Held) *Payment {
	return &Payment{
		OrderID: "4925", Source: QR, State: Awaiting, BankOrderID: "order_test_1", Currency: "THB",
		Order: json.RawMessage(`{"id":"order_test_1","amount":300.0,"livemode":false}`), Amount: Amount{"300.0"},
		ExpiresAt: received.Add(time.Hour), HeldUntil: received.Add(61 * time.Minute), Held: held,
	}
}

// Both bounds of a code come from its own answer, and only the drawing bound is cut
// to the order's.
func TestHold(t *testing.T) {
	t.Parallel()
	const minute = time.Minute
	for _, test := range []struct {
		name          string
		age           time.Duration // of the code, by its answer
		noCreated     bool
		expiry        time.Duration
		took          time.Duration // of the request
		ahead         time.Duration // of the answer's Date
		noExpiry      bool          // of the order
		shown, heldTo time.Duration // after it was received; -1: for ever
	}{
		{name: "ten minutes", expiry: 10 * minute, shown: 10 * minute, heldTo: 10 * minute},
		{name: "older than its request", age: 2 * minute, expiry: 10 * minute, took: time.Second, shown: 8 * minute, heldTo: 10*minute - time.Second},
		{name: "made while the bank took its time", age: 5 * time.Second, expiry: 10 * minute, took: 20 * time.Second, shown: 10*minute - 5*time.Second, heldTo: 10*minute - 5*time.Second},
		{name: "from the future", age: -3 * minute, expiry: 10 * minute, shown: 10 * minute, heldTo: 10 * minute},
		{name: "the bank's clock is ahead", ahead: 4 * minute, expiry: 10 * minute, shown: 10 * minute, heldTo: 14 * minute},
		{name: "longer than the order", expiry: 90 * minute, shown: 60 * minute, heldTo: 90 * minute},
		{name: "no stated life", age: minute, shown: 10 * minute, heldTo: 61 * minute},
		{name: "no stated life, nor the order's", noExpiry: true, shown: 10 * minute, heldTo: -1},
		{name: "no stated time", noCreated: true, expiry: 5 * time.Second, shown: 5 * time.Second, heldTo: 5 * time.Second},
		{name: "ended before it came", age: 11 * minute, expiry: 10 * minute, shown: -minute, heldTo: 10 * minute},
	} {
		p := heldPayment(nil)
		if test.noExpiry {
			p.ExpiresAt, p.HeldUntil = time.Time{}, time.Time{}
		}
		date := received.Add(test.ahead)
		code := &BankCode{ID: "qr_1", Kind: ThaiQR, Text: "text", Created: date.Add(-test.age), Expiry: test.expiry}
		if test.noCreated {
			code.Created = time.Time{}
		}
		p.Held = code.Hold(p, Answered{Received: received, Date: date, Sent: received.Add(-test.took)})
		if got := p.Held.ShownUntil.Sub(received); got != test.shown {
			t.Errorf("%s: drawn for %s, want %s", test.name, got, test.shown)
		}
		if got := p.Held.HeldUntil; got.IsZero() != (test.heldTo < 0) || !got.IsZero() && got.Sub(received) != test.heldTo {
			t.Errorf("%s: held until %s, want %s", test.name, got, test.heldTo)
		}
		if now := received.Add(max(test.shown, 0)); p.LivingCode(now) != nil || test.shown > 0 && p.LivingCode(now.Add(-1)) == nil {
			t.Errorf("%s: it is drawn for another time", test.name)
		}
	}
}

// A code holds its payment's slot as long as somebody may pay with it, and is drawn
// only while its payment may be shown.
func TestHeldCodes(t *testing.T) {
	t.Parallel()
	code := func(shown, held time.Duration) *Held {
		return &Held{ID: "qr_1", Kind: ThaiQR, Text: "text", Life: Life{received.Add(shown), received.Add(held)}}
	}
	canceled := code(time.Minute, 2*time.Minute)
	canceled.Canceled = true
	canceling := code(time.Minute, 2*time.Minute)
	canceling.Canceling = true
	page := &Held{Kind: Page, Life: Life{received.Add(time.Hour), received.Add(61 * time.Minute)}}
	for _, test := range []struct {
		name                  string
		held                  *Held
		after                 time.Duration
		change                func(*Payment)
		living, holds, lapsed bool
	}{
		{name: "no code"},
		{name: "a code", held: code(time.Minute, 2*time.Minute), living: true, holds: true},
		{name: "between its bounds", held: code(time.Minute, 2*time.Minute), after: time.Minute, holds: true},
		{name: "past both", held: code(time.Minute, 2*time.Minute), after: 2 * time.Minute},
		{name: "canceled", held: canceled},
		{name: "nobody knows whether it is canceled", held: canceling, holds: true},
		{name: "a page", held: page, holds: true},
		{name: "the order has lapsed", after: 61 * time.Minute, lapsed: true},
		{name: "the order has lapsed, its code has not", held: code(time.Hour, 2*time.Hour), after: 61 * time.Minute, holds: true},
		{name: "both have", held: code(time.Hour, 2*time.Hour), after: 2 * time.Hour, lapsed: true},
		{name: "held as long as an order that never ends", held: &Held{ID: "qr_1", Text: "text"}, after: 1000 * time.Hour, holds: true},
		{name: "paid", held: code(time.Minute, 2*time.Minute), change: func(p *Payment) { p.State = Paid }, holds: true},
		{name: "replaced", held: code(time.Minute, 2*time.Minute), change: func(p *Payment) { p.ReplacedBy = "key" }, holds: true},
		{name: "of another Villa order", held: code(time.Minute, 2*time.Minute), change: func(p *Payment) { p.Warnings = []Warning{{Code: WarnShared}} }, holds: true},
	} {
		p, now := heldPayment(test.held), received.Add(test.after)
		if test.change != nil {
			test.change(p)
		}
		if living := p.LivingCode(now) != nil; living != test.living || p.HoldsCode(now) != test.holds || p.Lapsed(now) != test.lapsed {
			t.Errorf("%s: living %t, holds %t, lapsed %t", test.name, living, p.HoldsCode(now), p.Lapsed(now))
		}
	}
	p := heldPayment(code(time.Hour, 2*time.Hour))
	if until := p.MayBePaidUntil(received); !until.Equal(received.Add(2 * time.Hour)) {
		t.Errorf("it may be paid until %s", until)
	}
	if why := p.Payable(received.Add(90 * time.Minute)); why == nil || !strings.Contains(why.Error(), "may still be paid until 22:00:00") {
		t.Errorf("between: %v", why)
	}
	if until := p.MayBePaidUntil(received.Add(2 * time.Hour)); !until.Equal(p.HeldUntil) {
		t.Errorf("after the code: until %s", until)
	}
}

// The bank's living code is drawn whatever qr_content says; beside a held one
// nothing else is that could be paid.
func TestCodeOfAPayment(t *testing.T) {
	t.Parallel()
	held := &Held{ID: "qr_1", Kind: WeChatCode, Text: "weixin://pay", Life: Life{received.Add(time.Minute), received.Add(2 * time.Minute)}}
	page := &Held{Kind: Page, Life: Life{received.Add(time.Hour), received.Add(time.Hour)}}
	for _, test := range []struct {
		held    *Held
		after   time.Duration
		content string
		want    Code // the zero Code is an error
		until   time.Duration
	}{
		{held, 0, "https://pay.example/{{.id}}", Code{WeChatCode, "weixin://pay"}, time.Minute},
		{held, time.Minute, "https://pay.example/{{.id}}", Code{}, 0},
		{held, time.Minute, "{{.id}}", Code{Reference, "order_test_1"}, time.Hour},
		{held, 2 * time.Minute, "https://pay.example/{{.id}}", Code{Page, "https://pay.example/order_test_1"}, time.Hour},
		{page, 0, "https://pay.example/{{.id}}", Code{Page, "https://pay.example/order_test_1"}, time.Hour},
		{nil, 0, "{{.id}}", Code{Reference, "order_test_1"}, time.Hour},
	} {
		got, until, err := heldPayment(test.held).Code(test.content, received.Add(test.after))
		if (err != nil) != (test.want == Code{}) || err == nil && (got != test.want || until.Sub(received) != test.until) {
			t.Errorf("%+v after %s: %+v until %s, %v", test.held, test.after, got, until, err)
		}
	}
}

func TestDecodeBankCode(t *testing.T) {
	t.Parallel()
	const base = `{"id":"qr_1","order_id":"order_test_1","status":"success"`
	for _, test := range []struct {
		fields string
		source Source
		order  string // instead of livemode false
		want   string // the text, or what the error says
		kind   Kind   // "": an error
	}{
		{`,"paint_text":"weixin://wxpay/bizpayurl?pr=1"`, WeChat, "", "weixin://wxpay/bizpayurl?pr=1", WeChatCode},
		{`,"paint_text":"any text"`, WeChat, "", "any text", WeChatCode},
		{`,"paint_text":" 000201"`, WeChat, "", "Thai QR payload", ""},
		{`,"paint_text":"any text"`, QR, "", "payment code is wrong", ""},
		{`,"paint_text":"any text","livemode":true`, WeChat, "", "livemode", ""},
		{`,"paint_text":"any text","livemode":"true"`, WeChat, "", "livemode", ""},
		{`,"paint_text":"any text","livemode":"false"`, WeChat, "", "any text", WeChatCode},
		{`,"paint_text":"any text","livemode":true`, WeChat, `"livemode":true`, "any text", WeChatCode},
		{`,"paint_text":"any text","livemode":true`, WeChat, `"a":1`, "any text", WeChatCode},
	} {
		p := heldPayment(nil)
		p.Source = test.source
		if test.order != "" {
			p.Order = json.RawMessage(`{"id":"order_test_1",` + test.order + `}`)
		}
		code, err := DecodeBankCode([]byte(base+test.fields+"}"), p)
		switch {
		case test.kind == "" && (err == nil || !strings.Contains(err.Error(), test.want)),
			test.kind != "" && (err != nil || code.Text != test.want || code.Kind != test.kind):
			t.Errorf("%s %s: %+v, %v", test.source, test.fields, code, err)
		}
	}
	for _, id := range []string{".", "..", "a b", "a/b", `a\\b`, "a?", "a#", "a%2e", `\u0e01`, `a\n`, strings.Repeat("q", 256)} {
		p := heldPayment(nil)
		p.Source = WeChat
		_, err := DecodeBankCode([]byte(`{"order_id":"order_test_1","paint_text":"any text","id":"`+id+`"}`), p)
		if err == nil || !strings.Contains(err.Error(), "could not be canceled") {
			t.Errorf("id %q: %v", id, err)
		}
	}
	for _, body := range []string{"", "[]", "<html>", "null", `{"id":"a","id":"b"}`} {
		if _, err := DecodeBankCode([]byte(body), heldPayment(nil)); !errors.Is(err, ErrNoText) {
			t.Errorf("%q: %v", body, err)
		}
	}
}

// Whatever the bank sends, a code that comes out has passed the check of its
// payload, and can be canceled.
func FuzzDecodeBankCode(f *testing.F) {
	f.Add([]byte(`{"id":"qr_1","order_id":"order_test_1","paint_text":"000201","expire_time_seconds":"600"}`))
	f.Add([]byte(`{"id":"qr_1","order_id":"order_test_1","paint_text":"x","failure_code":0,"livemode":"TRUE","created":"20250530205658833"}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, source := range []Source{QR, WeChat} {
			p := heldPayment(nil)
			p.Source = source
			code, err := DecodeBankCode(body, p)
			if err != nil {
				continue
			}
			if code.ID == "" || code.Text == "" || source == QR && CheckPayload(code.Text, p.Amount, p.Currency) != nil || source == WeChat && LooksLikePayload(code.Text) {
				t.Errorf("%s: %+v", source, code)
			}
			if held := code.Hold(p, Answered{Received: received}); held.ShownUntil.IsZero() || held.ShownUntil.After(p.ExpiresAt) {
				t.Errorf("%s: drawn until %s", source, held.ShownUntil)
			}
		}
	})
}

// A payment's history says which words are the bank's.
func TestSummaryNamesTheBank(t *testing.T) {
	t.Parallel()
	for from, want := range map[Origin]bool{FromBank: true, FromAPI: false, FromWebhook: false} {
		r := Report{ChargeID: "chrg_1", TransactionState: "Authorized", From: from}
		if text := r.Summary(); strings.HasSuffix(text, ", says the bank") != want {
			t.Errorf("%s: %s", from, text)
		}
	}
}
