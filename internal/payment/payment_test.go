package payment

import (
	"context"
	"database/sql"
	"errors"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	_ "modernc.org/sqlite"

	"github.com/villapay/villapay/internal/api"
	"github.com/villapay/villapay/internal/ledger"
	"github.com/villapay/villapay/internal/order"
	"github.com/villapay/villapay/internal/payment"
	"github.com/villapay/villapay/internal/sandbox"
	"github.com/villapay/villapay/internal/secret"
)

// DESIGN 4.1: before a request leaves, its intent and key are committed.
func TestTheIntentIsCommittedBeforeTheRequestLeaves(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, sandbox.Options{})
		p, other := w.start(t, 0), w.start(t, 0)
		var seen []order.Payment
		var sent string
		w.between(func(req *http.Request, next http.RoundTripper) (*http.Response, error) {
			seen, sent = other.stored(t, "4925"), req.Header.Get("Idempotency-Key")
			return next.RoundTrip(req)
		})
		made := p.mustMake(t, Request{OrderID: "4925"})
		if len(seen) != 1 || seen[0].State != order.Sending || seen[0].Key != sent || sent != made.Key {
			t.Errorf("while the request with key %q was under way, the ledger held %+v", sent, seen)
		}
	})
}

// DESIGN 4.3: a held slot sends nothing and is replayed; so is an order that is
// paid from any source, whatever is asked for.
func TestOpenAndPaidOrdersAreReplayed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, sandbox.Options{})
		p, other := w.start(t, 0), w.start(t, 0)
		first := p.mustMake(t, Request{OrderID: "4925", Source: order.WeChat})
		again := other.mustMake(t, Request{OrderID: "4925", Source: order.WeChat})
		if first.Replayed || !again.Replayed || again.BankOrderID != first.BankOrderID {
			t.Errorf("first %+v, again %+v", first, again)
		}
		w.counts(t, "4925", 1, 1)
		pay(t, p, first)
		paid := other.mustMake(t, Request{OrderID: "4925", Source: order.QR})
		if paid.State != order.Paid || paid.BankOrderID != first.BankOrderID || !paid.Replayed {
			t.Errorf("asked for another source, it gives %+v", paid)
		}
		w.counts(t, "4925", 1, 1)
	})
}

// pay records the charge that pays a payment.
func pay(t *testing.T, p *process, payment order.Payment) {
	t.Helper()
	_, err := p.Ledger.ApplyCharge(t.Context(), scope, ledger.Charge{
		ID: "chrg_" + payment.BankOrderID, BankOrderID: payment.BankOrderID, Amount: payment.Amount, Currency: payment.Currency,
		Status: "success", TransactionState: "Authorized", From: order.FromWebhook,
	})
	if err != nil {
		t.Fatal(err)
	}
}

// DESIGN 4.2: the claiming transaction frees a slot whose order has lapsed; a
// null expiry never lapses by itself.
func TestALapsedOrderGivesItsPlaceAway(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, sandbox.Options{})
		p := w.start(t, 0)
		first, endless := p.mustMake(t, Request{OrderID: "4925"}), p.mustMake(t, Request{OrderID: "no-expiry"})
		time.Sleep(59 * time.Minute)
		if again := p.mustMake(t, Request{OrderID: "4925"}); again.BankOrderID != first.BankOrderID {
			t.Errorf("a minute early: %s after %s", again.BankOrderID, first.BankOrderID)
		}
		time.Sleep(time.Minute)
		second := p.mustMake(t, Request{OrderID: "4925"})
		if second.BankOrderID == first.BankOrderID || second.Key == first.Key || second.Replayed {
			t.Errorf("%+v after %+v", second, first)
		}
		time.Sleep(365 * 24 * time.Hour)
		if again := p.mustMake(t, Request{OrderID: "no-expiry"}); again.BankOrderID != endless.BankOrderID || !again.Replayed {
			t.Errorf("%+v after %+v", again, endless)
		}
	})
}

