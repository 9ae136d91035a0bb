package payment_test

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/villapay/villapay/internal/api"
	"github.com/villapay/villapay/internal/ledger"
	"github.com/villapay/villapay/internal/order"
	"github.com/villapay/villapay/internal/payment"
)

// inTown runs a test with a bank and two tills that share a ledger, in synthetic
// time.
func inTown(t *testing.T, test func(t *testing.T, w *town, one, two *till)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w, l := newTown(), memory(t)
		test(t, w, w.till(t, l), w.till(t, l))
	})
}

// die runs what a process does until it is killed.
func die(do func()) {
	var dead sync.WaitGroup
	dead.Go(do)
	dead.Wait()
	time.Sleep(11 * time.Second) // until its lease has ended
}

// A code is recorded before it is drawn, and every till draws the recorded one,
// without asking the bank again and without the key.
func TestOneCodeForEveryTill(t *testing.T) {
	t.Parallel()
	inTown(t, func(t *testing.T, w *town, one, two *till) {
		p := one.mustPay(false)
		if stored := one.now(p); *stored.Held != *p.Held || stored.Held.Kind != order.WeChatCode || !strings.HasSuffix(stored.Held.Text, stored.Held.ID) {
			t.Errorf("drawn %+v, recorded %+v", p.Held, stored.Held)
		}
		two.Bank = nil
		if again := two.mustPay(false); *again.Held != *p.Held {
			t.Errorf("without the key: %+v", again.Held)
		}
		if n := w.called("POST qr"); n != 1 {
			t.Errorf("%d codes were asked for", n)
		}
		if kinds := one.events(p); !slices.Equal(kinds, []string{"claimed", "order", "code"}) {
			t.Errorf("events %v", kinds)
		}
	})
}

// Two tills ask for a code at once: one code wins, and the other one is canceled
// before anybody sees it.
func TestTwoTillsAtOnce(t *testing.T) {
	t.Parallel()
	inTown(t, func(t *testing.T, w *town, one, two *till) {
		if _, err := one.Make(t.Context(), payment.Request{OrderID: villa, Source: order.WeChat}); err != nil {
			t.Fatal(err)
		}
		var both sync.WaitGroup
		both.Add(2)
		w.fate = func(r *http.Request) fate {
			if r.URL.Path == "/qr/v2/qr" {
				both.Done()
				both.Wait()
			}
			return fine
		}
		shown := make([]order.Payment, 2)
		var group sync.WaitGroup
		for i, s := range []*till{one, two} {
			group.Go(func() { shown[i] = s.mustPay(false) })
		}
		group.Wait()
		if *shown[0].Held != *shown[1].Held {
			t.Errorf("two codes are shown: %+v and %+v", shown[0].Held, shown[1].Held)
		}
		if payable := w.payable(); !slices.Equal(payable, []string{shown[0].Held.ID}) {
			t.Errorf("payable are %v", payable)
		}
		if kinds := one.events(shown[0]); !slices.Equal(kinds, []string{"claimed", "order", "code", "late code"}) {
			t.Errorf("events %v", kinds)
		}
		if text := one.warned() + two.warned(); text != "" {
			t.Errorf("warnings %s", text)
		}
	})
}

// A bank that cannot be asked leaves the order as it is; the next run gets the code.
func TestNoCode(t *testing.T) {
	t.Parallel()
	for what, want := range map[fate]api.Kind{
		lostBefore: api.Unknown, lostAfter: api.Unknown, unavailable: api.Unknown, unreachable: api.Unavailable, silent: api.Unknown, page: api.Unavailable,
	} {
		inTown(t, func(t *testing.T, w *town, one, _ *till) {
			w.fate = on("/qr", what)
			p, err := one.pay(false)
			if kind(err) != want || p.State != order.Awaiting || p.LivingCode(time.Now()) != nil || one.now(p).Held != nil {
				t.Errorf("fate %d: %s %+v, %v", what, p.State, p.Held, err)
			}
			w.fate = nil
			if again := one.mustPay(false); again.Key != p.Key {
				t.Errorf("fate %d: another order", what)
			}
		})
	}
}

// kill -9 between order and code, and between code and drawing: the next run gets
// one code for the same order.
func TestKilledBeforeTheCode(t *testing.T) {
	t.Parallel()
	for _, what := range []fate{diesBefore, diesAfter} {
		inTown(t, func(t *testing.T, w *town, one, two *till) {
			w.fate = on("/qr", what)
			die(func() { _, _ = one.pay(false) })
			w.fate = nil
			p := two.mustPay(false)
			if len(two.known()) != 1 || *two.now(p).Held != *p.Held {
				t.Errorf("fate %d: %+v", what, two.known())
			}
		})
	}
}

