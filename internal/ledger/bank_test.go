package ledger_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib"

	"github.com/villapay/villapay/internal/ledger"
	"github.com/villapay/villapay/internal/order"
	"github.com/villapay/villapay/internal/secret"
	"github.com/villapay/villapay/internal/testpg"
)

const scope = "https://shop.example/api"

// shop is a ledger that several processes share, and their clock.
type shop struct {
	dsn  string
	dir  string
	skew atomic.Int64 // how far the clock was put forward
	keys atomic.Int64
}

func (s *shop) now() time.Time { return time.Now().Add(time.Duration(s.skew.Load())) }

// forward puts the clock forward.
func (s *shop) forward(d time.Duration) { s.skew.Add(int64(d)) }

// inBoth runs a test with SQLite and, if there is a server, with PostgreSQL, whose
// clock cannot be put forward.
func inBoth(t *testing.T, test func(t *testing.T, s *shop)) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		test(t, &shop{dsn: "sqlite", dir: t.TempDir()})
	})
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		test(t, &shop{dsn: testpg.Schema(t), dir: t.TempDir()})
	})
}

// till is one process's ledger.
type till struct {
	*ledger.Ledger
	*testing.T
	shop *shop
}

func (s *shop) till(t *testing.T) *till {
	t.Helper()
	opened, err := ledger.Open(t.Context(), secret.New(s.dsn), s.dir, "tester@host pid 1", s.now)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = opened.Close() })
	return &till{opened, t, s}
}

func (l *till) must(err error) {
	l.Helper()
	if err != nil {
		l.Fatal(err)
	}
}

// claim is what may be done for an order.
func (l *till) claim(req ledger.ClaimRequest, want ledger.Verdict) ledger.Claim {
	l.Helper()
	req.Scope, req.Env, req.Source, req.Key = scope, "dev", order.QR, fmt.Sprintf("key-%d", l.shop.keys.Add(1))
	claim, err := l.Claim(context.Background(), req)
	l.must(err)
	if claim.Verdict != want {
		l.Fatalf("verdict %d, want %d: %+v", claim.Verdict, want, claim.Payment)
	}
	return claim
}

// open makes an open payment of an order.
func (l *till) open(req ledger.ClaimRequest, bankOrder string, expiry int) order.Payment {
	l.Helper()
	claim := l.claim(req, ledger.Claimed)
	made, err := order.Decode(fmt.Appendf(nil, `{"id":%q,"object":"order","amount":300.0,"currency":"THB","status":"success","reference_order":"ref-%s","livemode":false,"expire_time_seconds":%d}`, bankOrder, bankOrder, expiry))
	l.must(err)
	p, err := l.RecordOrder(context.Background(), claim, made, ledger.Answer{Attempts: 1})
	l.must(err)
	return p
}

// code records a code, and reports whether it is the one to draw.
func (l *till) code(p order.Payment, id string, expiry time.Duration) (order.Payment, bool) {
	l.Helper()
	now, recorded, err := l.RecordCode(context.Background(), p, &order.BankCode{ID: id, Kind: order.ThaiQR, Text: "text of " + id, Expiry: expiry}, 0)
	l.must(err)
	return now, recorded
}

func (l *till) change(p order.Payment, kind ledger.ChangeKind, target string, want ledger.Verdict) ledger.Change {
	l.Helper()
	change, err := l.ClaimChange(context.Background(), ledger.ChangeRequest{Payment: p, Kind: kind, Target: target})
	l.must(err)
	if change.Verdict != want {
		l.Fatalf("%s %s: verdict %d, want %d", kind, target, change.Verdict, want)
	}
	return change
}

func (l *till) answer(change ledger.Change, out ledger.ChangeOutcome) order.Payment {
	l.Helper()
	p, err := l.RecordChange(context.Background(), change, out)
	l.must(err)
	return p
}

// report records a charge on a bank order.
func (l *till) report(r order.Report) {
	l.Helper()
	amount, err := order.ParseAmount("300.0")
	l.must(err)
	r.Amount, r.Currency, r.Status = amount, "THB", "success"
	_, err = l.RecordReport(context.Background(), scope, r)
	l.must(err)
}

func (l *till) payment(p order.Payment) order.Payment {
	l.Helper()
	all, err := l.Payments(context.Background(), scope, p.OrderID)
	l.must(err)
	for _, now := range all {
		if now.ID == p.ID {
			return now
		}
	}
	l.Fatal("it is not in the ledger")
	return p
}

