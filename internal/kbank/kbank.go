// Package kbank is a thin client of the bank's merchant API.
//
// It makes the same promises as package api, which it is built on. The bank's error
// envelope is a failure whatever its HTTP status, and so is an answer about another
// order or charge. Amounts keep their digits.
package kbank

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/villapay/villapay/internal/api"
	"github.com/villapay/villapay/internal/order"
)

// Client calls the bank's API. HTTP has its URL and key. Sof is the bank's source of
// funds for each source; a source without one has no codes.
type Client struct {
	HTTP *api.Client
	Sof  map[order.Source]string
}

// WrongCodeError means that the bank made no code, or one that must not be shown.
type WrongCodeError struct{ Err error }

func (e *WrongCodeError) Error() string { return e.Err.Error() }

func (e *WrongCodeError) Unwrap() error { return e.Err }

// Code requests a code for a payment's order. Repeating it is safe: a code that is
// never shown cannot be paid. Errors are *api.Error or *WrongCodeError.
func (c *Client) Code(ctx context.Context, p *order.Payment) (*order.BankCode, error) {
	made, err := order.Decode(p.Order)
	if err != nil {
		return nil, err
	}
	if !p.Amount.Known() {
		return nil, &WrongCodeError{errors.New("the order has no amount to ask for")}
	}
	body, err := json.Marshal(struct {
		OrderID     string       `json:"order_id"`
		Amount      order.Amount `json:"amount"`
		Currency    string       `json:"currency"`
		Description string       `json:"description"`
		Sof         string       `json:"sof"`
		Reference   string       `json:"reference_order"`
	}{p.BankOrderID, p.Amount, p.Currency, made.Description, c.Sof[p.Source], p.Reference})
	if err != nil {
		return nil, err
	}
	response, err := c.call(ctx, http.MethodPost, body)
	if err != nil {
		return nil, err
	}
	code, err := order.DecodeBankCode(response.Body, p)
	switch {
	case errors.Is(err, order.ErrNoText):
		return nil, c.failure(api.Unavailable, response, "no_paint_text", err.Error(), err)
	case err != nil:
		return nil, &WrongCodeError{err}
	}
	code.RequestID, code.Date = response.RequestID, response.Date()
	return code, nil
}

// ErrNoCharge means that the bank knows no such charge, or none of the order.
var ErrNoCharge = errors.New("the bank has no such charge")

// InquireOrder returns the status of the last charge of a payment's bank order, and
// ErrNoCharge if there is none. It changes nothing, so no failure is Unknown. An
// answer about another order is a failure.
func (c *Client) InquireOrder(ctx context.Context, p *order.Payment) (order.Status, string, error) {
	return c.inquire(ctx, p.BankOrderID, p.OrderID, func(r order.Report) bool {
		names := []string{p.BankOrderID, p.Reference, ""}
		return slices.Contains(names, r.BankOrderID) && (r.BankOrderID != "" || slices.Contains(names, r.Reference))
	})
}

// InquireCharge is InquireOrder for a charge. orderID is the expected Villa order, ""
// for any.
func (c *Client) InquireCharge(ctx context.Context, chargeID, orderID string) (order.Status, string, error) {
	return c.inquire(ctx, chargeID, orderID, func(r order.Report) bool { return r.ChargeID == chargeID || r.ChargeID == "" })
}

func (c *Client) inquire(ctx context.Context, id, orderID string, about func(order.Report) bool) (order.Status, string, error) {
	response, err := c.call(ctx, http.MethodGet, nil, id)
	var status order.Status
	if err == nil {
		status, err = c.status(response, orderID, about)
	}
	if failure, ok := errors.AsType[*api.Error](err); ok {
		if saysNoCharge(response) {
			failure.Err = ErrNoCharge
		}
		if failure.Kind == api.Unknown {
			failure.Kind = api.Unavailable
		}
	}
	if err != nil {
		return order.Status{}, "", err
	}
	return status, response.RequestID, nil
}

var errNoState = errors.New("it does not state the transaction_state of a charge")

// status parses an answer about a charge. All of its reports must satisfy about. An
// answer that states no transaction_state is unreadable: it does not say that there
// is no charge.
func (c *Client) status(response *api.Response, orderID string, about func(order.Report) bool) (order.Status, error) {
	status, err := order.ParseStatus(response.Body, orderID, nil)
	if err == nil && !slices.ContainsFunc(status.Reports, order.Report.AboutCharge) {
		err = errNoState
	}
	if err == nil && !slices.ContainsFunc(status.Reports, func(r order.Report) bool { return !about(r) }) {
		for i := range status.Reports {
			r := &status.Reports[i]
			r.From, r.RequestID = order.FromBank, response.RequestID
			if !r.AboutCharge() {
				r.Doubt = "transaction_state"
			}
		}
		return status, nil
	}
	if err != nil && !errors.Is(err, order.ErrOtherOrder) {
		return order.Status{}, c.unreadable(response, err)
	}
	return order.Status{}, c.failure(api.Unknown, response, "other_order", "the bank's answer is about another order or charge", err)
}

// Reports returns the bank's reports on a charge, to confirm a notification. The
// error is order.ErrUnconfirmed if the bank answers, and knows no such charge or says
// nothing of it.
func (c *Client) Reports(ctx context.Context, chargeID string) ([]order.Report, error) {
	status, _, err := c.InquireCharge(ctx, chargeID, "")
	if errors.Is(err, ErrNoCharge) || errors.Is(err, errNoState) {
		err = fmt.Errorf("%w: %w", order.ErrUnconfirmed, err)
	}
	return status.Reports, err
}

