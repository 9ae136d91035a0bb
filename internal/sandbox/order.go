package sandbox

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"
	"time"
)

// seedOrder is the order of the vendor's own example; it costs 300 baht here too.
const seedOrder = "492500004632"

// merchant is what stands before the 32 hex digits in the example's id.
const merchant = "22211"

// order is the answer of the vendor's example, field by field in its order. A
// field is `any` where a magic ID sends it in another type or as null. The last
// three are sent by magic IDs alone.
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

// newOrder makes the order of a request at the given time.
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

// beforeBank is how long before `created` the example's reference_order was
// written: the shop's server asks the bank after it has named the order.
const beforeBank = 1095021 * time.Microsecond

// timestamp writes a time as the bank does: yyyyMMddHHmmssSSS in Bangkok. The
// example's reference_order, a Unix time, and its created agree in UTC+7.
func timestamp(t time.Time) string {
	t = t.In(time.FixedZone("+07", 7*60*60))
	return t.Format("20060102150405") + fmt.Sprintf("%03d", t.Nanosecond()/int(time.Millisecond))
}

// unixTime writes a time as seconds with a six-digit fraction.
func unixTime(t time.Time) string {
	return fmt.Sprintf("%d.%06d", t.Unix(), t.Nanosecond()/int(time.Microsecond))
}

func randomHex() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// uuid makes a random UUID, the form of API Gateway's request ids (RFC 9562, 4).
func uuid() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// satang is a sum in hundredths of a baht.
type satang int64

// amountOf says what an order costs: the same for the same ID always, 20 to
// 5000 baht, with odd satang for some.
func amountOf(orderID string) satang {
	if orderID == seedOrder {
		return 300_00
	}
	sum := sha256.Sum256([]byte(orderID))
	baht := 20 + binary.BigEndian.Uint16(sum[:])%4980
	odd := [...]satang{0, 0, 0, 50, 25, 75, 99, 5}
	return satang(baht)*100 + odd[sum[2]%8]
}

// number writes the sum as the vendor's server does, with one decimal at least:
// 300.0, 74.25.
func (s satang) number() json.Number {
	text := s.fixed()
	if text[len(text)-1] == '0' {
		text = text[:len(text)-1]
	}
	return json.Number(text)
}

// fixed writes the sum with two decimals: 300.00.
func (s satang) fixed() string {
	return strconv.FormatInt(int64(s/100), 10) + fmt.Sprintf(".%02d", s%100)
}

// text is v as JSON, with <, > and & as they are.
func text(v any) string {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		panic(err) // our own types always encode
	}
	return string(bytes.TrimSuffix(b.Bytes(), []byte("\n")))
}

// parseOrder reads back an order that the sandbox wrote, digits kept.
func parseOrder(answer string) (*order, error) {
	var o order
	dec := json.NewDecoder(bytes.NewReader([]byte(answer)))
	dec.UseNumber()
	if err := dec.Decode(&o); err != nil {
		return nil, fmt.Errorf("read a stored order: %w", err)
	}
	return &o, nil
}
