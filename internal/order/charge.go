package order

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// charge is what is known of one charge of the Villa order.
type charge struct {
	id    string    // "" for an anonymous one
	bank  string    // the bank order that it is said to be on; "" if nobody has named it
	order *Payment  // the payment with that order, or the newest fitting one; nil if nobody recorded it
	heard []*Report // what counts for it

	best     *Report // that came furthest
	proofs   []*Report
	warnings []Warning
}

func (c *charge) rank() Rank {
	if c.best == nil {
		return Unranked
	}
	return c.best.rank()
}

func (c *charge) everPaid() bool { return len(c.proofs) > 0 }

// update finds how far a charge has come: what applies of what was heard.
func (v *resolution) update(c *charge) {
	if c.bank == "" {
		c.order = v.newestFitting(c.heard)
	}
	c.best, c.proofs, c.warnings = nil, nil, nil
	for _, r := range c.heard {
		ok, warning := applies(r, c.order)
		if whole := c.larger(r); c.order == nil && r.rank() == RefundedInFull && whole != nil {
			ok, warning = false, partialRefund(r, whole.Amount, whole.Currency)
		}
		if warning != nil {
			c.warnings = append(c.warnings, *warning)
		}
		if !ok {
			continue
		}
		if c.best == nil || compareReports(r, c.best) > 0 {
			c.best = r
		}
		if r.rank().paid() {
			c.proofs = append(c.proofs, r)
		}
	}
}

// larger is what says that more was paid than a report is over; nil if nothing that
// applies does.
func (c *charge) larger(than *Report) (best *Report) {
	for _, r := range c.heard {
		if ok, _ := applies(r, c.order); ok && r.rank().paid() && than.Amount.Less(r.Amount) && (best == nil || compareReports(r, best) > 0) {
			best = r
		}
	}
	return best
}

// compareReports orders reports by how far they have come, so that of equals
// always the same one is best.
func compareReports(a, b *Report) int {
	return cmp.Or(cmp.Compare(a.rank(), b.rank()), strings.Compare(a.TransactionState, b.TransactionState),
		strings.Compare(a.Amount.String(), b.Amount.String()), strings.Compare(a.Currency, b.Currency), strings.Compare(string(a.From), string(b.From)),
		b.Received.Compare(a.Received))
}

// decide picks the charge that decides about a payment: the paid one that was
// paid first, else the furthest of those that were ever paid, else the furthest.
func decide(charges []*charge) (deciding *charge) {
	for _, c := range charges {
		if c.best != nil && (deciding == nil || compareCharges(c, deciding) > 0) {
			deciding = c
		}
	}
	return deciding
}

func compareCharges(a, b *charge) int {
	if order := compareBool(a.rank().paid(), b.rank().paid()); order != 0 || !a.rank().paid() {
		return cmp.Or(order, compareBool(a.everPaid(), b.everPaid()), cmp.Compare(a.rank(), b.rank()), -strings.Compare(a.id, b.id))
	}
	atA, _ := a.paidAt()
	atB, _ := b.paidAt()
	return cmp.Or(-atA.Compare(atB), -strings.Compare(a.id, b.id))
}

// paidAt is when the charge says that it was paid, the API's or the bank's word
// first, else when that became known.
func (c *charge) paidAt() (at time.Time, from string) {
	for _, trusted := range []bool{true, false} {
		for _, r := range c.proofs {
			if r.trusted() == trusted && !r.Created.IsZero() && (at.IsZero() || r.Created.Before(at)) {
				at, from = r.Created, AtBank
			}
		}
		if from == AtBank {
			return at, from
		}
	}
	for _, r := range c.proofs {
		if at.IsZero() || r.Received.Before(at) {
			at, from = r.Received, AtKnown
		}
	}
	return at, from
}

// paidBy is what proved that the charge is paid.
func (c *charge) paidBy() string {
	if slices.ContainsFunc(c.proofs, func(r *Report) bool { return r.PaidBy != ByStatusPaid }) {
		return ByTransactionState
	}
	return ByStatusPaid
}

// update brings a payment to where its charges say it is.
func (p *Payment) update(charges []*charge, stray []Warning) {
	found := slices.Clone(stray)
	for _, c := range charges {
		found = append(found, c.warnings...)
	}
	slices.SortFunc(found, func(a, b Warning) int { return strings.Compare(a.Code+a.Message, b.Code+b.Message) })
	p.Warnings = slices.Concat(slices.DeleteFunc(slices.Clone(p.Warnings), computed), slices.Compact(found))
	p.BankState, p.ChargeID, p.PaidAt, p.PaidAtFrom, p.PaidBy = "", "", time.Time{}, "", ""
	p.State, p.Error = p.initialState()
	deciding := decide(charges)
	if deciding == nil {
		return
	}
	for _, c := range charges {
		if c != deciding && c.rank() > Settled && !c.everPaid() && deciding.everPaid() {
			p.Warnings = append(p.Warnings, Warning{warnNeverPaid, fmt.Sprintf("%s was taken back (%s), but was never known to be paid", c.best.name(), c.best.TransactionState)})
		}
	}
	if returned := returnedOfSeveral(charges); returned != "" {
		p.Warnings = append(p.Warnings, Warning{warnReturned, "it was paid more than once, and given back: " + returned})
	}
	p.BankState, p.ChargeID = deciding.best.TransactionState, deciding.id
	if deciding.everPaid() {
		p.PaidAt, p.PaidAtFrom = deciding.paidAt()
		p.PaidBy = deciding.paidBy()
	}
	state := deciding.rank().state()
	if state == "" {
		return
	}
	p.State, p.Error = state, nil
	if state == Failed {
		p.Error = &Failure{Code: "reversed", Message: "the bank reversed " + deciding.best.name()}
	}
	p.Warnings = slices.DeleteFunc(p.Warnings, Warning.AboutStatus)
}

// returnedOfSeveral names the charges that were given back, if more than one was ever
// paid.
func returnedOfSeveral(charges []*charge) string {
	var returned []string
	paid := 0
	for _, c := range charges {
		if c.id == "" || !c.everPaid() {
			continue
		}
		if paid++; c.rank() == Voided || c.rank() == RefundedInFull {
			returned = append(returned, c.id)
		}
	}
	if paid < 2 {
		return ""
	}
	return strings.Join(returned, ", ")
}

// initialState returns the state that an order gives its payment by itself, and its cancellation.
func (p *Payment) initialState() (State, *Failure) {
	if p.Canceled {
		return Cancelled, nil
	}
	o, err := Decode(p.Order)
	if err != nil {
		return Awaiting, nil
	}
	state, failure := o.initialState()
	if failure != nil && p.Error != nil && p.Error.Code == failure.Code {
		failure.RequestID = p.Error.RequestID
	}
	return state, failure
}
