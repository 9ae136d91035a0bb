package ledger

import (
	"slices"
	"strings"
	"time"

	"github.com/villapay/villapay/internal/api"
)

// learned says how the state of payments came to be known.
type learned struct {
	bankID    string // of the payments with this bank order; "" = from what was received before
	origin    Origin
	requestID string
	asked     bool // the API was asked just now, so it is known as of now even where nothing changed
}

// outcome is what an assessment did to one payment.
type outcome struct {
	row      *row
	changed  bool      // its state
	warnings []Warning // new ones
}

// assessAll assesses the Villa orders of some payments, and returns the outcome
// for each of their payments.
func (l *Ledger) assessAll(t *txn, payments []*row, found learned) (map[int64]outcome, error) {
	all := map[int64]outcome{}
	for _, r := range payments {
		if _, done := all[r.ID]; done {
			continue
		}
		if err := l.assess(t, r.Scope, r.OrderID, found, all); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// assess computes from everything that was said of a Villa order's charges what
// its payments are, and writes what is new.
func (l *Ledger) assess(t *txn, scope, orderID string, found learned, all map[int64]outcome) error {
	if err := t.lock(orderKey(scope, orderID)); err != nil {
		return err
	}
	payments, err := scanned(t.query(`SELECT `+columns+` FROM villapay_payment WHERE scope = ? AND orderid = ? AND bank_id <> '' ORDER BY id`, scope, orderID))
	if err != nil {
		return err
	}
	verdicts, err := t.verdicts(scope, orderID, payments)
	if err != nil {
		return err
	}
	for i, r := range payments {
		if all[r.ID], err = l.follow(t, r, verdicts[i], found); err != nil {
			return err
		}
	}
	return nil
}

// verdict is what the charges of a payment's bank order make of it.
type verdict struct {
	charges  []*standing
	deciding *standing // nil where no charge counts
	warnings []Warning
}

func (t *txn) verdicts(scope, orderID string, payments []*row) ([]verdict, error) {
	const ofOrder = `IN (SELECT bank_id FROM villapay_payment WHERE scope = ? AND orderid = ? AND bank_id <> '')`
	reports, err := t.reports(scope, ofOrder, scope, orderID)
	if err != nil {
		return nil, err
	}
	rows, err := t.query(`SELECT bank_id FROM villapay_payment WHERE scope = ? AND bank_id `+ofOrder+` AND bank_id <> '' AND orderid <> ?`, scope, scope, orderID, orderID)
	if err != nil {
		return nil, err
	}
	shared, err := texts(rows)
	if err != nil {
		return nil, err
	}
	verdicts := weighAll(payments, reports)
	var paid []string // every paid charge of the Villa order, once
	paysFor := make([]bool, len(payments))
	for i, r := range payments {
		if slices.Contains(shared, r.BankID) {
			verdicts[i].warnings = append(verdicts[i].warnings, Warning{warnShared, "another Villa order got the same bank order " + r.BankID + ": one payment must not pay for both"})
		}
		for _, s := range verdicts[i].charges {
			if name := s.name(r.BankID); s.paid() {
				paysFor[i] = true
				if !slices.Contains(paid, name) {
					paid = append(paid, name)
				}
			}
		}
	}
	if len(paid) > 1 {
		slices.Sort(paid)
		twice := Warning{warnTwice, "order " + orderID + " was paid more than once: " + strings.Join(paid, ", ")}
		for i := range verdicts {
			if paysFor[i] {
				verdicts[i].warnings = append(verdicts[i].warnings, twice)
			}
		}
	}
	return verdicts, nil
}

// weighAll weighs what was said of each payment's bank order. Where a charge is
// known by name to be paid, guesses about the others are left out: they were
// about that one, and must not count as one more. So are those that came before
// it was voided or paid back; later ones are about something else.
func weighAll(payments []*row, reports []*report) []verdict {
	weigh := func(left func(*report) bool) (all []verdict) {
		for _, r := range payments {
			own := slices.DeleteFunc(slices.Clone(reports), func(c *report) bool { return c.BankID != r.BankID || left(c) })
			charges, warnings := r.bankOrder().weigh(own)
			all = append(all, verdict{charges, decide(charges), warnings})
		}
		return all
	}
	guessed := func(c *report) bool { return c.Guessed }
	all := weigh(guessed)
	if !slices.ContainsFunc(reports, guessed) {
		return all
	}
	ended := map[string]time.Time{} // when such a charge of a bank order ended; zero = it is paid
	for i, v := range all {
		for _, s := range v.charges {
			if s.id == "" || s.best.rank() < Authorised {
				continue
			}
			at := s.best.at
			if s.paid() {
				at = time.Time{}
			}
			if before, known := ended[payments[i].BankID]; !known || !before.IsZero() && (at.IsZero() || at.After(before)) {
				ended[payments[i].BankID] = at
			}
		}
	}
	return weigh(func(c *report) bool {
		if _, known := ended[c.BankID]; known || !c.Guessed {
			return false
		}
		for _, at := range ended {
			if at.IsZero() || !c.at.After(at) {
				return true
			}
		}
		return false
	})
}

// name tells charges of a Villa order apart. All guesses about it are one.
func (s *standing) name(bankID string) string {
	if s.id == "" && s.best.Guessed {
		return "a charge"
	}
	if s.id == "" {
		return "a charge on " + bankID
	}
	return s.id
}

// bankOrder is the order that charges of a payment are held against.
func (r *row) bankOrder() *bankOrder {
	o := &bankOrder{amount: r.Amount, currency: r.Currency}
	if order, err := api.DecodeOrder(r.Order); err == nil {
		o.livemode = order.Livemode
	}
	return o
}

// derived tells whether a warning is computed anew with each assessment.
func derived(w Warning) bool {
	switch w.Code {
	case warnStatus, warnAmount, warnCurrency, warnLivemode, warnPartial, warnTwice, warnShared:
		return true
	}
	return false
}

// follow brings a payment to where its charges say it is.
func (l *Ledger) follow(t *txn, r *row, v verdict, found learned) (outcome, error) {
	before := r.Payment
	r.follow(v)
	out := outcome{row: r, changed: r.State != before.State}
	for _, w := range r.Warnings {
		if !slices.Contains(before.Warnings, w) {
			out.warnings = append(out.warnings, w)
		}
	}
	moved := out.changed || r.BankState != before.BankState || r.ChargeID != before.ChargeID || r.PaidBy != before.PaidBy || !r.PaidAt.Equal(before.PaidAt)
	asked := found.asked && found.bankID == r.BankID
	if !moved && !asked && slices.Equal(r.Warnings, before.Warnings) {
		return out, nil
	}
	if moved || asked {
		r.KnownAt, r.KnownFrom = t.now, v.origin(found.origin)
		if found.requestID != "" {
			r.RequestID = found.requestID
		}
	}
	_, err := t.exec(`UPDATE villapay_payment SET state = ?, slot = ?, bank_state = ?, charge_id = ?, paid_at = ?, paid_by = ?, warnings = ?,
			known_at = ?, known_from = ?, request_id = ? WHERE id = ?`,
		string(r.State), number(r.slot), r.BankState, r.ChargeID, toMillis(r.PaidAt), r.PaidBy, r.encodedWarnings(),
		toMillis(r.KnownAt), string(r.KnownFrom), r.RequestID, r.ID)
	for _, w := range out.warnings {
		if err == nil {
			err = l.note(t, r.ID, event{kind: "warning", note: w.Code + ": " + w.Message})
		}
	}
	return out, err
}

// origin is where a state is known from that was not heard of just now.
func (v *verdict) origin(heard Origin) Origin {
	if heard == "" && v.deciding != nil {
		return v.deciding.best.From
	}
	return heard
}

// follow sets the fields that charges decide about.
func (r *row) follow(v verdict) {
	state, decided := State(""), false
	if v.deciding != nil {
		state, decided = v.deciding.best.state()
	}
	own := func(w Warning) bool { return !derived(w) && (!decided || !aboutStatus(w)) }
	r.Warnings = slices.Concat(filter(r.Warnings, own), v.warnings)
	r.BankState, r.ChargeID, r.PaidAt, r.PaidBy = "", "", time.Time{}, ""
	if !decided { // any more, if it was a guess that decided
		r.State, r.Error = r.asMade()
	}
	if v.deciding == nil {
		return
	}
	r.BankState, r.ChargeID = v.deciding.best.TransactionState, v.deciding.id
	if proof := v.deciding.proof; proof != nil {
		r.PaidAt, r.PaidBy = proof.at, proof.PaidBy
	}
	if decided {
		r.State, r.slot = state, r.slot && state == Paid
		r.giveReason()
	}
}

// asMade is what the order alone makes of its payment.
func (r *row) asMade() (State, *Failure) {
	order, err := api.DecodeOrder(r.Order)
	if err != nil {
		return Awaiting, nil
	}
	var made Payment
	made.Answered(order, time.Time{})
	return made.State, made.Error
}

// Apply is what a charge makes of a payment that no ledger keeps, by the rules of
// ApplyCharge, as far as this charge alone and the order's own answer tell.
func Apply(p Payment, c Charge, now time.Time) Payment {
	if c.PaidBy == "" {
		c.PaidBy = ByTransactionState
	}
	if c.Guessed {
		c.ID = "" // it may be no charge's
	}
	r := &row{Payment: p}
	r.follow(weighAll([]*row{r}, []*report{{Charge: c, at: now}})[0])
	return r.Payment
}

// filter returns the warnings that keep is true of.
func filter(all []Warning, keep func(Warning) bool) (kept []Warning) {
	for _, w := range all {
		if keep(w) {
			kept = append(kept, w)
		}
	}
	return kept
}
