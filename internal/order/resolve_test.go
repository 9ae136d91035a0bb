package order

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// pay is a recorded payment of a Villa order, awaiting. Its reference_order is
// ref- and the bank order.
func pay(orderID, bank, amount string, change ...func(*Payment)) Payment {
	p := Payment{Scope: "s", Env: "dev", OrderID: orderID, Source: QR, Key: "key-" + bank, RecordedAt: start}
	o, err := Decode(fmt.Appendf(nil, `{"id":%q,"object":"order","created":"20250530210000000","livemode":false,"amount":%s,"currency":"THB","status":"success","reference_order":"ref-%s","expire_time_seconds":3600}`, bank, amount, bank))
	if err != nil {
		panic(err)
	}
	p.Answer(o, Answered{Received: start, Date: start, Sent: start})
	for _, f := range change {
		f(&p)
	}
	return p
}

// failedOrder makes it an order that the bank rejected when it was made.
func failedOrder(p *Payment) {
	o, err := Decode([]byte(strings.Replace(string(p.Order), `"success"`, `"failed","failure_code":"x"`, 1)))
	if err != nil {
		panic(err)
	}
	p.Answer(o, Answered{Received: start, Sent: start})
}

// api is what the API says of a charge when it is asked about a Villa order.
func api(orderID, chargeID, state string, change ...func(*Report)) Report {
	r := Report{OrderID: orderID, ChargeID: chargeID, TransactionState: state, Status: "success", From: FromAPI, PaidBy: ByTransactionState}
	for _, f := range change {
		f(&r)
	}
	return r
}

// notice is a genuine notification.
func notice(chargeID, bank, state, amount string, change ...func(*Report)) Report {
	r := api("", chargeID, state, on(bank), over(amount), in("THB"), func(r *Report) { r.From = FromWebhook })
	for _, f := range change {
		f(&r)
	}
	return r
}

func on(bank string) func(*Report)          { return func(r *Report) { r.BankOrderID = bank } }
func ref(reference string) func(*Report)    { return func(r *Report) { r.Reference = reference } }
func over(amount string) func(*Report)      { return func(r *Report) { r.Amount = amountOf(amount) } }
func in(currency string) func(*Report)      { return func(r *Report) { r.Currency = currency } }
func status(status string) func(*Report)    { return func(r *Report) { r.Status = status } }
func live(yes bool) func(*Report)           { return func(r *Report) { r.Livemode = &yes } }
func doubts(field string) func(*Report)     { return func(r *Report) { r.Doubt = field } }
func created(d time.Duration) func(*Report) { return func(r *Report) { r.Created = start.Add(d) } }
func heard(d time.Duration) func(*Report)   { return func(r *Report) { r.Received = start.Add(d) } }
func fromBank(r *Report)                    { r.From = FromBank }
func byWord(r *Report)                      { r.PaidBy, r.TransactionState = ByStatusPaid, "" }

// amountOf is an amount; "" is an unknown one.
func amountOf(text string) Amount {
	amount, err := ParseAmount(text)
	if err != nil && text != "" {
		panic(err)
	}
	return amount
}

// reporter is a *testing.T or *rapid.T.
type reporter interface {
	Helper()
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
}

// resolve resolves a Villa order, and checks what holds of every resolution: it
// leaves its input alone, and resolving what came out changes nothing. Reports
// without a time were received a second apart.
func resolve(t reporter, orderID string, payments []Payment, reports []Report) ([]Payment, *Payment) {
	t.Helper()
	c := Case{orderID, slices.Clone(payments), slices.Clone(reports)}
	for i := range c.Reports {
		if c.Reports[i].Received.IsZero() {
			c.Reports[i].Received = start.Add(time.Duration(i+1) * time.Second)
		}
	}
	before := Case{orderID, slices.Clone(c.Payments), slices.Clone(c.Reports)}
	for i, p := range before.Payments {
		before.Payments[i].Warnings = slices.Clone(p.Warnings)
		if p.Error != nil {
			failure := *p.Error
			before.Payments[i].Error = &failure
		}
	}
	own, elsewhere := Resolve(c)
	if !reflect.DeepEqual(before, c) {
		t.Fatalf("the input was modified: %s", cmp.Diff(before, c, sameDigits))
	}
	again := c
	next := 0
	for i, p := range again.Payments {
		if p.OrderID == orderID {
			again.Payments[i] = own[next]
			next++
		}
	}
	if next != len(own) {
		t.Fatalf("%d payments became %d", next, len(own))
	}
	ownAgain, elsewhereAgain := Resolve(again)
	if !reflect.DeepEqual(own, ownAgain) || !reflect.DeepEqual(elsewhere, elsewhereAgain) {
		t.Fatalf("resolving what came out changed it: %s%s", cmp.Diff(own, ownAgain, sameDigits), cmp.Diff(elsewhere, elsewhereAgain, sameDigits))
	}
	return own, elsewhere
}

// outcome says what payments are: bank order, state, charge, codes of warnings.
func outcome(payments []Payment, elsewhere *Payment) string {
	var all []string
	say := func(p Payment, name string) {
		text := name + " " + string(p.State)
		if p.ChargeID != "" {
			text += " by " + p.ChargeID
		} else if p.BankState != "" || p.PaidBy != "" {
			text += " by one"
		}
		if len(p.Warnings) > 0 {
			text += " (" + codesOf(p.Warnings) + ")"
		}
		all = append(all, text)
	}
	for _, p := range payments {
		name := p.BankOrderID
		if name == "" {
			name = "-"
		}
		say(p, name)
	}
	if elsewhere != nil {
		say(*elsewhere, strings.TrimSpace("elsewhere "+elsewhere.BankOrderID))
	}
	return strings.Join(all, ", ")
}

