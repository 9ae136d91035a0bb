package order

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Report is what somebody said about a charge, with the ids that were stated.
// Nothing is filled in: an empty field was not stated.
type Report struct {
	OrderID     string // the Villa order that was asked about; "" for a notification
	BankOrderID string // order_id: a bank order's id, or its reference_order
	Reference   string // reference_order
	ChargeID    string

	Amount           Amount
	Currency         string
	Status           string
	TransactionState string
	Livemode         *bool
	Created          time.Time // the charge's own time; zero if not stated
	Doubt            string    // which field is there and cannot be read; the report changes nothing

	From      Origin
	PaidBy    string // what would prove paid; "" = ByTransactionState
	RequestID string
	Raw       json.RawMessage

	Received time.Time // by the ledger's clock

	// Unconfirmed is not stored: the bank did not confirm a notification, of which the
	// payment is to warn.
	Unconfirmed bool
}

// Rank says how far a charge has come. A charge only moves up.
type Rank int

// The ranks. Unranked is a transaction_state that nobody has explained: it is
// kept as it came and moves nothing.
const (
	Unranked Rank = iota
	Initialized
	Declined
	Authorized
	Settled
	Reversed
	Voided
	RefundedInFull
)

// Transaction is the one table of transaction_state values (the bank's own typo
// included), read without regard to case.
func Transaction(state string) Rank {
	switch strings.ToLower(strings.TrimSpace(state)) {
	case "initialize", "pre-authorized":
		return Initialized
	case "declined":
		return Declined
	case "authorized", "auhtorized":
		return Authorized
	case "settled":
		return Settled
	case "reversed":
		return Reversed
	case "voided", "void":
		return Voided
	case "refund sent", "refunded", "refund":
		return RefundedInFull
	}
	return Unranked
}

// paid reports whether a charge of this rank is paid now.
func (r Rank) paid() bool { return r == Authorized || r == Settled }

// state is what a charge of this rank makes of its payment, "" if nothing: a
// declined order can still be paid.
func (r Rank) state() State {
	switch r {
	case Authorized, Settled:
		return Paid
	case Reversed:
		return Failed
	case Voided:
		return Cancelled
	case RefundedInFull:
		return Refunded
	case Unranked, Initialized, Declined:
	}
	return ""
}

func (r *Report) rank() Rank {
	if r.PaidBy == ByStatusPaid && r.TransactionState == "" {
		return Authorized
	}
	return Transaction(r.TransactionState)
}

// AboutCharge reports whether it says more than that an order was made.
func (r Report) AboutCharge() bool {
	return r.TransactionState != "" || r.PaidBy == ByStatusPaid || r.Doubt != ""
}

// trusted reports whether the API or the bank said it, over TLS.
func (r *Report) trusted() bool { return r.From == FromAPI || r.From == FromBank }

// Border is the part of a notification's signed text in which one field runs
// into the next: the charge's id and its amount with four decimals. ("X5", 300)
// and ("X", 5300) have the same. It is "" if there is no id or amount.
func (r *Report) Border() string {
	amount, err := r.Amount.Fixed(4)
	if err != nil || r.ChargeID == "" {
		return ""
	}
	return r.ChargeID + amount
}

// Readings are the ids of the other charges whose signed text is the same: the
// checksum does not cover where the id ends and the amount begins.
func (r *Report) Readings() (ids []string) {
	whole, _, _ := strings.Cut(r.Border(), ".")
	id := strings.TrimRight(whole, "0123456789")
	for at := max(len(id), 1); at < len(whole); at++ {
		if (whole[at] != '0' || at == len(whole)-1) && whole[:at] != r.ChargeID {
			ids = append(ids, whole[:at])
		}
	}
	return ids
}

// Summary is the report in one line, which names the bank if that said it.
func (r *Report) Summary() string {
	name, state := cmp.Or(r.ChargeID, "a charge"), cmp.Or(r.TransactionState, "no transaction_state")
	if on := cmp.Or(r.BankOrderID, r.Reference); on != "" {
		name += " on " + on
	}
	text := strings.TrimSpace(fmt.Sprintf("%s: %s, %s, %s %s", name, state, cmp.Or(r.Status, "no status"), r.Amount, r.Currency))
	if r.From == FromBank {
		text += ", says the bank"
	}
	return text
}

func (r *Report) name() string {
	if r.ChargeID == "" {
		return "a charge without an id"
	}
	return "charge " + r.ChargeID
}

// Status is a status answer, about a Villa order or a bank order. Its form is not
// published, so every field may be missing.
type Status struct {
	Reports []Report // one for each charge; none if all it says is Word
	Word    string   // a bare status such as "success", which proves nothing alone
	Raw     json.RawMessage
}

// ErrOtherOrder says that an answer names another Villa order than the one that
// was asked about. It proves nothing.
var ErrOtherOrder = errors.New("the answer is about another order")

