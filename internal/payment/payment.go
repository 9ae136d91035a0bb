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
	Warn   func(text string) // told what a person must know; may be nil

	// turn waits until a request may be repeated, beyond its own backoff; nil
	// does not.
	turn func(context.Context) error
}

// Request asks for one payment order.
type Request struct {
	OrderID string
	Source  api.Source
	Key     string // the user's own idempotency key; "" = a fresh one
	New     bool   // another order though one is still open

	// answered is told what the API had to say, nil for an order, before that is
	// recorded; it may be nil.
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
	wish := ledger.ClaimRequest{
		Scope: s.Scope, Env: s.Env, OrderID: req.OrderID, Source: req.Source,
		Key: key, KeyGiven: req.Key != "", New: req.New,
	}
	p, err := s.makeRecorded(ctx, wish, req.answered)
	for errors.Is(err, ledger.ErrClaimLost) {
		p, err = s.follow(ctx, wish, p)
	}
	return p, err
}

// makeRecorded claims the order and sends, where there is something to send. It
// returns ledger.ErrClaimLost beside the payment as it now stands where another
// process took it over meanwhile.
func (s *Service) makeRecorded(ctx context.Context, wish ledger.ClaimRequest, answered func(error)) (ledger.Payment, error) {
	claim, err := s.claim(ctx, wish)
	if err != nil {
		return claim.Payment, err
	}
	s.tellOthers(claim)
	if claim.Verdict == ledger.Replay {
		claim.Payment.Replayed = len(claim.Payment.Order) > 0
		return claim.Payment, nil
	}
	return s.send(ctx, claim, answered)
}

// follow goes on after a claim was lost: what this process was told is never
// shown, and whatever the one that took over records is the answer. Something
// was sent by now, so that not getting through is no failure of the ledger.
func (s *Service) follow(ctx context.Context, wish ledger.ClaimRequest, lost ledger.Payment) (ledger.Payment, error) {
	wish.New = false
	switch {
	case wish.KeyGiven:
	case lost.ReplacedBy == "":
		wish.Key, wish.KeyGiven = lost.Key, true
	default: // by --new: the newer one is the answer
		wish.Key = s.NewKey()
	}
	p, err := s.makeRecorded(ctx, wish, nil)
	_, failed := errors.AsType[*ledger.Error](err)
	switch {
	case !failed:
		return p, err
	case ctx.Err() != nil:
		return lost, &BusyError{lost.OrderID}
	}
	return lost, &NotRecordedError{lost.Key, err}
}

// claim asks the ledger what may be done, and waits while another process is
// making the order; its payment comes beside a *BusyError.
func (s *Service) claim(ctx context.Context, wish ledger.ClaimRequest) (ledger.Claim, error) {
	var busy ledger.Claim
	for {
		claim, err := s.Ledger.Claim(ctx, wish)
		waiting := busy.Verdict == ledger.Busy
		switch {
		case err != nil && waiting && ctx.Err() != nil:
			return busy, &BusyError{wish.OrderID}
		case err != nil || claim.Verdict != ledger.Busy:
			return claim, err
		case !waiting:
			tell(s.Note, "another process (%s) is making the payment order for %s; waiting for it", claim.Holder, wish.OrderID)
		}
		busy = claim
		if api.Sleep(ctx, pollClaim) != nil {
			return busy, &BusyError{wish.OrderID}
		}
	}
}

// tellOthers says that the order was paid already, and which other codes of it
// are still alive: each could be paid.
func (s *Service) tellOthers(claim ledger.Claim) {
	others := claim.Others
	if old := claim.Replaced; old != nil {
		if old.State == ledger.Paid {
			others = append(others, *old)
		} else {
			tell(s.Warn, "the earlier payment of order %s (%s) is replaced; its code may still be payable until it expires", old.OrderID, shown(*old))
		}
	}
	for _, other := range others {
		if other.State == ledger.Paid {
			tell(s.Warn, "order %s is PAID already (%s)", other.OrderID, shown(other))
		} else {
			tell(s.Warn, "order %s also has an open %s payment (%s); both could be paid", other.OrderID, other.Source, shown(other))
		}
	}
}

func shown(p ledger.Payment) string {
	if p.BankID != "" {
		return p.BankID
	}
	return "key " + p.Key
}

// send asks the API under a claim, keeping its lease, and records the outcome.
func (s *Service) send(ctx context.Context, claim ledger.Claim, answered func(error)) (ledger.Payment, error) {
	asking, release := s.keepLease(ctx, claim)
	order, requestID, made, failure := s.ask(asking, claim.Payment)
	release()
	if answered != nil {
		answered(failure)
	}

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
		return payment, err
	case err != nil:
		return claim.Payment, &NotRecordedError{claim.Payment.Key, err}
	case payment.ReplacedBy != "":
		return payment, ledger.ErrClaimLost // --new gave its place away while this process slept
	}
	return payment, nil
}

// ask makes the order with the payment's own key, asking again as the retry
// table allows.
func (s *Service) ask(ctx context.Context, p ledger.Payment) (order *api.Order, requestID string, made api.Attempts, err error) {
	var failed, late error
	made, err = s.API.Retry(ctx, func(ctx context.Context) error {
		if failed != nil && s.turn != nil {
			if late = s.turn(ctx); late != nil {
				return late
			}
		}
		order, requestID, failed = s.API.CreateOrder(ctx, p.OrderID, p.Source, p.Key)
		return failed
	})
	if late != nil && !made.Ambiguous {
		err = failed // its turn did not come in time: what it was told before counts
	}
	return order, requestID, made, err
}

// keepLease renews the claim until the returned function is called. The context
// it returns ends where the claim was taken over: an answer would count for
// nothing then, and asking on could make another order.
func (s *Service) keepLease(ctx context.Context, claim ledger.Claim) (asking context.Context, release func()) {
	asking, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for api.Sleep(asking, ledger.RenewEvery) == nil {
			if errors.Is(s.Ledger.Renew(asking, claim), ledger.ErrClaimLost) {
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
func (s *Service) recordFailure(ctx context.Context, claim ledger.Claim, made api.Attempts, cause error) (ledger.Payment, error) {
	state, failure := outcome(made, cause)
	payment, err := s.Ledger.RecordFailure(ctx, claim, state, failure, made.Sent)
	switch {
	case errors.Is(err, ledger.ErrClaimLost):
		return payment, err
	case err != nil && state == ledger.Rejected && !claim.Resumed:
		refused := claim.Payment
		refused.State, refused.Error = state, &failure
		return refused, errors.Join(cause, err)
	case err != nil:
		return claim.Payment, &NotRecordedError{claim.Payment.Key, errors.Join(err, cause)}
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
	if failure, ok := errors.AsType[*api.Error](cause); ok {
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
	if order.OddExpiry != "" {
		all = append(all, ledger.Warning{Code: "expiry", Message: fmt.Sprintf("the order's expire_time_seconds is %q: when it expires is not known", order.OddExpiry)})
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

// tell tells somebody, if there is anybody to tell.
func tell(who func(string), format string, args ...any) {
	if who != nil {
		who(fmt.Sprintf(format, args...))
	}
}
