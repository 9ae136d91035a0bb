package ledger

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/villapay/villapay/internal/order"
)

// Answer is what is known of an answer beside its order. When it was received is
// the ledger's to say.
type Answer struct {
	Attempts  int // requests sent in this run
	RequestID string
	Date      time.Time // the answer's Date header; zero if it has none
	Warnings  []order.Warning
}

// RecordOrder records the order that a claim got, and applies what was heard about
// its charges before. It returns the payment as it then stands. If another process
// has taken the claim over, or an order is recorded already, the order is only
// kept as an event, and the payment as it stands is returned beside ErrClaimLost:
// if it has an order, that is the answer. Recording the same order under the same
// claim twice is idempotent.
func (l *Ledger) RecordOrder(ctx context.Context, c Claim, made *order.Order, a Answer) (order.Payment, error) {
	return l.record(ctx, c, func(t *txn) (order.Payment, bool, error) { return l.recordOrder(t, c, made, a) })
}

// RecordFailure records why a claim got no order: Rejected, nothing was made,
// which frees the slot; or Unknown, which keeps it until a later run asks again
// with the same key. Once any attempt of the payment was ambiguous, in this run
// (Unknown) or an earlier one, it is stored as Unknown whatever state says.
// ErrClaimLost is as with RecordOrder.
func (l *Ledger) RecordFailure(ctx context.Context, c Claim, state order.State, failure order.Failure, attempts int) (order.Payment, error) {
	ran := false // to its end: it may have been committed
	return l.record(ctx, c, func(t *txn) (p order.Payment, lost bool, err error) {
		p, lost, err = l.recordFailure(t, c, state, failure, attempts, ran)
		ran = err == nil && !lost
		return p, lost, err
	})
}

// record runs the recording of an outcome. fn says whether the claim was lost.
func (l *Ledger) record(ctx context.Context, c Claim, fn func(*txn) (order.Payment, bool, error)) (p order.Payment, _ error) {
	lost := false
	err := l.store.write(ctx, recordTx, func(t *txn) (err error) {
		p, lost, err = fn(t)
		return err
	})
	switch {
	case err != nil:
		l.lock.keep()
		return p, l.wrap(err, "record the answer for order %s", c.Payment.OrderID)
	case lost:
		return p, ErrClaimLost
	}
	return p, nil
}

func (l *Ledger) recordOrder(t *txn, c Claim, made *order.Order, a Answer) (order.Payment, bool, error) {
	keys := reportKeys(c.Payment.Scope, order.Report{BankOrderID: made.ID, Reference: made.Reference})
	if err := t.lock(append(keys, orderKey(c.Payment.Scope, c.Payment.OrderID))...); err != nil {
		return order.Payment{}, false, err
	}
	p := c.Payment
	p.Warnings, p.RequestID = a.Warnings, a.RequestID
	p.Answer(made, order.Answered{Received: t.now, Date: a.Date, Sent: p.RecordedAt})
	if p.Error != nil {
		p.Error.RequestID = a.RequestID
	}
	r, err := one(t.query(`UPDATE villapay_payment SET state = ?, slot = CASE WHEN ? = 1 THEN 0 ELSE slot END, attempts = attempts + ?,
			order_json = ?, bank_id = ?, reference = ?, amount = ?, currency = ?, created_at = ?, expires_at = ?, held_until = ?,
			known_at = ?, known_from = ?, request_id = ?, warnings = ?, error = ?, owner = '', lease = 0
		WHERE id = ? AND claim = ? AND order_json IS NULL RETURNING `+columns,
		string(p.State), number(p.State == order.Failed), int64(a.Attempts),
		string(p.Order), p.BankOrderID, p.Reference, p.Amount.String(), p.Currency, toMillis(p.CreatedAt), toMillis(p.ExpiresAt), toMillis(p.HeldUntil),
		toMillis(p.KnownAt), string(p.KnownFrom), p.RequestID, encodeList(p.Warnings), encodeError(p.Error),
		p.ID, c.Number))
	if err != nil {
		return order.Payment{}, false, err
	}
	if r == nil {
		return l.lateOrder(t, c, made, a)
	}
	e := event{kind: "order", requestID: a.RequestID, note: made.ID}
	if p.Error != nil {
		e.kind, e.note = "failed", p.Error.Code+": "+p.Error.Message
	}
	if err := l.note(t, r.ID, e); err != nil {
		return order.Payment{}, false, err
	}
	if r, err = l.applyEarlier(t, r); err != nil {
		return order.Payment{}, false, err
	}
	return r.At(t.now), false, nil
}

