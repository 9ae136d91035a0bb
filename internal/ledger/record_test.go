package ledger

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/villapay/villapay/internal/order"
)

var sameAmount = cmp.Comparer(func(a, b order.Amount) bool { return a.String() == b.String() })

// What is returned is what is stored, whatever an answer holds.
func TestRecordOrderReturnsWhatIsStored(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, at *place) {
		l := at.open(t)
		for name, fields := range map[string][]string{
			"plain":          nil,
			"failed":         {`"failure_code":"no","failure_message":"No."`},
			"no expiry":      {`"expire_time_seconds":null`},
			"old":            {expired},
			"reference":      {`"reference_order":"ref-1"`},
			"NUL":            {`"description":"a\u0000b"`, `"currency":"T\u0000B"`},
			"a failed NUL":   {`"failure_code":"a\u0000b"`},
			"lone surrogate": {`"failure_message":"\ud800"`, `"failure_code":"x"`},
			"Thai":           {`"description":"ไทย"`},
		} {
			c := l.mustClaim(t, ask(strings.ReplaceAll(name, " ", "-")), Claimed)
			got, err := l.RecordOrder(t.Context(), c, testOrder(t, `\u0000-`+name, fields...), Answer{
				Attempts: 2, RequestID: "r\xff", Warnings: []order.Warning{{Code: "c", Message: "m"}},
			})
			if err != nil || (got.State == order.Failed) != (got.Error != nil && got.Error.RequestID == got.RequestID) {
				t.Fatal(name, got.State, got.Error, err)
			}
			if diff := cmp.Diff(l.of(t, c.Payment.OrderID), []order.Payment{got}, sameAmount); diff != "" {
				t.Error(name, diff)
			}
		}
		if done := l.hear(t, report("c\x00", "\x00-plain", "Authorized")); done.Unknown || done.Payment.State != order.Paid {
			t.Errorf("text that PostgreSQL cannot hold: %+v", done)
		}
	})
}

func TestRecordOrderKeepsEverything(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, at *place) {
		l := at.open(t)
		c := l.mustClaim(t, ask("1"), Claimed)
		made := testOrder(t, "o1", `"created":"20250530205658833"`, `"reference_order":"ref-1"`, `"more":[1.10,"ไทย"]`)
		created := time.Date(2025, 5, 30, 20, 56, 58, 833e6, order.Bangkok)
		date := created.Add(10 * time.Minute)
		p, err := l.RecordOrder(t.Context(), c, made, Answer{Attempts: 3, RequestID: "r1", Date: date, Warnings: []order.Warning{{Code: "livemode", Message: "it is LIVE"}}})
		if err != nil {
			t.Fatal(err)
		}
		want := order.Payment{
			ID: c.Payment.ID, Scope: scope, Env: "dev", OrderID: "1", Source: order.QR, Key: c.Payment.Key, State: order.Awaiting, Attempts: 3,
			Order: made.Raw, BankOrderID: "o1", Reference: "ref-1", Amount: made.Amount, Currency: "THB",
			CreatedAt: created, ExpiresAt: p.KnownAt.Add(50 * time.Minute), HeldUntil: p.KnownAt.Add(time.Hour - p.KnownAt.Sub(p.RecordedAt)),
			RecordedAt: c.Payment.RecordedAt, KnownAt: p.KnownAt, KnownFrom: order.FromAPI, RequestID: "r1", Warnings: p.Warnings,
		}
		if diff := cmp.Diff(want, p, sameAmount); diff != "" {
			t.Error(diff)
		}
		if codes(p.Warnings) != "livemode clock" {
			t.Error(p.Warnings)
		}
		if diff := cmp.Diff([]order.Payment{want}, at.open(t).of(t, "1"), sameAmount); diff != "" {
			t.Error("read back:", diff)
		}
		if p.KnownAt.Before(p.RecordedAt) || time.Since(p.KnownAt).Abs() > time.Minute {
			t.Errorf("known at %s", p.KnownAt)
		}
		again, err := l.RecordOrder(t.Context(), c, made, Answer{Attempts: 3, RequestID: "r1"})
		if err != nil || again.Attempts != 3 || len(l.events(t, p.ID)) != 2 {
			t.Errorf("the same answer again: %+v, %v", again, err)
		}
	})
}

