package ledger

import (
	"cmp"
	"context"
	"iter"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/villapay/villapay/internal/order"
)

// Period chooses what came in by the time of payment; zero fields choose all.
type Period struct {
	Scope        string
	Source       order.Source
	Since, Until time.Time // at or after, and before
}

func (p *Period) holds(r order.Receipt) bool {
	return (p.Scope == "" || r.Scope == p.Scope) && (p.Source == "" || r.Source == p.Source) &&
		!r.PaidAt.Before(p.Since) && (p.Until.IsZero() || r.PaidAt.Before(p.Until))
}

// condition is the period in SQL, with the condition of its index.
func (p *Period) condition() *condition {
	c := &condition{}
	c.and("paid_at <> 0 AND paid_at >= ?", toMillis(p.Since))
	if !p.Until.IsZero() {
		c.and("paid_at < ?", toMillis(p.Until))
	}
	if p.Scope != "" {
		c.and("scope = ?", p.Scope)
	}
	if p.Source != "" {
		c.and("source = ?", string(p.Source))
	}
	return c
}

// Total is what came in with one scope, environment, state and currency.
type Total struct {
	Scope    string
	Env      string
	State    order.State // Paid, Refunded or Cancelled
	Currency string
	Payments int // charges, if an order was paid more than once
	NoAmount int // of them, those without a known amount, which Amount lacks
	Amount   order.Amount
}

// Totals adds up what came in: payments that are paid, and those that were given
// back since. extra is what is among it because a Villa order was paid more than
// once, sorted by order ID.
func (l *Ledger) Totals(ctx context.Context, p Period) (totals []Total, extra []order.Receipt, _ error) {
	type sum struct {
		order.Sum
		payments, noAmount int
	}
	sums := map[Total]*sum{} // by what a total is about
	add := func(r order.Receipt) {
		about := Total{Scope: r.Scope, Env: r.Env, State: r.State, Currency: r.Currency}
		if sums[about] == nil {
			sums[about] = &sum{}
		}
		sums[about].Add(r.Amount)
		sums[about].payments++
		if !r.Amount.Known() {
			sums[about].noAmount++
		}
	}
	err := l.Snapshot(ctx, func(l *Ledger) error {
		return l.receipts(ctx, p, add, func(charge order.Receipt) {
			add(charge)
			if charge.Extra {
				extra = append(extra, charge)
			}
		})
	})
	if err != nil {
		return nil, nil, l.wrap(err, "add payments up")
	}
	for about, sum := range sums {
		about.Payments, about.NoAmount, about.Amount = sum.payments, sum.noAmount, sum.Amount()
		totals = append(totals, about)
	}
	slices.SortFunc(totals, func(a, b Total) int {
		return cmp.Or(strings.Compare(a.Env, b.Env), strings.Compare(a.Scope, b.Scope), cmp.Compare(stateNumber(a.State), stateNumber(b.State)), strings.Compare(a.Currency, b.Currency))
	})
	return totals, extra, nil
}

// stateNumber is where a state stands among all.
func stateNumber(s order.State) int { return slices.Index(order.States(), s) }

// receipts yields the payments of a period, with only the columns in the index (scope,
// environment, state, currency and amount), and each charge of the Villa orders that
// were paid more than once.
func (l *Ledger) receipts(ctx context.Context, p Period, payment, charge func(order.Receipt)) error {
	charges, known, err := l.paidTwice(ctx, p.Scope)
	if err != nil {
		return err
	}
	for _, r := range charges {
		if p.holds(r) {
			charge(r)
		}
	}
	c := p.condition()
	c.and("state IN ('paid', 'refunded', 'cancelled')")
	rows, err := l.read(ctx, `SELECT id, scope, env, state, currency, amount FROM villapay_payment`+l.store.dialect().by("villapay_payment_paid")+c.where(), c.args...)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var id int64
		var scope, env, state, currency, amount string // plain types are read without reflection
		if err := rows.Scan(&id, &scope, &env, &state, &currency, &amount); err != nil {
			return err
		}
		r := order.Receipt{Scope: scope, Env: env, State: order.State(state), Currency: currency}
		if r.Amount, err = parseAmount(amount); err != nil {
			return err
		}
		if !known[id] {
			payment(r)
		}
	}
	return rows.Err()
}

// paidTwice returns what came in for the Villa orders of a scope, "" for all, that
// were paid more than once, sorted by order ID, and the numbers of the payments
// that it came in by.
func (l *Ledger) paidTwice(ctx context.Context, scope string) (charges []order.Receipt, payments map[int64]bool, _ error) {
	t, err := l.reading(ctx)
	if err != nil {
		return nil, nil, err
	}
	orders, err := ordersPaidTwice(t, scope)
	if err != nil {
		return nil, nil, err
	}
	payments = map[int64]bool{}
	for _, o := range orders {
		known, rows, err := t.load(o.Scope, o.OrderID)
		if err != nil {
			return nil, nil, err
		}
		in := order.Receipts(known)
		charges = append(charges, in...)
		for _, r := range rows {
			if slices.ContainsFunc(in, func(charge order.Receipt) bool { return charge.BankOrderID == r.BankOrderID }) {
				payments[r.ID] = true
			}
		}
	}
	return charges, payments, nil
}

