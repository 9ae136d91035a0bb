package ledger

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/villapay/villapay/internal/order"
)

// charged says when a charge was paid.
func charged(r order.Report, at time.Time) order.Report {
	r.Created = at
	return r
}

// shop has a day of payments: paid, given back, paid twice, and none.
func shop(t *testing.T, at *place, day time.Time) *Ledger {
	t.Helper()
	l := at.open(t)
	paid := func(orderID string, after time.Duration, fields ...string) {
		p := l.awaiting(t, orderID, fields...)
		r := charged(report("c-"+orderID, "o"+orderID, "Settled"), day.Add(after))
		r.Amount = p.Amount
		l.hear(t, r)
	}
	paid("early", -time.Millisecond)
	paid("first", 0, `"amount":0.10`)
	paid("second", time.Hour, `"amount":0.2`)
	paid("last", 24*time.Hour-time.Millisecond, `"amount":300`)
	paid("late", 24*time.Hour)
	for orderID, state := range map[string]string{"refunded": "Refunded", "voided": "Voided", "reversed": "Reversed"} {
		paid(orderID, time.Hour)
		l.hear(t, charged(report("c-"+orderID, "o"+orderID, state), day.Add(2*time.Hour)))
	}
	l.awaiting(t, "open")
	l.fail(t, l.mustClaim(t, ask("rejected"), Claimed), order.Rejected)
	paid("twice", time.Hour)
	l.hear(t, charged(report("c-twice-2", "otwice", "Settled"), day.Add(2*time.Hour)))
	for _, orderID := range []string{"one-back", "both-back"} {
		paid(orderID, time.Hour)
		l.hear(t, charged(report("c-"+orderID+"-2", "o"+orderID, "Settled"), day.Add(2*time.Hour)))
		l.hear(t, charged(report("c-"+orderID+"-2", "o"+orderID, "Voided"), day.Add(30*time.Hour)))
	}
	l.hear(t, charged(report("c-both-back", "oboth-back", "Refunded"), day.Add(30*time.Hour)))
	l.awaiting(t, "same")
	l.another(t, "same", "osame") // the API gives it the same bank order
	l.hear(t, charged(report("c-same", "osame", "Settled"), day.Add(25*time.Hour)))
	paid("again", 30*time.Hour) // the next day
	l.hear(t, charged(report("c-again-2", "oagain", "Settled"), day.Add(3*time.Hour)))
	paid("theirs-too", 4*time.Hour)
	l.answer(t, "theirs-too", `{"charges":[{"charge_id":"c-foreign","order_id":"o-foreign","transaction_state":"Settled","status":"success","amount":300,"currency":"THB","created":"`+
		day.Add(5*time.Hour).In(order.Bangkok).Format("20060102150405")+`000"}]}`)
	elsewhere := ask("live")
	elsewhere.Scope, elsewhere.Env, elsewhere.Source = other, "prod", order.WeChat
	l.mustRecord(t, l.mustClaim(t, elsewhere, Claimed), testOrder(t, "olive", `"amount":5000.00`))
	live := charged(report("c-live", "olive", "Settled"), day.Add(time.Hour))
	live.Amount = amount("5000")
	if _, err := l.RecordReport(t.Context(), other, live); err != nil {
		t.Fatal(err)
	}
	return l
}

func TestTotals(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, at *place) {
		day := time.Date(2026, 11, 22, 0, 0, 0, 0, order.Bangkok)
		l := shop(t, at, day)
		whole := Period{Scope: scope, Since: day, Until: day.AddDate(0, 0, 1)}
		for _, test := range []struct {
			name        string
			period      Period
			want, extra []string
		}{
			{
				"a day", whole,
				// first, second, last, twice (two), again's other charge, theirs-too and one-back
				[]string{"dev paid THB 8: 1800.30", "dev cancelled THB 3: 900.0", "dev refunded THB 2: 600.0"},
				[]string{"theirs-too 300.0 c-theirs-too", "twice 300.0 c-twice-2"},
			},
			{"the next day", Period{Scope: scope, Since: day.AddDate(0, 0, 1)}, []string{"dev paid THB 3: 900.0"}, []string{"again 300.0 c-again"}},
			{
				"every environment",
				Period{Since: day, Until: day.AddDate(0, 0, 1)},
				[]string{"dev paid THB 8: 1800.30", "dev cancelled THB 3: 900.0", "dev refunded THB 2: 600.0", "prod paid THB 1: 5000.00"},
				[]string{"theirs-too 300.0 c-theirs-too", "twice 300.0 c-twice-2"},
			},
			{"a source", Period{Source: order.WeChat}, []string{"prod paid THB 1: 5000.00"}, nil},
			{"nothing", Period{Until: day.AddDate(-1, 0, 0)}, nil, nil},
		} {
			totals, extra, err := l.Totals(t.Context(), test.period)
			if err != nil {
				t.Fatal(err)
			}
			var got, more []string
			for _, total := range totals {
				got = append(got, fmt.Sprintf("%s %s %s %d: %s", total.Env, total.State, total.Currency, total.Payments, total.Amount))
			}
			for _, r := range extra {
				more = append(more, r.OrderID+" "+r.Amount.String()+" "+r.ChargeID)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("%s: %s", test.name, diff)
			}
			if diff := cmp.Diff(test.extra, more); diff != "" {
				t.Errorf("%s: %s", test.name, diff)
			}
		}
	})
}

