package ledger

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/villapay/villapay/internal/order"
)

// RecordCode records a payment's code, if the payment may be shown and nobody may
// still pay with another code or page. took is the time from the request for it to
// its answer. It returns the payment as it then stands, and whether the code is the
// recorded one: if not, it must not be shown. It fails with an *order.DoubtError if an
// earlier code may have been paid.
func (l *Ledger) RecordCode(ctx context.Context, p order.Payment, c *order.BankCode, took time.Duration) (_ order.Payment, recorded bool, _ error) {
	p, recorded, err := l.hold(ctx, p, func(t *txn, r *row) (*order.Held, event) {
		switch {
		case r.Payable(t.now) == nil && r.HoldsCode(t.now) && r.Held.ID == c.ID && !r.Held.Canceling:
			return r.Held, event{} // the bank gave it twice, or this very call's commit went unconfirmed
		case r.Payable(t.now) != nil || r.HoldsCode(t.now):
			return nil, event{}
		}
		return c.Hold(&r.Payment, order.Answered{Received: t.now, Date: c.Date, Sent: t.now.Add(-took)}), event{kind: "code", requestID: c.RequestID, note: c.ID}
	}, event{kind: "late code", requestID: c.RequestID, note: c.ID + " came too late, and was not shown"})
	return p, recorded, l.wrap(err, "record the code of order %s", p.OrderID)
}

// RecordPage records that a page with the bank's widget is served for a payment,
// under the conditions of RecordCode.
func (l *Ledger) RecordPage(ctx context.Context, p order.Payment) (_ order.Payment, recorded bool, _ error) {
	p, recorded, err := l.hold(ctx, p, func(t *txn, r *row) (*order.Held, event) {
		if r.Payable(t.now) != nil || r.HoldsCode(t.now) && r.Held.Text != "" {
			return nil, event{}
		}
		return r.HoldPage(), event{kind: "page", note: "the payer's page is served"}
	}, event{})
	return p, recorded, l.wrap(err, "record the page of order %s", p.OrderID)
}

// hold records what decide returns as what a payment may be paid with, and its event,
// or that it came late. Beside a code that may have been paid nothing else is held.
func (l *Ledger) hold(ctx context.Context, p order.Payment, decide func(*txn, *row) (*order.Held, event), late event) (_ order.Payment, recorded bool, _ error) {
	var doubt error
	err := l.onPayment(ctx, p, func(t *txn, r *row) error {
		held, e := decide(t, r)
		recorded, doubt = held != nil, nil
		if recorded && r.Held != nil && r.Held.Text != "" && r.Held.ID != held.ID {
			known, _, err := t.load(r.Scope, r.OrderID)
			if err != nil {
				return err
			}
			doubt = order.Doubt(known)
			recorded = doubt == nil
		}
		if !recorded {
			e = late
		} else {
			r.Held = held
			if err := t.exec(`UPDATE villapay_payment SET code_id = ?, code_kind = ?, code_text = ?, code_shown_until = ?, code_held_until = ?, code_canceled = 0 WHERE id = ?`,
				held.ID, string(held.Kind), held.Text, toMillis(held.ShownUntil), toMillis(held.HeldUntil), r.ID); err != nil {
				return err
			}
		}
		p = r.At(t.now)
		if e.kind == "" {
			return nil
		}
		return l.note(t, r.ID, e)
	})
	return p, recorded, cmp.Or(err, doubt)
}

// onPayment records something of a payment, whose Villa order is locked.
func (l *Ledger) onPayment(ctx context.Context, p order.Payment, fn func(*txn, *row) error) error {
	o := opening{why: recordTx, locks: []lockKey{orderKey(p.Scope, p.OrderID)}, reads: []statement{byID(p.ID)}}
	return l.store.write(ctx, o, func(t *txn) error {
		r, err := t.byID(p.ID)
		if err != nil {
			return err
		}
		return fn(t, r)
	})
}

// ChangeKind is what is asked of the bank to change.
type ChangeKind string

