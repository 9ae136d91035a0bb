package ledger

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
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
		if c.Number != 1 || c.Resumed || c.Payment.Key != req.Key || c.Payment.State != order.Sending || c.Payment.ID == 0 {
			t.Errorf("claimed %+v", c)
		}
		l.mustClaim(t, ask("1"), Busy) // claims of one handle exclude each other too
		made := l.mustRecord(t, c, testOrder(t, "o1"))
		again := l.mustClaim(t, ask("1"), Replay)
		if again.Payment.ID != made.ID || again.Payment.State != order.Awaiting || string(again.Payment.Order) != string(made.Order) {
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
		ledgers := make([]*Ledger, 16)
		for i := range ledgers {
			ledgers[i] = at.open(t)
		}
		ledgers[0].awaiting(t, "lapsed", lapsed)
		ledgers[0].awaiting(t, "replaced")
		for _, orderID := range []string{"first", "lapsed", "replaced"} {
			claims := make([]Claim, len(ledgers))
			var group sync.WaitGroup
			for i, l := range ledgers {
				group.Go(func() {
					req := ask(orderID)
					req.Asked, req.New = math.MaxInt64, orderID == "replaced"
					var err error
					if claims[i], err = l.Claim(context.Background(), req); err != nil {
						t.Error(err)
					}
				})
			}
			group.Wait()
			winner := -1
			for i, c := range claims {
				switch {
				case c.Verdict == Claimed && winner < 0:
					winner = i
				case c.Verdict != Busy || c.Holder != "tester@host pid 1":
					t.Fatalf("%s: verdict %d, held by %q", orderID, c.Verdict, c.Holder)
				}
			}
			if winner < 0 {
				t.Fatalf("%s: nobody claimed it", orderID)
			}
			made := ledgers[winner].mustRecord(t, claims[winner], testOrder(t, "new-"+orderID))
			for _, l := range ledgers {
				if c := l.mustClaim(t, ask(orderID), Replay); c.Payment.ID != made.ID {
					t.Errorf("replayed %+v", c.Payment)
				}
			}
		}
	})
}

// What becomes of a payment decides who gets its place, and whether the API is
// asked about it before.
func TestWhoHoldsTheSlot(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		fields []string // of the order
		states []string // of its charge, as they come
		want   Verdict
		state  order.State // of the payment in the verdict
	}{
		"open":                            {nil, nil, Replay, order.Awaiting},
		"no expiry":                       {[]string{`"expire_time_seconds":null`, expired}, nil, Replay, order.Awaiting},
		"expired, but may still be paid":  {[]string{expired}, nil, Replay, order.Expired},
		"lapsed for certain":              {[]string{lapsed}, nil, AskFirst, order.Expired},
		"declined":                        {nil, []string{"Declined"}, Replay, order.Awaiting},
		"declined, and lapsed":            {[]string{lapsed}, []string{"Declined"}, AskFirst, order.Expired},
		"failed at birth":                 {[]string{`"failure_code":"x"`}, nil, AskFirst, order.Failed},
		"failed at birth, then declined":  {[]string{`"failure_code":"x"`}, []string{"Declined"}, AskFirst, order.Failed},
		"paid":                            {nil, []string{"Settled"}, Replay, order.Paid},
		"paid after its life":             {[]string{lapsed}, []string{"Settled"}, Replay, order.Paid},
		"reversed":                        {nil, []string{"Reversed"}, Replay, order.Failed},
		"voided":                          {nil, []string{"Authorized", "Voided"}, Replay, order.Cancelled},
		"refunded":                        {nil, []string{"Settled", "Refund Sent"}, Replay, order.Refunded},
		"reversed, and its life is over":  {[]string{lapsed}, []string{"Authorized", "Reversed"}, Replay, order.Failed},
		"voided, and its life is over":    {[]string{lapsed}, []string{"Voided"}, Replay, order.Cancelled},
		"refunded, and its life is over":  {[]string{lapsed}, []string{"Settled", "Refunded"}, Replay, order.Refunded},
		"a refund that failed stays paid": {nil, []string{"Settled", "Refund Failed"}, Replay, order.Paid},
	}
	both(t, func(t *testing.T, at *place) {
		l := at.open(t)
		for name, test := range cases {
			id := strings.ReplaceAll(name, " ", "-")
			old := l.awaiting(t, id, test.fields...)
			for _, state := range test.states {
				l.hear(t, report("c-"+id, "o"+id, state))
			}
			if p := l.of(t, id)[0]; p.HoldsPlace(l.Now()) != (test.want == Replay) {
				t.Errorf("%s: the rule and the slot differ", name)
			}
			if c := l.mustClaim(t, ask(id), test.want); c.Payment.ID != old.ID || c.Payment.State != test.state {
				t.Errorf("%s: %s, %+v", name, c.Payment.State, c.Payment)
			}
			events := len(l.events(t, old.ID))
			req := ask(id)
			req.Asked = math.MaxInt64
			if test.want == Replay {
				l.mustClaim(t, req, Replay)
				if req.New = true; test.state == order.Paid {
					l.mustClaim(t, req, Replay)
				} else if c := l.mustClaim(t, req, Claimed); c.Replaced == nil || c.Replaced.ID != old.ID || c.Replaced.State != test.state {
					t.Errorf("%s, --new: %+v", name, c)
				}
				continue
			}
			if c := l.mustClaim(t, req, Claimed); c.Payment.ID == old.ID || c.Payment.Key != req.Key || c.Replaced != nil || c.Resumed {
				t.Errorf("%s, its place: %+v", name, c)
			}
			replacedBy := ""
			if test.state == order.Expired { // it is not drawn again, if the clock was wrong
				replacedBy = req.Key
			}
			if p := l.of(t, id)[1]; p.ReplacedBy != replacedBy || p.ID != old.ID {
				t.Errorf("%s, the old one: %+v", name, p)
			}
			if after := l.events(t, old.ID)[events:]; test.state == order.Expired && (len(after) != 1 || after[0].Kind != "lapsed") {
				t.Errorf("%s, its history: %+v", name, after)
			}
		}
	})
}

