package sandbox

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func check(t *testing.T, s *Sandbox, orderID string) answer {
	t.Helper()
	return send(t.Context(), client(s.Transport()), "GET", inProcess+"/checkstatus/"+orderID, "", http.Header{})
}

func pay(t *testing.T, s *Sandbox, orderID, state string) Notification {
	t.Helper()
	n, err := s.Pay(t.Context(), orderID, state)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func makeOrder(t *testing.T, s *Sandbox, orderID string) *order {
	t.Helper()
	got := ask(t.Context(), client(s.Transport()), inProcess, orderID, "qr", "")
	if got.status != 200 {
		t.Fatalf("make order %s: %+v", orderID, got)
	}
	return got.order()
}

func TestCheckStatus(t *testing.T) {
	t.Parallel()
	s := newSandbox(t, Options{})
	made := makeOrder(t, s, exampleOrder)
	want := `{"statusCode":200,"body":{"orderid":"492500004632","order_id":"` + made.ID + `","id":null,"object":"charge",` +
		`"amount":300.0,"currency":"THB","status":"pending","transaction_state":null,"livemode":false}}`
	if got := check(t, s, exampleOrder); got.status != 200 || got.body != want {
		t.Errorf("before it is paid: %d\n%s, want\n%s", got.status, got.body, want)
	}
	charge := pay(t, s, exampleOrder, "Authorized").ID
	want = `{"statusCode":200,"body":{"orderid":"492500004632","order_id":"` + made.ID + `","id":"` + charge + `","object":"charge",` +
		`"amount":300.0,"currency":"THB","status":"success","transaction_state":"Authorized","livemode":false}}`
	if got := check(t, s, exampleOrder); got.status != 200 || got.body != want {
		t.Errorf("once it is paid: %d\n%s, want\n%s", got.status, got.body, want)
	}
	if got := check(t, s, made.ID); got.status != 404 {
		t.Errorf("by the bank order's id: %d %s, want 404", got.status, got.body)
	}
	wantStats(t, s, exampleOrder, Stats{Posts: 1, Orders: 1, Checks: 2})
}

func TestCheckStatusOfMagicIDs(t *testing.T) {
	t.Parallel()
	const pending, authorized = `"status":"pending","transaction_state":null`, `"status":"success","transaction_state":"Authorized"`
	tests := map[string][]string{
		"paid":              {authorized, authorized},
		"paid-third-check":  {pending, pending, authorized, authorized},
		"declined":          {`"status":"fail","transaction_state":"Declined"`},
		"unknown-state":     {`"status":"success","transaction_state":"Under Review"`},
		"failed-order":      {`"status":"fail","transaction_state":null`},
		"bare-success":      {`200 {"status":"success"}`},
		"check-no-route":    {`403 {"message":"Missing Authentication Token"}`},
		"check-unavailable": {"503", "503"},
		"live":              {`"livemode":true`},
		"text-amount":       {`"amount":"` + amountOf("text-amount").fixed() + `"`},
	}
	s := newSandbox(t, Options{})
	for id, wants := range tests {
		makeOrder(t, s, id)
		for i, want := range wants {
			got := check(t, s, id)
			if is := fmt.Sprint(got.status, " ", got.body); !strings.Contains(is, want) {
				t.Errorf("%s, check %d: %s, want %s", id, i+1, is, want)
			}
		}
	}
}

func TestNotification(t *testing.T) {
	t.Parallel()
	clock := newClock()
	s := newSandbox(t, Options{Now: clock.now})
	made := makeOrder(t, s, exampleOrder)
	clock.advance(time.Minute)
	n := pay(t, s, exampleOrder, "authorized") // any case will do
	if !regexp.MustCompile(`^chrg_test_22211[0-9a-f]{32}$`).MatchString(n.ID) {
		t.Errorf("charge id %q", n.ID)
	}
	got, err := json.Marshal(n)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"id":"` + n.ID + `","object":"charge","order_id":"` + made.ID + `","amount":300.0,"currency":"THB","status":"success",` +
		`"transaction_state":"Authorized","reference_order":"4925000046321748613417.737979","created":"20250530205758833",` +
		`"livemode":false,"description":"Order 492500004632","metadata":null,"failure_code":null,"failure_message":null,` +
		`"source":{"id":"` + strings.Replace(n.ID, "chrg_", "src_", 1) + `","object":"qr","brand":"THAI_QR"}}`
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("notification (-want +got):\n%s", diff)
	}
}

func TestChargesMoveOn(t *testing.T) {
	t.Parallel()
	clock := newClock()
	s := newSandbox(t, Options{Now: clock.now})
	makeOrder(t, s, "1")
	declined := pay(t, s, "1", "Declined")
	if declined.Status != "fail" || declined.FailureCode == nil || declined.FailureMessage == nil {
		t.Errorf("declined: %+v", declined)
	}
	clock.advance(time.Second)
	paid := pay(t, s, "1", "Authorized")
	if paid.ID == declined.ID || paid.Created == declined.Created || paid.FailureCode != nil {
		t.Errorf("after a declined charge the payer makes another: %+v, then %+v", declined, paid)
	}
	clock.advance(time.Second)
	for _, next := range [][2]string{
		{"Settled", "success"}, {"Pre-Authorized", "pending"}, {"Auhtorized", "success"}, {"Voided", "success"}, {"Refund Sent", "success"},
	} {
		state := next[0]
		want := paid
		want.TransactionState, want.Status = state, next[1]
		if diff := cmp.Diff(want, pay(t, s, "1", state)); diff != "" {
			t.Errorf("%s is the same charge (-want +got):\n%s", state, diff)
		}
	}
}

// An order whose payment was given back, or that is canceled or expired, takes no
// payment.
func TestClosedOrders(t *testing.T) {
	t.Parallel()
	clock := newClock()
	s := newSandbox(t, Options{Now: clock.now})
	bank := bankCaller{t: t, s: s}
	closed := func(id, state, want string) {
		t.Helper()
		before := check(t, s, id).body
		_, err := s.Pay(t.Context(), id, state)
		if e, ok := errors.AsType[*ClosedError](err); !ok || e.Error() != want {
			t.Errorf("paying %s: %v, want %s", id, err, want)
		}
		if after := check(t, s, id).body; after != before {
			t.Errorf("it made\n%s\nof\n%s", after, before)
		}
	}
	for state, word := range map[string]string{"Voided": "voided", "VOID": "voided", "Reversed": "reversed", "Refund Sent": "refunded"} {
		made := makeOrder(t, s, "1")
		pay(t, s, "1", "Authorized")
		pay(t, s, "1", state)
		closed("1", "Authorized", "order 1 was "+word)
		closed("1", "Declined", "order 1 was "+word)
		if _, err := s.Pay(t.Context(), made.ID, "Settled"); err == nil {
			t.Errorf("%s: it is paid by its id", state)
		}
	}

	canceled := makeOrder(t, s, "2")
	code := bank.mustCode(canceled)
	bank.call("POST", "/qr/v2/qr/"+code.ID+"/cancel", "")
	closed("2", "Authorized", "order 2 was canceled")
	bank.mustCode(canceled)
	pay(t, s, "2", "Declined") // it has another code
	bank.call("POST", "/qr/v2/qr/"+bank.mustCode(canceled).ID+"/cancel", "")
	pay(t, s, "2", "Authorized")

	late, begun := makeOrder(t, s, "3"), makeOrder(t, s, "4")
	pay(t, s, "4", "Pre-Authorized")
	clock.advance(59 * time.Minute)
	pay(t, s, "3", "Declined")
	clock.advance(time.Minute)
	closed("3", "Authorized", "order 3 has expired")
	if n := pay(t, s, late.ID, "Authorized"); n.TransactionState != "Authorized" {
		t.Errorf("by its id it is paid late: %+v", n)
	}
	if n := pay(t, s, "4", "Authorized"); n.OrderID != begun.ID {
		t.Errorf("a charge that is under way: %+v", n)
	}
	makeOrder(t, s, "no-expiry")
	clock.advance(24 * time.Hour)
	pay(t, s, "no-expiry", "Authorized")
}

// Paying takes the newest of several bank orders; checkstatus reports the one
// that was paid.
func TestPayOneOfSeveral(t *testing.T) {
	t.Parallel()
	s := newSandbox(t, Options{})
	older, newer := makeOrder(t, s, "1"), makeOrder(t, s, "1")
	if got := check(t, s, "1"); !strings.Contains(got.body, newer.ID) {
		t.Errorf("unpaid: %s, want the newest, %s", got.body, newer.ID)
	}
	if n := pay(t, s, older.ID, "Authorized"); n.OrderID != older.ID {
		t.Errorf("paying %s by its id paid %s", older.ID, n.OrderID)
	}
	if got := check(t, s, "1"); !strings.Contains(got.body, older.ID) {
		t.Errorf("the older one is paid: %s, want %s", got.body, older.ID)
	}
	if n := pay(t, s, "1", "Declined"); n.OrderID != newer.ID {
		t.Errorf("paying order 1 paid %s, want the newest, %s", n.OrderID, newer.ID)
	}
	if got := check(t, s, "1"); !strings.Contains(got.body, older.ID) {
		t.Errorf("the newer one is declined: %s, want the paid one, %s", got.body, older.ID)
	}
}

func TestPayWeChatAndLive(t *testing.T) {
	t.Parallel()
	s := newSandbox(t, Options{})
	if got := ask(t.Context(), client(s.Transport()), inProcess, "live", "wechat", ""); got.status != 200 {
		t.Fatalf("%+v", got)
	}
	n := pay(t, s, "live", "Authorized")
	if !n.Livemode || !strings.HasPrefix(n.ID, "chrg_prod_") || !strings.HasPrefix(n.OrderID, "order_prod_") ||
		n.Source.Object != "wechat" || n.Source.Brand != "WECHAT" {
		t.Errorf("%+v", n)
	}
	makeOrder(t, s, "text-amount")
	if n := pay(t, s, "text-amount", "Authorized"); n.Amount.String() != amountOf("text-amount").fixed() {
		t.Errorf("amount %s, want the order's digits, %s", n.Amount, amountOf("text-amount").fixed())
	}
}

func TestPayWhatWasNeverMade(t *testing.T) {
	t.Parallel()
	s := newSandbox(t, Options{})
	if got := ask(t.Context(), client(s.Transport()), inProcess, "not-found", "qr", ""); got.status != 404 {
		t.Fatalf("%+v", got)
	}
	for _, orderID := range []string{"1", "not-found", ""} {
		if _, err := s.Pay(t.Context(), orderID, "Authorized"); !errors.Is(err, ErrNoOrder) {
			t.Errorf("pay %q: %v, want %v", orderID, err, ErrNoOrder)
		}
		if got := check(t, s, "not-found"); got.status != 404 {
			t.Errorf("checkstatus: %d %s, want 404", got.status, got.body)
		}
	}
}
