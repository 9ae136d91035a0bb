package payment

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/villapay/villapay/internal/api"
	"github.com/villapay/villapay/internal/order"
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
		var told []order.State
		report, err := p.Watch(t.Context(), "4925", made, func(r Report) error {
			told = append(told, r.Payment.State)
			return nil
		})
		if err != nil || report.Payment.State != order.Paid {
			t.Errorf("%+v, %v", report, err)
		}
		if took := time.Since(start); took > 5*time.Minute+time.Second {
			t.Errorf("a charge that a webhook brings is seen after %s", took)
		}
		if diff := cmp.Diff([]order.State{order.Awaiting, order.Paid}, told); diff != "" {
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

// An order that is paid at the last moment is not told to have expired for good.
func TestWatchingAPaymentOfTheLastMoment(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, sandbox.Options{})
		p := w.start(t, 0)
		made := p.mustMake(t, Request{OrderID: "4925"})
		w.between(func(req *http.Request, next http.RoundTripper) (*http.Response, error) {
			if time.Until(made.ExpiresAt) > 0 { // the API knows of it only then
				return next.RoundTrip(req)
			}
			gotConn(req)
			body := fmt.Sprintf(`{"id":"chrg_1","order_id":%q,"status":"success","transaction_state":"Authorized","amount":%s,"currency":"THB"}`, made.BankOrderID, made.Amount)
			return &http.Response{StatusCode: 200, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body)), Request: req}, nil
		})
		report, err := p.Watch(t.Context(), "4925", made, func(Report) error { return nil })
		if err != nil || report.Payment.State != order.Paid {
			t.Errorf("%+v, %v", report.Payment.State, err)
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
			report, err := p.Watch(t.Context(), "4925", order.Payment{}, func(Report) error { return nil })
			if took := time.Since(start); err != nil || report.Payment.State != order.Expired || took < time.Hour || took > time.Hour+lastPoll+time.Second {
				t.Errorf("after %s: %+v, %v", took, report, err)
			}
		})
	})
	t.Run("at once where there is no payment", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			p := newWorld(t, sandbox.Options{}).start(t, 0)
			report, err := p.Watch(t.Context(), "4925", order.Payment{}, func(Report) error { return nil })
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
			report, err := p.Watch(t.Context(), "refused-amount", order.Payment{}, func(Report) error { return nil })
			if err != nil || report.Payment.State != order.Rejected || time.Since(start) != 0 {
				t.Errorf("%+v, %v", report, err)
			}
		})
	})
	t.Run("with its context", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, sandbox.Options{})
			p := w.start(t, 0)
			p.Timeout = time.Hour
			p.mustMake(t, Request{OrderID: "4925"})
			w.between(func(req *http.Request, _ http.RoundTripper) (*http.Response, error) { return silent(req) })
			ctx, cancel := contextFor(t, time.Minute)
			defer cancel()
			start := time.Now()
			report, err := p.Watch(ctx, "4925", order.Payment{}, func(Report) error { return nil })
			if err == nil || report.Payment.State != order.Awaiting || report.Err != nil || time.Since(start) != time.Minute {
				t.Errorf("after %s: %+v, %v", time.Since(start), report, err)
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
		_, _ = p.Watch(ctx, "4925", order.Payment{}, func(r Report) error {
			told = append(told, r.Err != nil)
			return nil
		})
		if diff := cmp.Diff([]bool{false, true, false}, told); diff != "" {
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
		report, err := p.Watch(t.Context(), "4925", order.Payment{}, func(Report) error { return nil })
		if err != nil || asked != 1 || !report.NoEndpoint || report.Payment.State != order.Expired {
			t.Errorf("asked %d times, %+v, %v", asked, report, err)
		}
	})
}

