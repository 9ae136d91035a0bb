package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Source says how the payer pays: the seed knows qr and wechat.
type Source string

// The sources the API takes.
const (
	QR     Source = "qr"
	WeChat Source = "wechat"
)

// Sources lists every source, for validation and completion.
func Sources() []string { return []string{string(QR), string(WeChat)} }

// Bangkok is the zone of the bank's `created` (UTC+7, no daylight saving).
// A fixed zone, so that no time zone database is needed.
var Bangkok = time.FixedZone("+07", 7*60*60) //nolint:gochecknoglobals // a constant

// CheckOrderID refuses what cannot be a Villa order ID: it is 1-64 characters
// of [A-Za-z0-9._:-] and starts with a letter or digit.
func CheckOrderID(id string) error {
	switch {
	case id == "":
		return errors.New("the order ID is empty")
	case len(id) > 64:
		return fmt.Errorf("the order ID is %d characters long; at most 64 are allowed", len(id))
	case !isOrderID(id):
		return fmt.Errorf("%q is not an order ID: letters, digits and . _ : - are allowed, starting with a letter or digit", id)
	}
	return nil
}

func isOrderID(id string) bool {
	for i, c := range []byte(id) {
		letter, digit := 'a' <= c|0x20 && c|0x20 <= 'z', '0' <= c && c <= '9'
		if !letter && !digit && (i == 0 || strings.IndexByte("._:-", c) < 0) {
			return false
		}
	}
	return true
}

// Order is the API's answer to a payment request: the order made at the bank.
// It can be paid; it is not paid (see kbank.md).
type Order struct {
	// Raw is the order's JSON object exactly as received, wrappers taken off.
	Raw json.RawMessage

	ID             string // the bank order, order_test_… or order_prod_…
	Amount         Amount
	Currency       string
	Description    string
	Status         string // "success": made, not paid
	ReferenceOrder string
	SourceType     string
	FailureCode    string
	FailureMessage string
	Livemode       *bool         // nil where the API does not say
	Created        time.Time     // Bangkok time, millisecond; zero where unreadable
	Expiry         time.Duration // from Created; 0 where the API gives none
	OddExpiry      string        // expire_time_seconds, where it is given and is no time
}

// Failed tells whether the bank refused the order: it carries a failure code,
// or a status other than success.
func (o *Order) Failed() bool {
	return o.FailureCode != "" || (o.Status != "" && !strings.EqualFold(o.Status, "success"))
}

// ErrNotOrder says that a whole answer is not an order.
var ErrNotOrder = errors.New("the answer is not an order")

// DecodeOrder reads an order tolerantly: types vary in the wild (kbank.md), and
// the order may stand inside a {"statusCode":200,"body":{…}} wrapper. It fails
// with ErrNotOrder where there is no JSON object with an order's id.
func DecodeOrder(body []byte) (*Order, error) {
	_, body = unwrap(0, body)
	return decodeOrder(body)
}

