package payment

import (
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/villapay/villapay/internal/api"
	"github.com/villapay/villapay/internal/order"
	"github.com/villapay/villapay/internal/sandbox"
)

// hears asks what became of order 4925 once for each answer, and returns the last
// report.
func (p *process) hears(t *testing.T, w *world, answers ...string) (report Report) {
	t.Helper()
	for _, body := range answers {
		w.says(200, body)
		report = p.status(t)
		time.Sleep(time.Minute)
	}
	return report
}

// What proves paid is a transaction_state, or a word that the API's owner vouches
// for, about this order. Whatever it is, `order status` and `pay qr` say the same,
// another order is not made, and a code is drawn only while the order awaits.
func TestWhatAStatusAnswerMeans(t *testing.T) {
	t.Parallel()
	const (
		awaiting, paid = order.Awaiting, order.Paid
		byState        = order.ByTransactionState
	)
	said := func(id, state string, more ...string) string {
		return fmt.Sprintf(`{"id":%q,"status":"success","transaction_state":%q%s}`, id, state, strings.Join(more, ""))
	}
	around := func(fields string) string { return `{` + fields + `,"charge":` + authorized + `}` }
	type answers = []string
	for name, test := range map[string]struct {
		answers  answers
		state    order.State
		paidBy   string
		warnings string
	}{
		"authorized":                  {answers{said("chrg_1", "Authorized", `,"amount":AMOUNT,"currency":"THB","livemode":false,"order_id":"BANK","orderid":"4925"`)}, paid, byState, ""},
		"the bank's own typo":         {answers{said("chrg_1", "Auhtorized")}, paid, byState, ""},
		"settled, and nothing else":   {answers{`{"transaction_state":"Settled"}`}, paid, byState, ""},
		"its status is empty":         {answers{`{"id":"chrg_1","status":"","transaction_state":"Authorized"}`}, paid, byState, ""},
		"its status is null":          {answers{`{"id":"chrg_1","status":null,"transaction_state":"Authorized"}`}, paid, byState, ""},
		"not success":                 {answers{`{"id":"chrg_1","status":"fail","transaction_state":"Authorized"}`}, awaiting, "", "charge_status"},
		"STATUS is another field":     {answers{`{"id":"chrg_1","status":"fail","STATUS":"success","Amount":3,"transaction_state":"Authorized"}`}, awaiting, "", "charge_status"},
		"another amount":              {answers{said("chrg_1", "Authorized", `,"amount":3.0`)}, awaiting, "", "charge_amount"},
		"another currency":            {answers{said("chrg_1", "Authorized", `,"currency":"USD"`)}, awaiting, "", "charge_currency"},
		"live":                        {answers{said("chrg_1", "Authorized", `,"livemode":true`)}, awaiting, "", "charge_livemode"},
		"amount 1e0":                  {answers{said("chrg_1", "Authorized", `,"amount":1e0`)}, awaiting, "", "charge_doubt"},
		"amount in words":             {answers{said("chrg_1", "Authorized", `,"amount":"THB 1.00"`)}, awaiting, "", "charge_doubt"},
		"amount in an object":         {answers{said("chrg_1", "Authorized", `,"amount":{"value":1}`)}, awaiting, "", "charge_doubt"},
		"amount in a list":            {answers{said("chrg_1", "Authorized", `,"amount":[1]`)}, awaiting, "", "charge_doubt"},
		"amount true":                 {answers{said("chrg_1", "Authorized", `,"amount":true`)}, awaiting, "", "charge_doubt"},
		"currency in a list":          {answers{said("chrg_1", "Authorized", `,"currency":["THB"]`)}, awaiting, "", "charge_doubt"},
		"livemode in an object":       {answers{said("chrg_1", "Authorized", `,"livemode":{}`)}, awaiting, "", "charge_doubt"},
		"fitting around it":           {answers{around(`"amount":AMOUNT,"currency":"THB","livemode":false,"order_id":"BANK","orderid":"4925"`)}, paid, byState, ""},
		"another amount around it":    {answers{around(`"amount":3.0`)}, awaiting, "", "charge_amount"},
		"an unreadable one around it": {answers{around(`"amount":[1]`)}, awaiting, "", "charge_doubt"},
		"another currency around it":  {answers{around(`"currency":"USD"`)}, awaiting, "", "charge_currency"},
		"live around it":              {answers{around(`"livemode":true`)}, awaiting, "", "charge_livemode"},
		"another order around it":     {answers{around(`"order_id":"OTHER"`)}, awaiting, "", "charge_order"},
		"another orderid around it":   {answers{around(`"orderid":"4926"`)}, awaiting, "", "status_order"},
		"our reference_order":         {answers{said("chrg_1", "Authorized", `,"reference_order":"REFERENCE"`)}, paid, byState, ""},
		"our reference, as order_id":  {answers{said("chrg_1", "Authorized", `,"order_id":"REFERENCE"`)}, paid, byState, ""},
		"our own number, as order_id": {answers{said("chrg_1", "Authorized", `,"order_id":"4925"`)}, paid, byState, ""},
		"our own number, as its id":   {answers{said("4925", "Initialize"), said("4925", "Authorized")}, paid, byState, ""},
		"another's number":            {answers{said("chrg_1", "Authorized", `,"orderid":"4926"`)}, awaiting, "", "status_order"},
		"another's, as order_id":      {answers{said("chrg_1", "Authorized", `,"order_id":"4926"`)}, awaiting, "", "charge_order"},
		"another's bank order":        {answers{said("chrg_1", "Authorized", `,"order_id":"OTHER"`)}, awaiting, "", "charge_order"},
		"another's reference_order":   {answers{said("chrg_1", "Authorized", `,"reference_order":"OTHEREF"`)}, awaiting, "", "charge_order"},
		"declined":                    {answers{`{"id":"chrg_1","status":"fail","transaction_state":"Declined"}`}, awaiting, "", ""},
		"voided":                      {answers{said("chrg_1", "VOID")}, order.Cancelled, "", ""},
		"reversed":                    {answers{said("chrg_1", "Reversed")}, order.Failed, "", ""},
		"refunded":                    {answers{said("chrg_1", "Refund Sent")}, order.Refunded, "", ""},
		"paid, then refunded":         {answers{authorized, said("chrg_1", "Refunded")}, order.Refunded, byState, ""},
		"a refund that failed":        {answers{authorized, said("chrg_1", "Refund Failed")}, paid, byState, "refund_state"},
		"a refund requested":          {answers{authorized, said("chrg_1", "Refund Requested")}, paid, byState, "refund_state"},
		"a refund of a part":          {answers{authorized, said("chrg_1", "Refund Sent", `,"amount":100`)}, paid, byState, "partial_refund"},
		"another reversed, now paid":  {answers{said("chrg_1", "Reversed"), said("chrg_2", "Authorized")}, paid, byState, "charge_unpaid"},
		"paid, another voided":        {answers{said("chrg_1", "Settled"), said("chrg_2", "Voided")}, paid, byState, "charge_unpaid"},
		"paid twice":                  {answers{said("chrg_1", "Settled"), said("chrg_2", "Settled")}, paid, byState, "paid_twice"},
		"paid twice, in a list":       {answers{`[` + said("chrg_1", "Settled") + `,` + said("chrg_2", "Settled") + `]`}, paid, byState, "paid_twice"},
		"paid, a list of tries":       {answers{`{"charges":[{"id":"chrg_1","status":"fail","transaction_state":"Declined"},` + said("chrg_2", "Settled") + `]}`}, paid, byState, ""},
		"a state nobody knows":        {answers{said("chrg_1", "Under Review")}, awaiting, "", ""},
		"a bare success":              {answers{`{"status":"success"}`}, awaiting, "", "status_ambiguous"},
		"a bare word":                 {answers{`"pending"`}, awaiting, "", ""},
		"nothing at all":              {answers{`[]`}, awaiting, "", ""},
		"a word vouched for":          {answers{`{"status":"Completed"}`}, paid, order.ByStatusPaid, ""},
		"the word beside a state":     {answers{`{"id":"chrg_1","status":"COMPLETED","transaction_state":"Authorized"}`}, paid, byState, ""},
		"the word, but declined":      {answers{`{"id":"chrg_1","status":"Completed","transaction_state":"Declined"}`}, awaiting, "", ""},
		"the order itself":            {answers{`{"id":"BANK","object":"order","status":"success"}`}, awaiting, "", "status_ambiguous"},
	} {
		for _, dsn := range []string{"sqlite", "none"} {
			t.Run(name+", "+dsn, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					w := newWorld(t, sandbox.Options{})
					p := w.startOn(t, dsn, 0)
					p.StatusPaid = []string{"completed"}
					made, other := p.mustMake(t, Request{}), p.mustMake(t, Request{OrderID: "4926"})
					fill := strings.NewReplacer("BANK", made.BankOrderID, "AMOUNT", made.Amount.String(), "REFERENCE", made.Reference, "OTHEREF", other.Reference, "OTHER", other.BankOrderID)
					var got Report
					for _, body := range test.answers {
						got = p.hears(t, w, fill.Replace(body))
					}
					if got.Payment.BankOrderID != made.BankOrderID || got.Payment.State != test.state || got.Payment.PaidBy != test.paidBy || codes(got.Payment.Warnings) != test.warnings {
						t.Errorf("%s by %q, warnings %v, %v", got.Payment.State, got.Payment.PaidBy, got.Payment.Warnings, got.Err)
					}
					if age := time.Since(got.Payment.KnownAt); age > time.Minute+time.Second || got.Payment.KnownFrom != order.FromAPI {
						t.Errorf("known for %s from %s", age, got.Payment.KnownFrom)
					}
					again := p.mustMake(t, Request{})
					if again.State != test.state || again.BankOrderID != made.BankOrderID || (again.Payable(p.Now()) == nil) != (test.state == awaiting) {
						t.Errorf("pay qr gives %s, payable: %v", again.State, again.Payable(p.Now()))
					}
					if known := p.stored(t, "4926"); len(known) != 1 || known[0].State != awaiting {
						t.Errorf("the other order: %+v", known)
					}
					w.counts(t, "4925", 1, 1)
				})
			})
		}
	}
}

