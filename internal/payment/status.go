package payment

import (
	"context"
	"errors"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/villapay/villapay/internal/api"
	"github.com/villapay/villapay/internal/ledger"
)

// Report is what is known of one Villa order.
type Report struct {
	OrderID string
	Payment ledger.Payment // the paid one if any, else the newest; what Watch follows may be another
	Found   bool           // whether there is any payment at all
	Others  int            // further payments of the order

	NoEndpoint bool   // the API has no status endpoint: only the ledger speaks
	NoOrder    bool   // the API was asked and does not know the order
	OnlyWord   string // all that the API says of an order that nothing is known of; it proves nothing
	Err        error  // asking the API failed; Payment is what the ledger knows
}

// asking at once is polite enough for a hundred orders and quick enough.
const askAtOnce = 8

// Statuses tells of several orders, asked in parallel and answered in the order
// given. ask says whether to ask the API at all. An error is the ledger's.
func (s *Service) Statuses(ctx context.Context, orderIDs []string, ask bool) ([]Report, error) {
	reports := make([]Report, len(orderIDs))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(askAtOnce)
	for i, id := range orderIDs {
		group.Go(func() (err error) {
			reports[i], err = s.Status(ctx, id, ask)
			return err
		})
	}
	return reports, group.Wait()
}

// Status tells what is known of an order now: it asks the API where there is a
// status endpoint, records the answer, and falls back on the ledger.
func (s *Service) Status(ctx context.Context, orderID string, ask bool) (Report, error) {
	report := Report{OrderID: orderID, NoEndpoint: s.StatusPath == ""}
	known, err := s.payments(ctx, orderID)
	if err == nil && ask && !report.NoEndpoint {
		known, err = s.askStatus(ctx, orderID, ledger.Payment{}, &report)
	}
	if err != nil {
		return report, err
	}
	report.Payment, report.Found = Chosen(known)
	report.Others = max(0, len(known)-1)
	return report, nil
}

// payments are the order's payments in the ledger, newest first.
func (s *Service) payments(ctx context.Context, orderID string) ([]ledger.Payment, error) {
	if s.Ledger == nil {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, s.Timeout)
	defer cancel()
	return s.Ledger.Payments(ctx, s.Scope, orderID)
}

// Chosen picks the payment that speaks for an order: the paid one if any, else
// the newest. Payments come newest first.
func Chosen(payments []ledger.Payment) (ledger.Payment, bool) {
	for _, p := range payments {
		if p.State == ledger.Paid {
			return p, true
		}
	}
	if len(payments) == 0 {
		return ledger.Payment{}, false
	}
	return payments[0], true
}

// askStatus asks the API, records what it says, and returns the payments as
// they stand then, the newest first. Asking may take all the time there is, and
// a notification may tell meanwhile: the ledger is read after it. Without a
// ledger, own is all that is known of the order.
func (s *Service) askStatus(ctx context.Context, orderID string, own ledger.Payment, report *Report) ([]ledger.Payment, error) {
	var answer api.StatusAnswer
	asking, cancel := context.WithTimeout(ctx, s.Timeout)
	_, failed := s.API.Retry(asking, func(ctx context.Context) (err error) {
		answer, err = s.API.Status(ctx, s.StatusPath, orderID)
		return err
	})
	cancel()
	known, err := s.payments(ctx, orderID)
	if s.Ledger == nil && own.Key != "" {
		known = []ledger.Payment{own}
	}
	switch {
	case err != nil:
		return known, err
	case errors.Is(failed, api.ErrNoRoute):
		report.NoEndpoint = true
		return known, nil
	case errors.Is(failed, api.ErrNoOrder):
		report.NoOrder = true
		return known, nil
	case failed != nil:
		report.Err = failed
		return known, nil
	}
	ctx, cancel = context.WithTimeout(ctx, recordWithin)
	defer cancel()
	if answer.BankID == orderID {
		answer.BankID = "" // it only repeats what it was asked
	}
	target, ok := about(known, answer)
	if !ok {
		return s.keepForeign(ctx, orderID, known, answer, report)
	}
	if s.Ledger == nil {
		return []ledger.Payment{s.unkept(target, answer)}, nil
	}
	if err := s.recordStatus(ctx, target, answer); err != nil {
		return known, err
	}
	return s.payments(ctx, orderID)
}

// about finds the payment that an answer speaks of: the one whose bank order it
// names. Where it names none that is a guess: the paid one, or else one of which
// it says nothing new (an older one's void must not end a newer one), or else the
// newest.
func about(known []ledger.Payment, answer api.StatusAnswer) (ledger.Payment, bool) {
	known = slices.DeleteFunc(slices.Clone(known), func(p ledger.Payment) bool {
		return p.BankID == "" || answer.BankID != "" && p.BankID != answer.BankID
	})
	chosen, ok := Chosen(known)
	if answer.BankID == "" && answer.TransactionState != "" && chosen.State != ledger.Paid {
		for _, p := range known {
			if strings.EqualFold(p.BankState, answer.TransactionState) {
				return p, true
			}
		}
	}
	return chosen, ok
}