// Past its drawing bound a code is canceled, the bank is asked, and only then
// another one is fetched.
func TestCodesAreReplaced(t *testing.T) {
	t.Parallel()
	const ahead = 4 * time.Minute // so much later ends the time for which a code is held
	for _, test := range []struct {
		name  string
		after time.Duration // that the first code was made
		do    func(w *town, codeID string)
		want  string // new, paid, held, or what the error's kind is
		calls []string
	}{
		{"between the bounds", 7 * time.Minute, nil, "new", []string{"cancel", "inquire", "code"}},
		{"past both", 15 * time.Minute, nil, "new", []string{"inquire", "code"}},
		{"past both, and the bank would not cancel", 15 * time.Minute, func(w *town, _ string) { w.grumbles = true }, "new", []string{"inquire", "code"}},
		{"paid at the last moment", 7 * time.Minute, func(w *town, id string) { w.scan(id) }, "paid", []string{"cancel", "inquire"}},
		{"the cancellation is rejected", 7 * time.Minute, func(w *town, id string) { w.grumbles, w.codes[id].state = true, "canceled" }, "held", []string{"cancel", "inquire"}},
		{"the cancellation is lost", 7 * time.Minute, func(w *town, _ string) { w.fate = on("/cancel", lostAfter) }, "unknown", []string{"cancel"}},
		{"the cancellation cannot be asked for", 7 * time.Minute, func(w *town, _ string) { w.fate = on("/cancel", unreachable) }, "unavailable", nil},
		{"nobody says whether it was paid", 7 * time.Minute, func(w *town, _ string) {
			w.fate = func(r *http.Request) fate {
				if r.Method == http.MethodGet {
					return unreachable
				}
				return fine
			}
		}, "unavailable", []string{"cancel"}},
		{"nobody says whether it was paid, past both", 15 * time.Minute, func(w *town, _ string) {
			w.fate = func(r *http.Request) fate {
				if r.Method == http.MethodGet {
					return page
				}
				return fine
			}
		}, "unavailable", nil},
	} {
		inTown(t, func(t *testing.T, w *town, one, two *till) {
			w.ahead = ahead
			first := one.mustPay(false)
			time.Sleep(test.after)
			if old := one.now(first); old.LivingCode(time.Now()) != nil {
				t.Fatalf("%s: it still lives", test.name)
			}
			if test.do != nil {
				test.do(w, first.Held.ID)
			}
			before, given := []string{}, w.fate
			var mu sync.Mutex
			w.fate = func(r *http.Request) (what fate) {
				if given != nil {
					what = given(r)
				}
				call := map[bool]string{true: "inquire", false: "code"}[r.Method == http.MethodGet]
				if strings.HasSuffix(r.URL.Path, "/cancel") {
					call = "cancel"
				}
				mu.Lock()
				defer mu.Unlock()
				if r.URL.Host == "bank.invalid" && (what == fine || what == lostAfter) {
					before = append(before, call)
				}
				return what
			}
			p, err := two.pay(false)
			got := "new"
			switch {
			case errors.As(err, new(*payment.HeldError)):
				got = "held"
			case err != nil:
				got = kind(err).String()
			case p.State == order.Paid:
				got = "paid"
			}
			if got != test.want || !slices.Equal(before, test.calls) {
				t.Errorf("%s: %s after %v (%v), want %s after %v", test.name, got, before, err, test.want, test.calls)
			}
			if got == "new" && (p.Held.ID == first.Held.ID || !slices.Equal(w.payable(), []string{p.Held.ID})) {
				t.Errorf("%s: payable are %v", test.name, w.payable())
			}
			if got != "new" && (p.LivingCode(time.Now()) != nil || w.called("POST qr") != 1) {
				t.Errorf("%s: a code all the same", test.name)
			}
			w.fate, w.grumbles = nil, false
			if got != "paid" { // the next run finishes it
				two.mustPay(false)
			}
		})
	}
}

// A code that had ended when it arrived is held and not shown, and says why.
func TestACodeThatEndedBefore(t *testing.T) {
	t.Parallel()
	inTown(t, func(t *testing.T, w *town, one, _ *till) {
		w.ahead = time.Hour
		p, err := one.Make(t.Context(), payment.Request{OrderID: villa, Source: order.WeChat})
		if err != nil {
			t.Fatal(err)
		}
		if p.Payable(time.Now()) == nil {
			t.Fatal("the order lives longer than its code here")
		}
		w.ahead = 0
		w.codeLife = time.Second
		w.fate = func(r *http.Request) fate {
			if r.URL.Path == "/qr/v2/qr" {
				w.ahead = time.Minute
			}
			return fine
		}
		p, err = one.Make(t.Context(), payment.Request{OrderID: villa, Source: order.WeChat, New: true})
		if err != nil {
			t.Fatal(err)
		}
		p, err = one.Code(t.Context(), p)
		if err == nil || !strings.Contains(err.Error(), "machine's clock") || p.LivingCode(time.Now()) != nil || !p.HoldsCode(time.Now()) {
			t.Errorf("%+v, %v", p.Held, err)
		}
	})
}

