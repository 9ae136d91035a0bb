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

// ErrNoBankKey means that the bank's API is needed and its key is not set.
var ErrNoBankKey = errors.New("the bank's secret key is not set")

// HeldError means that no code can be shown, because an earlier code or page of the
// payment may still be paid.
type HeldError struct{ Until time.Time } // zero: until the order expires

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

var errCodeExpired = errors.New("the bank's code had expired when it arrived; check this machine's clock")

// Code returns a payment with the bank's code, if it can be paid and the bank draws
// codes for its source: the recorded code while it is valid, else a new one, which
// is recorded first. With an error the payment is returned too, without a code that
// may be shown.
func (s *Service) Code(ctx context.Context, p order.Payment) (order.Payment, error) {
	if !s.DrawsCodes(p.Source) || p.Payable(s.Now()) != nil || p.LivingCode(s.Now()) != nil {
		return p, nil
	}
	ctx, cancel := context.WithTimeout(ctx, s.Timeout)
	defer cancel()
	if p.Held != nil {
		var err error
		if p, err = s.endCode(ctx, p); err != nil || p.Payable(s.Now()) != nil || p.LivingCode(s.Now()) != nil {
			return p, err
		}
	}
	if s.Bank.OtherMerchant(p.BankOrderID) {
		notify(s.Warn, "order %s: the bank order %s is another merchant's than the bank's secret key", p.OrderID, p.BankOrderID)
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
	recording, cancelRecording := context.WithTimeout(context.WithoutCancel(ctx), recordTimeout)
	defer cancelRecording()
	now, recorded, err := s.Ledger.RecordCode(recording, p, ledger.Code{BankCode: code.BankCode, RequestID: code.RequestID, Date: code.Date, Took: took})
	if err != nil {
		return p, &NotRecordedError{p.Key, err}
	}
	if !recorded { // another process was first, or the payment can no longer be paid
		s.cancelUnshown(recording, p, code.ID)
	}
	if recorded && code.Livemode != nil && *code.Livemode != s.Live && !p.Warned("livemode") {
		notify(s.Warn, "order %s: the livemode of the bank's code is %t, and environment %s has live: %t", p.OrderID, *code.Livemode, s.Env, s.Live)
	}
	switch {
	case now.Payable(s.Now()) != nil || now.LivingCode(s.Now()) != nil:
		return now, nil
	case recorded:
		return now, errCodeExpired
	}
	return now, s.heldError(now)
}

// cancelUnshown cancels a code that was not recorded. It tries once.
func (s *Service) cancelUnshown(ctx context.Context, p order.Payment, codeID string) {
	ctx, cancel := context.WithTimeout(ctx, preflightTimeout)
	defer cancel()
	err := s.Bank.HTTP.Once(ctx, func(ctx context.Context) error {
		_, err := s.Bank.Cancel(ctx, codeID)
		return err
	})
	if err != nil {
		notify(s.Warn, "order %s: a code that was never shown could not be canceled: %s", p.OrderID, err)
	}
}

func (s *Service) heldError(p order.Payment) error {
	if p.Held == nil {
		return &HeldError{}
	}
	return &HeldError{p.Held.HeldUntil}
}

// endCode makes room for another code: it cancels the earlier one, unless that has
// lapsed, and asks the bank whether it was paid. Without an error, the payment it
// returns can get another code, already has one, or can no longer be paid: the bank
// leaves no doubt that it is unpaid.
func (s *Service) endCode(ctx context.Context, p order.Payment) (order.Payment, error) {
	if p.HoldsCode(s.Now()) {
		if p.Held.Text == "" { // a page: its widget cannot be canceled
			return p, s.heldError(p)
		}
		var err error
		if p, err = s.cancelCode(ctx, p); err != nil {
			return p, err
		}
	}
	asked, err := s.ask(ctx, p.OrderID, s.Timeout)
	if err == nil {
		p, err = s.again(context.WithoutCancel(ctx), p) // the time to ask may be over
	}
	now := s.Now()
	switch {
	case err != nil || p.Payable(now) != nil || p.LivingCode(now) != nil:
		return p, err
	case p.HoldsCode(now):
		return p, s.heldError(p)
	case asked.BankErr != nil:
		return p, asked.BankErr
	}
	reading, cancel, err := s.limit(context.WithoutCancel(ctx))
	if err != nil {
		return p, err
	}
	defer cancel()
	return p, s.doubtful(s.Ledger.Doubt(reading, s.Scope, p.OrderID))
}

// doubtful makes the *order.DoubtError of a call of the ledger the outcome at the bank.
func (s *Service) doubtful(err error) error {
	if doubt, ok := errors.AsType[*order.DoubtError](err); ok {
		return &api.Error{
			Kind: api.Unknown, Code: "charge_doubt", Message: "it is not certain that the order is unpaid: " + doubt.What, Err: doubt, Server: s.Bank.HTTP.Name,
		}
	}
	return err
}

// again reloads a payment.
func (s *Service) again(ctx context.Context, p order.Payment) (order.Payment, error) {
	known, err := s.payments(ctx, p.OrderID)
	for _, now := range known {
		if now.ID == p.ID {
			return now, err
		}
	}
	return p, err
}

// cancelCode asks the bank to cancel a payment's code, unless it already did, and
// returns the updated payment. If the bank rejects the request, Held.Canceled stays
// false and there is no error.
func (s *Service) cancelCode(ctx context.Context, p order.Payment) (order.Payment, error) {
	now, err := s.change(ctx, p, ledger.Cancel, p.Held.ID, func(ctx context.Context, _ *ledger.Change) (requestID string, _ error) {
		return s.Bank.Cancel(ctx, p.Held.ID)
	})
	if failure, ok := errors.AsType[*api.Error](err); ok && failure.Kind == api.Rejected {
		err = nil
	}
	return now, err
}

// change asks the bank for a change, once, and records the answer. If a failure
// leaves open whether the bank made the change, the next run has to finish it.
func (s *Service) change(ctx context.Context, p order.Payment, kind ledger.ChangeKind, target string, ask func(context.Context, *ledger.Change) (requestID string, _ error)) (order.Payment, error) {
	claim, err := s.claimChange(ctx, p, kind, target)
	if err != nil {
		return p, err
	}
	if claim.Verdict == ledger.Replay {
		return s.again(ctx, p)
	}
	asking, release := s.keepLease(ctx, func(ctx context.Context) error { return s.Ledger.RenewChange(ctx, claim) })
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
			out.RequestID = failure.RequestID
		}
		if ok && claim.Resumed && (kind == ledger.Void || failure.Kind != api.Rejected) {
			failure.Kind = api.Unknown // an earlier attempt may have succeeded
		}
	}
	recording, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordTimeout)
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
func (s *Service) claimChange(ctx context.Context, p order.Payment, kind ledger.ChangeKind, target string) (ledger.Change, error) {
	holder := ""
	for {
		claim, err := s.Ledger.ClaimChange(ctx, p, kind, target)
		switch {
		case err != nil && holder != "" && ctx.Err() != nil:
			return claim, s.busyError("busy", "another process (%s) is still asking the bank to %s %s", holder, kind, target)
		case err != nil:
			return claim, err
		case claim.Verdict == ledger.AskFirst:
			return claim, s.busyError("other_void", "the void of charge %s of order %s has no answer yet and must be finished first", claim.Other, p.OrderID)
		case claim.Verdict != ledger.Busy:
			return claim, nil
		case holder == "":
			notify(s.Note, "another process (%s) is asking the bank to %s %s; waiting for it", claim.Holder, kind, target)
		}
		holder = claim.Holder
		_ = backoff.Sleep(ctx, pollClaim) // if the time is over, claiming fails
	}
}