// ParseStatus reads a status answer about a Villa order: a bare word, an object,
// one nested under a usual name, or a list of them. statusPaid are the bare words
// that mean paid in this environment. It fails with ErrOtherOrder if the answer
// names another Villa order.
func ParseStatus(body []byte, orderID string, statusPaid []string) (Status, error) {
	s := Status{Raw: bytes.TrimSpace(body)}
	around := Report{OrderID: orderID}
	if json.Unmarshal(body, &around.Status) == nil {
		s.Reports = []Report{around}
	} else {
		var err error
		if s.Reports, err = collect(s.Raw, around, maxNesting); err != nil {
			return Status{}, err
		}
	}
	if len(s.Reports) > 0 {
		s.Word = s.Reports[0].Status
	}
	if len(s.Reports) == 1 {
		s.Reports[0].Raw = s.Raw
	}
	for i := range s.Reports {
		r := &s.Reports[i]
		for _, name := range []*string{&r.BankOrderID, &r.Reference} {
			if *name == orderID {
				*name = "" // it only repeats what was asked
			}
		}
		if slices.ContainsFunc(statusPaid, func(paid string) bool { return paid != "" && strings.EqualFold(paid, r.Status) }) {
			if r.TransactionState == "" {
				r.PaidBy = ByStatusPaid
			}
			r.Status = "success"
		}
	}
	s.Reports = slices.DeleteFunc(s.Reports, func(r Report) bool {
		return r.TransactionState == "" && r.PaidBy == "" && r.BankOrderID == "" && r.Doubt == ""
	})
	return s, nil
}

// maxNesting is how deep in an answer charges are looked for.
const maxNesting = 8

// collect reads the charges in an object or a list. What a charge does not state
// is what stands around it.
func collect(raw json.RawMessage, around Report, depth int) (all []Report, _ error) {
	if depth == 0 {
		return nil, errors.New("the status answer is nested too deeply")
	}
	var inside []json.RawMessage
	own, isList := around, json.Unmarshal(raw, &inside) == nil
	if !isList {
		fields, err := ParseObject(raw)
		if err != nil {
			return nil, fmt.Errorf("the status answer %w", err)
		}
		if own, err = fields.report(around); err != nil {
			return nil, err
		}
		own.Raw = raw
		for _, name := range []string{"charge", "charges", "payment", "payments", "transactions", "data"} {
			if inner := fields[name]; len(inner) > 0 && (inner[0] == '{' || inner[0] == '[') {
				inside = append(inside, inner)
			}
		}
	}
	for _, inner := range inside {
		found, err := collect(inner, own, depth-1)
		if err != nil {
			return nil, err
		}
		all = append(all, found...)
	}
	if !isList && !slices.ContainsFunc(all, func(r Report) bool { return own.TransactionState == "" || own.TransactionState == r.TransactionState }) {
		all = append(all, own) // nothing inside says it, or details it
	}
	return all, nil
}

// report reads what an object says about a charge, or about the order around one.
func (o Object) report(around Report) (Report, error) {
	text := func(name string) string { return strings.TrimSpace(o.Text(name)) }
	r := around
	r.BankOrderID, r.Reference, r.Currency = cmp.Or(text("order_id"), r.BankOrderID), cmp.Or(text("reference_order"), r.Reference), cmp.Or(text("currency"), r.Currency)
	r.ChargeID, r.Status, r.TransactionState, r.Created = text("charge_id"), text("status"), text("transaction_state"), ParseCreated(text("created"))
	switch id := text("id"); {
	case id == "":
	case text("object") == "order" || strings.HasPrefix(id, "order_"):
		r.BankOrderID, r.Created = id, time.Time{} // the order's, not a charge's
	case r.ChargeID == "":
		r.ChargeID = id
	}
	for _, name := range []string{"orderid", "orderId"} {
		if other := text(name); other != "" && other != r.OrderID {
			return r, fmt.Errorf("%w: %s", ErrOtherOrder, other)
		}
	}
	if r.TransactionState == "" && (r.Status == "" || around.TransactionState != "") { // only details of what is said around it
		r.Status, r.TransactionState, r.ChargeID = around.Status, around.TransactionState, cmp.Or(around.ChargeID, r.ChargeID)
		if !around.Created.IsZero() {
			r.Created = around.Created
		}
	}
	var err error
	if o.has("amount") {
		if r.Amount, err = o.Amount("amount"); err != nil {
			r.Doubt = "amount"
		}
	}
	if o.has("livemode") {
		if r.Livemode = o.Flag("livemode"); r.Livemode == nil {
			r.Doubt = "livemode"
		}
	}
	for _, name := range []string{"currency", "status", "transaction_state", "id", "charge_id", "order_id", "reference_order", "orderid", "orderId"} {
		if o.has(name) && o.Text(name) == "" {
			r.Doubt = name
		}
	}
	if around.doubtsOrder() {
		r.Doubt = around.Doubt
	}
	return r, nil
}
