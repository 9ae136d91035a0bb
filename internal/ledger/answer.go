package ledger

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"time"

	"github.com/villapay/villapay/internal/api"
)

// RecordedAnswer is what is known of an order beside the order itself. When it
// was received is told by the ledger's clock.
type RecordedAnswer struct {
	Attempts  int // requests sent in this run
	RequestID string
	Warnings  []Warning
}

// Answered fills in what an order says, received at a moment: the state is
// awaiting, or failed where the bank refused the order.
func (p *Payment) Answered(order *api.Order, received time.Time) {
	p.Order, p.BankID, p.Amount, p.Currency = order.Raw, order.ID, order.Amount, order.Currency
	p.CreatedAt, p.ExpiresAt = order.Created, expiry(order, received)
	p.KnownAt, p.KnownFrom = received, FromAPI
	p.State, p.Error = Awaiting, nil
	if order.Failed() {
		p.State = Failed
		p.Error = &Failure{Code: order.FailureCode, Message: order.FailureMessage}
		if p.Error.Code == "" {
			p.Error.Code = "order_failed"
		}
		if p.Error.Message == "" {
			p.Error.Message = fmt.Sprintf("the bank refused the order (status %q)", order.Status)
		}
	}
}

// expiry is the earlier of created+expiry and receipt+expiry: a clock or a
// `created` that is wrong must not make a code look payable for longer.
func expiry(order *api.Order, received time.Time) time.Time {
	if order.Expiry == 0 {
		return time.Time{}
	}
	expires := received.Add(order.Expiry)
	if created := order.Created.Add(order.Expiry); !order.Created.IsZero() && created.Before(expires) {
		expires = created
	}
	return expires
}

// RecordOrder records the order that a claim got, and applies the charges that
// came before it. It returns the payment as it then stands. Where another
// process has taken the claim over, or an order is recorded already, the order
// is only kept as an event, and the payment as it stands is returned beside
// ErrClaimLost: where it has an order, that one is the answer. Recording the
// same order under the same claim twice is one and the same.
func (l *Ledger) RecordOrder(ctx context.Context, c Claim, order *api.Order, a RecordedAnswer) (Payment, error) {
	var out answer
	err := l.store.write(ctx, toKeep, func(t *txn) (err error) {
		out, err = l.recordOrder(t, c, order, a)
		return err
	})
	return out.payment, l.answered(err, out.lost, c)
}

// answer is what became of an answer that was to be recorded.
type answer struct {
	payment Payment
	lost    bool
}

func (l *Ledger) answered(err error, lost bool, c Claim) error {
	if err == nil && lost {
		return ErrClaimLost
	}
	if err != nil {
		l.mine.stay()
	}
	return l.wrap(err, "record the answer for order %s", c.Payment.OrderID)
}

func (l *Ledger) recordOrder(t *txn, c Claim, order *api.Order, a RecordedAnswer) (answer, error) {
	scope := c.Payment.Scope
	if err := t.lock(bankOrderKey(scope, order.ID), orderKey(scope, c.Payment.OrderID)); err != nil {
		return answer{}, err
	}
	p := c.Payment
	p.Answered(order, t.now)
	if p.Error != nil {
		p.Error.RequestID = a.RequestID
	}
	p.Warnings, p.RequestID = a.Warnings, a.RequestID
	first, err := t.putOrder(&p, c.Number, a.Attempts)
	if err != nil {
		return answer{}, err
	}
	if !first {
		return l.lateOrder(t, c, order, a)
	}
	kind, note := "order", order.ID
	if p.State == Failed {
		kind, note = "failed", p.Error.Code+": "+p.Error.Message
	}
	if err := l.note(t, p.ID, event{kind: kind, requestID: a.RequestID, note: note}); err != nil {
		return answer{}, err
	}
	r, err := l.applyEarlier(t, &row{Payment: p})
	if err == nil && !p.verbatim() {
		r, err = t.byID(p.ID)
	}
	if err != nil {
		return answer{}, err
	}
	return answer{payment: r.at(t.now)}, nil
}

// putOrder writes a payment's order under a claim, unless that was taken over or
// has an order. It completes the payment with what others may have changed since
// it was claimed: reading all of it back takes longer than writing it.
func (t *txn) putOrder(p *Payment, claim int64, attempts int) (first bool, err error) {
	rows, err := t.query(`UPDATE villapay_payment SET state = ?, slot = CASE WHEN ? = 1 THEN 0 ELSE slot END, attempts = attempts + ?,
			order_json = ?, bank_id = ?, amount = ?, currency = ?, created_at = ?, expires_at = ?, known_at = ?, known_from = ?,
			request_id = ?, warnings = ?, error = ?, owner = '', lease = 0
		WHERE id = ? AND claim = ? AND order_json IS NULL RETURNING attempts, replaced_by`,
		string(p.State), number(p.State == Failed), int64(attempts),
		string(p.Order), p.BankID, p.Amount.String(), p.Currency, toMillis(p.CreatedAt), toMillis(p.ExpiresAt), toMillis(p.KnownAt), string(p.KnownFrom),
		p.RequestID, p.encodedWarnings(), p.encodedError(),
		p.ID, claim)
	if err != nil {
		return false, err
	}
	defer func() { _ = rows.Close() }()
	if rows.Next() {
		first = true
		err = rows.Scan(&p.Attempts, &p.ReplacedBy)
	}
	if err == nil {
		err = rows.Err()
	}
	return first, err
}