// --new cancels the earlier code before it makes another order, and says what it
// could not cancel.
func TestNewCancelsTheEarlierCode(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		do   func(w *town, codeID string)
		want string // new, or paid
		warn string // "" is no warning
	}{
		{"canceled", func(*town, string) {}, "new", ""},
		{"paid before", func(w *town, id string) { w.scan(id) }, "paid", "PAID already"},
		{"rejected", func(w *town, id string) { w.grumbles, w.codes[id].state = true, "canceled" }, "new", "could not be canceled"},
		{"lost", func(w *town, _ string) { w.fate = on("/cancel", lostBefore) }, "new", "could not be canceled"},
		{"silent", func(w *town, _ string) {
			w.fate = func(r *http.Request) fate {
				if strings.HasSuffix(r.URL.Path, "/cancel") || r.Method == http.MethodGet {
					return silent
				}
				return fine
			}
		}, "new", "could not be canceled"},
	} {
		inTown(t, func(t *testing.T, w *town, one, two *till) {
			first := one.mustPay(false)
			test.do(w, first.Held.ID)
			begun := time.Now()
			p, err := two.pay(true)
			if err != nil {
				t.Fatalf("%s: %v", test.name, err)
			}
			if took := time.Since(begun); took > 15*time.Second {
				t.Errorf("%s: it took %s", test.name, took)
			}
			text := two.warned()
			switch {
			case test.want == "paid" && (p.ID != first.ID || p.State != order.Paid || len(two.known()) != 1 || w.called("POST qrpayment") != 1):
				t.Errorf("%s: %+v", test.name, p)
			case test.want == "new" && (p.ID == first.ID || one.now(first).ReplacedBy != p.Key || p.LivingCode(time.Now()) == nil):
				t.Errorf("%s: %+v", test.name, p)
			}
			if (test.warn == "") != (text == "") || !strings.Contains(text, test.warn) {
				t.Errorf("%s: warnings %q, want %q", test.name, text, test.warn)
			}
			if test.warn == "" && !slices.Equal(w.payable(), []string{p.Held.ID}) {
				t.Errorf("%s: payable are %v", test.name, w.payable())
			}
		})
	}
}

// While one till runs --new, another one gets a new code for the old order, between
// the cancellation and the replacement. It is canceled too.
func TestNewBesideAnotherTill(t *testing.T) {
	t.Parallel()
	for _, paid := range []bool{false, true} {
		inTown(t, func(t *testing.T, w *town, one, two *till) {
			first := one.mustPay(false)
			var second order.Payment
			w.fate = func(r *http.Request) fate {
				if r.Method == http.MethodGet { // --new asks, after it canceled the code
					w.fate = nil
					if second = two.mustPay(false); paid {
						w.scan(second.Held.ID)
					}
				}
				return fine
			}
			p, err := one.pay(true)
			if err != nil {
				t.Fatal(err)
			}
			if second.ID != first.ID || second.Held.ID == first.Held.ID {
				t.Fatalf("the other till shows %+v", second.Held)
			}
			if paid {
				if p.ID != first.ID || p.State != order.Paid || w.called("POST qrpayment") != 1 {
					t.Errorf("paid meanwhile, and then %+v", p)
				}
				return
			}
			if p.ID == first.ID || !slices.Equal(w.payable(), []string{p.Held.ID}) {
				t.Errorf("payable are %v, shown is %+v", w.payable(), p.Held)
			}
			if again, err := two.Code(t.Context(), second); err != nil || again.LivingCode(time.Now()) != nil && two.now(again).ReplacedBy == "" {
				t.Errorf("the replaced code: %+v %v", again.Held, err)
			}
		})
	}
}

// A till waits while another one makes the order with --new, and shows the same
// code.
func TestOneTillWaitsForNew(t *testing.T) {
	t.Parallel()
	inTown(t, func(t *testing.T, w *town, one, two *till) {
		first := one.mustPay(false)
		sent, open := make(chan struct{}), make(chan struct{})
		w.fate = func(r *http.Request) fate {
			if r.URL.Path == "/qrpayment" {
				close(sent)
				<-open
			}
			return fine
		}
		var made, waited order.Payment
		var group sync.WaitGroup
		group.Go(func() { made = one.mustPay(true) })
		<-sent
		group.Go(func() { waited = two.mustPay(false) })
		time.Sleep(time.Second)
		close(open)
		group.Wait()
		if made.ID == first.ID || waited.ID != made.ID || *waited.Held != *made.Held || !slices.Equal(w.payable(), []string{made.Held.ID}) {
			t.Errorf("made %+v, the other till shows %+v, payable are %v", made.Held, waited.Held, w.payable())
		}
	})
}

// --new is killed after it replaced the older payment, whose code another till got
// meanwhile: the next run cancels that one.
func TestNewIsKilled(t *testing.T) {
	t.Parallel()
	for _, what := range []fate{diesBefore, diesAfter} {
		for _, end := range []string{"/cancel", "/qrpayment", "/qr"} {
			inTown(t, func(t *testing.T, w *town, one, two *till) {
				one.mustPay(false)
				w.fate = on(end, what)
				die(func() { _, _ = one.pay(true) })
				w.fate = nil
				p, err := two.pay(false)
				if err != nil {
					t.Fatalf("%s: %v", end, err)
				}
				payable := w.payable()
				payable = slices.DeleteFunc(payable, func(id string) bool { return what == diesAfter && end == "/qr" && id != p.Held.ID }) // nobody was shown that one
				if p.LivingCode(time.Now()) == nil || !slices.Equal(payable, []string{p.Held.ID}) {
					t.Errorf("fate %d of %s: payable are %v, shown is %+v", what, end, payable, p.Held)
				}
			})
		}
	}
}