// A claim that is resumed goes by the time when its key was first sent: since
// then the order may have been made.
func TestALifeCountsFromWhenTheKeyWasFirstSent(t *testing.T) {
	t.Parallel()
	at := sqlitePlace(t)
	l := at.open(t)
	first := l.mustClaim(t, ask("1"), Claimed)
	l.fail(t, first, order.Unknown)
	at.clock.add(40 * time.Minute)
	p := l.mustRecord(t, l.mustClaim(t, ask("1"), Claimed), testOrder(t, "o1", expired))
	if want := first.Payment.RecordedAt.Add(time.Hour); !p.HeldUntil.Equal(want) {
		t.Errorf("held until %s, want %s", p.HeldUntil, want)
	}
	at.clock.add(20*time.Minute - time.Millisecond)
	l.mustClaim(t, ask("1"), Replay)
	at.clock.add(time.Millisecond)
	l.mustClaim(t, ask("1"), AskFirst)
}

func TestTheFirstDurableAnswerWins(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, at *place) {
		l := at.open(t)
		slow := l.mustClaim(t, ask("1"), Claimed)
		lapse(t, l, slow)
		quick := l.mustClaim(t, ask("1"), Claimed)

		late, err := l.RecordOrder(t.Context(), slow, testOrder(t, "slow"), Answer{RequestID: "r-slow"})
		if !errors.Is(err, ErrClaimLost) || late.State != order.Sending || late.Order != nil {
			t.Errorf("under a lost claim: %+v, %v", late, err)
		}
		if failed, err := l.RecordFailure(t.Context(), slow, order.Rejected, order.Failure{Code: "x"}, 1); !errors.Is(err, ErrClaimLost) || failed.State != order.Sending {
			t.Errorf("a failure under a lost claim: %+v, %v", failed, err)
		}
		l.mustRecord(t, quick, testOrder(t, "quick"))
		late, err = l.RecordOrder(t.Context(), slow, testOrder(t, "slower"), Answer{})
		if !errors.Is(err, ErrClaimLost) || late.BankOrderID != "quick" || late.State != order.Awaiting {
			t.Errorf("after the answer: %+v, %v", late, err)
		}
		other, err := l.RecordOrder(t.Context(), quick, testOrder(t, "another"), Answer{})
		if !errors.Is(err, ErrClaimLost) || other.BankOrderID != "quick" {
			t.Errorf("a second answer under one claim: %+v, %v", other, err)
		}
		var kept []string
		for _, e := range l.events(t, late.ID) {
			if made, err := order.Decode(e.Data); e.Kind == "late answer" && err == nil {
				kept = append(kept, made.ID+" "+e.RequestID)
			}
		}
		if diff := cmp.Diff([]string{"slow r-slow", "slower ", "another "}, kept); diff != "" {
			t.Error("late answers are kept as events:", diff)
		}
		if all := l.of(t, "1"); len(all) != 1 || all[0].BankOrderID != "quick" {
			t.Errorf("%+v", all)
		}
	})
}

