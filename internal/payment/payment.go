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
	"github.com/villapay/villapay/internal/backoff"
	"github.com/villapay/villapay/internal/kbank"
	"github.com/villapay/villapay/internal/ledger"
	"github.com/villapay/villapay/internal/order"
)

// Service makes payments in one environment and reports what became of them. Its
// fields are set once; it is then safe for concurrent use.
type Service struct {
	API    *api.Client
	Ledger *ledger.Ledger
	Bank   *kbank.Client // nil without the bank's key

	Env     string        // the environment's name, a label on what is recorded
	Scope   string        // what keys and orders are unique in
	Live    bool          // real money
	Timeout time.Duration // for one payment's whole conversation, waiting included

	StatusPath string   // of the status endpoint; "" = the API has none
	StatusPaid []string // bare words of it that mean paid

	Now    func() time.Time
	NewKey func() string     // a fresh idempotency key
	Note   func(text string) // what a person should know; may be nil
	Warn   func(text string) // what a person must know; may be nil
}

// Request asks for one payment order.
type Request struct {
	OrderID string
	Source  order.Source
	Key     string // the user's own idempotency key; "" = a fresh one
	New     bool   // another order though one is still open

	// Confirm is called before anything is sent, if anything will be. If it fails,
	// nothing is sent or recorded. The time it takes does not count. May be nil.
	Confirm func(context.Context) error

	// answered gets what the API said, nil for an order, before that is recorded; it
	// may be nil.
	answered func(error)
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

// Make returns the order's payment: the open or paid one if there is one, else a
// new one. The payment is meaningful also beside an *api.Error: it then says what
// was recorded. Errors of the ledger before anything was sent are returned as they
// are.
func (s *Service) Make(ctx context.Context, req Request) (order.Payment, error) {
	request := ledger.ClaimRequest{
		Scope: s.Scope, Env: s.Env, OrderID: req.OrderID, Source: req.Source,
		Key: req.Key, KeyGiven: req.Key != "", New: req.New, Unconfirmed: req.Confirm != nil,
	}
	if !request.KeyGiven {
		request.Key = s.NewKey()
	}
	p, err := s.makeInTime(ctx, request, req.answered)
	if !errors.Is(err, errUnconfirmed) {
		return p, err
	}
	if err := req.Confirm(ctx); err != nil {
		return order.Payment{}, err
	}
	request.Unconfirmed = false
	return s.makeInTime(ctx, request, req.answered)
}

// errUnconfirmed says that something would be sent, and nobody has confirmed it.
var errUnconfirmed = errors.New("not confirmed")

// makeInTime makes the payment within the service's time limit.
func (s *Service) makeInTime(ctx context.Context, request ledger.ClaimRequest, answered func(error)) (order.Payment, error) {
	ctx, cancel, err := s.limit(ctx)
	if err != nil {
		return order.Payment{}, err
	}
	defer cancel()
	p, err := s.make(ctx, request, answered)
	for errors.Is(err, ledger.ErrClaimLost) {
		p, err = s.resolveHolder(ctx, request, p)
	}
	return p, err
}

// limit bounds ctx by the service's time limit. It fails if that leaves no time at
// all: whoever is asked then would seem to be at fault.
func (s *Service) limit(ctx context.Context) (context.Context, context.CancelFunc, error) {
	limited, cancel := context.WithTimeout(ctx, s.Timeout)
	if ctx.Err() == nil && limited.Err() != nil {
		cancel()
		return nil, nil, fmt.Errorf("the time limit of %s ended before anybody was asked: %w", s.Timeout, limited.Err())
	}
	return limited, cancel, nil
}

// make claims the order and sends, if there is something to send. It returns
// ledger.ErrClaimLost beside the payment as it now stands if another process took
// it over meanwhile.
func (s *Service) make(ctx context.Context, request ledger.ClaimRequest, answered func(error)) (order.Payment, error) {
	claim, err := s.claim(ctx, request)
	if err != nil {
		return claim.Payment, err
	}
	s.warnOthers(claim)
	if claim.Verdict == ledger.Replay {
		if request.New {
			notify(s.Warn, "order %s is PAID already: no other order is made", request.OrderID)
		}
		claim.Payment.Replayed = len(claim.Payment.Order) > 0
		return claim.Payment, nil
	}
	if paid, err := s.cancelReplaced(ctx, claim); err != nil {
		return claim.Payment, err
	} else if paid != nil {
		return s.giveUp(ctx, claim, *paid)
	}
	return s.send(ctx, claim, answered)
}

// giveUp ends a claim without a request, since the order is paid.
func (s *Service) giveUp(ctx context.Context, claim ledger.Claim, paid order.Payment) (order.Payment, error) {
	recording, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordWithin)
	defer cancel()
	if _, err := s.Ledger.RecordFailure(recording, claim, order.Rejected, order.Failure{Code: "paid", Message: "the order is paid already"}, 0); err != nil {
		return claim.Payment, err
	}
	notify(s.Warn, "order %s is PAID already: no other order is made", paid.OrderID)
	paid.Replayed = len(paid.Order) > 0
	return paid, nil
}