// Receipts are what totals are made of, but for what was given back.
func TestReceipts(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, at *place) {
		day := time.Date(2026, 11, 22, 0, 0, 0, 0, order.Bangkok)
		l := shop(t, at, day)
		var got []string
		for r, err := range l.Receipts(t.Context(), Period{Scope: scope, Since: day, Until: day.AddDate(0, 0, 1)}) {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, strings.Join([]string{r.OrderID, r.BankOrderID, r.ChargeID, r.Amount.String()}, " "))
		}
		want := []string{
			"again oagain c-again-2 300.0", "one-back oone-back c-one-back 300.0", "theirs-too otheirs-too c-theirs-too 300.0", "twice otwice c-twice 300.0", "twice otwice c-twice-2 300.0",
			"first ofirst c-first 0.10", "second osecond c-second 0.2", "last olast c-last 300",
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
		for r, err := range l.Receipts(t.Context(), Period{}) {
			if err != nil || r.OrderID != "again" {
				t.Error(r, err)
			}
			break
		}
	})
}

// A payment without a known amount is counted by itself too, since the sum lacks it.
func TestTotalsWithoutAmount(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, at *place) {
		l := at.open(t)
		for _, fields := range [][]string{nil, {`"amount":null`}} {
			p := l.awaiting(t, fmt.Sprint(len(fields)), fields...)
			r := report("c-"+p.OrderID, p.BankOrderID, "Settled")
			r.Amount, r.From = p.Amount, order.FromBank
			l.hear(t, r)
		}
		totals, _, err := l.Totals(t.Context(), Period{})
		if err != nil || len(totals) != 1 || totals[0].Payments != 2 || totals[0].NoAmount != 1 || totals[0].Amount.String() != "300.0" {
			t.Errorf("%+v, %v", totals, err)
		}
	})
}

// A charge first heard of as given back says when it was made, and not whether or when
// it was paid: it has no day to count on.
func TestTotalsLackWhatWasNeverKnownAsPaid(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, at *place) {
		l := at.open(t)
		for _, state := range []string{"Voided", "Refunded"} {
			l.awaiting(t, state)
			r := charged(report("c-"+state, "o"+state, state), time.Date(2026, 11, 22, 9, 0, 0, 0, order.Bangkok))
			r.From = order.FromBank
			if got := l.hear(t, r); !got.Changed || !got.Payment.PaidAt.IsZero() {
				t.Errorf("%+v", got)
			}
		}
		if totals, _, err := l.Totals(t.Context(), Period{}); len(totals) != 0 || err != nil {
			t.Errorf("%+v, %v", totals, err)
		}
	})
}

func TestTotalsOfAnEmptyLedger(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, at *place) {
		l := at.open(t)
		totals, extra, err := l.Totals(t.Context(), Period{})
		if totals != nil || extra != nil || err != nil {
			t.Error(totals, extra, err)
		}
		for r, err := range l.Receipts(t.Context(), Period{}) {
			t.Error(r, err)
		}
	})
}

// What is asked for often stands in an index, whole.
func TestTotalsUseIndexes(t *testing.T) {
	t.Parallel()
	l := sqlitePlace(t).open(t)
	l.awaiting(t, "1")
	for _, p := range []Period{{}, {Scope: scope, Source: order.QR, Until: time.Now()}} {
		c := p.condition()
		c.and("state IN ('paid', 'refunded', 'cancelled')")
		if steps := plan(t, l, `SELECT id, scope, env, state, currency, amount FROM villapay_payment INDEXED BY villapay_payment_paid`+c.where()); len(steps) != 1 || !strings.Contains(steps[0], "USING COVERING INDEX villapay_payment_paid (paid_at>") {
			t.Error(steps)
		}
	}
	if steps := plan(t, l, `SELECT DISTINCT scope, orderid FROM villapay_payment WHERE `+paidTwice); len(steps) != 1 || !strings.Contains(steps[0], "INDEX villapay_payment_twice") {
		t.Error(steps)
	}
	c := &condition{}
	c.match(sqliteDialect(), "300")
	steps := plan(t, l, `SELECT `+columns+` FROM villapay_payment INDEXED BY villapay_payment_find`+c.where()+(&Filter{Limit: 30}).order(""))
	if len(steps) != 1 || !strings.HasPrefix(steps[0], "SCAN villapay_payment USING INDEX villapay_payment_find") {
		t.Error(steps)
	}
	if slices.ContainsFunc(plan(t, l, `SELECT scope, charge_id FROM villapay_report WHERE charge_id <> '' AND `+sqliteDialect().contains("charge_id")), func(step string) bool {
		return !strings.Contains(step, "COVERING INDEX villapay_report_charge")
	}) {
		t.Error("charges are searched in the table")
	}
}
