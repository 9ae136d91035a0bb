package webhook

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"strings"
	"time"
	"unicode"

	"github.com/villapay/villapay/internal/order"
)

// MaxBody is the size limit of a notification, in bytes. Real ones have about 1 KB.
const MaxBody = 64 << 10

// Notification is the bank's notification about a charge. The checksum covers only
// id, amount, currency, status and transaction_state.
type Notification struct {
	ID               string // of the charge, chrg_…
	OrderID          string // the bank order, order_…, never the Villa order; may be missing beside Reference
	Reference        string // reference_order
	Amount           order.Amount
	Currency         string
	Status           string
	TransactionState string
	Livemode         *bool     // nil if missing
	Created          time.Time // of the charge; zero if missing
	Checksum         string
	doubt            string // an unsigned field that is present and malformed

	Raw json.RawMessage // the original object
}

// Report converts the notification to a report.
func (n Notification) Report() order.Report {
	return order.Report{
		ChargeID: n.ID, BankOrderID: n.OrderID, Reference: n.Reference, Amount: n.Amount, Currency: n.Currency, Status: n.Status,
		TransactionState: n.TransactionState, Livemode: n.Livemode, Created: n.Created, Doubt: n.doubt,
		From: order.FromWebhook, Raw: n.Raw,
	}
}

// Difference is a problem with one part of a notification.
type Difference struct {
	Part    string `json:"part"` // a field, body or secret
	Problem string `json:"problem"`
}

// MalformedError means that a body is not a notification.
type MalformedError struct{ Differences []Difference }

func (e *MalformedError) Error() string {
	said := make([]string, len(e.Differences))
	for i, d := range e.Differences {
		said[i] = d.Part + " " + d.Problem
	}
	return "not a notification: " + strings.Join(said, "; ")
}

// Decode parses a notification. It accepts the bank's known variations: the amount
// and the reference may be a number or a string, livemode a boolean or a string.
// Unknown fields are kept in Raw. Ambiguous input is a *MalformedError: invalid
// UTF-8, repeated fields, and strings of another type.
func Decode(body []byte) (Notification, error) {
	return decode(body, (*reader).checksum)
}

// decode leaves reading the checksum to the caller, since an unsigned notification
// has none.
func decode(body []byte, checksum func(*reader) string) (Notification, error) {
	fields, err := order.ParseObject(body)
	if err != nil {
		return Notification{}, &MalformedError{[]Difference{{"body", err.Error()}}}
	}
	r := &reader{fields: fields}
	n := Notification{
		ID:               r.required("id"),
		OrderID:          r.text("order_id"),
		Reference:        fields.Text("reference_order"),
		Amount:           r.amount("amount"),
		Currency:         r.text("currency"),
		Status:           r.text("status"),
		TransactionState: r.text("transaction_state"),
		Livemode:         r.fields.Flag("livemode"),
		Created:          order.ParseCreated(r.fields.Text("created")),
		Checksum:         checksum(r),
		Raw:              bytes.TrimSpace(body),
	}
	if n.OrderID == "" && n.Reference == "" && !isPresent(fields["order_id"]) {
		r.addProblem("order_id", "is missing, and so is reference_order")
	}
	switch {
	case n.Livemode == nil && isPresent(fields["livemode"]):
		n.doubt = "livemode"
	case n.Reference == "" && isPresent(fields["reference_order"]):
		n.doubt = "reference_order"
	}
	if len(r.wrong) > 0 {
		return Notification{}, &MalformedError{r.wrong}
	}
	return n, nil
}

// isPresent reports whether a field is set and not empty.
func isPresent(raw json.RawMessage) bool {
	return len(raw) > 0 && string(raw) != "null" && string(raw) != `""`
}

// reader reads fields and collects their problems.
type reader struct {
	fields order.Object
	wrong  []Difference
}

func (r *reader) addProblem(part, problem string) {
	r.wrong = append(r.wrong, Difference{part, problem})
}

// text reads a string; null and missing are "".
func (r *reader) text(name string) string {
	raw, ok := r.fields[name]
	if !ok || string(raw) == "null" {
		return ""
	}
	var text string
	if json.Unmarshal(raw, &text) != nil {
		r.addProblem(name, "is not a string")
	} else if strings.ContainsFunc(text, unicode.IsControl) {
		r.addProblem(name, "contains control characters")
	}
	return text
}

// required reads a string that must not be empty.
func (r *reader) required(name string) string {
	before := len(r.wrong)
	text := r.text(name)
	if text == "" && len(r.wrong) == before {
		r.addProblem(name, "is missing")
	}
	return text
}

func (r *reader) amount(name string) order.Amount {
	var amount order.Amount
	if raw, ok := r.fields[name]; ok {
		if err := amount.UnmarshalJSON(raw); err != nil {
			r.addProblem(name, "is not a plain decimal")
			return amount
		}
	}
	if !amount.Known() {
		r.addProblem(name, "is missing")
	} else if _, err := amount.Fixed(signedDecimals); err != nil {
		r.addProblem(name, "has more decimals than the checksum covers (4)")
	}
	return amount
}

func (r *reader) checksum() string {
	before := len(r.wrong)
	text := r.required("checksum")
	if _, err := hex.DecodeString(text); len(r.wrong) == before && (err != nil || len(text) != 2*sha256.Size) {
		r.addProblem("checksum", "is not SHA-256 in hex (64 characters of 0-9 and a-f)")
	}
	return text
}
