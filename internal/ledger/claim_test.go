package ledger

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/villapay/villapay/internal/order"
)

func TestClaimThenReplay(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, at *place) {
		l := at.open(t)
		req := ask("1")
		c := l.mustClaim(t, req, Claimed)
		if c.Number != 1 || c.Resumed || c.Payment.Key != req.Key || c.Payment.State != Sending || c.Payment.ID == 0 {
			t.Errorf("claimed %+v", c)
		}
		made := l.mustRecord(t, c, testOrder(t, "o1"))
		again := l.mustClaim(t, ask("1"), Replay)
		if again.Payment.ID != made.ID || again.Payment.State != Awaiting || string(again.Payment.Order) != string(made.Order) {
			t.Errorf("replayed %+v, made %+v", again.Payment, made)
		}
		other := ask("1")
		other.Source = order.WeChat
		c = l.mustClaim(t, other, Claimed)
		if len(c.Others) != 1 || c.Others[0].ID != made.ID {
			t.Errorf("another source is claimed beside %+v", c.Others)
		}
		l.mustClaim(t, ask("2"), Claimed)
		elsewhere := ask("1")
		elsewhere.Scope = "https://other.example"
		l.mustClaim(t, elsewhere, Claimed)
	})
}

func TestOneOfManyProcessesClaims(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, at *place) {
		const processes = 20
		verdicts := make([]Claim, processes)
		ledgers := make([]*Ledger, processes)
		for i := range ledgers {
			ledgers[i] = at.open(t)
		}
		var group sync.WaitGroup
		for i := range ledgers {
			group.Go(func() {
				c, err := ledgers[i].Claim(context.Background(), ask("1"))
				if err != nil {
					t.Error(err)
				}
				verdicts[i] = c
			})
		}
		group.Wait()
		var winner Claim
		claimed, busy := 0, 0
		for i, c := range verdicts {
			switch c.Verdict {
			case Claimed:
				claimed++
				winner = c
				ledgers[0], ledgers[i] = ledgers[i], ledgers[0]
			case Busy:
				busy++
				if c.Holder != "tester@host pid 1" {
					t.Errorf("busy with %q", c.Holder)
				}
			case Replay:
				t.Error("replayed what has no answer")
			}
		}
		if claimed != 1 || busy != processes-1 {
			t.Fatalf("%d claimed, %d found it busy", claimed, busy)
		}
		made := ledgers[0].mustRecord(t, winner, testOrder(t, "o1"))
		for _, l := range ledgers {
			if c := l.mustClaim(t, ask("1"), Replay); c.Payment.ID != made.ID {
				t.Errorf("replayed %+v", c.Payment)
			}
		}
	})
}

func TestClaimsOfOneLedgerExcludeEachOther(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, at *place) {
		l := at.open(t)
		l.mustClaim(t, ask("1"), Claimed)
		l.mustClaim(t, ask("1"), Busy)
	})
}

func TestExpiredFreesTheSlotAndAnEndlessOrderDoesNot(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, at *place) {
		l := at.open(t)
		old := l.mustRecord(t, l.mustClaim(t, ask("1"), Claimed), testOrder(t, "o1", `"created":"20200101000000000"`))
		if old.State != Expired {
			t.Fatalf("made hours ago, it is %s", old.State)
		}
		c := l.mustClaim(t, ask("1"), Claimed)
		if c.Payment.ID == old.ID || c.Replaced != nil || c.Resumed {
			t.Errorf("after expiry: %+v", c)
		}
		endless := l.mustRecord(t, c, testOrder(t, "o2", `"created":"20200101000000000"`, `"expire_time_seconds":null`))
		if endless.State != Awaiting || !endless.ExpiresAt.IsZero() {
			t.Errorf("without an expiry: %+v", endless)
		}
		l.mustClaim(t, ask("1"), Replay)
		all, err := l.Payments(t.Context(), scope, "1")
		if err != nil || len(all) != 2 || all[0].ID != endless.ID || all[1].State != Expired || all[1].ReplacedBy != "" {
			t.Errorf("%+v, %v", all, err)
		}
	})
}

