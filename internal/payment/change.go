package payment

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/villapay/villapay/internal/api"
	"github.com/villapay/villapay/internal/backoff"
	"github.com/villapay/villapay/internal/kbank"
	"github.com/villapay/villapay/internal/ledger"
	"github.com/villapay/villapay/internal/order"
)

// ErrNoBankKey means that the bank's API is needed and its key is not set.
var ErrNoBankKey = errors.New("the bank's secret key is not set")

// Cancel cancels an open payment at the bank, so that another order can be made. It
// returns the updated payment: canceled, paid meanwhile, or still open if the bank
// did not confirm that its code is canceled. The error is an *api.Error of kind
// Unknown if the outcome at the bank is unknown.
func (s *Service) Cancel(ctx context.Context, p order.Payment) (order.Payment, error) {
	if s.Bank == nil {
		return p, ErrNoBankKey
	}
	ctx, cancel := context.WithTimeout(ctx, s.Timeout)
	defer cancel()
	p, err := s.again(ctx, p)
	if err != nil || p.Held == nil || p.Held.Text == "" {
		return p, err
	}
	if !p.Held.Canceled {
		if p, err = s.cancelCode(ctx, p); err != nil {
			return p, err
		}
	}
	asked, err := s.ask(ctx, p.OrderID, s.Timeout)
	if err != nil {
		return p, &NotRecordedError{p.Key, err}
	}
	if p.Held.Canceled && asked.BankErr != nil {
		return p, &api.Error{
			Kind: api.Unknown, Code: "not_asked", Message: "the bank canceled the code, but could not be asked whether it was paid first: " + asked.BankErr.Error(), Err: asked.BankErr, Server: s.Bank.HTTP.Name,
		}
	}
	recording, cancelRecording := toRecord(ctx)
	defer cancelRecording()
	now, err := s.Ledger.CancelPayment(recording, p)
	if errors.As(err, new(*order.DoubtError)) {
		return now, s.doubtful(err)
	}
	if err != nil {
		return p, &NotRecordedError{p.Key, err}
	}
	return now, nil
}

// Void voids a paid charge at the bank and returns the updated payment. If an
// earlier attempt got no answer, it first asks the bank for the charge's state, and a
// rejection counts only if the bank says afterwards that the charge is still paid, a
// minute or more after that attempt. A lost answer is an *api.Error of kind Unknown.
// It is a rejection if another charge of the order was given back since this one was
// chosen; seen are the order's charges as they were then.
func (s *Service) Void(ctx context.Context, p order.Payment, chargeID string, seen []order.PaidCharge) (order.Payment, error) {
	if s.Bank == nil {
		return p, ErrNoBankKey
	}
	ctx, cancel := context.WithTimeout(ctx, s.Timeout)
	defer cancel()
	request := ledger.ChangeRequest{Payment: p, Kind: ledger.Void, Target: chargeID, Seen: seen}
	now, err := s.change(ctx, request, func(ctx context.Context, claim *ledger.Change) (requestID string, err error) {
		var status order.Status
		if claim.Resumed {
			if status, requestID, err = s.Bank.InquireCharge(ctx, chargeID, p.OrderID); err != nil {
				return "", err
			}
		}
		if !kbank.TakenBack(status, chargeID) {
			status, requestID, err = s.Bank.Void(ctx, chargeID, p.OrderID)
			if failure, ok := errors.AsType[*api.Error](err); ok && failure.Kind == api.Rejected && claim.Resumed {
				// Perhaps because the earlier attempt succeeded: only the charge's state tells.
				now, id, asked := s.Bank.InquireCharge(ctx, chargeID, p.OrderID)
				switch {
				case asked != nil:
				case kbank.TakenBack(now, chargeID):
					status, requestID, err = now, id, nil
				case kbank.StillPaid(now, chargeID) && claim.Settled:
					claim.Resumed = false // no attempt succeeded: it is rejected
				}
			}
			if err != nil {
				return "", err
			}
		}
		recording, cancel := toRecord(ctx)
		defer cancel()
		return requestID, s.Ledger.RecordAnswer(recording, s.Scope, ledger.Asked{OrderID: p.OrderID, Status: status, From: order.FromBank, RequestID: requestID})
	})
	if err != nil {
		return now, err
	}
	return s.again(context.WithoutCancel(ctx), now)
}

// cancelCode asks the bank to cancel a payment's code, unless it already did, and
// returns the updated payment. If the bank rejects the request, Held.Canceled stays
// false and there is no error.
func (s *Service) cancelCode(ctx context.Context, p order.Payment) (order.Payment, error) {
	now, err := s.change(ctx, ledger.ChangeRequest{Payment: p, Kind: ledger.Cancel, Target: p.Held.ID}, func(ctx context.Context, _ *ledger.Change) (requestID string, _ error) {
		return s.Bank.Cancel(ctx, p.Held.ID)
	})
	if failure, ok := errors.AsType[*api.Error](err); ok && failure.Kind == api.Rejected {
		err = nil
	}
	return now, err
}

