package ledger

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/villapay/villapay/internal/api"
)

// Rank says how far a charge has come. A charge only moves up.
type Rank int

// The ranks, from DESIGN 4. Unranked is a transaction_state that nobody has
// explained: it is kept as it came and moves nothing.
const (
	Unranked Rank = iota
	Initialised
	Declined
	Authorised
	Settled
	Undone // voided or reversed
	Repaid // refunded
)

// Transaction is the one table of transaction_state values (kbank.md, the bank's
// own typo included), read without regard to case. ok is false for values that
// are not in it.
func Transaction(state string) (rank Rank, ok bool) {
	switch word := strings.ToLower(strings.TrimSpace(state)); word {
	case "initialize", "pre-authorized":
		return Initialised, true
	case "declined":
		return Declined, true
	case "authorized", "auhtorized":
		return Authorised, true
	case "settled":
		return Settled, true
	case "reversed", "voided", "void":
		return Undone, true
	default:
		if strings.HasPrefix(word, "refund") {
			return Repaid, true
		}
	}
	return Unranked, false
}

// StateOf says what a charge's transaction_state alone makes of its payment. ok
// is false where it leaves the payment as it was: a declined order can still be
// paid until it expires.
func StateOf(transactionState string) (state State, ok bool) {
	rank, _ := Transaction(transactionState)
	switch rank {
	case Authorised, Settled:
		return Paid, true
	case Repaid:
		return Refunded, true
	case Undone:
		if strings.EqualFold(strings.TrimSpace(transactionState), "reversed") {
			return Failed, true
		}
		return Cancelled, true
	case Unranked, Initialised, Declined:
	}
	return "", false
}

// What proves that a payment is paid: Payment.PaidBy and Charge.PaidBy.
const (
	ByTransactionState = "transaction_state" // a charge's transaction_state
	// ByStatusPaid is a bare word of a status endpoint whose owner says that it
	// means paid (status_paid): a charge without a transaction_state that counts
	// as authorised, whatever its Status is.
	ByStatusPaid = "status_paid"
)

func (c *Charge) rank() Rank {
	if c.PaidBy == ByStatusPaid && c.TransactionState == "" {
		return Authorised
	}
	rank, _ := Transaction(c.TransactionState)
	return rank
}

func (c *Charge) state() (State, bool) {
	if c.PaidBy == ByStatusPaid && c.TransactionState == "" {
		return Paid, true
	}
	return StateOf(c.TransactionState)
}

// Alone says what the charge makes of a payment whose order is not recorded, so
// that there is nothing to hold it against; "" is nothing. The warning says why
// it does not count.
func (c *Charge) Alone() (State, *Warning) {
	if warning := c.contradiction(); warning != nil {
		return "", warning
	}
	state, _ := c.state()
	return state, nil
}

// Reversal is why a payment failed whose charge the bank took back.
func (c *Charge) Reversal() *Failure {
	return &Failure{Code: "reversed", Message: "the bank reversed " + c.name()}
}

// contradiction tells of a charge that is paid by its transaction_state and not
// by its status.
func (c *Charge) contradiction() *Warning {
	rank := c.rank()
	if rank != Authorised && rank != Settled || c.PaidBy == ByStatusPaid || strings.EqualFold(c.Status, "success") {
		return nil
	}
	return doubt(c, warnStatus, "it says %q, but its status is %q, not success", c.TransactionState, c.Status)
}

// report is something that was said of a charge, and when it was received.
type report struct {
	Charge
	at time.Time
}

// bankOrder is what reports are held against: the order that was recorded.
type bankOrder struct {
	amount   api.Amount
	currency string
	livemode *bool
}

// Codes of the warnings that charges give rise to.
const (
	warnStatus   = "charge_status"
	warnAmount   = "charge_amount"
	warnCurrency = "charge_currency"
	warnLivemode = "charge_livemode"
	warnPartial  = "partial_refund"
	warnTwice    = "paid_twice"
	warnShared   = "shared_order"
)