func TestAPaidOrderIsReplayedFromAnySource(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, at *place) {
		l := at.open(t)
		paid := l.mustRecord(t, l.mustClaim(t, ask("1"), Claimed), testOrder(t, "o1", `"created":"20200101000000000"`))
		open := l.mustRecord(t, l.mustClaim(t, ask("1"), Claimed), testOrder(t, "o2"))
		apply(t, l, charge("c1", "o1", "Authorized"))
		for _, source := range []order.Source{order.QR, order.WeChat} {
			req := ask("1")
			req.Source = source
			if c := l.mustClaim(t, req, Replay); c.Payment.ID != paid.ID || c.Payment.State != Paid || c.Others != nil {
				t.Errorf("%s: %+v", source, c)
			}
		}
		byKey := ask("1")
		byKey.Key, byKey.KeyGiven = open.Key, true
		if c := l.mustClaim(t, byKey, Replay); c.Payment.ID != paid.ID {
			t.Error("the key of an open payment shows its code, though the order is paid")
		}
		req := ask("1")
		req.New = true
		c := l.mustClaim(t, req, Claimed)
		if c.Replaced == nil || c.Replaced.ID != open.ID {
			t.Errorf("--new on a paid order: %+v", c)
		}
	})
}

func TestNewReplaces(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, at *place) {
		l := at.open(t)
		held := l.mustClaim(t, ask("1"), Claimed)
		req := ask("1")
		req.New = true
		l.mustClaim(t, req, Busy) // it waits out a live one
		first := l.mustRecord(t, held, testOrder(t, "o1"))

		c := l.mustClaim(t, req, Claimed)
		if c.Payment.Key != req.Key || c.Replaced == nil || c.Replaced.ID != first.ID || c.Replaced.ReplacedBy != req.Key || c.Others != nil {
			t.Fatalf("replaced: %+v", c)
		}
		second := l.mustRecord(t, c, testOrder(t, "o2"))
		again := l.mustClaim(t, ask("1"), Replay)
		if again.Payment.ID != second.ID || len(again.Others) != 1 || again.Others[0].ID != first.ID {
			t.Errorf("after --new: %+v", again)
		}
		done := apply(t, l, charge("c1", "o1", "Settled"))
		if done.Payment.State != Paid || done.Payment.ReplacedBy != req.Key {
			t.Errorf("a replaced payment still counts: %+v", done.Payment)
		}
	})
}

func TestNewReplacesAnUnknownOutcomeAndADeadClaim(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, at *place) {
		l := at.open(t)
		c := l.mustClaim(t, ask("1"), Claimed)
		fail(t, l, c, Unknown)
		req := ask("1")
		req.New = true
		c = l.mustClaim(t, req, Claimed)
		if c.Replaced == nil || c.Replaced.State != Unknown || c.Resumed {
			t.Errorf("--new on unknown: %+v", c)
		}
		lapse(t, l, c)
		req = ask("1")
		req.New = true
		c = l.mustClaim(t, req, Claimed)
		if c.Replaced == nil || c.Replaced.State != Sending {
			t.Errorf("--new on a dead claim: %+v", c)
		}
		// The silent one speaks after all. It is recorded, and never drawn.
		late, err := l.RecordOrder(t.Context(), Claim{Payment: *c.Replaced, Number: 1}, testOrder(t, "o1"), RecordedAnswer{})
		if err != nil || late.ReplacedBy != req.Key || late.State != Awaiting {
			t.Errorf("%+v, %v", late, err)
		}
	})
}