// busyError says that another change at the bank has to end first.
func (s *Service) busyError(code, format string, args ...any) error {
	return &api.Error{Kind: api.Unknown, Code: code, Message: fmt.Sprintf(format, args...), Server: s.Bank.HTTP.Name}
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
	if claim.Replaced == nil && !claim.Resumed {
		return nil, nil
	}
	known, err := s.payments(ctx, claim.Payment.OrderID)
	if err != nil {
		return nil, err
	}
	for _, p := range known {
		held := p.ReplacedBy != "" && p.HoldsCode(s.Now()) && p.Held.Text != ""
		if !held && (claim.Replaced == nil || p.ID != claim.Replaced.ID) {
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
	case p.HoldsCode(s.Now()) && p.Held.Text != "":
		notify(s.Warn, "the earlier payment of order %s (%s) is replaced, and its code could not be canceled: it may still be paid until it expires", p.OrderID, label(p))
	default:
		notify(s.Warn, "the earlier payment of order %s (%s) is replaced; its code may still be payable until it expires", p.OrderID, label(p))
	}
}

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
	recording, cancelRecording := context.WithTimeout(context.WithoutCancel(ctx), recordTimeout)
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
// earlier attempt got no answer, it first asks the bank for the charge's state, and
// a rejection then proves nothing. A lost answer is an *api.Error of kind Unknown.
func (s *Service) Void(ctx context.Context, p order.Payment, chargeID string) (order.Payment, error) {
	if s.Bank == nil {
		return p, ErrNoBankKey
	}
	ctx, cancel := context.WithTimeout(ctx, s.Timeout)
	defer cancel()
	now, err := s.change(ctx, p, ledger.Void, chargeID, func(ctx context.Context, claim *ledger.Change) (requestID string, err error) {
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
				if now, id, asked := s.Bank.InquireCharge(ctx, chargeID, p.OrderID); asked == nil && kbank.TakenBack(now, chargeID) {
					status, requestID, err = now, id, nil
				}
			}
			if err != nil {
				return "", err
			}
		}
		recording, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordTimeout)
		defer cancel()
		return requestID, s.Ledger.RecordAnswer(recording, s.Scope, ledger.Asked{OrderID: p.OrderID, Status: status, From: order.FromBank, RequestID: requestID})
	})
	if err != nil {
		return now, err
	}
	return s.again(context.WithoutCancel(ctx), now)
}

