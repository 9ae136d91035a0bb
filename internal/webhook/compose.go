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
	"slices"
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
	apply  func(body []byte, key secret.String) ([]byte, error)
}

// Faults returns all faults.
func Faults() []Fault {
	return []Fault{
		{"forged", "signed with another key", http.StatusBadRequest, forge},
		{"unsigned", "without a checksum", http.StatusBadRequest, unsign},
		{"changed", "amount changed after signing", http.StatusBadRequest, change},
		{"re-aimed", "order_id changed after signing, which the checksum does not cover; recorded, but the charge stays with its order", http.StatusOK, reaim},
		{"amount", "correctly signed, with 1 more than the order's amount; recorded, changes nothing", http.StatusOK, overcharge},
		{"livemode", "livemode flipped; recorded, changes nothing", http.StatusOK, flipLivemode},
		{"state", "correctly signed, with an unknown transaction_state; recorded, changes nothing", http.StatusOK, rename},
		{"wrong-type", "the id is a number", http.StatusBadRequest, retype},
		{"not-utf8", "bytes that are not UTF-8", http.StatusBadRequest, garble},
		{"truncated", "cut short", http.StatusBadRequest, cut},
		{"oversized", "larger than 64 KiB", http.StatusRequestEntityTooLarge, swell},
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
	faults := Faults()
	i := slices.IndexFunc(faults, func(f Fault) bool { return f.Name == fault })
	if i < 0 {
		return nil, fmt.Errorf("compose notification: unknown fault %q", fault)
	}
	return faults[i].apply(body, key)
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

func forge(body []byte, key secret.String) ([]byte, error) {
	return Sign(body, secret.New("not-"+key.Reveal()))
}

func unsign(body []byte, _ secret.String) ([]byte, error) { return set(body, "checksum", nil) }

func change(body []byte, _ secret.String) ([]byte, error) { return oneMore(body) }

func overcharge(body []byte, key secret.String) ([]byte, error) {
	body, err := oneMore(body)
	if err != nil {
		return nil, err
	}
	return Sign(body, key)
}

func oneMore(body []byte) ([]byte, error) {
	n, err := Decode(body)
	if err != nil {
		return nil, err
	}
	sum, ok := new(big.Rat).SetString(n.Amount.String())
	if !ok {
		return nil, fmt.Errorf("%s is not an amount", n.Amount)
	}
	return set(body, "amount", json.Number(sum.Add(sum, big.NewRat(1, 1)).FloatString(signedDecimals)))
}

func reaim(body []byte, _ secret.String) ([]byte, error) {
	n, err := Decode(body)
	if err != nil {
		return nil, err
	}
	return set(body, "order_id", n.OrderID+"0")
}

func flipLivemode(body []byte, _ secret.String) ([]byte, error) {
	n, err := Decode(body)
	if err != nil {
		return nil, err
	}
	return set(body, "livemode", n.Livemode == nil || !*n.Livemode)
}

func rename(body []byte, key secret.String) ([]byte, error) {
	body, err := set(body, "transaction_state", "Teleported")
	if err != nil {
		return nil, err
	}
	return Sign(body, key)
}

func retype(body []byte, _ secret.String) ([]byte, error) { return set(body, "id", 5) }

func garble(body []byte, _ secret.String) ([]byte, error) {
	return bytes.Replace(body, []byte(`"object":"charge"`), []byte("\"object\":\"\xff\xfe\""), 1), nil
}

func cut(body []byte, _ secret.String) ([]byte, error) { return body[:len(body)/2], nil }

func swell(body []byte, _ secret.String) ([]byte, error) {
	return set(body, "description", strings.Repeat("x", MaxBody))
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