func TestResolve(t *testing.T) {
	t.Parallel()
	one := []Payment{pay("1", "o1", "300.0")}
	two := []Payment{pay("1", "o1", "300.0"), pay("1", "o2", "300")}
	sums := []Payment{pay("1", "o1", "300.0"), pay("1", "o2", "100")}
	villas := []Payment{pay("1", "o1", "300.0"), pay("2", "o2", "300.0")}
	shared := []Payment{pay("1", "same", "300.0"), pay("2", "same", "300.0")}
	later := []Payment{one[0], pay("1", "o2", "300", func(p *Payment) { p.RecordedAt = start.Add(time.Hour) })}
	before, after := heard(-time.Hour), heard(2*time.Hour)
	lives := []Payment{pay("1", "o1", "300", func(p *Payment) {
		p.Order = []byte(strings.Replace(string(p.Order), `"livemode":false`, `"livemode":true`, 1))
	})}
	canceled := []Payment{pay("1", "o1", "300.0", func(p *Payment) { p.Canceled = true })}
	for _, c := range []struct {
		name     string
		payments []Payment
		reports  []Report
		want     string // of Villa order 1
		want2    string // of Villa order 2, if it has payments
	}{
		{name: "nothing was said", payments: two, want: "o1 awaiting, o2 awaiting"},
		{name: "nothing is known", want: ""},

		// How a charge moves.
		{name: "initialized", payments: one, reports: []Report{api("1", "c1", "Initialize")}, want: "o1 awaiting by c1"},
		{name: "declined leaves it payable", payments: one, reports: []Report{api("1", "c1", "Declined")}, want: "o1 awaiting by c1"},
		{name: "authorized", payments: one, reports: []Report{api("1", "c1", "Authorized")}, want: "o1 paid by c1"},
		{name: "the bank's own typo", payments: one, reports: []Report{api("1", "c1", "Auhtorized")}, want: "o1 paid by c1"},
		{name: "settled", payments: one, reports: []Report{api("1", "c1", "Settled")}, want: "o1 paid by c1"},
		{name: "reversed", payments: one, reports: []Report{api("1", "c1", "Reversed")}, want: "o1 failed by c1"},
		{name: "voided", payments: one, reports: []Report{api("1", "c1", "VOID")}, want: "o1 cancelled by c1"},
		{name: "refunded", payments: one, reports: []Report{api("1", "c1", "Refund Sent")}, want: "o1 refunded by c1"},
		{name: "a state nobody explained", payments: one, reports: []Report{api("1", "c1", "Pondering")}, want: "o1 awaiting by c1"},
		{name: "a state nobody explained moves nothing", payments: one, reports: []Report{api("1", "c1", "Settled"), api("1", "c1", "Pondering")}, want: "o1 paid by c1"},
		{name: "declined, then paid", payments: one, reports: []Report{api("1", "c1", "Declined"), api("1", "c1", "Authorized")}, want: "o1 paid by c1"},
		{name: "only up: paid, then declined", payments: one, reports: []Report{api("1", "c1", "Settled"), api("1", "c1", "Declined"), api("1", "c1", "Initialize")}, want: "o1 paid by c1"},
		{name: "only up: refunded, then settled", payments: one, reports: []Report{api("1", "c1", "Refunded"), api("1", "c1", "Settled")}, want: "o1 refunded by c1"},
		{name: "only up: refunded, then voided, reversed", payments: one, reports: []Report{api("1", "c1", "Refund"), api("1", "c1", "Voided"), api("1", "c1", "Reversed")}, want: "o1 refunded by c1"},
		{name: "paid, then reversed", payments: one, reports: []Report{api("1", "c1", "Settled"), api("1", "c1", "Reversed")}, want: "o1 failed by c1"},

		// Status beside the state.
		{name: "status empty", payments: one, reports: []Report{api("1", "c1", "Authorized", status(""))}, want: "o1 paid by c1"},
		{name: "status in capitals", payments: one, reports: []Report{api("1", "c1", "Authorized", status("SUCCESS"))}, want: "o1 paid by c1"},
		{name: "status fail", payments: one, reports: []Report{api("1", "c1", "Authorized", status("fail"))}, want: "o1 awaiting (charge_status)"},
		{name: "a notification with status fail", payments: one, reports: []Report{notice("c1", "o1", "Settled", "300", status("fail"))}, want: "o1 awaiting (charge_status)"},
		{name: "a notification without a status", payments: one, reports: []Report{notice("c1", "o1", "Settled", "300", status(""))}, want: "o1 paid by c1"},
		{name: "status fail lowers nothing", payments: one, reports: []Report{api("1", "c1", "Settled"), api("1", "c1", "Settled", status("fail"))}, want: "o1 paid by c1 (charge_status)"},
		{name: "declined with status fail", payments: one, reports: []Report{api("1", "c1", "Declined", status("fail"))}, want: "o1 awaiting by c1"},

		// What the order was before.
		{name: "paid after the order failed", payments: []Payment{pay("1", "o1", "300", failedOrder)}, reports: []Report{api("1", "c1", "Authorized")}, want: "o1 paid by c1"},
		{name: "a failed order stays one", payments: []Payment{pay("1", "o1", "300", failedOrder)}, reports: []Report{api("1", "c1", "Declined")}, want: "o1 failed by c1"},
		{name: "paid after it was replaced", payments: []Payment{pay("1", "o1", "300", func(p *Payment) { p.ReplacedBy = "key-o2" }), two[1]}, reports: []Report{notice("c1", "o1", "Authorized", "300")}, want: "o1 paid by c1, o2 awaiting (paid_elsewhere)"},
		{name: "paid by another charge than the voided one", payments: one, reports: []Report{api("1", "c1", "Voided"), api("1", "c2", "Authorized")}, want: "o1 paid by c2 (charge_unpaid)"},

		// Several charges: any paid one pays, and none takes from another.
		{name: "reversed, then another paid, no order named", payments: one, reports: []Report{api("1", "chrg_1", "Reversed"), api("1", "chrg_2", "Authorized")}, want: "o1 paid by chrg_2 (charge_unpaid)"},
		{name: "paid, then another voided, no order named", payments: one, reports: []Report{api("1", "chrg_1", "Settled"), api("1", "chrg_2", "Voided")}, want: "o1 paid by chrg_1 (charge_unpaid)"},
		{name: "two paid, no order named", payments: one, reports: []Report{api("1", "chrg_1", "Settled"), api("1", "chrg_2", "Settled")}, want: "o1 paid by chrg_1 (paid_twice)"},
		{name: "two paid on two orders", payments: two, reports: []Report{notice("c1", "o1", "Settled", "300"), notice("c2", "o2", "Settled", "300")}, want: "o1 paid by c1 (paid_twice), o2 paid by c2 (paid_twice)"},
		{name: "paid twice, one refunded", payments: one, reports: []Report{api("1", "c1", "Settled"), api("1", "c2", "Settled"), api("1", "c1", "Refunded")}, want: "o1 paid by c2 (paid_twice_returned)"},
		{name: "paid twice, both refunded", payments: one, reports: []Report{api("1", "c1", "Settled"), api("1", "c2", "Settled"), api("1", "c1", "Refunded"), api("1", "c2", "Voided")}, want: "o1 refunded by c1 (paid_twice_returned)"},
		{name: "a void of a charge that was never paid, beside one that was, and was refunded", payments: one, reports: []Report{api("1", "c1", "Settled"), api("1", "c1", "Reversed"), api("1", "c2", "Refunded")}, want: "o1 failed by c1 (charge_unpaid)"},
		{name: "the furthest of those never paid", payments: one, reports: []Report{api("1", "c1", "Declined"), api("1", "c2", "Voided"), api("1", "c3", "Initialize")}, want: "o1 cancelled by c2"},
		{name: "two taken back, neither known to be paid", payments: one, reports: []Report{api("1", "c1", "Voided"), api("1", "c2", "Refunded")}, want: "o1 refunded by c2"},
		{name: "the one that was paid first", payments: one, reports: []Report{api("1", "c1", "Settled", created(time.Hour)), api("1", "c2", "Settled", created(time.Minute))}, want: "o1 paid by c2 (paid_twice)"},
		{name: "one charge twice is not two", payments: one, reports: []Report{api("1", "c1", "Authorized"), notice("c1", "o1", "Settled", "300")}, want: "o1 paid by c1"},

		// Refunds.
		{name: "refund failed", payments: one, reports: []Report{api("1", "c1", "Settled"), api("1", "c1", "Refund Failed")}, want: "o1 paid by c1 (refund_state)"},
		{name: "refund requested", payments: one, reports: []Report{notice("c1", "o1", "Settled", "300"), notice("c1", "o1", " refund requested", "300")}, want: "o1 paid by c1 (refund_state)"},
		{name: "refund requested of what was not paid", payments: one, reports: []Report{api("1", "c1", "REFUND REQUESTED")}, want: "o1 awaiting by c1 (refund_state)"},
		{name: "refund of a part", payments: one, reports: []Report{notice("c1", "o1", "Settled", "300"), notice("c1", "o1", "Refund Sent", "100")}, want: "o1 paid by c1 (partial_refund)"},
		{name: "refund of a part, by the API", payments: one, reports: []Report{api("1", "c1", "Settled", over("300")), api("1", "c1", "Refund Sent", over("299.99"))}, want: "o1 paid by c1 (partial_refund)"},
		{name: "refund of the whole in other digits", payments: one, reports: []Report{notice("c1", "o1", "Settled", "300"), notice("c1", "o1", "Refund Sent", "300.000")}, want: "o1 refunded by c1"},
		{name: "refund without an amount", payments: one, reports: []Report{api("1", "c1", "Settled"), api("1", "c1", "Refund Sent")}, want: "o1 refunded by c1"},
		{name: "refund of more than the whole", payments: one, reports: []Report{notice("c1", "o1", "Settled", "300"), notice("c1", "o1", "Refund Sent", "301")}, want: "o1 paid by c1 (charge_amount)"},
		{name: "refund in another currency", payments: one, reports: []Report{notice("c1", "o1", "Settled", "300"), notice("c1", "o1", "Refund Sent", "100", in("USD"))}, want: "o1 paid by c1 (charge_currency)"},
		{name: "refund told of another charge than the paid one", payments: one, reports: []Report{api("1", "c1", "Settled"), api("1", "c2", "Refund Sent")}, want: "o1 paid by c1 (charge_unpaid)"},
		{
			name: "refund of a part does not move the charge to an order of that amount", payments: sums,
			reports: []Report{api("1", "c1", "Settled", over("300")), api("1", "c1", "Refund Sent", over("100"))},
			want:    "o1 paid by c1 (partial_refund), o2 awaiting (paid_elsewhere)",
		},
		{
			name: "refund of a part of what another tool's order cost", payments: one,
			reports: []Report{api("1", "c1", "Settled", on("o9"), over("300")), api("1", "c1", "Refund Sent", on("o9"), over("100"))},
			want:    "o1 awaiting (paid_elsewhere), elsewhere o9 paid by c1 (partial_refund not_recorded)",
		},
		{
			name:    "refund of another tool's order, beside a larger amount in doubt",
			reports: []Report{api("1", "c1", "Refund Sent", over("100")), api("1", "c1", "Authorized", over("300"), doubts("order_id"))},
			want:    "elsewhere refunded by c1 (not_recorded)",
		},
		{
			name:    "refund of another tool's order, beside a larger amount with another status",
			reports: []Report{api("1", "c1", "Refund Sent", over("100")), api("1", "c1", "Authorized", over("300"), status("fail"))},
			want:    "elsewhere refunded by c1 (charge_status not_recorded)",
		},
		{
			name: "refund of the whole of another tool's order", payments: one,
			reports: []Report{api("1", "c1", "Settled", on("o9"), over("300")), api("1", "c1", "Refund Sent", on("o9"), over("300.0"))},
			want:    "o1 awaiting, elsewhere o9 refunded by c1 (not_recorded)",
		},

		// Amount, currency, livemode, doubts.
		{name: "another amount", payments: one, reports: []Report{notice("c1", "o1", "Settled", "299")}, want: "o1 awaiting (charge_amount)"},
		{name: "another amount, by the API", payments: one, reports: []Report{api("1", "c1", "Settled", over("299"))}, want: "o1 awaiting (charge_amount)"},
		{name: "another currency", payments: one, reports: []Report{notice("c1", "o1", "Settled", "300", in("USD"))}, want: "o1 awaiting (charge_currency)"},
		{name: "another currency, by the API", payments: one, reports: []Report{api("1", "c1", "Settled", in("USD"))}, want: "o1 awaiting (charge_currency)"},
		{name: "currency in small letters", payments: one, reports: []Report{notice("c1", "o1", "Settled", "300.00", in("thb"))}, want: "o1 paid by c1"},
		{name: "a notification without an amount", payments: one, reports: []Report{notice("c1", "o1", "Settled", "")}, want: "o1 awaiting (charge_amount)"},
		{name: "a notification without a currency", payments: one, reports: []Report{notice("c1", "o1", "Settled", "300", in(""))}, want: "o1 awaiting (charge_currency)"},
		{name: "live on a test order", payments: one, reports: []Report{api("1", "c1", "Settled", live(true))}, want: "o1 awaiting (charge_livemode)"},
		{name: "live on a live order", payments: lives, reports: []Report{notice("c1", "o1", "Settled", "300", live(true))}, want: "o1 paid by c1"},
		{name: "no livemode on a live order", payments: lives, reports: []Report{notice("c1", "o1", "Settled", "300")}, want: "o1 awaiting (charge_livemode)"},
		{name: "the API's word on a live order", payments: lives, reports: []Report{api("1", "c1", "Settled")}, want: "o1 paid by c1"},
		{name: "livemode that fits", payments: one, reports: []Report{api("1", "c1", "Settled", live(false))}, want: "o1 paid by c1"},
		{
			name: "livemode on an order that does not say", payments: []Payment{pay("1", "o1", "300", func(p *Payment) {
				p.Order = []byte(strings.Replace(string(p.Order), `"livemode":false,`, "", 1))
			})}, reports: []Report{api("1", "c1", "Settled", live(true))}, want: "o1 paid by c1",
		},
		{name: "an order whose amount is unreadable", payments: []Payment{pay("1", "o1", `"1e2"`)}, reports: []Report{notice("c1", "o1", "Settled", "300")}, want: "o1 awaiting (charge_amount)"},
		{name: "the same, and the API states none", payments: []Payment{pay("1", "o1", `"1e2"`)}, reports: []Report{api("1", "c1", "Settled")}, want: "o1 paid by c1"},
		{name: "an unreadable amount", payments: one, reports: []Report{api("1", "c1", "Settled", doubts("amount"))}, want: "o1 awaiting (charge_doubt)"},
		{name: "an unreadable livemode", payments: one, reports: []Report{notice("c1", "o1", "Settled", "300", doubts("livemode"))}, want: "o1 awaiting (charge_doubt)"},
		{name: "an unreadable order_id", payments: one, reports: []Report{api("1", "c1", "Settled", doubts("order_id"))}, want: "o1 awaiting (charge_doubt)"},
		{name: "an unreadable id", payments: one, reports: []Report{api("1", "", "Settled", doubts("id"))}, want: "o1 awaiting (charge_doubt)"},
		{name: "what does not fit lowers nothing", payments: one, reports: []Report{notice("c1", "o1", "Settled", "300"), notice("c1", "o1", "Reversed", "30"), notice("c1", "o1", "Voided", "300", live(true)), api("1", "c1", "Refunded", doubts("currency"))}, want: "o1 paid by c1 (charge_amount charge_doubt charge_livemode)"},
		{name: "an unreadable report of another tool's order", payments: one, reports: []Report{api("1", "c1", "Settled", on("o9"), doubts("amount"))}, want: "o1 awaiting"},

		// A charge that names no bank order: the newest fitting payment, until somebody names one.
		{name: "no order named, the newest", payments: two, reports: []Report{api("1", "c1", "Settled")}, want: "o1 awaiting (paid_elsewhere), o2 paid by c1"},
		{name: "no order named, the fitting one", payments: sums, reports: []Report{api("1", "c1", "Settled", over("300"))}, want: "o1 paid by c1, o2 awaiting (paid_elsewhere)"},
		{name: "no order named, none fits", payments: sums, reports: []Report{api("1", "c1", "Settled", over("5"))}, want: "o1 awaiting, o2 awaiting (charge_amount)"},
		{name: "no order named, until the API names one", payments: two, reports: []Report{api("1", "c1", "Settled"), api("1", "c1", "Declined", on("o1"))}, want: "o1 paid by c1, o2 awaiting (paid_elsewhere)"},
		{name: "no order named, until a notification names one", payments: two, reports: []Report{api("1", "c1", "Settled"), notice("c1", "o1", "Declined", "300")}, want: "o1 paid by c1, o2 awaiting (paid_elsewhere)"},
		{name: "no order named, but what was said fits one more", payments: sums, reports: []Report{api("1", "c1", "Initialize"), api("1", "c1", "Settled", over("300"))}, want: "o1 paid by c1, o2 awaiting (paid_elsewhere)"},
		{name: "no order named, and a status that proves nothing", payments: sums, reports: []Report{api("1", "c1", "Settled", over("100"), status("fail")), api("1", "c1", "Settled", over("300"))}, want: "o1 paid by c1 (charge_status), o2 awaiting (paid_elsewhere)"},
		{name: "a notification cannot move it to another Villa order", payments: villas, reports: []Report{api("1", "c1", "Settled"), notice("c1", "o2", "Settled", "300")}, want: "o1 paid by c1", want2: "o2 awaiting (charge_order)"},
		{
			name: "a stray notification cannot move it to an order of its amount", payments: sums,
			reports: []Report{api("1", "c1", "Settled", over("300")), notice("c1", "o9", "Settled", "100")},
			want:    "o1 paid by c1, o2 awaiting (paid_elsewhere)",
		},

		// order_id and reference_order.
		{name: "order_id is our reference_order", payments: two, reports: []Report{api("1", "c1", "Settled", on("ref-o1"))}, want: "o1 paid by c1, o2 awaiting (paid_elsewhere)"},
		{name: "a notification by reference_order alone", payments: two, reports: []Report{notice("c1", "", "Settled", "300", ref("ref-o1"))}, want: "o1 paid by c1, o2 awaiting (paid_elsewhere)"},
		{name: "a notification whose order_id is the reference_order", payments: two, reports: []Report{notice("c1", "ref-o1", "Settled", "300")}, want: "o1 paid by c1, o2 awaiting (paid_elsewhere)"},
		{name: "order_id before reference_order", payments: two, reports: []Report{api("1", "c1", "Settled", on("o1"), ref("ref-o2"))}, want: "o1 paid by c1, o2 awaiting (paid_elsewhere)"},
		{name: "a reference_order nobody recorded", payments: one, reports: []Report{notice("c1", "", "Settled", "300", ref("ref-o9"))}, want: "o1 awaiting"},
		{name: "an order_id nobody recorded, beside our reference_order", payments: one, reports: []Report{api("1", "c1", "Settled", on("o9"), ref("ref-o1"))}, want: "o1 awaiting (paid_elsewhere), elsewhere o9 paid by c1 (not_recorded)"},

		// Orders that other tools made.
		{name: "an order made elsewhere", payments: one, reports: []Report{api("1", "c1", "Settled", on("o9"))}, want: "o1 awaiting (paid_elsewhere), elsewhere o9 paid by c1 (not_recorded)"},
		{name: "an order made elsewhere, none here", reports: []Report{api("1", "c1", "Settled", on("o9"))}, want: "elsewhere o9 paid by c1 (not_recorded)"},
		{name: "no order named, none here", reports: []Report{api("1", "c1", "Settled")}, want: "elsewhere paid by c1 (not_recorded)"},
		{name: "no charge named, none here", reports: []Report{api("1", "", "Settled")}, want: "elsewhere paid by one (not_recorded)"},
		{name: "only its order is known", reports: []Report{api("1", "", "", on("o9"))}, want: "elsewhere o9 awaiting (not_recorded)"},
		{name: "not paid elsewhere", payments: one, reports: []Report{api("1", "c1", "Declined", on("o9"))}, want: "o1 awaiting, elsewhere o9 awaiting by c1 (not_recorded)"},
		{name: "paid here and elsewhere", payments: one, reports: []Report{api("1", "c1", "Settled", on("o9")), notice("c2", "o1", "Settled", "300")}, want: "o1 paid by c2 (paid_twice), elsewhere o9 paid by c1 (not_recorded paid_twice)"},
		{name: "paid elsewhere twice", reports: []Report{api("1", "c1", "Settled", on("o8")), api("1", "c2", "Settled", on("o9"))}, want: "elsewhere o8 paid by c1 (not_recorded paid_twice)"},
		{name: "elsewhere with status fail", payments: one, reports: []Report{api("1", "c1", "Settled", on("o9"), status("fail"))}, want: "o1 awaiting"},
		{name: "a notification of an order nobody recorded", payments: one, reports: []Report{notice("c1", "o9", "Settled", "300")}, want: "o1 awaiting"},
		{name: "a notification of the charge elsewhere", payments: one, reports: []Report{api("1", "c1", "Initialize", on("o9")), notice("c1", "o9", "Settled", "300")}, want: "o1 awaiting (paid_elsewhere), elsewhere o9 paid by c1 (not_recorded)"},

		// Answers that name another Villa order's order.
		{name: "another Villa order's bank order", payments: villas, reports: []Report{api("1", "c1", "Settled", on("o2"))}, want: "o1 awaiting (charge_order)", want2: "o2 awaiting"},
		{name: "another Villa order's reference_order", payments: villas, reports: []Report{api("1", "c1", "Settled", ref("ref-o2"))}, want: "o1 awaiting (charge_order)", want2: "o2 awaiting"},
		{name: "another Villa order's ID as order_id", payments: villas, reports: []Report{api("1", "c1", "Settled", on("2"))}, want: "o1 awaiting (charge_order)", want2: "o2 awaiting"},
		{name: "another Villa order's ID as reference_order", payments: villas, reports: []Report{api("1", "c1", "Settled", ref("2"))}, want: "o1 awaiting (charge_order)", want2: "o2 awaiting"},
		{name: "no charge named, another's order", payments: villas, reports: []Report{api("1", "", "Settled", on("o2"))}, want: "o1 awaiting (charge_order)", want2: "o2 awaiting"},
		{name: "it says nothing of a charge that is ours", payments: villas, reports: []Report{api("1", "c1", "Declined", on("o1")), api("1", "c1", "Settled", on("o2"))}, want: "o1 awaiting by c1 (charge_order)", want2: "o2 awaiting"},
		{name: "it says nothing of whose the charge is", payments: villas, reports: []Report{api("1", "c1", "Settled", on("o2")), notice("c1", "o2", "Settled", "300")}, want: "o1 awaiting (charge_order)", want2: "o2 paid by c1"},
		{name: "nor whose a border is", payments: []Payment{pay("1", "o1", "5300"), pay("2", "o2", "300")}, reports: []Report{api("1", "X", "Settled", on("o2"), over("5300")), notice("X5", "o2", "Settled", "300")}, want: "o1 awaiting (charge_order)", want2: "o2 paid by X5"},

		// A charge has one order.
		{name: "re-aimed, the genuine one first", payments: villas, reports: []Report{notice("c1", "o1", "Settled", "300"), notice("c1", "o2", "Settled", "300")}, want: "o1 paid by c1", want2: "o2 awaiting (charge_order)"},
		{name: "re-aimed first, without the API's word", payments: villas, reports: []Report{notice("c1", "o2", "Settled", "300"), notice("c1", "o1", "Settled", "300")}, want: "o1 awaiting (charge_order)", want2: "o2 paid by c1"},
		{name: "re-aimed first, and the API names the order", payments: villas, reports: []Report{notice("c1", "o2", "Settled", "300"), notice("c1", "o1", "Settled", "300"), api("1", "c1", "Initialize", on("o1"))}, want: "o1 paid by c1", want2: "o2 awaiting (charge_order)"},
		{name: "re-aimed first, and the API names the Villa order", payments: villas, reports: []Report{notice("c1", "o2", "Settled", "300"), notice("c1", "o1", "Settled", "300"), api("1", "c1", "Authorized")}, want: "o1 paid by c1", want2: "o2 awaiting (charge_order)"},
		{name: "re-aimed first, and the bank names the order", payments: villas, reports: []Report{notice("c1", "o2", "Settled", "300"), api("1", "c1", "Settled", on("o1"), fromBank)}, want: "o1 paid by c1", want2: "o2 awaiting (charge_order)"},
		{name: "re-aimed first at an order nobody recorded", payments: villas, reports: []Report{notice("c1", "o9", "Settled", "300"), notice("c1", "o1", "Settled", "300")}, want: "o1 paid by c1", want2: "o2 awaiting"},
		{name: "re-aimed first at an order of another amount", payments: []Payment{pay("1", "o1", "300"), pay("2", "o2", "100")}, reports: []Report{notice("c1", "o2", "Settled", "300"), notice("c1", "o1", "Settled", "300")}, want: "o1 paid by c1", want2: "o2 awaiting (charge_amount)"},
		{name: "re-aimed first at an order of the other mode", payments: villas, reports: []Report{notice("c1", "o2", "Settled", "300", live(true)), notice("c1", "o1", "Settled", "300")}, want: "o1 paid by c1", want2: "o2 awaiting (charge_livemode)"},
		{name: "re-aimed by reference_order", payments: villas, reports: []Report{notice("c1", "o1", "Settled", "300"), notice("c1", "", "Settled", "300", ref("ref-o2"))}, want: "o1 paid by c1", want2: "o2 awaiting (charge_order)"},
		{name: "re-aimed at another payment of its Villa order", payments: two, reports: []Report{notice("c1", "o1", "Settled", "300"), notice("c1", "o2", "Settled", "300")}, want: "o1 paid by c1, o2 awaiting (charge_order paid_elsewhere)"},
		{name: "a re-aimed refund takes nothing", payments: villas, reports: []Report{notice("c1", "o1", "Settled", "300"), notice("c1", "o2", "Refund Sent", "300")}, want: "o1 paid by c1", want2: "o2 awaiting (charge_order)"},
		{name: "the API names two Villa orders for one charge", payments: villas, reports: []Report{api("2", "c1", "Settled", on("o2")), api("1", "c1", "Settled", on("o1"))}, want: "o1 paid by c1", want2: "o2 awaiting (charge_order)"},
		{name: "the bank's word before the API's", payments: villas, reports: []Report{api("1", "c1", "Settled", on("o1")), api("2", "c1", "Settled", on("o2"), fromBank)}, want: "o1 awaiting (charge_order)", want2: "o2 paid by c1"},
		{name: "who names a bank order before who does not", payments: villas, reports: []Report{api("1", "c1", "Settled"), api("2", "c1", "Settled", on("o2"))}, want: "o1 awaiting (charge_order)", want2: "o2 paid by c1"},
		{name: "asked about no Villa order, the API names its bank order", payments: villas, reports: []Report{api("", "c1", "Settled", on("o2"))}, want: "o1 awaiting", want2: "o2 paid by c1"},
		{name: "the same without a charge", payments: villas, reports: []Report{api("", "", "Settled", on("o2"))}, want: "o1 awaiting", want2: "o2 paid by one"},
		{name: "a word that cannot be read decides nothing", payments: villas, reports: []Report{api("1", "c1", "Settled", doubts("order_id")), notice("c1", "o2", "Settled", "300")}, want: "o1 awaiting (charge_doubt)", want2: "o2 paid by c1 (charge_doubt)"},
		{name: "a charge that is another's alone is nothing here", payments: villas, reports: []Report{notice("c1", "o2", "Settled", "300")}, want: "o1 awaiting", want2: "o2 paid by c1"},

		// The checksum's border.
		{name: "a border, the first recorded", payments: []Payment{pay("1", "o1", "300"), pay("2", "o2", "5300")}, reports: []Report{notice("X5", "o1", "Settled", "300"), notice("X", "o2", "Settled", "5300")}, want: "o1 paid by X5", want2: "o2 awaiting (charge_order)"},
		{name: "a border, whatever the state", payments: []Payment{pay("1", "o1", "300"), pay("2", "o2", "5300")}, reports: []Report{notice("X5", "o1", "Declined", "300"), notice("X", "o2", "Settled", "5300")}, want: "o1 awaiting by X5", want2: "o2 awaiting (charge_order)"},
		{name: "a border, forged first", payments: []Payment{pay("1", "o1", "300"), pay("2", "o2", "5300")}, reports: []Report{notice("X", "o2", "Settled", "5300"), notice("X5", "o1", "Settled", "300")}, want: "o1 awaiting (charge_order)", want2: "o2 paid by X"},
		{name: "a border, forged first, and the API's word", payments: []Payment{pay("1", "o1", "300"), pay("2", "o2", "5300")}, reports: []Report{notice("X", "o2", "Settled", "5300"), notice("X5", "o1", "Settled", "300"), api("1", "X5", "Settled")}, want: "o1 paid by X5", want2: "o2 awaiting (charge_order)"},
		{name: "a border, forged first, and the API's word with the amount", payments: []Payment{pay("1", "chrg", "300"), pay("2", "o2", "5300")}, reports: []Report{notice("chrg_", "o2", "Settled", "5300"), api("1", "chrg_5", "Authorized", over("300.0"))}, want: "chrg paid by chrg_5", want2: "o2 awaiting (charge_order)"},
		{name: "a border, forged first, and the API's word with an unreadable order", payments: []Payment{pay("1", "o1", "300"), pay("2", "o2", "5300")}, reports: []Report{notice("X", "o2", "Settled", "5300"), notice("X5", "o1", "Settled", "300"), api("1", "X5", "Settled", doubts("order_id"))}, want: "o1 paid by X5 (charge_doubt)", want2: "o2 awaiting (charge_order)"},
		{name: "a border in other digits", payments: []Payment{pay("1", "o1", "300"), pay("2", "o2", "5300")}, reports: []Report{notice("X5", "o1", "Settled", "300.00"), notice("X", "o2", "Settled", "5300.0")}, want: "o1 paid by X5", want2: "o2 awaiting (charge_order)"},
		{name: "a charge of its own, and no border", payments: []Payment{pay("1", "o1", "300"), pay("2", "o2", "5300")}, reports: []Report{notice("X5", "o1", "Settled", "300"), notice("Y", "o2", "Settled", "5300")}, want: "o1 paid by X5", want2: "o2 paid by Y"},
		{name: "a border does not bind what the API names", payments: []Payment{pay("1", "o1", "300"), pay("2", "o2", "5300")}, reports: []Report{notice("X5", "o1", "Settled", "300"), api("2", "X", "Settled", over("5300"))}, want: "o1 awaiting (charge_order)", want2: "o2 paid by X"},
		{name: "a border with a refund of a part", payments: []Payment{pay("1", "o1", "5300"), pay("2", "o2", "300")}, reports: []Report{notice("X", "o1", "Settled", "5300"), notice("X5", "o2", "Settled", "300"), notice("X", "o1", "Refund Sent", "300")}, want: "o1 paid by X (partial_refund)", want2: "o2 awaiting (charge_order)"},

		// Reports that name no charge.
		{name: "no charge named", payments: one, reports: []Report{api("1", "", "Settled")}, want: "o1 paid by one"},
		{name: "no charge named, on its order", payments: two, reports: []Report{api("1", "", "Settled", on("o1"))}, want: "o1 paid by one, o2 awaiting (paid_elsewhere)"},
		{name: "no charge named, on the newest", payments: two, reports: []Report{api("1", "", "Settled")}, want: "o1 awaiting (paid_elsewhere), o2 paid by one"},
		{name: "no charge named, on the fitting one", payments: sums, reports: []Report{api("1", "", "Settled", over("300"))}, want: "o1 paid by one, o2 awaiting (paid_elsewhere)"},
		{name: "no charge named, another amount", payments: one, reports: []Report{api("1", "", "Settled", over("299"))}, want: "o1 awaiting (charge_amount)"},
		{name: "no charge named, paid, then refunded", payments: one, reports: []Report{api("1", "", "Settled"), api("1", "", "Refunded")}, want: "o1 refunded by one"},
		{name: "the anonymous charge is one", payments: one, reports: []Report{api("1", "", "Settled"), api("1", "", "Authorized"), api("1", "", "Settled", on("o1"))}, want: "o1 paid by one"},
		{name: "the anonymous charge is one, and somebody names its order", payments: two, reports: []Report{api("1", "", "Settled"), api("1", "", "Settled", on("o1"))}, want: "o1 paid by one, o2 awaiting (paid_elsewhere)"},
		{name: "the anonymous charge is one, and refunded", payments: two, reports: []Report{api("1", "", "Settled", on("o1")), api("1", "", "Refunded")}, want: "o1 refunded by one, o2 awaiting"},
		{name: "a known charge stands there", payments: one, reports: []Report{api("1", "c1", "Settled"), api("1", "", "Settled")}, want: "o1 paid by c1"},
		{name: "a known charge has passed it", payments: one, reports: []Report{api("1", "", "Settled"), api("1", "c1", "Refunded")}, want: "o1 refunded by c1"},
		{name: "one of several stands there", payments: one, reports: []Report{api("1", "c1", "Initialize"), api("1", "c2", "Declined"), api("1", "", "Declined")}, want: "o1 awaiting by c2"},
		{name: "about the only charge: paid", payments: one, reports: []Report{api("1", "c1", "Initialize"), api("1", "", "Settled")}, want: "o1 paid by c1"},
		{name: "about the only charge, which names no order", payments: one, reports: []Report{api("1", "c1", "Initialize"), api("1", "", "Settled", on("o1"))}, want: "o1 paid by c1"},
		{name: "about the only charge: refunded", payments: one, reports: []Report{api("1", "c1", "Settled"), api("1", "", "Refunded")}, want: "o1 refunded by c1"},
		{name: "about the only charge: a part refunded", payments: one, reports: []Report{api("1", "c1", "Settled"), api("1", "", "Refunded", over("1"))}, want: "o1 paid by c1 (partial_refund)"},
		{name: "about the only charge on the order named", payments: two, reports: []Report{api("1", "c1", "Declined", on("o1")), api("1", "c2", "Declined", on("o2")), api("1", "", "Settled", on("o1"))}, want: "o1 paid by c1, o2 awaiting by c2 (paid_elsewhere)"},
		{name: "about the only one ever paid", payments: one, reports: []Report{api("1", "c1", "Authorized"), api("1", "c2", "Declined"), api("1", "", "Settled")}, want: "o1 paid by c1"},
		{name: "several known, none paid", payments: one, reports: []Report{api("1", "c1", "Initialize"), api("1", "c2", "Declined"), api("1", "", "Settled")}, want: "o1 paid by one"},
		{name: "several known, none paid: taken back", payments: one, reports: []Report{api("1", "c1", "Initialize"), api("1", "c2", "Declined"), api("1", "", "Voided")}, want: "o1 cancelled by one"},
		{name: "several known: it takes nothing away", payments: one, reports: []Report{api("1", "c1", "Settled"), api("1", "c2", "Declined"), api("1", "", "Refunded")}, want: "o1 paid by c1"},
		{name: "several paid: it takes nothing away", payments: one, reports: []Report{api("1", "c1", "Settled"), api("1", "c2", "Authorized"), api("1", "", "Voided")}, want: "o1 paid by c1 (paid_twice)"},
		{name: "several paid: it adds nothing", payments: one, reports: []Report{api("1", "c1", "Authorized"), api("1", "c2", "Authorized"), api("1", "", "Settled")}, want: "o1 paid by c1 (paid_twice)"},
		{name: "the anonymous charge ends once a named one is paid", payments: two, reports: []Report{api("1", "", "Settled", on("o2")), api("1", "c1", "Authorized", on("o1"))}, want: "o1 paid by c1, o2 awaiting (paid_elsewhere)"},
		{name: "and stays until then", payments: two, reports: []Report{api("1", "", "Settled", on("o2")), api("1", "c1", "Declined", on("o1"))}, want: "o1 awaiting by c1 (paid_elsewhere), o2 paid by one"},
		{name: "paid_twice never counts it", payments: one, reports: []Report{api("1", "", "Settled"), api("1", "c1", "Settled"), api("1", "c2", "Declined")}, want: "o1 paid by c1"},
		{name: "nor two of them", payments: two, reports: []Report{api("1", "", "Settled", on("o1")), api("1", "", "Settled", on("o2"))}, want: "o1 paid by one, o2 paid by one"},
		{name: "a failed order, paid by an anonymous charge that ends", payments: []Payment{pay("1", "o1", "300", failedOrder), two[1]}, reports: []Report{api("1", "", "Authorized", on("o1")), api("1", "c1", "Authorized", on("o2"))}, want: "o1 failed (paid_elsewhere), o2 paid by c1"},
		{name: "not about a charge on an order that it does not fit", payments: sums, reports: []Report{api("1", "", "Settled", over("100")), api("1", "c1", "Initialize", on("o1"))}, want: "o1 awaiting by c1 (paid_elsewhere), o2 paid by one"},
		{name: "two of them, as a payment was begun in between", payments: one, reports: []Report{api("1", "", "Reversed", heard(-time.Hour)), api("1", "", "Settled", heard(time.Hour))}, want: "o1 paid by one, elsewhere failed by one (not_recorded paid_elsewhere)"},
		{name: "both about the only charge, on another tool's order", payments: one, reports: []Report{api("1", "", "Reversed", heard(-time.Hour)), api("1", "", "Settled", heard(time.Hour)), api("1", "c1", "Initialize", on("o9"))}, want: "o1 awaiting, elsewhere o9 failed by c1 (not_recorded)"},
		{name: "about the only charge, another tool's, as it fits no payment", payments: one, reports: []Report{api("1", "", "Settled", over("299")), api("1", "", "Initialize", on("o9"))}, want: "o1 awaiting (paid_elsewhere), elsewhere o9 paid by one (not_recorded)"},
		{name: "fits no payment, beside two of another tool's", payments: one, reports: []Report{api("1", "", "Settled", over("299")), api("1", "", "Initialize", on("o9")), api("1", "c1", "", on("o8"))}, want: "o1 awaiting (charge_amount), elsewhere o9 awaiting by one (not_recorded)"},
		{name: "cannot be read, beside two of another tool's", payments: one, reports: []Report{api("1", "", "Settled", doubts("amount")), api("1", "", "Initialize", on("o9")), api("1", "c1", "", on("o8"))}, want: "o1 awaiting (charge_doubt), elsewhere o9 awaiting by one (not_recorded)"},
		{name: "not about another Villa order", payments: villas, reports: []Report{api("1", "", "Settled")}, want: "o1 paid by one", want2: "o2 awaiting"},
		{
			name: "not about a charge on an order that it does not fit, though nobody named that", payments: one,
			reports: []Report{api("1", "", "Initialize", on("o9")), api("1", "", "Authorized", in("USD")), api("1", "c1", "Declined")},
			want:    "o1 awaiting by c1 (paid_elsewhere), elsewhere o9 paid by one (not_recorded)",
		},

		// status_paid.
		{name: "a word that means paid", payments: one, reports: []Report{api("1", "", "", byWord)}, want: "o1 paid by one"},
		{name: "a word that means paid, as it came", payments: one, reports: []Report{api("1", "", "", byWord, status("PAID"))}, want: "o1 paid by one"},
		{name: "a word that means paid, another amount", payments: one, reports: []Report{api("1", "", "", byWord, over("1"))}, want: "o1 awaiting (charge_amount)"},
		{name: "a word beside a charge that is known to be paid", payments: one, reports: []Report{api("1", "", "", byWord), api("1", "c1", "Settled")}, want: "o1 paid by c1"},
		{name: "a word, then refunded", payments: one, reports: []Report{api("1", "", "", byWord), api("1", "", "Refunded")}, want: "o1 refunded by one"},
		{name: "a word beside a state", payments: one, reports: []Report{api("1", "", "Declined", func(r *Report) { r.PaidBy = ByStatusPaid })}, want: "o1 awaiting by one"},

		// A bank order that two Villa orders got.
		{name: "shared, nothing said", payments: shared, want: "same awaiting", want2: "same awaiting (shared_order)"},
		{name: "shared, a notification", payments: shared, reports: []Report{notice("c1", "same", "Settled", "300")}, want: "same paid by c1", want2: "same awaiting (charge_order shared_order)"},
		{name: "shared, the API asked about the first", payments: shared, reports: []Report{api("1", "c1", "Settled", on("same"))}, want: "same paid by c1", want2: "same awaiting (shared_order)"},
		{name: "shared, the API asked about the second", payments: shared, reports: []Report{api("2", "c1", "Settled", on("same"))}, want: "same paid by c1", want2: "same awaiting (charge_order shared_order)"},
		{name: "shared, the API asked about the second, no charge named", payments: shared, reports: []Report{api("2", "", "Settled", on("ref-same"))}, want: "same paid by one", want2: "same awaiting (charge_order shared_order)"},
		{name: "shared, and no order named for the second", payments: shared, reports: []Report{api("2", "c1", "Settled")}, want: "same awaiting", want2: "same awaiting (shared_order paid_elsewhere), elsewhere paid by c1 (not_recorded)"},
		{name: "shared, and no charge named for the second", payments: shared, reports: []Report{api("2", "", "Settled")}, want: "same awaiting", want2: "same awaiting (shared_order paid_elsewhere), elsewhere paid by one (not_recorded)"},
		{name: "shared, and the second has another", payments: append(slices.Clone(shared), pay("2", "o2", "300")), reports: []Report{api("2", "c1", "Settled")}, want: "same awaiting", want2: "same awaiting (shared_order paid_elsewhere), o2 paid by c1"},
		{name: "one bank order twice for one Villa order", payments: []Payment{pay("1", "o1", "300"), pay("1", "o1", "300")}, reports: []Report{notice("c1", "o1", "Settled", "300")}, want: "o1 awaiting (paid_elsewhere), o1 paid by c1"},
		{name: "the same, and no order named", payments: []Payment{pay("1", "o1", "300"), pay("1", "o1", "300")}, reports: []Report{api("1", "c1", "Settled")}, want: "o1 awaiting (paid_elsewhere), o1 paid by c1"},

		// What was heard before a payment was begun is not about its order, unless nothing else can be meant.
		{name: "reversed before it was begun", payments: one, reports: []Report{api("1", "c1", "Reversed", before)}, want: "o1 awaiting, elsewhere failed by c1 (not_recorded)"},
		{name: "reversed before it was begun, no charge named", payments: one, reports: []Report{api("1", "", "Reversed", before)}, want: "o1 awaiting, elsewhere failed by one (not_recorded)"},
		{name: "reversed before it was begun, on its order", payments: one, reports: []Report{api("1", "c1", "Reversed", on("o1"), before)}, want: "o1 failed by c1"},
		{name: "paid before the only one was begun", payments: one, reports: []Report{api("1", "c1", "Settled", before)}, want: "o1 paid by c1"},
		{name: "paid before the newest was begun", payments: later, reports: []Report{api("1", "c1", "Settled")}, want: "o1 paid by c1, o2 awaiting (paid_elsewhere)"},
		{name: "paid before the newest was begun, and told again", payments: later, reports: []Report{api("1", "c1", "Authorized"), api("1", "c1", "Settled", after)}, want: "o1 paid by c1, o2 awaiting (paid_elsewhere)"},
		{name: "reversed before the newest was begun, then another paid", payments: later, reports: []Report{api("1", "c1", "Reversed"), api("1", "c2", "Settled", after)}, want: "o1 failed by c1 (paid_elsewhere), o2 paid by c2"},
		{name: "the same, no charge named", payments: later, reports: []Report{api("1", "", "Reversed"), api("1", "", "Settled", after)}, want: "o1 failed by one (paid_elsewhere), o2 paid by one"},
		{name: "a charge of the newest explains nothing from before", payments: later, reports: []Report{api("1", "", "Declined"), api("1", "c2", "Reversed", on("o2"), after)}, want: "o1 awaiting by one, o2 failed by c2"},

		// Codes that were canceled.
		{name: "canceled", payments: canceled, want: "o1 cancelled"},
		{name: "canceled, then declined", payments: canceled, reports: []Report{api("1", "c1", "Declined")}, want: "o1 cancelled by c1"},
		{name: "canceled, and paid all the same", payments: canceled, reports: []Report{api("1", "c1", "Settled")}, want: "o1 paid by c1"},

		// Payments without an order, and those of others.
		{name: "a payment in flight", payments: []Payment{{OrderID: "1", State: Sending}, one[0], {OrderID: "1", State: Unknown}}, reports: []Report{api("1", "c1", "Settled")}, want: "- sending (paid_elsewhere), o1 paid by c1, - unknown (paid_elsewhere)"},
		{name: "none with an order, and another tool's paid", payments: []Payment{{OrderID: "1", State: Rejected}}, reports: []Report{api("1", "c1", "Settled", on("o9"))}, want: "- rejected (paid_elsewhere), elsewhere o9 paid by c1 (not_recorded)"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if got := outcome(resolve(t, "1", c.payments, c.reports)); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
			if got := outcome(resolve(t, "2", c.payments, c.reports)); got != c.want2 {
				t.Errorf("got  %s\nwant %s, of the other Villa order", got, c.want2)
			}
		})
	}
}

