package ledger

import (
	"cmp"
	"context"
	"slices"

	"github.com/villapay/villapay/internal/order"
)

// ClaimRequest asks what may be done for an order.
type ClaimRequest struct {
	Scope, Env, OrderID string
	Source              order.Source
	Key                 string // for a payment that has to be made: fresh, or the user's
	KeyGiven            bool   // it is the user's
	New                 bool   // make another payment though one is open
	Asked               int64  // what became of the payments up to this ID was asked just now; 0 if of none
	Unconfirmed         bool   // claim nothing yet: say Confirm instead
}

// Verdict says what may be done.
type Verdict int

// The results of a claim.
const (
	Claimed  Verdict = iota + 1 // send, with Payment.Key, and record what comes
	Replay                      // send nothing: Payment is the answer
	Busy                        // somebody else is sending: wait, and claim again
	AskFirst                    // ask what became of the payments up to Newest, and claim again with Asked
	Confirm                     // nothing was claimed: a person has to agree first
)

// Claim is the ledger's decision about a request.
type Claim struct {
	Verdict Verdict
	Payment order.Payment
	Number  int64 // of the claim on the payment, from 1; answers need it
	// Resumed says of Claimed that an earlier attempt may have been carried
	// out, so that only an order resolves the payment.
	Resumed bool
	Holder  string // of Busy: who is sending, such as "user@host pid 123"
	Newest  int64  // of AskFirst

	// Others are the order's other payments that could be paid, now or soon.
	// Replaced is the one that this claim has replaced, as it stood.
	Others   []order.Payment
	Replaced *order.Payment
}

// Claim decides, in one transaction, what may be done for an order. What it
// decides is durable when it returns: after Claimed, a process that dies leaves
// a payment that the next one takes over with the same key.
//
// A Villa order that is known to be paid is replayed, whatever is asked. So is
// the payment that holds the slot of its order and source, unless New replaces
// it: an open one, and one whose charge the bank took back. A user's key always
// finds its payment again: one with an order is replayed, one without is sent
// again. A user's key that belongs to anything else, or that is known and comes
// with New, is a *KeyUsedError.
//
// Errors of the ledger are an *Error; nothing may be sent then.
func (l *Ledger) Claim(ctx context.Context, req ClaimRequest) (Claim, error) {
	var c *claiming
	owner := l.lock.own()
	reads := []statement{req.existing(), heard(req.Scope, req.OrderID), req.mistaken()}
	if req.KeyGiven {
		reads = append(reads, req.given())
	}
	o := opening{why: claimTx, locks: []lockKey{bankOrderKey(req.Scope, req.OrderID), orderKey(req.Scope, req.OrderID)}, reads: reads}
	err := l.store.write(ctx, o, func(t *txn) error {
		c = &claiming{l: l, t: t, req: req, owner: owner}
		return c.decide()
	})
	if err != nil {
		l.lock.keep() // it may be recorded all the same
		return Claim{}, l.wrap(err, "claim order %s", req.OrderID)
	}
	if c.keyUsed != nil {
		return Claim{}, c.keyUsed
	}
	if c.result.Verdict != Busy {
		l.sightings.forget(c.result.Payment.ID)
	}
	return c.result, nil
}

// claiming is one decision in the making.
type claiming struct {
	l     *Ledger
	t     *txn
	req   ClaimRequest
	owner string // this process's lock

	existing  []*row         // the order's payments but for rejected ones, newest first
	elsewhere *order.Payment // paid through another tool
	given     *row           // the payment of the user's key

	result  Claim
	keyUsed *KeyUsedError
}