// The same is said of an order that another tool made: nothing is recorded to hold
// it against, and the rules are the same. If it is paid, nothing is made, and no
// code of an open order of ours is drawn.
func TestOrdersMadeElsewhere(t *testing.T) {
	t.Parallel()
	const awaiting, paid, none = order.Awaiting, order.Paid, order.State("")
	for name, test := range map[string]struct {
		body   string
		state  order.State
		paidBy string
	}{
		"authorized":              {`{"order_id":"order_x","id":"chrg_1","status":"success","transaction_state":"Authorized"}`, paid, "transaction_state"},
		"by its reference":        {`{"reference_order":"4925.1","id":"chrg_1","status":"success","transaction_state":"Authorized"}`, paid, "transaction_state"},
		"not success":             {`{"order_id":"order_x","status":"fail","transaction_state":"Authorized"}`, none, ""},
		"an unreadable amount":    {`{"order_id":"order_x","status":"success","transaction_state":"Authorized","amount":[1]}`, none, ""},
		"the word beside a state": {`{"order_id":"order_x","status":"Completed","transaction_state":"Authorized"}`, paid, "transaction_state"},
		"the word, declined":      {`{"order_id":"order_x","status":"completed","transaction_state":"Declined"}`, awaiting, ""},
		"the word, voided":        {`{"order_id":"order_x","status":"completed","transaction_state":"Voided"}`, order.Cancelled, ""},
		"the word, refunded":      {`{"order_id":"order_x","status":"completed","transaction_state":"Refund Sent"}`, order.Refunded, ""},
		"a state nobody knows":    {`{"order_id":"order_x","status":"success","transaction_state":"Under Review"}`, awaiting, ""},
		"an order, not yet paid":  {`{"order_id":"order_x","status":"pending"}`, awaiting, ""},
		"another order's":         {`{"orderid":"4926","status":"success","transaction_state":"Authorized"}`, none, ""},
		"a bare success":          {`{"status":"success"}`, none, ""},
		"a bare word":             {`"pending"`, none, ""},
		"no such order":           {`{"id":"4925","status":"not_found"}`, none, ""},
	} {
		for _, own := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, own %t", name, own), func(t *testing.T) {
				t.Parallel()
				inWorld(t, sandbox.Options{}, func(t *testing.T, w *world, p *process) {
					p.StatusPaid = []string{"completed"}
					var ours order.Payment
					if own {
						ours = p.mustMake(t, Request{})
					}
					got := p.hears(t, w, test.body, test.body)
					wanted, warnings := test.state, "not_recorded"
					if own && test.state != paid {
						wanted, warnings = awaiting, ""
					}
					if got.Found != (wanted != none) || got.Payment.State != wanted || got.Payment.PaidBy != test.paidBy {
						t.Errorf("%+v", got)
					}
					if !own && got.Found && codes(got.Payment.Warnings) != warnings || got.Found && (got.Payment.Key == "") != (!own || wanted == paid) {
						t.Errorf("warnings %v of %q", got.Payment.Warnings, got.Payment.Key)
					}
					posts := map[bool]int{true: 1}[own]
					for _, req := range []Request{{}, {Source: order.WeChat}, {New: true}} {
						again := p.mustMake(t, req)
						if again.State == paid != (test.state == paid) || (again.Payable(p.Now()) == nil) != (test.state != paid) {
							t.Errorf("pay qr %+v gives %s, payable: %v", req, again.State, again.Payable(p.Now()))
						}
						if test.state != paid {
							posts = -1
							break
						}
					}
					w.counts(t, "4925", posts, 1-map[bool]int{true: 1}[test.state == paid && !own])
					if stored := p.stored(t, "4925"); own && test.state == paid && (len(stored) != 2 || stored[1].Key != ours.Key || stored[1].Payable(p.Now()) == nil) {
						t.Errorf("ours is %+v", stored)
					}
				})
			})
		}
	}
}