// askBank asks the bank about every recorded bank order and charge of a Villa order,
// records the answers, and reports whether the order is paid. asking bounds the
// requests, ctx the ledger calls.
func (s *Service) askBank(ctx, asking context.Context, orderID string, asked *Asked) (paid bool, _ error) {
	known, err := s.payments(ctx, orderID)
	if err != nil {
		return false, err
	}
	questions := map[string]func(context.Context) (order.Status, string, error){}
	for _, p := range known {
		if p.BankOrderID != "" && questions[p.BankOrderID] == nil {
			questions[p.BankOrderID] = func(ctx context.Context) (order.Status, string, error) { return s.Bank.InquireOrder(ctx, &p) }
		}
	}
	charges, err := s.Ledger.Charges(ctx, s.Scope, orderID)
	if err != nil {
		return false, err
	}
	for _, id := range charges {
		questions[id] = func(ctx context.Context) (order.Status, string, error) { return s.Bank.InquireCharge(ctx, id, orderID) }
	}
	group, asking := errgroup.WithContext(asking)
	group.SetLimit(maxParallelAsks)
	failures := make(chan error, len(questions))
	for _, question := range questions {
		group.Go(func() error {
			failure, err := s.inquire(asking, orderID, question)
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
	if err != nil || len(questions) == 0 {
		return false, err
	}
	known, err = s.payments(context.WithoutCancel(ctx), orderID) // the time to ask may be over
	answering, _ := order.Answering(known)
	return answering.State == order.Paid, s.afterAsking(err)
}

// inquire sends the bank one inquiry and records the answer. failure is the bank's,
// err the ledger's.
func (s *Service) inquire(ctx context.Context, orderID string, question func(context.Context) (order.Status, string, error)) (failure, _ error) {
	answer := ledger.Asked{OrderID: orderID, From: order.FromBank}
	_, err := s.Bank.HTTP.Retry(ctx, func(ctx context.Context) (err error) {
		answer.Status, answer.RequestID, err = question(ctx)
		return err
	})
	if errors.Is(err, kbank.ErrNoCharge) {
		answer.Status.Word = "no charge"
	} else if err != nil {
		return err, nil
	}
	recording, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordTimeout)
	defer cancel()
	return nil, s.afterAsking(s.Ledger.RecordAnswer(recording, s.Scope, answer))
}
