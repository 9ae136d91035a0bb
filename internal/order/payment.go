package order

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// State says what is known about a payment.
type State string

// The states of a payment. Expired is never stored: it is awaiting past
// ExpiresAt, computed by [Payment.At].
const (
	Sending   State = "sending"   // recorded, no answer yet
	Awaiting  State = "awaiting"  // order made; not yet paid
	Paid      State = "paid"      // a charge proves it
	Failed    State = "failed"    // the bank rejected the order, or reversed its charge
	Rejected  State = "rejected"  // nothing was made
	Unknown   State = "unknown"   // sent, answer lost
	Expired   State = "expired"   // awaiting past ExpiresAt
	Cancelled State = "cancelled" // canceled, or its charge voided
	Refunded  State = "refunded"  // its charge was refunded in full
)

// States lists every state, for filters and completion.
func States() []State {
	return []State{Sending, Awaiting, Paid, Failed, Rejected, Unknown, Expired, Cancelled, Refunded}
}

// Final reports whether a payment that goes well does not leave the state any
// more: it is neither in flight nor awaiting.
func (s State) Final() bool { return s != Sending && s != Awaiting && s != Unknown }

// Open reports whether a payment in the state has an order that nobody is known to have
// paid: awaiting, or expired.
func (s State) Open() bool { return s == Awaiting || s == Expired }

// Origin says who said something.
type Origin string

// The origins of knowledge. What the API and the bank say comes over TLS from
// the configured host; only its checksum proves a notification.
const (
	FromAPI     Origin = "api"
	FromBank    Origin = "bank"
	FromWebhook Origin = "webhook"
	FromLedger  Origin = "ledger" // this tool's own doing: recorded, not yet answered
)

// Payment is one attempt to get one Villa order paid: an intent, and what became
// of it. Times are absolute; whoever shows one chooses the zone.
type Payment struct {
	ID      int64  // the ledger's own number, never shown to scripts; 0 if not recorded
	Scope   string // normalized base URL, or the sandbox's state directory
	Env     string // the environment's name when it was made: a label
	OrderID string // the Villa order
	Source  Source
	Key     string // idempotency key, unique in its scope

	State    State
	Attempts int // requests sent for it, over all runs

	Order       json.RawMessage // the API's answer exactly as received; nil if there is none
	BankOrderID string          // the order's id
	Reference   string          // its reference_order
	Amount      Amount
	Currency    string
	CreatedAt   time.Time // the order's `created`; zero if unreadable
	ExpiresAt   time.Time // Life.ShownUntil; zero = never
	HeldUntil   time.Time // Life.HeldUntil; zero = never

	RecordedAt time.Time // when the intent was committed
	KnownAt    time.Time // when the state was last heard
	KnownFrom  Origin
	RequestID  string // of the answer the state rests on

	BankState  string // the deciding charge's transaction_state, as it came
	ChargeID   string
	PaidAt     time.Time // zero = never
	PaidAtFrom string    // AtBank or AtKnown
	PaidBy     string    // ByTransactionState or ByStatusPaid

	Held     *Held // the last code or page that it may be paid with; nil if there was none
	Canceled bool  // its codes were canceled: it is cancelled, if no charge says otherwise

	ReplacedBy string // key of the payment that was made in its place
	Warnings   []Warning
	Error      *Failure // why it is rejected, unknown or failed; else nil

	// Replayed is not stored: payment.Service sets it if this run sent nothing and
	// an earlier or other run recorded the order.
	Replayed bool
}

// What Payment.PaidAt is.
const (
	AtBank  = "bank"  // the time that the charge itself states
	AtKnown = "known" // the time when it became known; the charge states none
)

// What proves that a payment is paid: Payment.PaidBy and Report.PaidBy.
const (
	ByTransactionState = "transaction_state" // a charge's transaction_state
	// ByStatusPaid is a bare word of a status endpoint whose owner says that it
	// means paid (status_paid).
	ByStatusPaid = "status_paid"
)

// Warning is something about a payment that a person should look at.
type Warning struct {
	Code    string `json:"code"` // a promise to scripts
	Message string `json:"message"`
}

// Failure says why a payment has no order, or why the one it has failed. Its
// JSON is the payment object's villapay.error.
type Failure struct {
	Code      string `json:"code"`
	Message   string `json:"message"`
	Status    int    `json:"status"` // HTTP status; 0 if there was none
	RequestID string `json:"request_id"`
	Retryable bool   `json:"retryable"`
}

// Answer fills in what an order says. The state is awaiting, or failed if the
// bank rejected the order.
func (p *Payment) Answer(o *Order, a Answered) {
	life, age := NewLife(o.Created, o.Expiry, a)
	p.Order, p.BankOrderID, p.Reference, p.Amount, p.Currency = o.Raw, o.ID, o.Reference, o.Amount, o.Currency
	p.CreatedAt, p.ExpiresAt, p.HeldUntil = o.Created, life.ShownUntil, life.HeldUntil
	p.KnownAt, p.KnownFrom = a.Received, FromAPI
	p.State, p.Error = o.initialState()
	if age.Abs() > clockTolerance {
		p.Warnings = append(p.Warnings, Warning{WarnClock, fmt.Sprintf("clocks differ: the order was created %+.0f s before the answer's own date; its expiry may be wrong", age.Seconds())})
	}
}