// resolveHolder goes on after a claim was lost: the answer to this process is
// never shown, and whatever the one that took over records is the answer.
// Something was sent by now, so not getting through is no failure of the ledger.
func (s *Service) resolveHolder(ctx context.Context, request ledger.ClaimRequest, lost order.Payment) (order.Payment, error) {
	request.New = false
	switch {
	case request.KeyGiven:
	case lost.ReplacedBy == "":
		request.Key, request.KeyGiven = lost.Key, true
	default: // by --new: the newer one is the answer
		request.Key = s.NewKey()
	}
	p, err := s.make(ctx, request, nil)
	_, failed := errors.AsType[*ledger.Error](err)
	switch {
	case !failed:
		return p, err
	case ctx.Err() != nil:
		return lost, &BusyError{lost.OrderID}
	}
	return lost, &NotRecordedError{lost.Key, err}
}

// claim asks the ledger what may be done, asks what became of earlier payments if
// it has to, and waits while another process is making the order; its payment
// comes beside a *BusyError.
func (s *Service) claim(ctx context.Context, request ledger.ClaimRequest) (ledger.Claim, error) {
	var busy ledger.Claim
	for {
		claim, err := s.Ledger.Claim(ctx, request)
		waiting := busy.Verdict == ledger.Busy
		switch {
		case err != nil && waiting && ctx.Err() != nil:
			return busy, &BusyError{request.OrderID}
		case err != nil:
			return claim, err
		case claim.Verdict == ledger.Confirm, claim.Verdict == ledger.AskFirst && request.Unconfirmed && s.cancelsFirst(claim.Payment):
			return claim, errUnconfirmed
		case claim.Verdict == ledger.AskFirst:
			if err := s.askEarlier(ctx, claim.Payment); err != nil {
				return claim, err
			}
			request.Asked = true
			continue
		case claim.Verdict != ledger.Busy:
			return claim, nil
		case !waiting:
			notify(s.Note, "another process (%s) is making the payment order for %s; waiting for it", claim.Holder, request.OrderID)
		}
		busy = claim
		if backoff.Sleep(ctx, pollClaim) != nil {
			return busy, &BusyError{request.OrderID}
		}
	}
}

// warnOthers says which other payments of the order are open: each could be paid.
func (s *Service) warnOthers(claim ledger.Claim) {
	for _, other := range claim.Others {
		notify(s.Warn, "order %s also has an open %s payment (%s); both could be paid", other.OrderID, other.Source, shown(other))
	}
}

func shown(p order.Payment) string {
	if p.BankOrderID != "" {
		return p.BankOrderID
	}
	return "key " + p.Key
}