func TestPaidAt(t *testing.T) {
	t.Parallel()
	one := []Payment{pay("1", "o1", "300.0")}
	for _, c := range []struct {
		name    string
		reports []Report
		at      time.Duration // from start
		from    string
		by      string
	}{
		{"not paid", []Report{api("1", "c1", "Declined", created(1))}, 0, "", ""},
		{"never known to be paid", []Report{api("1", "c1", "Refunded", created(1))}, 0, "", ""},
		{"as the charge states", []Report{api("1", "c1", "Settled", created(time.Minute), heard(time.Hour))}, time.Minute, AtBank, ByTransactionState},
		{"as it became known", []Report{api("1", "c1", "Settled", heard(time.Hour))}, time.Hour, AtKnown, ByTransactionState},
		{"known first", []Report{api("1", "c1", "Settled", heard(2*time.Hour)), api("1", "c1", "Authorized", heard(time.Hour))}, time.Hour, AtKnown, ByTransactionState},
		{"stated before known", []Report{api("1", "c1", "Settled", heard(time.Hour)), api("1", "c1", "Authorized", created(2*time.Hour), heard(3*time.Hour))}, 2 * time.Hour, AtBank, ByTransactionState},
		{"stated twice", []Report{api("1", "c1", "Settled", created(2*time.Hour)), api("1", "c1", "Authorized", created(time.Hour))}, time.Hour, AtBank, ByTransactionState},
		{"not when it was declined", []Report{api("1", "c1", "Declined", created(time.Minute)), api("1", "c1", "Settled", created(time.Hour))}, time.Hour, AtBank, ByTransactionState},
		{"nor when it was refunded", []Report{api("1", "c1", "Settled", heard(time.Hour)), api("1", "c1", "Refunded", created(time.Minute))}, time.Hour, AtKnown, ByTransactionState},
		{"nor what does not apply", []Report{notice("c1", "o1", "Settled", "1", created(time.Minute)), notice("c1", "o1", "Settled", "300", created(time.Hour))}, time.Hour, AtBank, ByTransactionState},
		{"the API's word before a notification's", []Report{notice("c1", "o1", "Settled", "300", created(-time.Hour)), api("1", "c1", "Settled", created(time.Hour))}, time.Hour, AtBank, ByTransactionState},
		{"a notification's before when it became known", []Report{notice("c1", "o1", "Settled", "300", created(time.Minute)), api("1", "c1", "Settled")}, time.Minute, AtBank, ByTransactionState},
		{"of the charge that was paid first", []Report{api("1", "c1", "Settled", created(time.Hour)), api("1", "c2", "Settled", created(time.Minute))}, time.Minute, AtBank, ByTransactionState},
		{"of the charge that is still paid", []Report{api("1", "c1", "Settled", created(time.Hour)), api("1", "c2", "Settled", created(time.Minute)), api("1", "c2", "Voided")}, time.Hour, AtBank, ByTransactionState},
		{"a word", []Report{api("1", "", "", byWord, heard(time.Hour))}, time.Hour, AtKnown, ByStatusPaid},
		{"a word and a state", []Report{api("1", "", "", byWord, heard(time.Hour)), api("1", "", "Settled", heard(2*time.Hour))}, time.Hour, AtKnown, ByTransactionState},
		{"a word about the only charge", []Report{api("1", "", "", byWord, heard(time.Hour)), api("1", "c1", "Initialize")}, time.Hour, AtKnown, ByStatusPaid},
	} {
		own, _ := resolve(t, "1", one, c.reports)
		want := start.Add(c.at)
		if c.from == "" {
			want = time.Time{}
		}
		if p := own[0]; !p.PaidAt.Equal(want) || p.PaidAtFrom != c.from || p.PaidBy != c.by {
			t.Errorf("%s: %s (%q), by %q", c.name, p.PaidAt, p.PaidAtFrom, p.PaidBy)
		}
	}
	own, _ := resolve(t, "1", one, []Report{api("1", "c1", "Settled", created(time.Hour)), api("1", "c1", "Refunded")})
	if p := own[0]; p.State != Refunded || !p.PaidAt.Equal(start.Add(time.Hour)) {
		t.Errorf("a refunded payment was paid once: %+v", p)
	}
}