func (c *claiming) decide() error {
	if err := c.load(); err != nil || c.keyUsed != nil {
		return err
	}
	paid := c.find(func(r *row) bool { return r.State == order.Paid })
	if paid == nil && c.elsewhere != nil && c.elsewhere.State == order.Paid {
		paid = &row{Payment: *c.elsewhere}
	}
	switch {
	case paid != nil && (c.given == nil || c.given.State != order.Paid):
		return c.replay(paid)
	case c.given != nil && c.given.Order != nil:
		return c.replay(c.given)
	}
	holder := c.find(func(r *row) bool { return r.slot && r.Source == c.req.Source })
	if g := c.given; g != nil && !g.slot && g.State != order.Rejected {
		holder = g // --new has replaced it, and it never got its answer
	}
	switch {
	case holder == nil:
		return c.send(nil, event{})
	case holder.Lapsed(c.t.now):
		return c.send(holder, event{kind: "lapsed", note: "expired; its place was given to another payment"})
	case holder.Order == nil && c.l.alive(holder, c.t.now):
		c.result = Claim{Verdict: Busy, Payment: holder.Payment, Number: holder.claim, Holder: holder.holder}
		return nil
	case c.req.New:
		return c.send(holder, event{kind: "replaced", note: "by the payment with key " + c.req.Key})
	case holder.Order != nil:
		return c.replay(holder)
	}
	return c.takeOver(holder)
}

// existing asks for the order's payments, and given for that of the key.

func (r *ClaimRequest) existing() statement {
	return statement{selected + `WHERE scope = ? AND orderid = ? AND state <> 'rejected' ORDER BY id DESC`, []any{r.Scope, r.OrderID}}
}

// mistaken asks for the Villa orders whose answers named this one as if it were a bank
// order.
func (r *ClaimRequest) mistaken() statement {
	return statement{
		`SELECT orderid FROM villapay_report WHERE scope = ? AND bank_id = ? AND bank_id <> ''
		UNION SELECT orderid FROM villapay_report WHERE scope = ? AND reference = ? AND reference <> ''`,
		[]any{r.Scope, r.OrderID, r.Scope, r.OrderID},
	}
}

func (r *ClaimRequest) given() statement {
	return statement{selected + `WHERE scope = ? AND idem_key = ?`, []any{r.Scope, r.Key}}
}

// load reads the order's existing payments, and that of the user's key.
func (c *claiming) load() (err error) {
	c.existing, err = scanned(c.t.ask(c.req.existing()))
	if err == nil {
		c.elsewhere, err = c.l.elsewhere(c.t, c.req.Scope, c.req.OrderID)
	}
	if err != nil || !c.req.KeyGiven {
		return err
	}
	c.given, err = one(c.t.ask(c.req.given()))
	if g := c.given; g != nil {
		same := g.OrderID == c.req.OrderID && g.Source == c.req.Source
		if !same || c.req.New {
			c.keyUsed = &KeyUsedError{Key: g.Key, OrderID: g.OrderID, Source: g.Source, New: same}
		}
	}
	return err
}

func (c *claiming) find(matches func(*row) bool) *row {
	if i := slices.IndexFunc(c.existing, matches); i >= 0 {
		return c.existing[i]
	}
	return nil
}

func (c *claiming) replay(r *row) error {
	c.result = Claim{Verdict: Replay, Payment: r.At(c.t.now), Number: r.claim}
	if r.State != order.Paid {
		c.result.Others = c.others(r)
	}
	return nil
}

// others are the order's other payments that could be paid, now or soon.
func (c *claiming) others(but *row) (others []order.Payment) {
	for _, r := range c.existing {
		if r.ID == but.ID || c.result.Replaced != nil && c.result.Replaced.ID == r.ID {
			continue
		}
		if r.MayBePaid(c.t.now) || r.State == order.Sending && r.Source != c.req.Source {
			others = append(others, r.At(c.t.now))
		}
	}
	return others
}

// send makes a new payment, or tries a rejected one again whose key was given.
// It takes the slot from its holder, if there is one. Before another order is made
// for a Villa order that has an earlier one, what became of that has to be asked.
func (c *claiming) send(holder *row, why event) error {
	earlier := c.find(func(r *row) bool {
		return r.Order != nil && (r == holder || r.ReplacedBy != "" || r.State != order.Awaiting || r.Lapsed(c.t.now))
	})
	if earlier != nil && earlier.ID > c.req.Asked {
		c.result = Claim{Verdict: AskFirst, Payment: cmp.Or(holder, earlier).At(c.t.now), Newest: earlier.ID}
		return nil
	}
	if c.req.Unconfirmed {
		c.result = Claim{Verdict: Confirm}
		return nil
	}
	if holder != nil {
		if why.kind == "replaced" {
			replaced := holder.At(c.t.now)
			replaced.ReplacedBy = c.req.Key
			c.result.Replaced = &replaced
		}
		// Also one that has lapsed is never drawn again: the clock may have been wrong.
		if err := c.t.exec(`UPDATE villapay_payment SET slot = 0, replaced_by = ? WHERE id = ?`, c.req.Key, holder.ID); err != nil {
			return err
		}
		if err := c.l.note(c.t, holder.ID, why); err != nil {
			return err
		}
	}
	if c.given != nil {
		c.given.slot = true
		return c.claim(c.given, event{kind: "claimed", note: "again, after it was rejected"})
	}
	return c.claim(&row{Payment: order.Payment{
		Scope: c.req.Scope, Env: c.req.Env, OrderID: c.req.OrderID, Source: c.req.Source, Key: c.req.Key,
		RecordedAt: c.t.now,
	}, slot: true}, event{kind: "claimed"})
}

