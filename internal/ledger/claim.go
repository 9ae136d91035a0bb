package ledger

import (
	"context"
	"slices"

	"github.com/villapay/villapay/internal/api"
)

// ClaimRequest asks what may be done for an order.
type ClaimRequest struct {
	Scope, Env, OrderID string
	Source              api.Source
	Key                 string // for a payment that has to be made: fresh, or the user's
	KeyGiven            bool   // it is the user's
	New                 bool   // make another payment though one is open or paid
}

// Verdict says what may be done.
type Verdict int

// The verdicts.
const (
	Claimed Verdict = iota + 1 // send, with Payment.Key, and record what comes
	Replay                     // send nothing: Payment is the answer
	Busy                       // somebody else is sending: wait, and claim again
)

// Claim is the ledger's decision about a request.
type Claim struct {
	Verdict Verdict
	Payment Payment
	Number  int64 // of the claim on the payment, from 1; answers need it
	// Resumed says of Claimed that an earlier attempt may have been carried
	// out, so that only an order resolves the payment.
	Resumed bool
	Holder  string // of Busy: who is sending, such as "user@host pid 123"

	// Others are the order's other payments that are paid, or that could be: of
	// another source, or replaced. Replaced is the one that this claim has
	// replaced, as it stood.
	Others   []Payment
	Replaced *Payment
}

// Claim decides, in one transaction, what may be done for an order. What it
// decides is durable when it returns: after Claimed, a process that dies leaves
// a payment that the next one takes over with the same key.
//
// Without New, an order that is paid, or that can still be paid from this
// source, is replayed. A user's key always finds its payment again: one with an
// order is replayed, whatever became of it, except that an order which is paid
// through another payment is never shown for paying once more; one without is
// sent again. A user's key that belongs to anything else, or that is known and
// comes with New, is a *KeyUsedError.
//
// With New, a payment that is being sent is waited for and then replaced, as is
// one that is open or paid: it keeps counting charges and is never drawn again.
//
// Errors of the ledger are an *Error; nothing may be sent then.
func (l *Ledger) Claim(ctx context.Context, req ClaimRequest) (Claim, error) {
	var c *claiming
	owner := l.mine.own()
	err := l.store.write(ctx, toSend, func(t *txn) error {
		c = &claiming{l: l, t: t, req: req, owner: owner}
		return c.decide()
	})
	if err != nil {
		l.mine.stay() // it may be recorded all the same
		return Claim{}, l.wrap(err, "claim order %s", req.OrderID)
	}
	if c.refused != nil {
		return Claim{}, c.refused
	}
	if c.result.Verdict != Busy {
		l.watch.forget(c.result.Payment.ID)
	}
	return c.result, nil
}

// claiming is one decision in the making.
type claiming struct {
	l     *Ledger
	t     *txn
	req   ClaimRequest
	owner string // this process's lock

	live  []*row // the order's payments that are in flight, open or paid, newest first
	given *row   // the payment of the user's key

	result  Claim
	refused *KeyUsedError
}

func (c *claiming) decide() error {
	if err := c.look(); err != nil || c.refused != nil {
		return err
	}
	paid := c.find(func(r *row) bool { return r.State == Paid })
	switch {
	case c.given != nil && c.given.Order != nil && (paid == nil || !c.open(c.given)):
		return c.replay(c.given)
	case paid != nil && !c.req.New:
		return c.replay(paid)
	}
	holder := c.find(func(r *row) bool { return r.slot && r.Source == c.req.Source })
	if c.given != nil && !c.given.slot && c.given.State != Rejected {
		return c.resume(c.given) // --new has replaced it, and it never got its answer
	}
	if holder == nil {
		// A charge that was guessed can have taken the slot and been found wrong.
		if open := c.find(func(r *row) bool { return c.open(r) && r.Source == c.req.Source }); open != nil && !c.req.New {
			return c.replay(open)
		}
		return c.send()
	}
	return c.meet(holder)
}

// look reads what there is of the order, and of the user's key.
func (c *claiming) look() (err error) {
	if err := c.t.lock(orderKey(c.req.Scope, c.req.OrderID)); err != nil {
		return err
	}
	// Of an order that is new there is nothing to read, which is soon told.
	known, err := scalar[bool](c.t.query(`SELECT EXISTS (SELECT 1 FROM villapay_payment WHERE scope = ? AND orderid = ?)`, c.req.Scope, c.req.OrderID))
	if err == nil && known {
		c.live, err = scanned(c.t.query(`SELECT `+columns+` FROM villapay_payment
			WHERE scope = ? AND orderid = ? AND state IN ('sending', 'unknown', 'awaiting', 'paid') ORDER BY id DESC`, c.req.Scope, c.req.OrderID))
	}
	if err != nil || !c.req.KeyGiven {
		return err
	}
	c.given, err = one(c.t.query(`SELECT `+columns+` FROM villapay_payment WHERE scope = ? AND idem_key = ?`, c.req.Scope, c.req.Key))
	if g := c.given; g != nil {
		same := g.OrderID == c.req.OrderID && g.Source == c.req.Source
		if !same || c.req.New {
			c.refused = &KeyUsedError{Key: g.Key, OrderID: g.OrderID, Source: g.Source, New: same}
		}
	}
	return err
}

func (c *claiming) find(matches func(*row) bool) *row {
	if i := slices.IndexFunc(c.live, matches); i >= 0 {
		return c.live[i]
	}
	return nil
}

// open tells whether a payment's code could be shown and paid.
func (c *claiming) open(r *row) bool {
	return r.State == Awaiting && r.ReplacedBy == "" && !r.Lapsed(c.t.now)
}