// kinds are the kinds of a payment's events from an event on.
func (l *till) kinds(p order.Payment, from string) (kinds []string) {
	l.Helper()
	events, err := l.Events(context.Background(), p.ID)
	l.must(err)
	for _, e := range events {
		kinds = append(kinds, e.Kind)
	}
	return kinds[max(0, slices.Index(kinds, from)):]
}

var order4925 = ledger.ClaimRequest{OrderID: "4925"}

// Of two codes one is recorded, and the same one whoever asks.
func TestOneCodeIsRecorded(t *testing.T) {
	t.Parallel()
	inBoth(t, func(t *testing.T, s *shop) {
		one, two := s.till(t), s.till(t)
		p := one.open(order4925, "order_test_1", 3600)
		var recorded atomic.Int32
		var group sync.WaitGroup
		for i := range 8 {
			group.Go(func() {
				l := []*till{one, two}[i%2]
				if _, won := l.code(p, fmt.Sprintf("qr_%d", i), time.Minute); won {
					recorded.Add(1)
				}
			})
		}
		group.Wait()
		now := two.payment(p)
		if recorded.Load() != 1 || now.Held == nil || now.Held.Text != "text of "+now.Held.ID {
			t.Errorf("%d codes are recorded: %+v", recorded.Load(), now.Held)
		}
		// The recorded code once more: the bank gave it twice, or a commit went
		// unconfirmed. It must not be taken for a loser, which would be canceled.
		again, won := two.code(p, now.Held.ID, time.Hour)
		if !won || *again.Held != *now.Held {
			t.Errorf("the same code again: %t, %+v", won, again.Held)
		}
		if kinds := one.kinds(p, "order"); len(kinds) != 9 || kinds[0] != "order" {
			t.Errorf("events %v", kinds)
		}
	})
}

// A code is recorded only for a payment that may be shown, and beside nothing that
// may still be paid.
func TestCodesThatAreNotRecorded(t *testing.T) {
	t.Parallel()
	inBoth(t, func(t *testing.T, s *shop) {
		l := s.till(t)
		for i, spoil := range []func(p order.Payment){
			func(order.Payment) {
				l.report(order.Report{ChargeID: "chrg_0", BankOrderID: "order_test_0", TransactionState: "Authorized", From: order.FromBank})
			},
			func(p order.Payment) {
				l.claim(ledger.ClaimRequest{OrderID: p.OrderID, New: true, Asked: math.MaxInt64}, ledger.Claimed)
			},
			func(p order.Payment) { l.code(p, "qr_other", time.Minute) },
			func(p order.Payment) {
				if _, recorded, err := l.RecordPage(t.Context(), p); err != nil || !recorded {
					t.Errorf("the page: %t %v", recorded, err)
				}
			},
			func(p order.Payment) {
				l.code(p, "qr_other", time.Minute)
				l.answer(l.change(p, ledger.Cancel, "qr_other", ledger.Claimed), ledger.ChangeOutcome{Done: true})
				if _, err := l.CancelPayment(t.Context(), p); err != nil {
					t.Error(err)
				}
			},
		} {
			p := l.open(ledger.ClaimRequest{OrderID: fmt.Sprint("40", i)}, fmt.Sprint("order_test_", i), 3600)
			spoil(p)
			before := l.payment(p)
			now, recorded := l.code(p, "qr_late", time.Minute)
			if recorded || now.Held != nil && now.Held.ID == "qr_late" || now.State != before.State {
				t.Errorf("case %d: %t %+v", i, recorded, now.Held)
			}
			if kinds := l.kinds(p, "late code"); kinds[0] != "late code" {
				t.Errorf("case %d: events %v", i, kinds)
			}
		}
	})
}