// A Villa order that is known to be paid is returned, whatever is asked.
func TestAPaidOrderIsReplayedFromAnySource(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, at *place) {
		l := at.open(t)
		paid := l.awaiting(t, "1")
		open := l.another(t, "1", "o2")
		l.hear(t, report("c1", "o1", "Authorized"))
		l.awaiting(t, "2")
		l.answer(t, "2", `{"order_id":"theirs","charge_id":"c2","transaction_state":"Settled","status":"success","amount":300,"currency":"THB"}`)
		l.answer(t, "3", `{"transaction_state":"Settled"}`)
		for orderID, want := range map[string]string{"1": paid.Key, "2": "", "3": ""} { // another tool's has no key
			for name, change := range map[string]func(*ClaimRequest){
				"as it is": func(*ClaimRequest) {},
				"wechat":   func(r *ClaimRequest) { r.Source = order.WeChat },
				"--new":    func(r *ClaimRequest) { r.New = true },
				"asked":    func(r *ClaimRequest) { r.New, r.Asked = true, math.MaxInt64 },
				"by key": func(r *ClaimRequest) {
					if r.KeyGiven = true; orderID == "1" {
						r.Key = open.Key
					}
				},
			} {
				req := ask(orderID)
				change(&req)
				c := l.mustClaim(t, req, Replay)
				if c.Payment.Key != want || c.Payment.State != order.Paid || c.Others != nil || c.Payment.OrderID != orderID {
					t.Errorf("%s, %s: %+v", orderID, name, c)
				}
			}
		}
		if all := l.of(t, "3"); len(all) != 1 {
			t.Errorf("something was made: %+v", all)
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

		if c := l.mustClaim(t, req, AskFirst); c.Payment.ID != first.ID || l.of(t, "1")[0].ReplacedBy != "" {
			t.Errorf("before it is replaced, it is asked about: %+v", c)
		}
		req.Asked = math.MaxInt64
		c := l.mustClaim(t, req, Claimed)
		if c.Payment.Key != req.Key || c.Replaced == nil || c.Replaced.ID != first.ID || c.Replaced.ReplacedBy != req.Key || c.Others != nil {
			t.Fatalf("replaced: %+v", c)
		}
		second := l.mustRecord(t, c, testOrder(t, "o2"))
		again := l.mustClaim(t, ask("1"), Replay)
		if again.Payment.ID != second.ID || len(again.Others) != 1 || again.Others[0].ID != first.ID {
			t.Errorf("after --new: %+v", again)
		}
		wechat := ask("1")
		wechat.Source = order.WeChat
		l.mustClaim(t, wechat, AskFirst) // about the replaced one
		done := l.hear(t, report("c1", "o1", "Settled"))
		if done.Payment.State != order.Paid || done.Payment.ReplacedBy != req.Key {
			t.Errorf("a replaced payment still counts: %+v", done.Payment)
		}
	})
}

// What is found out by asking decides.
func TestFoundPaidBeforeItIsReplaced(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, at *place) {
		l := at.open(t)
		for orderID, answer := range map[string]string{
			"here":      `{"order_id":"ohere","transaction_state":"Settled"}`,
			"elsewhere": `{"order_id":"theirs","transaction_state":"Settled"}`,
		} {
			l.awaiting(t, orderID, lapsed)
			req := ask(orderID)
			req.New = orderID == "here"
			l.mustClaim(t, req, AskFirst)
			l.answer(t, orderID, answer)
			req.Asked = math.MaxInt64
			if c := l.mustClaim(t, req, Replay); c.Payment.State != order.Paid || c.Payment.KnownFrom != order.FromAPI {
				t.Errorf("%s: %+v", orderID, c.Payment)
			}
		}
	})
}