// Cancel frees the slot if the bank confirmed all of it, and only then.
func TestCancel(t *testing.T) {
	t.Parallel()
	get := func(what fate) func(*http.Request) fate {
		return func(r *http.Request) fate {
			if r.Method == http.MethodGet {
				return what
			}
			return fine
		}
	}
	for _, test := range []struct {
		name  string
		do    func(w *town, codeID string)
		state order.State // of the payment
		kind  api.Kind    // of the error
		again order.State // after the next run, with a bank that works
	}{
		{"confirmed", func(*town, string) {}, order.Cancelled, 0, order.Cancelled},
		{"paid meanwhile", func(w *town, id string) { w.scan(id) }, order.Paid, 0, order.Paid},
		{"rejected", func(w *town, id string) { w.grumbles, w.codes[id].state = true, "canceled" }, order.Awaiting, 0, order.Cancelled},
		{"lost", func(w *town, _ string) { w.fate = on("/cancel", lostAfter) }, order.Awaiting, api.Unknown, order.Cancelled},
		{"lost before", func(w *town, _ string) { w.fate = on("/cancel", lostBefore) }, order.Awaiting, api.Unknown, order.Cancelled},
		{"silent", func(w *town, _ string) { w.fate = on("/cancel", silent) }, order.Awaiting, api.Unknown, order.Cancelled},
		{"a page", func(w *town, _ string) { w.fate = on("/cancel", page) }, order.Awaiting, api.Unknown, order.Cancelled},
		{"unreachable", func(w *town, _ string) { w.fate = on("/cancel", unreachable) }, order.Awaiting, api.Unavailable, order.Cancelled},
		{"nobody says whether it was paid", func(w *town, _ string) { w.fate = get(unreachable) }, order.Awaiting, api.Unknown, order.Cancelled},
		{"a page says whether it was paid", func(w *town, _ string) { w.fate = get(page) }, order.Awaiting, api.Unknown, order.Cancelled},
	} {
		inTown(t, func(t *testing.T, w *town, one, two *till) {
			p := one.mustPay(false)
			test.do(w, p.Held.ID)
			now, err := one.Cancel(t.Context(), p)
			if kind(err) != test.kind || (err == nil) != (test.kind == 0) || one.now(p).State != test.state || err == nil && now.State != test.state {
				t.Errorf("%s: %s, recorded %s, %v", test.name, now.State, one.now(p).State, err)
			}
			w.fate, w.grumbles = nil, false
			now, err = two.Cancel(t.Context(), p)
			if err != nil || now.State != test.again {
				t.Errorf("%s: then %s %v", test.name, now.State, err)
			}
			if test.again != order.Cancelled {
				return
			}
			if n := len(w.payable()); n != 0 {
				t.Errorf("%s: %d codes can be paid", test.name, n)
			}
			if newer := two.mustPay(false); newer.ID == p.ID {
				t.Errorf("%s: the slot is not free", test.name)
			}
		})
	}
}

// What the bank drew no code for, or whose page was served, keeps its slot.
func TestWhatCannotBeCanceled(t *testing.T) {
	t.Parallel()
	inTown(t, func(t *testing.T, w *town, one, two *till) {
		p, err := one.Make(t.Context(), payment.Request{OrderID: villa, Source: order.WeChat})
		if err != nil {
			t.Fatal(err)
		}
		if now, err := one.Cancel(t.Context(), p); err != nil || now.State != order.Awaiting {
			t.Errorf("without a code: %s %v", now.State, err)
		}
		if _, recorded, err := one.Ledger.RecordPage(t.Context(), p); err != nil || !recorded {
			t.Fatal(recorded, err)
		}
		if now, err := one.Cancel(t.Context(), p); err != nil || now.State != order.Awaiting {
			t.Errorf("with a page: %s %v", now.State, err)
		}
		if _, err := two.pay(false); !errors.As(err, new(*payment.HeldError)) || w.called("POST qr") != 0 {
			t.Errorf("a code beside a page: %v", err)
		}
		if p := two.mustPay(true); len(w.payable()) != 1 || !strings.Contains(two.warned(), "may still be payable") {
			t.Errorf("--new: %+v", p)
		}
		one.Bank = nil
		if _, err := one.Cancel(t.Context(), p); !errors.Is(err, payment.ErrNoBankKey) {
			t.Errorf("without the key: %v", err)
		}
		if _, err := one.Void(t.Context(), p, "chrg_test_1", nil); !errors.Is(err, payment.ErrNoBankKey) {
			t.Errorf("without the key: %v", err)
		}
	})
}

// A till gets another code between the cancellation and its end: the payment stays
// open, and the new code is what it was canceled for.
func TestCancelBesideAnotherTill(t *testing.T) {
	t.Parallel()
	inTown(t, func(t *testing.T, w *town, one, two *till) {
		p := one.mustPay(false)
		var second order.Payment
		w.fate = func(r *http.Request) fate {
			if r.Method == http.MethodGet {
				w.fate = nil
				second = two.mustPay(false)
			}
			return fine
		}
		now, err := one.Cancel(t.Context(), p)
		if err != nil || now.State != order.Awaiting || now.Held.ID != second.Held.ID || !slices.Equal(w.payable(), []string{second.Held.ID}) {
			t.Errorf("%s %+v %v", now.State, now.Held, err)
		}
	})
}

// kill -9 at any moment of a cancellation or a void: the next run finishes it, and
// voids once.
func TestChangesAreKilled(t *testing.T) {
	t.Parallel()
	for _, what := range []fate{diesBefore, diesAfter} {
		inTown(t, func(t *testing.T, w *town, one, two *till) {
			p := one.mustPay(false)
			w.fate = on("/cancel", what)
			die(func() { _, _ = one.Cancel(context.Background(), p) })
			w.fate = nil
			if now, err := two.Cancel(t.Context(), p); err != nil || now.State != order.Cancelled || len(w.payable()) != 0 {
				t.Errorf("cancel, fate %d: %s %v", what, now.State, err)
			}
			p = two.mustPay(false)
			charge := w.scan(p.Held.ID)
			if report, err := one.Status(t.Context(), villa, true); err != nil || report.Payment.State != order.Paid {
				t.Fatal(report.Payment.State, err)
			}
			w.grumbles, w.fate = true, on("/void", what)
			die(func() { _, _ = one.Void(context.Background(), p, charge.id, nil) })
			w.fate = nil
			now, err := two.Void(t.Context(), p, charge.id, nil)
			if err != nil || now.State != order.Cancelled || charge.state != "Voided" || w.called("POST void") != 1 {
				t.Errorf("void, fate %d: %s after %d calls, %v", what, now.State, w.called("POST void"), err)
			}
		})
	}
}