// A clock that is set back leaves an open order open, and what lapsed by then
// stays replaced by what was made since.
func TestClockSetBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, sandbox.Options{})
		p, early, late := w.start(t, 0), w.start(t, -5*time.Hour), w.start(t, 2*time.Hour)
		first := p.mustMake(t, Request{OrderID: "4925"})
		if again := early.mustMake(t, Request{OrderID: "4925"}); again.BankOrderID != first.BankOrderID || again.State != order.Awaiting {
			t.Errorf("five hours back: %+v after %+v", again, first)
		}
		w.counts(t, "4925", 1, 1)
		second := late.mustMake(t, Request{OrderID: "4925"})
		if second.BankOrderID == first.BankOrderID {
			t.Errorf("two hours on, the lapsed order came again")
		}
		if again := early.mustMake(t, Request{OrderID: "4925"}); again.BankOrderID != second.BankOrderID {
			t.Errorf("set back again: %s, want the newer %s", again.BankOrderID, second.BankOrderID)
		}
		w.counts(t, "4925", 2, 2)
	})
}

// DESIGN 4.3: only --new makes another order; it waits out a live request, marks
// the older one, says so, and says what else is open.
func TestNewMakesAnother(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, sandbox.Options{Latency: 5 * time.Second})
		p, other := w.start(t, 0), w.start(t, 0)
		other.mustMake(t, Request{OrderID: "4925", Source: order.WeChat})
		first := make(chan order.Payment, 1)
		go func() {
			made, err := p.make(t, "4925")
			if err != nil {
				t.Error(err)
			}
			first <- made
		}()
		synctest.Wait() // it is being sent
		start := time.Now()
		second := other.mustMake(t, Request{OrderID: "4925", New: true})
		old := <-first
		if took := time.Since(start); took < 10*time.Second {
			t.Errorf("it was made after %s, while the other was in flight", took)
		}
		if second.BankOrderID == old.BankOrderID || second.Replayed {
			t.Errorf("%+v after %+v", second, old)
		}
		if stored := p.stored(t, "4925"); stored[1].BankOrderID != old.BankOrderID || stored[1].ReplacedBy != second.Key {
			t.Errorf("the older one: %+v", stored[1])
		}
		notes := strings.Join(other.notes, "\n")
		for _, want := range []string{"waiting for it", old.BankOrderID + ") is replaced", "also has an open wechat payment"} {
			if !strings.Contains(notes, want) {
				t.Errorf("nothing says %q in %q", want, notes)
			}
		}
		pay(t, p, old)
		if paid := p.mustMake(t, Request{OrderID: "4925"}); paid.State != order.Paid || paid.BankOrderID != old.BankOrderID {
			t.Errorf("a charge on the replaced order does not count: %+v", paid)
		}
	})
}

// Once any attempt was ambiguous, in this run or an earlier one, only an order
// resolves it: all else ends unknown, and every request has the same key.
func TestOnlyAnOrderResolvesTheUnknown(t *testing.T) {
	t.Parallel()
	const lost, unreachable = 0, -1
	for name, second := range map[string][]int{
		"refused":                {400},
		"key refused":            {422},
		"denied":                 {403},
		"not signed in":          {401},
		"throttled to the end":   {429, 429, 429, 429, 429},
		"unreachable":            {unreachable, unreachable, unreachable, unreachable, unreachable},
		"lost, then refused":     {lost, 400},
		"lost, then unreachable": {lost, unreachable, unreachable, unreachable, unreachable},
		"a 2xx without an order": {200},
		"a redirect":             {307},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, sandbox.Options{})
				p := w.start(t, 0)
				w.answers(lost, lost, lost, lost, lost)
				first, err := p.make(t, "4925")
				if kind(err) != api.Unknown || first.State != order.Unknown || first.Attempts != 5 {
					t.Fatalf("first run: %+v, %v", first, err)
				}
				w.answers(second...)
				again, err := p.make(t, "4925")
				if kind(err) != api.Unknown || again.State != order.Unknown || again.Key != first.Key || again.Attempts != 5+len(second) {
					t.Errorf("second run: %+v, %v", again, err)
				}
				w.between(nil)
				third := p.mustMake(t, Request{OrderID: "4925"})
				if third.State != order.Awaiting || third.Key != first.Key || third.Attempts != 5+len(second)+1 {
					t.Errorf("third run: %+v", third)
				}
				w.counts(t, "4925", 1, 1)
			})
		})
	}
}

