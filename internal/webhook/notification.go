package webhook

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/villapay/villapay/internal/api"
	"github.com/villapay/villapay/internal/ledger"
)

// MaxBody is the size in bytes of the largest notification that is read. Real
// ones are about one kilobyte.
const MaxBody = 64 << 10

// Notification is what the bank says about a charge (kbank.md). Only id,
// amount, currency, status and transaction_state are covered by the checksum.
type Notification struct {
	ID               string // of the charge, chrg_…
	OrderID          string // the bank order, order_…, never the Villa order
	Amount           api.Amount
	Currency         string
	Status           string
	TransactionState string // decides (kbank.md)
	Livemode         *bool  // nil where it does not say
	Checksum         string

	Raw json.RawMessage // the whole object as it came
}

// Charge is the notification as the ledger takes it.
func (n Notification) Charge() ledger.Charge {
	return ledger.Charge{
		ID: n.ID, BankID: n.OrderID, Amount: n.Amount, Currency: n.Currency, Status: n.Status,
		TransactionState: n.TransactionState, Livemode: n.Livemode, Checksum: n.Checksum,
		From: ledger.FromWebhook, PaidBy: ledger.ByTransactionState, Raw: n.Raw,
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

// Decode reads a notification. It is tolerant where the bank is known to vary:
// the amount may be a number or a string, livemode a boolean or a string, and
// fields it does not know are kept in Raw. It refuses, with a *MalformedError,
// what two readers could understand in two ways: bytes that are not UTF-8,
// repeated fields, and texts of another type.
func Decode(body []byte) (Notification, error) {
	return decode(body, (*reader).checksum)
}

// decode leaves the checksum to its caller: a notification that is still to be
// signed has none.
func decode(body []byte, checksum func(*reader) string) (Notification, error) {
	fields, err := object(body)
	if err != nil {
		return Notification{}, &MalformedError{[]Difference{{"body", err.Error()}}}
	}
	r := &reader{fields: make(map[string]json.RawMessage, len(fields))}
	for _, f := range fields {
		r.fields[f.name] = f.value
	}
	n := Notification{
		ID:               r.needed("id"),
		OrderID:          r.needed("order_id"),
		Amount:           r.amount("amount"),
		Currency:         r.text("currency"),
		Status:           r.text("status"),
		TransactionState: r.text("transaction_state"),
		Livemode:         r.flag("livemode"),
		Checksum:         checksum(r),
		Raw:              bytes.TrimSpace(body),
	}
	if len(r.wrong) > 0 {
		return Notification{}, &MalformedError{r.wrong}
	}
	return n, nil
}

// field is one member of a JSON object.
type field struct {
	name  string
	value json.RawMessage
}

// object takes a JSON object apart, in its own order. Names are matched exactly
// and may stand once only: encoding/json would take {"id":"a","ID":"b"} for b.
func object(body []byte) ([]field, error) {
	if !utf8.Valid(body) {
		return nil, errors.New("is not UTF-8")
	}
	if !json.Valid(body) {
		return nil, errors.New("is not JSON")
	}
	in := json.NewDecoder(bytes.NewReader(body))
	if open, err := in.Token(); err != nil || open != json.Delim('{') {
		return nil, errors.New("is not a JSON object")
	}
	var fields []field
	seen := map[string]bool{}
	for in.More() {
		name, err := in.Token()
		if err != nil {
			return nil, err
		}
		f := field{name: name.(string)}
		if err := in.Decode(&f.value); err != nil {
			return nil, err
		}
		if seen[f.name] {
			return nil, fmt.Errorf("has the field %q twice", f.name)
		}
		seen[f.name] = true
		fields = append(fields, f)
	}
	return fields, nil
}

// reader reads fields and notes what is wrong with each.
type reader struct {
	fields map[string]json.RawMessage
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

func (r *reader) amount(name string) api.Amount {
	var amount api.Amount
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

// flag reads true, "true" and their opposites; anything else is unknown.
func (r *reader) flag(name string) *bool {
	value, err := strconv.ParseBool(strings.ToLower(strings.Trim(string(r.fields[name]), `"`)))
	if err != nil {
		return nil
	}
	return &value
}

func (r *reader) checksum() string {
	before := len(r.wrong)
	text := r.needed("checksum")
	if _, err := hex.DecodeString(text); len(r.wrong) == before && (err != nil || len(text) != 2*sha256.Size) {
		r.complain("checksum", "is not SHA-256 in hex (64 characters of 0-9 and a-f)")
	}
	return text
}
