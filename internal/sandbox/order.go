package sandbox

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"
)

// exampleOrder is the order in the vendor's document; it costs 300 baht there.
const exampleOrder = "492500004632"

// merchant is the number before the 32 hex digits of the example's id.
const merchant = "22211"

// order has the fields of the vendor's example in the same order. A field is
// `any` if a magic ID sends it as another type or as null. Only magic IDs send
// the last three.
type order struct {
	ID             string         `json:"id"`
	Object         string         `json:"object"`
	Created        string         `json:"created"`
	Livemode       any            `json:"livemode"`
	Amount         any            `json:"amount"`
	Currency       string         `json:"currency"`
	Customer       any            `json:"customer"`
	Description    string         `json:"description"`
	Metadata       any            `json:"metadata"`
	Status         string         `json:"status"`
	ReferenceOrder string         `json:"reference_order"`
	SourceType     string         `json:"source_type"`
	Additional     additionalData `json:"additional_data"`
	FailureCode    any            `json:"failure_code"`
	FailureMessage any            `json:"failure_message"`
	ExpireSeconds  any            `json:"expire_time_seconds"`

	QRPayload string `json:"qr_payload,omitempty"`
	Fee       any    `json:"fee,omitempty"`
	Bank      any    `json:"bank,omitempty"`
}

type additionalData struct {
	Term       *string `json:"term"`
	MID        *string `json:"mid"`
	TID        *string `json:"tid"`
	SmartpayID *string `json:"smartpay_id"`
	CampaignID *string `json:"campaign_id"`
}

// newOrder returns the order of a request, made at the given time.
func newOrder(req request, now time.Time) *order {
	return &order{
		ID:             "order_test_" + merchant + randomHex(),
		Object:         "order",
		Created:        timestamp(now),
		Livemode:       false,
		Amount:         amountOf(req.orderID).number(),
		Currency:       "THB",
		Description:    "Order " + req.orderID,
		Status:         "success",
		ReferenceOrder: req.orderID + unixTime(now.Add(-beforeBank)),
		SourceType:     req.source,
		ExpireSeconds:  3600,
	}
}

// beforeBank is the time from reference_order to created in the example: the
// shop's server names the order, then asks the bank.
const beforeBank = 1095021 * time.Microsecond

var bangkok = time.FixedZone("+07", 7*60*60) //nolint:gochecknoglobals // a constant

// timestamp formats a time as the bank does: yyyyMMddHHmmssSSS in Bangkok. In
// the example, reference_order (a Unix time) and created agree in UTC+7.
func timestamp(t time.Time) string {
	t = t.In(bangkok)
	return t.Format("20060102150405") + fmt.Sprintf("%03d", t.Nanosecond()/int(time.Millisecond))
}

// unixTime formats a time as Unix seconds with six decimals.
func unixTime(t time.Time) string {
	return fmt.Sprintf("%d.%06d", t.Unix(), t.Nanosecond()/int(time.Microsecond))
}

func randomHex() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// satang is an amount in hundredths of a baht.
type satang int64

// amountOf returns an order's price, derived from its ID: 20 to 5000 baht,
// sometimes with satang.
func amountOf(orderID string) satang {
	if orderID == exampleOrder {
		return 300_00
	}
	sum := sha256.Sum256([]byte(orderID))
	baht := 20 + binary.BigEndian.Uint16(sum[:])%4980
	fraction := [...]satang{0, 0, 0, 50, 25, 75, 99, 5}
	return satang(baht)*100 + fraction[sum[2]%8]
}

// number formats the amount as the vendor's server does, with at least one
// decimal: 300.0, 74.25.
func (s satang) number() json.Number {
	text := s.fixed()
	if text[len(text)-1] == '0' {
		text = text[:len(text)-1]
	}
	return json.Number(text)
}

// fixed formats the amount with two decimals: 300.00.
func (s satang) fixed() string {
	return fmt.Sprintf("%d.%02d", s/100, s%100)
}

// toJSON encodes v and leaves <, > and & unescaped.
func toJSON(v any) string {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		panic(err) // our own types always encode
	}
	return string(bytes.TrimSuffix(b.Bytes(), []byte("\n")))
}

// parseOrder decodes a stored order and keeps the digits of its numbers.
func parseOrder(answer string) (*order, error) {
	var o order
	dec := json.NewDecoder(bytes.NewReader([]byte(answer)))
	dec.UseNumber()
	if err := dec.Decode(&o); err != nil {
		return nil, fmt.Errorf("read a stored order: %w", err)
	}
	return &o, nil
}