// An order whose answer was lost here and that was paid all the same counts as
// paid, and the next run asks for nothing.
func TestAPaidOrderWhoseAnswerWasLost(t *testing.T) {
	t.Parallel()
	inWorld(t, sandbox.Options{}, func(t *testing.T, w *world, p *process) {
		w.answers(lost, lost, lost, lost, lost)
		_, _ = p.make(t, Request{OrderID: "4925"})
		got := p.hears(t, w, `{"order_id":"order_x","id":"chrg_1","amount":300,"currency":"THB","status":"success","transaction_state":"Settled"}`)
		if got.Payment.State != order.Paid || got.Payment.BankOrderID != "order_x" || got.Others != 1 {
			t.Errorf("%+v", got)
		}
		if made := p.mustMake(t, Request{}); made.State != order.Paid || made.BankOrderID != "order_x" {
			t.Errorf("%+v", made)
		}
		w.counts(t, "4925", 0, 0)
	})
}

// An answer that cannot be had, or read, leaves what the ledger knows.
func TestQuestionsThatFail(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		status int
		body   string
		want   string
	}{
		"no such route, REST": {403, `{"message":"Missing Authentication Token"}`, "no endpoint"},
		"no such route, HTTP": {404, `{"message":"Not Found"}`, "no endpoint"},
		"no such order":       {404, `{"error":{"code":"order_not_found","message":"Order not found."}}`, "no order"},
		"it is down":          {503, `{}`, "unavailable"},
		"it is silent":        {0, ``, "unavailable"},
		"switching protocols": {101, ``, "unavailable"},
		"denied":              {403, `{"message":"User is not authorized to access this resource"}`, "denied"},
		"not an answer":       {200, `<html>`, "unavailable"},
		"a field twice":       {200, `{"status":"fail","status":"success","transaction_state":"Authorized"}`, "unavailable"},
		"none is configured":  {0, ``, "no endpoint"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inWorld(t, sandbox.Options{}, func(t *testing.T, w *world, p *process) {
				made := p.mustMake(t, Request{})
				time.Sleep(time.Minute)
				w.says(test.status, test.body)
				if name == "none is configured" {
					p.StatusPath = ""
				}
				got := p.status(t)
				said := map[bool]string{got.NoEndpoint: "no endpoint", got.NoOrder: "no order", got.Err != nil: kind(got.Err).String()}[true]
				if said != test.want {
					t.Errorf("%s: %+v", said, got)
				}
				if !got.Found || got.Payment.BankOrderID != made.BankOrderID || !got.Payment.KnownAt.Equal(made.KnownAt) {
					t.Errorf("the payment is %+v", got.Payment)
				}
				if none, err := p.Status(t.Context(), "4926", true); err != nil || none.Found {
					t.Errorf("an order that nobody made: %+v, %v", none.Payment, err)
				}
			})
		})
	}
}

