package payment

import (
	"context"
	"database/sql"
	"errors"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	_ "modernc.org/sqlite"

	"github.com/villapay/villapay/internal/api"
	"github.com/villapay/villapay/internal/order"
	"github.com/villapay/villapay/internal/sandbox"
	"github.com/villapay/villapay/internal/secret"
)

// Before a request leaves, its intent and key are committed.
func TestTheIntentIsCommittedBeforeTheRequestLeaves(t *testing.T) {
	t.Parallel()
	inWorld(t, sandbox.Options{}, func(t *testing.T, w *world, p *process) {
		other := w.start(t, 0)
		var seen []order.Payment
		var sent string
		w.between(func(req *http.Request, next http.RoundTripper) (*http.Response, error) {
			seen, sent = other.stored(t, "4925"), req.Header.Get("Idempotency-Key")
			return next.RoundTrip(req)
		})
		made := p.mustMake(t, Request{})
		if len(seen) != 1 || seen[0].State != order.Sending || seen[0].Key != sent || sent != made.Key {
			t.Errorf("while the request with key %q was under way, the ledger held %+v", sent, seen)
		}
	})
}

// A held slot sends nothing and is replayed. So is a Villa order that is paid
// from any source, whatever is asked for; --new says so.
func TestOpenAndPaidOrdersAreReplayed(t *testing.T) {
	t.Parallel()
	inWorld(t, sandbox.Options{}, func(t *testing.T, w *world, p *process) {
		other := w.start(t, 0)
		first := p.mustMake(t, Request{Source: order.WeChat})
		again := other.mustMake(t, Request{Source: order.WeChat})
		if first.Replayed || !again.Replayed || again.BankOrderID != first.BankOrderID {
			t.Errorf("first %+v, again %+v", first, again)
		}
		p.pay(t, first)
		for _, req := range []Request{{}, {Source: order.WeChat}, {New: true}, {Source: order.WeChat, New: true}, {Key: "mine"}} {
			paid := other.mustMake(t, req)
			if paid.State != order.Paid || paid.BankOrderID != first.BankOrderID || !paid.Replayed {
				t.Errorf("%+v gives %+v", req, paid)
			}
		}
		w.counts(t, "4925", 1, 1)
		if said := strings.Join(other.warnings, "\n"); len(other.warnings) != 2 || strings.Count(said, "4925 is PAID already") != 2 {
			t.Errorf("warned %q", said)
		}
	})
}

// Charges free nothing: an order whose payment the bank took back is returned as
// such, also after its life. Only --new makes another.
func TestChargesFreeNoSlot(t *testing.T) {
	t.Parallel()
	for bank, state := range map[string]order.State{"Reversed": order.Failed, "Voided": order.Cancelled, "Refund Sent": order.Refunded} {
		t.Run(bank, func(t *testing.T) {
			t.Parallel()
			inWorld(t, sandbox.Options{}, func(t *testing.T, w *world, p *process) {
				made := p.mustMake(t, Request{})
				p.pay(t, made)
				p.notify(t, "chrg_"+made.BankOrderID, made, bank)
				for range 2 {
					again := p.mustMake(t, Request{})
					if again.State != state || again.BankOrderID != made.BankOrderID || !again.Replayed || again.Payable(p.Now()) == nil {
						t.Errorf("%+v", again)
					}
					time.Sleep(2 * time.Hour)
				}
				w.counts(t, "4925", 1, 1)
				if newer := p.mustMake(t, Request{New: true}); newer.State != order.Awaiting || newer.BankOrderID == made.BankOrderID {
					t.Errorf("--new: %+v", newer)
				}
			})
		})
	}
}