// A page can be served beside a page and after a canceled code, and not beside a
// code that may be paid.
func TestPages(t *testing.T) {
	t.Parallel()
	inBoth(t, func(t *testing.T, s *shop) {
		l := s.till(t)
		serve := func(p order.Payment, want bool) {
			t.Helper()
			now, recorded, err := l.RecordPage(t.Context(), p)
			if err != nil || recorded != want || want && (now.Held.Kind != order.Page || !now.Held.HeldUntil.Equal(p.HeldUntil)) {
				t.Errorf("served: %t, %v, %+v", recorded, err, now.Held)
			}
		}
		p := l.open(order4925, "order_test_1", 3600)
		l.code(p, "qr_1", time.Minute)
		serve(p, false)
		l.answer(l.change(p, ledger.Cancel, "qr_1", ledger.Claimed), ledger.ChangeOutcome{Done: true})
		serve(p, true)
		serve(p, true)
		if now, err := l.CancelPayment(t.Context(), p); err != nil || now.State != order.Awaiting {
			t.Errorf("a payment with a page is canceled: %s %v", now.State, err)
		}
	})
}

// The slot is held until the last holding bound, the code's if that is later.
func TestACodeHoldsItsSlot(t *testing.T) {
	t.Parallel()
	s := &shop{dsn: "sqlite", dir: t.TempDir()}
	l := s.till(t)
	p := l.open(order4925, "order_test_1", 600)
	l.code(p, "qr_1", time.Hour)
	s.forward(30 * time.Minute)
	if claim := l.claim(order4925, ledger.Replay); claim.Payment.State != order.Expired {
		t.Errorf("state %s", claim.Payment.State)
	}
	s.forward(31 * time.Minute)
	l.claim(order4925, ledger.AskFirst)
	l.claim(ledger.ClaimRequest{OrderID: "4925", Asked: math.MaxInt64}, ledger.Claimed)
}

// One process at a time asks for a change, and a change that is done is never asked
// for again.
func TestChangesAreClaimed(t *testing.T) {
	t.Parallel()
	inBoth(t, func(t *testing.T, s *shop) {
		one, two := s.till(t), s.till(t)
		p := one.open(order4925, "order_test_1", 3600)
		one.code(p, "qr_1", time.Minute)
		living := func(want bool) {
			t.Helper()
			if p := two.payment(p); (p.LivingCode(s.now()) != nil) != want || !p.HoldsCode(s.now()) {
				t.Errorf("drawn: %t, want %t", !want, want)
			}
		}
		for _, kind := range []ledger.ChangeKind{ledger.Cancel, ledger.Void} {
			target := map[ledger.ChangeKind]string{ledger.Cancel: "qr_1", ledger.Void: "chrg_1"}[kind]
			change := one.change(p, kind, target, ledger.Claimed)
			two.change(p, kind, target, ledger.Busy)
			one.change(p, kind, target, ledger.Busy)
			one.must(one.RenewChange(t.Context(), change))
			if kind == ledger.Cancel { // nobody is shown a code that is being canceled, also if it comes again
				living(false)
				if _, recorded := one.code(p, "qr_1", time.Minute); recorded {
					t.Error("a code that is being canceled is recorded")
				}
				living(false)
			}
			// Rejected: it may be asked for again.
			one.answer(change, ledger.ChangeOutcome{Note: "no"})
			if kind == ledger.Cancel {
				living(true)
			}
			second := two.change(p, kind, target, ledger.Claimed)
			if change.Resumed || second.Resumed {
				t.Error("a rejected change counts as having no answer")
			}
			// Unanswered: it has to be finished.
			two.answer(second, ledger.ChangeOutcome{Unanswered: true, Note: "lost"})
			if kind == ledger.Cancel {
				living(false)
			}
			third := one.change(p, kind, target, ledger.Claimed)
			if !third.Resumed {
				t.Error("it is not known that it has no answer")
			}
			if err := two.RenewChange(t.Context(), second); !errors.Is(err, ledger.ErrClaimLost) {
				t.Errorf("an old claim is renewed: %v", err)
			}
			// What an old claim says late: a no changes nothing, a yes is a fact.
			two.answer(second, ledger.ChangeOutcome{Note: "no"})
			two.change(p, kind, target, ledger.Busy)
			two.answer(second, ledger.ChangeOutcome{Unanswered: true})
			two.change(p, kind, target, ledger.Busy)
			two.answer(second, ledger.ChangeOutcome{Done: true})
			one.change(p, kind, target, ledger.Replay)
			one.answer(third, ledger.ChangeOutcome{Note: "already done"})
			two.change(p, kind, target, ledger.Replay)
			one.answer(third, ledger.ChangeOutcome{Done: true})
		}
		if now := one.payment(p); !now.Held.Canceled || now.State != order.Awaiting {
			t.Errorf("then: %+v", now)
		}
		if kinds := one.kinds(p, "cancel"); !slices.Equal(kinds, []string{"cancel", "late code", "cancel", "cancel", "cancel", "cancel", "cancel", "void", "void", "void", "void", "void", "void"}) {
			t.Errorf("events %v", kinds)
		}
	})
}