// What a notification says while the API is being asked counts, even if asking
// takes all the time there is.
func TestPaidWhileTheAPIIsAsked(t *testing.T) {
	t.Parallel()
	inWorld(t, sandbox.Options{}, func(t *testing.T, w *world, p *process) {
		made := p.mustMake(t, Request{})
		w.between(func(req *http.Request, next http.RoundTripper) (*http.Response, error) {
			p.pay(t, made)
			return silent(req, next)
		})
		if got := p.status(t); got.Payment.State != order.Paid || got.Err == nil {
			t.Errorf("%s, %v", got.Payment.State, got.Err)
		}
	})
}

// An answer that does not say which of the order's payments it is about counts for
// the newest that was there then, until the bank says which one it is.
func TestAStatusThatNamesNoBankOrder(t *testing.T) {
	t.Parallel()
	states := func(t *testing.T, p *process, want ...order.State) {
		t.Helper()
		var got []order.State
		for _, s := range p.stored(t, "4925") {
			got = append(got, s.State)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error("newest first:", diff)
		}
	}
	t.Run("the replaced one was paid", func(t *testing.T) {
		t.Parallel()
		inWorld(t, sandbox.Options{}, func(t *testing.T, w *world, p *process) {
			older, newer := p.mustMake(t, Request{}), p.mustMake(t, Request{New: true})
			if got := p.hears(t, w, authorized).Payment; got.State != order.Paid || got.BankOrderID != newer.BankOrderID {
				t.Errorf("the order is %s, by %s", got.State, got.BankOrderID)
			}
			p.notify(t, "chrg_1", older, "Authorized")
			states(t, p, order.Awaiting, order.Paid)
			if got := p.hears(t, w, authorized).Payment; got.State != order.Paid || got.BankOrderID != older.BankOrderID || got.ChargeID != "chrg_1" {
				t.Errorf("the order is %s, by %s", got.State, got.BankOrderID)
			}
			p.notify(t, "chrg_1", older, "Voided")
			states(t, p, order.Awaiting, order.Cancelled)
		})
	})
	for name, takenBack := range map[string]struct {
		said string
		made bool // the order that was taken back is ours
	}{
		"a charge of ours":             {`{"id":"chrg_1","status":"success","transaction_state":"Reversed"}`, true},
		"a charge without an id":       {`{"status":"success","transaction_state":"Reversed"}`, true},
		"a charge of another tool's":   {`{"id":"chrg_1","status":"success","transaction_state":"Reversed"}`, false},
		"another's, without an id":     {`{"status":"success","transaction_state":"Reversed"}`, false},
		"another's, on an order of it": {`{"order_id":"order_x","id":"chrg_1","status":"success","transaction_state":"Reversed"}`, false},
	} {
		t.Run(name+" was taken back", func(t *testing.T) {
			t.Parallel()
			inWorld(t, sandbox.Options{}, func(t *testing.T, w *world, p *process) {
				failed := []order.State{order.Awaiting}
				if takenBack.made {
					p.mustMake(t, Request{})
					failed = append(failed, order.Failed)
				}
				p.hears(t, w, takenBack.said)
				newer := p.mustMake(t, Request{New: takenBack.made})
				p.hears(t, w, takenBack.said)
				states(t, p, failed...)
				if again := p.mustMake(t, Request{}); again.BankOrderID != newer.BankOrderID || again.Payable(p.Now()) != nil {
					t.Errorf("pay qr gives %s, payable: %v", again.State, again.Payable(p.Now()))
				}
				p.pay(t, newer)
				if got := p.hears(t, w, takenBack.said).Payment; got.State != order.Paid || got.BankOrderID != newer.BankOrderID {
					t.Errorf("paid, it is %s", got.State)
				}
			})
		})
	}
}

