package payment

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/villapay/villapay/internal/api"
	"github.com/villapay/villapay/internal/ledger"
	"github.com/villapay/villapay/internal/order"
	"github.com/villapay/villapay/internal/sandbox"
)

// status asks what became of an order.
func (p *process) status(t *testing.T, orderID string, ask bool) Report {
	t.Helper()
	report, err := p.Status(t.Context(), orderID, ask)
	if err != nil {
		t.Fatal(err)
	}
	return report
}

// says makes the status endpoint answer this, and everything else work.
func (w *world) says(status int, body string) {
	w.between(func(req *http.Request, next http.RoundTripper) (*http.Response, error) {
		if req.Method == http.MethodPost {
			return next.RoundTrip(req)
		}
		resp, err := answer(req, status)
		resp.Body = io.NopCloser(strings.NewReader(body))
		return resp, err
	})
}

// What proves paid: a transaction_state, or a word that the API's owner vouches
// for; a bare "success" proves nothing.
func TestWhatAStatusAnswerMeans(t *testing.T) {
	t.Parallel()
	const awaiting, paid = order.Awaiting, order.Paid
	for name, test := range map[string]struct {
		status  int
		body    string
		state   order.State
		paidBy  string
		warning string
	}{
		"authorized":                   {200, `{"id":"chrg_1","amount":AMOUNT,"currency":"THB","status":"success","transaction_state":"Authorized"}`, paid, "transaction_state", ""},
		"the bank's own typo":          {200, `{"id":"chrg_1","status":"success","transaction_state":"Auhtorized"}`, paid, "transaction_state", ""},
		"settled, and nothing else":    {200, `{"transaction_state":"Settled"}`, paid, "transaction_state", ""},
		"authorized, but not success":  {200, `{"id":"chrg_1","status":"fail","transaction_state":"Authorized"}`, awaiting, "", "charge_status"},
		"authorized over another sum":  {200, `{"id":"chrg_1","amount":3.0,"status":"success","transaction_state":"Authorized"}`, awaiting, "", "charge_amount"},
		"authorized in another money":  {200, `{"id":"chrg_1","currency":"USD","status":"success","transaction_state":"Authorized"}`, awaiting, "", "charge_currency"},
		"authorized, but live":         {200, `{"id":"chrg_1","livemode":true,"status":"success","transaction_state":"Authorized"}`, awaiting, "", "charge_livemode"},
		"declined":                     {200, `{"id":"chrg_1","status":"fail","transaction_state":"Declined"}`, awaiting, "", ""},
		"voided":                       {200, `{"id":"chrg_1","status":"success","transaction_state":"VOID"}`, order.Cancelled, "", ""},
		"reversed":                     {200, `{"id":"chrg_1","status":"success","transaction_state":"Reversed"}`, order.Failed, "", ""},
		"refunded":                     {200, `{"id":"chrg_1","status":"success","transaction_state":"Refund Sent"}`, order.Refunded, "", ""},
		"an unknown transaction_state": {200, `{"id":"chrg_1","status":"success","transaction_state":"Under Review"}`, awaiting, "", ""},
		"a bare success":               {200, `{"status":"success"}`, awaiting, "", "status_ambiguous"},
		"a bare word":                  {200, `"pending"`, awaiting, "", ""},
		"a word vouched for":           {200, `{"status":"Completed"}`, paid, "status_paid", ""},
		"the word beside a state":      {200, `{"id":"chrg_1","status":"COMPLETED","transaction_state":"Authorized"}`, paid, "transaction_state", ""},
		"the word, but declined":       {200, `{"id":"chrg_1","status":"Completed","transaction_state":"Declined"}`, awaiting, "", ""},
		"the order itself":             {200, `{"id":"BANK","object":"order","status":"success"}`, awaiting, "", "status_ambiguous"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, sandbox.Options{})
				p := w.start(t, 0)
				p.StatusPaid = []string{"completed"}
				made := p.mustMake(t, Request{OrderID: "4925"})
				time.Sleep(time.Minute)
				w.says(test.status, strings.NewReplacer("BANK", made.BankOrderID, "AMOUNT", made.Amount.String()).Replace(test.body))
				got := p.status(t, "4925", true).Payment
				var warnings []string
				for _, w := range got.Warnings {
					warnings = append(warnings, w.Code)
				}
				if got.State != test.state || got.PaidBy != test.paidBy || strings.Join(warnings, " ") != test.warning {
					t.Errorf("%s by %q, warnings %v", got.State, got.PaidBy, warnings)
				}
				if age := time.Since(got.KnownAt); age > time.Second || got.KnownFrom != order.FromAPI {
					t.Errorf("known for %s from %s", age, got.KnownFrom)
				}
				if again := p.status(t, "4925", false); again.Payment.State != test.state {
					t.Errorf("it was not recorded: %s", again.Payment.State)
				}
			})
		})
	}
}

