// Package kbank is a thin client of the bank's merchant API, for whoever has the
// merchant's secret key.
//
// It promises what package api promises, whose client carries its calls: one
// request a call, to the configured host and no other, bounded in size and time,
// the secret key in no error, and every failure told apart by what it may have
// done. The bank's error envelope is a failure whatever its HTTP status. Amounts
// go out with the digits they came with.
package kbank

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"time"

	"github.com/villapay/villapay/internal/api"
	"github.com/villapay/villapay/internal/order"
)

// Client calls the bank. HTTP has the bank's address, and the key that goes there
// alone. Sof has the bank's word for each source; a source without one has no
// codes.
type Client struct {
	HTTP *api.Client
	Sof  map[order.Source]string
}

// Code is the bank's code for a payment.
type Code struct {
	*order.BankCode
	RequestID string
	Date      time.Time // the answer's Date header; zero if it has none
}

// WrongCodeError says that the bank made a code that must not be shown.
type WrongCodeError struct{ Err error }

func (e *WrongCodeError) Error() string { return e.Err.Error() }

func (e *WrongCodeError) Unwrap() error { return e.Err }

// Code asks for the code of a payment's order. Asking again is harmless: a code
// that nobody was shown cannot be paid. Errors are *api.Error, or *WrongCodeError.
func (c *Client) Code(ctx context.Context, p *order.Payment) (code Code, _ error) {
	made, err := order.Decode(p.Order)
	if err != nil {
		return Code{}, err
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
		return Code{}, err
	}
	response, err := c.call(ctx, http.MethodPost, "/qr/v2/qr", body)
	if err != nil {
		return Code{}, err
	}
	code = Code{RequestID: response.RequestID, Date: response.Date()}
	code.BankCode, err = order.DecodeBankCode(response.Body, p)
	switch {
	case errors.Is(err, order.ErrNoText):
		return Code{}, c.failure(api.Unavailable, response, "no_paint_text", err.Error(), err)
	case err != nil:
		return Code{}, &WrongCodeError{err}
	}
	return code, nil
}

// ErrNoCharge says that the bank knows no charge with an id, or of an order.
var ErrNoCharge = errors.New("the bank knows no charge of it")

// Inquire asks what became of a charge, or of the last charge of a bank order. It
// changes nothing, so no failure is Unknown. It fails with ErrNoCharge if there is
// none.
func (c *Client) Inquire(ctx context.Context, id, orderID string) (status order.Status, requestID string, _ error) {
	response, err := c.call(ctx, http.MethodGet, "/qr/v2/qr/"+url.PathEscape(id), nil)
	if err == nil {
		if status, err = order.ParseStatus(response.Body, orderID, nil); err == nil {
			return status, response.RequestID, nil
		}
		err = c.failure(api.Unavailable, response, "unreadable", unreadable, err)
	}
	if failure, ok := errors.AsType[*api.Error](err); ok {
		if failure.Status == http.StatusNotFound {
			failure.Err = ErrNoCharge
		}
		if failure.Kind == api.Unknown {
			failure.Kind = api.Unavailable
		}
	}
	return order.Status{}, "", err
}

// Reports asks once about a charge, for a notification about it.
func (c *Client) Reports(ctx context.Context, chargeID string) ([]order.Report, error) {
	status, requestID, err := c.Inquire(ctx, chargeID, "")
	for i := range status.Reports {
		status.Reports[i].From, status.Reports[i].RequestID = order.FromBank, requestID
	}
	return status.Reports, err
}

// Cancel takes an unpaid code back, once. It returns nil only if the bank says so.
func (c *Client) Cancel(ctx context.Context, codeID string) error {
	_, err := c.change(ctx, codeID, "cancel")
	return err
}

// Void gives a payment back, once, and returns what the bank says about the charge
// then.
func (c *Client) Void(ctx context.Context, chargeID, orderID string) (status order.Status, requestID string, _ error) {
	response, err := c.change(ctx, chargeID, "void")
	if err != nil {
		return order.Status{}, "", err
	}
	if status, err = order.ParseStatus(response.Body, orderID, nil); err != nil {
		return order.Status{}, "", c.failure(api.Unknown, response, "unreadable", unreadable, err)
	}
	return status, response.RequestID, nil
}

// change asks for a change, which counts as made only if a whole answer says so.
func (c *Client) change(ctx context.Context, id, verb string) (*api.Response, error) {
	response, err := c.call(ctx, http.MethodPost, "/qr/v2/qr/"+url.PathEscape(id)+"/"+verb, []byte("{}"))
	if err != nil {
		return nil, err
	}
	fields, err := order.ParseObject(response.Body)
	if err != nil {
		return nil, c.failure(api.Unknown, response, "unreadable", unreadable, err)
	}
	if code := fields.Text("failure_code"); code != "" && code != "false" && code != "0" {
		return nil, c.failure(api.Rejected, response, code, fields.Text("failure_message"), nil)
	}
	return response, nil
}

// call sends one request and returns its answer, if that is no error.
func (c *Client) call(ctx context.Context, method, path string, body []byte) (*api.Response, error) {
	req, err := c.HTTP.Request(ctx, method, path, bytes.NewReader(body))
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
	if fields, err := order.ParseObject(response.Body); err == nil && fields.Text("object") == "error" && response.Status/100 == 2 {
		return nil, c.failure(api.Rejected, response, fields.Text("code"), fields.Text("message"), nil)
	}
	if err := response.Failure(); err != nil {
		return nil, err
	}
	return response, nil
}

const unreadable = "the bank's answer cannot be read"

func (c *Client) failure(kind api.Kind, response *api.Response, code, message string, err error) *api.Error {
	return &api.Error{Kind: kind, Status: response.Status, Code: code, Message: message, RequestID: response.RequestID, Err: err, Server: c.HTTP.Name}
}