// A code is drawn until its order expires by the most careful reading, and its
// slot is held until it has lapsed by the most generous one, whatever the API's
// clocks say. Between the two the same payment comes again and no code is drawn.
func TestTheLifeOfACode(t *testing.T) {
	t.Parallel()
	const none = 1000 * time.Hour // no Date header
	for name, test := range map[string]struct {
		created, date time.Duration // how far they are ahead of this machine's clock
		shown, held   time.Duration
		warned        bool
	}{
		"one clock":                   {0, 0, time.Hour, time.Hour, false},
		"no date":                     {0, none, time.Hour, time.Hour, false},
		"a little old":                {-4 * time.Minute, 0, 56 * time.Minute, time.Hour, false},
		"created an hour old":         {-time.Hour, 0, 0, time.Hour, true},
		"an hour old, no date":        {-time.Hour, none, 0, time.Hour, true},
		"created years ago":           {-20_000 * time.Hour, 0, -19_999 * time.Hour, time.Hour, true},
		"created in an hour":          {time.Hour, 0, time.Hour, time.Hour, true},
		"API seven hours behind":      {-7 * time.Hour, -7 * time.Hour, time.Hour, time.Hour, false},
		"seven hours behind, no date": {-7 * time.Hour, none, -6 * time.Hour, time.Hour, true},
		"API seven hours ahead":       {7 * time.Hour, 7 * time.Hour, time.Hour, 8 * time.Hour, false},
		"created in UTC":              {-7 * time.Hour, 0, -6 * time.Hour, time.Hour, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inWorld(t, sandbox.Options{Now: func() time.Time { return time.Now().Add(test.created) }}, func(t *testing.T, w *world, p *process) {
				w.between(func(req *http.Request, next http.RoundTripper) (*http.Response, error) {
					resp, err := next.RoundTrip(req)
					resp.Header.Set("Date", time.Now().Add(test.date).UTC().Format(http.TimeFormat))
					if test.date == none {
						resp.Header.Del("Date")
					}
					return resp, err
				})
				receipt := time.Now()
				made := p.mustMake(t, Request{})
				shown, held := made.ExpiresAt.Sub(receipt).Round(time.Minute), made.HeldUntil.Sub(receipt).Round(time.Minute)
				if shown != test.shown || held != test.held || made.Warned(order.WarnClock) != test.warned {
					t.Errorf("shown for %s, held for %s, warnings %v", shown, held, made.Warnings)
				}
				for _, at := range []time.Duration{0, shown - time.Minute, shown + time.Minute, held - time.Minute} {
					if at < 0 || at >= held {
						continue
					}
					time.Sleep(time.Until(receipt.Add(at)))
					again := p.mustMake(t, Request{})
					if again.BankOrderID != made.BankOrderID || !again.Replayed || (again.Payable(p.Now()) == nil) != (at < shown) {
						t.Errorf("after %s: %s, %v", at, again.State, again.Payable(p.Now()))
					}
				}
				w.counts(t, "4925", 1, 1)
				time.Sleep(time.Until(receipt.Add(held + time.Minute)))
				if another := p.mustMake(t, Request{}); another.BankOrderID == made.BankOrderID || another.Key == made.Key || another.Replayed {
					t.Errorf("after %s: %+v", held, another)
				}
			})
		})
	}
	t.Run("no expiry", func(t *testing.T) {
		t.Parallel()
		inWorld(t, sandbox.Options{}, func(t *testing.T, _ *world, p *process) {
			endless := p.mustMake(t, Request{OrderID: "no-expiry"})
			time.Sleep(365 * 24 * time.Hour)
			if again := p.mustMake(t, Request{OrderID: "no-expiry"}); again.BankOrderID != endless.BankOrderID || !again.Replayed || again.Payable(p.Now()) != nil {
				t.Errorf("%+v after %+v", again, endless)
			}
		})
	})
}

// An order whose answer was lost has grown old when a later run gets it: it
// lapses with the order that the first request made.
func TestTheLifeOfAnOrderThatCameLate(t *testing.T) {
	t.Parallel()
	inWorld(t, sandbox.Options{}, func(t *testing.T, w *world, p *process) {
		w.between(func(req *http.Request, next http.RoundTripper) (*http.Response, error) {
			_, _ = next.RoundTrip(req)
			return answer(req, lost, "")
		})
		first := time.Now()
		_, _ = p.make(t, Request{OrderID: "4925"})
		time.Sleep(time.Until(first.Add(20 * time.Minute)))
		w.between(nil)
		made := p.mustMake(t, Request{})
		if shown, held := made.ExpiresAt.Sub(first).Round(time.Second), made.HeldUntil.Sub(first).Round(time.Second); shown != time.Hour || held != time.Hour {
			t.Errorf("shown for %s, held for %s", shown, held)
		}
		w.counts(t, "4925", -1, 1)
	})
}

