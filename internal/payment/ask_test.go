package payment

import (
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/villapay/villapay/internal/api"
	"github.com/villapay/villapay/internal/kbank"
	"github.com/villapay/villapay/internal/order"
	"github.com/villapay/villapay/internal/sandbox"
)

const authorized = `{"id":"chrg_1","status":"success","transaction_state":"Authorized"}`

// Before another order is made for a Villa order that has an earlier one, the API
// is asked once what became of that. If it was paid, nothing is made.
func TestEarlierPaymentsAreAskedAbout(t *testing.T) {
	t.Parallel()
	type earlier struct {
		id   string
		wait time.Duration
		then Request // what is made in between, if its source is given
		req  Request
	}
	for name, test := range map[string]earlier{
		"lapsed":                {id: "4925", wait: time.Hour},
		"of a short life":       {id: "short-expiry", wait: 3 * time.Second},
		"failed":                {id: "failed-order"},
		"open, and --new":       {id: "4925", req: Request{New: true}},
		"lapsed, another's now": {id: "4925", wait: time.Hour, req: Request{Source: order.WeChat}},
		"replaced, and lapsed":  {id: "4925", then: Request{Source: order.QR, New: true}, req: Request{Source: order.WeChat}},
	} {
		for paid, body := range map[bool]string{true: authorized, false: `{"status":"pending"}`} {
			t.Run(name+map[bool]string{true: ", paid", false: ", not paid"}[paid], func(t *testing.T) {
				t.Parallel()
				inWorld(t, sandbox.Options{}, func(t *testing.T, w *world, p *process) {
					before := 1
					p.mustMake(t, Request{OrderID: test.id})
					if test.then.Source != "" {
						test.then.OrderID = test.id
						p.mustMake(t, test.then)
						before++
					}
					time.Sleep(test.wait)
					asked, posts := 0, 0
					w.between(func(req *http.Request, next http.RoundTripper) (*http.Response, error) {
						if req.Method == http.MethodPost {
							posts++
							return next.RoundTrip(req)
						}
						asked++
						return answer(req, 200, body)
					})
					test.req.OrderID = test.id
					made := p.mustMake(t, test.req)
					if stored := p.stored(t, test.id); asked != 1 || (made.State == order.Paid) != paid || (posts == 0) != paid || (len(stored) == before) != paid {
						t.Errorf("asked %d times, posted %d times: %s, %d payments", asked, posts, made.State, len(stored))
					}
					if again := p.mustMake(t, Request{OrderID: test.id, Source: test.req.Source}); (again.State == order.Paid) != paid || paid && again.BankOrderID != made.BankOrderID {
						t.Errorf("then %+v after %+v", again, made)
					}
				})
			})
		}
	}
}

// What another process makes after it was asked what became of the earlier payments is
// asked about too, before it is replaced.
func TestWhatIsMadeMeanwhileIsAskedAbout(t *testing.T) {
	t.Parallel()
	inWorld(t, sandbox.Options{}, func(t *testing.T, w *world, p *process) {
		other := w.start(t, 0)
		p.mustMake(t, Request{})
		var asked, posts atomic.Int64
		w.between(func(req *http.Request, next http.RoundTripper) (*http.Response, error) {
			if req.Method == http.MethodPost {
				posts.Add(1)
				return next.RoundTrip(req)
			}
			switch asked.Add(1) {
			case 1:
				other.mustMake(t, Request{New: true}) // which asks, too
			case 3:
				return answer(req, 200, authorized)
			}
			return answer(req, 200, `{"status":"pending"}`)
		})
		if made := p.mustMake(t, Request{New: true}); made.State != order.Paid || asked.Load() != 3 || posts.Load() != 1 {
			t.Errorf("%s, asked %d times, posted %d times", made.State, asked.Load(), posts.Load())
		}
	})
}

// A failed status request is a warning, and delays another order by at most three
// seconds. Without an earlier payment or a server to ask, there is no request.
func TestAskingAboutEarlierPaymentsThatFails(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		status int // 0: never an answer
		body   string
		warned bool
	}{
		"silent":        {0, "", true},
		"down":          {503, "", true},
		"denied":        {403, "", true},
		"unreadable":    {200, "<html>", true},
		"no such route": {404, "", false},
		"no such order": {404, `{"error":{"code":"order_not_found"}}`, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inWorld(t, sandbox.Options{}, func(t *testing.T, w *world, p *process) {
				first := p.mustMake(t, Request{})
				time.Sleep(time.Hour)
				w.says(test.status, test.body)
				start := time.Now()
				second := p.mustMake(t, Request{})
				if took := time.Since(start); second.BankOrderID == first.BankOrderID || took > preflightTimeout+time.Second {
					t.Errorf("after %s: %+v", took, second)
				}
				if said := strings.Join(p.warnings, "\n"); strings.Contains(said, "may have been paid meanwhile; asking failed") != test.warned || !test.warned && said != "" {
					t.Errorf("warned %q", said)
				}
				w.counts(t, "4925", 2, 2)
			})
		})
	}
	t.Run("nothing to ask, or nobody", func(t *testing.T) {
		t.Parallel()
		inWorld(t, sandbox.Options{}, func(t *testing.T, w *world, p *process) {
			w.between(func(req *http.Request, next http.RoundTripper) (*http.Response, error) {
				if req.Method == http.MethodGet {
					t.Error("it asked")
				}
				return next.RoundTrip(req)
			})
			p.mustMake(t, Request{})
			p.mustMake(t, Request{})
			p.mustMake(t, Request{Source: order.WeChat})
			_, _ = p.make(t, Request{OrderID: "refused-amount"})
			_, _ = p.make(t, Request{OrderID: "refused-amount"})
			p.StatusPath = ""
			time.Sleep(time.Hour)
			p.mustMake(t, Request{})
			if len(p.warnings) != 1 { // of the other source's open payment
				t.Errorf("warned %q", p.warnings)
			}
		})
	})
}

// An answer that came in time is recorded, however long that takes, before
// another order is made.
func TestTheAnswerAboutAnEarlierPaymentIsRecorded(t *testing.T) {
	t.Parallel()
	inWorld(t, sandbox.Options{}, func(t *testing.T, w *world, p *process) {
		first := p.mustMake(t, Request{})
		time.Sleep(time.Hour)
		w.between(func(req *http.Request, _ http.RoundTripper) (*http.Response, error) {
			time.Sleep(preflightTimeout - time.Second/2)
			time.AfterFunc(2*time.Second, w.lockLedger(t))
			return answer(req, 200, authorized)
		})
		if paid := p.mustMake(t, Request{}); paid.State != order.Paid || paid.BankOrderID != first.BankOrderID {
			t.Errorf("%+v", paid)
		}
		w.counts(t, "4925", 1, 1)
	})
}

// A bank that does not answer holds another order up for three seconds at most,
// too, and takes nothing from the time that the ledger may take.
func TestAskingASilentBankAboutAnEarlierPayment(t *testing.T) {
	t.Parallel()
	inWorld(t, sandbox.Options{}, func(t *testing.T, w *world, p *process) {
		first := p.mustMake(t, Request{})
		time.Sleep(time.Hour)
		p.Bank = &kbank.Client{HTTP: &api.Client{BaseURL: scope + sandbox.BankPath, Transport: w}}
		w.says(0, "")
		start := time.Now()
		second := p.mustMake(t, Request{})
		if took := time.Since(start); second.BankOrderID == first.BankOrderID || took > preflightTimeout+time.Second || len(p.warnings) != 1 {
			t.Errorf("after %s: %+v, warned %q", took, second, p.warnings)
		}
	})
}