// A charge that the API put on one Villa order proves nothing about another, be
// they recorded or not.
func TestAStatusWithAnotherOrdersCharge(t *testing.T) {
	t.Parallel()
	for name, own := range map[string]bool{"recorded": true, "made elsewhere": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inWorld(t, sandbox.Options{}, func(t *testing.T, w *world, p *process) {
				bank := "order_x"
				if own {
					bank = p.mustMake(t, Request{}).BankOrderID
					p.mustMake(t, Request{OrderID: "4926"})
				}
				if got := p.hears(t, w, `{"id":"chrg_1","order_id":"`+bank+`","status":"success","transaction_state":"Authorized"}`); got.Payment.State != order.Paid {
					t.Errorf("%+v", got)
				}
				for _, body := range []string{authorized, `{"id":"chrg_1","order_id":"` + bank + `","status":"success","transaction_state":"Authorized"}`} {
					w.says(200, body)
					got, err := p.Status(t.Context(), "4926", true)
					if err != nil || got.Payment.State == order.Paid || own && (got.Payment.State != order.Awaiting || !got.Payment.Warned("charge_order")) {
						t.Errorf("%s: %+v, %v", body, got, err)
					}
				}
			})
		})
	}
}

// One bank order for two Villa orders pays for the one that got it first; the
// other warns, and its code is not drawn.
func TestOneBankOrderForTwoVillaOrders(t *testing.T) {
	t.Parallel()
	inWorld(t, sandbox.Options{}, func(t *testing.T, w *world, p *process) {
		first := p.mustMake(t, Request{})
		w.between(func(req *http.Request, _ http.RoundTripper) (*http.Response, error) {
			return answer(req, 200, string(first.Order))
		})
		second := p.mustMake(t, Request{OrderID: "4926"})
		if first.Payable(p.Now()) != nil || second.BankOrderID != first.BankOrderID || second.Payable(p.Now()) == nil || codes(second.Warnings) != order.WarnShared {
			t.Errorf("%+v", second)
		}
		p.pay(t, first)
		for id, want := range map[string]order.State{"4925": order.Paid, "4926": order.Awaiting} {
			if got := p.mustMake(t, Request{OrderID: id}); got.State != want || got.Payable(p.Now()) == nil {
				t.Errorf("order %s is %s", id, got.State)
			}
		}
	})
}