// The same is said of an order that another tool made: nothing is recorded to
// hold it against, and the rules are the same.
func TestWhatAStatusAnswerMeansForAnOrderMadeElsewhere(t *testing.T) {
	t.Parallel()
	const awaiting, paid, none = order.Awaiting, order.Paid, order.State("")
	for name, test := range map[string]struct {
		body     string
		state    order.State
		paidBy   string
		warnings string
	}{
		"authorized":              {`{"order_id":"order_x","id":"chrg_1","status":"success","transaction_state":"Authorized"}`, paid, "transaction_state", ""},
		"settled, and no more":    {`{"transaction_state":"Settled"}`, paid, "transaction_state", ""},
		"not success":             {`{"order_id":"order_x","status":"fail","transaction_state":"Authorized"}`, awaiting, "", " charge_status"},
		"the word beside a state": {`{"order_id":"order_x","status":"Completed","transaction_state":"Authorized"}`, paid, "transaction_state", ""},
		"the word alone":          {`{"status":"completed"}`, paid, "status_paid", ""},
		"the word, begun":         {`{"order_id":"order_x","status":"completed","transaction_state":"Initialize"}`, awaiting, "", ""},
		"the word, declined":      {`{"order_id":"order_x","status":"completed","transaction_state":"Declined"}`, awaiting, "", ""},
		"the word, voided":        {`{"order_id":"order_x","status":"completed","transaction_state":"Voided"}`, order.Cancelled, "", ""},
		"the word, refunded":      {`{"order_id":"order_x","status":"completed","transaction_state":"Refund Sent"}`, order.Refunded, "", ""},
		"the word, unknown state": {`{"order_id":"order_x","status":"completed","transaction_state":"Under Review"}`, awaiting, "", ""},
		"an order, not yet paid":  {`{"order_id":"order_x","status":"pending"}`, awaiting, "", ""},
		"a bare success":          {`{"status":"success"}`, none, "", ""},
		"a bare word":             {`"pending"`, none, "", ""},
		"no such order":           {`{"id":"4925","status":"not_found"}`, none, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, sandbox.Options{})
				p := w.start(t, 0)
				p.StatusPaid = []string{"completed"}
				w.says(200, test.body)
				report := p.status(t, "4925", true)
				got := report.Payment
				var warnings []string
				for _, w := range got.Warnings {
					warnings = append(warnings, w.Code)
				}
				if report.Found != (test.state != none) || got.State != test.state || got.PaidBy != test.paidBy {
					t.Errorf("%+v", report)
				}
				if report.Found && strings.Join(warnings, " ") != "not_recorded"+test.warnings {
					t.Errorf("warnings %v", got.Warnings)
				}
				if report.Found == (report.OnlyWord != "") {
					t.Errorf("its only word is %q", report.OnlyWord)
				}
			})
		})
	}
}