// signedOut is a sign-in that has ended.
type signedOut struct{ err error }

func (s signedOut) Token(context.Context) (secret.String, error) { return secret.String{}, s.err }

func (s signedOut) Refresh(context.Context, secret.String) (secret.String, error) {
	return secret.String{}, s.err
}

// The same where the sign-in fails, which sends nothing at all.
func TestAFailedSignInLeavesTheUnknownUnknown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, sandbox.Options{})
		p := w.start(t, 0)
		ended := errors.New("the sign-in has ended")
		p.API.Tokens = signedOut{ended}
		fresh, err := p.make(t, "4926")
		if !errors.Is(err, ended) || kind(err) != 0 || fresh.State != order.Rejected || fresh.Attempts != 0 {
			t.Errorf("a fresh order: %+v, %v", fresh, err)
		}
		p.API.Tokens = nil
		w.answers(0, 0, 0, 0, 0)
		first, _ := p.make(t, "4925")
		p.API.Tokens = signedOut{ended}
		again, err := p.make(t, "4925")
		if !errors.Is(err, ended) || kind(err) != api.Unknown || again.State != order.Unknown || again.Key != first.Key {
			t.Errorf("%+v, %v", again, err)
		}
	})
}

// A refusal that cannot be recorded is one all the same, except where an earlier
// run was ambiguous: then only an order resolves it.
func TestARefusalThatCannotBeRecorded(t *testing.T) {
	t.Parallel()
	for name, ambiguous := range map[string]bool{"fresh": false, "after an unknown outcome": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, sandbox.Options{})
				p := w.start(t, 0)
				if ambiguous {
					w.answers(0, 0, 0, 0, 0)
					_, _ = p.make(t, "4925")
				}
				unlock := func() {}
				w.between(func(req *http.Request, _ http.RoundTripper) (*http.Response, error) {
					unlock = w.lockLedger(t)
					return answer(req, 422)
				})
				made, err := p.make(t, "4925")
				unlock()
				_, unrecorded := errors.AsType[*NotRecordedError](err)
				if unrecorded != ambiguous || kind(err) != api.Rejected || made.OrderID != "4925" || !ambiguous && made.State != order.Rejected {
					t.Errorf("%+v, %v", made, err)
				}
			})
		})
	}
}

// lockLedger holds the ledger's file as another process that writes would.
func (w *world) lockLedger(t *testing.T) (unlock func()) {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(w.dir, "ledger.db"))
	if err != nil {
		t.Fatal(err)
	}
	db.SetMaxOpenConns(1)
	if _, err := db.ExecContext(t.Context(), "BEGIN IMMEDIATE"); err != nil {
		t.Fatal(err)
	}
	return func() { _ = db.Close() }
}

// A token that was refused and cannot be renewed: the request was sent, and the
// refusal is what is recorded.
func TestARefusedTokenThatCannotBeRenewed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, sandbox.Options{})
		p := w.start(t, 0)
		ended := errors.New("the session has ended")
		p.API.Tokens = unrenewable{ended}
		w.answers(401)
		made, err := p.make(t, "4925")
		if !errors.Is(err, ended) || kind(err) != api.Denied {
			t.Errorf("%v", err)
		}
		if e := made.Error; made.State != order.Rejected || made.Attempts != 1 || e == nil || e.Status != 401 || !strings.Contains(e.Message, ended.Error()) {
			t.Errorf("%+v, %+v", made, made.Error)
		}
	})
}

// unrenewable is a sign-in whose token is as good as its last.
type unrenewable struct{ err error }

func (unrenewable) Token(context.Context) (secret.String, error) {
	return secret.New("a token"), nil
}

func (s unrenewable) Refresh(context.Context, secret.String) (secret.String, error) {
	return secret.String{}, s.err
}