// A clock that is set back leaves an open order open, and what lapsed by then
// stays replaced by what was made since.
func TestClockSetBack(t *testing.T) {
	t.Parallel()
	inWorld(t, sandbox.Options{}, func(t *testing.T, w *world, p *process) {
		early, late := w.start(t, -5*time.Hour), w.start(t, 2*time.Hour)
		first := p.mustMake(t, Request{})
		if again := early.mustMake(t, Request{}); again.BankOrderID != first.BankOrderID || again.State != order.Awaiting {
			t.Errorf("five hours back: %+v after %+v", again, first)
		}
		w.counts(t, "4925", 1, 1)
		second := late.mustMake(t, Request{})
		if second.BankOrderID == first.BankOrderID {
			t.Errorf("two hours on, the lapsed order came again")
		}
		if again := early.mustMake(t, Request{}); again.BankOrderID != second.BankOrderID {
			t.Errorf("set back again: %s, want the newer %s", again.BankOrderID, second.BankOrderID)
		}
		w.counts(t, "4925", 2, 2)
	})
}

// Only --new makes another order; it waits out a live request, marks the older
// one, says so, and says what else is open.
func TestNewMakesAnother(t *testing.T) {
	t.Parallel()
	inWorld(t, sandbox.Options{Latency: 5 * time.Second}, func(t *testing.T, w *world, p *process) {
		other := w.start(t, 0)
		p.StatusPath, other.StatusPath = "", ""
		other.mustMake(t, Request{Source: order.WeChat})
		first := make(chan order.Payment, 1)
		go func() {
			made, err := p.make(t, Request{OrderID: "4925"})
			if err != nil {
				t.Error(err)
			}
			first <- made
		}()
		synctest.Wait() // it is being sent
		start := time.Now()
		second := other.mustMake(t, Request{New: true})
		old := <-first
		if took := time.Since(start); took < 10*time.Second {
			t.Errorf("it was made after %s, while the other was in flight", took)
		}
		if second.BankOrderID == old.BankOrderID || second.Replayed {
			t.Errorf("%+v after %+v", second, old)
		}
		stored := p.stored(t, "4925")
		if stored[1].BankOrderID != old.BankOrderID || stored[1].ReplacedBy != second.Key || stored[1].Payable(p.Now()) == nil {
			t.Errorf("the older one: %+v", stored[1])
		}
		said := strings.Join(slices.Concat(other.notes, other.warnings), "\n")
		for _, want := range []string{"waiting for it", old.BankOrderID + ") is replaced", "also has an open wechat payment"} {
			if !strings.Contains(said, want) {
				t.Errorf("nothing says %q in %q", want, said)
			}
		}
		p.pay(t, old)
		if paid := p.mustMake(t, Request{}); paid.State != order.Paid || paid.BankOrderID != old.BankOrderID {
			t.Errorf("a charge on the replaced order does not count: %+v", paid)
		}
	})
}

// Once any attempt was ambiguous, in this run or an earlier one, only an order
// resolves it: all else ends unknown, and every request has the same key.
func TestOnlyAnOrderResolvesTheUnknown(t *testing.T) {
	t.Parallel()
	for name, second := range map[string][]int{
		"rejected":               {400},
		"key rejected":           {422},
		"denied":                 {403},
		"not signed in":          {401},
		"throttled to the end":   {429, 429, 429, 429, 429},
		"unreachable":            {unreachable, unreachable, unreachable, unreachable, unreachable},
		"lost, then rejected":    {lost, 400},
		"lost, then unreachable": {lost, unreachable, unreachable, unreachable, unreachable},
		"switching protocols":    {101, 101, 101, 101, 101},
		"a 2xx without an order": {200},
		"a redirect":             {307},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inWorld(t, sandbox.Options{}, func(t *testing.T, w *world, p *process) {
				w.answers(lost, lost, lost, lost, lost)
				first, err := p.make(t, Request{OrderID: "4925"})
				if kind(err) != api.Unknown || first.State != order.Unknown || first.Attempts != 5 {
					t.Fatalf("first run: %+v, %v", first, err)
				}
				w.answers(second...)
				again, err := p.make(t, Request{OrderID: "4925"})
				if kind(err) != api.Unknown || again.State != order.Unknown || again.Key != first.Key || again.Attempts != 5+len(second) {
					t.Errorf("second run: %+v, %v", again, err)
				}
				third := p.mustMake(t, Request{})
				if third.State != order.Awaiting || third.Key != first.Key || third.Attempts != 5+len(second)+1 {
					t.Errorf("third run: %+v", third)
				}
				w.counts(t, "4925", 1, 1)
			})
		})
	}
}