// lateOrder keeps an order that came too late as an event.
func (l *Ledger) lateOrder(t *txn, c Claim, made *order.Order, a Answer) (order.Payment, bool, error) {
	r, err := t.byID(c.Payment.ID)
	if err != nil {
		return order.Payment{}, false, err
	}
	if r.claim == c.Number && string(r.Order) == storable(string(made.Raw)) {
		return r.At(t.now), false, nil // it was this very call, whose commit went unconfirmed
	}
	note := fmt.Sprintf("%s came under claim %d, too late: shown to nobody", made.ID, c.Number)
	err = l.note(t, r.ID, event{kind: "late answer", requestID: a.RequestID, note: note, data: made.Raw})
	return r.At(t.now), true, err
}

// recordFailure is the body of RecordFailure. again says that it ran before, and
// may have been committed.
func (l *Ledger) recordFailure(t *txn, c Claim, state order.State, failure order.Failure, attempts int, again bool) (order.Payment, bool, error) {
	if err := t.lock(orderKey(c.Payment.Scope, c.Payment.OrderID)); err != nil {
		return order.Payment{}, false, err
	}
	from := order.FromLedger
	if failure.Status != 0 {
		from = order.FromAPI
	}
	ambiguous := number(state != order.Rejected)
	r, err := one(t.query(`UPDATE villapay_payment SET
			state = CASE WHEN ambiguous = 1 THEN 'unknown' ELSE ? END, slot = CASE WHEN ambiguous = 1 THEN slot ELSE ? * slot END,
			ambiguous = CASE WHEN ambiguous = 1 THEN 1 ELSE ? END, attempts = attempts + ?, known_at = ?, known_from = ?, request_id = ?, error = ?, owner = '', lease = 0
		WHERE id = ? AND claim = ? AND order_json IS NULL AND state = 'sending' RETURNING `+columns,
		string(state), ambiguous, ambiguous, int64(attempts), toMillis(t.now), string(from), failure.RequestID,
		encodeError(&failure), c.Payment.ID, c.Number))
	if err != nil {
		return order.Payment{}, false, err
	}
	e := event{kind: "late answer", requestID: failure.RequestID, note: fmt.Sprintf("%s: %s", failure.Code, failure.Message)}
	if r != nil {
		e.kind = string(r.State)
		return r.Payment, false, l.note(t, r.ID, e)
	}
	if r, err = t.byID(c.Payment.ID); err != nil {
		return order.Payment{}, false, err
	}
	if again && r.claim == c.Number && r.Order == nil {
		return r.Payment, false, nil
	}
	return r.At(t.now), true, l.note(t, r.ID, e)
}

// applyEarlier applies to a payment whose order was just recorded what was heard
// about its charges before, if anything was, or if another payment has the same
// bank order or has paid the Villa order. It returns the payment as it then stands.
func (l *Ledger) applyEarlier(t *txn, r *row) (*row, error) {
	either := anyOf{scope: r.Scope}
	either.in("orderid", r.OrderID)
	either.in("bank_id", r.BankOrderID, r.Reference)
	either.in("reference", r.BankOrderID, r.Reference)
	where, args := either.where()
	known, err := scalar[bool](t.query(`SELECT EXISTS (SELECT 1 FROM villapay_report WHERE `+where+`)
		OR EXISTS (SELECT 1 FROM villapay_payment WHERE scope = ? AND bank_id = ? AND bank_id <> '' AND id <> ?)
		OR EXISTS (SELECT 1 FROM villapay_payment WHERE scope = ? AND orderid = ? AND state = 'paid')`,
		append(args, r.Scope, r.BankOrderID, r.ID, r.Scope, r.OrderID)...))
	if err != nil || !known {
		return r, err
	}
	related, err := t.related(either)
	if err != nil {
		return nil, err
	}
	villas, _, err := t.villas(r.Scope, append(related, order.Report{OrderID: r.OrderID, BankOrderID: r.BankOrderID, Reference: r.Reference}))
	if err != nil {
		return nil, err
	}
	var last source
	for _, heard := range related {
		if names := either.columns["bank_id"]; !names[heard.BankOrderID] && !names[heard.Reference] {
			continue
		}
		last = source{heard.From, heard.RequestID}
		note := heard.Summary() + ", received " + heard.Received.Format("2006-01-02 15:04:05.000") + " before the order was recorded"
		if err := l.note(t, r.ID, event{kind: "charge", requestID: heard.RequestID, note: note, data: heard.Raw}); err != nil {
			return nil, err
		}
	}
	if _, err := l.resolveAll(t, r.Scope, villas, last); err != nil {
		return nil, err
	}
	return t.byID(r.ID)
}

// scalar reads a query of one value; the zero value if there is no row.
func scalar[T any](rows *sql.Rows, err error) (value T, _ error) {
	if err != nil {
		return value, err
	}
	defer func() { _ = rows.Close() }()
	if rows.Next() {
		err = rows.Scan(&value)
	}
	if err == nil {
		err = rows.Err()
	}
	return value, err
}