// paidTill is a till whose order is paid by charges.
func paidTill(t *testing.T, w *town, s *till, times int) (order.Payment, []*bankCharge) {
	t.Helper()
	var charges []*bankCharge
	p := s.mustPay(false)
	charges = append(charges, w.scan(p.Held.ID))
	for len(charges) < times {
		w.codes[p.Held.ID].state = "open"
		time.Sleep(time.Second)
		charges = append(charges, w.scan(p.Held.ID))
	}
	for _, c := range charges {
		hear(t, s, c)
	}
	if now := s.now(p); now.State != order.Paid {
		t.Fatalf("state %s", now.State)
	}
	return p, charges
}

// hear records a notification of the bank's about a charge as it is now.
func hear(t *testing.T, s *till, c *bankCharge) {
	t.Helper()
	amount, err := order.ParseAmount("300.5")
	if err == nil {
		_, err = s.Ledger.RecordReport(context.Background(), shopURL, order.Report{
			ChargeID: c.id, BankOrderID: c.order.id, Reference: "ref-" + c.order.id, Amount: amount, Currency: "THB", Status: "success", TransactionState: c.state, From: order.FromWebhook,
		})
	}
	if err != nil {
		t.Fatal(err)
	}
}

// Void gives a charge back if the bank says so, and only then.
func TestVoid(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name  string
		do    func(w *town, c *bankCharge)
		state order.State // of the payment
		kind  api.Kind    // of the error
		again order.State // after the next run, with a bank that works
		calls int         // for the void, in both runs
	}{
		{"confirmed", func(*town, *bankCharge) {}, order.Cancelled, 0, order.Cancelled, 1},
		{"rejected", func(w *town, c *bankCharge) { w.grumbles, c.state = true, "Settled" }, order.Paid, api.Rejected, order.Cancelled, 2},
		{"lost", func(w *town, _ *bankCharge) { w.fate = on("/void", lostAfter) }, order.Paid, api.Unknown, order.Cancelled, 1},
		{"lost before", func(w *town, _ *bankCharge) { w.fate = on("/void", lostBefore) }, order.Paid, api.Unknown, order.Cancelled, 1},
		{"silent", func(w *town, _ *bankCharge) { w.fate = on("/void", silent) }, order.Paid, api.Unknown, order.Cancelled, 1},
		{"503", func(w *town, _ *bankCharge) { w.fate = on("/void", unavailable) }, order.Paid, api.Unknown, order.Cancelled, 1},
		{"a page", func(w *town, _ *bankCharge) { w.fate = on("/void", page) }, order.Paid, api.Unknown, order.Cancelled, 1},
		{"unreachable", func(w *town, _ *bankCharge) { w.fate = on("/void", unreachable) }, order.Paid, api.Unavailable, order.Cancelled, 1},
	} {
		inTown(t, func(t *testing.T, w *town, one, two *till) {
			p, charges := paidTill(t, w, one, 1)
			test.do(w, charges[0])
			now, err := one.Void(t.Context(), p, charges[0].id, nil)
			if kind(err) != test.kind || (err == nil) != (test.kind == 0) || one.now(p).State != test.state || err == nil && now.State != test.state {
				t.Errorf("%s: %s, recorded %s, %v", test.name, now.State, one.now(p).State, err)
			}
			if test.kind == api.Unknown { // it stays unknown as long as nobody can be asked
				w.fate = func(*http.Request) fate { return unreachable }
				if _, err := two.Void(t.Context(), p, charges[0].id, nil); kind(err) != api.Unknown {
					t.Errorf("%s: then %v", test.name, err)
				}
			}
			w.fate, w.grumbles = nil, false
			for range 2 {
				if now, err = two.Void(t.Context(), p, charges[0].id, nil); err != nil || now.State != test.again || now.BankState != "Voided" {
					t.Errorf("%s: then %s %v", test.name, now.State, err)
				}
			}
			if n := w.called("POST void"); n != test.calls {
				t.Errorf("%s: the bank was asked to void %d times, want %d", test.name, n, test.calls)
			}
			// Voided is not free: the order is returned as such.
			if again, err := two.pay(false); err != nil || again.ID != p.ID || again.State != order.Cancelled {
				t.Errorf("%s: then it is paid anew: %s %v", test.name, again.State, err)
			}
		})
	}
}