// A process that died leaves a change that the next one finishes.
func TestAChangeOfADeadProcess(t *testing.T) {
	t.Parallel()
	s := &shop{dsn: "sqlite", dir: t.TempDir()}
	one, two := s.till(t), s.till(t)
	p := one.open(order4925, "order_test_1", 3600)
	one.change(p, ledger.Void, "chrg_1", ledger.Claimed)
	s.forward(5 * time.Second)
	if busy := two.change(p, ledger.Void, "chrg_1", ledger.Busy); busy.Holder != "tester@host pid 1" {
		t.Errorf("holder %q", busy.Holder)
	}
	s.forward(6 * time.Second)
	if change := two.change(p, ledger.Void, "chrg_1", ledger.Claimed); !change.Resumed {
		t.Error("it is not known that it has no answer")
	}
}

// Of an order's charges one is voided at a time, also by two people at once, and
// whatever payment a charge belongs to.
func TestVoidsOneAtATime(t *testing.T) {
	t.Parallel()
	inBoth(t, func(t *testing.T, s *shop) {
		one, two := s.till(t), s.till(t)
		p := one.open(order4925, "order_test_1", 3600)
		newer := one.open(ledger.ClaimRequest{OrderID: "4925", New: true, Asked: math.MaxInt64}, "order_test_2", 3600)
		first := one.change(p, ledger.Void, "chrg_1", ledger.Claimed)
		if other := two.change(newer, ledger.Void, "chrg_2", ledger.AskFirst); other.Other != "chrg_1" {
			t.Errorf("after charge %q", other.Other)
		}
		two.change(newer, ledger.Void, "chrg_1", ledger.Busy) // the same charge, by another payment
		one.answer(first, ledger.ChangeOutcome{Unanswered: true})
		two.change(newer, ledger.Void, "chrg_2", ledger.AskFirst)
		voids, err := two.Voids(t.Context(), scope, "4925")
		if err != nil || !slices.Equal(voids, []ledger.PastVoid{{PaymentID: p.ID, ChargeID: "chrg_1"}}) {
			t.Errorf("voids %+v, %v", voids, err)
		}
		two.answer(two.change(newer, ledger.Void, "chrg_1", ledger.Claimed), ledger.ChangeOutcome{Done: true})
		two.answer(two.change(newer, ledger.Void, "chrg_2", ledger.Claimed), ledger.ChangeOutcome{Note: "no"})
		one.change(p, ledger.Void, "chrg_1", ledger.Replay)
		voids, err = one.Voids(t.Context(), scope, "4925")
		if err != nil || !slices.Equal(voids, []ledger.PastVoid{{PaymentID: p.ID, ChargeID: "chrg_1", Done: true}}) {
			t.Errorf("voids %+v, %v", voids, err)
		}
	})
}

