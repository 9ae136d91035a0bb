package ledger

import (
	"context"
	"encoding/json"
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
	locks := reportKeys(c.Payment.Scope, order.Report{BankOrderID: made.ID, Reference: made.Reference})
	reads := []statement{earlier(c.Payment, made)}
	return l.record(ctx, c, locks, reads, func(t *txn, r *row) (bool, error) { return l.recordOrder(t, r, c, made, a) })
}

// RecordFailure records why a claim got no order: Rejected, nothing was made,
// which frees the slot; or Unknown, which keeps it until a later run asks again
// with the same key. Once any attempt of the payment was ambiguous, in this run
// (Unknown) or an earlier one, it is stored as Unknown whatever state says.
// ErrClaimLost is as with RecordOrder.
func (l *Ledger) RecordFailure(ctx context.Context, c Claim, state order.State, failure order.Failure, attempts int) (order.Payment, error) {
	ran := false // to its end: it may have been committed
	return l.record(ctx, c, nil, nil, func(t *txn, r *row) (lost bool, err error) {
		lost, err = l.recordFailure(t, r, c, state, failure, attempts, ran)
		ran = err == nil && !lost
		return lost, err
	})
}

// record runs the recording of an outcome for the claim's payment, as it stands
// before and after. fn says whether the claim was lost.
func (l *Ledger) record(ctx context.Context, c Claim, locks []lockKey, reads []statement, fn func(*txn, *row) (bool, error)) (p order.Payment, _ error) {
	o := opening{why: recordTx, locks: append(locks, orderKey(c.Payment.Scope, c.Payment.OrderID)), reads: append(reads, byID(c.Payment.ID))}
	lost := false
	err := l.store.write(ctx, o, func(t *txn) error {
		r, err := t.byID(c.Payment.ID)
		if err == nil {
			lost, err = fn(t, r)
		}
		if err == nil {
			p = r.At(t.now)
		}
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

func (l *Ledger) recordOrder(t *txn, r *row, c Claim, made *order.Order, a Answer) (lost bool, _ error) {
	if r.claim != c.Number || r.Order != nil {
		return l.lateOrder(t, r, c, made, a)
	}
	r.Attempts, r.Warnings, r.RequestID = r.Attempts+a.Attempts, a.Warnings, a.RequestID
	r.Answer(made, order.Answered{Received: t.now, Date: a.Date, Sent: r.RecordedAt})
	r.Order = json.RawMessage(storable(string(r.Order)))
	for _, text := range []*string{&r.BankOrderID, &r.Reference, &r.Currency, &r.RequestID} {
		*text = storable(*text)
	}
	r.slot = r.slot && r.State != order.Failed
	e := event{kind: "order", requestID: a.RequestID, note: made.ID}
	if r.Error != nil {
		r.Error.RequestID = r.RequestID
		e.kind, e.note = "failed", r.Error.Code+": "+r.Error.Message
	}
	if err := t.exec(`UPDATE villapay_payment SET state = ?, slot = ?, attempts = ?, order_json = ?, bank_id = ?, reference = ?, amount = ?, currency = ?,
			created_at = ?, expires_at = ?, held_until = ?, known_at = ?, known_from = ?, request_id = ?, warnings = ?, error = ?, owner = '', lease = 0
		WHERE id = ? AND claim = ? AND order_json IS NULL`,
		string(r.State), number(r.slot), int64(r.Attempts), string(r.Order), r.BankOrderID, r.Reference, r.Amount.String(), r.Currency,
		toMillis(r.CreatedAt), toMillis(r.ExpiresAt), toMillis(r.HeldUntil), toMillis(r.KnownAt), string(r.KnownFrom), r.RequestID, encode(r.Warnings), encode(r.Error),
		r.ID, c.Number); err != nil {
		return false, err
	}
	if err := l.note(t, r.ID, e); err != nil {
		return false, err
	}
	return false, l.applyEarlier(t, r, made)
}

// lateOrder keeps an order that came too late as an event.
func (l *Ledger) lateOrder(t *txn, r *row, c Claim, made *order.Order, a Answer) (lost bool, _ error) {
	if r.claim == c.Number && string(r.Order) == storable(string(made.Raw)) {
		return false, nil // it was this very call, whose commit went unconfirmed
	}
	note := fmt.Sprintf("%s came under claim %d, too late, and was not shown", made.ID, c.Number)
	return true, l.note(t, r.ID, event{kind: "late answer", requestID: a.RequestID, note: note, data: made.Raw})
}

// recordFailure is the body of RecordFailure. again says that it ran before, and
// may have been committed.
func (l *Ledger) recordFailure(t *txn, r *row, c Claim, state order.State, failure order.Failure, attempts int, again bool) (lost bool, _ error) {
	switch {
	case r.claim == c.Number && r.Order == nil && r.State == order.Sending:
	case again && r.claim == c.Number && r.Order == nil:
		return false, nil
	default:
		return true, l.note(t, r.ID, event{kind: "late answer", requestID: failure.RequestID, note: failure.Code + ": " + failure.Message})
	}
	if r.State = state; r.ambiguous {
		r.State = order.Unknown
	}
	r.ambiguous = r.State != order.Rejected
	r.slot = r.slot && r.ambiguous
	r.Attempts, r.KnownAt, r.KnownFrom, r.RequestID, r.Error = r.Attempts+attempts, t.now, order.FromLedger, failure.RequestID, &failure
	if failure.Status != 0 {
		r.KnownFrom = order.FromAPI
	}
	if err := t.exec(`UPDATE villapay_payment SET state = ?, slot = ?, ambiguous = ?, attempts = ?, known_at = ?, known_from = ?, request_id = ?, error = ?, owner = '', lease = 0
		WHERE id = ? AND claim = ? AND order_json IS NULL`,
		string(r.State), number(r.slot), number(r.ambiguous), int64(r.Attempts), toMillis(r.KnownAt), string(r.KnownFrom), r.RequestID, encode(r.Error),
		r.ID, c.Number); err != nil {
		return false, err
	}
	return false, l.note(t, r.ID, event{kind: string(r.State), requestID: failure.RequestID, note: failure.Code + ": " + failure.Message})
}

// about is a condition on what was heard about a payment that is to get an order.
func about(p order.Payment, made *order.Order) anyOf {
	either := anyOf{scope: p.Scope}
	either.in("orderid", p.OrderID)
	either.in("bank_id", made.ID, made.Reference)
	either.in("reference", made.ID, made.Reference)
	return either
}

// earlier asks whether anything was heard about a payment before its order came,
// or another payment has the same bank order or has paid the Villa order.
func earlier(p order.Payment, made *order.Order) statement {
	either := about(p, made)
	where, args := either.where()
	return statement{
		`SELECT EXISTS (SELECT 1 FROM villapay_report WHERE ` + where + `)
		OR EXISTS (SELECT 1 FROM villapay_payment WHERE scope = ? AND bank_id = ? AND bank_id <> '' AND id <> ?)
		OR EXISTS (SELECT 1 FROM villapay_payment WHERE scope = ? AND orderid = ? AND state = 'paid')`,
		append(args, p.Scope, made.ID, p.ID, p.Scope, p.OrderID),
	}
}

// applyEarlier applies to a payment whose order was just recorded what was heard
// before.
func (l *Ledger) applyEarlier(t *txn, r *row, made *order.Order) error {
	known, err := scalar[bool](t.ask(earlier(r.Payment, made)))
	if err != nil || !known {
		return err
	}
	either := about(r.Payment, made)
	related, err := t.related(either)
	if err != nil {
		return err
	}
	villas, _, err := t.villas(r.Scope, append(related, order.Report{OrderID: r.OrderID, BankOrderID: r.BankOrderID, Reference: r.Reference}))
	if err != nil {
		return err
	}
	var last source
	for _, heard := range related {
		if names := either.columns["bank_id"]; !names[heard.BankOrderID] && !names[heard.Reference] {
			continue
		}
		last = source{heard.From, heard.RequestID}
		note := heard.Summary() + ", received " + heard.Received.Format("2006-01-02 15:04:05.000") + " before the order was recorded"
		if err := l.note(t, r.ID, event{kind: "charge", requestID: heard.RequestID, note: note, data: heard.Raw}); err != nil {
			return err
		}
	}
	if _, err := l.resolveAll(t, r.Scope, villas, last); err != nil {
		return err
	}
	now, err := t.byID(r.ID)
	if err == nil {
		*r = *now
	}
	return err
}
