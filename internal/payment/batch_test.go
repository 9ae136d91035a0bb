package payment

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/villapay/villapay/internal/backoff"
	"github.com/villapay/villapay/internal/order"
	"github.com/villapay/villapay/internal/sandbox"
	"github.com/villapay/villapay/internal/secret"
)

// input is a checked list of order IDs.
func input(t *testing.T, ids ...string) *Input {
	t.Helper()
	in, err := ReadInput(strings.NewReader(strings.Join(ids, "\n")), order.QR, t.TempDir(), func(b BadLine) { t.Error(b) })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(in.Close)
	return in
}

func numbered(n int) (ids []string) {
	for i := range n {
		ids = append(ids, fmt.Sprintf("o-%d", i))
	}
	return ids
}

// outcomes collects what a batch tells of its orders.
type outcomes struct {
	states map[order.State]int
	lines  []int
	errs   []error
}

func (o *outcomes) add(line Line, p order.Payment, err error) error {
	if o.states == nil {
		o.states = map[order.State]int{}
	}
	o.states[p.State]++
	o.lines = append(o.lines, line.Number)
	if err != nil {
		o.errs = append(o.errs, err)
	}
	return nil
}

func never(error) bool { return false }

// arrivals notes when requests reach the API, and answers after a while.
type arrivals struct {
	mu    sync.Mutex
	at    []time.Time
	now   int
	most  int
	takes time.Duration
}

func (a *arrivals) RoundTrip(req *http.Request, next http.RoundTripper) (*http.Response, error) {
	a.mu.Lock()
	a.at = append(a.at, time.Now())
	a.now++
	a.most = max(a.most, a.now)
	a.mu.Unlock()
	defer func() {
		a.mu.Lock()
		a.now--
		a.mu.Unlock()
	}()
	if a.takes > 0 {
		gotConn(req)
		if err := backoff.Sleep(req.Context(), a.takes); err != nil {
			return nil, err
		}
	}
	return next.RoundTrip(req)
}

// The rate is kept smoothly, from the first order on, and so is the number of
// orders in flight; without a rate only the latter.
func TestBatchKeepsItsPace(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		rate        float64
		concurrency int
		took        time.Duration
	}{
		"15 a second":        {15, 8, 59 * time.Second / 15},
		"no rate":            {0, 4, 15 * 200 * time.Millisecond},
		"more than it bears": {1000, 2, 30 * 200 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, sandbox.Options{})
				p := w.start(t, 0)
				seen := &arrivals{takes: 200 * time.Millisecond}
				w.between(seen.RoundTrip)
				var out outcomes
				start := time.Now()
				b := Batch{Service: p.Service, Concurrency: test.concurrency, Rate: test.rate, Done: out.add, Stops: never}
				if err := b.Run(t.Context(), input(t, numbered(60)...)); err != nil {
					t.Fatal(err)
				}
				if took := time.Since(start); took < test.took || took > test.took+time.Second {
					t.Errorf("it took %s, want %s", took, test.took)
				}
				if out.states[order.Awaiting] != 60 || seen.most > test.concurrency {
					t.Errorf("%v, %d at once", out.states, seen.most)
				}
				for i := 1; i < len(seen.at) && test.rate > 0; i++ {
					if gap := seen.at[i].Sub(seen.at[i-1]); gap < time.Duration(float64(time.Second)/test.rate)-time.Millisecond {
						t.Errorf("order %d came %s after the one before", i, gap)
					}
				}
			})
		})
	}
}

// Going on after a batch was stopped is quick: what the ledger answers alone
// costs no share of the rate. A repeat in the file is a replay, too.
func TestBatchReplaysAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, sandbox.Options{})
		p := w.start(t, 0)
		ids := numbered(50)
		for _, id := range ids {
			p.mustMake(t, Request{OrderID: id})
		}
		pay(t, p, p.stored(t, "o-3")[0])
		var out outcomes
		start := time.Now()
		b := Batch{Service: p.Service, Concurrency: 4, Rate: 1, Done: out.add, Stops: never}
		if err := b.Run(t.Context(), input(t, slices.Concat(ids, []string{"new", "new", "new"})...)); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(start); took > 4*time.Second {
			t.Errorf("it took %s", took)
		}
		if diff := cmp.Diff(map[order.State]int{order.Awaiting: 52, order.Paid: 1}, out.states); diff != "" {
			t.Error(diff)
		}
		w.counts(t, "new", 1, 1)
		w.counts(t, "o-3", 1, 1)
	})
}

