package ledger

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"github.com/villapay/villapay/internal/order"
)

// resolveAll resolves some Villa orders, and returns the outcome for each of
// their payments.
func (l *Ledger) resolveAll(t *txn, scope string, villas set, heard source) (map[int64]outcome, error) {
	all := map[int64]outcome{}
	for _, orderID := range slices.Sorted(maps.Keys(villas)) {
		t.lock(orderKey(scope, orderID))
		rows, resolved, _, err := t.resolve(scope, orderID)
		if err != nil {
			return nil, err
		}
		for i, r := range rows {
			if all[r.ID], err = l.update(t, r, resolved[i], heard); err != nil {
				return nil, err
			}
		}
	}
	return all, nil
}

// resolve computes what a Villa order's payments are. rows are as they are
// stored; elsewhere is as [order.Resolve] says.
func (t *txn) resolve(scope, orderID string) (rows []*row, resolved []order.Payment, elsewhere *order.Payment, _ error) {
	known, rows, err := t.load(scope, orderID)
	if err != nil {
		return nil, nil, nil, err
	}
	resolved, elsewhere = order.Resolve(known)
	if elsewhere != nil {
		elsewhere.Scope = scope
	}
	return rows, resolved, elsewhere, nil
}

// load reads everything recorded that bears on a Villa order. rows are its payments.
func (t *txn) load(scope, orderID string) (known order.Case, rows []*row, _ error) {
	all, err := t.named(scope, []order.Report{{OrderID: orderID}})
	if err != nil {
		return known, nil, err
	}
	either := anyOf{scope: scope}
	either.in("orderid", orderID)
	own := []order.Report{{OrderID: orderID}} // stands for the payments themselves
	for _, r := range all {
		either.in("bank_id", r.BankOrderID, r.Reference)
		either.in("reference", r.BankOrderID, r.Reference)
		own = append(own, order.Report{BankOrderID: r.BankOrderID, Reference: r.Reference})
	}
	reports, err := t.related(either)
	if err != nil {
		return known, nil, err
	}
	if all, err = t.named(scope, slices.Concat(reports, own)); err != nil {
		return known, nil, err
	}
	known = order.Case{OrderID: orderID, Reports: reports}
	for _, r := range all {
		known.Payments = append(known.Payments, r.Payment)
		if r.OrderID == orderID {
			rows = append(rows, r)
		}
	}
	return known, rows, nil
}

// named reads the payments of the Villa orders that reports are about, and those
// whose bank order, reference_order or Villa order they name, in the order
// recorded.
func (t *txn) named(scope string, reports []order.Report) ([]*row, error) {
	either := anyOf{scope: scope}
	for _, r := range reports {
		either.in("orderid", r.OrderID, r.BankOrderID, r.Reference)
		either.in("bank_id", r.BankOrderID, r.Reference)
		either.in("reference", r.BankOrderID, r.Reference)
	}
	where, args := either.where()
	if where == "" {
		return nil, nil
	}
	return scanned(t.query(selected+`WHERE `+where+` ORDER BY id`, args...))
}

// related reads the reports that match, and everything about their charges and
// with their borders, in the order recorded.
func (t *txn) related(either anyOf) (reports []order.Report, err error) {
	for {
		if reports, err = t.reports(either); err != nil {
			return nil, err
		}
		more := false
		for _, r := range reports {
			more = either.in("charge_id", r.ChargeID) || more
			more = either.in("border", r.Border()) || more
		}
		if !more {
			return reports, nil
		}
	}
}

// set is a set of texts, without the empty one.
type set map[string]bool

func (s set) add(texts ...string) {
	for _, text := range texts {
		if text != "" {
			s[text] = true
		}
	}
}

// anyOf is an SQL condition that any of several columns holds any of some texts.
type anyOf struct {
	scope   string
	columns map[string]set
}

// in adds texts of a column, and reports whether there is a new one.
func (o *anyOf) in(column string, texts ...string) bool {
	if o.columns == nil {
		o.columns = map[string]set{}
	}
	if o.columns[column] == nil {
		o.columns[column] = set{}
	}
	before := len(o.columns[column])
	o.columns[column].add(texts...)
	return len(o.columns[column]) > before
}

