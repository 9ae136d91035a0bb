package ledger

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"iter"
	"time"

	"github.com/villapay/villapay/internal/order"
)

// Payments returns what is known about a Villa order: all its payments, newest
// first. Before them stands what other tools' charges make of it, a payment
// without a key, if that is paid or nothing else is recorded.
func (l *Ledger) Payments(ctx context.Context, scope, orderID string) (all []order.Payment, _ error) {
	for p, err := range l.payments(ctx, `WHERE scope = ? AND orderid = ? ORDER BY id DESC`, scope, orderID) {
		if err != nil {
			return nil, l.wrap(err, "read order %s", orderID)
		}
		all = append(all, p)
	}
	elsewhere, err := l.heardElsewhere(ctx, scope, orderID)
	if err != nil {
		return nil, l.wrap(err, "read order %s", orderID)
	}
	if elsewhere != nil && (len(all) == 0 || elsewhere.State == order.Paid) {
		all = append([]order.Payment{*elsewhere}, all...)
	}
	return all, nil
}

// reading is a transaction for reads alone; nil if nothing was ever written.
func (l *Ledger) reading(ctx context.Context) (*txn, error) {
	db, err := l.store.reader(ctx)
	if err != nil || db == nil {
		return nil, err
	}
	return &txn{query: func(query string, args ...any) (*sql.Rows, error) {
		return db.QueryContext(ctx, l.store.bind(query), clean(args)...)
	}}, nil
}

// heardElsewhere is elsewhere outside of write transactions.
func (l *Ledger) heardElsewhere(ctx context.Context, scope, orderID string) (*order.Payment, error) {
	t, err := l.reading(ctx)
	if err != nil || t == nil {
		return nil, err
	}
	return l.elsewhere(t, scope, orderID)
}

// PaidCharges returns the ids of a Villa order's charges that are paid now.
func (l *Ledger) PaidCharges(ctx context.Context, scope, orderID string) ([]order.PaidCharge, error) {
	t, err := l.reading(ctx)
	if err != nil || t == nil {
		return nil, l.wrap(err, "read order %s", orderID)
	}
	known, _, err := t.load(scope, orderID)
	return order.PaidCharges(known), l.wrap(err, "read order %s", orderID)
}

// rowWithin is how long the ledger may take for its next row: a server can hang.
const rowWithin = 30 * time.Second

// errSilent says that it took longer.
type errSilent time.Duration

func (e errSilent) Error() string { return "no answer within " + time.Duration(e).String() }

// paidThrough is the bank order through which the Villa order of a payment without
// one is paid; "" if there is none. Payments with a bank order carry the warning
// since it was paid.
const paidThrough = `CASE WHEN bank_id = '' THEN coalesce((SELECT max(q.bank_id) FROM villapay_payment q
	WHERE q.scope = villapay_payment.scope AND q.orderid = villapay_payment.orderid AND q.state = 'paid'), '') ELSE '' END`

// payments streams payments as they stand now. Only the ledger's own time counts
// against its limit, not what is done with each payment.
func (l *Ledger) payments(ctx context.Context, where string, args ...any) iter.Seq2[order.Payment, error] {
	return func(yield func(order.Payment, error) bool) {
		ctx, cancel := context.WithCancelCause(ctx)
		defer cancel(nil)
		limit := time.AfterFunc(l.rowWithin, func() { cancel(errSilent(l.rowWithin)) })
		defer limit.Stop()
		fail := func(err error) {
			if silent, ok := errors.AsType[errSilent](context.Cause(ctx)); ok {
				err = silent
			}
			yield(order.Payment{}, err)
		}
		rows, err := l.read(ctx, `SELECT `+columns+`, `+paidThrough+` FROM villapay_payment `+where, args...)
		if err != nil {
			fail(err)
			return
		}
		if rows == nil {
			return
		}
		defer func() { _ = rows.Close() }()
		for rows.Next() {
			r, through := &row{}, ""
			if err = r.scan(rows, &through); err != nil {
				break
			}
			if through != "" {
				r.Warnings = append(r.Warnings, order.Warning{Code: order.WarnPaidElsewhere, Message: "order " + r.OrderID + " is paid through bank order " + through})
			}
			limit.Stop()
			if !yield(r.At(l.store.clock()), nil) {
				return
			}
			limit.Reset(l.rowWithin)
		}
		if err == nil {
			err = rows.Err()
		}
		if err != nil {
			fail(err)
		}
	}
}

// read runs a query outside of write transactions; no rows at all, nil, where
// nothing was ever written.
func (l *Ledger) read(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	db, err := l.store.reader(ctx)
	if err != nil || db == nil {
		return nil, err
	}
	return db.QueryContext(ctx, l.store.bind(query), clean(args)...)
}

// Events returns a payment's history, oldest first.
func (l *Ledger) Events(ctx context.Context, paymentID int64) ([]Event, error) {
	rows, err := l.read(ctx, `SELECT at, kind, actor, request_id, note, data FROM villapay_event WHERE payment = ? ORDER BY id`, paymentID)
	if err != nil || rows == nil {
		return nil, l.wrap(err, "read events")
	}
	defer func() { _ = rows.Close() }()
	var all []Event
	for rows.Next() {
		var e Event
		var at int64
		var data string
		if err := rows.Scan(&at, &e.Kind, &e.Actor, &e.RequestID, &e.Note, &data); err != nil {
			return nil, l.wrap(err, "read events")
		}
		e.At = fromMillis(at)
		if data != "" {
			e.Data = json.RawMessage(data)
		}
		all = append(all, e)
	}
	return all, l.wrap(rows.Err(), "read events")
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
		fail := func(err error) { yield(Notification{}, l.wrap(err, "read notifications")) }
		t, err := l.reading(ctx)
		if err != nil || t == nil {
			if err != nil {
				fail(err)
			}
			return
		}
		rows, err := t.query(`SELECT received_at, raw, bank_id, reference FROM villapay_report
			WHERE scope = ? AND origin = 'webhook' AND received_at >= ? ORDER BY id`, scope, toMillis(since))
		if err != nil {
			fail(err)
			return
		}
		defer func() { _ = rows.Close() }()
		for rows.Next() {
			var received int64
			var raw, bank, reference string
			if err := rows.Scan(&received, &raw, &bank, &reference); err != nil {
				fail(err)
				return
			}
			n := Notification{At: fromMillis(received), Raw: json.RawMessage(raw)}
			payments, err := t.named(scope, []order.Report{{BankOrderID: bank, Reference: reference}})
			if err != nil {
				fail(err)
				return
			}
			if len(payments) > 0 {
				n.Payment = payments[len(payments)-1].At(l.store.clock())
			}
			if !yield(n, nil) {
				return
			}
		}
		if err := rows.Err(); err != nil {
			fail(err)
		}
	}
}

// OrderIDs returns up to limit order IDs that begin with prefix, sorted, for
// completion.
func (l *Ledger) OrderIDs(ctx context.Context, scope, prefix string, limit int) ([]string, error) {
	// Order IDs are ASCII (order.CheckID), so DEL comes after all of them.
	rows, err := l.read(ctx, `SELECT DISTINCT orderid FROM villapay_payment WHERE scope = ? AND orderid >= ? AND orderid < ? ORDER BY orderid LIMIT ?`,
		scope, prefix, prefix+"\x7f", int64(limit))
	if err != nil || rows == nil {
		return nil, l.wrap(err, "read order IDs")
	}
	ids, err := texts(rows)
	return ids, l.wrap(err, "read order IDs")
}