func TestResolveFields(t *testing.T) {
	t.Parallel()
	status := Warning{"status_ambiguous", "x"}
	before := pay("1", "o1", "300.0", func(p *Payment) {
		p.ID, p.Attempts, p.RequestID, p.Warnings = 7, 2, "r1", []Warning{{WarnClock, "x"}, status, {WarnPaidTwice, "x"}, {warnAmount, "x"}}
	})

	own, _ := resolve(t, "1", []Payment{before}, []Report{api("1", "c1", " reversed ")})
	want := before
	want.State, want.BankState, want.ChargeID = Failed, " reversed ", "c1"
	want.Error = &Failure{Code: "reversed", Message: "the bank reversed charge c1"}
	want.Warnings = []Warning{{WarnClock, "x"}}
	if diff := cmp.Diff(want, own[0], sameDigits); diff != "" {
		t.Error(diff)
	}

	// What says nothing of a charge stays until one decides.
	own, _ = resolve(t, "1", []Payment{before}, []Report{api("1", "c1", "Declined")})
	if got := codesOf(own[0].Warnings); got != "clock status_ambiguous" {
		t.Errorf("declined: %s", got)
	}

	// A payment goes back to what its order says when its charge is another's.
	paid := own[0]
	paid.State, paid.BankState, paid.ChargeID, paid.PaidAt, paid.PaidAtFrom, paid.PaidBy = Paid, "Settled", "c1", start, AtBank, ByTransactionState
	own, _ = resolve(t, "1", []Payment{paid}, nil)
	want = before
	want.Warnings = []Warning{{WarnClock, "x"}, status}
	if diff := cmp.Diff(want, own[0], sameDigits); diff != "" {
		t.Error(diff)
	}
	failed := pay("1", "o1", "300", failedOrder)
	failed.Error.RequestID = "r1"
	own, _ = resolve(t, "1", []Payment{failed}, []Report{api("1", "c1", "Declined")})
	if diff := cmp.Diff(&Failure{Code: "x", Message: `the bank rejected the order (status "failed")`, RequestID: "r1"}, own[0].Error); diff != "" || own[0].State != Failed {
		t.Error(own[0].State, diff)
	}

	// What another tool's order is.
	r := api("1", "c1", "Settled", on("o9"), over("5.0"), in("CNY"), created(time.Minute))
	r.Received, r.RequestID = start.Add(time.Hour), "r9"
	_, elsewhere := resolve(t, "1", nil, []Report{r})
	if diff := cmp.Diff(&Payment{
		OrderID: "1", State: Paid, BankOrderID: "o9", Amount: amountOf("5.0"), Currency: "CNY", KnownAt: r.Received, KnownFrom: FromAPI, RequestID: "r9",
		BankState: "Settled", ChargeID: "c1", PaidAt: start.Add(time.Minute), PaidAtFrom: AtBank, PaidBy: ByTransactionState,
		Warnings: []Warning{{WarnNotRecorded, "this ledger has no record of the order: it was made on another machine or with another tool"}},
	}, elsewhere, sameDigits); diff != "" {
		t.Error(diff)
	}
}