// signIn gives a token, or fails, and cannot refresh.
type signIn struct {
	token    string
	err, end error
}

func (s signIn) Token(context.Context) (secret.String, error) { return secret.New(s.token), s.err }

func (s signIn) Refresh(context.Context, secret.String) (secret.String, error) {
	return secret.String{}, s.end
}

// A sign-in that fails sends nothing, and leaves the unknown unknown.
func TestAFailedSignIn(t *testing.T) {
	t.Parallel()
	inWorld(t, sandbox.Options{}, func(t *testing.T, w *world, p *process) {
		ended := errors.New("the sign-in has ended")
		w.answers(lost, lost, lost, lost, lost)
		first, _ := p.make(t, Request{OrderID: "4925"})
		p.API.Tokens = signIn{err: ended, end: ended}
		fresh, err := p.make(t, Request{OrderID: "4926"})
		if !errors.Is(err, ended) || kind(err) != 0 || fresh.State != order.Rejected || fresh.Attempts != 0 {
			t.Errorf("a fresh order: %+v, %v", fresh, err)
		}
		again, err := p.make(t, Request{OrderID: "4925"})
		if !errors.Is(err, ended) || kind(err) != api.Unknown || again.State != order.Unknown || again.Key != first.Key {
			t.Errorf("%+v, %v", again, err)
		}
	})
}

// If a denied token cannot be refreshed, the request was sent, and the denial is
// what is recorded.
func TestADeniedTokenThatCannotBeRefreshed(t *testing.T) {
	t.Parallel()
	inWorld(t, sandbox.Options{}, func(t *testing.T, w *world, p *process) {
		ended := errors.New("the session has ended")
		p.API.Tokens = signIn{token: "a token", end: ended}
		w.answers(401)
		made, err := p.make(t, Request{OrderID: "4925"})
		if !errors.Is(err, ended) || kind(err) != api.Denied {
			t.Errorf("%v", err)
		}
		if e := made.Error; made.State != order.Rejected || made.Attempts != 1 || e == nil || e.Status != 401 || !strings.Contains(e.Message, ended.Error()) {
			t.Errorf("%+v, %+v", made, made.Error)
		}
	})
}