// fail records that a claim got no order.
func fail(t *testing.T, l *Ledger, c Claim, state State) Payment {
	t.Helper()
	p, err := l.RecordFailure(t.Context(), c, state, Failure{Code: "boom", Message: "it broke", Status: 502, RequestID: "r9", Retryable: true}, 2)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestIdempotencyKeyGiven(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, at *place) {
		l := at.open(t)
		given := func(orderID string, source order.Source, isNew bool) ClaimRequest {
			return ClaimRequest{Scope: scope, OrderID: orderID, Source: source, Key: "mine", KeyGiven: true, New: isNew}
		}
		c := l.mustClaim(t, given("1", order.QR, false), Claimed)
		l.mustClaim(t, given("1", order.QR, false), Busy)
		if p := fail(t, l, c, Rejected); p.State != Rejected || p.Error.Code != "boom" || p.Attempts != 2 {
			t.Errorf("%+v", p)
		}

		c = l.mustClaim(t, given("1", order.QR, false), Claimed) // rejected: sent again with it
		if c.Payment.Key != "mine" || c.Number != 2 || c.Resumed {
			t.Errorf("again: %+v", c)
		}
		fail(t, l, c, Unknown)
		c = l.mustClaim(t, given("1", order.QR, false), Claimed)
		if !c.Resumed || c.Number != 3 {
			t.Errorf("resumed: %+v", c)
		}
		made := l.mustRecord(t, c, testOrder(t, "o1", `"created":"20200101000000000"`))
		if made.Attempts != 5 {
			t.Errorf("%d attempts over all runs", made.Attempts)
		}
		if c := l.mustClaim(t, given("1", order.QR, false), Replay); c.Payment.ID != made.ID || c.Payment.State != Expired {
			t.Errorf("its payment, though expired: %+v", c.Payment)
		}
		for name, req := range map[string]ClaimRequest{
			"another order":  given("2", order.QR, false),
			"another source": given("1", order.WeChat, false),
			"with --new":     given("1", order.QR, true),
		} {
			_, err := l.Claim(t.Context(), req)
			var used *KeyUsedError
			if !errors.As(err, &used) || used.OrderID != "1" || used.New != req.New {
				t.Errorf("%s: %v", name, err)
			}
		}
		elsewhere := given("2", order.QR, false)
		elsewhere.Scope = "https://other.example"
		l.mustClaim(t, elsewhere, Claimed)
	})
}

func TestAGivenKeyNeverOpensASecondPayment(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, at *place) {
		l := at.open(t)
		given := ask("1")
		given.KeyGiven = true
		fail(t, l, l.mustClaim(t, given, Claimed), Rejected)
		open := l.mustRecord(t, l.mustClaim(t, ask("1"), Claimed), testOrder(t, "o1"))
		if c := l.mustClaim(t, given, Replay); c.Payment.ID != open.ID {
			t.Errorf("a rejected key beside an open payment: %+v", c.Payment)
		}

		unknown := ask("2")
		unknown.KeyGiven = true
		fail(t, l, l.mustClaim(t, unknown, Claimed), Unknown)
		fresh := ask("2")
		fresh.KeyGiven = true
		if c := l.mustClaim(t, fresh, Claimed); c.Payment.Key != unknown.Key || !c.Resumed {
			t.Errorf("an unknown outcome is asked again with its own key: %+v", c)
		}

		replaced := ask("3")
		replaced.KeyGiven = true
		fail(t, l, l.mustClaim(t, replaced, Claimed), Unknown)
		newer := ask("3")
		newer.New = true
		l.mustRecord(t, l.mustClaim(t, newer, Claimed), testOrder(t, "o3"))
		c := l.mustClaim(t, replaced, Claimed)
		if c.Payment.Key != replaced.Key || c.Payment.ReplacedBy != newer.Key || len(c.Others) != 1 {
			t.Errorf("a replaced payment is resumed, not drawn: %+v", c)
		}
		l.mustClaim(t, replaced, Busy)
	})
}

func TestUnknownIsTakenOverWithItsKey(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, at *place) {
		l := at.open(t)
		first := l.mustClaim(t, ask("1"), Claimed)
		fail(t, l, first, Unknown)
		second := l.mustClaim(t, ask("1"), Claimed)
		if second.Payment.Key != first.Payment.Key || !second.Resumed || second.Payment.Error != nil {
			t.Errorf("%+v", second)
		}
	})
}

func TestFailureFreesTheSlot(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, at *place) {
		l := at.open(t)
		first := l.mustClaim(t, ask("1"), Claimed)
		fail(t, l, first, Rejected)
		second := l.mustClaim(t, ask("1"), Claimed)
		if second.Payment.Key == first.Payment.Key || second.Resumed {
			t.Errorf("after rejected: %+v", second)
		}
		failed := l.mustRecord(t, second, testOrder(t, "o2", `"failure_code":"invalid_amount"`, `"failure_message":"Too much."`))
		if failed.State != Failed || failed.Error == nil || failed.Error.Code != "invalid_amount" || failed.Error.Message != "Too much." || failed.Error.RequestID != "req-o2" {
			t.Errorf("%+v %+v", failed, failed.Error)
		}
		third := l.mustClaim(t, ask("1"), Claimed)
		if third.Payment.Key == second.Payment.Key {
			t.Errorf("after failed: %+v", third)
		}
	})
}