// where is "" without texts. Each part repeats the scope and the condition of the
// column's index, else SQLite would not use it.
func (o *anyOf) where() (where string, args []any) {
	for _, column := range slices.Sorted(maps.Keys(o.columns)) {
		texts := slices.Sorted(maps.Keys(o.columns[column]))
		if len(texts) == 0 {
			continue
		}
		if where != "" {
			where += " OR "
		}
		where += `scope = ? AND ` + column + ` <> '' AND ` + column + ` IN (?` + strings.Repeat(",?", len(texts)-1) + `)`
		args = append(args, o.scope)
		for _, text := range texts {
			args = append(args, text)
		}
	}
	return where, args
}

// update writes what is new about a payment.
func (l *Ledger) update(t *txn, r *row, now order.Payment, heard source) (outcome, error) {
	before := r.Payment
	out := outcome{row: r, changed: now.State != before.State}
	for _, w := range now.Warnings {
		if !slices.Contains(before.Warnings, w) {
			out.warnings = append(out.warnings, w)
		}
	}
	moved := out.changed || now.BankState != before.BankState || now.ChargeID != before.ChargeID || now.PaidBy != before.PaidBy ||
		!now.PaidAt.Equal(before.PaidAt) || now.PaidAtFrom != before.PaidAtFrom
	r.Payment = now
	if !moved && slices.Equal(now.Warnings, before.Warnings) && encode(now.Error) == encode(before.Error) {
		return out, nil
	}
	if moved {
		r.KnownAt = t.now
		if heard.from != "" {
			r.KnownFrom, r.RequestID = heard.from, heard.requestID
		}
	}
	err := t.exec(`UPDATE villapay_payment SET state = ?, bank_state = ?, charge_id = ?, paid_at = ?, paid_at_from = ?, paid_by = ?, warnings = ?, error = ?,
			known_at = ?, known_from = ?, request_id = ? WHERE id = ?`,
		string(r.State), r.BankState, r.ChargeID, toMillis(r.PaidAt), r.PaidAtFrom, r.PaidBy, encode(r.Warnings), encode(r.Error),
		toMillis(r.KnownAt), string(r.KnownFrom), r.RequestID, r.ID)
	for _, w := range out.warnings {
		if err == nil {
			err = l.note(t, r.ID, event{kind: "warning", note: w.Code + ": " + w.Message})
		}
	}
	return out, err
}

// reports reads what was said, in the order recorded.
func (t *txn) reports(either anyOf) ([]order.Report, error) {
	where, args := either.where()
	if where == "" {
		return nil, nil
	}
	rows, err := t.query(`SELECT orderid, bank_id, reference, charge_id, amount, currency, status, transaction_state, livemode, charged_at, doubt, origin, paid_by, request_id, received_at, raw
		FROM villapay_report WHERE `+where+` ORDER BY id`, args...)
	return collect(rows, err, func(r *order.Report) (err error) {
		var amount, raw string
		var livemode, charged, received int64
		if err := rows.Scan(&r.OrderID, &r.BankOrderID, &r.Reference, &r.ChargeID, &amount, &r.Currency, &r.Status, &r.TransactionState, &livemode,
			&charged, &r.Doubt, &r.From, &r.PaidBy, &r.RequestID, &received, &raw); err != nil {
			return err
		}
		if livemode >= 0 {
			live := livemode == 1
			r.Livemode = &live
		}
		r.Created, r.Received, r.Raw = fromMillis(charged), fromMillis(received), json.RawMessage(raw)
		r.Amount, err = parseAmount(amount)
		return err
	})
}

// heard asks whether anything was answered about a Villa order's charges.
func heard(scope, orderID string) statement {
	return statement{`SELECT EXISTS (SELECT 1 FROM villapay_report WHERE scope = ? AND orderid = ? AND orderid <> '')`, []any{scope, orderID}}
}

// elsewhere is what is known of a Villa order's charges on bank orders that
// nobody recorded; nil if nothing was heard.
func (l *Ledger) elsewhere(t *txn, scope, orderID string) (*order.Payment, error) {
	heard, err := scalar[bool](t.ask(heard(scope, orderID)))
	if err != nil || !heard {
		return nil, err
	}
	_, _, elsewhere, err := t.resolve(scope, orderID)
	return elsewhere, err
}
