package order

import (
	"bytes"
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

// Summary is the report in one line.
func (r *Report) Summary() string {
	name, state := cmpOr(r.ChargeID, "a charge"), cmpOr(r.TransactionState, "no transaction_state")
	if on := cmpOr(r.BankOrderID, r.Reference); on != "" {
		name += " on " + on
	}
	return strings.TrimSpace(fmt.Sprintf("%s: %s, %s, %s %s", name, state, cmpOr(r.Status, "no status"), r.Amount, r.Currency))
}

func cmpOr(text, otherwise string) string {
	if text == "" {
		return otherwise
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
// names another Villa order in orderid.
func ParseStatus(body []byte, orderID string, statusPaid []string) (Status, error) {
	s := Status{Raw: bytes.TrimSpace(body)}
	if json.Unmarshal(body, &s.Word) == nil {
		s.Reports = []Report{{Status: s.Word}}
	} else {
		var err error
		if s.Reports, err = collect(s.Raw, Report{OrderID: orderID}, maxNesting); err != nil {
			return Status{}, err
		}
	}
	if len(s.Reports) == 1 {
		s.Word, s.Reports[0].Raw = s.Reports[0].Status, s.Raw
	}
	for i := range s.Reports {
		r := &s.Reports[i]
		if r.OrderID != "" && r.OrderID != orderID {
			return Status{}, fmt.Errorf("%w: %s", ErrOtherOrder, r.OrderID)
		}
		r.OrderID = orderID
		if r.BankOrderID == orderID {
			r.BankOrderID = "" // it only repeats what was asked
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
const maxNesting = 4

// collect reads the charges in an object or a list. What a charge does not state
// is what stands around it.
func collect(raw json.RawMessage, around Report, depth int) (all []Report, _ error) {
	var list []json.RawMessage
	if json.Unmarshal(raw, &list) == nil {
		for _, element := range list {
			found, err := collect(element, around, depth)
			if err != nil {
				return nil, err
			}
			all = append(all, found...)
		}
		return all, nil
	}
	fields, err := ParseObject(raw)
	if err != nil {
		return nil, fmt.Errorf("the status answer %w", err)
	}
	own := fields.report(around)
	own.Raw = raw
	if own.TransactionState != "" || depth == 0 {
		return []Report{own}, nil
	}
	for _, name := range []string{"charge", "charges", "payment", "payments", "transactions", "data"} {
		if inner := bytes.TrimSpace(fields[name]); len(inner) == 0 || inner[0] != '{' && inner[0] != '[' {
			continue
		}
		found, err := collect(fields[name], own, depth-1)
		if err != nil {
			return nil, err
		}
		for _, r := range found {
			if r.TransactionState != "" || own.Status == "" && r.Status != "" {
				all = append(all, r)
			}
		}
		if len(all) > 0 {
			return all, nil
		}
	}
	return []Report{own}, nil
}

// report reads what an object says about a charge, or about the order around one.
func (o Object) report(around Report) Report {
	r := Report{
		OrderID: around.OrderID, BankOrderID: around.BankOrderID, Reference: around.Reference,
		Amount: around.Amount, Currency: around.Currency, Livemode: around.Livemode, Doubt: around.Doubt,
		ChargeID: o.Text("charge_id"), Status: o.Text("status"), TransactionState: o.Text("transaction_state"),
		Created: ParseCreated(o.Text("created")),
	}
	for name, into := range map[string]*string{"orderid": &r.OrderID, "orderId": &r.OrderID, "order_id": &r.BankOrderID, "reference_order": &r.Reference, "currency": &r.Currency} {
		if o.has(name) {
			*into = strings.TrimSpace(o.Text(name))
		}
	}
	switch id := o.Text("id"); {
	case id == "":
	case o.Text("object") == "order" || strings.HasPrefix(id, "order_"):
		r.BankOrderID, r.Created = id, time.Time{} // the order's, not a charge's
	case r.ChargeID == "":
		r.ChargeID = id
	}
	if o.has("amount") {
		var err error
		if r.Amount, err = o.Amount("amount"); err != nil {
			r.Doubt = "amount"
		}
	}
	if o.has("livemode") {
		if r.Livemode = o.Flag("livemode"); r.Livemode == nil {
			r.Doubt = "livemode"
		}
	}
	for _, name := range []string{"id", "charge_id", "order_id", "reference_order", "currency", "status", "transaction_state"} {
		if o.has(name) && o.Text(name) == "" {
			r.Doubt = name
		}
	}
	return r
}