// change asks the bank for a change, once, and records the answer. If a failure
// leaves open whether the bank made the change, the next run has to finish it.
func (s *Service) change(ctx context.Context, request ledger.ChangeRequest, ask func(context.Context, *ledger.Change) (requestID string, _ error)) (order.Payment, error) {
	p := request.Payment
	claim, err := s.claimChange(ctx, request)
	if err != nil {
		return p, err
	}
	if claim.Verdict == ledger.Replay {
		return s.again(ctx, p)
	}
	asking, release := keepLease(ctx, func(ctx context.Context) error { return s.Ledger.RenewChange(ctx, claim) })
	var out ledger.ChangeOutcome
	failed := s.Bank.HTTP.Once(asking, func(ctx context.Context) (err error) {
		out.RequestID, err = ask(ctx, &claim)
		return err
	})
	release()
	if _, stored := errors.AsType[*ledger.Error](failed); stored {
		failed = &NotRecordedError{p.Key, failed}
	}
	out.Done = failed == nil
	if failed != nil {
		failure, ok := errors.AsType[*api.Error](failed)
		out.Unanswered, out.Note = !ok || failure.Kind == api.Unknown || claim.Resumed, failed.Error()
		if ok {
			out.RequestID, out.Rejected = failure.RequestID, failure.Kind == api.Rejected
		}
		if ok && claim.Resumed && (claim.Kind == ledger.Void || failure.Kind != api.Rejected) {
			failure.Kind = api.Unknown // an earlier attempt may have succeeded
		}
	}
	recording, cancel := toRecord(ctx)
	defer cancel()
	now, err := s.Ledger.RecordChange(recording, claim, out)
	switch {
	case err != nil && failed == nil:
		return p, &NotRecordedError{p.Key, err}
	case err != nil:
		return p, failed
	}
	return now, failed
}

// claimChange claims a change, and waits while another process holds the claim.
func (s *Service) claimChange(ctx context.Context, request ledger.ChangeRequest) (ledger.Change, error) {
	holder := ""
	for {
		claim, err := s.Ledger.ClaimChange(ctx, request)
		switch {
		case err != nil && holder != "" && ctx.Err() != nil:
			return claim, s.changeError(api.Unknown, "busy", "another process (%s) is still asking the bank to %s %s", holder, request.Kind, request.Target)
		case err != nil:
			return claim, err
		case claim.Verdict == ledger.AskFirst:
			return claim, s.changeError(api.Unknown, "other_void", "the void of charge %s of order %s has no answer yet and must be finished first", claim.Other, request.Payment.OrderID)
		case claim.Verdict == ledger.Confirm:
			return claim, s.changeError(api.Rejected, "voided_meanwhile", "charge %s of order %s was given back meanwhile, and this one was not", claim.Other, request.Payment.OrderID)
		case claim.Verdict != ledger.Busy:
			return claim, nil
		case holder == "":
			notify(s.Note, "another process (%s) is asking the bank to %s %s; waiting for it", claim.Holder, request.Kind, request.Target)
		}
		holder = claim.Holder
		_ = backoff.Sleep(ctx, pollClaim) // if the time is over, claiming fails
	}
}

// changeError says why the bank is not asked for a change.
func (s *Service) changeError(kind api.Kind, code, format string, args ...any) error {
	return &api.Error{Kind: kind, Code: code, Message: fmt.Sprintf(format, args...), Server: s.Bank.HTTP.Name}
}

// cancelEarlier cancels the code of a payment that is about to be replaced.
func (s *Service) cancelEarlier(ctx context.Context, p order.Payment) (order.Payment, error) {
	if !s.cancelsFirst(p) {
		return p, nil
	}
	ctx, cancel := context.WithTimeout(ctx, preflightTimeout)
	defer cancel()
	return s.cancelCode(ctx, p)
}

// cancelReplaced cancels the codes of payments that --new replaced. It runs under
// the claim, when none of them can get another code. It warns about codes that may
// still be paid, and returns a payment that was paid meanwhile, if any.
func (s *Service) cancelReplaced(ctx context.Context, claim ledger.Claim) (paid *order.Payment, _ error) {
	if claim.Replaced == nil && !claim.Resumed && !slices.ContainsFunc(claim.Others, isReplaced) {
		return nil, nil
	}
	known, err := s.payments(ctx, claim.Payment.OrderID)
	if err != nil {
		return nil, err
	}
	for _, p := range known {
		held := p.HoldsCode(s.Now()) && p.Held.Text != ""
		if !isReplaced(p) || !held && !p.MayBePaid(s.Now()) && (claim.Replaced == nil || p.ID != claim.Replaced.ID) {
			continue
		}
		if p, err = s.cancelEarlier(ctx, p); err == nil && held && s.Bank != nil && p.HoldsCode(s.Now()) {
			if paid, err := s.paidMeanwhile(ctx, p.OrderID); paid != nil || err != nil {
				return paid, err
			}
		}
		s.warnReplaced(p)
	}
	return nil, nil
}

func isReplaced(p order.Payment) bool { return p.ReplacedBy != "" }

// paidMeanwhile returns the order's paid payment, if any: the bank does not cancel a
// code that was paid.
func (s *Service) paidMeanwhile(ctx context.Context, orderID string) (*order.Payment, error) {
	if _, err := s.ask(ctx, orderID, preflightTimeout); err != nil {
		return nil, err
	}
	known, err := s.payments(ctx, orderID)
	if answering, _ := order.Answering(known); answering.State == order.Paid {
		return &answering, err
	}
	return nil, err
}

// warnReplaced reports whether the code of a replaced payment may still be paid.
func (s *Service) warnReplaced(p order.Payment) {
	switch {
	case p.Held != nil && p.Held.Text != "" && p.Held.Canceled:
		notify(s.Note, "the earlier payment of order %s (%s) is replaced; the bank canceled its code", p.OrderID, label(p))
	case len(p.Order) == 0:
		notify(s.Warn, "the earlier payment of order %s (%s) is replaced; its outcome is unknown, and its code was never shown", p.OrderID, label(p))
	case p.HoldsCode(s.Now()) && p.Held.Text != "":
		notify(s.Warn, "the earlier payment of order %s (%s) is replaced, and its code could not be canceled: it may still be paid until it expires", p.OrderID, label(p))
	default:
		notify(s.Warn, "the earlier payment of order %s (%s) is replaced; its code may still be payable until it expires", p.OrderID, label(p))
	}
}