// initialState returns the state that an order gives its payment by itself.
func (o *Order) initialState() (State, *Failure) {
	if !o.Failed() {
		return Awaiting, nil
	}
	f := &Failure{Code: o.FailureCode, Message: o.FailureMessage}
	if f.Code == "" {
		f.Code = "order_failed"
	}
	if f.Message == "" {
		f.Message = fmt.Sprintf("the bank rejected the order (status %q)", o.Status)
	}
	return Failed, f
}

// At is the payment as it stands at a time: awaiting past its expiry is expired.
func (p Payment) At(now time.Time) Payment {
	if p.State == Awaiting && !p.ExpiresAt.IsZero() && !now.Before(p.ExpiresAt) {
		p.State = Expired
	}
	return p
}

// Lapsed reports whether nobody can pay the order any more for certain, though
// no charge is known. A payment with a charge that the bank took back does not
// lapse, and an order without an expiry never does by itself.
func (p *Payment) Lapsed(now time.Time) bool {
	return p.State.Open() && !p.HeldUntil.IsZero() && !now.Before(p.HeldUntil) && !p.HoldsCode(now)
}

// HoldsPlace reports whether a payment with an order keeps its Villa order and source to
// itself: it is returned where another order would be made. Charges free no place.
func (p *Payment) HoldsPlace(now time.Time) bool {
	switch {
	case p.Order == nil, p.ReplacedBy != "", p.Canceled, p.Lapsed(now):
		return false
	case p.State == Failed: // by itself, or its charge was reversed
		return Transaction(p.BankState) == Reversed
	}
	return true
}

// Warned reports whether the payment carries a warning with this code.
func (p *Payment) Warned(code string) bool {
	return slices.ContainsFunc(p.Warnings, func(w Warning) bool { return w.Code == code })
}

// Payable returns nil if the payment's code may be shown for paying at a time,
// else an error that completes "no code is shown: ".
func (p *Payment) Payable(now time.Time) error {
	switch state := p.At(now).State; {
	case state == Paid:
		return errors.New("it is already paid")
	case p.ReplacedBy != "":
		return errors.New("it was replaced by a newer payment")
	case state == Expired && !p.Lapsed(now):
		return fmt.Errorf("it is expired, and may still be paid until %s", p.MayBePaidUntil(now).In(Bangkok).Format("15:04:05 on 2006-01-02"))
	case state == Cancelled:
		return errors.New("it is canceled")
	case state == Sending, state == Unknown:
		return errors.New("it is not known whether it was made")
	case state != Awaiting:
		return errors.New("it is " + string(state))
	case p.Warned(WarnPaidElsewhere):
		return errors.New("the order is paid by another payment")
	case p.Warned(warnPartial):
		return errors.New("a part of its payment was refunded")
	case p.Warned(WarnShared):
		return errors.New("its bank order belongs to another Villa order")
	}
	return nil
}

// Answering picks the payment that answers for a Villa order: the paid one if
// any, else the newest. Payments come newest first.
func Answering(payments []Payment) (Payment, bool) {
	if i := slices.IndexFunc(payments, func(p Payment) bool { return p.State == Paid }); i >= 0 {
		return payments[i], true
	}
	if len(payments) == 0 {
		return Payment{}, false
	}
	return payments[0], true
}

// Open picks the payment of a Villa order that matters to whoever wants to pay
// it: the paid one if any, else the newest one that can be paid, else the newest.
func Open(payments []Payment, now time.Time) (Payment, bool) {
	answering, found := Answering(payments)
	if answering.State != Paid {
		for _, p := range payments {
			if p.Payable(now) == nil {
				return p, true
			}
		}
	}
	return answering, found
}

// Mismatches returns what in an order contradicts what was asked for.
func Mismatches(o *Order, asked Source, env string, live bool) (all []Warning) {
	if o.SourceType != "" && !strings.EqualFold(o.SourceType, string(asked)) {
		all = append(all, Warning{"source_type", fmt.Sprintf("asked for source %s, the order says %s", asked, o.SourceType)})
	}
	if o.OddExpiry != "" {
		all = append(all, Warning{"expiry", fmt.Sprintf("the order's expire_time_seconds is %q: when it expires is not known", o.OddExpiry)})
	}
	switch {
	case o.Livemode == nil || *o.Livemode == live:
	case *o.Livemode:
		all = append(all, Warning{"livemode", fmt.Sprintf("this order is LIVE and takes real money, but environment %s is not live", env)})
	default:
		all = append(all, Warning{"livemode", fmt.Sprintf("this order is a test order, but environment %s is live: no money will arrive", env)})
	}
	return all
}
