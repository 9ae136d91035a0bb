package ledger

import (
	"context"
	"encoding/json"
	"iter"
	"time"

	"github.com/villapay/villapay/internal/order"
)

// Payments returns what is known about a Villa order: all its payments, newest
// first. Before them stands what other tools' charges make of it, a payment
// without a key, if that is paid or nothing else is recorded.
func (l *Ledger) Payments(ctx context.Context, scope, orderID string) (all []order.Payment, err error) {
	recorded, heard := statement{selected + `WHERE scope = ? AND orderid = ? ORDER BY id DESC`, []any{scope, orderID}}, heard(scope, orderID)
	more := false
	t, err := l.reading(ctx, recorded, heard)
	if err == nil {
		all, err = l.all(t, recorded)
	}
	if err == nil {
		more, err = scalar[bool](t.ask(heard))
	}
	if more { // what was heard has to be of the same moment as the payments
		err = l.Snapshot(ctx, func(l *Ledger) error {
			all, err = l.withElsewhere(ctx, scope, orderID, recorded)
			return err
		})
	}
	return all, l.wrap(err, "read order %s", orderID)
}

func (l *Ledger) withElsewhere(ctx context.Context, scope, orderID string, recorded statement) ([]order.Payment, error) {
	t, err := l.reading(ctx)
	if err != nil {
		return nil, err
	}
	all, err := l.all(t, recorded)
	if err != nil {
		return nil, err
	}
	elsewhere, err := l.elsewhere(t, scope, orderID)
	if elsewhere != nil && (len(all) == 0 || elsewhere.State == order.Paid) {
		all = append([]order.Payment{*elsewhere}, all...)
	}
	return all, err
}

// all returns all payments of a query, as they stand now.
func (l *Ledger) all(t *txn, s statement) (all []order.Payment, _ error) {
	err := l.each(t, s, func(p order.Payment) bool {
		all = append(all, p)
		return true
	})
	return all, err
}

// reading runs queries outside of write transactions. ahead are those that will be
// asked first.
func (l *Ledger) reading(ctx context.Context, ahead ...statement) (*txn, error) {
	query, err := l.store.reader(ctx, ahead...)
	return &txn{query: query}, err
}

// PaidCharges is [order.PaidCharges] of what is recorded.
func (l *Ledger) PaidCharges(ctx context.Context, scope, orderID string) ([]order.PaidCharge, error) {
	known, err := l.known(ctx, scope, orderID)
	return order.PaidCharges(known), err
}

// Doubt returns an *order.DoubtError if a Villa order may be paid though nothing
// proves it, as [order.Doubt] says.
func (l *Ledger) Doubt(ctx context.Context, scope, orderID string) error {
	known, err := l.known(ctx, scope, orderID)
	if err != nil {
		return err
	}
	return order.Doubt(known)
}

// known reads everything recorded that bears on a Villa order.
func (l *Ledger) known(ctx context.Context, scope, orderID string) (known order.Case, _ error) {
	err := l.snapshot(ctx, func(t *txn) (err error) {
		known, _, err = t.load(scope, orderID)
		return err
	})
	return known, l.wrap(err, "read order %s", orderID)
}

// payments streams payments as they stand now.
func (l *Ledger) payments(ctx context.Context, where string, args ...any) iter.Seq2[order.Payment, error] {
	return func(yield func(order.Payment, error) bool) {
		t, err := l.reading(ctx)
		if err == nil {
			err = l.each(t, statement{selected + where, args}, func(p order.Payment) bool { return yield(p, nil) })
		}
		if err != nil {
			yield(order.Payment{}, err)
		}
	}
}

// each calls a function with each payment that a query returns, until that returns
// false.
func (l *Ledger) each(t *txn, s statement, do func(order.Payment) bool) error {
	rows, err := t.ask(s)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		r := &row{}
		if err := r.scan(rows); err != nil {
			return err
		}
		if !do(r.At(l.store.clock())) {
			return nil
		}
	}
	return rows.Err()
}

// read runs a query outside of write transactions.
func (l *Ledger) read(ctx context.Context, query string, args ...any) (cursor, error) {
	t, err := l.reading(ctx)
	if err != nil {
		return nil, err
	}
	return t.query(query, args...)
}

// Events returns a payment's history, oldest first.
func (l *Ledger) Events(ctx context.Context, paymentID int64) ([]Event, error) {
	rows, err := l.read(ctx, `SELECT at, kind, actor, request_id, note, data FROM villapay_event WHERE payment = ? ORDER BY id`, paymentID)
	all, err := collect(rows, err, func(e *Event) error {
		var at int64
		var data string
		err := rows.Scan(&at, &e.Kind, &e.Actor, &e.RequestID, &e.Note, &data)
		e.At = fromMillis(at)
		if data != "" {
			e.Data = json.RawMessage(data)
		}
		return err
	})
	return all, l.wrap(err, "read events")
}

// Notification is a notification that was recorded.
type Notification struct {
	At      time.Time // when it was received
	Raw     json.RawMessage
	Payment order.Payment // of its bank order, as it is now; the zero value if none is recorded
}

// Notifications streams the notifications received at or after a time, oldest
// first. The sequence ends after its first error, an *Error.
func (l *Ledger) Notifications(ctx context.Context, scope string, since time.Time) iter.Seq2[Notification, error] {
	return func(yield func(Notification, error) bool) {
		err := l.notifications(ctx, scope, since, func(n Notification) bool { return yield(n, nil) })
		if err != nil {
			yield(Notification{}, l.wrap(err, "read notifications"))
		}
	}
}

func (l *Ledger) notifications(ctx context.Context, scope string, since time.Time, use func(Notification) bool) error {
	t, err := l.reading(ctx)
	if err != nil {
		return err
	}
	rows, err := t.query(`SELECT received_at, raw, bank_id, reference FROM villapay_report
		WHERE scope = ? AND origin = 'webhook' AND received_at >= ? ORDER BY id`, scope, toMillis(since))
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var received int64
		var raw string
		var report order.Report
		if err := rows.Scan(&received, &raw, &report.BankOrderID, &report.Reference); err != nil {
			return err
		}
		n := Notification{At: fromMillis(received), Raw: json.RawMessage(raw)}
		payments, err := t.named(scope, []order.Report{report})
		if err != nil {
			return err
		}
		if about := subjects(&report, payments); len(about) > 0 {
			n.Payment = foremost(about).At(l.store.clock())
		}
		if !use(n) {
			return nil
		}
	}
	return rows.Err()
}

// OrderIDs returns up to limit order IDs that begin with prefix, sorted, for
// completion.
func (l *Ledger) OrderIDs(ctx context.Context, scope, prefix string, limit int) ([]string, error) {
	// Order IDs are ASCII (order.CheckID), so DEL comes after all of them.
	ids, err := texts(l.read(ctx, `SELECT DISTINCT orderid FROM villapay_payment WHERE scope = ? AND orderid >= ? AND orderid < ? ORDER BY orderid LIMIT ?`,
		scope, prefix, prefix+"\x7f", int64(limit)))
	return ids, l.wrap(err, "read order IDs")
}
