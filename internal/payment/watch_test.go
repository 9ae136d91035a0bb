package payment

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/villapay/villapay/internal/api"
	"github.com/villapay/villapay/internal/order"
	"github.com/villapay/villapay/internal/sandbox"
)

// short is an order that expires after three seconds.
const short = "short-expiry"

// watch watches an order to its end, and returns the states that were reported.
func (p *process) watch(ctx context.Context, orderID string, own order.Payment, each ...func(Report)) (states []order.State, report Report, err error) {
	report, err = p.Watch(ctx, orderID, own, func(r Report) error {
		states = append(states, r.Payment.State)
		for _, f := range each {
			f(r)
		}
		return nil
	})
	return states, report, err
}

// Watching polls politely, reports each change once, and ends when the order is
// paid, however that becomes known.
func TestWatch(t *testing.T) {
	t.Parallel()
	inWorld(t, sandbox.Options{}, func(t *testing.T, w *world, p *process) {
		made := p.mustMake(t, Request{})
		start := time.Now()
		var polls []time.Duration
		w.between(func(req *http.Request, next http.RoundTripper) (*http.Response, error) {
			polls = append(polls, time.Since(start))
			return next.RoundTrip(req)
		})
		time.AfterFunc(5*time.Minute+100*time.Millisecond, func() { p.pay(t, made) })
		states, report, err := p.watch(t.Context(), "4925", made)
		if took := time.Since(start); err != nil || report.Payment.State != order.Paid || took > 5*time.Minute+time.Second {
			t.Errorf("after %s: %+v, %v", took, report, err)
		}
		if diff := cmp.Diff([]order.State{order.Awaiting, order.Paid}, states); diff != "" {
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

// Watching ends when there is nothing to wait for any more, and no later.
func TestWatchEnds(t *testing.T) {
	t.Parallel()
	const awaiting, paid, expired = order.Awaiting, order.Paid, order.Expired
	for name, test := range map[string]struct {
		order    string
		before   func(t *testing.T, w *world, p *process, made order.Payment)
		states   []order.State
		from, to time.Duration
		context  time.Duration // 0 = no end
	}{
		"when the order expires": {short, func(*testing.T, *world, *process, order.Payment) {}, []order.State{awaiting, expired}, 3 * time.Second, 9 * time.Second, 0},
		"when it was paid at the last moment": {short, func(_ *testing.T, w *world, _ *process, made order.Payment) {
			w.between(func(req *http.Request, next http.RoundTripper) (*http.Response, error) {
				if time.Until(made.ExpiresAt) > 0 { // the API knows of it only then
					return next.RoundTrip(req)
				}
				return answer(req, 200, authorized)
			})
		}, []order.State{awaiting, expired, paid}, 3 * time.Second, 9 * time.Second, 0},
		"at once if there is no payment": {"", func(*testing.T, *world, *process, order.Payment) {}, nil, 0, 0, 0},
		"at once if it was rejected":     {"refused-amount", func(*testing.T, *world, *process, order.Payment) {}, []order.State{order.Rejected}, 0, 0, 0},
		"at once if it has expired": {short, func(_ *testing.T, w *world, _ *process, _ order.Payment) {
			time.Sleep(3 * time.Second)
			w.says(200, `{"status":"pending"}`)
		}, []order.State{expired}, 0, time.Second, 0},
		"but asks first, if it was paid after all": {short, func(_ *testing.T, w *world, _ *process, _ order.Payment) {
			time.Sleep(3 * time.Second)
			w.says(200, authorized)
		}, []order.State{expired, paid}, 0, time.Second, 0},
		"if it is paid through another tool": {"4925", func(_ *testing.T, w *world, _ *process, _ order.Payment) {
			w.says(200, `{"order_id":"order_x","id":"chrg_1","status":"success","transaction_state":"Settled"}`)
		}, []order.State{awaiting, paid}, 0, time.Second, 0},
		"with its context": {"4925", func(_ *testing.T, w *world, p *process, _ order.Payment) {
			p.Timeout = time.Hour
			w.between(silent)
		}, []order.State{awaiting}, time.Minute, time.Minute, time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inWorld(t, sandbox.Options{}, func(t *testing.T, w *world, p *process) {
				var made order.Payment
				if test.order != "" {
					made, _ = p.make(t, Request{OrderID: test.order})
				}
				test.before(t, w, p, made)
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				if test.context > 0 {
					time.AfterFunc(test.context, cancel)
				}
				start := time.Now()
				states, report, err := p.watch(ctx, test.order, order.Payment{})
				if took := time.Since(start); took < test.from || took > test.to || (err != nil) != (test.context > 0) || report.Found != (len(states) > 0) || report.Err != nil {
					t.Errorf("after %s: %+v, %v", took, report, err)
				}
				if diff := cmp.Diff(test.states, states); diff != "" {
					t.Error(diff)
				}
			})
		})
	}
}

// Who cannot write a report any more ends the watching.
func TestWatchingForNobody(t *testing.T) {
	t.Parallel()
	inWorld(t, sandbox.Options{}, func(t *testing.T, _ *world, p *process) {
		p.mustMake(t, Request{})
		full := errors.New("stdout is full")
		if _, err := p.Watch(t.Context(), "4925", order.Payment{}, func(Report) error { return full }); !errors.Is(err, full) {
			t.Error(err)
		}
	})
}

// An API that fails for a while is reported once, and so is its return; one
// without a status endpoint is asked once.
func TestWatchingAnAPIThatFails(t *testing.T) {
	t.Parallel()
	inWorld(t, sandbox.Options{}, func(t *testing.T, w *world, p *process) {
		p.mustMake(t, Request{})
		w.says(503, "{}")
		time.AfterFunc(time.Minute, func() { w.between(nil) })
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		defer cancel()
		var failed []bool
		_, _, _ = p.watch(ctx, "4925", order.Payment{}, func(r Report) { failed = append(failed, r.Err != nil) })
		if diff := cmp.Diff([]bool{false, true, false}, failed); diff != "" {
			t.Error(diff)
		}
	})
	inWorld(t, sandbox.Options{}, func(t *testing.T, w *world, p *process) {
		p.mustMake(t, Request{OrderID: short})
		asked := 0
		w.between(func(req *http.Request, _ http.RoundTripper) (*http.Response, error) {
			asked++
			return answer(req, 403, `{"message":"Missing Authentication Token"}`)
		})
		_, report, err := p.watch(t.Context(), short, order.Payment{})
		if err != nil || asked != 1 || !report.NoEndpoint || report.Payment.State != order.Expired {
			t.Errorf("asked %d times, %+v, %v", asked, report, err)
		}
	})
}

// An API that hangs holds nothing up: what is known is reported at once, what a
// notification brings and an expiry as soon as the ledger is read again, and then
// watching ends, after an expiry half a minute later.
func TestWatchingAnAPIThatHangs(t *testing.T) {
	t.Parallel()
	for id, after := range map[string]time.Duration{"4925": 10 * time.Second, short: 3*time.Second + expiryGrace} {
		end := map[bool]order.State{true: order.Expired, false: order.Paid}[id == short]
		t.Run(string(end), func(t *testing.T) {
			t.Parallel()
			inWorld(t, sandbox.Options{}, func(t *testing.T, w *world, p *process) {
				p.Timeout = 2 * time.Hour
				made := p.mustMake(t, Request{OrderID: id})
				w.between(silent)
				if end == order.Paid {
					time.AfterFunc(after-100*time.Millisecond, func() { p.pay(t, made) })
				}
				start, first := time.Now(), time.Hour
				states, _, err := p.watch(t.Context(), id, made, func(Report) { first = min(first, time.Since(start)) })
				if took := time.Since(start); err != nil || first != 0 || took < after-readEvery || took > after+readEvery {
					t.Errorf("first report after %s, ended after %s: %v", first, took, err)
				}
				if diff := cmp.Diff([]order.State{order.Awaiting, end}, states); diff != "" {
					t.Error(diff)
				}
			})
		})
	}
}

// Who shows a payment watches that one: an attempt of another source that is
// rejected ends nothing, one that is made takes no place, and any that is paid
// pays the order. Who shows none watches the open one.
func TestWatchingOneOfSeveral(t *testing.T) {
	t.Parallel()
	wechat := Request{OrderID: "4925", Source: order.WeChat}
	for name, test := range map[string]struct {
		happens func(t *testing.T, w *world, other *process, own order.Payment)
		want    []string // what is reported; the last is how it ends
	}{
		"another source is rejected": {func(t *testing.T, w *world, other *process, own order.Payment) {
			w.answers(400)
			if _, err := other.make(t, wechat); kind(err) != api.Rejected {
				t.Error(err)
			}
			time.AfterFunc(time.Minute, func() { other.pay(t, own) })
		}, []string{"qr awaiting", "qr paid"}},
		"another source is open": {func(t *testing.T, _ *world, other *process, own order.Payment) {
			other.mustMake(t, wechat)
			time.AfterFunc(time.Minute, func() { other.pay(t, own) })
		}, []string{"qr awaiting", "qr paid"}},
		"another source is paid": {func(t *testing.T, _ *world, other *process, _ order.Payment) {
			other.pay(t, other.mustMake(t, wechat))
		}, []string{"qr awaiting", "wechat paid"}},
		"it is replaced": {func(t *testing.T, _ *world, other *process, _ order.Payment) {
			other.mustMake(t, Request{New: true})
		}, []string{"qr awaiting", "qr awaiting replaced"}},
		"it is replaced, and paid all the same": {func(t *testing.T, _ *world, other *process, own order.Payment) {
			other.mustMake(t, Request{New: true})
			other.pay(t, own)
		}, []string{"qr awaiting", "qr paid"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inWorld(t, sandbox.Options{}, func(t *testing.T, w *world, p *process) {
				other := w.start(t, 0)
				p.StatusPath, other.StatusPath = "", ""
				own := p.mustMake(t, Request{})
				time.AfterFunc(time.Minute+100*time.Millisecond, func() { test.happens(t, w, other, own) })
				var got []string
				_, _, err := p.watch(t.Context(), "4925", own, func(r Report) {
					text := fmt.Sprint(r.Payment.Source, " ", r.Payment.State)
					if r.Payment.ReplacedBy != "" && r.Payment.State != order.Paid {
						text += " replaced"
					}
					got = append(got, text)
				})
				if diff := cmp.Diff(test.want, got); err != nil || diff != "" {
					t.Errorf("%v\n%s", err, diff)
				}
			})
		})
	}
	inWorld(t, sandbox.Options{}, func(t *testing.T, w *world, p *process) {
		own := p.mustMake(t, Request{})
		w.answers(400)
		_, _ = p.make(t, wechat)
		states, report, err := p.watch(t.Context(), "4925", order.Payment{}, func(r Report) {
			if r.Payment.State == order.Awaiting {
				p.pay(t, own)
			}
		})
		if err != nil || report.Payment.Key != own.Key || len(states) != 2 || states[1] != order.Paid {
			t.Errorf("%v, %s %s, %v", states, report.Payment.Source, report.Payment.State, err)
		}
	})
}

// Without a ledger the payment that was made is watched all the same, whatever
// the status endpoint says or does not say.
func TestWatchWithoutALedger(t *testing.T) {
	t.Parallel()
	const awaiting, paid, expired = order.Awaiting, order.Paid, order.Expired
	for name, test := range map[string]struct {
		order    string
		status   int // 0: no endpoint is configured
		body     string
		want     []order.State
		warnings string
	}{
		"it may not be asked":        {short, 403, "{}", []order.State{awaiting, awaiting, expired}, ""}, // the second says why
		"there is none":              {short, 403, `{"message":"Missing Authentication Token"}`, []order.State{awaiting, awaiting, expired}, ""},
		"it does not know the order": {short, 404, `{"error":{"code":"order_not_found"}}`, []order.State{awaiting, expired}, ""},
		"it says authorized":         {short, 200, authorized, []order.State{awaiting, paid}, ""},
		"it says success":            {short, 200, `{"status":"success"}`, []order.State{awaiting, awaiting, expired}, "status_ambiguous"}, // the second warns
		"it was paid in part":        {short, 200, `{"id":"chrg_1","status":"success","transaction_state":"Authorized","amount":3.0}`, []order.State{awaiting, awaiting, expired}, "charge_amount"},
		"another order was paid":     {short, 200, `{"order_id":"order_x","status":"success","transaction_state":"Settled"}`, []order.State{awaiting, paid}, "not_recorded"},
		"another order awaits too":   {short, 200, `{"order_id":"order_x","status":"success"}`, []order.State{awaiting, expired}, ""},
		"nobody can ever say":        {"no-expiry", 0, "", []order.State{awaiting}, ""},
		"a late endpoint, no expiry": {"no-expiry", 200, `{"transaction_state":"Settled"}`, []order.State{awaiting, paid}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, sandbox.Options{})
				p := w.startOn(t, "none", 0)
				if test.status == 0 {
					p.StatusPath = ""
				}
				made := p.mustMake(t, Request{OrderID: test.order})
				w.says(test.status, test.body)
				var got []order.State
				report, err := p.Watch(t.Context(), made.OrderID, made, func(r Report) error {
					got = append(got, r.Payment.State)
					return nil
				})
				if diff := cmp.Diff(test.want, got); err != nil || !report.Found || diff != "" || codes(report.Payment.Warnings) != test.warnings {
					t.Errorf("%+v, %v\n%s", report, err, diff)
				}
			})
		})
	}
}