// Whoever makes another payment of an order that is paid is told so, loudly.
func TestNewSaysThatTheOrderIsPaid(t *testing.T) {
	t.Parallel()
	for _, source := range order.Sources() {
		t.Run(source, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, sandbox.Options{})
				p := w.start(t, 0)
				var warned []string
				p.Warn = func(text string) { warned = append(warned, text) }
				paid := p.mustMake(t, Request{OrderID: "4925"})
				pay(t, p, paid)
				p.mustMake(t, Request{OrderID: "4925", Source: order.Source(source), New: true})
				if len(warned) != 1 || !strings.Contains(warned[0], "4925 is PAID already ("+paid.BankOrderID+")") || len(p.notes) != 0 {
					t.Errorf("warned %q, noted %q", warned, p.notes)
				}
			})
		})
	}
}

// rejected and failed free the slot: the next run takes a new key.
func TestRejectedAndFailedFreeTheSlot(t *testing.T) {
	t.Parallel()
	for id, want := range map[string]order.State{"refused-amount": order.Rejected, "failed-order": order.Failed, "throttled-always": order.Rejected} {
		t.Run(id, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, sandbox.Options{})
				p := w.start(t, 0)
				first, _ := p.make(t, id)
				second, _ := p.make(t, id)
				if first.State != want || second.State != want || first.Key == second.Key || first.Error == nil {
					t.Errorf("%+v, then %+v", first, second)
				}
				if retryable := id == "throttled-always"; first.Error.Retryable != retryable {
					t.Errorf("retryable: %t", first.Error.Retryable)
				}
			})
		})
	}
}

// An answer that cannot be recorded is not shown; the next run asks again with
// its key.
func TestAnAnswerThatCannotBeRecorded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, sandbox.Options{})
		p, next := w.start(t, 0), w.start(t, 0)
		db, err := sql.Open("sqlite", filepath.Join(w.dir, "ledger.db"))
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		w.between(func(req *http.Request, next http.RoundTripper) (*http.Response, error) {
			if _, err := db.Exec("ALTER TABLE villapay_event RENAME TO away"); err != nil {
				t.Error(err)
			}
			return next.RoundTrip(req)
		})
		got, err := p.make(t, "4925")
		var notRecorded *NotRecordedError
		if !errors.As(err, &notRecorded) || notRecorded.Key != got.Key || len(got.Order) > 0 {
			t.Fatalf("%+v, %v", got, err)
		}
		w.between(nil)
		if _, err := db.Exec("ALTER TABLE away RENAME TO villapay_event"); err != nil {
			t.Fatal(err)
		}
		_ = p.Ledger.Close() // as the process ends
		made := next.mustMake(t, Request{OrderID: "4925"})
		if made.Key != got.Key || made.State != order.Awaiting {
			t.Errorf("%+v after key %s", made, got.Key)
		}
		w.counts(t, "4925", 2, 1)
	})
}

// ledger: none remembers nothing, and an unknown outcome tells its key.
func TestWithoutALedger(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, sandbox.Options{})
		p := w.start(t, 0)
		p.Ledger = nil
		first, again := p.mustMake(t, Request{OrderID: "4925"}), p.mustMake(t, Request{OrderID: "4925"})
		if first.BankOrderID == again.BankOrderID || again.Replayed || first.State != order.Awaiting || first.Attempts != 1 || first.ExpiresAt.IsZero() {
			t.Errorf("%+v, then %+v", first, again)
		}
		lost, err := p.Make(t.Context(), Request{OrderID: "lost-always", Source: order.QR, Key: "mine"})
		if kind(err) != api.Unknown || lost.State != order.Unknown || lost.Key != "mine" {
			t.Errorf("%+v, %v", lost, err)
		}
	})
}

// What in an answer contradicts the question is a warning, never a failure.
func TestContradictionsAreWarnings(t *testing.T) {
	t.Parallel()
	for id, want := range map[string][]string{"4925": nil, "other-source": {"source_type"}, "live": {"livemode"}} {
		t.Run(id, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p := newWorld(t, sandbox.Options{}).start(t, 0)
				made := p.mustMake(t, Request{OrderID: id})
				var codes []string
				for _, w := range made.Warnings {
					codes = append(codes, w.Code)
				}
				if diff := cmp.Diff(want, codes); diff != "" || made.State != order.Awaiting {
					t.Error(made.State, diff)
				}
			})
		})
	}
}