// A payment is canceled only if the bank confirmed that of its code, and never if
// it is paid.
func TestCancelPayment(t *testing.T) {
	t.Parallel()
	inBoth(t, func(t *testing.T, s *shop) {
		l := s.till(t)
		paid := func(p order.Payment) {
			l.report(order.Report{ChargeID: "chrg_" + p.OrderID, BankOrderID: p.BankOrderID, TransactionState: "Authorized", From: order.FromBank})
		}
		cancel := func(p order.Payment, done bool) {
			l.answer(l.change(p, ledger.Cancel, "qr_"+p.OrderID, ledger.Claimed), ledger.ChangeOutcome{Done: done, Note: "no"})
		}
		for i, test := range []struct {
			name    string
			prepare func(p order.Payment)
			state   order.State
		}{
			{"no code", func(order.Payment) {}, order.Awaiting},
			{"a code that nobody canceled", func(p order.Payment) { l.code(p, "qr_"+p.OrderID, time.Minute) }, order.Awaiting},
			{"a code that has lapsed", func(p order.Payment) { l.code(p, "qr_"+p.OrderID, 1) }, order.Awaiting},
			{"a rejected cancellation", func(p order.Payment) {
				l.code(p, "qr_"+p.OrderID, time.Minute)
				cancel(p, false)
			}, order.Awaiting},
			{"another code since", func(p order.Payment) {
				l.code(p, "qr_"+p.OrderID, time.Minute)
				cancel(p, true)
				l.code(p, "qr_another", time.Minute)
			}, order.Awaiting},
			{"paid before", func(p order.Payment) {
				l.code(p, "qr_"+p.OrderID, time.Minute)
				cancel(p, true)
				paid(p)
			}, order.Paid},
			{"canceled", func(p order.Payment) {
				l.code(p, "qr_"+p.OrderID, time.Minute)
				cancel(p, true)
			}, order.Cancelled},
		} {
			p := l.open(ledger.ClaimRequest{OrderID: fmt.Sprint("40", i)}, fmt.Sprint("order_test_4", i), 3600)
			test.prepare(p)
			for range 2 { // it is idempotent
				now, err := l.CancelPayment(t.Context(), p)
				if err != nil || now.State != test.state || l.payment(p).State != test.state {
					t.Errorf("%s: %s %v", test.name, now.State, err)
				}
			}
			again := ledger.ClaimRequest{OrderID: p.OrderID}
			if test.state != order.Cancelled {
				l.claim(again, ledger.Replay)
				continue
			}
			l.claim(again, ledger.AskFirst)
			again.Asked = math.MaxInt64
			newer := l.open(again, "order_test_new", 3600)
			if now := l.payment(p); now.State != order.Cancelled || !now.Canceled || now.ReplacedBy != "" || now.KnownFrom != order.FromBank {
				t.Errorf("then: %+v", now)
			}
			paid(p) // it was paid all the same: that counts, and no code of the newer one is drawn
			if now := l.payment(p); now.State != order.Paid {
				t.Errorf("a paid payment is %s", now.State)
			}
			if _, recorded := l.code(newer, "qr_new", time.Minute); recorded {
				t.Error("the order is paid, and gets a code")
			}
		}
	})
}

// The bank is asked about every charge that was ever heard of, whatever a
// notification names its order by.
func TestKnownCharges(t *testing.T) {
	t.Parallel()
	inBoth(t, func(t *testing.T, s *shop) {
		l := s.till(t)
		l.open(order4925, "order_test_1", 3600)
		l.open(ledger.ClaimRequest{OrderID: "4926"}, "order_test_2", 3600)
		l.report(order.Report{ChargeID: "by_order", BankOrderID: "order_test_1", TransactionState: "Declined", From: order.FromWebhook})
		l.report(order.Report{ChargeID: "by_reference", Reference: "ref-order_test_1", TransactionState: "Declined", From: order.FromWebhook})
		l.report(order.Report{ChargeID: "by_reference_as_order", BankOrderID: "ref-order_test_1", TransactionState: "Declined", From: order.FromWebhook})
		l.report(order.Report{ChargeID: "by_villa_order", OrderID: "4925", TransactionState: "Declined", From: order.FromAPI})
		l.report(order.Report{ChargeID: "of_another", BankOrderID: "order_test_2", TransactionState: "Declined", From: order.FromWebhook})
		l.report(order.Report{ChargeID: "of_nobody", BankOrderID: "order_test_3", Reference: "ref-3", TransactionState: "Declined", From: order.FromWebhook})
		// Words that say nothing of a charge make one event for each origin, however
		// often they are heard.
		for range 3 {
			for _, from := range []order.Origin{order.FromBank, order.FromAPI} {
				l.must(l.RecordAnswer(t.Context(), scope, ledger.Asked{OrderID: "4925", From: from, Status: order.Status{Word: "of the " + string(from)}}))
			}
		}
		all, err := l.Payments(t.Context(), scope, "4925")
		l.must(err)
		if kinds := l.kinds(all[0], "inquiry"); !slices.Equal(kinds, []string{"inquiry", "status"}) {
			t.Errorf("events %v", kinds)
		}
		ids, err := l.Charges(t.Context(), scope, "4925")
		slices.Sort(ids)
		if want := []string{"by_order", "by_reference", "by_reference_as_order", "by_villa_order"}; err != nil || !slices.Equal(ids, want) {
			t.Errorf("charges %v, %v, want %v", ids, err, want)
		}
	})
}