// takeOver claims a payment whose claim has ended without an order. Whoever
// held it may have sent the request.
func (c *claiming) takeOver(r *row) error {
	if c.req.Unconfirmed {
		c.result = Claim{Verdict: Confirm}
		return nil
	}
	note := "after an unknown outcome"
	if r.State == order.Sending {
		note = "from " + r.holder + ", which stopped renewing its claim"
		if c.l.lock.died(r.owner) {
			note = "from " + r.holder + ", which has ended"
		}
	}
	r.ambiguous = true
	return c.claim(r, event{kind: "taken over", note: note})
}

// claim writes the next claim on a payment.
func (c *claiming) claim(r *row, e event) error {
	r.State, r.Error = order.Sending, nil
	r.claim, r.owner, r.holder, r.lease = r.claim+1, c.owner, c.l.actor, toMillis(c.t.now.Add(leaseFor))
	r.KnownAt, r.KnownFrom = c.t.now, order.FromLedger
	write := c.update
	if r.ID == 0 {
		write = c.insert
	}
	if err := write(r, e); err != nil {
		return err
	}
	c.result = Claim{
		Verdict: Claimed, Payment: r.Payment, Number: r.claim, Resumed: r.ambiguous,
		Replaced: c.result.Replaced, Others: c.others(r),
	}
	return nil
}

func (c *claiming) update(r *row, e event) error {
	if err := c.t.exec(`UPDATE villapay_payment SET state = ?, error = '', slot = ?, claim = ?, owner = ?, holder = ?, lease = ?, ambiguous = ?, known_at = ?, known_from = ? WHERE id = ?`,
		string(r.State), number(r.slot), r.claim, r.owner, r.holder, r.lease, number(r.ambiguous), toMillis(r.KnownAt), string(r.KnownFrom), r.ID); err != nil {
		return err
	}
	return c.l.note(c.t, r.ID, e)
}

func (c *claiming) insert(r *row, e event) error {
	err := c.t.exec(`INSERT INTO villapay_payment (scope, env, orderid, source, idem_key, state, attempts, bank_id, amount, currency,
			created_at, expires_at, recorded_at, known_at, known_from, request_id, bank_state, charge_id, paid_at, paid_by,
			replaced_by, warnings, error, slot, claim, owner, holder, lease, ambiguous)
		VALUES (?, ?, ?, ?, ?, ?, 0, '', '', '', 0, 0, ?, ?, ?, '', '', '', 0, '', '', '', '', 1, ?, ?, ?, ?, 0)`,
		r.Scope, r.Env, r.OrderID, string(r.Source), r.Key, string(r.State), toMillis(r.RecordedAt), toMillis(r.KnownAt), string(r.KnownFrom),
		r.claim, r.owner, r.holder, r.lease)
	const id = `SELECT id FROM villapay_payment WHERE scope = ? AND idem_key = ?`
	if err == nil {
		err = c.l.append(c.t, e, `(`+id+`)`, r.Scope, r.Key)
	}
	if err == nil {
		r.ID, err = scalar[int64](c.t.query(id, r.Scope, r.Key))
	}
	var mistaken []string
	if err == nil {
		mistaken, err = texts(c.t.ask(c.req.mistaken()))
	}
	if err != nil {
		return err
	}
	villas := set{} // what was said about them may prove nothing, now that this one is known
	villas.add(mistaken...)
	_, err = c.l.resolveAll(c.t, r.Scope, villas, source{})
	return err
}