// The kinds of changes.
const (
	Cancel ChangeKind = "cancel" // of a code
	Void   ChangeKind = "void"   // of a charge
)

// ChangeRequest is a change that somebody wants.
type ChangeRequest struct {
	Payment order.Payment
	Kind    ChangeKind
	Target  string             // a code's or a charge's id
	Seen    []order.PaidCharge // of Void: the order's charges as they were when this one was chosen
}

// Change is a change that this process may ask the bank for.
type Change struct {
	ChangeRequest

	Verdict Verdict // Claimed, Replay (it is done), Busy, AskFirst (a void of another charge has no answer yet), or Confirm (another charge was given back)
	Resumed bool    // an earlier attempt may have been carried out
	Settled bool    // of Resumed: it ended so long ago that it is not under way any more
	Holder  string  // of Busy
	Other   string  // of AskFirst and Confirm: the other charge

	id, number int64
	asked      int64 // when the last attempt before ended; 0 if there was none
}

// ClaimChange decides, durably, whether this process may ask the bank for a
// change: nobody else does so now, and it is not done yet. A change whose answer
// was lost, or that was rejected, may be asked for again. Of an order's charges one
// is voided at a time, and none after another one that the request does not know of,
// so that two people who give back a payment made twice do not give back both.
func (l *Ledger) ClaimChange(ctx context.Context, request ChangeRequest) (c Change, _ error) {
	owner := l.lock.own()
	p, kind, target := request.Payment, request.Kind, request.Target
	earlier := statement{`SELECT c.id, c.state, c.claim, c.owner, c.holder, c.lease FROM villapay_change c JOIN villapay_payment p ON p.id = c.payment
		WHERE p.scope = ? AND p.orderid = ? AND c.kind = ? AND c.target = ?`, []any{p.Scope, p.OrderID, string(kind), target}}
	o := opening{why: claimTx, locks: []lockKey{orderKey(p.Scope, p.OrderID)}, reads: []statement{earlier}}
	err := l.store.write(ctx, o, func(t *txn) (err error) {
		c = Change{ChangeRequest: request}
		var state string
		var held row
		rows, err := t.ask(earlier)
		if err != nil {
			return err
		}
		for rows.Next() {
			err = rows.Scan(&c.id, &state, &c.number, &held.owner, &held.holder, &held.lease)
		}
		if err = errors.Join(err, rows.Err(), rows.Close()); err != nil {
			return err
		}
		held.claim, held.ID = c.number, -c.id
		switch {
		case state == sent && l.alive(&held, t.now):
			c.Verdict, c.Holder = Busy, held.holder
			return nil
		case state == done:
			c.Verdict = Replay
			return nil
		}
		if kind == Void {
			c.Verdict, c.Other, err = t.otherVoid(request)
			if err != nil || c.Verdict == Confirm || c.Verdict != Claimed && state != sent { // else ask how it ended
				return err
			}
		}
		c.Verdict, c.Resumed = Claimed, state == sent
		if c.Resumed {
			c.asked = held.lease
			c.Settled = t.now.Sub(fromMillis(held.lease)) >= settledAfter
		}
		return l.writeChange(t, &c, owner)
	})
	if err != nil {
		l.lock.keep()
	}
	return c, l.wrap(err, "%s %s", kind, target)
}

// otherVoid says what is to be done about a void that nobody is sending, in view
// of the order's other charges and of what was given back by other means. other is the
// charge that is in its way.
func (t *txn) otherVoid(request ChangeRequest) (verdict Verdict, other string, _ error) {
	p := request.Payment
	other, err := scalar[string](t.query(`SELECT c.target FROM villapay_change c JOIN villapay_payment p ON p.id = c.payment
		WHERE p.scope = ? AND p.orderid = ? AND c.kind = ? AND c.state = ? AND c.target <> ? ORDER BY c.id LIMIT 1`, p.Scope, p.OrderID, string(Void), sent, request.Target))
	if err != nil || other != "" {
		return AskFirst, other, err
	}
	known, _, err := t.load(p.Scope, p.OrderID)
	if err != nil {
		return 0, "", err
	}
	verdict = Claimed
	for _, charge := range order.PaidCharges(known) {
		seen := slices.ContainsFunc(request.Seen, func(one order.PaidCharge) bool { return one.ID == charge.ID && one.Returned })
		switch {
		case !charge.Returned:
		case charge.ID == request.Target:
			return Replay, "", nil
		case !seen:
			verdict, other = Confirm, charge.ID
		}
	}
	return verdict, other, nil
}