func TestOnceAmbiguousOnlyAnOrderResolves(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, at *place) {
		l := at.open(t)
		l.fail(t, l.mustClaim(t, ask("1"), Claimed), order.Unknown)
		second := l.mustClaim(t, ask("1"), Claimed)
		if !second.Resumed || second.Payment.Error != nil {
			t.Errorf("after an unknown outcome: %+v", second)
		}
		p := l.fail(t, second, order.Rejected)
		if p.State != order.Unknown || p.Error.Code != "boom" || p.Error.Status != 502 || p.RequestID != "r9" || p.Attempts != 4 {
			t.Errorf("rejected after an ambiguous run: %+v %+v", p, p.Error)
		}
		third := l.mustClaim(t, ask("1"), Claimed)
		if third.Payment.Key != second.Payment.Key || !third.Resumed {
			t.Errorf("it keeps its place and key: %+v", third)
		}
		lapse(t, l, third) // nobody takes it over, so it is good
		if p := l.mustRecord(t, third, testOrder(t, "o1")); p.State != order.Awaiting || p.Error != nil {
			t.Errorf("an order resolves it: %+v", p)
		}

		dead := l.mustClaim(t, ask("2"), Claimed)
		lapse(t, l, dead)
		if p := l.fail(t, l.mustClaim(t, ask("2"), Claimed), order.Rejected); p.State != order.Unknown {
			t.Errorf("rejected after a takeover, whose first holder may have sent: %+v", p)
		}
	})
}

func TestWhereAFailureIsKnownFrom(t *testing.T) {
	t.Parallel()
	l := sqlitePlace(t).open(t)
	for orderID, test := range map[string]struct {
		failure order.Failure
		want    order.Origin
	}{
		"answered": {order.Failure{Code: "invalid", Status: 422}, order.FromAPI},
		"unheard":  {order.Failure{Code: "dns"}, order.FromLedger},
	} {
		p, err := l.RecordFailure(t.Context(), l.mustClaim(t, ask(orderID), Claimed), order.Rejected, test.failure, 1)
		if err != nil || p.KnownFrom != test.want || p.State != order.Rejected {
			t.Errorf("%s: %+v, %v", orderID, p, err)
		}
		events := l.events(t, p.ID)
		if last := events[len(events)-1]; last.Kind != "rejected" || last.Note != test.failure.Code+": " {
			t.Errorf("%+v", last)
		}
	}
}

func TestAnswersForPaymentsThatAreNotThere(t *testing.T) {
	t.Parallel()
	l := sqlitePlace(t).open(t)
	nowhere := Claim{Payment: order.Payment{ID: 99, OrderID: "1"}, Number: 1}
	if _, err := l.RecordOrder(t.Context(), nowhere, testOrder(t, "o1"), Answer{}); !errors.Is(err, errGone) || errors.Is(err, ErrClaimLost) {
		t.Error(err)
	}
	if err := l.Renew(t.Context(), nowhere); !errors.Is(err, ErrClaimLost) {
		t.Error(err)
	}
	l.answer(t, "1", `"success"`)
	if all := l.of(t, "1"); len(all) != 0 {
		t.Errorf("a word is no payment: %+v", all)
	}
}

func TestReportsBeforeTheirOrder(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, at *place) {
		l := at.open(t)
		c := l.mustClaim(t, ask("1"), Claimed)
		byReference := report("c2", "ref-1", "Declined")
		for _, r := range []order.Report{report("c1", "o1", "Authorized"), byReference} {
			if done := l.hear(t, r); !done.Unknown || done.Repeat || done.Payment.ID != 0 {
				t.Errorf("%+v", done)
			}
			if done := l.hear(t, r); !done.Unknown || !done.Repeat {
				t.Errorf("%+v", done)
			}
		}
		p := l.mustRecord(t, c, testOrder(t, "o1", `"reference_order":"ref-1"`))
		if p.State != order.Paid || p.ChargeID != "c1" || p.KnownFrom != order.FromWebhook {
			t.Errorf("%+v", p)
		}
		var kinds []string
		for _, e := range l.events(t, p.ID) {
			kinds = append(kinds, e.Kind)
		}
		if got := strings.Join(kinds, " "); got != "claimed order charge charge" {
			t.Errorf("history: %s", got)
		}
		if orphans := l.count(t, `SELECT count(*) FROM villapay_event WHERE payment IS NULL`); orphans != 2 {
			t.Errorf("%d events without a payment", orphans)
		}

		l.answer(t, "2", `{"transaction_state":"Settled","charge_id":"c3"}`) // of a Villa order alone
		if all := l.of(t, "2"); len(all) != 1 || all[0].State != order.Paid || all[0].ID != 0 || all[0].Key != "" || all[0].Scope != scope {
			t.Errorf("through another tool: %+v", all)
		}
	})
}