// Of reports that say the same in other words, always the same one is the best.
func TestOfEqualReports(t *testing.T) {
	t.Parallel()
	partly := api("1", "c1", "Refunded", over("1"))
	for name, reports := range map[string][2]Report{
		"two spellings":              {api("1", "c1", "Authorized"), api("1", "c1", "Auhtorized")},
		"two states nobody explains": {api("1", "c1", "Pondering"), api("1", "c1", "Wondering")},
		"two amounts":                {api("1", "c1", "Settled", over("300")), api("1", "c1", "Settled", over("300.0"))},
		"two currencies":             {api("1", "c1", "Settled", in("THB")), api("1", "c1", "Settled", in("USD"))},
		"orders of two other tools":  {api("1", "", "Settled", on("o8")), api("1", "", "Settled", on("o9"))},
		"the API and the bank":       {api("1", "c1", "Settled"), api("1", "c1", "Settled", fromBank)},
	} {
		for _, payments := range [][]Payment{nil, {pay("1", "o1", "300.0")}} {
			reports[0].Received, reports[1].Received = start, start
			own, elsewhere := resolve(t, "1", payments, append(reports[:], partly))
			ownTurned, elsewhereTurned := resolve(t, "1", payments, []Report{reports[1], reports[0], partly})
			if diff := cmp.Diff(own, ownTurned, sameDigits) + cmp.Diff(elsewhere, elsewhereTurned, sameDigits); diff != "" {
				t.Errorf("%s: %s", name, diff)
			}
		}
	}
}

