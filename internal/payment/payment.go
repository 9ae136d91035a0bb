// Package payment makes payment orders. So that nobody pays twice and no answer is
// lost, it records an intent, calls the API, and records the outcome before it
// returns it. Repeating a request is always safe.
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

// Service makes payments in one environment and reports their status. It is safe
// for concurrent use once its fields are set.
type Service struct {
	API    *api.Client
	Ledger *ledger.Ledger
	Bank   *kbank.Client // nil without the bank's key

	Env     string        // name of the environment
	Scope   string        // order IDs and keys are unique within a scope
	Live    bool          // the environment takes real money
	Timeout time.Duration // for one payment, including retries and waits

	StatusPath string   // of the status endpoint; "" = the API has none
	StatusPaid []string // bare words in its answer that mean paid

	Now    func() time.Time
	NewKey func() string     // returns a new idempotency key
	Note   func(text string) // reports a note to the user; may be nil
	Warn   func(text string) // reports a warning to the user; may be nil
}

// Request asks for one payment order.
type Request struct {
	OrderID string
	Source  order.Source
	Key     string // the user's idempotency key; "" = a new one
	New     bool   // make another order even if one is still open

	// Confirm is called once, if anything has to be sent, before it is sent. If it
	// fails, nothing is sent or recorded. Its time does not count toward Timeout. May
	// be nil.
	Confirm func(context.Context) error

	// answered gets the API's error, nil for an order, before it is recorded. May be
	// nil.
	answered func(error)
}

// NotRecordedError means that something was sent, and that the answer could not be
// recorded. It must not be shown; the next run repeats the request with the same key.
type NotRecordedError struct {
	Key string // "" if no order was asked for: only earlier ones were asked about or canceled
	Err error
}

func (e *NotRecordedError) Error() string {
	if inner, ok := errors.AsType[*NotRecordedError](e.Err); ok {
		return inner.Error()
	}
	if e.Key == "" {
		return "the ledger failed after something was sent: " + e.Err.Error()
	}
	return "the answer arrived but could not be recorded: " + e.Err.Error()
}

func (e *NotRecordedError) Unwrap() error { return e.Err }

// BusyError means that the time ran out while another process was making the order.
type BusyError struct{ OrderID string }

func (e *BusyError) Error() string {
	return "another process is still making the payment order for " + e.OrderID
}

// pollClaim is how often to check a claim that another process holds.
const pollClaim = 100 * time.Millisecond

// toRecord returns the context to record an outcome with, which continues after
// Ctrl-C, for a limited time.
func toRecord(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
}

// Make returns the order's open or paid payment, or makes a new one. With an
// *api.Error it also returns the payment as recorded. An error of the ledger before
// anything was sent is returned unwrapped.
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

// errUnconfirmed means that something has to be sent and is not confirmed yet.
var errUnconfirmed = errors.New("not confirmed")

// makeInTime calls make within s.Timeout, and follows claims that are taken over.
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

// noTimeError is a time limit that ended before anything was done.
type noTimeError struct{ limit time.Duration }

func (e *noTimeError) Error() string {
	return fmt.Sprintf("the time limit of %s ended before the first request", e.limit)
}

func (e *noTimeError) Unwrap() error { return context.DeadlineExceeded }

// limit applies s.Timeout to ctx. It fails if no time is left, so that the timeout is
// not blamed on the next server or the ledger.
func (s *Service) limit(ctx context.Context) (context.Context, context.CancelFunc, error) {
	limited, cancel := context.WithTimeout(ctx, s.Timeout)
	if ctx.Err() == nil && limited.Err() != nil {
		cancel()
		return nil, nil, &noTimeError{s.Timeout}
	}
	return limited, cancel, nil
}

// make claims the order and sends a request if one is needed. If another process
// took over the claim meanwhile, it returns the payment and ledger.ErrClaimLost.
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
		return claim.Payment, s.afterAsking(err)
	} else if paid != nil {
		return s.giveUp(ctx, claim, *paid)
	}
	return s.send(ctx, claim, answered)
}

// giveUp ends a claim without a request, because the order is paid.
func (s *Service) giveUp(ctx context.Context, claim ledger.Claim, paid order.Payment) (order.Payment, error) {
	recording, cancel := toRecord(ctx)
	defer cancel()
	if _, err := s.Ledger.RecordFailure(recording, claim, order.Rejected, order.Failure{Code: "paid", Message: "the order is paid already"}, 0); err != nil {
		return claim.Payment, s.afterAsking(err)
	}
	notify(s.Warn, "order %s is PAID already: no other order is made", paid.OrderID)
	paid.Replayed = len(paid.Order) > 0
	return paid, nil
}

