package webhook

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync/atomic"
	"time"

	"github.com/villapay/villapay/internal/order"
	"github.com/villapay/villapay/internal/secret"
)

// Fault is a way to break a test notification.
type Fault struct {
	Name   string
	What   string // description
	Status int    // the listener's response
}

// Faults returns all faults.
func Faults() []Fault {
	return []Fault{
		{"forged", "signed with another key", http.StatusBadRequest},
		{"unsigned", "without a checksum", http.StatusBadRequest},
		{"changed", "amount changed after signing", http.StatusBadRequest},
		{"re-aimed", "order_id changed after signing, which the checksum does not cover; recorded, but the charge stays with its order", http.StatusOK},
		{"amount", "correctly signed, with 1 more than the order's amount; recorded, changes nothing", http.StatusOK},
		{"livemode", "livemode flipped; recorded, changes nothing", http.StatusOK},
		{"state", "correctly signed, with an unknown transaction_state; recorded, changes nothing", http.StatusOK},
		{"wrong-type", "the id is a number", http.StatusBadRequest},
		{"not-utf8", "bytes that are not UTF-8", http.StatusBadRequest},
		{"truncated", "cut short", http.StatusBadRequest},
		{"oversized", "larger than 64 KiB", http.StatusRequestEntityTooLarge},
	}
}

// Compose returns the signed notification that the bank would send when a charge on
// a payment's order reaches a transaction_state, which is not validated. An order
// always has the same charge. fault is the name of one of Faults, "" for none.
func Compose(p order.Payment, state, fault string, key secret.String, now time.Time) ([]byte, error) {
	if p.BankOrderID == "" || !p.Amount.Known() {
		return nil, fmt.Errorf("compose notification: order %s has no bank order to pay", p.OrderID)
	}
	body, err := json.Marshal(draft(p, state, now))
	if err != nil {
		return nil, err
	}
	if body, err = Sign(body, key); err != nil || fault == "" {
		return body, err
	}
	n, err := Decode(body)
	if err != nil {
		return nil, err
	}
	return inject(n, fault, key)
}

// inject applies the fault of that name to a signed notification.
func inject(n Notification, fault string, key secret.String) ([]byte, error) {
	switch fault {
	case "forged":
		return Sign(n.Raw, secret.New("not-"+key.Reveal()))
	case "unsigned":
		return set(n.Raw, "checksum", nil)
	case "changed":
		return set(n.Raw, "amount", oneMore(n.Amount))
	case "re-aimed":
		return set(n.Raw, "order_id", n.OrderID+"0")
	case "amount":
		return setSigned(n.Raw, "amount", oneMore(n.Amount), key)
	case "livemode":
		return set(n.Raw, "livemode", n.Livemode == nil || !*n.Livemode)
	case "state":
		return setSigned(n.Raw, "transaction_state", "Teleported", key)
	case "wrong-type":
		return set(n.Raw, "id", 5)
	case "not-utf8":
		return bytes.Replace(n.Raw, []byte(`"object":"charge"`), []byte("\"object\":\"\xff\xfe\""), 1), nil
	case "truncated":
		return n.Raw[:len(n.Raw)/2], nil
	case "oversized":
		return set(n.Raw, "description", strings.Repeat("x", MaxBody))
	}
	return nil, fmt.Errorf("compose notification: unknown fault %q", fault)
}

func setSigned(body []byte, name string, value any, key secret.String) ([]byte, error) {
	body, err := set(body, name, value)
	if err != nil {
		return nil, err
	}
	return Sign(body, key)
}

func oneMore(amount order.Amount) json.Number {
	sum, _ := new(big.Rat).SetString(amount.String()) // a known amount is a decimal
	return json.Number(sum.Add(sum, big.NewRat(1, 1)).FloatString(signedDecimals))
}

// wire is a notification with its fields in the bank's order.
type wire struct {
	ID               string       `json:"id"`
	Object           string       `json:"object"`
	OrderID          string       `json:"order_id"`
	Amount           order.Amount `json:"amount"`
	Currency         string       `json:"currency"`
	Status           string       `json:"status"`
	TransactionState string       `json:"transaction_state"`
	ReferenceOrder   string       `json:"reference_order"`
	Created          string       `json:"created"`
	Livemode         bool         `json:"livemode"`
	Description      string       `json:"description"`
	Metadata         any          `json:"metadata"`
	FailureCode      *string      `json:"failure_code"`
	FailureMessage   *string      `json:"failure_message"`
	Source           origin       `json:"source"`
}

type origin struct {
	ID     string `json:"id"`
	Object string `json:"object"`
	Brand  string `json:"brand"`
}

func draft(p order.Payment, state string, now time.Time) wire {
	// The bank leaves unknown fields empty, too.
	made, err := order.Decode(p.Order)
	if err != nil {
		made = &order.Order{}
	}
	sum := sha256.Sum256([]byte(p.BankOrderID))
	mode := "test"
	if made.Livemode != nil && *made.Livemode {
		mode = "prod"
	}
	w := wire{
		ID: fmt.Sprintf("chrg_%s_%x", mode, sum[:16]), Object: "charge", OrderID: p.BankOrderID,
		Amount: p.Amount, Currency: p.Currency, Status: "success", TransactionState: state,
		ReferenceOrder: made.Reference, Description: made.Description,
		Created:  now.In(order.Bangkok).Format("20060102150405") + fmt.Sprintf("%03d", now.Nanosecond()/1e6),
		Livemode: mode == "prod", Source: origin{fmt.Sprintf("src_%s_%x", mode, sum[16:]), string(p.Source), "THAI_QR"},
	}
	if p.Source == order.WeChat {
		w.Source.Brand = "WECHAT"
	}
	switch state {
	case "Initialize", "Pre-Authorized":
		w.Status = "pending"
	case "Declined":
		w.Status = "fail"
		w.FailureCode, w.FailureMessage = new("payment_declined"), new("The payer's bank declined the payment.")
	}
	return w
}

const sendTimeout = 15 * time.Second

// ErrNoAnswer is the error of a notification that was sent and not answered.
var ErrNoAnswer = errors.New("sent, but not answered")

// Send posts a notification and returns the response status. It does not follow
// redirects.
func Send(ctx context.Context, client *http.Client, url string, body []byte) (int, error) {
	var sent atomic.Bool
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{WroteHeaders: func() { sent.Store(true) }})
	ctx, cancel := context.WithTimeout(ctx, sendTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return 0, fmt.Errorf("send notification: %w", err)
	}
	req.Header.Set("Content-Type", "application/json")
	once := *client
	once.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	resp, err := once.Do(req)
	if err != nil {
		if sent.Load() {
			err = fmt.Errorf("%w: %w", ErrNoAnswer, err)
		}
		return 0, fmt.Errorf("send notification: %w", err)
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, io.LimitReader(resp.Body, MaxBody)); err != nil && !errors.Is(err, io.EOF) {
		return resp.StatusCode, fmt.Errorf("send notification: %w", err)
	}
	return resp.StatusCode, nil
}