// The paid payment answers for the order, else the newest; the others are counted.
func TestTheReportedPayment(t *testing.T) {
	t.Parallel()
	inWorld(t, sandbox.Options{}, func(t *testing.T, _ *world, p *process) {
		p.StatusPath = ""
		first, second := p.mustMake(t, Request{}), p.mustMake(t, Request{New: true})
		if got := p.status(t); got.Payment.BankOrderID != second.BankOrderID || got.Others != 1 {
			t.Errorf("%+v", got)
		}
		p.pay(t, first)
		if got := p.status(t); got.Payment.BankOrderID != first.BankOrderID || got.Others != 1 {
			t.Errorf("%+v", got)
		}
	})
}

// A payment that is given back while other orders are asked about is not reported as
// paid.
func TestStatusesAreReadAfterTheLastAnswer(t *testing.T) {
	t.Parallel()
	inWorld(t, sandbox.Options{}, func(t *testing.T, w *world, p *process) {
		made := p.mustMake(t, Request{})
		p.pay(t, made)
		w.between(func(req *http.Request, next http.RoundTripper) (*http.Response, error) {
			if strings.HasSuffix(req.URL.Path, "/4926") {
				time.Sleep(time.Second) // virtual: 4925 has its answer
				p.notify(t, "chrg_"+made.BankOrderID, made, "Voided")
			}
			return answer(req, 404, "")
		})
		reports, err := p.Statuses(t.Context(), []string{"4925", "4926"}, true)
		if err != nil || reports[0].Payment.State != order.Cancelled || reports[1].Found {
			t.Errorf("%+v, %v", reports, err)
		}
	})
}

// Many orders are asked about in parallel, but not all at once, and answered in
// the order given.
func TestStatusesOfManyOrders(t *testing.T) {
	t.Parallel()
	for _, dsn := range []string{"sqlite", "none"} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, sandbox.Options{})
			p := w.startOn(t, dsn, 0)
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
				if found := r.OrderID == "o-7"; r.Found != found || r.NoOrder == found || kind(r.Err) != api.Kind(0) {
					t.Errorf("%+v", r)
				}
			}
			if diff := cmp.Diff(ids, got); diff != "" {
				t.Error(diff)
			}
			if took := time.Since(start); took < 5*time.Second || took > 6*time.Second || most.Load() != 8 {
				t.Errorf("%s, %d at once", took, most.Load())
			}
		})
	}
}
