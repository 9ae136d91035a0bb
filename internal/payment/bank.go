package payment

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/villapay/villapay/internal/api"
	"github.com/villapay/villapay/internal/backoff"
	"github.com/villapay/villapay/internal/kbank"
	"github.com/villapay/villapay/internal/ledger"
	"github.com/villapay/villapay/internal/order"
)

// ErrNoBankKey says that something needs the bank's merchant API, and there is no
// key for it.
var ErrNoBankKey = errors.New("the bank's secret key is not set")

// HeldError says that no code can be shown, since an earlier code or page of the
// payment may still be paid.
type HeldError struct{ Until time.Time } // zero: as long as its order

func (e *HeldError) Error() string {
	if e.Until.IsZero() {
		return "an earlier code of this order may still be paid"
	}
	return "an earlier code of this order may still be paid until " + e.Until.In(order.Bangkok).Format("15:04:05 on 2006-01-02")
}

// DrawsCodes reports whether the bank draws the codes of a source.
func (s *Service) DrawsCodes(source order.Source) bool {
	return s.Bank != nil && s.Bank.Sof[source] != ""
}

// Code returns a payment with the bank's code, if it can be paid and the bank
// draws codes for its source: the recorded one while that lives, else a new one,
// recorded before it is returned. The payment comes beside an error too: then it
// has no code that may be shown.
func (s *Service) Code(ctx context.Context, p order.Payment) (order.Payment, error) {
	if !s.DrawsCodes(p.Source) || p.Payable(s.Now()) != nil || p.LivingCode(s.Now()) != nil {
		return p, nil
	}
	ctx, cancel := context.WithTimeout(ctx, s.Timeout)
	defer cancel()
	if p.HoldsCode(s.Now()) {
		var err error
		if p, err = s.replaceCode(ctx, p); err != nil || p.Payable(s.Now()) != nil {
			return p, err
		}
	}
	var code kbank.Code
	var took time.Duration
	_, err := s.Bank.HTTP.Retry(ctx, func(ctx context.Context) (err error) {
		sent := time.Now()
		code, err = s.Bank.Code(ctx, &p)
		took = time.Since(sent)
		return err
	})
	if err != nil {
		return p, err
	}
	recording, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordWithin)
	defer cancel()
	now, recorded, err := s.Ledger.RecordCode(recording, p.ID, ledger.Code{BankCode: code.BankCode, RequestID: code.RequestID, Date: code.Date, Took: took})
	if err != nil {
		return p, &NotRecordedError{p.Key, err}
	}
	if !recorded { // another process was first, or the payment can be paid no more
		if err := s.Bank.Cancel(recording, code.ID); err != nil {
			notify(s.Warn, "order %s: a code that nobody was shown could not be canceled: %s", p.OrderID, err)
		}
	}
	return now, nil
}

// replaceCode clears the way for another code: the old one is canceled, and the
// bank is asked whether it was paid meanwhile.
func (s *Service) replaceCode(ctx context.Context, p order.Payment) (order.Payment, error) {
	if p.Held.Text == "" {
		return p, &HeldError{p.Held.HeldUntil} // a page, whose widget nobody can cancel
	}
	p, canceled, err := s.cancelCode(ctx, p)
	if err != nil {
		return p, err
	}
	if _, err := s.ask(ctx, p.OrderID, s.Timeout); err != nil {
		return p, err
	}
	if p, err = s.again(ctx, p); err == nil && !canceled && p.Payable(s.Now()) == nil {
		err = &HeldError{p.Held.HeldUntil}
	}
	return p, err
}

// again reads a payment as it is now.
func (s *Service) again(ctx context.Context, p order.Payment) (order.Payment, error) {
	known, err := s.payments(ctx, p.OrderID)
	for _, now := range known {
		if now.ID == p.ID {
			return now, err
		}
	}
	return p, err
}

// cancelCode asks the bank to cancel a payment's code, and reports whether the
// bank confirmed that. An error is the ledger's, or a lost answer.
func (s *Service) cancelCode(ctx context.Context, p order.Payment) (order.Payment, bool, error) {
	if !p.HoldsCode(s.Now()) {
		return p, true, nil
	}
	rejected := false
	p, err := s.change(ctx, p, ledger.Cancel, p.Held.ID, func(ctx context.Context) (out ledger.ChangeOutcome, err error) {
		return out, s.Bank.Cancel(ctx, p.Held.ID)
	})
	var failure *api.Error
	if errors.As(err, &failure) && failure.Kind == api.Rejected {
		rejected, err = true, nil
	}
	return p, err == nil && !rejected && !p.HoldsCode(s.Now()), err
}

// change asks the bank for a change, once, and records its answer. A rejection is
// recorded and returned; a lost answer is not recorded, so that the next run asks
// again.
func (s *Service) change(ctx context.Context, p order.Payment, kind ledger.ChangeKind, target string, ask func(context.Context) (ledger.ChangeOutcome, error)) (order.Payment, error) {
	claim, err := s.claimChange(ctx, p, kind, target)
	if err != nil {
		return p, err
	}
	if claim.Verdict == ledger.Replay {
		return s.again(ctx, p)
	}
	asking, release := s.keepLease(ctx, func(ctx context.Context) error { return s.Ledger.RenewChange(ctx, claim) })
	var out ledger.ChangeOutcome
	err = s.Bank.HTTP.Once(asking, func(ctx context.Context) (err error) {
		out, err = ask(ctx)
		return err
	})
	release()
	recording, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordWithin)
	defer cancel()
	var failure *api.Error
	switch {
	case err == nil:
		out.Done = true
	case errors.As(err, &failure) && failure.Kind == api.Rejected && !claim.Resumed:
		out.Note, out.RequestID = failure.Error(), failure.RequestID
	default:
		return p, err
	}
	now, recordErr := s.Ledger.RecordChange(recording, claim, out)
	if recordErr != nil {
		return p, &NotRecordedError{p.Key, recordErr}
	}
	return now, err
}