func TestWarningsSayWhat(t *testing.T) {
	t.Parallel()
	payments := []Payment{pay("1", "o1", "300.0"), pay("1", "o2", "300.0"), pay("2", "o3", "5300"), pay("2", "o1", "300")}
	for _, c := range []struct {
		villa   string
		reports []Report
		code    string
		says    string
	}{
		{"1", []Report{notice("c1", "o1", "Settled", "299.0")}, warnAmount, "charge c1 does not count as it stands: it is over 299.0, the order over 300.0"},
		{"1", []Report{notice("c1", "o1", "Settled", "")}, warnAmount, "over nothing, the order over 300.0"},
		{"1", []Report{notice("c1", "o1", "Settled", "300", in("USD"))}, warnCurrency, "it is in USD, the order in THB"},
		{"1", []Report{notice("c1", "o1", "Settled", "300", live(true))}, warnLivemode, "its livemode is true, the order's false"},
		{"1", []Report{api("1", "c1", "Settled", doubts("amount"))}, warnDoubt, "its amount cannot be read"},
		{"1", []Report{api("1", "", "Settled", doubts("amount"))}, warnDoubt, "a charge without an id does not count as it stands: its amount cannot be read"},
		{"1", []Report{notice("c1", "o1", "Settled", "300", func(r *Report) { r.Status = "fail" })}, warnStatus, `it says "Settled", but its status is "fail", not success`},
		{"1", []Report{api("1", "c1", "Settled", on("o3"))}, warnOrder, "the answer is about another Villa order"},
		{"1", []Report{api("1", "c1", "Initialize", on("o2")), notice("c1", "o1", "Settled", "300")}, warnOrder, "charge c1 does not count as it stands: it is on another order"},
		{"2", []Report{notice("X5", "o1", "Settled", "300"), notice("X", "o3", "Settled", "5300")}, warnOrder, "charge X does not count as it stands: its signed text is the same as that of charge X5"},
		{"1", []Report{notice("c1", "o1", "Settled", "300"), notice("c1", "o1", "Refund Sent", "100")}, warnPartial, "100 of 300.0 THB were refunded on charge c1, not all: the state is kept"},
		{"1", []Report{api("1", "c1", "Refund Failed")}, warnRefund, `charge c1 says "Refund Failed", which is not a refund: the state is kept`},
		{"1", []Report{api("1", "c1", "Settled"), api("1", "c2", "VOID")}, warnNeverPaid, "charge c2 was taken back (VOID), but was never known to be paid"},
		{"1", []Report{api("1", "c1", "Settled"), api("1", "c2", "Settled")}, WarnPaidTwice, "order 1 was paid more than once: c1, c2"},
		{"1", []Report{api("1", "c1", "Settled", on("o1"))}, WarnPaidElsewhere, "order 1 is paid through bank order o1"},
		{"1", []Report{api("1", "c1", "Settled", on("o9"))}, WarnPaidElsewhere, "order 1 is paid through another tool"},
		{"2", nil, WarnShared, "order 1 got the bank order o1 first: a payment of it counts for that order"},
	} {
		own, _ := resolve(t, c.villa, payments, c.reports)
		var said []string
		for _, p := range own {
			for _, w := range p.Warnings {
				if w.Code == c.code {
					said = append(said, w.Message)
				}
			}
		}
		if !strings.Contains(strings.Join(said, "\n"), c.says) {
			t.Errorf("%s: %q, want %q", c.code, said, c.says)
		}
		if !computed(Warning{Code: c.code}) {
			t.Errorf("%s is not computed anew", c.code)
		}
	}
}

