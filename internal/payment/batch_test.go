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
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/villapay/villapay/internal/backoff"
	"github.com/villapay/villapay/internal/order"
	"github.com/villapay/villapay/internal/sandbox"
	"github.com/villapay/villapay/internal/secret"
	"github.com/villapay/villapay/internal/table"
)

// input is a checked list of orders, a line each.
func input(t *testing.T, lines ...string) *Input {
	t.Helper()
	in, err := ReadInput(strings.NewReader(strings.Join(lines, "\n")), order.QR, t.TempDir(), func(bad *table.Error) { t.Error(bad) })
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

// run makes the orders of an input and returns how many ended in which state,
// their errors, and the error that stopped the batch. stops ends it if it is an
// order's error.
func (p *process) run(ctx context.Context, b Batch, in *Input, stops error) (states map[order.State]int, errs []error, stopped error) {
	states = map[order.State]int{}
	b.Service, b.Stops = p.Service, func(err error) bool { return stops != nil && errors.Is(err, stops) }
	done := b.Done
	b.Done = func(line Line, p order.Payment, err error) error {
		states[p.State]++
		if err != nil {
			errs = append(errs, err)
		}
		if done != nil {
			return done(line, p, err)
		}
		return nil
	}
	return states, errs, b.Run(ctx, in)
}

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
	_, _ = answer(req, lost, "") // it was sent
	if err := backoff.Sleep(req.Context(), a.takes); err != nil {
		return nil, err
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
			inWorld(t, sandbox.Options{}, func(t *testing.T, w *world, p *process) {
				seen := &arrivals{takes: 200 * time.Millisecond}
				w.between(seen.RoundTrip)
				start := time.Now()
				states, _, err := p.run(t.Context(), Batch{Concurrency: test.concurrency, Rate: test.rate}, input(t, numbered(60)...), nil)
				if took := time.Since(start); err != nil || took < test.took || took > test.took+time.Second {
					t.Errorf("it took %s, want %s: %v", took, test.took, err)
				}
				if states[order.Awaiting] != 60 || seen.most > test.concurrency {
					t.Errorf("%v, %d at once", states, seen.most)
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
	inWorld(t, sandbox.Options{}, func(t *testing.T, w *world, p *process) {
		ids := numbered(50)
		for _, id := range ids {
			p.mustMake(t, Request{OrderID: id})
		}
		p.pay(t, p.stored(t, "o-3")[0])
		start := time.Now()
		states, _, err := p.run(t.Context(), Batch{Concurrency: 4, Rate: 1}, input(t, slices.Concat(ids, []string{"new", "new", "new"})...), nil)
		if took := time.Since(start); err != nil || took > 4*time.Second {
			t.Errorf("it took %s: %v", took, err)
		}
		if diff := cmp.Diff(map[order.State]int{order.Awaiting: 52, order.Paid: 1}, states); diff != "" {
			t.Error(diff)
		}
		w.counts(t, "new", 1, 1)
		w.counts(t, "o-3", 1, 1)
	})
}

// A server that asks for fewer calls for a while gets the same orders again, each
// after the pause that it asked for, and every order is made. One that would have
// to wait longer than an order may take is given up; the others go on.
func TestBatchIsThrottled(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		status     int
		retryAfter string
		pause      time.Duration
		want       map[order.State]int
	}{
		"429":                      {429, "", 0, map[order.State]int{order.Awaiting: 40}},
		"429, wait five seconds":   {429, "5", 5 * time.Second, map[order.State]int{order.Awaiting: 40}},
		"503, wait five seconds":   {503, "5", 5 * time.Second, map[order.State]int{order.Awaiting: 40}},
		"429, wait for too long":   {429, "45", 0, map[order.State]int{order.Awaiting: 36, order.Rejected: 4}},
		"503, wait for too long":   {503, "45", 0, map[order.State]int{order.Awaiting: 36, order.Unknown: 4}},
		"101, which means nothing": {101, "", 0, map[order.State]int{order.Awaiting: 40}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inWorld(t, sandbox.Options{}, func(t *testing.T, w *world, p *process) {
				start := time.Now()
				var mu sync.Mutex
				asked := map[string]time.Time{} // at first, by key
				w.between(func(req *http.Request, next http.RoundTripper) (*http.Response, error) {
					mu.Lock()
					first, again := asked[req.Header.Get("Idempotency-Key")]
					if !again {
						asked[req.Header.Get("Idempotency-Key")] = time.Now()
					}
					mu.Unlock()
					if again && time.Since(first) < test.pause {
						t.Errorf("asked again after %s", time.Since(first))
					}
					if again || time.Since(start) > 350*time.Millisecond {
						return next.RoundTrip(req)
					}
					resp, err := answer(req, test.status, "")
					resp.Header.Set("Retry-After", test.retryAfter)
					return resp, err
				})
				states, errs, err := p.run(t.Context(), Batch{Concurrency: 40, Rate: 10}, input(t, numbered(40)...), nil)
				if diff := cmp.Diff(test.want, states); diff != "" || err != nil {
					t.Error(diff, errs, err)
				}
				if took := time.Since(start); took > 10*time.Second {
					t.Errorf("it took %s", took)
				}
			})
		})
	}
}

// signedUntil is a sign-in that ends at a moment.
type signedUntil struct {
	end time.Time
	signIn
}

func (s signedUntil) Token(ctx context.Context) (secret.String, error) {
	if time.Now().Before(s.end) {
		return secret.New("a token"), nil
	}
	return s.signIn.Token(ctx)
}

// What stops a batch stops it cleanly: those in flight finish, the rest is
// untouched.
func TestBatchStops(t *testing.T) {
	t.Parallel()
	t.Run("when an order's error is every order's", func(t *testing.T) {
		t.Parallel()
		inWorld(t, sandbox.Options{}, func(t *testing.T, w *world, p *process) {
			ended := errors.New("the sign-in has ended")
			w.between((&arrivals{takes: time.Second}).RoundTrip)
			p.API.Tokens = signedUntil{time.Now().Add(9500 * time.Millisecond), signIn{err: ended, end: ended}}
			states, _, err := p.run(t.Context(), Batch{Concurrency: 4}, input(t, numbered(100)...), ended)
			if made, rejected := states[order.Awaiting], states[order.Rejected]; !errors.Is(err, ended) || made != 40 || rejected < 1 || rejected > 8 {
				t.Errorf("it ends with %v, %v", err, states)
			}
			if later := p.stored(t, "o-50"); len(later) > 0 {
				t.Errorf("an order after it was touched: %+v", later)
			}
		})
	})
	t.Run("when nobody hears of it", func(t *testing.T) {
		t.Parallel()
		inWorld(t, sandbox.Options{}, func(t *testing.T, w *world, p *process) {
			full, done := errors.New("stdout is full"), 0
			w.between((&arrivals{takes: time.Second}).RoundTrip)
			b := Batch{Concurrency: 4, Done: func(Line, order.Payment, error) error {
				if done++; done >= 10 {
					return full
				}
				return nil
			}}
			if _, _, err := p.run(t.Context(), b, input(t, numbered(100)...), nil); !errors.Is(err, full) || done > 16 {
				t.Errorf("%d orders were made, it ends with %v", done, err)
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
		rate        float64
		want        map[order.State]int
	}{
		"those in flight finish":       {3 * time.Second, 3 * time.Second, 0, map[order.State]int{order.Awaiting: 4}},
		"those that hang do not":       {time.Minute, 11 * time.Second, 0, map[order.State]int{order.Unknown: 4}},
		"those that wait do not begin": {0, time.Second, 1.0 / 60, map[order.State]int{order.Awaiting: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inWorld(t, sandbox.Options{}, func(t *testing.T, w *world, p *process) {
				w.between((&arrivals{takes: test.takes}).RoundTrip)
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				start := time.Now()
				states, errs, err := p.run(ctx, Batch{Concurrency: 4, Rate: test.rate}, input(t, numbered(100)...), nil)
				if took := time.Since(start).Round(time.Second); took != test.ends || !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("it ends after %s with %v", took, err)
				}
				if diff := cmp.Diff(test.want, states); diff != "" {
					t.Error(errs, diff)
				}
				recorded := map[order.State]int{}
				for _, id := range numbered(100) {
					for _, p := range p.stored(t, id) {
						recorded[p.State]++
					}
				}
				if diff := cmp.Diff(test.want, recorded); diff != "" {
					t.Error("recorded:", diff)
				}
			})
		})
	}
}

// Rejected and unknown orders do not stop the others.
func TestBatchGoesOn(t *testing.T) {
	t.Parallel()
	inWorld(t, sandbox.Options{}, func(t *testing.T, _ *world, p *process) {
		var lines []int
		b := Batch{Concurrency: 3, Done: func(line Line, _ order.Payment, _ error) error {
			lines = append(lines, line.Number)
			return nil
		}}
		states, errs, err := p.run(t.Context(), b, input(t, "o-1", "refused-amount", "lost-always", "failed-order", "lost-once", "o-2"), nil)
		slices.Sort(lines)
		if diff := cmp.Diff([]int{1, 2, 3, 4, 5, 6}, lines); diff != "" || err != nil || len(errs) != 2 {
			t.Error(diff, errs, err)
		}
		if diff := cmp.Diff(map[order.State]int{order.Awaiting: 3, order.Rejected: 1, order.Unknown: 1, order.Failed: 1}, states); diff != "" {
			t.Error(diff)
		}
	})
}

// An order that the file has with both sources could be paid twice: that is said.
func TestBatchWarnsOfAnOrderWithBothSources(t *testing.T) {
	t.Parallel()
	inWorld(t, sandbox.Options{}, func(t *testing.T, _ *world, p *process) {
		states, _, err := p.run(t.Context(), Batch{Concurrency: 4}, input(t, "orderid,source", "4925,qr", "4925,wechat", "4926,qr"), nil)
		if said := strings.Join(p.warnings, "\n"); err != nil || states[order.Awaiting] != 3 || strings.Count(said, "order 4925 also has an open") != 1 || strings.Contains(said, "4926") {
			t.Errorf("%v, %v, warned %q", states, err, said)
		}
	})
}