// An API without an answer leaves what the ledger knows, and says why.
func TestWhereTheAPIDoesNotTell(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		status int
		body   string
		want   Report
	}{
		"no such route, REST": {403, `{"message":"Missing Authentication Token"}`, Report{NoEndpoint: true}},
		"no such route, HTTP": {404, `{"message":"Not Found"}`, Report{NoEndpoint: true}},
		"no such order":       {404, `{"error":{"code":"order_not_found","message":"Order not found."}}`, Report{NoOrder: true}},
		"it is down":          {503, `{}`, Report{Err: errors.New("")}},
		"it may not be asked": {403, `{"message":"User is not authorized to access this resource"}`, Report{Err: errors.New("")}},
		"not an answer":       {200, `<html>`, Report{Err: errors.New("")}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, sandbox.Options{})
				p := w.start(t, 0)
				made := p.mustMake(t, Request{OrderID: "4925"})
				time.Sleep(time.Minute)
				w.says(test.status, test.body)
				got := p.status(t, "4925", true)
				if got.NoEndpoint != test.want.NoEndpoint || got.NoOrder != test.want.NoOrder || (got.Err != nil) != (test.want.Err != nil) {
					t.Errorf("%+v", got)
				}
				if !got.Found || got.Payment.BankOrderID != made.BankOrderID || !got.Payment.KnownAt.Equal(made.KnownAt) {
					t.Errorf("it tells %+v", got.Payment)
				}
				if got.Err != nil && kind(got.Err) == api.Unknown {
					t.Errorf("a question that failed is said to have done something: %v", got.Err)
				}
				if none := p.status(t, "4926", true); none.Found {
					t.Errorf("of an order that nobody made it tells %+v", none.Payment)
				}
			})
		})
	}
	t.Run("none is configured", func(t *testing.T) {
		t.Parallel()
		p := newWorld(t, sandbox.Options{}).start(t, 0)
		p.StatusPath = ""
		if got := p.status(t, "4925", true); !got.NoEndpoint || got.Found {
			t.Errorf("%+v", got)
		}
	})
}

// What a notification tells while the API is being asked is told, whatever comes
// of asking: even where that takes all the time there is.
func TestPaidWhileTheAPIIsAsked(t *testing.T) {
	t.Parallel()
	for name, answers := range map[string]func(*http.Request) (*http.Response, error){
		"refused":      func(req *http.Request) (*http.Response, error) { return answer(req, 403) },
		"no route":     func(req *http.Request) (*http.Response, error) { return answer(req, 404) },
		"it is down":   func(req *http.Request) (*http.Response, error) { return answer(req, 503) },
		"it is silent": silent,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, sandbox.Options{})
				p := w.start(t, 0)
				made := p.mustMake(t, Request{OrderID: "4925"})
				w.between(func(req *http.Request, _ http.RoundTripper) (*http.Response, error) {
					pay(t, p, made)
					return answers(req)
				})
				if got := p.status(t, "4925", true); got.Payment.State != order.Paid || got.Err == nil && !got.NoEndpoint {
					t.Errorf("%s, %v", got.Payment.State, got.Err)
				}
			})
		})
	}
}

// An order that was made elsewhere, or whose answer was lost here, and is paid:
// that is what counts. What was said is kept for when the order is recorded.
func TestAStatusAboutAnotherBankOrder(t *testing.T) {
	t.Parallel()
	const paid = `{"order_id":"order_test_elsewhere","id":"chrg_1","amount":"300.0","currency":"THB","status":"success","transaction_state":"Authorized"}`
	t.Run("nothing is recorded", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, sandbox.Options{})
			p := w.start(t, 0)
			w.says(200, paid)
			for range 2 {
				got := p.status(t, "4925", true)
				if !got.Found || got.Payment.State != order.Paid || got.Payment.BankOrderID != "order_test_elsewhere" || got.Payment.Warnings[0].Code != "not_recorded" || got.Others != 0 {
					t.Errorf("%+v", got)
				}
			}
		})
	})
	t.Run("the answer was lost", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, sandbox.Options{})
			p := w.start(t, 0)
			w.answers(0, 0, 0, 0, 0)
			lost, _ := p.make(t, "4925")
			w.between(nil)
			bank, _, err := p.API.CreateOrder(t.Context(), "4925", order.QR, lost.Key) // which is what was made
			if err != nil {
				t.Fatal(err)
			}
			w.says(200, fmt.Sprintf(`{"order_id":%q,"id":"chrg_1","amount":%s,"currency":"THB","status":"success","transaction_state":"Settled"}`, bank.ID, bank.Amount))
			got := p.status(t, "4925", true)
			if got.Payment.State != order.Paid || got.Others != 1 {
				t.Errorf("%+v", got)
			}
			w.between(nil)
			made := p.mustMake(t, Request{OrderID: "4925"})
			if made.State != order.Paid || made.Key != lost.Key {
				t.Errorf("once recorded it is %+v", made)
			}
		})
	})
	t.Run("another one is open here", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, sandbox.Options{})
			p := w.start(t, 0)
			made := p.mustMake(t, Request{OrderID: "4925"})
			w.says(200, `{"order_id":"order_test_elsewhere","status":"success"}`)
			if got := p.status(t, "4925", true); got.Payment.BankOrderID != made.BankOrderID || got.Others != 0 {
				t.Errorf("unpaid, it tells %+v", got)
			}
			w.says(200, paid)
			if got := p.status(t, "4925", true); got.Payment.State != order.Paid || got.Others != 1 {
				t.Errorf("paid, it tells %+v", got)
			}
		})
	})
}