// paidTwice is the condition of the index of payments of Villa orders that were
// paid more than once, also if a charge was given back (paid_twice_returned).
const paidTwice = `warnings LIKE '%"code":"paid_twice%'`

// ordersPaidTwice are scopes and order IDs.
func ordersPaidTwice(t *txn, scope string) ([]order.Receipt, error) {
	rows, err := t.query(`SELECT DISTINCT scope, orderid FROM villapay_payment WHERE ` + paidTwice)
	all, err := collect(rows, err, func(r *order.Receipt) error { return rows.Scan(&r.Scope, &r.OrderID) })
	all = slices.DeleteFunc(all, func(r order.Receipt) bool { return scope != "" && r.Scope != scope })
	slices.SortFunc(all, func(a, b order.Receipt) int {
		return cmp.Or(strings.Compare(a.OrderID, b.OrderID), strings.Compare(a.Scope, b.Scope))
	})
	return all, err
}

// Receipts streams what came in and was not given back: first, charge by charge,
// for Villa orders that were paid more than once, then in the order in which it
// was paid. The sequence ends after its first error, an *Error.
func (l *Ledger) Receipts(ctx context.Context, p Period) iter.Seq2[order.Receipt, error] {
	return func(yield func(order.Receipt, error) bool) {
		charges, known, err := l.paidTwice(ctx, p.Scope)
		if err != nil {
			yield(order.Receipt{}, l.wrap(err, "read payments"))
			return
		}
		for _, r := range charges {
			if p.holds(r) && r.State == order.Paid && !yield(r, nil) {
				return
			}
		}
		c := p.condition()
		c.and("state = 'paid'")
		for p, err := range l.payments(ctx, l.store.dialect().by("villapay_payment_paid")+c.where()+` ORDER BY paid_at, id`, c.args...) {
			if known[p.ID] {
				continue
			}
			r := order.Receipt{
				Scope: p.Scope, Env: p.Env, OrderID: p.OrderID, BankOrderID: p.BankOrderID, Reference: p.Reference, ChargeID: p.ChargeID,
				Source: p.Source, State: p.State, Amount: p.Amount, Currency: p.Currency, PaidAt: p.PaidAt,
			}
			if !yield(r, l.wrap(err, "read payments")) {
				return
			}
		}
	}
}

// Lookup returns what is known, newest first as [Ledger.Payments] has it, of each
// of some ids: of Villa orders, bank orders, reference_orders or charges. An id of
// which nothing is known is not in it.
func (l *Ledger) Lookup(ctx context.Context, scope string, ids []string) (map[string][]order.Payment, error) {
	var found map[string][]order.Payment
	err := l.snapshot(ctx, func(t *txn) (err error) {
		found, err = l.lookup(t, scope, ids)
		return err
	})
	return found, l.wrap(err, "look payments up")
}

func (l *Ledger) lookup(t *txn, scope string, ids []string) (map[string][]order.Payment, error) {
	if len(ids) == 0 {
		return nil, nil //nolint:nilnil // nothing was asked for
	}
	reports, rows, err := t.identified(scope, ids...)
	if err != nil {
		return nil, err
	}
	wanted := set{}
	wanted.add(ids...)
	found := map[string][]order.Payment{}
	now := l.store.clock()
	charges := map[*row]set{}
	for i := range reports {
		for _, r := range subjects(&reports[i], rows) {
			if charges[r] == nil {
				charges[r] = set{}
			}
			charges[r].add(reports[i].ChargeID)
		}
	}
	for _, r := range slices.Backward(rows) {
		names := set{}
		names.add(r.OrderID, r.BankOrderID, r.Reference)
		maps.Copy(names, charges[r])
		for id := range names {
			if wanted[id] {
				found[id] = append(found[id], r.At(now))
			}
		}
	}
	return found, l.lookupElsewhere(t, scope, ids, found)
}

// lookupElsewhere adds what other tools' charges make of Villa orders, by each ID
// that stands for it.
func (l *Ledger) lookupElsewhere(t *txn, scope string, ids []string, found map[string][]order.Payment) error {
	either, wanted := anyOf{scope: scope}, set{}
	for _, id := range ids {
		if answer, _ := order.Answering(found[id]); answer.State != order.Paid {
			wanted.add(id)
			either.in("orderid", id)
			either.in("bank_id", id)
			either.in("reference", id)
			either.in("charge_id", id)
		}
	}
	reports, err := t.reports(either)
	if err != nil {
		return err
	}
	villas := set{}
	for _, r := range reports {
		villas.add(r.OrderID)
	}
	for _, orderID := range slices.Sorted(maps.Keys(villas)) {
		known, _, err := t.load(scope, orderID)
		if err != nil {
			return err
		}
		_, elsewhere := order.Resolve(known)
		if elsewhere == nil {
			continue
		}
		elsewhere.Scope = scope
		names := set{}
		names.add(orderID, elsewhere.BankOrderID, elsewhere.ChargeID)
		for _, c := range order.PaidCharges(known) {
			if !c.Recorded && !c.Returned {
				names.add(c.ID, c.BankOrderID)
			}
		}
		for id := range names {
			if wanted[id] && (len(found[id]) == 0 || elsewhere.State == order.Paid) {
				found[id] = append([]order.Payment{*elsewhere}, found[id]...)
			}
		}
	}
	return nil
}