// keepForeign deals with an answer about a bank order that no payment here has:
// another tool made it, or its own answer was lost. What it says of a charge is
// kept for when that order is recorded; that it is paid, or that nothing else is
// known, is told at once. A word alone does not even say that there is an order.
func (s *Service) keepForeign(ctx context.Context, orderID string, known []ledger.Payment, answer api.StatusAnswer, report *Report) ([]ledger.Payment, error) {
	foreign := ledger.Payment{
		Scope: s.Scope, Env: s.Env, OrderID: orderID, BankID: answer.BankID, State: ledger.Awaiting,
		Amount: answer.Amount, Currency: answer.Currency, KnownAt: s.Now(), KnownFrom: ledger.FromAPI, RequestID: answer.RequestID,
		Warnings: []ledger.Warning{{Code: "not_recorded", Message: "this ledger has no record of the order; the API told of it"}},
	}
	charge, ok := s.chargeOf(foreign, answer)
	switch {
	case ok:
		if err := s.applyForeign(ctx, &foreign, charge); err != nil {
			return known, err
		}
	case answer.BankID == "":
		report.OnlyWord = answer.Status
		return known, nil
	}
	if len(known) == 0 || foreign.State == ledger.Paid {
		return slices.Concat([]ledger.Payment{foreign}, known), nil
	}
	return known, nil
}

// applyForeign keeps a charge where enough is said of it to hold it against its
// order later, and lets the unrecorded payment follow it.
func (s *Service) applyForeign(ctx context.Context, p *ledger.Payment, charge ledger.Charge) (err error) {
	switch {
	case s.Ledger == nil:
	case charge.BankID != "" && charge.Amount.Known() && charge.Currency != "":
		_, err = s.Ledger.ApplyCharge(ctx, s.Scope, charge)
	default:
		err = s.Ledger.CheckBound(ctx, s.Scope, charge)
	}
	if errors.Is(err, ledger.ErrRebound) {
		p.Warnings = append(p.Warnings, notCounted(err))
		return nil
	}
	if err != nil {
		return err
	}
	state, warning := charge.Alone()
	if warning != nil {
		p.Warnings = append(p.Warnings, *warning)
		return nil
	}
	p.BankState = charge.TransactionState
	if !charge.Guessed {
		p.ChargeID = charge.ID
	}
	if state != "" {
		p.State = state
	}
	if state == ledger.Paid {
		p.PaidBy = charge.PaidBy
	}
	if state == ledger.Failed {
		p.Error = charge.Reversal()
	}
	return nil
}

// notCounted warns of a charge that belongs to another order.
func notCounted(err error) ledger.Warning {
	return ledger.Warning{Code: "status_charge", Message: "what the status endpoint says does not count: " + err.Error()}
}

// recordStatus records a status answer. Only a charge's transaction_state, or a
// word that the API's owner vouches for, says anything about money.
func (s *Service) recordStatus(ctx context.Context, p ledger.Payment, answer api.StatusAnswer) error {
	var warning *ledger.Warning
	charge, ok := s.chargeOf(p, answer)
	if ok {
		_, err := s.Ledger.ApplyCharge(ctx, s.Scope, charge)
		if !errors.Is(err, ledger.ErrRebound) {
			return err
		}
		warning = new(notCounted(err))
	} else if strings.EqualFold(answer.Status, "success") {
		warning = &ledger.Warning{Code: "status_ambiguous", Message: "the status endpoint says only \"success\", which also stands on unpaid orders: it proves nothing (see status_paid)"}
	}
	return s.Ledger.NoteStatus(ctx, p.ID, answer.Status, answer.RequestID, warning, answer.Raw)
}

// unkept is a payment that no ledger keeps, as a status answer leaves it: by the
// same rules.
func (s *Service) unkept(p ledger.Payment, answer api.StatusAnswer) ledger.Payment {
	p.KnownAt, p.KnownFrom, p.RequestID = s.Now(), ledger.FromAPI, answer.RequestID
	if charge, ok := s.chargeOf(p, answer); ok {
		return ledger.Apply(p, charge, p.KnownAt)
	}
	return p
}

// chargeOf is the charge that a status answer tells of, if it tells of one.
func (s *Service) chargeOf(p ledger.Payment, answer api.StatusAnswer) (ledger.Charge, bool) {
	charge := ledger.Charge{
		ID: answer.ChargeID, BankID: p.BankID, Guessed: answer.BankID == "", Amount: answer.Amount, Currency: answer.Currency,
		Status: answer.Status, TransactionState: answer.TransactionState, Livemode: answer.Livemode,
		From: ledger.FromAPI, PaidBy: ledger.ByTransactionState, RequestID: answer.RequestID, Raw: answer.Raw,
	}
	// What the endpoint leaves out is taken from the order that it was asked about.
	if !charge.Amount.Known() {
		charge.Amount = p.Amount
	}
	if charge.Currency == "" {
		charge.Currency = p.Currency
	}
	switch {
	case charge.TransactionState != "":
		if charge.Status == "" || s.meansPaid(charge.Status) {
			charge.Status = "success" // nothing says otherwise, and transaction_state decides
		}
		return charge, true
	case s.meansPaid(answer.Status):
		charge.PaidBy = ledger.ByStatusPaid
		return charge, true
	}
	return charge, false
}

func (s *Service) meansPaid(word string) bool {
	return word != "" && slices.ContainsFunc(s.StatusPaid, func(paid string) bool { return strings.EqualFold(paid, word) })
}