// meet decides about the payment that holds the order's slot.
func (c *claiming) meet(holder *row) error {
	switch {
	case holder.Lapsed(c.t.now):
		if err := c.free(holder, "", event{kind: "lapsed", note: "expired; its place was given to another payment"}); err != nil {
			return err
		}
		return c.send()
	case holder.State != Awaiting && holder.State != Paid && c.l.alive(holder, c.t.now):
		return c.busy(holder)
	case c.req.New:
		replaced := holder.at(c.t.now)
		replaced.ReplacedBy = c.req.Key
		c.result.Replaced = &replaced
		if err := c.free(holder, c.req.Key, event{kind: "replaced", note: "by the payment with key " + c.req.Key}); err != nil {
			return err
		}
		return c.send()
	case holder.State == Awaiting:
		return c.replay(holder)
	}
	return c.takeOver(holder)
}

// resume goes on with a payment that has no order.
func (c *claiming) resume(r *row) error {
	if c.l.alive(r, c.t.now) {
		return c.busy(r)
	}
	return c.takeOver(r)
}

func (c *claiming) busy(r *row) error {
	c.result = Claim{Verdict: Busy, Payment: r.Payment, Number: r.claim, Holder: r.holder}
	return nil
}

func (c *claiming) replay(r *row) error {
	c.result = Claim{Verdict: Replay, Payment: r.at(c.t.now), Number: r.claim}
	if r.State != Paid {
		c.result.Others = c.others(r)
	}
	return nil
}

// others are the order's other payments that are paid, or could be, or soon.
func (c *claiming) others(but *row) (others []Payment) {
	for _, r := range c.live {
		replacedNow := c.result.Replaced != nil && c.result.Replaced.ID == r.ID
		if r.ID == but.ID || replacedNow {
			continue
		}
		if r.State == Paid || r.State == Awaiting && !r.Lapsed(c.t.now) || r.State == Sending && r.Source != c.req.Source {
			others = append(others, r.Payment)
		}
	}
	return others
}

// free takes the slot from a payment.
func (c *claiming) free(r *row, replacedBy string, e event) error {
	_, err := c.t.exec(`UPDATE villapay_payment SET slot = 0, replaced_by = ? WHERE id = ?`, replacedBy, r.ID)
	if err != nil {
		return err
	}
	return c.l.note(c.t, r.ID, e)
}

// send makes a new payment, or tries a rejected one again whose key was given.
func (c *claiming) send() error {
	if c.given != nil {
		c.given.slot = true
		return c.claim(c.given, event{kind: "claimed", note: "again, after it was rejected"})
	}
	r := &row{Payment: Payment{
		Scope: c.req.Scope, Env: c.req.Env, OrderID: c.req.OrderID, Source: c.req.Source, Key: c.req.Key,
		RecordedAt: c.t.now,
	}, slot: true}
	return c.claim(r, event{kind: "claimed"})
}

// takeOver claims a payment whose claim has ended without an order. Whoever
// held it may have sent the request.
func (c *claiming) takeOver(r *row) error {
	note := "after an unknown outcome"
	if r.State == Sending {
		note = "from " + r.holder + ", which has gone silent"
		if c.l.mine.died(r.owner) {
			note = "from " + r.holder + ", which has ended"
		}
	}
	r.ambiguous = true
	return c.claim(r, event{kind: "taken over", note: note})
}

// claim writes the next claim on a payment.
func (c *claiming) claim(r *row, e event) error {
	r.State, r.Error = Sending, nil
	r.claim, r.owner, r.holder, r.lease = r.claim+1, c.owner, c.l.actor, toMillis(c.t.now.Add(leaseFor))
	r.KnownAt, r.KnownFrom = c.t.now, FromLedger
	write := c.update
	if r.ID == 0 {
		write = c.insert
	}
	if err := write(r); err != nil {
		return err
	}
	c.result = Claim{
		Verdict: Claimed, Payment: r.Payment, Number: r.claim, Resumed: r.ambiguous,
		Replaced: c.result.Replaced, Others: c.others(r),
	}
	return c.l.note(c.t, r.ID, e)
}

func (c *claiming) update(r *row) error {
	_, err := c.t.exec(`UPDATE villapay_payment SET state = ?, error = '', slot = ?, claim = ?, owner = ?, holder = ?, lease = ?, ambiguous = ?, known_at = ?, known_from = ? WHERE id = ?`,
		string(r.State), number(r.slot), r.claim, r.owner, r.holder, r.lease, number(r.ambiguous), toMillis(r.KnownAt), string(r.KnownFrom), r.ID)
	return err
}

func (c *claiming) insert(r *row) error {
	rows, err := c.t.query(`INSERT INTO villapay_payment (scope, env, orderid, source, idem_key, state, attempts, bank_id, amount, currency,
			created_at, expires_at, recorded_at, known_at, known_from, request_id, bank_state, charge_id, paid_at, paid_by,
			replaced_by, warnings, error, slot, claim, owner, holder, lease, ambiguous)
		VALUES (?, ?, ?, ?, ?, ?, 0, '', '', '', 0, 0, ?, ?, ?, '', '', '', 0, '', '', '', '', 1, ?, ?, ?, ?, 0) RETURNING id`,
		r.Scope, r.Env, r.OrderID, string(r.Source), r.Key, string(r.State), toMillis(r.RecordedAt), toMillis(r.KnownAt), string(r.KnownFrom),
		r.claim, r.owner, r.holder, r.lease)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	if rows.Next() {
		if err := rows.Scan(&r.ID); err != nil {
			return err
		}
	}
	return rows.Err()
}