// Two people void at once: one call at the bank, and both see its answer. Of an
// order that was paid twice they cannot give back both.
func TestTwoPeopleVoid(t *testing.T) {
	t.Parallel()
	inTown(t, func(t *testing.T, w *town, one, two *till) {
		p, charges := paidTill(t, w, one, 2)
		arrived, open := make(chan struct{}), make(chan struct{})
		w.fate = func(r *http.Request) fate {
			if strings.HasSuffix(r.URL.Path, "/void") {
				close(arrived)
				<-open
			}
			return fine
		}
		var group sync.WaitGroup
		void := func(s *till) {
			if now, err := s.Void(context.Background(), p, charges[0].id, nil); err != nil || now.State != order.Paid || now.ChargeID != charges[1].id {
				t.Errorf("%s by %s, %v", now.State, now.ChargeID, err)
			}
		}
		group.Go(func() { void(one) })
		<-arrived
		group.Go(func() { void(two) })
		time.Sleep(20 * time.Second) // its lease is kept
		if _, err := two.Void(t.Context(), p, charges[1].id, nil); kind(err) != api.Unknown || !strings.Contains(err.Error(), charges[0].id) {
			t.Errorf("the other charge: %v", err)
		}
		close(open)
		group.Wait()
		// Nor does who chose before the answer came, and is asked for a yes for a while.
		if _, err := two.Void(t.Context(), p, charges[1].id, nil); kind(err) != api.Rejected || !strings.Contains(err.Error(), charges[0].id) {
			t.Errorf("the other charge afterwards: %v", err)
		}
		if n := w.called("POST void"); n != 1 || charges[0].state != "Voided" || charges[1].state != "Authorized" {
			t.Errorf("%d calls, the charges are %s and %s", n, charges[0].state, charges[1].state)
		}
		w.fate = nil
		if now, err := two.Void(t.Context(), p, charges[1].id, []order.PaidCharge{{ID: charges[0].id, Returned: true}}); err != nil || now.State != order.Cancelled {
			t.Errorf("both on purpose: %s, %v", now.State, err)
		}
	})
}

// failedVoid pays an order by two charges and voids the first, which meets a fate and
// ends with an error of a kind.
func failedVoid(t *testing.T, w *town, s *till, meets fate, want api.Kind) (order.Payment, []*bankCharge) {
	t.Helper()
	p, charges := paidTill(t, w, s, 2)
	w.fate = on("/void", meets)
	if _, err := s.Void(t.Context(), p, charges[0].id, nil); kind(err) != want {
		t.Errorf("%v, want kind %v", err, want)
	}
	w.fate = nil
	return p, charges
}

// A void that was never sent does not stand in the way of another one.
func TestAVoidThatWasNotSent(t *testing.T) {
	t.Parallel()
	inTown(t, func(t *testing.T, w *town, one, two *till) {
		p, charges := failedVoid(t, w, one, unreachable, api.Unavailable)
		if now, err := two.Void(t.Context(), p, charges[1].id, nil); err != nil || now.State != order.Paid || now.ChargeID != charges[0].id || charges[0].state != "Authorized" {
			t.Errorf("%s by %s, %v", now.State, now.ChargeID, err)
		}
	})
}

// A void without an answer is not finished after another charge was given back that the
// one who finishes it does not know of.
func TestAnUnansweredVoidBesideAReturnedCharge(t *testing.T) {
	t.Parallel()
	inTown(t, func(t *testing.T, w *town, one, two *till) {
		p, charges := failedVoid(t, w, one, lostBefore, api.Unknown)
		charges[1].state = "Voided" // in the bank's portal
		hear(t, one, charges[1])
		if _, err := two.Void(t.Context(), p, charges[0].id, nil); kind(err) != api.Rejected || !strings.Contains(err.Error(), charges[1].id) || charges[0].state != "Authorized" {
			t.Errorf("charge %s: %v", charges[0].state, err)
		}
		if now, err := two.Void(t.Context(), p, charges[0].id, []order.PaidCharge{{ID: charges[1].id, Returned: true}}); err != nil || now.State != order.Cancelled {
			t.Errorf("on purpose: %s, %v", now.State, err)
		}
	})
}

// A void whose answer was lost, and that the bank rejects long after while the charge is
// still paid, was not made: it does not stand in the way of another one.
func TestAVoidThatWasRejectedInTheEnd(t *testing.T) {
	t.Parallel()
	inTown(t, func(t *testing.T, w *town, one, two *till) {
		p, charges := failedVoid(t, w, one, lostBefore, api.Unknown)
		w.grumbles, charges[0].state = true, "Settled"
		for _, wait := range []time.Duration{0, 59 * time.Second, time.Minute} {
			time.Sleep(wait)
			want := api.Unknown // the first request may still be under way
			if wait == time.Minute {
				want = api.Rejected
			}
			if _, err := two.Void(t.Context(), p, charges[0].id, nil); kind(err) != want {
				t.Errorf("after %s: %v, want kind %v", wait, err, want)
			}
		}
		w.grumbles = false
		if now, err := two.Void(t.Context(), p, charges[1].id, nil); err != nil || now.State != order.Paid || now.ChargeID != charges[0].id {
			t.Errorf("the other charge: %s by %s, %v", now.State, now.ChargeID, err)
		}
	})
}