// An answer that does not say which of the order's payments it is about counts
// until the bank says so, and keeps nothing from counting that the bank says.
func TestAStatusThatNamesNoBankOrder(t *testing.T) {
	t.Parallel()
	const authorized = `{"charge_id":"chrg_1","status":"success","transaction_state":"Authorized"}`
	notify := func(t *testing.T, p *process, id string, about order.Payment, state string) {
		t.Helper()
		_, err := p.Ledger.ApplyCharge(t.Context(), scope, ledger.Charge{
			ID: id, BankOrderID: about.BankOrderID, Amount: about.Amount, Currency: about.Currency,
			Status: "success", TransactionState: state, From: order.FromWebhook, Checksum: id + state,
		})
		if err != nil {
			t.Errorf("the notification that %s on %s is %s: %v", id, about.BankOrderID, state, err)
		}
	}
	states := func(t *testing.T, p *process, want ...order.State) {
		t.Helper()
		for i, s := range p.stored(t, "4925") {
			if s.State != want[i] || len(s.Warnings) > 0 {
				t.Errorf("%s is %s, not %s; warnings %v", s.BankOrderID, s.State, want[i], s.Warnings)
			}
		}
	}
	inWorld := func(name string, test func(t *testing.T, w *world, p *process)) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, sandbox.Options{})
				test(t, w, w.start(t, 0))
			})
		})
	}
	inWorld("the replaced one was paid", func(t *testing.T, w *world, p *process) {
		older := p.mustMake(t, Request{OrderID: "4925"})
		newer := p.mustMake(t, Request{OrderID: "4925", New: true})
		w.says(200, authorized)
		if got := p.status(t, "4925", true).Payment; got.State != order.Paid || got.BankOrderID != newer.BankOrderID {
			t.Errorf("the order is %s, by %s", got.State, got.BankOrderID)
		}
		notify(t, p, "chrg_1", older, "Authorized")
		states(t, p, order.Awaiting, order.Paid)
		if got := p.status(t, "4925", true).Payment; got.BankOrderID != older.BankOrderID || got.ChargeID != "chrg_1" {
			t.Errorf("the order is %s, by %s", got.State, got.BankOrderID)
		}
		states(t, p, order.Awaiting, order.Paid)
		notify(t, p, "chrg_1", older, "Voided")
		states(t, p, order.Awaiting, order.Cancelled)
		w.says(200, `{"charge_id":"chrg_1","status":"success","transaction_state":"Voided"}`)
		p.status(t, "4925", true)
		states(t, p, order.Awaiting, order.Cancelled)
	})
	inWorld("its id is not a charge's", func(t *testing.T, w *world, p *process) {
		p.mustMake(t, Request{OrderID: "4925"})
		w.says(200, `{"id":"4925","status":"pending","transaction_state":"Initialize"}`)
		p.status(t, "4925", true)
		w.between(nil)
		newer := p.mustMake(t, Request{OrderID: "4925", New: true})
		w.says(200, `{"id":"4925","status":"success","transaction_state":"Authorized"}`)
		if got := p.status(t, "4925", true).Payment; got.State != order.Paid || got.BankOrderID != newer.BankOrderID {
			t.Errorf("%+v", got)
		}
	})
	inWorld("it names the Villa order instead", func(t *testing.T, w *world, p *process) {
		made := p.mustMake(t, Request{OrderID: "4925"})
		w.says(200, `{"order_id":"4925","status":"success","transaction_state":"Authorized"}`)
		if got := p.status(t, "4925", true).Payment; got.State != order.Paid || got.BankOrderID != made.BankOrderID {
			t.Errorf("%+v", got)
		}
		w.says(200, `{"order_id":"4926","status":"not_found"}`)
		if got := p.status(t, "4926", true); got.Found {
			t.Errorf("%+v", got)
		}
	})
	inWorld("an older one's void", func(t *testing.T, w *world, p *process) {
		p.mustMake(t, Request{OrderID: "4925"})
		w.says(200, `{"status":"success","transaction_state":"Voided"}`)
		p.status(t, "4925", true)
		p.mustMake(t, Request{OrderID: "4925"})
		p.status(t, "4925", true)
		states(t, p, order.Awaiting, order.Cancelled)
		w.says(200, authorized)
		p.status(t, "4925", true)
		states(t, p, order.Paid, order.Cancelled)
	})
}