// An API that hangs holds nothing up: what is known is told at once, what a
// notification brings and an expiry within a look, and then watching ends, for an
// expiry after half a minute more.
func TestWatchingAnAPIThatHangs(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		paid  time.Duration // when it is; 0 = never
		state order.State
		after time.Duration
	}{
		"paid":    {paid: 10 * time.Second, state: order.Paid, after: 10 * time.Second},
		"expired": {state: order.Expired, after: time.Hour + lastWord},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, sandbox.Options{})
				p := w.start(t, 0)
				p.Timeout = 2 * time.Hour
				made := p.mustMake(t, Request{OrderID: "4925"})
				w.between(func(req *http.Request, _ http.RoundTripper) (*http.Response, error) { return silent(req) })
				if test.paid > 0 {
					time.AfterFunc(test.paid-100*time.Millisecond, func() { pay(t, p, made) })
				}
				start := time.Now()
				var told []order.State
				report, err := p.Watch(t.Context(), "4925", made, func(r Report) error {
					if told = append(told, r.Payment.State); len(told) == 1 && time.Since(start) != 0 {
						t.Errorf("first told after %s", time.Since(start))
					}
					return nil
				})
				if took := time.Since(start); err != nil || report.Payment.State != test.state || took < test.after-lookEvery || took > test.after+lookEvery {
					t.Errorf("ended after %s: %s, %v", took, report.Payment.State, err)
				}
				if diff := cmp.Diff([]order.State{order.Awaiting, test.state}, told); diff != "" {
					t.Error(diff)
				}
			})
		})
	}
}

// Of an order that is settled already the API may know better: it is asked once.
func TestWatchingWhatIsSettledAlready(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		body string
		want order.State
	}{
		"paid after all": {`{"id":"chrg_1","status":"success","transaction_state":"Authorized"}`, order.Paid},
		"expired it is":  {`{"status":"pending"}`, order.Expired},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, sandbox.Options{})
				p := w.start(t, 0)
				p.mustMake(t, Request{OrderID: "4925"})
				time.Sleep(time.Hour)
				w.says(200, test.body)
				start := time.Now()
				report, err := p.Watch(t.Context(), "4925", order.Payment{}, func(Report) error { return nil })
				if took := time.Since(start); err != nil || report.Payment.State != test.want || took > time.Second {
					t.Errorf("after %s: %s, %v", took, report.Payment.State, err)
				}
			})
		})
	}
}

// Who shows a payment watches that one: an attempt of another source that is
// refused ends nothing, one that is made takes no place, and any that is paid
// pays the order.
func TestWatchingOneOfSeveral(t *testing.T) {
	t.Parallel()
	const awaiting, paid = order.Awaiting, order.Paid
	wechat := Request{OrderID: "4925", Source: order.WeChat}
	for name, test := range map[string]struct {
		happens func(t *testing.T, w *world, other *process, own order.Payment)
		want    []string // what is told; the last is how it ends
	}{
		"another source is refused": {func(t *testing.T, w *world, other *process, own order.Payment) {
			w.answers(400)
			_, _ = other.Make(t.Context(), wechat)
			time.AfterFunc(time.Minute, func() { pay(t, other, own) })
		}, []string{"qr awaiting", "qr paid"}},
		"another source is open": {func(t *testing.T, _ *world, other *process, own order.Payment) {
			other.mustMake(t, wechat)
			time.AfterFunc(time.Minute, func() { pay(t, other, own) })
		}, []string{"qr awaiting", "qr paid"}},
		"another source is paid": {func(t *testing.T, _ *world, other *process, _ order.Payment) {
			pay(t, other, other.mustMake(t, wechat))
		}, []string{"qr awaiting", "wechat paid"}},
		"it is replaced": {func(t *testing.T, _ *world, other *process, _ order.Payment) {
			other.mustMake(t, Request{OrderID: "4925", New: true})
		}, []string{"qr awaiting", "qr awaiting replaced"}},
		"it is replaced, and paid all the same": {func(t *testing.T, _ *world, other *process, own order.Payment) {
			other.mustMake(t, Request{OrderID: "4925", New: true})
			pay(t, other, own)
		}, []string{"qr awaiting", "qr paid"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, sandbox.Options{})
				p, other := w.start(t, 0), w.start(t, 0)
				p.StatusPath, other.StatusPath = "", ""
				own := p.mustMake(t, Request{OrderID: "4925"})
				time.AfterFunc(time.Minute+100*time.Millisecond, func() { test.happens(t, w, other, own) })
				var told []string
				_, err := p.Watch(t.Context(), "4925", own, func(r Report) error {
					text := string(r.Payment.Source) + " " + string(r.Payment.State)
					if r.Payment.ReplacedBy != "" && r.Payment.State != paid {
						text += " replaced"
					}
					told = append(told, text)
					return nil
				})
				if diff := cmp.Diff(test.want, told); err != nil || diff != "" {
					t.Errorf("%v\n%s", err, diff)
				}
			})
		})
	}
	t.Run("who shows none watches the open one", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, sandbox.Options{})
			p := w.start(t, 0)
			own := p.mustMake(t, Request{OrderID: "4925"})
			w.answers(400)
			if _, err := p.Make(t.Context(), wechat); kind(err) != api.Rejected {
				t.Fatal(err)
			}
			report, err := p.Watch(t.Context(), "4925", order.Payment{}, func(r Report) error {
				if r.Payment.State == awaiting {
					pay(t, p, own)
				}
				return nil
			})
			if err != nil || report.Payment.Key != own.Key || report.Payment.State != paid {
				t.Errorf("%s %s, %v", report.Payment.Source, report.Payment.State, err)
			}
			if got := p.status(t, "4925", false); got.Payment.Key != own.Key {
				t.Errorf("order status tells of %s %s", got.Payment.Source, got.Payment.State)
			}
		})
	})
}

