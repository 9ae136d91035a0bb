// Package payment makes payment orders so that nobody pays twice and no answer
// is lost: it records an intent, calls the API, and records the outcome before
// anybody sees it. Running it again is always safe.
package payment

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/villapay/villapay/internal/api"
	"github.com/villapay/villapay/internal/ledger"
)

// Service makes payments in one environment and tells what became of them. Its
// fields are set once; it is then safe for concurrent use.
type Service struct {
	API    *api.Client
	Ledger *ledger.Ledger // nil: nothing is remembered (ledger: none)

	Env     string        // the environment's name, a label on what is recorded
	Scope   string        // what keys and orders are unique in
	Live    bool          // real money
	Timeout time.Duration // for one payment's whole conversation, waiting included

	StatusPath string   // of the status endpoint; "" = the API has none
	StatusPaid []string // bare words of it that mean paid

	Now    func() time.Time
	NewKey func() string     // a fresh idempotency key
	Note   func(text string) // told what a person should know; may be nil
}

// Request asks for one payment order.
type Request struct {
	OrderID string
	Source  api.Source
	Key     string // the user's own idempotency key; "" = a fresh one
	New     bool   // another order though one is still open
}

// NotRecordedError says that the API answered and the answer could not be
// recorded: nothing may be shown, and the next run asks again with the same key.
type NotRecordedError struct {
	Key string
	Err error
}

func (e *NotRecordedError) Error() string {
	return "the answer arrived but could not be recorded: " + e.Err.Error()
}

func (e *NotRecordedError) Unwrap() error { return e.Err }

// BusyError says that another process was still making the order when the time
// ran out.
type BusyError struct{ OrderID string }

func (e *BusyError) Error() string {
	return "another process is still making the payment order for " + e.OrderID
}

// pollClaim is how often a waiter looks at a claim that another process holds.
const pollClaim = 100 * time.Millisecond

// recordWithin bounds the recording of an outcome, which goes on after Ctrl-C.
const recordWithin = 10 * time.Second

// Make returns the order's payment: the open or paid one where there is one,
// else a new one. The payment is meaningful also beside an *api.Error: it then
// says what was recorded. Errors of the ledger before anything was sent are
// returned as they are.
func (s *Service) Make(ctx context.Context, req Request) (ledger.Payment, error) {
	ctx, cancel := context.WithTimeout(ctx, s.Timeout)
	defer cancel()
	key := req.Key
	if key == "" {
		key = s.NewKey()
	}
	if s.Ledger == nil {
		return s.makeUnrecorded(ctx, req, key)
	}
	claim, err := s.claim(ctx, ledger.ClaimRequest{
		Scope: s.Scope, Env: s.Env, OrderID: req.OrderID, Source: req.Source,
		Key: key, KeyGiven: req.Key != "", New: req.New,
	})
	if err != nil {
		return ledger.Payment{}, err
	}
	s.tellOthers(claim, req)
	if claim.Verdict == ledger.Replay {
		claim.Payment.Replayed = len(claim.Payment.Order) > 0
		return claim.Payment, nil
	}
	return s.send(ctx, claim)
}

// claim asks the ledger what may be done, and waits while another process is
// making the order.
func (s *Service) claim(ctx context.Context, req ledger.ClaimRequest) (ledger.Claim, error) {
	told := false
	for {
		claim, err := s.Ledger.Claim(ctx, req)
		if err != nil {
			return claim, err
		}
		if claim.Verdict != ledger.Busy {
			return claim, nil
		}
		if !told {
			told = true
			s.note(fmt.Sprintf("another process is making the payment order for %s; waiting for it", req.OrderID))
		}
		if err := api.Sleep(ctx, pollClaim); err != nil {
			if errors.Is(err, context.DeadlineExceeded) {
				return claim, &BusyError{req.OrderID}
			}
			return claim, err
		}
	}
}

// tellOthers says which other codes of the order are still alive: each could be
// paid.
func (s *Service) tellOthers(claim ledger.Claim, req Request) {
	for _, other := range claim.AlsoOpen {
		s.note(fmt.Sprintf("order %s also has an open %s payment (%s); both could be paid", req.OrderID, other.Source, shown(other)))
	}
	if claim.Replaced != nil {
		s.note(fmt.Sprintf("the earlier payment of order %s (%s) is replaced; its code may still be payable until it expires", req.OrderID, shown(*claim.Replaced)))
	}
}

func shown(p ledger.Payment) string {
	if p.BankID != "" {
		return p.BankID
	}
	return "key " + p.Key
}

// send asks the API under a claim, keeping its lease, and records the outcome.
func (s *Service) send(ctx context.Context, claim ledger.Claim) (ledger.Payment, error) {
	release := s.keepLease(ctx, claim)
	order, requestID, made, failure := s.ask(ctx, claim.Payment)
	release()

	recording, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordWithin)
	defer cancel()
	if failure != nil {
		return s.recordFailure(recording, claim, made, failure)
	}
	payment, err := s.Ledger.RecordOrder(recording, claim, order, ledger.RecordedAnswer{
		Attempts: made.Sent, RequestID: requestID, Warnings: s.warnings(claim.Payment.Source, order),
	})
	switch {
	case errors.Is(err, ledger.ErrClaimLost):
		return s.afterLostClaim(ctx, claim, payment)
	case err != nil:
		return claim.Payment, &NotRecordedError{claim.Payment.Key, err}
	}
	return payment, nil
}

