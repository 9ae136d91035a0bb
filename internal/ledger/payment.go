package ledger

import (
	"encoding/json"
	"time"

	"github.com/villapay/villapay/internal/api"
)

// State says what is known about a payment (DESIGN 2).
type State string

// The states of a payment. Expired is never stored: it is awaiting past its
// expiry, computed when a payment is read.
const (
	Sending   State = "sending"   // recorded, no answer yet
	Awaiting  State = "awaiting"  // order made; not yet paid
	Paid      State = "paid"      // a charge proves it
	Failed    State = "failed"    // the bank refused the order
	Rejected  State = "rejected"  // nothing was made
	Unknown   State = "unknown"   // sent, answer lost
	Expired   State = "expired"   // awaiting past ExpiresAt
	Cancelled State = "cancelled" // a charge was voided
	Refunded  State = "refunded"  // a charge was refunded in full
)

// States lists every state, for filters and completion.
func States() []State {
	return []State{Sending, Awaiting, Paid, Failed, Rejected, Unknown, Expired, Cancelled, Refunded}
}

// Settled tells whether nothing is expected to change the state any more in the
// course of a payment that goes well: it is neither in flight nor awaiting.
func (s State) Settled() bool {
	switch s {
	case Sending, Awaiting, Unknown:
		return false
	case Paid, Failed, Rejected, Expired, Cancelled, Refunded:
		return true
	}
	return false
}

// Origin says where the knowledge about a payment came from.
type Origin string

// The origins of knowledge.
const (
	FromAPI     Origin = "api"
	FromWebhook Origin = "webhook"
	FromLedger  Origin = "ledger" // this tool's own doing: recorded, not yet answered
)

// Payment is one attempt to get one Villa order paid: an intent, and what became
// of it. Times are absolute; whoever shows one chooses the zone.
type Payment struct {
	ID      int64  // the ledger's own number; never shown to scripts
	Scope   string // normalised base URL, or the sandbox's state directory
	Env     string // the environment's name when it was made: a label
	OrderID string // the Villa order
	Source  api.Source
	Key     string // idempotency key, unique in its scope

	State    State
	Attempts int // requests sent for it, over all runs

	// Order is the API's answer exactly as received, nil where there is none.
	Order     json.RawMessage
	BankID    string // the order's id
	Amount    api.Amount
	Currency  string
	CreatedAt time.Time // the order's `created`; zero where unreadable
	ExpiresAt time.Time // earlier of created+expiry and receipt+expiry; zero = never

	RecordedAt time.Time // when the intent was committed
	KnownAt    time.Time // when the state was last learned
	KnownFrom  Origin
	RequestID  string // of the answer the state rests on

	BankState string // the deciding charge's transaction_state, as it came
	ChargeID  string
	PaidAt    time.Time // when that charge was first known to be paid; zero = never
	PaidBy    string    // what proved it: ByTransactionState or ByStatusPaid

	ReplacedBy string // key of the payment that --new made instead
	Warnings   []Warning
	Error      *Failure // why it is rejected, unknown or failed; else nil

	// Replayed is not stored: payment.Service sets it where this run sent
	// nothing and an earlier or other run recorded the order.
	Replayed bool
}

// Warning is something about a payment that a person should look at.
type Warning struct {
	Code    string `json:"code"` // livemode, source_type, paid_twice, …: a promise to scripts
	Message string `json:"message"`
}

// Failure says why a payment has no order, or why the one it has failed. Its JSON
// is the payment object's villapay.error.
type Failure struct {
	Code      string `json:"code"`
	Message   string `json:"message"`
	Status    int    `json:"status"` // HTTP status; 0 where there was none
	RequestID string `json:"request_id"`
	Retryable bool   `json:"retryable"`
}

// Event is one line of a payment's history. Events are appended, never
// rewritten.
type Event struct {
	At        time.Time       `json:"at"`
	Kind      string          `json:"kind"` // claimed, taken over, order, failed, rejected, unknown, late answer, charge, status, warning, replaced, lapsed
	Actor     string          `json:"actor"`
	RequestID string          `json:"request_id,omitempty"`
	Note      string          `json:"note,omitempty"`
	Data      json.RawMessage `json:"data,omitempty"` // what was received, where it is kept
}

// Charge is what a notification or a status answer says about a charge on a
// bank order (kbank.md).
type Charge struct {
	ID               string // chrg_…; "" where a status endpoint gives none
	BankID           string // order_id: the bank order it belongs to
	Guessed          bool   // nothing named BankID: it is the caller's guess (Ledger.ApplyCharge)
	Amount           api.Amount
	Currency         string
	Status           string
	TransactionState string
	Livemode         *bool
	Checksum         string // of a notification, verified; "" of a status answer
	From             Origin // FromAPI or FromWebhook
	PaidBy           string // how it would prove paid; "" = ByTransactionState
	RequestID        string
	Raw              json.RawMessage
}