func TestNewReplacesAnUnknownOutcomeAndADeadClaim(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, at *place) {
		l := at.open(t)
		l.fail(t, l.mustClaim(t, ask("1"), Claimed), order.Unknown)
		req := ask("1")
		req.New = true
		c := l.mustClaim(t, req, Claimed)
		if c.Replaced == nil || c.Replaced.State != order.Unknown || c.Resumed {
			t.Errorf("--new on unknown: %+v", c)
		}
		lapse(t, l, c)
		req = ask("1")
		req.New = true
		c = l.mustClaim(t, req, Claimed)
		if c.Replaced == nil || c.Replaced.State != order.Sending {
			t.Errorf("--new on a dead claim: %+v", c)
		}
		// The silent one answers after all. It is recorded, and never drawn.
		late, err := l.RecordOrder(t.Context(), Claim{Payment: *c.Replaced, Number: 1}, testOrder(t, "o1"), Answer{})
		if err != nil || late.ReplacedBy != req.Key || late.State != order.Awaiting {
			t.Errorf("%+v, %v", late, err)
		}
	})
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
		if p := l.fail(t, c, order.Rejected); p.State != order.Rejected || p.Error.Code != "boom" || p.Attempts != 2 {
			t.Errorf("%+v", p)
		}

		c = l.mustClaim(t, given("1", order.QR, false), Claimed) // rejected: sent again with it
		if c.Payment.Key != "mine" || c.Number != 2 || c.Resumed {
			t.Errorf("again: %+v", c)
		}
		l.fail(t, c, order.Unknown)
		c = l.mustClaim(t, given("1", order.QR, false), Claimed)
		if !c.Resumed || c.Number != 3 {
			t.Errorf("resumed: %+v", c)
		}
		made := l.mustRecord(t, c, testOrder(t, "o1", lapsed))
		if made.Attempts != 5 {
			t.Errorf("%d attempts over all runs", made.Attempts)
		}
		if c := l.mustClaim(t, given("1", order.QR, false), Replay); c.Payment.ID != made.ID || c.Payment.State != order.Expired {
			t.Errorf("its payment, though it has lapsed: %+v", c.Payment)
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
		l.fail(t, l.mustClaim(t, given, Claimed), order.Rejected)
		open := l.awaiting(t, "1") // nothing was made, so nothing is asked
		if c := l.mustClaim(t, given, Replay); c.Payment.ID != open.ID || open.Key == given.Key {
			t.Errorf("a rejected key beside an open payment: %+v", c.Payment)
		}

		unknown := ask("2")
		unknown.KeyGiven = true
		l.fail(t, l.mustClaim(t, unknown, Claimed), order.Unknown)
		fresh := ask("2")
		fresh.KeyGiven = true
		if c := l.mustClaim(t, fresh, Claimed); c.Payment.Key != unknown.Key || !c.Resumed {
			t.Errorf("an unknown outcome is asked again with its own key: %+v", c)
		}

		replaced := ask("3")
		replaced.KeyGiven = true
		l.fail(t, l.mustClaim(t, replaced, Claimed), order.Unknown)
		newer := l.another(t, "3", "o3")
		c := l.mustClaim(t, replaced, Claimed)
		if c.Payment.Key != replaced.Key || c.Payment.ReplacedBy != newer.Key || len(c.Others) != 1 {
			t.Errorf("a replaced payment is resumed, not drawn: %+v", c)
		}
		l.mustClaim(t, replaced, Busy)

		again := ask("4")
		again.KeyGiven = true
		l.fail(t, l.mustClaim(t, again, Claimed), order.Rejected)
		l.awaiting(t, "4", lapsed)
		l.mustClaim(t, again, AskFirst) // it would be another order
	})
}

func TestOneKeyForTwoOrdersAtTheSameMoment(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, at *place) {
		one, two := at.open(t), at.open(t)
		for n := range 20 {
			var group sync.WaitGroup
			var errs [2]error
			for i, l := range []*Ledger{one, two} {
				group.Go(func() {
					_, errs[i] = l.Claim(context.Background(), ClaimRequest{Scope: scope, OrderID: fmt.Sprint(n, "-", i), Source: order.QR, Key: fmt.Sprint("k", n), KeyGiven: true})
				})
			}
			group.Wait()
			var used *KeyUsedError
			if err := errors.Join(errs[0], errs[1]); (errs[0] == nil) == (errs[1] == nil) || !errors.As(err, &used) {
				t.Fatal(errs)
			}
		}
	})
}

// TestTheDatabaseItselfKeepsTheSlot goes behind the code's back.
func TestTheDatabaseItselfKeepsTheSlot(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, at *place) {
		l := at.open(t)
		l.mustClaim(t, ask("1"), Claimed)
		for _, test := range []struct {
			key, orderID string
			taken        bool
		}{{"one more", "1", true}, {"a key", "2", false}, {"a key", "3", true}} {
			err := l.store.write(t.Context(), opening{why: claimTx}, func(x *txn) error {
				c := &claiming{l: l, t: x}
				return c.insert(&row{Payment: order.Payment{Scope: scope, OrderID: test.orderID, Source: order.QR, Key: test.key, State: order.Sending}}, event{})
			})
			if taken := err != nil && strings.Contains(strings.ToLower(err.Error()), "unique"); taken != test.taken {
				t.Errorf("%+v: %v", test, err)
			}
		}
	})
}