// ask makes the order with the payment's own key, asking again as the retry
// table allows.
func (s *Service) ask(ctx context.Context, p ledger.Payment) (order *api.Order, requestID string, made api.Attempts, err error) {
	made, err = s.API.Retry(ctx, func(ctx context.Context) (err error) {
		order, requestID, err = s.API.CreateOrder(ctx, p.OrderID, p.Source, p.Key)
		return err
	})
	return order, requestID, made, err
}

// keepLease renews the claim until the returned function is called. A claim
// that is lost meanwhile shows when the answer is recorded.
func (s *Service) keepLease(ctx context.Context, claim ledger.Claim) (release func()) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for api.Sleep(ctx, ledger.RenewEvery) == nil {
			_ = s.Ledger.Renew(ctx, claim)
		}
	}()
	return func() {
		cancel()
		<-done
	}
}

// recordFailure records why there is no order. The ledger keeps a payment
// unknown once any attempt of it was ambiguous, also in an earlier run.
func (s *Service) recordFailure(ctx context.Context, claim ledger.Claim, made api.Attempts, cause error) (ledger.Payment, error) {
	state, failure := outcome(made, cause)
	payment, err := s.Ledger.RecordFailure(ctx, claim, state, failure, made.Sent)
	switch {
	case errors.Is(err, ledger.ErrClaimLost):
		return payment, cause
	case err != nil && state == ledger.Rejected:
		return payment, errors.Join(cause, err)
	case err != nil:
		return payment, &NotRecordedError{claim.Payment.Key, errors.Join(err, cause)}
	}
	if payment.State == ledger.Unknown && state != ledger.Unknown {
		cause = stillUnknown(cause)
	}
	return payment, cause
}

// stillUnknown says of a failure that an earlier run's attempt may have been
// carried out all the same.
func stillUnknown(cause error) error {
	unknown := &api.Error{Kind: api.Unknown, Code: "outcome_unknown", Message: cause.Error(), Err: cause}
	var failure *api.Error
	if errors.As(cause, &failure) {
		*unknown = *failure
		unknown.Kind = api.Unknown
	}
	unknown.Message += "; an earlier attempt may have made the order"
	return unknown
}

// outcome says what a failed series of attempts leaves behind.
func outcome(made api.Attempts, cause error) (ledger.State, ledger.Failure) {
	var failure *api.Error
	if !errors.As(cause, &failure) {
		failure = &api.Error{Code: "not_sent", Message: cause.Error(), Kind: api.Unavailable}
	}
	state := ledger.Rejected
	if failure.Kind == api.Unknown || made.Ambiguous {
		state = ledger.Unknown
	}
	return state, ledger.Failure{
		Code: failure.Code, Message: failure.Message, Status: failure.Status,
		RequestID: failure.RequestID, Retryable: failure.Retryable(),
	}
}

// afterLostClaim returns what the process that took the claim over recorded: the
// first durable answer wins, and ours is never shown.
func (s *Service) afterLostClaim(ctx context.Context, claim ledger.Claim, current ledger.Payment) (ledger.Payment, error) {
	for len(current.Order) == 0 {
		if current.State != ledger.Sending {
			return current, &api.Error{Kind: api.Unknown, Code: "taken_over", Message: "another process took this payment over and its outcome is not known"}
		}
		if err := api.Sleep(ctx, pollClaim); err != nil {
			return current, &BusyError{claim.Payment.OrderID}
		}
		payments, err := s.Ledger.Payments(ctx, s.Scope, claim.Payment.OrderID)
		if err != nil {
			return current, &NotRecordedError{claim.Payment.Key, err}
		}
		for _, p := range payments {
			if p.ID == claim.Payment.ID {
				current = p
			}
		}
	}
	current.Replayed = true
	return current, nil
}

// makeUnrecorded makes an order without a ledger: no replay, no exclusion.
func (s *Service) makeUnrecorded(ctx context.Context, req Request, key string) (ledger.Payment, error) {
	p := ledger.Payment{
		Scope: s.Scope, Env: s.Env, OrderID: req.OrderID, Source: req.Source, Key: key,
		State: ledger.Sending, RecordedAt: s.Now(), KnownFrom: ledger.FromAPI,
	}
	order, requestID, made, err := s.ask(ctx, p)
	p.Attempts, p.KnownAt, p.RequestID = made.Sent, s.Now(), requestID
	if err != nil {
		state, failure := outcome(made, err)
		p.State, p.Error, p.RequestID = state, &failure, failure.RequestID
		return p, err
	}
	p.Answered(order, s.Now())
	p.Warnings = s.warnings(req.Source, order)
	return p, nil
}

// warnings tells what in an order contradicts what was asked for.
func (s *Service) warnings(asked api.Source, order *api.Order) []ledger.Warning {
	var all []ledger.Warning
	if order.SourceType != "" && order.SourceType != string(asked) {
		all = append(all, ledger.Warning{Code: "source_type", Message: fmt.Sprintf("asked for source %s, the order says %s", asked, order.SourceType)})
	}
	if order.Livemode != nil && *order.Livemode != s.Live {
		all = append(all, ledger.Warning{Code: "livemode", Message: livemodeText(s.Env, *order.Livemode)})
	}
	return all
}

func livemodeText(env string, livemode bool) string {
	if livemode {
		return fmt.Sprintf("this order is LIVE and takes real money, but environment %s is not live", env)
	}
	return fmt.Sprintf("this order is a test order, but environment %s is live: no money will arrive", env)
}

func (s *Service) note(text string) {
	if s.Note != nil {
		s.Note(text)
	}
}
