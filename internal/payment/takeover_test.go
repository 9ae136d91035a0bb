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

// mustClaim claims order 4925 as a process that then says and renews nothing.
func mustClaim(t *testing.T, p *process) ledger.Claim {
	t.Helper()
	claim, err := p.Ledger.Claim(t.Context(), ledger.ClaimRequest{Scope: scope, Env: "dev", OrderID: "4925", Source: order.QR, Key: p.NewKey()})
	if err != nil || claim.Verdict != ledger.Claimed {
		t.Fatalf("%+v, %v", claim, err)
	}
	return claim
}

// A claim ends with its lease, also if the clock is set back while its holder is
// silent, and is taken over with the same key. The first durable answer wins; a
// later one is kept as an event and never shown, also by a server that ignores keys.
func TestTheFirstDurableAnswerWins(t *testing.T) {
	t.Parallel()
	for name, ahead := range map[string]time.Duration{"one clock": 0, "a clock set back": -3 * time.Hour} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, sandbox.Options{IgnoreKeys: true})
				silent, p := w.start(t, 0), w.start(t, ahead)
				claim := mustClaim(t, silent)
				late, response, err := silent.API.CreateOrder(t.Context(), "4925", order.QR, claim.Payment.Key)
				if err != nil {
					t.Fatal(err)
				}
				start := time.Now()
				made := p.mustMake(t, Request{})
				if took := time.Since(start); took < 9*time.Second || took > 12*time.Second || made.Key != claim.Payment.Key || made.Replayed {
					t.Errorf("after %s: %+v", took, made)
				}
				stored, err := silent.Ledger.RecordOrder(t.Context(), claim, late, ledger.Answer{Attempts: 1, RequestID: response.RequestID})
				if !errors.Is(err, ledger.ErrClaimLost) || stored.BankOrderID != made.BankOrderID {
					t.Errorf("the late answer: %+v, %v", stored, err)
				}
				events, err := p.Ledger.Events(t.Context(), made.ID)
				if err != nil || !slices.ContainsFunc(events, func(e ledger.Event) bool { return e.Kind == "late answer" && string(e.Data) == string(late.Raw) }) {
					t.Errorf("events %+v, %v", events, err)
				}
			})
		})
	}
}

// A process whose claim was taken over while it was sending shows what the other
// one recorded, whether its own answer came or not.
func TestALostClaimGivesTheOthersAnswer(t *testing.T) {
	t.Parallel()
	for name, answerAfter := range map[string]time.Duration{
		"its answer comes after the other's":     2 * time.Second,
		"it finds out when it renews":            25 * time.Second,
		"its answer comes before the other's":    time.Second / 2,
		"it hears nothing until its time is up":  time.Minute,
		"its answer comes as the other is asked": 0,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, sandbox.Options{IgnoreKeys: true})
				slow, ahead := w.start(t, 0), w.start(t, time.Hour) // to which the lease has long ended
				asked := make(chan struct{})
				w.between(func(req *http.Request, next http.RoundTripper) (*http.Response, error) {
					resp, err := next.RoundTrip(req)
					delay := answerAfter
					if req.Header.Get("User-Agent") == "ahead" {
						close(asked)
						delay = time.Second
					} else if delay == 0 {
						<-asked
					}
					if backoff.Sleep(req.Context(), delay) != nil {
						return nil, req.Context().Err()
					}
					return resp, err
				})
				ahead.API.UserAgent = "ahead"
				var got order.Payment
				var failed error
				ended := make(chan struct{})
				go func() {
					defer close(ended)
					got, failed = slow.make(t, Request{OrderID: "4925"})
				}()
				synctest.Wait()
				made := ahead.mustMake(t, Request{})
				<-ended
				if failed != nil || got.BankOrderID != made.BankOrderID || !got.Replayed || got.Key != made.Key {
					t.Errorf("one says %s, the other %+v, %v", made.BankOrderID, got, failed)
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
			p, err := slow.make(t, Request{OrderID: "4925"})
			if err != nil {
				t.Error(err)
			}
			got <- p
		}()
		synctest.Wait()
		newer := ahead.mustMake(t, Request{New: true})
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
	for name, interrupted := range map[string]bool{"time": false, "Ctrl-C": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inWorld(t, sandbox.Options{}, func(t *testing.T, w *world, p *process) {
				mustClaim(t, w.start(t, 0))
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				if interrupted {
					time.AfterFunc(5*time.Second, cancel)
				} else {
					p.Timeout = 5 * time.Second
				}
				start := time.Now()
				made, err := p.Make(ctx, Request{OrderID: "4925", Source: order.QR})
				_, busy := errors.AsType[*BusyError](err)
				if took := time.Since(start); !busy || took != 5*time.Second || made.State != order.Sending {
					t.Errorf("after %s: %+v, %v", took, made, err)
				}
				w.counts(t, "4925", 0, 0)
			})
		})
	}
}