// What the rules say together: a code is never shown for what may be paid.
func TestResolvedAndPayable(t *testing.T) {
	t.Parallel()
	payments := []Payment{pay("1", "o1", "300.0"), pay("1", "o2", "300.0"), pay("2", "o3", "300.0")}
	for name, c := range map[string]struct {
		reports []Report
		payable string // bank orders
	}{
		"nothing said":                  {nil, "o1 o2"},
		"declined":                      {[]Report{api("1", "c1", "Declined")}, "o1 o2"},
		"one paid":                      {[]Report{api("1", "c1", "Settled")}, ""},
		"paid through another tool":     {[]Report{api("1", "c1", "Settled", on("o9"))}, ""},
		"paid, no charge named":         {[]Report{api("1", "", "Settled")}, ""},
		"one voided":                    {[]Report{api("1", "c1", "Voided", on("o1"))}, "o2"},
		"one reversed":                  {[]Report{api("1", "c1", "Reversed", on("o1"))}, "o2"},
		"one refunded":                  {[]Report{api("1", "c1", "Refunded", on("o1"))}, "o2"},
		"a refund failed":               {[]Report{api("1", "c1", "Settled", on("o1")), api("1", "c1", "Refund Failed")}, ""},
		"a part refunded":               {[]Report{api("1", "c1", "Settled", on("o1")), api("1", "c1", "Refunded", over("1"))}, ""},
		"another Villa order's":         {[]Report{api("1", "c1", "Settled", on("2"))}, "o1 o2"},
		"of another amount":             {[]Report{notice("c1", "o1", "Settled", "3")}, "o1 o2"},
		"one reversed, another paid":    {[]Report{api("1", "c1", "Reversed"), api("1", "c2", "Authorized")}, ""},
		"an order by another tool made": {[]Report{api("1", "", "", on("o9"))}, "o1 o2"},
	} {
		own, _ := resolve(t, "1", payments, c.reports)
		var payable []string
		for _, p := range own {
			if p.Payable(start.Add(time.Minute)) == nil {
				payable = append(payable, p.BankOrderID)
			}
		}
		if got := strings.Join(payable, " "); got != c.payable {
			t.Errorf("%s: payable %q", name, got)
		}
	}
}