// A server that asks for fewer calls gets fewer from the whole batch, which then
// recovers, and every order is made.
func TestBatchSlowsDownAndRecovers(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		status int
		header string
		pause  time.Duration
	}{
		"429":                  {429, "", 0},
		"429 with Retry-After": {429, "5", 5 * time.Second},
		"503 with Retry-After": {503, "5", 5 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, sandbox.Options{})
				p := w.start(t, 0)
				from, to := time.Now().Add(2*time.Second), time.Now().Add(3*time.Second)
				var refused time.Time             // the first time
				started := map[string]time.Time{} // by key
				var mu sync.Mutex
				w.between(func(req *http.Request, next http.RoundTripper) (*http.Response, error) {
					mu.Lock()
					defer mu.Unlock()
					now, key := time.Now(), req.Header.Get("Idempotency-Key")
					if _, again := started[key]; !again {
						started[key] = now
					}
					if now.Before(from) || now.After(to) {
						return next.RoundTrip(req)
					}
					if refused.IsZero() {
						refused = now
					}
					resp, err := answer(req, test.status)
					if test.header != "" {
						resp.Header.Set("Retry-After", test.header)
					}
					return resp, err
				})
				var out outcomes
				b := Batch{Service: p.Service, Concurrency: 4, Rate: 20, Done: out.add, Stops: never}
				if err := b.Run(t.Context(), input(t, numbered(400)...)); err != nil {
					t.Fatal(err)
				}
				if out.states[order.Awaiting] != 400 {
					t.Errorf("%v, %v", out.states, out.errs)
				}
				orders := func(from, to time.Duration) (n int) { // begun between two moments after the first refusal
					for _, at := range started {
						if since := at.Sub(refused); since > from && since <= to {
							n++
						}
					}
					return n
				}
				const inFlight = 3 // had their turn already
				if early := orders(0, test.pause); early > inFlight {
					t.Errorf("%d orders were begun before Retry-After", early)
				}
				if slow := orders(test.pause, test.pause+500*time.Millisecond); slow > 7 {
					t.Errorf("then it began %d in half a second", slow)
				}
				if fast := orders(test.pause+8*time.Second, test.pause+11*time.Second); fast < 57 {
					t.Errorf("later it began %d in three seconds", fast)
				}
			})
		})
	}
}

// A server that asks for a longer pause than an order may take fails that order,
// and the batch waits all the same.
func TestBatchHeedsALongRetryAfter(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, sandbox.Options{})
		p := w.start(t, 0)
		var posts []time.Time
		w.between(func(req *http.Request, next http.RoundTripper) (*http.Response, error) {
			posts = append(posts, time.Now())
			if len(posts) > 1 {
				return next.RoundTrip(req)
			}
			resp, err := answer(req, http.StatusTooManyRequests)
			resp.Header.Set("Retry-After", "45")
			return resp, err
		})
		var out outcomes
		b := Batch{Service: p.Service, Concurrency: 1, Rate: 0, Done: out.add, Stops: never}
		if err := b.Run(t.Context(), input(t, numbered(3)...)); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(map[order.State]int{order.Awaiting: 2, order.Rejected: 1}, out.states); diff != "" {
			t.Error(diff)
		}
		if pause := posts[1].Sub(posts[0]); pause < 45*time.Second || pause > 48*time.Second {
			t.Errorf("it paused for %s", pause)
		}
	})
}

// signedUntil is a sign-in that ends at a moment.
type signedUntil struct {
	end time.Time
	err error
}

func (s signedUntil) Token(ctx context.Context) (secret.String, error) {
	if time.Now().Before(s.end) {
		return secret.New("a token"), nil
	}
	return signedOut{s.err}.Token(ctx)
}

func (s signedUntil) Refresh(ctx context.Context, used secret.String) (secret.String, error) {
	return signedOut{s.err}.Refresh(ctx, used)
}

