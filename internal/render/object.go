package render

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/villapay/villapay/internal/ledger"
	"github.com/villapay/villapay/internal/order"
)

// ownKey is the one key of the payment object that is the tool's, not the API's.
const ownKey = "villapay"

// ownFields are what stands under the payment object's villapay key, in this
// order. Names and order are a promise to scripts; a test freezes them.
type ownFields struct {
	OrderID        string          `json:"orderid"`
	Env            string          `json:"env"`
	Source         string          `json:"source"`
	State          order.State     `json:"state"`
	CreatedAt      *string         `json:"created_at"`
	ExpiresAt      *string         `json:"expires_at"`
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

// PaymentJSON is the payment object on one line: the order's fields exactly as
// received, in their order and with their digits, then what the tool knows under
// "villapay", null where it does not. Without an order only "villapay" stands.
// A field of that name in the order itself gives way. Times are [Stamp]s.
// Control and invisible characters are JSON-escaped.
func PaymentJSON(p order.Payment) ([]byte, error) {
	return object(p, nil)
}

// PaymentEventsJSON is [PaymentJSON] with the payment's history as the last
// field of "villapay": [] where there is none.
func PaymentEventsJSON(p order.Payment, events []ledger.Event) ([]byte, error) {
	list := make([]ownEvent, 0, len(events))
	for _, e := range events {
		list = append(list, ownEvent{
			At: Stamp(e.At), Kind: e.Kind, Actor: e.Actor,
			RequestID: textOrNull(e.RequestID), Note: textOrNull(e.Note), Data: jsonOrText(e.Data),
		})
	}
	return object(p, &list)
}

func object(p order.Payment, events *[]ownEvent) ([]byte, error) {
	own, err := marshal(own(p, events))
	if err != nil {
		return nil, fmt.Errorf("show payment of order %s: %w", Visible(p.OrderID), err)
	}
	var out bytes.Buffer
	out.WriteByte('{')
	if err := writeFields(&out, p.Order); err != nil {
		return nil, fmt.Errorf("show payment of order %s: its recorded answer: %w", Visible(p.OrderID), err)
	}
	out.WriteString(`"` + ownKey + `":`)
	out.Write(own)
	out.WriteByte('}')
	return safeJSON(out.Bytes(), false), nil
}

// writeFields writes an order's fields, a comma behind each, but for one that
// has our own name.
func writeFields(out *bytes.Buffer, order json.RawMessage) error {
	if !bytes.Contains(order, []byte(ownKey)) && !bytes.Contains(order, []byte(`\u`)) {
		return writeAll(out, order) // nearly always: no need to take it apart
	}
	members, err := split(order)
	if err != nil {
		return err
	}
	for _, m := range members {
		if m.name == ownKey {
			continue
		}
		out.Write(m.key)
		out.WriteByte(':')
		if err := json.Compact(out, m.value); err != nil {
			return err
		}
		out.WriteByte(',')
	}
	return nil
}

func writeAll(out *bytes.Buffer, order json.RawMessage) error {
	order = bytes.TrimSpace(order)
	if len(order) == 0 {
		return nil
	}
	var fields bytes.Buffer
	if err := json.Compact(&fields, order); err != nil || order[0] != '{' {
		return errNotObject
	}
	inner := fields.Bytes()[1 : fields.Len()-1]
	out.Write(inner)
	if len(inner) > 0 {
		out.WriteByte(',')
	}
	return nil
}

func own(p order.Payment, events *[]ownEvent) ownFields {
	warnings := p.Warnings
	if warnings == nil {
		warnings = []order.Warning{}
	}
	return ownFields{
		OrderID: p.OrderID, Env: p.Env, Source: string(p.Source), State: p.State,
		CreatedAt: stamped(p.CreatedAt), ExpiresAt: stamped(p.ExpiresAt),
		IdempotencyKey: textOrNull(p.Key), Replayed: p.Replayed, Attempts: p.Attempts,
		RequestID: textOrNull(p.RequestID), KnownAt: stamped(p.KnownAt), KnownFrom: textOrNull(string(p.KnownFrom)),
		BankState: textOrNull(p.BankState), ChargeID: textOrNull(p.ChargeID),
		PaidAt: stamped(p.PaidAt), PaidAtFrom: textOrNull(p.PaidAtFrom), PaidBy: textOrNull(p.PaidBy), ReplacedBy: textOrNull(p.ReplacedBy),
		Warnings: warnings, Error: p.Error, Events: events,
	}
}

func stamped(t time.Time) *string {
	if t.IsZero() {
		return nil
	}
	text := Stamp(t)
	return &text
}

func textOrNull(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}

// jsonOrText passes JSON through and turns anything else that was received and
// kept into a JSON string.
func jsonOrText(data []byte) json.RawMessage {
	if len(data) == 0 {
		return json.RawMessage("null")
	}
	if json.Valid(data) {
		return data
	}
	text, err := marshal(string(data))
	if err != nil {
		return json.RawMessage("null")
	}
	return text
}

// marshal is json.Marshal without HTML escapes, which only clutter a terminal.
func marshal(value any) ([]byte, error) {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(out.Bytes(), []byte("\n")), nil
}

// member is one field of a JSON object: its name, and the bytes of its key and
// value as they stood.
type member struct {
	name  string
	key   []byte
	value json.RawMessage
}

var errNotObject = errors.New("not a JSON object")

// split takes a JSON object apart without touching its bytes. No bytes at all
// are no members.
func split(raw json.RawMessage) ([]member, error) {
	if len(bytes.TrimSpace(raw)) == 0 {
		return nil, nil
	}
	if !json.Valid(raw) {
		return nil, errNotObject
	}
	decoder := json.NewDecoder(bytes.NewReader(raw))
	if token, err := decoder.Token(); err != nil || token != json.Delim('{') {
		return nil, errNotObject
	}
	var members []member
	for decoder.More() {
		start := decoder.InputOffset()
		token, err := decoder.Token()
		name, ok := token.(string)
		if err != nil || !ok {
			return nil, errNotObject
		}
		m := member{name: name, key: bytes.TrimLeft(raw[start:decoder.InputOffset()], ", \t\r\n")}
		if err := decoder.Decode(&m.value); err != nil {
			return nil, fmt.Errorf("field %q: %w", name, err)
		}
		members = append(members, m)
	}
	return members, nil
}
