package payment

import (
	"context"
	"errors"
	"time"

	"github.com/villapay/villapay/internal/api"
	"github.com/villapay/villapay/internal/order"
)

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
// may be shown. It is no error that the payment can no longer be paid.
func (s *Service) Code(ctx context.Context, p order.Payment) (order.Payment, error) {
	now, err := s.fetchCode(ctx, p)
	if err != nil { // another process may have recorded meanwhile that it is paid or replaced
		if again, readErr := s.again(context.WithoutCancel(ctx), p); readErr == nil && again.Payable(s.Now()) != nil {
			now, err = again, nil
		}
	}
	return now, err
}

func (s *Service) fetchCode(ctx context.Context, p order.Payment) (order.Payment, error) {
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
		notify(s.Warn, "order %s: bank order %s belongs to another merchant than the bank's secret key", p.OrderID, p.BankOrderID)
	}
	var code *order.BankCode
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
	recording, cancelRecording := toRecord(ctx)
	defer cancelRecording()
	now, recorded, err := s.Ledger.RecordCode(recording, p, code, took)
	_, doubt := errors.AsType[*order.DoubtError](err)
	if err != nil && !doubt {
		return p, &NotRecordedError{p.Key, err}
	}
	if !recorded { // another process was first, the payment can no longer be paid, or may have been
		s.cancelUnshown(recording, p, code.ID)
	}
	if doubt {
		return now, s.doubtful(err)
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
	return now, heldError(now)
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

func heldError(p order.Payment) error {
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
			return p, heldError(p)
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
		return p, heldError(p)
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
			Kind: api.Unknown, Code: "charge_doubt", Message: doubt.Error(), Err: doubt, Server: s.Bank.HTTP.Name,
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
