package payment

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/villapay/villapay/internal/ledger"
	"github.com/villapay/villapay/internal/sandbox"
)

// Watching polls politely, tells each change once, and ends when it is settled.
func TestWatch(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, sandbox.Options{})
		p := w.start(t, 0)
		made := p.mustMake(t, Request{OrderID: "4925"})
		start := time.Now()
		var polls []time.Duration
		w.between(func(req *http.Request, next http.RoundTripper) (*http.Response, error) {
			polls = append(polls, time.Since(start))
			return next.RoundTrip(req)
		})
		time.AfterFunc(5*time.Minute+100*time.Millisecond, func() { pay(t, p, made) })
		var told []ledger.State
		report, err := p.Watch(t.Context(), "4925", true, func(r Report) error {
			told = append(told, r.Payment.State)
			return nil
		})
		if err != nil || report.Payment.State != ledger.Paid {
			t.Errorf("%+v, %v", report, err)
		}
		if took := time.Since(start); took > 5*time.Minute+time.Second {
			t.Errorf("a charge that a webhook brings is seen after %s", took)
		}
		if diff := cmp.Diff([]ledger.State{ledger.Awaiting, ledger.Paid}, told); diff != "" {
			t.Error(diff)
		}
		gap := func(i int) time.Duration { return polls[i] - polls[i-1] }
		if polls[0] != 0 || gap(1) > 1500*time.Millisecond || len(polls) < 25 || len(polls) > 40 {
			t.Errorf("polls at %v", polls)
		}
		for i := 1; i < len(polls); i++ {
			if g := gap(i); g < 500*time.Millisecond || g > 15500*time.Millisecond || i > 10 && g < 11*time.Second {
				t.Errorf("gap %d is %s", i, g)
			}
		}
	})
}

func TestWatchEnds(t *testing.T) {
	t.Parallel()
	t.Run("when the order expires", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			p := newWorld(t, sandbox.Options{}).start(t, 0)
			p.mustMake(t, Request{OrderID: "4925"})
			start := time.Now()
			report, err := p.Watch(t.Context(), "4925", true, func(Report) error { return nil })
			if took := time.Since(start); err != nil || report.Payment.State != ledger.Expired || took < time.Hour-time.Second || took > time.Hour+time.Second {
				t.Errorf("after %s: %+v, %v", took, report, err)
			}
		})
	})
	t.Run("at once where there is no payment", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			p := newWorld(t, sandbox.Options{}).start(t, 0)
			report, err := p.Watch(t.Context(), "4925", true, func(Report) error { return nil })
			if err != nil || report.Found {
				t.Errorf("%+v, %v", report, err)
			}
		})
	})
	t.Run("at once where it was rejected", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			p := newWorld(t, sandbox.Options{}).start(t, 0)
			_, _ = p.make(t, "refused-amount")
			start := time.Now()
			report, err := p.Watch(t.Context(), "refused-amount", false, func(Report) error { return nil })
			if err != nil || report.Payment.State != ledger.Rejected || time.Since(start) != 0 {
				t.Errorf("%+v, %v", report, err)
			}
		})
	})
	t.Run("with its context", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			p := newWorld(t, sandbox.Options{}).start(t, 0)
			p.mustMake(t, Request{OrderID: "4925"})
			ctx, cancel := contextFor(t, time.Minute)
			defer cancel()
			report, err := p.Watch(ctx, "4925", true, func(Report) error { return nil })
			if err == nil || report.Payment.State != ledger.Awaiting {
				t.Errorf("%+v, %v", report, err)
			}
		})
	})
}

// An API that fails for a while is told once, and its return once; one without a
// status endpoint is asked once.
func TestWatchingAnAPIThatFails(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, sandbox.Options{})
		p := w.start(t, 0)
		p.mustMake(t, Request{OrderID: "4925"})
		w.says(503, "{}")
		time.AfterFunc(5*time.Minute, func() { w.between(nil) })
		ctx, cancel := contextFor(t, 10*time.Minute)
		defer cancel()
		var told []bool
		_, _ = p.Watch(ctx, "4925", true, func(r Report) error {
			told = append(told, r.Err != nil)
			return nil
		})
		if diff := cmp.Diff([]bool{true, false}, told); diff != "" {
			t.Error(diff)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, sandbox.Options{})
		p := w.start(t, 0)
		p.mustMake(t, Request{OrderID: "4925"})
		asked := 0
		w.between(func(req *http.Request, _ http.RoundTripper) (*http.Response, error) {
			asked++
			resp, err := answer(req, 403)
			resp.Body = io.NopCloser(strings.NewReader(`{"message":"Missing Authentication Token"}`))
			return resp, err
		})
		report, err := p.Watch(t.Context(), "4925", true, func(Report) error { return nil })
		if err != nil || asked != 1 || !report.NoEndpoint || report.Payment.State != ledger.Expired {
			t.Errorf("asked %d times, %+v, %v", asked, report, err)
		}
	})
}