// verbatim tells whether a payment's texts were stored as they are: none of them
// holds what the ledger has to replace.
func (p *Payment) verbatim() bool {
	answer := string(p.Order)
	return storable(answer) == answer && storable(p.RequestID) == p.RequestID && !strings.Contains(answer, `\u0000`)
}

// lateOrder keeps an order that came too late as an event.
func (l *Ledger) lateOrder(t *txn, c Claim, order *api.Order, a RecordedAnswer) (answer, error) {
	r, err := t.byID(c.Payment.ID)
	if err != nil {
		return answer{}, err
	}
	if r.claim == c.Number && string(r.Order) == storable(string(order.Raw)) {
		return answer{payment: r.at(t.now)}, nil // it was this very call, whose commit went unconfirmed
	}
	note := fmt.Sprintf("%s came under claim %d, too late: not shown to anybody", order.ID, c.Number)
	err = l.note(t, r.ID, event{kind: "late answer", requestID: a.RequestID, note: note, data: order.Raw})
	return answer{payment: r.at(t.now), lost: true}, err
}

// RecordFailure records why a claim got no order: Rejected, nothing was made,
// which frees the slot; or Unknown, which keeps it until a later run asks again
// with the same key. Once any attempt of the payment was ambiguous, in this run
// (Unknown) or an earlier one, it is stored as Unknown whatever state says.
// ErrClaimLost is as with RecordOrder.
func (l *Ledger) RecordFailure(ctx context.Context, c Claim, state State, failure Failure, attempts int) (Payment, error) {
	var out answer
	ran := false
	err := l.store.write(ctx, toKeep, func(t *txn) (err error) {
		out, err = l.recordFailure(t, c, state, failure, attempts, ran)
		ran = err == nil && !out.lost
		return err
	})
	return out.payment, l.answered(err, out.lost, c)
}

// recordFailure is the body of RecordFailure. again says that it ran before, and
// may have been committed.
func (l *Ledger) recordFailure(t *txn, c Claim, state State, failure Failure, attempts int, again bool) (answer, error) {
	if err := t.lock(orderKey(c.Payment.Scope, c.Payment.OrderID)); err != nil {
		return answer{}, err
	}
	r, err := one(t.query(`UPDATE villapay_payment SET
			state = CASE WHEN ambiguous = 1 THEN 'unknown' ELSE ? END, slot = CASE WHEN ambiguous = 1 THEN slot ELSE ? * slot END,
			ambiguous = CASE WHEN ambiguous = 1 THEN 1 ELSE ? END, attempts = attempts + ?, known_at = ?, known_from = ?, request_id = ?, error = ?, owner = '', lease = 0
		WHERE id = ? AND claim = ? AND order_json IS NULL AND state = 'sending' RETURNING `+columns,
		string(state), number(state != Rejected), number(state != Rejected), int64(attempts), toMillis(t.now), string(origin(failure)), failure.RequestID,
		encode(failure, false), c.Payment.ID, c.Number))
	if err != nil {
		return answer{}, err
	}
	note := fmt.Sprintf("%s: %s", failure.Code, failure.Message)
	if r != nil {
		return answer{payment: r.Payment}, l.note(t, r.ID, event{kind: string(r.State), requestID: failure.RequestID, note: note})
	}
	if r, err = t.byID(c.Payment.ID); err != nil {
		return answer{}, err
	}
	if again && r.claim == c.Number && r.Order == nil {
		return answer{payment: r.Payment}, nil
	}
	err = l.note(t, r.ID, event{kind: "late answer", requestID: failure.RequestID, note: note})
	return answer{payment: r.at(t.now), lost: true}, err
}

// origin says where a failure is known from: an answer, or this side of it.
func origin(failure Failure) Origin {
	if failure.Status != 0 {
		return FromAPI
	}
	return FromLedger
}

// applyEarlier applies to a payment whose order was just recorded the charges
// that were received before it, and looks whether the bank order is another
// payment's too. It returns the payment as it then stands.
func (l *Ledger) applyEarlier(t *txn, r *row) (*row, error) {
	known, err := scalar[bool](t.query(`SELECT EXISTS (SELECT 1 FROM villapay_charge WHERE scope = ? AND bank_id = ?) OR
		EXISTS (SELECT 1 FROM villapay_payment WHERE scope = ? AND bank_id = ? AND bank_id <> '' AND id <> ?)`, r.Scope, r.BankID, r.Scope, r.BankID, r.ID))
	if err != nil || !known {
		return r, err
	}
	if err := l.noteEarlier(t, r); err != nil {
		return nil, err
	}
	same, err := t.withBankOrder(r.Scope, r.BankID)
	if err != nil {
		return nil, err
	}
	if _, err := l.assessAll(t, same, learned{}); err != nil {
		return nil, err
	}
	return t.byID(r.ID)
}

// scalar reads a query of one value; the zero value where there is no row.
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