func TestPaidCharges(t *testing.T) {
	t.Parallel()
	payments := []Payment{pay("1", "o1", "300.0"), pay("1", "o2", "300.0")}
	reports := []Report{
		api("1", "c3", "Settled", on("o1")), notice("c2", "o2", "Authorized", "300"), api("1", "c1", "Declined"), api("1", "c4", "Settled", on("o9")),
		api("1", "c5", "Settled", on("o1")), api("1", "c5", "Voided"), notice("c6", "o1", "Settled", "3"), api("2", "c7", "Settled"),
	}
	if diff := cmp.Diff([]PaidCharge{{"c2", "o2", true, false}, {"c3", "o1", true, false}, {"c4", "o9", false, false}, {"c5", "o1", true, true}}, PaidCharges(Case{"1", payments, reports})); diff != "" {
		t.Error(diff)
	}
	if got := PaidCharges(Case{"1", payments, []Report{api("1", "", "Settled")}}); got != nil {
		t.Errorf("an anonymous charge has no id to void: %+v", got)
	}
}

// Whatever is not initialized or declined may have moved money, unless it is known to
// be paid or taken back.
func TestDoubt(t *testing.T) {
	t.Parallel()
	one := []Payment{pay("1", "o1", "300.0")}
	two := []Payment{pay("1", "o1", "300.0"), pay("1", "o2", "300.0")}
	villas := []Payment{pay("1", "o1", "300.0"), pay("2", "o2", "300.0")}
	bank := func(chargeID, state string, change ...func(*Report)) Report {
		return api("1", chargeID, state, append([]func(*Report){fromBank, over("300.0"), in("THB")}, change...)...)
	}
	for _, test := range []struct {
		name     string
		payments []Payment
		reports  []Report
		want     string // part of the doubt; "" = none
	}{
		{"nothing said", one, nil, ""},
		{"initialized", one, []Report{bank("c1", "Initialize")}, ""},
		{"declined", one, []Report{bank("c1", "Declined", status("fail"))}, ""},
		{"paid", one, []Report{bank("c1", "Authorized")}, ""},
		{"paid, and given back", one, []Report{bank("c1", "Authorized"), bank("c1", "Voided")}, ""},
		{"given back", one, []Report{bank("c1", "Voided")}, ""},
		{"only that the order was made", one, []Report{bank("", "", on("o9"))}, ""},
		{"another amount", one, []Report{bank("c1", "Authorized", over("299.0"))}, "it is over 299.0"},
		{"another amount, then declined", one, []Report{bank("c1", "Authorized", over("299.0")), bank("c1", "Declined")}, "it is over 299.0"},
		{"another amount, and paid as well", one, []Report{bank("c1", "Authorized", over("299.0")), bank("c1", "Authorized")}, ""},
		{"another amount of another charge than the paid one", one, []Report{bank("c1", "Authorized", over("299.0")), bank("c2", "Authorized")}, "it is over 299.0"},
		{"another currency", one, []Report{bank("c1", "Settled", in("USD"))}, "it is in USD"},
		{"another livemode", one, []Report{bank("c1", "Authorized", live(true))}, "livemode"},
		{"an unreadable amount", one, []Report{bank("c1", "Authorized", doubts("amount"))}, "amount cannot be read"},
		{"declined, with an unreadable amount", one, []Report{bank("c1", "Declined", doubts("amount"))}, "amount cannot be read"},
		{"an unreadable order", one, []Report{bank("c1", "Authorized", doubts("order_id"))}, "order_id cannot be read"},
		{"an unreadable charge", one, []Report{bank("", "Authorized", doubts("id"))}, "id cannot be read"},
		{"an unreadable state", one, []Report{bank("c1", "", doubts("transaction_state"))}, "transaction_state cannot be read"},
		{"another status", one, []Report{bank("c1", "Authorized", status("pending"))}, `"pending"`},
		{"pre-authorized", one, []Report{bank("c1", "Pre-Authorized")}, `"Pre-Authorized"`},
		{"pre-authorized, then declined", one, []Report{bank("c1", "Pre-Authorized"), bank("c1", "Declined")}, ""},
		{"an unknown state", one, []Report{bank("c1", "Pondering")}, `"Pondering"`},
		{"an unknown state of a charge that was declined", one, []Report{bank("c1", "Declined"), bank("c1", "Pondering")}, `"Pondering"`},
		{"an unknown state of an unnamed charge beside a declined one", one, []Report{bank("c1", "Declined", on("o1")), bank("", "Pondering", on("o1"))}, `"Pondering"`},
		{"an unknown state of an unnamed charge beside a paid one", one, []Report{bank("c1", "Authorized", on("o1")), bank("", "Pondering", on("o1"))}, ""},
		{"unnamed, on the second order, when the first is paid", two, []Report{bank("c1", "Authorized", on("o1")), bank("", "Authorized", on("o2"))}, `"Authorized"`},
		{"on the second order", two, []Report{bank("c1", "Authorized", on("o2"), over("299"))}, "it is over 299"},
		{"unnamed, on no order here, beside two of another tool's", one, []Report{api("1", "", "Settled", over("299")), api("1", "", "Initialize", on("o9")), api("1", "c1", "", on("o8"))}, "it is over 299"},
		{"on an order that nobody recorded", one, []Report{bank("c1", "Pondering", on("o9"))}, `"Pondering"`},
		{"a notification", one, []Report{notice("c1", "o1", "Authorized", "299")}, "it is over 299"},
		{"a notification of a charge that the bank says is another's", villas, []Report{notice("c1", "o1", "Authorized", "299"), api("2", "c1", "Authorized", fromBank, on("o2"))}, ""},
		{"a declined notification that does not fit", one, []Report{notice("c1", "o1", "Declined", "299")}, ""},
		{"another Villa order's", villas, []Report{bank("c1", "Authorized", on("o2"), over("299"))}, ""},
	} {
		for i := range test.reports {
			test.reports[i].Received = start.Add(time.Duration(i+1) * time.Second)
		}
		err := Doubt(Case{"1", test.payments, test.reports})
		if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", test.name, err, test.want)
		}
	}
}