// resolveHolder continues after a lost claim: it returns the result of the process
// that took over, never our own. A request was sent, so a ledger error is returned
// as an unknown outcome.
func (s *Service) resolveHolder(ctx context.Context, request ledger.ClaimRequest, lost order.Payment) (order.Payment, error) {
	request.New = false
	switch {
	case request.KeyGiven:
	case lost.ReplacedBy == "":
		request.Key, request.KeyGiven = lost.Key, true
	default: // replaced by --new: return the newer payment
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

// claim claims the order in the ledger. If the ledger asks for it, it first checks
// the status of earlier payments. It waits while another process makes the order; a
// *BusyError comes with that payment.
func (s *Service) claim(ctx context.Context, request ledger.ClaimRequest) (ledger.Claim, error) {
	var busy ledger.Claim
	sent := false // a question about an earlier payment
	for {
		claim, err := s.Ledger.Claim(ctx, request)
		waiting := busy.Verdict == ledger.Busy
		switch {
		case err != nil && waiting && ctx.Err() != nil:
			return busy, &BusyError{request.OrderID}
		case err != nil && sent:
			return claim, s.afterAsking(err)
		case err != nil:
			return claim, err
		case claim.Verdict == ledger.Confirm, claim.Verdict == ledger.AskFirst && request.Unconfirmed && s.cancelsFirst(claim.Payment):
			return claim, errUnconfirmed
		case claim.Verdict == ledger.AskFirst:
			asked, err := s.askEarlier(ctx, claim.Payment)
			if err != nil {
				return claim, err
			}
			sent = sent || asked
			request.Asked = claim.Newest
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

// warnOthers warns about other open payments of the order. When one is made,
// cancelReplaced deals with those that were replaced.
func (s *Service) warnOthers(claim ledger.Claim) {
	for _, other := range claim.Others {
		if claim.Verdict == ledger.Claimed && isReplaced(other) {
			continue
		}
		notify(s.Warn, "order %s also has an open %s payment (%s); both could be paid", other.OrderID, other.Source, label(other))
	}
}

func label(p order.Payment) string {
	if p.BankOrderID != "" {
		return p.BankOrderID
	}
	return "key " + p.Key
}

// send sends the request, renews the claim meanwhile, and records the outcome.
func (s *Service) send(ctx context.Context, claim ledger.Claim, answered func(error)) (order.Payment, error) {
	asking, release := keepLease(ctx, func(ctx context.Context) error { return s.Ledger.Renew(ctx, claim) })
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

	recording, cancel := toRecord(ctx)
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
		return p, ledger.ErrClaimLost // --new replaced it while this process was suspended
	}
	return p, nil
}

// keepLease renews the claim until release is called. The returned context is
// canceled if another process takes over the claim: a later answer would not count,
// and a retry could make another order.
func keepLease(ctx context.Context, renew func(context.Context) error) (asking context.Context, release func()) {
	asking, cancel := context.WithCancelCause(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for backoff.Sleep(asking, ledger.RenewEvery) == nil {
			if errors.Is(renew(asking), ledger.ErrClaimLost) {
				cancel(ledger.ErrClaimLost)
			}
		}
	}()
	return asking, func() {
		cancel(nil)
		<-done
	}
}

// recordFailure records a failed request. A payment stays unknown once any attempt
// was ambiguous, even in an earlier run.
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

// stillUnknown turns a failure into an unknown outcome: an earlier run may have made
// the order.
func stillUnknown(cause error) error {
	unknown := &api.Error{Kind: api.Unknown, Code: "outcome_unknown", Message: cause.Error(), Err: cause}
	if failure, ok := errors.AsType[*api.Error](cause); ok {
		*unknown = *failure
		unknown.Kind = api.Unknown
	}
	unknown.Message += "; an earlier attempt may have made the order"
	return unknown
}

// outcome returns the state and error to record for failed attempts.
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

// notify calls to with a formatted text, unless to is nil.
func notify(to func(string), format string, args ...any) {
	if to != nil {
		to(fmt.Sprintf(format, args...))
	}
}
