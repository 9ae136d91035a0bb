package api

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/villapay/villapay/internal/order"
	"github.com/villapay/villapay/internal/secret"
)

// MaxBody is the size limit of a response body, in bytes.
const MaxBody = 1 << 20

// Tokens provides the ID token. Refresh is called after a 401 with the rejected
// token.
type Tokens interface {
	Token(ctx context.Context) (secret.String, error)
	Refresh(ctx context.Context, used secret.String) (secret.String, error)
}

// Client calls one environment's API. It is safe for concurrent use once its fields
// are set.
type Client struct {
	Name              string // of the server, for errors: "" = the API
	BaseURL           string // https://host/path, without a trailing slash
	OrderPath         string // path for making an order; "" = /qrpayment
	Scheme            string // authorization scheme; "" sends only the token
	IdempotencyHeader string // header for the idempotency key
	UserAgent         string
	Tokens            Tokens        // nil if the server needs no sign-in
	Key               secret.String // sent as x-api-key if not empty
	Transport         http.RoundTripper

	Log     *slog.Logger   // one record per call; nil logs nothing
	OnRetry func(Wait)     // called before a pause; may be nil
	jitter  func() float64 // 0 ≤ x < 1; nil is random
}

// OrderRequest builds the request that makes a payment order, without a token.
func (c *Client) OrderRequest(ctx context.Context, orderID string, source order.Source, key string) (*http.Request, error) {
	body, err := json.Marshal(struct {
		OrderID string       `json:"orderid"`
		Source  order.Source `json:"source"`
	}{orderID, source})
	if err != nil {
		return nil, err
	}
	req, err := c.Request(ctx, http.MethodPost, cmp.Or(c.OrderPath, "/qrpayment"), bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set(c.IdempotencyHeader, key)
	return req, nil
}

// CreateOrder sends one request for a payment order. Errors are *Error, or come from
// Tokens or the context.
func (c *Client) CreateOrder(ctx context.Context, orderID string, source order.Source, key string) (*order.Order, *Response, error) {
	req, err := c.OrderRequest(ctx, orderID, source, key)
	if err != nil {
		return nil, nil, err
	}
	var made *order.Order
	response, err := c.do(req, orderID, func(response *Response, err error) error {
		if err == nil {
			made, err = response.order()
		}
		return err
	})
	return made, response, err
}

// ErrNoOrder means that the status endpoint does not know the order.
var ErrNoOrder = errors.New("the API does not know this order")

// Status sends one request for the status of a Villa order. path is the environment's
// status_path, such as /checkstatus/{orderid}; statusPaid are the bare words that
// mean paid. It returns ErrNoRoute if the API has no such endpoint, and ErrNoOrder if
// it does not know the order. It changes nothing, so no failure is Unknown.
func (c *Client) Status(ctx context.Context, path, orderID string, statusPaid []string) (status order.Status, requestID string, _ error) {
	req, err := c.Request(ctx, http.MethodGet, strings.ReplaceAll(path, "{orderid}", url.PathEscape(orderID)), nil)
	if err != nil {
		return order.Status{}, "", err
	}
	response, err := c.do(req, orderID, func(response *Response, err error) error {
		if err == nil {
			err = response.Failure()
		}
		if err == nil {
			_, body := unwrap(0, response.Body)
			if status, err = order.ParseStatus(body, orderID, statusPaid); err != nil {
				failure := response.failure()
				failure.Kind, failure.Again, failure.Message, failure.Err = Unavailable, false, "the status answer cannot be read", err
				err = failure
			}
		}
		return asReadOnly(err)
	})
	if err != nil {
		return order.Status{}, "", err
	}
	return status, response.RequestID, nil
}

// asReadOnly corrects the kind of a failed status request, which cannot have made
// anything.
func asReadOnly(err error) error {
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

// Request builds a request for a path below the base URL. It returns an error if the
// path leads to another host.
func (c *Client) Request(ctx context.Context, method, path string, body io.Reader) (*http.Request, error) {
	base, err := url.Parse(c.BaseURL)
	if err != nil {
		return nil, fmt.Errorf("base URL: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, method, c.BaseURL+"/"+strings.TrimLeft(path, "/"), body)
	if err != nil {
		return nil, fmt.Errorf("build the request: %w", err)
	}
	if req.URL.Scheme != base.Scheme || req.URL.Host != base.Host || req.URL.User != nil {
		return nil, fmt.Errorf("%s is not on %s", req.URL.Redacted(), base.Host)
	}
	// net/http resends a request with an idempotency key if it can rewind the body.
	// Retry counts the attempts, so net/http must not.
	req.GetBody = nil
	req.Header.Set("User-Agent", c.UserAgent)
	req.Header.Set("Accept", "application/json")
	return req, nil
}

// Do adds the token to req, sends it once and reads the whole response, whatever its
// status. It does not follow redirects. A token in the response is redacted.
func (c *Client) Do(req *http.Request) (*Response, error) {
	return c.do(req, "", func(_ *Response, err error) error { return err })
}

// do is Do for a call about a Villa order, "" for none. interpret returns the call's
// error, which is logged.
func (c *Client) do(req *http.Request, orderID string, interpret func(*Response, error) error) (*Response, error) {
	start := time.Now()
	var response *Response
	token, err := c.authorize(req)
	if err == nil {
		response, err = c.send(req, token)
	}
	err = interpret(response, err)
	if failure, ok := errors.AsType[*Error](err); ok {
		failure.Server = c.Name
	}
	c.logCall(req, orderID, response, err, time.Since(start))
	return response, err
}

func (c *Client) authorize(req *http.Request) (secret.String, error) {
	if c.Tokens == nil {
		if !c.Key.Empty() {
			req.Header.Set("X-Api-Key", c.Key.Reveal())
		}
		return c.Key, nil
	}
	token, err := c.Tokens.Token(req.Context())
	if err != nil {
		return secret.String{}, err
	}
	req.Header.Set("Authorization", strings.TrimSpace(c.Scheme+" "+token.Reveal()))
	return token, nil
}

func (c *Client) send(req *http.Request, token secret.String) (*Response, error) {
	trace := &progress{}
	client := http.Client{
		Transport:     c.Transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	resp, err := client.Do(trace.watch(req))
	if err != nil {
		return nil, trace.failure(req, err, token)
	}
	defer resp.Body.Close()
	response := &Response{Status: resp.StatusCode, Header: resp.Header, RequestID: requestID(resp.Header)}
	response.redact(token)
	if resp.StatusCode == http.StatusSwitchingProtocols { // its body ignores the context
		return nil, &Error{
			Kind: Unknown, Again: true, Status: resp.StatusCode, Code: "http_101",
			Message: "the server switched protocols instead of answering", RequestID: response.RequestID,
		}
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, MaxBody+1))
	response.Body = []byte(secret.Redact(string(body), token))
	if err != nil {
		failure := trace.failure(req, err, token)
		failure.Status, failure.RequestID = resp.StatusCode, response.RequestID
		return nil, failure
	}
	if len(body) > MaxBody {
		rule := classify(resp.StatusCode)
		return nil, &Error{
			Kind: rule.kind, Again: rule.again, Status: resp.StatusCode, Code: "answer_too_large",
			Message: "the server's answer is larger than 1 MiB", RequestID: response.RequestID,
		}
	}
	return response, nil
}

// logCall logs one call.
func (c *Client) logCall(req *http.Request, orderID string, response *Response, err error, took time.Duration) {
	if c.Log == nil {
		return
	}
	attrs := []slog.Attr{slog.String("method", req.Method), slog.String("path", req.URL.Path), slog.Duration("took", took)}
	if orderID != "" {
		attrs = append(attrs, slog.String("order", orderID))
	}
	if key := req.Header.Get(c.IdempotencyHeader); key != "" {
		attrs = append(attrs, slog.String("key", key))
	}
	if response != nil {
		attrs = append(attrs, slog.Int("status", response.Status), slog.String("request_id", response.RequestID))
	}
	outcome, level := "ok", slog.LevelInfo
	if err == nil && orderID == "" && response.Failure() != nil { // Do accepts any status
		outcome, level = "rejected", slog.LevelWarn
	}
	if err != nil {
		outcome, level = "not sent", slog.LevelError
		attrs = append(attrs, slog.String("error", err.Error()))
		if failure, ok := errors.AsType[*Error](err); ok {
			outcome = failure.Kind.String()
			if failure.Kind == Rejected {
				level = slog.LevelWarn // the server works
			}
			attrs = append(attrs, slog.String("code", failure.Code))
		}
	}
	c.Log.LogAttrs(req.Context(), level, "call", append(attrs, slog.String("outcome", outcome))...)
}