// writeChange writes the next claim on a change.
func (l *Ledger) writeChange(t *txn, c *Change, owner string) (err error) {
	c.number++
	lease := toMillis(t.now.Add(leaseFor))
	if c.id == 0 {
		c.id, err = scalar[int64](t.query(`INSERT INTO villapay_change (payment, kind, target, state, claim, owner, holder, lease) VALUES (?, ?, ?, ?, ?, ?, ?, ?) RETURNING id`,
			c.Payment.ID, string(c.Kind), c.Target, sent, c.number, owner, l.actor, lease))
	} else {
		err = t.exec(`UPDATE villapay_change SET state = ?, claim = ?, owner = ?, holder = ?, lease = ? WHERE id = ?`, sent, c.number, owner, l.actor, lease, c.id)
	}
	if err == nil && c.Kind == Cancel {
		err = t.setCanceled(c.Payment.ID, c.Target, codeIsCanceling)
	}
	if err != nil {
		return err
	}
	return l.note(t, c.Payment.ID, event{kind: string(c.Kind), note: c.Target + ": asked for"})
}

// settledAfter is how long after its last attempt a request without an answer is not
// under way at the bank any more.
const settledAfter = time.Minute

// RenewChange extends a change's lease, as Renew does a claim's.
func (l *Ledger) RenewChange(ctx context.Context, c Change) error {
	return l.renew(ctx, `UPDATE villapay_change SET lease = ? WHERE id = ? AND claim = ? AND state = 'sent'`, c.id, c.number)
}

// What became of a change. One that is sent has no answer yet.
const (
	sent     = "sent"
	done     = "done"
	rejected = "rejected"
)

// ChangeOutcome is what the bank said to a change.
type ChangeOutcome struct {
	Done       bool // it was made
	Unanswered bool // nobody knows whether it was made: the next run has to finish it
	Rejected   bool // of Unanswered: not this attempt, but an earlier one may have been carried out
	Note       string
	RequestID  string
}

// RecordChange records the bank's answer to a change. What is neither done nor
// unanswered was rejected, or never sent: nothing was made. That counts only from
// the change's current claim, but what was done is done whoever says so. It returns
// the payment as it then stands.
func (l *Ledger) RecordChange(ctx context.Context, c Change, out ChangeOutcome) (p order.Payment, _ error) {
	err := l.onPayment(ctx, c.Payment, func(t *txn, r *row) error {
		state, note, claims, lease := rejected, c.Target+": not made", c.number, int64(0)
		switch {
		case out.Done:
			state, note, claims = done, c.Target+": done", 0
		case out.Unanswered:
			state, note, lease = sent, c.Target+": no answer", toMillis(t.now)
			if out.Rejected {
				lease = c.asked
			}
		}
		changed, err := scalar[int64](t.query(`UPDATE villapay_change SET state = ?, lease = ? WHERE id = ? AND state <> 'done' AND (claim = ? OR ? = 0) RETURNING id`, state, lease, c.id, claims, claims))
		if err == nil && changed > 0 {
			if out.Note != "" {
				note += ": " + out.Note
			}
			err = l.note(t, r.ID, event{kind: string(c.Kind), requestID: out.RequestID, note: note})
		}
		if err == nil && changed > 0 && c.Kind == Cancel && !out.Unanswered {
			code := codeIsOpen
			if out.Done {
				code = codeIsCanceled
			}
			if err = t.setCanceled(r.ID, c.Target, code); err == nil {
				r, err = t.byID(r.ID)
			}
		}
		if err == nil {
			p = r.At(t.now)
		}
		return err
	})
	return p, l.wrap(err, "record the bank's answer about %s", c.Target)
}