// Cancel cancels an unpaid code. It sends one request, and succeeds only if the bank
// confirms it.
func (c *Client) Cancel(ctx context.Context, codeID string) (requestID string, _ error) {
	response, fields, err := c.change(ctx, codeID, "cancel")
	if err != nil {
		return "", err
	}
	id, status := fields.Text("id"), strings.ToLower(fields.Text("status"))
	says := func(words ...string) bool {
		return slices.ContainsFunc(words, func(word string) bool { return strings.HasPrefix(status, word) })
	}
	switch {
	case says("fail", "reject", "error"):
		return "", c.failure(api.Rejected, response, "not_canceled", fmt.Sprintf("the bank did not cancel the code: its status is %q", status), nil)
	case id != "" && id != codeID, id == "" && status == "", status != "" && !says("success", "cancel", "void"):
		return "", c.failure(api.Unknown, response, "not_canceled", "the bank's answer does not say that code "+codeID+" is canceled", nil)
	}
	return response.RequestID, nil
}

// Void voids a charge and returns its new status. It sends one request, and succeeds
// only if the bank confirms it.
func (c *Client) Void(ctx context.Context, chargeID, orderID string) (order.Status, string, error) {
	response, _, err := c.change(ctx, chargeID, "void")
	if err != nil {
		return order.Status{}, "", err
	}
	status, err := c.status(response, orderID, func(r order.Report) bool { return r.ChargeID == chargeID })
	if err == nil && !TakenBack(status, chargeID) {
		err = c.failure(api.Unknown, response, "not_voided", "the bank's answer does not say that charge "+chargeID+" is voided", nil)
	}
	if err != nil {
		return order.Status{}, "", err
	}
	return status, response.RequestID, nil
}

// TakenBack reports whether a status says that a paid charge was reversed.
func TakenBack(status order.Status, chargeID string) bool {
	return chargeIs(status, chargeID, func(state order.Rank) bool { return state >= order.Reversed })
}

// StillPaid reports whether a status says that a charge is paid.
func StillPaid(status order.Status, chargeID string) bool {
	return chargeIs(status, chargeID, func(state order.Rank) bool { return state == order.Authorized || state == order.Settled })
}

func chargeIs(status order.Status, chargeID string, is func(order.Rank) bool) bool {
	return slices.ContainsFunc(status.Reports, func(r order.Report) bool {
		return r.ChargeID == chargeID && r.Doubt == "" && is(order.Transaction(r.TransactionState))
	})
}

// change sends a change to a code or charge.
func (c *Client) change(ctx context.Context, id, verb string) (*api.Response, order.Object, error) {
	response, err := c.call(ctx, http.MethodPost, []byte("{}"), id, verb)
	if err != nil {
		return nil, nil, err
	}
	fields, err := order.ParseObject(response.Body)
	if err != nil {
		return nil, nil, c.unreadable(response, err)
	}
	if code := fields.FailureCode(); code != "" {
		return nil, nil, c.failure(api.Rejected, response, code, fields.Text("failure_message"), nil)
	}
	return response, fields, nil
}

// call sends one request to /qr/v2/qr or below. If the response has an error status,
// it returns both the response and the error.
func (c *Client) call(ctx context.Context, method string, body []byte, below ...string) (*api.Response, error) {
	parts := []string{"/qr/v2/qr"}
	for _, name := range below {
		if strings.Trim(name, ".") == "" { // would change the path
			return nil, fmt.Errorf("%q is not a valid ID at the bank", name)
		}
		parts = append(parts, url.PathEscape(name))
	}
	req, err := c.HTTP.Request(ctx, method, strings.Join(parts, "/"), bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	response, err := c.HTTP.Do(req)
	if err != nil {
		return nil, err
	}
	fields, unread := order.ParseObject(response.Body)
	envelope := fields.Text("object") == "error"
	if envelope && response.Status/100 == 2 {
		return response, c.failure(api.Rejected, response, fields.Text("code"), fields.Text("message"), nil)
	}
	err = response.Failure()
	if failure, ok := errors.AsType[*api.Error](err); ok {
		failure.Server = c.HTTP.Name
		if failure.Kind == api.Rejected && !envelope && (unread != nil || errors.Is(err, api.ErrNoRoute)) { // from a proxy or gateway, not the bank
			failure.Kind, failure.Message = api.Unavailable, "the bank cannot be reached: another server answers at its address"
		}
	}
	return response, err
}

// saysNoCharge reports whether an answer is the bank's own error envelope that says
// that there is no such charge. An error code that says anything else, such as
// unauthorized_merchant, does not, whatever its HTTP status.
func saysNoCharge(response *api.Response) bool {
	if response == nil {
		return false
	}
	fields, err := order.ParseObject(response.Body)
	if err != nil || fields.Text("object") != "error" {
		return false
	}
	switch what, found := strings.CutSuffix(strings.ToLower(fields.Text("code")), "not_found"); strings.TrimSuffix(what, "_") {
	case "":
		return found || response.Status == http.StatusNotFound && fields.Text("code") == ""
	case "charge", "order", "qr", "code", "transaction", "payment":
		return found
	}
	return false
}

func (c *Client) unreadable(response *api.Response, err error) *api.Error {
	return c.failure(api.Unknown, response, "unreadable", "the bank's answer cannot be read", err)
}

func (c *Client) failure(kind api.Kind, response *api.Response, code, message string, err error) *api.Error {
	return &api.Error{
		Kind: kind, Status: response.Status, Code: cmp.Or(code, fmt.Sprintf("http_%d", response.Status)), Message: cmp.Or(message, "the bank rejected the request"),
		RequestID: response.RequestID, Err: err, Server: c.HTTP.Name,
	}
}