// An order that is recorded can be the first that an earlier notification fits:
// its charge leaves the order that it was taken to be on.
func TestAnOrderThatTakesAChargeFromAnother(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, at *place) {
		l := at.open(t)
		l.awaiting(t, "1")
		l.hear(t, report("c1", "o2", "Authorized"))
		if done := l.hear(t, report("c1", "o1", "Authorized")); done.Payment.State != order.Paid {
			t.Errorf("%+v", done)
		}
		if p := l.awaiting(t, "2"); p.State != order.Paid {
			t.Errorf("the first notification names it: %+v", p)
		}
		if p := l.of(t, "1")[0]; p.State != order.Awaiting || codes(p.Warnings) != "charge_order" {
			t.Errorf("one charge pays for two orders: %+v", p)
		}
	})
}

// Another payment of the Villa order was paid while this one was asked for: its
// code is not shown.
func TestPaidWhileAnotherIsAskedFor(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, at *place) {
		l := at.open(t)
		l.awaiting(t, "1")
		req := ask("1")
		req.Source = order.WeChat
		c := l.mustClaim(t, req, Claimed)
		l.hear(t, report("c1", "o1", "Authorized"))
		p := l.mustRecord(t, c, testOrder(t, "o2"))
		if p.State != order.Awaiting || codes(p.Warnings) != "paid_elsewhere" || p.Payable(p.KnownAt) == nil {
			t.Errorf("%+v", p)
		}
	})
}

func TestANotificationAndItsOrderAtTheSameMoment(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, at *place) {
		one, two := at.open(t), at.open(t)
		for i := range 30 {
			id := fmt.Sprint(i)
			c := one.mustClaim(t, ask(id), Claimed)
			name := "o" + id
			if i%2 == 1 {
				name = "ref" + id
			}
			var group sync.WaitGroup
			group.Go(func() { one.mustRecord(t, c, testOrder(t, "o"+id, `"reference_order":"ref`+id+`"`)) })
			group.Go(func() { two.hear(t, report("c"+id, name, "Authorized")) })
			group.Wait()
			if all := one.of(t, id); all[0].State != order.Paid {
				t.Fatalf("a payment was lost: %+v", all)
			}
		}
	})
}

// A bank order that two Villa orders got pays for the one recorded first.
func TestOneBankOrderForTwoVillaOrders(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, at *place) {
		l := at.open(t)
		l.mustRecord(t, l.mustClaim(t, ask("1"), Claimed), testOrder(t, "same"))
		second := l.mustRecord(t, l.mustClaim(t, ask("2"), Claimed), testOrder(t, "same"))
		if codes(second.Warnings) != "shared_order" || second.Payable(at.clock.now()) == nil {
			t.Errorf("the second: %+v", second)
		}
		if done := l.hear(t, report("c1", "same", "Authorized")); done.Payment.OrderID != "1" || done.Payment.State != order.Paid || !done.Changed {
			t.Errorf("its charge: %+v", done)
		}
		if all := slices.Concat(l.of(t, "1"), l.of(t, "2")); all[0].State != order.Paid || all[0].Warnings != nil || all[1].State != order.Awaiting || !all[1].Warned(order.WarnShared) {
			t.Errorf("%+v", all)
		}
		l.mustRecord(t, l.mustClaim(t, ask("3"), Claimed), testOrder(t, "three"))
		if p := l.another(t, "3", "three"); p.Warnings != nil {
			t.Errorf("the same order again for the same Villa order: %+v", p.Warnings)
		}
		if done := l.hear(t, report("c3", "three", "Authorized")); done.Payment.State != order.Paid || codes(done.Payment.Warnings) != "" {
			t.Errorf("one charge on it: %+v", done.Payment)
		}
	})
}