// What is known of a code's cancellation, as it is stored.
const (
	codeIsOpen int64 = iota
	codeIsCanceled
	codeIsCanceling // asked for, and not answered yet
)

// setCanceled notes what is known of the cancellation of a payment's code, if that
// is still its code.
func (t *txn) setCanceled(paymentID int64, codeID string, canceled int64) error {
	return t.exec(`UPDATE villapay_payment SET code_canceled = ? WHERE id = ? AND code_id = ?`, canceled, paymentID, codeID)
}

// PastVoid is a void that was asked for, of a charge of a payment.
type PastVoid struct {
	PaymentID int64
	ChargeID  string
	Done      bool // else it has no answer yet
}

// Voids returns the voids of an order's charges that were made or have no answer
// yet, oldest first.
func (l *Ledger) Voids(ctx context.Context, scope, orderID string) ([]PastVoid, error) {
	rows, err := l.read(ctx, `SELECT c.payment, c.target, c.state = 'done' FROM villapay_change c JOIN villapay_payment p ON p.id = c.payment
		WHERE p.scope = ? AND p.orderid = ? AND c.kind = 'void' AND c.state <> 'rejected' ORDER BY c.id`, scope, orderID)
	all, err := collect(rows, err, func(v *PastVoid) error { return rows.Scan(&v.PaymentID, &v.ChargeID, &v.Done) })
	return all, l.wrap(err, "read order %s", orderID)
}

// CancelPayment marks an open payment whose code the bank has canceled as canceled
// for good, which frees its slot. It does nothing to a payment that was paid
// meanwhile, or that has another code by now, and fails with an *order.DoubtError if
// it may have been. It returns the payment as it then stands.
func (l *Ledger) CancelPayment(ctx context.Context, p order.Payment) (order.Payment, error) {
	var doubt error
	err := l.onPayment(ctx, p, func(t *txn, r *row) error {
		p, doubt = r.At(t.now), nil
		if r.State != order.Awaiting || r.Held == nil || !r.Held.Canceled {
			return nil
		}
		known, _, err := t.load(r.Scope, r.OrderID)
		if err != nil {
			return err
		}
		if doubt = order.Doubt(known); doubt != nil {
			return nil //nolint:nilerr // it is returned below
		}
		p.State, p.Canceled, p.KnownAt, p.KnownFrom = order.Cancelled, true, t.now, order.FromBank
		if err := t.exec(`UPDATE villapay_payment SET canceled = 1, slot = 0, state = ?, known_at = ?, known_from = ? WHERE id = ?`,
			string(order.Cancelled), toMillis(t.now), string(order.FromBank), r.ID); err != nil {
			return err
		}
		return l.note(t, r.ID, event{kind: "canceled", note: "the bank canceled its codes"})
	})
	return p, l.wrap(cmp.Or(err, doubt), "cancel the payment of order %s", p.OrderID)
}

// Charges returns the ids of all charges that were ever reported about a Villa
// order or its bank orders.
func (l *Ledger) Charges(ctx context.Context, scope, orderID string) ([]string, error) {
	const report = ` UNION SELECT r.charge_id FROM villapay_report r JOIN villapay_payment p ON p.scope = r.scope AND `
	ids, err := texts(l.read(ctx, `SELECT charge_id FROM villapay_report r WHERE r.scope = ? AND r.orderid = ? AND r.orderid <> '' AND r.charge_id <> ''`+
		report+`r.bank_id IN (p.bank_id, p.reference) AND r.bank_id <> '' WHERE p.scope = ? AND p.orderid = ? AND r.charge_id <> ''`+
		report+`r.reference = p.reference AND r.bank_id = '' AND r.reference <> '' WHERE p.scope = ? AND p.orderid = ? AND r.charge_id <> ''`,
		scope, orderID, scope, orderID, scope, orderID))
	return ids, l.wrap(err, "read order %s", orderID)
}