// Without a ledger the payment that was made is watched all the same, whatever
// the status endpoint says or fails to say.
func TestWatchWithoutALedger(t *testing.T) {
	t.Parallel()
	const awaiting, paid, expired = order.Awaiting, order.Paid, order.Expired
	for name, test := range map[string]struct {
		order   string
		status  int // 0: no endpoint is configured
		body    string
		want    []order.State
		warning string
	}{
		"the endpoint is down":       {order: "4925", status: 503, want: []order.State{awaiting, awaiting, expired}}, // the second tells why
		"there is none":              {order: "4925", status: 403, body: `{"message":"Missing Authentication Token"}`, want: []order.State{awaiting, awaiting, expired}},
		"it does not know the order": {order: "4925", status: 404, body: `{"error":{"code":"order_not_found"}}`, want: []order.State{awaiting, expired}},
		"it tells of a payment":      {order: "4925", status: 200, body: `{"id":"chrg_1","status":"success","transaction_state":"Authorized"}`, want: []order.State{awaiting, paid}},
		"it says success":            {order: "4925", status: 200, body: `{"status":"success"}`, want: []order.State{awaiting, expired}},
		"it was paid in part":        {order: "4925", status: 200, body: `{"id":"chrg_1","status":"success","transaction_state":"Authorized","amount":3.0}`, want: []order.State{awaiting, awaiting, expired}, warning: "charge_amount"},
		"another order was paid":     {order: "4925", status: 200, body: `{"order_id":"order_test_elsewhere","status":"success","transaction_state":"Settled"}`, want: []order.State{awaiting, paid}},
		"another order awaits too":   {order: "4925", status: 200, body: `{"order_id":"order_test_elsewhere","status":"success"}`, want: []order.State{awaiting, expired}},
		"nobody can ever tell":       {order: "no-expiry", want: []order.State{awaiting}},
		"a late endpoint, no expiry": {order: "no-expiry", status: 200, body: `{"transaction_state":"Settled"}`, want: []order.State{awaiting, paid}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, sandbox.Options{})
				p := w.start(t, 0)
				p.Ledger = nil
				if test.status == 0 {
					p.StatusPath = ""
				}
				made := p.mustMake(t, Request{OrderID: test.order})
				w.says(test.status, test.body)
				var told []order.State
				report, err := p.Watch(t.Context(), made.OrderID, made, func(r Report) error {
					told = append(told, r.Payment.State)
					return nil
				})
				if diff := cmp.Diff(test.want, told); err != nil || !report.Found || diff != "" {
					t.Errorf("%+v, %v\n%s", report, err, diff)
				}
				var warnings []string
				for _, w := range report.Payment.Warnings {
					warnings = append(warnings, w.Code)
				}
				if got := strings.Join(warnings, " "); got != test.warning && test.warning != "" {
					t.Errorf("warnings %q", got)
				}
			})
		})
	}
}
