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

// MaxBody is the size in bytes of the largest notification that is read. Real
// ones are about one kilobyte.
const MaxBody = 64 << 10

// Notification is what the bank says about a charge. Only id,
// amount, currency, status and transaction_state are covered by the checksum.
type Notification struct {
	ID               string // of the charge, chrg_…
	OrderID          string // the bank order, order_…, never the Villa order; may be missing beside Reference
	Reference        string // reference_order
	Amount           order.Amount
	Currency         string
	Status           string
	TransactionState string    // decides
	Livemode         *bool     // nil if it does not say
	Created          time.Time // the charge's own time; zero if it does not say
	Checksum         string
	doubt            string // an unsigned field that is there and cannot be read

	Raw json.RawMessage // the whole object as it came
}

// Report is the notification as the rules about charges take it.
func (n Notification) Report() order.Report {
	return order.Report{
		ChargeID: n.ID, BankOrderID: n.OrderID, Reference: n.Reference, Amount: n.Amount, Currency: n.Currency, Status: n.Status,
		TransactionState: n.TransactionState, Livemode: n.Livemode, Created: n.Created, Doubt: n.doubt,
		From: order.FromWebhook, Raw: n.Raw,
	}
}

// Difference says of one part of a notification how it is not as it should be.
type Difference struct {
	Part    string `json:"part"` // a field's name, or body or secret
	Problem string `json:"problem"`
}

// MalformedError says why a body is not a notification.
type MalformedError struct{ Differences []Difference }

func (e *MalformedError) Error() string {
	said := make([]string, len(e.Differences))
	for i, d := range e.Differences {
		said[i] = d.Part + " " + d.Problem
	}
	return "not a notification: " + strings.Join(said, "; ")
}

// Decode reads a notification. It is tolerant of what the bank is known to vary:
// the amount and the reference may be a number or a string, livemode a boolean or
// a string, and fields it does not know are kept in Raw. It fails with a
// *MalformedError for what two readers could understand in two ways: bytes that
// are not UTF-8, repeated fields, and texts of another type.
func Decode(body []byte) (Notification, error) {
	return decode(body, (*reader).checksum)
}

// decode leaves the checksum to its caller: a notification that is still to be
// signed has none.
func decode(body []byte, checksum func(*reader) string) (Notification, error) {
	fields, err := order.ParseObject(body)
	if err != nil {
		return Notification{}, &MalformedError{[]Difference{{"body", err.Error()}}}
	}
	r := &reader{fields: fields}
	n := Notification{
		ID:               r.needed("id"),
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
	if n.OrderID == "" && n.Reference == "" && !stated(fields["order_id"]) {
		r.complain("order_id", "is missing, and so is reference_order")
	}
	switch {
	case n.Livemode == nil && stated(fields["livemode"]):
		n.doubt = "livemode"
	case n.Reference == "" && stated(fields["reference_order"]):
		n.doubt = "reference_order"
	}
	if len(r.wrong) > 0 {
		return Notification{}, &MalformedError{r.wrong}
	}
	return n, nil
}

// stated reports whether a field says something.
func stated(raw json.RawMessage) bool {
	return len(raw) > 0 && string(raw) != "null" && string(raw) != `""`
}

// reader reads fields and notes what is wrong with each.
type reader struct {
	fields order.Object
	wrong  []Difference
}

func (r *reader) complain(part, problem string) {
	r.wrong = append(r.wrong, Difference{part, problem})
}

// text reads a string; one that is null or missing is "".
func (r *reader) text(name string) string {
	raw, ok := r.fields[name]
	if !ok || string(raw) == "null" {
		return ""
	}
	var text string
	if json.Unmarshal(raw, &text) != nil {
		r.complain(name, "is not a text")
	} else if strings.ContainsFunc(text, unicode.IsControl) {
		r.complain(name, "holds control characters")
	}
	return text
}

// needed reads a string that must say something.
func (r *reader) needed(name string) string {
	before := len(r.wrong)
	text := r.text(name)
	if text == "" && len(r.wrong) == before {
		r.complain(name, "is missing")
	}
	return text
}

func (r *reader) amount(name string) order.Amount {
	var amount order.Amount
	if raw, ok := r.fields[name]; ok {
		if err := amount.UnmarshalJSON(raw); err != nil {
			r.complain(name, "is not a plain decimal")
			return amount
		}
	}
	if !amount.Known() {
		r.complain(name, "is missing")
	} else if _, err := amount.Fixed(signedDecimals); err != nil {
		r.complain(name, "has more decimals than the checksum covers (4)")
	}
	return amount
}

func (r *reader) checksum() string {
	before := len(r.wrong)
	text := r.needed("checksum")
	if _, err := hex.DecodeString(text); len(r.wrong) == before && (err != nil || len(text) != 2*sha256.Size) {
		r.complain("checksum", "is not SHA-256 in hex (64 characters of 0-9 and a-f)")
	}
	return text
}