// The bank is asked about every bank order and charge, and its word is recorded.
func TestAskingTheBank(t *testing.T) {
	t.Parallel()
	inTown(t, func(t *testing.T, w *town, one, two *till) {
		first := one.mustPay(false)
		w.fate = on("/cancel", lostBefore)
		second := one.mustPay(true)
		w.fate = nil
		for range 2 {
			report, err := two.Status(t.Context(), villa, true)
			if err != nil || report.BankErr != nil || report.Payment.ID != second.ID || report.Payment.State != order.Awaiting || report.Payment.KnownFrom != order.FromBank {
				t.Errorf("unpaid: %+v, %v", report, err)
			}
		}
		w.scan(first.Held.ID)
		w.fate = func(r *http.Request) fate {
			if strings.HasSuffix(r.URL.Path, first.BankOrderID) {
				return unavailable
			}
			return fine
		}
		report, err := two.Status(t.Context(), villa, true)
		if err != nil || kind(report.BankErr) != api.Unavailable || report.Payment.State != order.Awaiting {
			t.Errorf("a bank that answers one question of two: %+v, %v", report, err)
		}
		w.fate = nil
		report, err = two.Status(t.Context(), villa, true)
		if p := report.Payment; err != nil || p.ID != first.ID || p.State != order.Paid || p.KnownFrom != order.FromBank || p.PaidAtFrom != order.AtBank {
			t.Errorf("paid: %+v, %v", report, err)
		}
		if again, err := one.pay(false); err != nil || again.ID != first.ID || again.LivingCode(time.Now()) != nil {
			t.Errorf("a paid order: %+v %v", again, err)
		}
	})
}

// Nothing that a bank says about another order counts.
func TestALyingBank(t *testing.T) {
	t.Parallel()
	inTown(t, func(t *testing.T, w *town, one, _ *till) {
		p := one.mustPay(false)
		w.orders["other"] = &bankOrder{"order_test_other", "other", time.Now()}
		w.charges["chrg_other"] = &bankCharge{"chrg_other", w.orders["other"], "Authorized", time.Now()}
		lies := one.Bank.HTTP.Transport
		one.Bank.HTTP.Transport = transport(func(r *http.Request) (*http.Response, error) {
			if r.Method == http.MethodGet {
				r.URL.Path = "/qr/v2/qr/order_test_other"
			}
			return lies.RoundTrip(r)
		})
		report, err := one.Status(t.Context(), villa, true)
		if err != nil || report.BankErr == nil || report.Payment.ID != p.ID || report.Payment.State != order.Awaiting {
			t.Errorf("%+v, %v", report, err)
		}
		if now, err := one.Cancel(t.Context(), p); kind(err) != api.Unknown || one.now(p).State != order.Awaiting {
			t.Errorf("canceled: %s, %v", now.State, err)
		}
	})
}

type transport func(*http.Request) (*http.Response, error)

func (t transport) RoundTrip(r *http.Request) (*http.Response, error) { return t(r) }

// While it is watched, a code is replaced when it has ended.
func TestWatchKeepsTheCode(t *testing.T) {
	t.Parallel()
	inTown(t, func(t *testing.T, w *town, one, _ *till) {
		w.codeLife = time.Minute
		p := one.mustPay(false)
		var codes []string
		report, err := one.Watch(t.Context(), villa, p, func(r payment.Report) error {
			if h := r.Payment.LivingCode(time.Now()); h != nil && !slices.Contains(codes, h.ID) {
				codes = append(codes, h.ID)
				if payable := w.payable(); !slices.Equal(payable, []string{h.ID}) {
					t.Errorf("shown is %s, payable are %v", h.ID, payable)
				}
				if len(codes) == 3 {
					w.scan(h.ID)
				}
			}
			return nil
		})
		if err != nil || report.Payment.State != order.Paid || len(codes) != 3 {
			t.Errorf("%s after %v, %v", report.Payment.State, codes, err)
		}
	})
}

// While it is watched, a code is not replaced that another till is canceling.
func TestWatchDrawsNoCodeWhileItIsCanceled(t *testing.T) {
	t.Parallel()
	inTown(t, func(t *testing.T, w *town, one, two *till) {
		p := one.mustPay(false)
		one.Bank.HTTP.Transport = transport(func(r *http.Request) (*http.Response, error) {
			time.Sleep(5 * time.Second)
			return w.RoundTrip(r)
		})
		var watching sync.WaitGroup
		watching.Go(func() {
			report, err := two.Watch(t.Context(), villa, p, func(payment.Report) error { return nil })
			if err != nil || report.Payment.State != order.Cancelled {
				t.Errorf("the watching till: %s %v", report.Payment.State, err)
			}
		})
		now, err := one.Cancel(t.Context(), p)
		if err != nil || now.State != order.Cancelled || len(w.payable()) != 0 || w.called("POST qr") != 1 {
			t.Errorf("%s, %d codes, payable are %v, %v", now.State, w.called("POST qr"), w.payable(), err)
		}
		if now.State != order.Cancelled { // else nothing ends the watching
			w.scan(now.Held.ID)
		}
		watching.Wait()
	})
}

// Without the key nothing is asked of the bank.
func TestWithoutTheKey(t *testing.T) {
	t.Parallel()
	inTown(t, func(t *testing.T, w *town, one, two *till) {
		one.Bank, two.Bank = nil, nil
		w.fate = func(r *http.Request) fate {
			if r.URL.Host == "bank.invalid" {
				t.Errorf("the bank is asked: %s", r.URL)
			}
			return fine
		}
		p, err := one.pay(false)
		if err != nil || p.Held != nil {
			t.Fatal(p.Held, err)
		}
		newer, err := two.pay(true)
		if err != nil || newer.ID == p.ID || !strings.Contains(two.warned(), "may still be payable") {
			t.Errorf("%+v %v", newer, err)
		}
		if report, err := one.Status(t.Context(), villa, true); err != nil || !report.NoEndpoint || report.Payment.ID != newer.ID {
			t.Errorf("%+v %v", report, err)
		}
		if err := one.Ledger.Close(); err != nil && !errors.As(err, new(*ledger.Error)) {
			t.Error(err)
		}
	})
}