// What stops a batch stops it cleanly: those in flight finish, the rest is
// untouched.
func TestBatchStops(t *testing.T) {
	t.Parallel()
	ended, full := errors.New("the sign-in has ended"), errors.New("stdout is full")
	t.Run("when an order's error is every order's", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, sandbox.Options{})
			p := w.start(t, 0)
			w.between((&arrivals{takes: time.Second}).RoundTrip)
			p.API.Tokens = signedUntil{time.Now().Add(9500 * time.Millisecond), ended}
			var out outcomes
			b := Batch{Service: p.Service, Concurrency: 4, Done: out.add, Stops: func(err error) bool { return errors.Is(err, ended) }}
			if err := b.Run(t.Context(), input(t, numbered(100)...)); !errors.Is(err, ended) {
				t.Errorf("it ends with %v", err)
			}
			if made, rejected := out.states[order.Awaiting], out.states[order.Rejected]; made != 40 || rejected < 1 || rejected > 4 {
				t.Errorf("%v", out.states)
			}
			if later := p.stored(t, "o-50"); len(later) > 0 {
				t.Errorf("an order after it was touched: %+v", later)
			}
		})
	})
	t.Run("when nobody can be told", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, sandbox.Options{})
			p := w.start(t, 0)
			w.between((&arrivals{takes: time.Second}).RoundTrip)
			told := 0
			b := Batch{Service: p.Service, Concurrency: 4, Stops: never, Done: func(Line, order.Payment, error) error {
				if told++; told >= 10 {
					return full
				}
				return nil
			}}
			if err := b.Run(t.Context(), input(t, numbered(100)...)); !errors.Is(err, full) {
				t.Errorf("it ends with %v", err)
			}
			if told > 16 {
				t.Errorf("%d orders were made", told)
			}
		})
	})
}

// Ctrl-C: no new orders; those in flight finish, and what hangs is given up
// after ten seconds, recorded as unknown.
func TestBatchIsInterrupted(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		takes, ends time.Duration
		state       order.State
	}{
		"those in flight finish": {3 * time.Second, 3 * time.Second, order.Awaiting},
		"those that hang do not": {time.Minute, 11 * time.Second, order.Unknown},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, sandbox.Options{})
				p := w.start(t, 0)
				w.between((&arrivals{takes: test.takes}).RoundTrip)
				ctx, cancel := contextFor(t, time.Second)
				defer cancel()
				var out outcomes
				start := time.Now()
				b := Batch{Service: p.Service, Concurrency: 4, Done: out.add, Stops: never}
				if err := b.Run(ctx, input(t, numbered(100)...)); !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("it ends with %v", err)
				}
				if took := time.Since(start).Round(time.Second); took != test.ends {
					t.Errorf("it ends after %s", took)
				}
				if diff := cmp.Diff(map[order.State]int{test.state: 4}, out.states); diff != "" {
					t.Error(out.errs)
					t.Error(diff)
				}
				if all := p.stored(t, "o-0"); len(all) != 1 || all[0].State != test.state {
					t.Errorf("recorded: %+v", all)
				}
				if all := p.stored(t, "o-4"); len(all) != 0 {
					t.Errorf("a later order was touched: %+v", all)
				}
			})
		})
	}
	t.Run("while it waits for its turn", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, sandbox.Options{})
			p := w.start(t, 0)
			ctx, cancel := contextFor(t, 90*time.Second)
			defer cancel()
			var out outcomes
			start := time.Now()
			b := Batch{Service: p.Service, Concurrency: 4, Rate: 1.0 / 60, Done: out.add, Stops: never}
			err := b.Run(ctx, input(t, numbered(100)...))
			if took := time.Since(start); !errors.Is(err, context.DeadlineExceeded) || took != 90*time.Second || out.states[order.Awaiting] != 2 {
				t.Errorf("after %s: %v, %v", took, err, out.states)
			}
		})
	})
}

// Refused and unknown orders are told, and do not stop the others.
func TestBatchGoesOn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, sandbox.Options{})
		p := w.start(t, 0)
		var out outcomes
		b := Batch{Service: p.Service, Concurrency: 3, Done: out.add, Stops: never}
		ids := []string{"o-1", "refused-amount", "lost-always", "failed-order", "lost-once", "o-2"}
		if err := b.Run(t.Context(), input(t, ids...)); err != nil {
			t.Fatal(err)
		}
		want := map[order.State]int{order.Awaiting: 3, order.Rejected: 1, order.Unknown: 1, order.Failed: 1}
		if diff := cmp.Diff(want, out.states); diff != "" || len(out.errs) != 2 {
			t.Error(diff, out.errs)
		}
		slices.Sort(out.lines)
		if diff := cmp.Diff([]int{1, 2, 3, 4, 5, 6}, out.lines); diff != "" {
			t.Error(diff)
		}
	})
}