// claimChange waits while another process asks the bank for the same change.
func (s *Service) claimChange(ctx context.Context, p order.Payment, kind ledger.ChangeKind, target string) (ledger.Change, error) {
	for noted := false; ; noted = true {
		claim, err := s.Ledger.ClaimChange(ctx, p, kind, target)
		if err != nil || claim.Verdict != ledger.Busy {
			return claim, err
		}
		if !noted {
			notify(s.Note, "another process (%s) is asking the bank to %s %s; waiting for it", claim.Holder, kind, target)
		}
		if backoff.Sleep(ctx, pollClaim) != nil {
			return claim, &BusyError{p.OrderID}
		}
	}
}

// Cancel cancels an open payment at the bank, so that another order may be made.
// It returns the payment as it then stands: canceled, paid meanwhile, or open as
// before if nothing shows that it cannot be paid any more. A lost answer is an
// *api.Error of kind Unknown.
func (s *Service) Cancel(ctx context.Context, p order.Payment) (order.Payment, error) {
	if s.Bank == nil {
		return p, ErrNoBankKey
	}
	ctx, cancel := context.WithTimeout(ctx, s.Timeout)
	defer cancel()
	if p.Held == nil || p.Held.Text == "" {
		return p, nil
	}
	p, canceled, err := s.cancelCode(ctx, p)
	if err != nil {
		return p, err
	}
	asked, err := s.ask(ctx, p.OrderID, s.Timeout)
	if err != nil {
		return p, err
	}
	if asked.BankErr != nil {
		return p, asked.BankErr
	}
	if !canceled {
		return s.again(ctx, p)
	}
	recording, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordWithin)
	defer cancel()
	return s.Ledger.CancelPayment(recording, p.ID)
}

// Void gives a paid charge back at the bank, and returns its payment as it then
// stands. A lost answer is an *api.Error of kind Unknown.
func (s *Service) Void(ctx context.Context, p order.Payment, chargeID string) (order.Payment, error) {
	if s.Bank == nil {
		return p, ErrNoBankKey
	}
	ctx, cancel := context.WithTimeout(ctx, s.Timeout)
	defer cancel()
	return s.change(ctx, p, ledger.Void, chargeID, func(ctx context.Context) (out ledger.ChangeOutcome, err error) {
		var status order.Status
		if status, out.RequestID, err = s.Bank.Void(ctx, chargeID, p.OrderID); err != nil {
			return out, err
		}
		given := false
		for _, r := range status.Reports {
			r.From, r.RequestID = order.FromBank, out.RequestID
			out.Reports = append(out.Reports, r)
			given = given || r.ChargeID == chargeID && order.Transaction(r.TransactionState) >= order.Voided
		}
		if !given {
			return out, &api.Error{Kind: api.Unknown, Code: "not_voided", Message: fmt.Sprintf("the bank's answer does not say that charge %s is voided", chargeID), RequestID: out.RequestID}
		}
		return out, nil
	})
}

// askBank asks the bank about every recorded bank order and known charge of a
// Villa order, and records what it says. It reports whether the order is paid. The
// questions end with asking, the ledger's part with ctx.
func (s *Service) askBank(ctx, asking context.Context, orderID string, asked *Asked) (paid bool, _ error) {
	known, err := s.payments(ctx, orderID)
	if err != nil {
		return false, err
	}
	ids := map[string]bool{}
	for _, p := range known {
		if p.BankOrderID != "" {
			ids[p.BankOrderID] = true
		}
	}
	charges, err := s.Ledger.Charges(ctx, s.Scope, orderID)
	if err != nil {
		return false, err
	}
	for _, id := range charges {
		ids[id] = true
	}
	group, asking := errgroup.WithContext(asking)
	group.SetLimit(askAtOnce)
	failures := make(chan error, len(ids))
	for id := range ids {
		group.Go(func() error {
			failure, err := s.inquire(asking, id, orderID)
			if failure != nil {
				failures <- failure
			}
			return err
		})
	}
	err = group.Wait()
	close(failures)
	for failure := range failures {
		asked.BankErr = failure
	}
	if err != nil || len(ids) == 0 {
		return false, err
	}
	known, err = s.payments(ctx, orderID)
	answering, _ := order.Answering(known)
	return answering.State == order.Paid, err
}

// inquire asks the bank about one id and records the answer. failure says that it
// could not be asked; an error is the ledger's.
func (s *Service) inquire(ctx context.Context, id, orderID string) (failure, _ error) {
	answer := ledger.Asked{OrderID: orderID, From: order.FromBank}
	_, err := s.Bank.HTTP.Retry(ctx, func(ctx context.Context) (err error) {
		answer.Status, answer.RequestID, err = s.Bank.Inquire(ctx, id, orderID)
		return err
	})
	if errors.Is(err, kbank.ErrNoCharge) {
		answer.Status.Word = "no charge"
	} else if err != nil {
		return err, nil
	}
	recording, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordWithin)
	defer cancel()
	return nil, s.Ledger.RecordAnswer(recording, s.Scope, answer)
}