// Once a void had no answer, a rejection does not prove that it was not made: it has
// to be finished before another charge is voided.
func TestARejectionAfterALostVoid(t *testing.T) {
	t.Parallel()
	inTown(t, func(t *testing.T, w *town, one, two *till) {
		p, charges := paidTill(t, w, one, 2)
		w.fate = on("/void", lostAfter)
		if _, err := one.Void(t.Context(), p, charges[0].id, nil); kind(err) != api.Unknown {
			t.Errorf("lost: %v", err)
		}
		w.fate = nil
		bank, stale := two.Bank.HTTP.Transport, 100
		two.Bank.HTTP.Transport = transport(func(r *http.Request) (*http.Response, error) {
			switch {
			case strings.HasSuffix(r.URL.Path, charges[0].id+"/void"):
				return w.reply(r, 400, `{"object":"error","code":"already_voided"}`, nil), nil
			case strings.HasSuffix(r.URL.Path, charges[0].id) && stale > 0:
				stale--
				before := *charges[0]
				before.state = "Authorized"
				return w.reply(r, 200, "", before.fields()), nil
			}
			return bank.RoundTrip(r)
		})
		for range 2 {
			if _, err := two.Void(t.Context(), p, charges[0].id, nil); kind(err) != api.Unknown {
				t.Errorf("rejected: %v", err)
			}
			if _, err := two.Void(t.Context(), p, charges[1].id, nil); kind(err) != api.Unknown || !strings.Contains(err.Error(), charges[0].id) {
				t.Errorf("the other charge: %v", err)
			}
		}
		stale = 1 // the bank is asked again after the rejection
		if now, err := two.Void(t.Context(), p, charges[0].id, nil); err != nil || now.State != order.Paid || now.ChargeID != charges[1].id {
			t.Errorf("then: %s by %s, %v", now.State, now.ChargeID, err)
		}
		if charges[1].state != "Authorized" {
			t.Errorf("the other charge is %s", charges[1].state)
		}
	})
}

// Whatever the bank reports of a charge that is not clearly unpaid keeps the slot: the
// payment is not canceled, its lapsed code is not replaced, and no other code is drawn.
func TestADoubtfulCharge(t *testing.T) {
	t.Parallel()
	for _, change := range []fields{
		{"amount": 299.0},
		{"livemode": true},
		{"amount": "x"},
		{"transaction_state": "Pre-Authorized"},
		{"transaction_state": "Pondering"},
		{"status": "pending"},
		{"currency": "USD"},
		{"transaction_state": fields{}},
		{"transaction_state": ""},
	} {
		for _, cancels := range []bool{true, false} {
			inTown(t, func(t *testing.T, w *town, one, two *till) {
				p := one.mustPay(false)
				for _, s := range []*till{one, two} {
					bank := s.Bank.HTTP.Transport
					s.Bank.HTTP.Transport = transport(func(r *http.Request) (*http.Response, error) {
						if r.Method != http.MethodGet {
							return bank.RoundTrip(r)
						}
						said := (&bankCharge{"chrg_1", &bankOrder{id: p.BankOrderID}, "Authorized", time.Now()}).fields()
						maps.Copy(said, change)
						return w.reply(r, 200, "", said), nil
					})
				}
				if cancels {
					for range 2 {
						now, err := one.Cancel(t.Context(), p)
						if kind(err) != api.Unknown || now.State != order.Awaiting || one.now(p).State != order.Awaiting {
							t.Errorf("%v: canceled: %s, %v", change, now.State, err)
						}
					}
				} else {
					time.Sleep(15 * time.Minute)
				}
				if again, err := two.pay(false); err == nil || again.ID != p.ID || again.LivingCode(time.Now()) != nil || w.called("POST qr") != 1 {
					t.Errorf("%v: then: %v, %d codes", change, err, w.called("POST qr"))
				}
			})
		}
	}
}

// A report that comes while the bank draws another code, and leaves in doubt whether the
// earlier one was paid: the new code is canceled, and not shown.
func TestADoubtWhileTheCodeIsDrawn(t *testing.T) {
	t.Parallel()
	inTown(t, func(t *testing.T, w *town, one, two *till) {
		p := one.mustPay(false)
		time.Sleep(15 * time.Minute)
		w.fate = func(r *http.Request) fate {
			if r.Method == http.MethodPost && r.URL.Host == "bank.invalid" && !strings.HasSuffix(r.URL.Path, "/cancel") {
				said := order.Report{ChargeID: "chrg_1", BankOrderID: p.BankOrderID, TransactionState: "Pondering", Status: "success", Amount: p.Amount, Currency: p.Currency, From: order.FromBank}
				if err := one.Ledger.RecordAnswer(t.Context(), shopURL, ledger.Asked{OrderID: villa, From: order.FromBank, Status: order.Status{Reports: []order.Report{said}}}); err != nil {
					t.Error(err)
				}
			}
			return fine
		}
		now, err := two.pay(false)
		if kind(err) != api.Unknown || !strings.Contains(err.Error(), "not certain") || now.LivingCode(time.Now()) != nil {
			t.Errorf("%+v, %v", now.Held, err)
		}
		if payable := w.payable(); len(payable) != 0 {
			t.Errorf("payable are %v", payable)
		}
		if _, _, err := two.Ledger.RecordPage(t.Context(), p); !errors.As(err, new(*order.DoubtError)) {
			t.Errorf("a page: %v", err)
		}
	})
}
