package ledger

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/villapay/villapay/internal/order"
)

// What is returned is what is stored, whatever an answer holds.
func TestRecordOrderReturnsWhatIsStored(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, at *place) {
		l := at.open(t)
		for name, fields := range map[string][]string{
			"plain":          nil,
			"failed":         {`"failure_code":"no","failure_message":"No."`},
			"no expiry":      {`"expire_time_seconds":null`},
			"NUL":            {`"description":"a\u0000b","currency":"T\u0000B"`},
			"a failed NUL":   {`"failure_code":"a\u0000b"`},
			"not UTF-8":      {"\"description\":\"a\x9bb\""},
			"lone surrogate": {`"failure_message":"\ud800","failure_code":"x"`},
			"Thai":           {`"description":"ไทย"`},
		} {
			c := l.mustClaim(t, ask(strings.ReplaceAll(name, " ", "-")), Claimed)
			got, err := l.RecordOrder(t.Context(), c, testOrder(t, "o-"+name, fields...), RecordedAnswer{
				Attempts: 2, RequestID: "r\xff", Warnings: []Warning{{Code: "c", Message: "m"}},
			})
			if err != nil {
				t.Fatal(name, err)
			}
			stored, err := l.Payments(t.Context(), scope, c.Payment.OrderID)
			if err != nil || len(stored) != 1 {
				t.Fatal(name, stored, err)
			}
			sameAmount := cmp.Comparer(func(a, b order.Amount) bool { return a.String() == b.String() })
			if diff := cmp.Diff(stored[0], got, sameAmount); diff != "" {
				t.Error(name, diff)
			}
		}
	})
}

func TestRecordOrderKeepsEverything(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, at *place) {
		l := at.open(t)
		c := l.mustClaim(t, ask("1"), Claimed)
		order := testOrder(t, "o1", `"created":"20250530205658833"`, `"more":[1.10,"ไทย"]`)
		warnings := []Warning{{Code: "livemode", Message: "it is LIVE"}}
		p, err := l.RecordOrder(t.Context(), c, order, RecordedAnswer{Attempts: 3, RequestID: "r1", Warnings: warnings})
		if err != nil {
			t.Fatal(err)
		}
		created := time.Date(2025, 5, 30, 20, 56, 58, 833e6, order.Bangkok)
		want := Payment{
			ID: c.Payment.ID, Scope: scope, Env: "dev", OrderID: "1", Source: order.QR, Key: c.Payment.Key, State: Expired, Attempts: 3,
			Order: order.Raw, BankOrderID: "o1", Amount: order.Amount, Currency: "THB", CreatedAt: created, ExpiresAt: created.Add(time.Hour),
			RecordedAt: c.Payment.RecordedAt, KnownAt: p.KnownAt, KnownFrom: FromAPI, RequestID: "r1", Warnings: warnings,
		}
		sameAmount := cmp.Comparer(func(a, b order.Amount) bool { return a.String() == b.String() })
		if diff := cmp.Diff(want, p, sameAmount); diff != "" {
			t.Error(diff)
		}
		all, err := at.open(t).Payments(t.Context(), scope, "1")
		if err != nil || len(all) != 1 {
			t.Fatal(all, err)
		}
		if diff := cmp.Diff(want, all[0], sameAmount); diff != "" {
			t.Error("read back:", diff)
		}
		if p.KnownAt.Before(p.RecordedAt) || time.Since(p.KnownAt).Abs() > time.Minute {
			t.Errorf("known at %s", p.KnownAt)
		}
		again, err := l.RecordOrder(t.Context(), c, order, RecordedAnswer{Attempts: 3, RequestID: "r1"})
		if err != nil || again.Attempts != 3 || len(eventsOf(t, l, p.ID)) != 2 {
			t.Errorf("the same answer again: %+v, %v", again, err)
		}
	})
}

func TestTheFirstDurableAnswerWins(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, at *place) {
		l := at.open(t)
		slow := l.mustClaim(t, ask("1"), Claimed)
		lapse(t, l, slow)
		quick := l.mustClaim(t, ask("1"), Claimed)

		late, err := l.RecordOrder(t.Context(), slow, testOrder(t, "slow"), RecordedAnswer{RequestID: "r-slow"})
		if !errors.Is(err, ErrClaimLost) || late.State != Sending || late.Order != nil {
			t.Errorf("under a lost claim: %+v, %v", late, err)
		}
		if failed, err := l.RecordFailure(t.Context(), slow, Rejected, Failure{Code: "x"}, 1); !errors.Is(err, ErrClaimLost) || failed.State != Sending {
			t.Errorf("a failure under a lost claim: %+v, %v", failed, err)
		}
		l.mustRecord(t, quick, testOrder(t, "quick"))
		late, err = l.RecordOrder(t.Context(), slow, testOrder(t, "slower"), RecordedAnswer{})
		if !errors.Is(err, ErrClaimLost) || late.BankOrderID != "quick" || late.State != Awaiting {
			t.Errorf("after the answer: %+v, %v", late, err)
		}
		other, err := l.RecordOrder(t.Context(), quick, testOrder(t, "another"), RecordedAnswer{})
		if !errors.Is(err, ErrClaimLost) || other.BankOrderID != "quick" {
			t.Errorf("a second answer under one claim: %+v, %v", other, err)
		}
		var kept []string
		for _, e := range eventsOf(t, l, late.ID) {
			var order struct{ ID string }
			if e.Kind == "late answer" && len(e.Data) > 0 && json.Unmarshal(e.Data, &order) == nil {
				kept = append(kept, order.ID+" "+e.RequestID)
			}
		}
		if diff := cmp.Diff([]string{"slow r-slow", "slower ", "another "}, kept); diff != "" {
			t.Error("late answers are kept as events:", diff)
		}
		if all, err := l.Payments(t.Context(), scope, "1"); err != nil || len(all) != 1 || all[0].BankOrderID != "quick" {
			t.Errorf("%+v, %v", all, err)
		}
	})
}