// counts tells whether a report may move its charge, and what is to be warned
// of. Only a notification's checksum stands behind a report, and it covers
// neither the order nor livemode: so all of it has to fit the recorded order.
func (o *bankOrder) counts(r *report) (bool, *Warning) {
	if warning := r.contradiction(); warning != nil {
		return false, warning
	}
	switch {
	case !strings.EqualFold(r.Currency, o.currency) || r.Currency == "":
		return false, doubt(&r.Charge, warnCurrency, "it is in %s, the order in %s", orNone(r.Currency), orNone(o.currency))
	case r.Livemode != nil && o.livemode != nil && *r.Livemode != *o.livemode:
		return false, doubt(&r.Charge, warnLivemode, "its livemode is %t, the order's %t", *r.Livemode, *o.livemode)
	case r.rank() == Repaid && r.Amount.Less(o.amount):
		return false, &Warning{warnPartial, fmt.Sprintf("%s %s of the order's %s were refunded on %s; the rest stays paid", r.Amount, r.Currency, o.amount, r.name())}
	case !r.Amount.Equal(o.amount):
		return false, doubt(&r.Charge, warnAmount, "it is over %s, the order over %s", orNone(r.Amount.String()), orNone(o.amount.String()))
	}
	return true, nil
}

func doubt(c *Charge, code, format string, args ...any) *Warning {
	return &Warning{Code: code, Message: c.name() + " does not count as it stands: " + fmt.Sprintf(format, args...)}
}

func (c *Charge) name() string {
	if c.ID == "" {
		return "a charge without id"
	}
	return "charge " + c.ID
}

func orNone(text string) string {
	if text == "" {
		return "nothing"
	}
	return text
}

// standing is where one charge stands.
type standing struct {
	id    string
	best  *report // the report that has come furthest
	proof *report // the first received that proves paid; nil where none does
}

// add moves the charge by a report that counts. Reports come sorted, so that of
// equals always the same one is best.
func (s *standing) add(r *report) {
	if s.best == nil || r.rank() >= s.best.rank() {
		s.best = r
	}
	if state, ok := r.state(); ok && state == Paid && (s.proof == nil || r.at.Before(s.proof.at)) {
		s.proof = r
	}
}

// weigh computes where the charges of one bank order stand from all that was
// said of them. The order in which that arrived does not matter.
func (o *bankOrder) weigh(reports []*report) (charges []*standing, warnings []Warning) {
	slices.SortFunc(reports, func(a, b *report) int {
		return cmp.Or(strings.Compare(a.ID, b.ID), strings.Compare(strings.ToLower(a.TransactionState), strings.ToLower(b.TransactionState)),
			strings.Compare(a.Status, b.Status), strings.Compare(a.Amount.String(), b.Amount.String()),
			strings.Compare(a.Currency, b.Currency), strings.Compare(a.PaidBy, b.PaidBy))
	})
	var nameless []*report
	for _, r := range reports {
		ok, warning := o.counts(r)
		if warning != nil && !slices.Contains(warnings, *warning) {
			warnings = append(warnings, *warning)
		}
		switch {
		case !ok:
		case r.ID == "":
			nameless = append(nameless, r)
		default:
			if len(charges) == 0 || charges[len(charges)-1].id != r.ID {
				charges = append(charges, &standing{id: r.ID})
			}
			charges[len(charges)-1].add(r)
		}
	}
	if len(nameless) == 0 {
		return charges, warnings
	}
	// A status endpoint may not name the charge that it speaks of. It is the
	// one that has come furthest, or the only one there is: never one more.
	target := furthest(charges)
	if target == nil {
		target = &standing{}
		charges = append(charges, target)
	}
	for _, r := range nameless {
		target.add(r)
	}
	return charges, warnings
}

func furthest(charges []*standing) (top *standing) {
	for _, s := range charges {
		if top == nil || s.best.rank() > top.best.rank() {
			top = s
		}
	}
	return top
}

func (s *standing) paid() bool {
	state, ok := s.best.state()
	return ok && state == Paid
}

// decide picks the charge that decides about the payment: the paid one whose
// proof came first; else the one that has come furthest. nil where none counts.
func decide(charges []*standing) (deciding *standing) {
	for _, s := range charges {
		if s.paid() && (deciding == nil || s.proof.at.Before(deciding.proof.at)) {
			deciding = s
		}
	}
	if deciding == nil {
		deciding = furthest(charges)
	}
	return deciding
}