// send asks the API under a claim, keeping its lease, and records the outcome.
func (s *Service) send(ctx context.Context, claim ledger.Claim, answered func(error)) (order.Payment, error) {
	asking, release := s.keepLease(ctx, func(ctx context.Context) error { return s.Ledger.Renew(ctx, claim) })
	var made *order.Order
	var response *api.Response
	attempts, failure := s.API.Retry(asking, func(ctx context.Context) (err error) {
		made, response, err = s.API.CreateOrder(ctx, claim.Payment.OrderID, claim.Payment.Source, claim.Payment.Key)
		return err
	})
	release()
	if answered != nil {
		answered(failure)
	}

	recording, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordWithin)
	defer cancel()
	if failure != nil {
		return s.recordFailure(recording, claim, attempts, failure)
	}
	p, err := s.Ledger.RecordOrder(recording, claim, made, ledger.Answer{
		Attempts: attempts.Sent, RequestID: response.RequestID, Date: response.Date(),
		Warnings: order.Mismatches(made, claim.Payment.Source, s.Env, s.Live),
	})
	switch {
	case errors.Is(err, ledger.ErrClaimLost):
		return p, err
	case err != nil:
		return claim.Payment, &NotRecordedError{claim.Payment.Key, err}
	case p.ReplacedBy != "":
		return p, ledger.ErrClaimLost // --new gave its place away while this process slept
	}
	return p, nil
}

// keepLease renews the claim until the returned function is called. The context
// it returns ends if the claim was taken over: an answer would count for
// nothing then, and asking on could make another order.
func (s *Service) keepLease(ctx context.Context, renew func(context.Context) error) (asking context.Context, release func()) {
	asking, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for backoff.Sleep(asking, ledger.RenewEvery) == nil {
			if errors.Is(renew(asking), ledger.ErrClaimLost) {
				cancel()
			}
		}
	}()
	return asking, func() {
		cancel()
		<-done
	}
}

// recordFailure records why there is no order. The ledger keeps a payment
// unknown once any attempt of it was ambiguous, also in an earlier run.
func (s *Service) recordFailure(ctx context.Context, claim ledger.Claim, made api.Attempts, cause error) (order.Payment, error) {
	state, failure := outcome(made, cause)
	p, err := s.Ledger.RecordFailure(ctx, claim, state, failure, made.Sent)
	switch {
	case errors.Is(err, ledger.ErrClaimLost):
		return p, err
	case err != nil && state == order.Rejected && !claim.Resumed:
		rejected := claim.Payment
		rejected.State, rejected.Error = state, &failure
		return rejected, errors.Join(cause, err)
	case err != nil:
		return claim.Payment, &NotRecordedError{claim.Payment.Key, errors.Join(err, cause)}
	}
	if p.State == order.Unknown && state != order.Unknown {
		cause = stillUnknown(cause)
	}
	return p, cause
}

// stillUnknown says of a failure that an earlier run's attempt may have been
// carried out all the same.
func stillUnknown(cause error) error {
	unknown := &api.Error{Kind: api.Unknown, Code: "outcome_unknown", Message: cause.Error(), Err: cause}
	if failure, ok := errors.AsType[*api.Error](cause); ok {
		*unknown = *failure
		unknown.Kind = api.Unknown
	}
	unknown.Message += "; an earlier attempt may have made the order"
	return unknown
}

// outcome says what a failed series of attempts leaves behind.
func outcome(made api.Attempts, cause error) (order.State, order.Failure) {
	var failure *api.Error
	if !errors.As(cause, &failure) {
		failure = &api.Error{Code: "not_sent", Message: cause.Error(), Kind: api.Unavailable}
	}
	state := order.Rejected
	if failure.Kind == api.Unknown || made.Ambiguous {
		state = order.Unknown
	}
	return state, order.Failure{
		Code: failure.Code, Message: failure.Message, Status: failure.Status,
		RequestID: failure.RequestID, Retryable: failure.Retryable(),
	}
}

// notify passes a text on, if there is anybody to get it.
func notify(to func(string), format string, args ...any) {
	if to != nil {
		to(fmt.Sprintf(format, args...))
	}
}