// A rejection that cannot be recorded is one all the same, unless an earlier run
// was ambiguous: then only an order resolves it.
func TestARejectionThatCannotBeRecorded(t *testing.T) {
	t.Parallel()
	for name, ambiguous := range map[string]bool{"fresh": false, "after an unknown outcome": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inWorld(t, sandbox.Options{}, func(t *testing.T, w *world, p *process) {
				if ambiguous {
					w.answers(lost, lost, lost, lost, lost)
					_, _ = p.make(t, Request{OrderID: "4925"})
				}
				unlock := func() {}
				w.between(func(req *http.Request, _ http.RoundTripper) (*http.Response, error) {
					unlock = w.lockLedger(t)
					return answer(req, 422, "")
				})
				made, err := p.make(t, Request{OrderID: "4925"})
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

// rejected and failed when made free the slot: the next run takes a new key.
func TestRejectedAndFailedFreeTheSlot(t *testing.T) {
	t.Parallel()
	for id, want := range map[string]order.State{"refused-amount": order.Rejected, "failed-order": order.Failed, "throttled-always": order.Rejected} {
		t.Run(id, func(t *testing.T) {
			t.Parallel()
			inWorld(t, sandbox.Options{}, func(t *testing.T, _ *world, p *process) {
				first, _ := p.make(t, Request{OrderID: id})
				second, _ := p.make(t, Request{OrderID: id})
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
	inWorld(t, sandbox.Options{}, func(t *testing.T, w *world, p *process) {
		next := w.start(t, 0)
		db, err := sql.Open("sqlite", filepath.Join(w.dir, "ledger.db"))
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		w.between(func(req *http.Request, next http.RoundTripper) (*http.Response, error) {
			if _, err := db.ExecContext(t.Context(), "ALTER TABLE villapay_event RENAME TO away"); err != nil {
				t.Error(err)
			}
			return next.RoundTrip(req)
		})
		got, err := p.make(t, Request{OrderID: "4925"})
		notRecorded, ok := errors.AsType[*NotRecordedError](err)
		if !ok || notRecorded.Key != got.Key || len(got.Order) > 0 {
			t.Fatalf("%+v, %v", got, err)
		}
		w.between(nil)
		if _, err := db.ExecContext(t.Context(), "ALTER TABLE away RENAME TO villapay_event"); err != nil {
			t.Fatal(err)
		}
		_ = p.Ledger.Close() // as the process ends
		made := next.mustMake(t, Request{})
		if made.Key != got.Key || made.State != order.Awaiting {
			t.Errorf("%+v after key %s", made, got.Key)
		}
		w.counts(t, "4925", 2, 1)
	})
}

// Without a ledger the rules are the same, as long as the process lives.
func TestWithoutALedger(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, sandbox.Options{})
		p, next := w.startOn(t, "none", 0), w.startOn(t, "none", 0)
		first, again, another := p.mustMake(t, Request{}), p.mustMake(t, Request{}), next.mustMake(t, Request{})
		if first.State != order.Awaiting || first.Attempts != 1 || !again.Replayed || again.BankOrderID != first.BankOrderID || another.BankOrderID == first.BankOrderID {
			t.Errorf("%+v, then %+v, then %+v", first, again, another)
		}
		unknown, err := p.make(t, Request{OrderID: "lost-always", Key: "mine"})
		if kind(err) != api.Unknown || unknown.State != order.Unknown || unknown.Key != "mine" {
			t.Errorf("%+v, %v", unknown, err)
		}
	})
}

// The seed's example order was made in 2025: it can no longer be paid, and its code
// is not drawn, with a ledger or without.
func TestTheSeedsExampleIsNotDrawn(t *testing.T) {
	t.Parallel()
	const seed = `{"id":"order_test_222110adff3affb5844c497fa9c22366b5bc6","object":"order","created":"20250530205658833","livemode":false,"amount":300.0,"currency":"THB","status":"success","reference_order":"4925000046321748613417.737979","source_type":"qr","failure_code":null,"expire_time_seconds":3600}`
	for _, dsn := range []string{"sqlite", "none"} {
		w := newWorld(t, sandbox.Options{})
		p := w.startOn(t, dsn, 0)
		w.between(func(req *http.Request, _ http.RoundTripper) (*http.Response, error) {
			return answer(req, map[string]int{http.MethodPost: 200, http.MethodGet: 404}[req.Method], seed)
		})
		for range 2 {
			made := p.mustMake(t, Request{OrderID: "492500004632"})
			if why := made.Payable(p.Now()); made.State != order.Expired || why == nil || !made.Warned(order.WarnClock) {
				t.Errorf("%s: %+v, %v", dsn, made, why)
			}
		}
	}
}

// What in an answer contradicts the question is a warning, never a failure.
func TestContradictionsAreWarnings(t *testing.T) {
	t.Parallel()
	inWorld(t, sandbox.Options{}, func(t *testing.T, _ *world, p *process) {
		for id, want := range map[string]string{"4925": "", "other-source": "source_type", "live": "livemode"} {
			if made := p.mustMake(t, Request{OrderID: id}); codes(made.Warnings) != want || made.State != order.Awaiting {
				t.Errorf("%s: %s, %v", id, made.State, made.Warnings)
			}
		}
	})
}