// decodeOrder reads an order that stands in no wrapper.
func decodeOrder(body []byte) (*Order, error) {
	var fields struct {
		ID             looseString `json:"id"`
		Object         looseString `json:"object"`
		Created        looseString `json:"created"`
		Livemode       looseBool   `json:"livemode"`
		Amount         looseAmount `json:"amount"`
		Currency       looseString `json:"currency"`
		Description    looseString `json:"description"`
		Status         looseString `json:"status"`
		ReferenceOrder looseString `json:"reference_order"`
		SourceType     looseString `json:"source_type"`
		FailureCode    looseString `json:"failure_code"`
		FailureMessage looseString `json:"failure_message"`
		Expire         looseString `json:"expire_time_seconds"`
	}
	if err := json.Unmarshal(body, &fields); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotOrder, err)
	}
	if fields.ID == "" {
		return nil, fmt.Errorf("%w: it has no id", ErrNotOrder)
	}
	if fields.Object != "" && fields.Object != "order" {
		return nil, fmt.Errorf("%w: it says it is a %q", ErrNotOrder, string(fields.Object))
	}
	order := &Order{
		Raw:            bytes.TrimSpace(body),
		ID:             string(fields.ID),
		Amount:         Amount(fields.Amount),
		Currency:       string(fields.Currency),
		Description:    string(fields.Description),
		Status:         string(fields.Status),
		ReferenceOrder: string(fields.ReferenceOrder),
		SourceType:     string(fields.SourceType),
		FailureCode:    string(fields.FailureCode),
		FailureMessage: string(fields.FailureMessage),
		Livemode:       fields.Livemode.value,
		Created:        ParseCreated(string(fields.Created)),
	}
	seconds, err := strconv.ParseFloat(string(fields.Expire), 64) // 3600.0 is how the API writes numbers elsewhere
	if err == nil && seconds > 0 && seconds < 1<<31 {
		order.Expiry = time.Duration(seconds * float64(time.Second))
	} else {
		order.OddExpiry = string(fields.Expire)
	}
	return order, nil
}

// ParseCreated reads the bank's yyyyMMddHHmmssSSS (14 digits without the
// milliseconds were seen too) as Bangkok time; villa-api.md derives the zone
// from the seed's own example. It returns the zero time for anything else.
func ParseCreated(text string) time.Time {
	layout := "20060102150405"
	if len(text) < len(layout) {
		return time.Time{}
	}
	created, err := time.ParseInLocation(layout, text[:14], Bangkok)
	if err != nil {
		return time.Time{}
	}
	switch rest := text[14:]; len(rest) {
	case 0:
	case 3:
		ms, err := strconv.ParseUint(rest, 10, 16)
		if err != nil {
			return time.Time{}
		}
		created = created.Add(time.Duration(ms) * time.Millisecond)
	default:
		return time.Time{}
	}
	return created
}

// unwrap takes {"statusCode":N,"body":…} wrappers off, also nested ones and
// bodies that are JSON inside a string. It returns the innermost status code,
// or status where there is no wrapper.
func unwrap(status int, body []byte) (int, []byte) {
	for range 3 {
		if !bytes.Contains(bytes.ToLower(body), []byte("statuscode")) {
			break // as nearly always
		}
		var wrapper struct {
			StatusCode json.RawMessage `json:"statusCode"`
			Body       json.RawMessage `json:"body"`
		}
		if json.Unmarshal(body, &wrapper) != nil || wrapper.StatusCode == nil || wrapper.Body == nil {
			break
		}
		code, err := strconv.Atoi(strings.Trim(string(wrapper.StatusCode), `"`))
		if err != nil || code < 100 || code > 599 {
			break
		}
		status, body = code, wrapper.Body
		var text string
		if json.Unmarshal(body, &text) == nil {
			body = []byte(text)
		}
	}
	return status, body
}

// looseString reads a string, or the text of a number or boolean; null, objects
// and arrays are "".
type looseString string

func (s *looseString) UnmarshalJSON(data []byte) error {
	switch data[0] {
	case '"':
		return json.Unmarshal(data, (*string)(s))
	case '{', '[', 'n':
		*s = ""
	default:
		*s = looseString(data)
	}
	return nil
}

// looseBool reads true, "true", 1 and their opposites; anything else is unknown.
type looseBool struct{ value *bool }

func (b *looseBool) UnmarshalJSON(data []byte) error {
	value, err := strconv.ParseBool(strings.ToLower(strings.Trim(string(data), `"`)))
	if err == nil {
		b.value = &value
	}
	return nil
}

// looseAmount is an Amount whose odd forms are unknown instead of an error: an
// order whose amount we cannot read is still an order that was made.
type looseAmount Amount

func (a *looseAmount) UnmarshalJSON(data []byte) error {
	_ = (*Amount)(a).UnmarshalJSON(data)
	return nil
}