func TestALapsedClaimThatNobodyTookOverIsGood(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, at *place) {
		l := at.open(t)
		c := l.mustClaim(t, ask("1"), Claimed)
		lapse(t, l, c)
		if p := l.mustRecord(t, c, testOrder(t, "o1")); p.State != Awaiting {
			t.Errorf("%+v", p)
		}
	})
}

func TestOnceAmbiguousOnlyAnOrderResolves(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, at *place) {
		l := at.open(t)
		fail(t, l, l.mustClaim(t, ask("1"), Claimed), Unknown)
		second := l.mustClaim(t, ask("1"), Claimed)
		p := fail(t, l, second, Rejected)
		if p.State != Unknown || p.Error.Code != "boom" || p.Error.Status != 502 || p.RequestID != "r9" || p.Attempts != 4 {
			t.Errorf("rejected after an ambiguous run: %+v %+v", p, p.Error)
		}
		third := l.mustClaim(t, ask("1"), Claimed)
		if third.Payment.Key != second.Payment.Key || !third.Resumed {
			t.Errorf("it keeps its place and key: %+v", third)
		}
		if p := l.mustRecord(t, third, testOrder(t, "o1")); p.State != Awaiting || p.Error != nil {
			t.Errorf("an order resolves it: %+v", p)
		}

		dead := l.mustClaim(t, ask("2"), Claimed)
		lapse(t, l, dead)
		if p := fail(t, l, l.mustClaim(t, ask("2"), Claimed), Rejected); p.State != Unknown {
			t.Errorf("rejected after a takeover, whose first holder may have sent: %+v", p)
		}
	})
}

func TestWhereAFailureIsKnownFrom(t *testing.T) {
	t.Parallel()
	l := sqlitePlace(t).open(t)
	for orderID, test := range map[string]struct {
		failure Failure
		want    Origin
	}{
		"answered": {Failure{Code: "refused", Status: 422}, FromAPI},
		"unheard":  {Failure{Code: "dns"}, FromLedger},
	} {
		p, err := l.RecordFailure(t.Context(), l.mustClaim(t, ask(orderID), Claimed), Rejected, test.failure, 1)
		if err != nil || p.KnownFrom != test.want || p.State != Rejected {
			t.Errorf("%s: %+v, %v", orderID, p, err)
		}
		events := eventsOf(t, l, p.ID)
		if last := events[len(events)-1]; last.Kind != "rejected" || last.Note != test.failure.Code+": " {
			t.Errorf("%+v", last)
		}
	}
}

func TestAnswersForPaymentsThatAreNotThere(t *testing.T) {
	t.Parallel()
	l := sqlitePlace(t).open(t)
	nowhere := Claim{Payment: Payment{ID: 99, OrderID: "1"}, Number: 1}
	var failure *Error
	if _, err := l.RecordOrder(context.Background(), nowhere, testOrder(t, "o1"), RecordedAnswer{}); !errors.As(err, &failure) || errors.Is(err, ErrClaimLost) {
		t.Error(err)
	}
	if err := l.NoteStatus(t.Context(), 99, "x", "", nil, nil); !errors.As(err, &failure) {
		t.Error(err)
	}
	if err := l.Renew(t.Context(), nowhere); !errors.Is(err, ErrClaimLost) {
		t.Error(err)
	}
}

// TestTheDatabaseItselfKeepsTheSlot goes behind the code's back.
func TestTheDatabaseItselfKeepsTheSlot(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, at *place) {
		l := at.open(t)
		l.mustClaim(t, ask("1"), Claimed)
		insert := func(key, orderID string) error {
			return l.store.write(t.Context(), toSend, func(x *txn) error {
				c := &claiming{l: l, t: x}
				return c.insert(&row{Payment: Payment{Scope: scope, OrderID: orderID, Source: order.QR, Key: key, State: Sending}})
			})
		}
		if err := insert("one more", "1"); err == nil {
			t.Error("two payments hold one slot")
		}
		if err := insert("a key", "2"); err != nil {
			t.Error(err)
		}
		if err := insert("a key", "3"); err == nil {
			t.Error("two payments have one key")
		}
	})
}
