package order

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Order is the API's answer to a payment request: the order made at the bank.
// It can be paid; it is not paid.
type Order struct {
	Raw json.RawMessage // the JSON object exactly as received

	ID             string // the bank order, order_test_… or order_prod_…
	Amount         Amount
	Currency       string
	Description    string
	Status         string // "success": made, not paid
	Reference      string // reference_order
	SourceType     string
	FailureCode    string
	FailureMessage string
	Livemode       *bool         // nil if the API does not say
	Created        time.Time     // Bangkok time, to the millisecond; zero if unreadable
	Expiry         time.Duration // how long it can be paid; 0 if the API gives none
	OddExpiry      string        // expire_time_seconds, if it is given and is no time
}

// Failed reports whether the bank rejected the order when it was made: it carries a
// failure code, or a status other than success.
func (o *Order) Failed() bool {
	return o.FailureCode != "" || o.Status != "" && !strings.EqualFold(o.Status, "success")
}

// ErrNotOrder says that a whole answer is not an order.
var ErrNotOrder = errors.New("the answer is not an order")

// Decode reads an order. It fails with ErrNotOrder if body is not a JSON object
// with an order's id.
func Decode(body []byte) (*Order, error) {
	fields, err := ParseObject(body)
	if err != nil {
		return nil, fmt.Errorf("%w: it %w", ErrNotOrder, err)
	}
	o := &Order{
		Raw:            bytes.TrimSpace(body),
		ID:             fields.Text("id"),
		Currency:       fields.Text("currency"),
		Description:    fields.Text("description"),
		Status:         fields.Text("status"),
		Reference:      fields.Text("reference_order"),
		SourceType:     fields.Text("source_type"),
		FailureCode:    fields.FailureCode(),
		FailureMessage: fields.Text("failure_message"),
		Livemode:       fields.Flag("livemode"),
		Created:        ParseCreated(fields.Text("created")),
	}
	if object := fields.Text("object"); object != "" && object != "order" {
		return nil, fmt.Errorf("%w: it says it is a %q", ErrNotOrder, object)
	}
	if o.ID == "" {
		return nil, fmt.Errorf("%w: it has no id", ErrNotOrder)
	}
	o.Amount, _ = fields.Amount("amount") // an order whose amount is unreadable was made all the same
	o.Expiry, o.OddExpiry = fields.expiry()
	return o, nil
}

// FailureCode is "" for what stands for no failure: null, "", false and 0.
func (o Object) FailureCode() string {
	switch code := o.Text("failure_code"); code {
	case "false", "0":
		return ""
	default:
		return code
	}
}

// expiry reads expire_time_seconds, such as 3600, 3600.0 or "3600". odd is its
// text if it is no time.
func (o Object) expiry() (expiry time.Duration, odd string) {
	const name = "expire_time_seconds"
	text := strings.TrimSpace(o.Text(name))
	seconds, err := strconv.ParseFloat(text, 64)
	if expiry = time.Duration(seconds * float64(time.Second)); err == nil && seconds < 1<<31 && expiry > 0 {
		return expiry, ""
	}
	if text == "" && o.has(name) {
		text = string(o[name])
	}
	return 0, text
}

// ParseCreated reads the bank's yyyyMMddHHmmssSSS as Bangkok time (the milliseconds
// may be missing). It returns the zero time for anything else.
func ParseCreated(text string) time.Time {
	const layout = "20060102150405"
	if len(text) != len(layout) && len(text) != len(layout)+3 {
		return time.Time{}
	}
	created, err := time.ParseInLocation(layout, text[:len(layout)], Bangkok)
	if err != nil || len(text) == len(layout) {
		return created
	}
	ms, err := strconv.ParseUint(text[len(layout):], 10, 16)
	if err != nil {
		return time.Time{}
	}
	return created.Add(time.Duration(ms) * time.Millisecond)
}

// Answered says when an answer arrived.
type Answered struct {
	Received time.Time // by the ledger's clock
	Date     time.Time // the answer's Date header; zero if it has none
	Sent     time.Time // when the request's idempotency key was first sent
}

// clockTolerance is how far the bank's `created` may be from the answer's date
// before that is a warning.
const clockTolerance = 5 * time.Minute

// Life is how long an order or a code can be paid; zero times mean that it does
// not end by itself. The two ends differ if clocks do: between them, a payment
// may still arrive and nothing may be shown.
type Life struct {
	ShownUntil time.Time // never shown for paying from then on
	HeldUntil  time.Time // lapsed for certain from then on
}

// NewLife computes the life of what was created at a time and lives for expiry.
// age is how old the answer says it is; more than five minutes either way is
// worth a warning.
func NewLife(created time.Time, expiry time.Duration, a Answered) (life Life, age time.Duration) {
	now := a.Date
	if now.IsZero() {
		now = a.Received
	}
	if !created.IsZero() {
		age = now.Sub(created)
	}
	if expiry == 0 {
		return Life{}, age
	}
	latest := a.Received
	if a.Date.After(latest) {
		latest = a.Date
	}
	older := max(age, 0)
	return Life{
		ShownUntil: a.Received.Add(expiry - older),
		HeldUntil:  latest.Add(expiry - min(older, max(a.Received.Sub(a.Sent), 0))),
	}, age
}
