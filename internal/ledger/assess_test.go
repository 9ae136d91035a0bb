package ledger

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/villapay/villapay/internal/order"
)

func TestPaidTwiceOverTwoPayments(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, at *place) {
		one := at.open(t)
		threeOpen(t, one, "1")
		apply(t, one, charge("c1", "o1", "Authorized"))
		apply(t, one, charge("c2", "o1b", "Settled"))
		all, err := one.Payments(t.Context(), scope, "1")
		if err != nil {
			t.Fatal(err)
		}
		if all[2].State != Paid || all[1].State != Paid || all[0].State != Awaiting ||
			codes(all[2].Warnings) != "paid_twice" || codes(all[1].Warnings) != "paid_twice" || all[0].Warnings != nil {
			t.Errorf("%+v", all)
		}
		for _, p := range all[1:] {
			events := eventsOf(t, one, p.ID)
			if last := events[len(events)-1]; last.Kind != "warning" || !strings.Contains(last.Note, "c1, c2") {
				t.Errorf("%+v", events)
			}
		}
		apply(t, one, charge("c2", "o1b", "Refund Sent"))
		if all, err = one.Payments(t.Context(), scope, "1"); err != nil || all[1].State != Refunded || all[2].Warnings != nil || all[1].Warnings != nil {
			t.Errorf("one of the two was refunded: %+v, %v", all, err)
		}
	})
}

// threeOpen makes payments of an order with the bank orders o…, replaced, o…b and
// o…c, of another source.
func threeOpen(t *testing.T, l *Ledger, orderID string) {
	t.Helper()
	awaiting(t, l, orderID)
	req := ask(orderID)
	req.New = true
	l.mustRecord(t, l.mustClaim(t, req, Claimed), testOrder(t, "o"+orderID+"b"))
	req = ask(orderID)
	req.Source = order.WeChat
	l.mustRecord(t, l.mustClaim(t, req, Claimed), testOrder(t, "o"+orderID+"c"))
}

func TestPaidTwiceAtTheSameMoment(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, at *place) {
		one, two := at.open(t), at.open(t)
		for n := range 20 {
			id := fmt.Sprint(n)
			threeOpen(t, one, id)
			var group sync.WaitGroup
			group.Go(func() { apply(t, one, charge("c"+id, "o"+id, "Authorized")) })
			group.Go(func() { apply(t, two, charge("d"+id, "o"+id+"b", "Authorized")) })
			group.Wait()
			all, err := one.Payments(t.Context(), scope, id)
			if err != nil || codes(all[2].Warnings) != "paid_twice" || codes(all[1].Warnings) != "paid_twice" {
				t.Fatalf("%+v, %v", all, err)
			}
		}
	})
}

func TestPaidAfterTheEnd(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, at *place) {
		l := at.open(t)
		for name, order := range map[string]*order.Order{
			"expired": testOrder(t, "oexpired", `"created":"20200101000000000"`),
			"failed":  testOrder(t, "ofailed", `"failure_code":"x"`),
		} {
			l.mustRecord(t, l.mustClaim(t, ask(name), Claimed), order)
			if done := apply(t, l, charge("c"+name, order.ID, "Authorized")); done.Payment.State != Paid || !done.Changed {
				t.Errorf("%s: %+v", name, done)
			}
		}
		p := awaiting(t, l, "9")
		apply(t, l, charge("v", "o9", "Voided"))
		if done := apply(t, l, charge("w", "o9", "Authorized")); done.Payment.State != Paid {
			t.Errorf("cancelled, then paid by another charge: %+v", done)
		}
		if c := l.mustClaim(t, ask("9"), Replay); c.Payment.ID != p.ID {
			t.Errorf("%+v", c)
		}
	})
}

// An order that the bank refused is that again when a guess gives way.
func TestAGuessGivesWayOnAFailedOrder(t *testing.T) {
	t.Parallel()
	at := sqlitePlace(t)
	l := at.open(t)
	l.mustRecord(t, l.mustClaim(t, ask("1"), Claimed), testOrder(t, "ofailed", `"failure_code":"x"`))
	awaiting(t, l, "1")
	guess := charge("", "ofailed", "Authorized")
	guess.Guessed = true
	if done := apply(t, l, guess); done.Payment.State != Paid {
		t.Errorf("%+v", done)
	}
	apply(t, l, charge("c1", "o1", "Authorized"))
	all, err := l.Payments(t.Context(), scope, "1")
	if err != nil || all[0].State != Paid || all[1].State != Failed || all[1].Error == nil || all[1].Error.Code != "x" {
		t.Errorf("%+v, %v", all, err)
	}
}

func TestEndsThatFreeTheSlot(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, at *place) {
		l := at.open(t)
		for _, state := range []string{"Voided", "Reversed", "Refund Sent"} {
			p := awaiting(t, l, state)
			apply(t, l, charge("c"+state, "o"+state, state))
			if c := l.mustClaim(t, ask(state), Claimed); c.Payment.ID == p.ID {
				t.Errorf("%s: %+v", state, c)
			}
		}
	})
}

func TestOneBankOrderForTwoVillaOrders(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, at *place) {
		l := at.open(t)
		l.mustRecord(t, l.mustClaim(t, ask("1"), Claimed), testOrder(t, "same"))
		p := l.mustRecord(t, l.mustClaim(t, ask("2"), Claimed), testOrder(t, "same"))
		if codes(p.Warnings) != "shared_order" {
			t.Errorf("the second: %+v", p.Warnings)
		}
		all, err := l.Payments(t.Context(), scope, "1")
		if err != nil || codes(all[0].Warnings) != "shared_order" {
			t.Errorf("the first: %+v, %v", all, err)
		}
		newer := ask("3")
		l.mustRecord(t, l.mustClaim(t, newer, Claimed), testOrder(t, "three"))
		newer = ask("3")
		newer.New = true
		if p := l.mustRecord(t, l.mustClaim(t, newer, Claimed), testOrder(t, "three")); p.Warnings != nil {
			t.Errorf("the same order again for the same Villa order: %+v", p.Warnings)
		}
		if done := apply(t, l, charge("c3", "three", "Authorized")); done.Payment.State != Paid || done.Payment.Warnings != nil {
			t.Errorf("one charge on it: %+v", done.Payment)
		}
	})
}

func TestAskingAgainRefreshesWhatIsKnown(t *testing.T) {
	t.Parallel()
	at := sqlitePlace(t)
	l := at.open(t)
	p := awaiting(t, l, "1")
	wechat := ask("1")
	wechat.Source = order.WeChat
	other := l.mustRecord(t, l.mustClaim(t, wechat, Claimed), testOrder(t, "other"))
	polled := charge("c1", "o1", "Initialize")
	polled.From, polled.RequestID = FromAPI, "q1"
	apply(t, l, polled)
	at.clock.add(leaseFor)
	polled.RequestID = "q2"
	done := apply(t, l, polled)
	if !done.Repeat || done.Payment.RequestID != "q2" || !done.Payment.KnownAt.Equal(p.KnownAt.Add(leaseFor)) || len(eventsOf(t, l, p.ID)) != 3 {
		t.Errorf("%+v, known at %s", done, done.Payment.KnownAt)
	}
	all, err := l.Payments(t.Context(), scope, "1")
	if err != nil || all[0].ID != other.ID || !all[0].KnownAt.Equal(other.KnownAt) {
		t.Errorf("it was not asked about: %+v, %v", all, err)
	}
}