// A charge that was first seen with another order proves nothing about this one.
func TestAStatusWithAnotherOrdersCharge(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, sandbox.Options{})
		p := w.start(t, 0)
		made := p.mustMake(t, Request{OrderID: "4925"})
		p.mustMake(t, Request{OrderID: "4926"})
		w.says(200, `{"id":"chrg_1","order_id":"`+made.BankOrderID+`","status":"success","transaction_state":"Authorized"}`)
		if got := p.status(t, "4925", true); got.Payment.State != order.Paid {
			t.Errorf("%+v", got)
		}
		w.says(200, `{"id":"chrg_1","status":"success","transaction_state":"Authorized"}`)
		got := p.status(t, "4926", true)
		if got.Payment.State != order.Awaiting || len(got.Payment.Warnings) != 1 || got.Payment.Warnings[0].Code != "status_charge" {
			t.Errorf("%+v", got)
		}
	})
}

// Nor does it about an order that another tool made.
func TestAStatusWithAnotherOrdersChargeForAnOrderMadeElsewhere(t *testing.T) {
	t.Parallel()
	for name, body := range map[string]string{
		"in full":          `{"id":"chrg_1","order_id":"order_x","status":"success","transaction_state":"Authorized","amount":300.0,"currency":"THB"}`,
		"without amount":   `{"id":"chrg_1","order_id":"order_x","status":"success","transaction_state":"Authorized"}`,
		"no order is said": `{"id":"chrg_1","status":"success","transaction_state":"Authorized"}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, sandbox.Options{})
				p := w.start(t, 0)
				w.says(200, `{"id":"chrg_1","order_id":"order_y","status":"success","transaction_state":"Authorized","amount":300.0,"currency":"THB"}`)
				if got := p.status(t, "4924", true).Payment; got.State != order.Paid || got.ChargeID != "chrg_1" {
					t.Errorf("the first order: %+v", got)
				}
				w.says(200, body)
				got := p.status(t, "4925", true).Payment
				if got.State != order.Awaiting || got.BankState != "" || got.ChargeID != "" || got.PaidBy != "" ||
					len(got.Warnings) != 2 || got.Warnings[1].Code != "status_charge" {
					t.Errorf("%+v", got)
				}
			})
		})
	}
}

// The paid payment speaks for the order, else the newest; the others are counted.
func TestTheReportedPayment(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, sandbox.Options{})
		p := w.start(t, 0)
		p.StatusPath = ""
		first := p.mustMake(t, Request{OrderID: "4925"})
		second := p.mustMake(t, Request{OrderID: "4925", New: true})
		if got := p.status(t, "4925", true); got.Payment.BankOrderID != second.BankOrderID || got.Others != 1 {
			t.Errorf("%+v", got)
		}
		pay(t, p, first)
		if got := p.status(t, "4925", true); got.Payment.BankOrderID != first.BankOrderID || got.Others != 1 {
			t.Errorf("%+v", got)
		}
	})
}

// Many orders are asked in parallel, but not all at once, and answered in the
// order given.
func TestStatusesOfManyOrders(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, sandbox.Options{})
		p := w.start(t, 0)
		var ids []string
		for i := range 40 {
			ids = append(ids, fmt.Sprintf("o-%d", 40-i))
		}
		p.mustMake(t, Request{OrderID: "o-7"})
		var now, most atomic.Int64
		w.between(func(req *http.Request, next http.RoundTripper) (*http.Response, error) {
			most.Store(max(most.Load(), now.Add(1)))
			time.Sleep(time.Second)
			now.Add(-1)
			return next.RoundTrip(req)
		})
		start := time.Now()
		reports, err := p.Statuses(t.Context(), ids, true)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, r := range reports {
			got = append(got, r.OrderID)
			if found := r.OrderID == "o-7"; r.Found != found {
				t.Errorf("%+v", r)
			}
		}
		if diff := cmp.Diff(ids, got); diff != "" {
			t.Error(diff)
		}
		if took := time.Since(start); took != 5*time.Second || most.Load() != 8 {
			t.Errorf("%s, %d at once", took, most.Load())
		}
	})
}
