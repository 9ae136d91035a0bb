package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

// StatusAnswer is what a status endpoint says about a Villa order. Its form is
// not published (villa-api.md), so every field may be missing.
type StatusAnswer struct {
	Raw              json.RawMessage // the answer's JSON, wrappers taken off
	BankID           string          // the bank order it speaks of
	ChargeID         string
	Amount           Amount
	Currency         string
	Status           string // a bare word such as success: proves nothing alone
	TransactionState string // decides (kbank.md)
	Livemode         *bool
	RequestID        string
}

// ErrNoOrder says that the status endpoint does not know the order.
var ErrNoOrder = errors.New("the API does not know this order")

// Status asks once what became of an order. path is the environment's
// status_path, such as /checkstatus/{orderid}. It fails with ErrNoRoute where
// the API has no such endpoint and ErrNoOrder where it does not know the order;
// asking changes nothing, so no failure is Unknown.
func (c *Client) Status(ctx context.Context, path, orderID string) (StatusAnswer, error) {
	req, err := c.Request(ctx, http.MethodGet, strings.ReplaceAll(path, "{orderid}", url.PathEscape(orderID)), nil)
	if err != nil {
		return StatusAnswer{}, err
	}
	answer, err := c.do(req, orderID, func(answer *Answer, err error) error {
		if err == nil {
			err = answer.Failure()
		}
		return harmless(err)
	})
	if err != nil {
		return StatusAnswer{}, err
	}
	status, err := decodeStatus(answer.Body)
	if err != nil {
		e := answer.failure()
		e.Kind, e.Again, e.Message, e.Err = Unavailable, false, "the status answer cannot be read", err
		return StatusAnswer{}, e
	}
	status.RequestID = answer.RequestID
	return status, nil
}

// harmless says of a failed question what the failure of an order would not
// allow: nothing can have been made.
func harmless(err error) error {
	var failure *Error
	if !errors.As(err, &failure) {
		return err
	}
	if failure.Status == http.StatusNotFound && !errors.Is(failure, ErrNoRoute) {
		failure.Err = ErrNoOrder
	}
	if failure.Kind == Unknown {
		failure.Kind = Unavailable
	}
	return failure
}

// decodeStatus reads a status answer tolerantly: an object, one nested under a
// usual name, or a bare word.
func decodeStatus(body []byte) (StatusAnswer, error) {
	_, body = unwrap(0, body)
	var word string
	if json.Unmarshal(body, &word) == nil {
		return StatusAnswer{Raw: body, Status: word}, nil
	}
	var found statusFields
	if err := json.Unmarshal(body, &found); err != nil {
		return StatusAnswer{}, fmt.Errorf("read the status: %w", err)
	}
	if found.State == "" {
		found = found.nested(body)
	}
	status := StatusAnswer{
		Raw: body, BankID: string(found.BankID), ChargeID: string(found.ChargeID),
		Amount: Amount(found.Amount), Currency: string(found.Currency), Status: string(found.Status),
		TransactionState: string(found.State), Livemode: found.Livemode.value,
	}
	switch {
	case found.isOrder():
		status.BankID = string(found.ID)
	case status.ChargeID == "":
		status.ChargeID = string(found.ID)
	}
	return status, nil
}

// statusFields are the fields of a status answer that mean something here.
type statusFields struct {
	ID       looseString `json:"id"`
	ChargeID looseString `json:"charge_id"`
	Object   looseString `json:"object"`
	BankID   looseString `json:"order_id"`
	Amount   looseAmount `json:"amount"`
	Currency looseString `json:"currency"`
	Status   looseString `json:"status"`
	State    looseString `json:"transaction_state"`
	Livemode looseBool   `json:"livemode"`
}

// isOrder tells whether the fields are a bank order's, not a charge's.
func (f statusFields) isOrder() bool {
	return f.Object == "order" || strings.HasPrefix(string(f.ID), "order_")
}

// nested looks for the charge under the names that envelopes usually give it,
// and returns the fields themselves where it is not there. A charge that does
// not name its order is the one of the order around it.
func (f statusFields) nested(body []byte) statusFields {
	var envelope map[string]json.RawMessage
	if json.Unmarshal(body, &envelope) != nil {
		return f
	}
	for _, name := range []string{"charge", "payment", "data"} {
		var inner statusFields
		if json.Unmarshal(envelope[name], &inner) == nil && (inner.State != "" || f.Status == "" && inner.Status != "") {
			if inner.BankID == "" && f.isOrder() {
				inner.BankID = f.ID
			}
			return inner
		}
	}
	return f
}
