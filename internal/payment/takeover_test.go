package payment

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/villapay/villapay/internal/backoff"
	"github.com/villapay/villapay/internal/ledger"
	"github.com/villapay/villapay/internal/order"
	"github.com/villapay/villapay/internal/sandbox"
)

// A clock that is set back while an order is being made, and a holder that dies
// then: the claim still ends, by the waiter's own watch.
func TestClockSetBackUnderAClaim(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, sandbox.Options{})
		holder, waiter := w.start(t, 0), w.start(t, -3*time.Hour)
		claim := mustClaim(t, holder, "4925")
		start := time.Now()
		made := waiter.mustMake(t, Request{OrderID: "4925"})
		if took := time.Since(start); took < 10*time.Second || took > 12*time.Second || made.Key != claim.Payment.Key {
			t.Errorf("after %s, key %s, want %s", took, made.Key, claim.Payment.Key)
		}
	})
}

// mustClaim claims an order as a process that then says and renews nothing.
func mustClaim(t *testing.T, p *process, orderID string) ledger.Claim {
	t.Helper()
	claim, err := p.Ledger.Claim(t.Context(), ledger.ClaimRequest{Scope: scope, Env: "dev", OrderID: orderID, Source: order.QR, Key: p.NewKey()})
	if err != nil || claim.Verdict != ledger.Claimed {
		t.Fatalf("%+v, %v", claim, err)
	}
	return claim
}

// DESIGN 4.4: a silent process's claim ends with its lease and is taken over
// with the same key; the first durable answer wins, and a later one is kept as
// an event and never shown, also by a server that ignores keys.
func TestTheFirstDurableAnswerWins(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, sandbox.Options{IgnoreKeys: true})
		silent, p := w.start(t, 0), w.start(t, 0)
		claim := mustClaim(t, silent, "4925")
		lateOrder, requestID, err := silent.API.CreateOrder(t.Context(), "4925", order.QR, claim.Payment.Key)
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		made := p.mustMake(t, Request{OrderID: "4925"})
		if took := time.Since(start); took < 9*time.Second || made.Key != claim.Payment.Key || made.Replayed {
			t.Errorf("after %s: %+v", took, made)
		}
		stored, err := silent.Ledger.RecordOrder(t.Context(), claim, lateOrder, ledger.RecordedAnswer{Attempts: 1, RequestID: requestID})
		if !errors.Is(err, ledger.ErrClaimLost) || stored.BankOrderID != made.BankOrderID {
			t.Errorf("the late answer: %+v, %v", stored, err)
		}
		if kinds := p.events(t, made); !slices.Contains(kinds, "late answer") {
			t.Errorf("events %v", kinds)
		}
	})
}

// A process whose claim was taken over while it was sending shows what the other
// one recorded, whether its own answer came or not.
func TestALostClaimGivesTheOthersAnswer(t *testing.T) {
	t.Parallel()
	for name, answerAfter := range map[string]time.Duration{
		"its answer comes after the other's":    2 * time.Second,
		"it learns of the loss when it renews":  25 * time.Second,
		"its answer comes before the other's":   time.Second / 2,
		"it hears nothing until its time is up": time.Minute,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, sandbox.Options{IgnoreKeys: true})
				slow, ahead := w.start(t, 0), w.start(t, time.Hour) // to whom the lease has long ended
				w.between(func(req *http.Request, next http.RoundTripper) (*http.Response, error) {
					resp, err := next.RoundTrip(req)
					delay := answerAfter
					if req.Header.Get("User-Agent") == "ahead" {
						delay = time.Second
					}
					if backoff.Sleep(req.Context(), delay) != nil {
						return nil, req.Context().Err()
					}
					return resp, err
				})
				ahead.API.UserAgent = "ahead"
				type outcome struct {
					p   order.Payment
					err error
				}
				slowly := make(chan outcome, 1)
				go func() {
					p, err := slow.make(t, "4925")
					slowly <- outcome{p, err}
				}()
				synctest.Wait()
				made := ahead.mustMake(t, Request{OrderID: "4925"})
				got := <-slowly
				if got.err != nil || got.p.BankOrderID != made.BankOrderID || !got.p.Replayed || got.p.Key != made.Key {
					t.Errorf("one says %s, the other %+v, %v", made.BankOrderID, got.p, got.err)
				}
				if stored := slow.stored(t, "4925"); len(stored) != 1 || stored[0].BankOrderID != made.BankOrderID {
					t.Errorf("stored: %+v", stored)
				}
			})
		})
	}
}

// A process whose place --new gave away while it slept shows the newer order.
func TestAReplacedClaimGivesTheNewerOrder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, sandbox.Options{})
		slow, ahead := w.start(t, 0), w.start(t, time.Hour)
		opened := make(chan struct{})
		w.between(func(req *http.Request, next http.RoundTripper) (*http.Response, error) {
			resp, err := next.RoundTrip(req)
			if req.Header.Get("User-Agent") != "ahead" {
				<-opened
			}
			return resp, err
		})
		ahead.API.UserAgent = "ahead"
		got := make(chan order.Payment, 1)
		go func() {
			p, err := slow.make(t, "4925")
			if err != nil {
				t.Error(err)
			}
			got <- p
		}()
		synctest.Wait()
		newer := ahead.mustMake(t, Request{OrderID: "4925", New: true})
		close(opened)
		if p := <-got; p.BankOrderID != newer.BankOrderID || p.ReplacedBy != "" || !p.Replayed {
			t.Errorf("it shows %+v, the newer one is %s", p, newer.BankOrderID)
		}
		w.counts(t, "4925", 2, 2)
	})
}

// Waiting for another process ends with the time that a payment may take, and
// with Ctrl-C; either way the outcome is the other's, and unknown here.
func TestWaitingForAnotherProcessEnds(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(context.Context, *process) (context.Context, context.CancelFunc){
		"time": func(ctx context.Context, p *process) (context.Context, context.CancelFunc) {
			p.Timeout = 5 * time.Second
			return context.WithCancel(ctx)
		},
		"Ctrl-C": func(ctx context.Context, _ *process) (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancel(ctx)
			time.AfterFunc(5*time.Second, cancel)
			return ctx, cancel
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, sandbox.Options{})
				holder, p := w.start(t, 0), w.start(t, 0)
				mustClaim(t, holder, "4925")
				ctx, cancel := end(t.Context(), p)
				defer cancel()
				start := time.Now()
				made, err := p.Make(ctx, Request{OrderID: "4925", Source: order.QR})
				var busy *BusyError
				if took := time.Since(start); !errors.As(err, &busy) || took != 5*time.Second || made.State != order.Sending {
					t.Errorf("after %s: %+v, %v", took, made, err)
				}
				w.counts(t, "4925", 0, 0)
			})
		})
	}
}
