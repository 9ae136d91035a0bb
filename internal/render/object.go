package render

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"

	"github.com/villapay/villapay/internal/ledger"
	"github.com/villapay/villapay/internal/order"
	"github.com/villapay/villapay/internal/sanitize"
)

// View is a payment and what is known of it only when it is shown.
type View struct {
	Payment order.Payment
	Now     time.Time      // of expires_in; zero leaves that null
	Code    *order.Code    // that may be shown now; nil = none
	Until   time.Time      // when Code is no longer drawn; zero = never
	Events  []ledger.Event // the payment's history; nil leaves the field out
}

// ownKey is the one key of the payment object that is the tool's, not the API's.
const ownKey = "villapay"

// ownFields are what stands under the payment object's villapay key, in this
// order. Names and order are a promise to scripts; a test freezes them.
type ownFields struct {
	OrderID        string          `json:"orderid"`
	Env            string          `json:"env"`
	Source         *string         `json:"source"`
	State          order.State     `json:"state"`
	CreatedAt      *string         `json:"created_at"`
	ExpiresAt      *string         `json:"expires_at"`
	ExpiresIn      *int64          `json:"expires_in"`
	IdempotencyKey *string         `json:"idempotency_key"`
	Replayed       bool            `json:"replayed"`
	Attempts       int             `json:"attempts"`
	RequestID      *string         `json:"request_id"`
	KnownAt        *string         `json:"known_at"`
	KnownFrom      *string         `json:"known_from"`
	BankState      *string         `json:"bank_state"`
	ChargeID       *string         `json:"charge_id"`
	PaidAt         *string         `json:"paid_at"`
	PaidAtFrom     *string         `json:"paid_at_from"`
	PaidBy         *string         `json:"paid_by"`
	ReplacedBy     *string         `json:"replaced_by"`
	QR             *ownQR          `json:"qr"`
	Warnings       []order.Warning `json:"warnings"`
	Error          *order.Failure  `json:"error"`
	Events         *[]ownEvent     `json:"events,omitempty"`
}

type ownEvent struct {
	At        string          `json:"at"`
	Kind      string          `json:"kind"`
	Actor     string          `json:"actor"`
	RequestID *string         `json:"request_id"`
	Note      *string         `json:"note"`
	Data      json.RawMessage `json:"data"`
}

type ownQR struct {
	Kind      order.Kind `json:"kind"`
	Content   string     `json:"content"`
	ExpiresAt *string    `json:"expires_at"`
}

// PaymentJSON is the payment object on one line: the order's fields exactly as
// received, in their order and with their digits, then what the tool knows under
// "villapay", null where it does not. Without an order only "villapay" stands.
// A field of that name in the order itself gives way. Times are as [FormatTime]
// writes them. Control and invisible characters are JSON-escaped.
func PaymentJSON(v View) ([]byte, error) {
	var out bytes.Buffer
	out.WriteByte('{')
	if err := writeFields(&out, v.Payment.Order); err != nil {
		return nil, fmt.Errorf("show payment of order %s: its recorded answer: %w", sanitize.Text(v.Payment.OrderID), err)
	}
	own, err := marshal(own(v))
	if err != nil {
		return nil, fmt.Errorf("show payment of order %s: %w", sanitize.Text(v.Payment.OrderID), err)
	}
	out.WriteString(`"` + ownKey + `":`)
	out.Write(own)
	out.WriteByte('}')
	return sanitize.JSON(out.Bytes(), false), nil
}

// writeFields writes an order's fields, a comma behind each, but for one that
// has our own name.
func writeFields(out *bytes.Buffer, raw json.RawMessage) error {
	if len(bytes.TrimSpace(raw)) == 0 {
		return nil
	}
	fields, err := order.Fields(raw)
	if err != nil {
		return err
	}
	for _, f := range fields {
		if f.Name == ownKey {
			continue
		}
		out.Write(f.Key)
		out.WriteByte(':')
		if err := json.Compact(out, f.Value); err != nil {
			return err
		}
		out.WriteByte(',')
	}
	return nil
}

func own(v View) ownFields {
	p := v.Payment
	own := ownFields{
		OrderID: p.OrderID, Env: p.Env, Source: textOrNull(string(p.Source)), State: p.State,
		CreatedAt: timeOrNull(p.CreatedAt), ExpiresAt: timeOrNull(p.ExpiresAt), ExpiresIn: expiresIn(v),
		IdempotencyKey: textOrNull(p.Key), Replayed: p.Replayed, Attempts: p.Attempts,
		RequestID: textOrNull(p.RequestID), KnownAt: timeOrNull(p.KnownAt), KnownFrom: textOrNull(string(p.KnownFrom)),
		BankState: textOrNull(p.BankState), ChargeID: textOrNull(p.ChargeID),
		PaidAt: timeOrNull(p.PaidAt), PaidAtFrom: textOrNull(p.PaidAtFrom), PaidBy: textOrNull(p.PaidBy), ReplacedBy: textOrNull(p.ReplacedBy),
		Warnings: p.Warnings, Error: p.Error,
	}
	if own.Warnings == nil {
		own.Warnings = []order.Warning{}
	}
	if v.Code != nil {
		own.QR = &ownQR{v.Code.Kind, v.Code.Text, timeOrNull(v.Until)}
	}
	if v.Events == nil {
		return own
	}
	events := make([]ownEvent, len(v.Events))
	for i, e := range v.Events {
		events[i] = ownEvent{
			At: FormatTime(e.At), Kind: e.Kind, Actor: e.Actor,
			RequestID: textOrNull(e.RequestID), Note: textOrNull(e.Note), Data: jsonOrText(e.Data),
		}
	}
	own.Events = &events
	return own
}

// expiresIn is how many whole seconds an order can still be paid, nil where
// nothing expires.
func expiresIn(v View) *int64 {
	p := v.Payment
	if !p.State.Open() || p.ExpiresAt.IsZero() || v.Now.IsZero() {
		return nil
	}
	left := max(0, int64(p.ExpiresAt.Sub(v.Now)/time.Second))
	return &left
}

func timeOrNull(t time.Time) *string { return textOrNull(FormatTime(t)) }

func textOrNull(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}

// jsonOrText passes JSON through and turns anything else that was received and
// kept into a JSON string.
func jsonOrText(data []byte) json.RawMessage {
	if json.Valid(data) {
		return data
	}
	if len(data) == 0 {
		return nil // null
	}
	text, err := marshal(string(data))
	if err != nil {
		return nil
	}
	return text
}

// marshal is json.Marshal without HTML escapes.
func marshal(value any) ([]byte, error) {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(out.Bytes(), []byte("\n")), nil
}
