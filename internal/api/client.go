package api

import (
	"bytes"
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

	"github.com/villapay/villapay/internal/secret"
)

// MaxBody is the most that is read of an answer, in bytes.
const MaxBody = 1 << 20

// Tokens gives the sign-in's ID token. Refresh is called after a 401 with the
// token that was refused.
type Tokens interface {
	Token(ctx context.Context) (secret.String, error)
	Refresh(ctx context.Context, used secret.String) (secret.String, error)
}

// Client calls one environment's API. Its fields are set once, before the first
// call; it is then safe for concurrent use.
type Client struct {
	BaseURL   string // https://host/path, no slash at its end
	Scheme    string // before the token in Authorization; "" sends it raw, as the seed shows
	KeyHeader string // the header that carries the idempotency key
	UserAgent string
	Tokens    Tokens // nil where the environment needs no sign-in
	Transport http.RoundTripper

	Log    *slog.Logger   // a record a call; nil logs nothing
	Waits  func(Wait)     // told before a pause; nil tells nobody
	jitter func() float64 // 0 ≤ x < 1; nil is random
}

// Answer is a whole answer to a call.
type Answer struct {
	Status    int
	Header    http.Header
	Body      []byte // at most MaxBody bytes, wrappers and all
	RequestID string
	token     secret.String
}

// OrderRequest builds the request that makes a payment order, exactly as the
// seed shows it, without a token: POST {base}/qrpayment {"orderid","source"}.
func (c *Client) OrderRequest(ctx context.Context, orderID string, source Source, key string) (*http.Request, error) {
	body, err := json.Marshal(struct {
		OrderID string `json:"orderid"`
		Source  Source `json:"source"`
	}{orderID, source})
	if err != nil {
		return nil, err
	}
	req, err := c.Request(ctx, http.MethodPost, "/qrpayment", bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set(c.KeyHeader, key)
	return req, nil
}

// CreateOrder asks once for a payment order. Errors are *Error, or come from
// Tokens or the context.
func (c *Client) CreateOrder(ctx context.Context, orderID string, source Source, key string) (*Order, string, error) {
	req, err := c.OrderRequest(ctx, orderID, source, key)
	if err != nil {
		return nil, "", err
	}
	var order *Order
	answer, err := c.do(req, orderID, func(answer *Answer, err error) error {
		if err == nil {
			order, err = answer.order()
		}
		return err
	})
	if err != nil {
		return nil, "", err
	}
	return order, answer.RequestID, nil
}

// order reads the order in an answer, or says what it is instead.
func (a *Answer) order() (*Order, error) {
	body, ok := a.success()
	if !ok {
		return nil, a.failure()
	}
	order, err := decodeOrder(body)
	if err != nil {
		failure := a.failure()
		failure.Err = err
		return nil, failure
	}
	return order, nil
}

// Request builds a request for a path below the base URL, and refuses one that
// would leave for another host.
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
	// net/http resends requests that carry an idempotency key by itself when it
	// can rewind the body. Attempts are counted here, so it must not.
	req.GetBody = nil
	req.Header.Set("User-Agent", c.UserAgent)
	req.Header.Set("Accept", "application/json")
	return req, nil
}

// Do signs req with the token, sends it once and reads the whole answer,
// whatever its status. Redirects are not followed. Where the answer repeats the
// token, that is hidden.
func (c *Client) Do(req *http.Request) (*Answer, error) {
	answer, err := c.do(req, "", func(_ *Answer, err error) error { return err })
	if answer != nil {
		answer.Body = []byte(secret.Redact(string(answer.Body), answer.token))
		for _, values := range answer.Header {
			for i := range values {
				values[i] = secret.Redact(values[i], answer.token)
			}
		}
	}
	return answer, err
}

// do is Do for a call about a Villa order, "" for none. judge has the last word
// on what the answer, or the lack of one, means; that goes into the log.
func (c *Client) do(req *http.Request, orderID string, judge func(*Answer, error) error) (*Answer, error) {
	start := time.Now()
	var answer *Answer
	token, err := c.authorize(req)
	if err == nil {
		answer, err = c.send(req, token)
	}
	err = judge(answer, err)
	c.record(req, orderID, answer, err, time.Since(start))
	return answer, err
}

func (c *Client) authorize(req *http.Request) (secret.String, error) {
	if c.Tokens == nil {
		return secret.String{}, nil
	}
	token, err := c.Tokens.Token(req.Context())
	if err != nil {
		return secret.String{}, err
	}
	req.Header.Set("Authorization", strings.TrimSpace(c.Scheme+" "+token.Reveal()))
	return token, nil
}

func (c *Client) send(req *http.Request, token secret.String) (*Answer, error) {
	trace := &progress{}
	client := http.Client{
		Transport:     c.Transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	resp, err := client.Do(trace.watch(req))
	if err != nil {
		return nil, trace.failure(req, err)
	}
	defer resp.Body.Close()
	answer := &Answer{Status: resp.StatusCode, Header: resp.Header, RequestID: requestID(resp.Header), token: token}
	answer.Body, err = io.ReadAll(io.LimitReader(resp.Body, MaxBody+1))
	if err != nil {
		failure := trace.failure(req, err)
		failure.Status, failure.RequestID = resp.StatusCode, answer.RequestID
		return nil, failure
	}
	if len(answer.Body) > MaxBody {
		rule := classify(resp.StatusCode)
		return nil, &Error{
			Kind: rule.kind, Again: rule.again, Status: resp.StatusCode, Code: "answer_too_large",
			Message: "the server's answer is larger than 1 MiB", RequestID: answer.RequestID,
		}
	}
	return answer, nil
}

// failure makes the error that an answer stands for, without the token in it:
// some servers echo what they were sent.
func (a *Answer) failure() *Error {
	e := statusError(a.Status, a.Header, a.Body)
	e.Message = secret.Redact(e.Message, a.token)
	e.Code = secret.Redact(e.Code, a.token)
	e.token = a.token
	return e
}

// Failure returns the error that a status other than 2xx stands for, nil for 2xx.
func (a *Answer) Failure() error {
	if _, ok := a.success(); ok {
		return nil
	}
	return a.failure()
}

// success returns the body without its wrappers, and whether the answer and each
// wrapper says 2xx.
func (a *Answer) success() (body []byte, ok bool) {
	status, body := unwrap(a.Status, a.Body)
	return body, a.Status/100 == 2 && status/100 == 2
}

// record writes one call to the log, with its outcome.
func (c *Client) record(req *http.Request, orderID string, answer *Answer, err error, took time.Duration) {
	if c.Log == nil {
		return
	}
	attrs := []slog.Attr{slog.String("method", req.Method), slog.String("path", req.URL.Path), slog.Duration("took", took)}
	if orderID != "" {
		attrs = append(attrs, slog.String("order", orderID))
	}
	if key := req.Header.Get(c.KeyHeader); key != "" {
		attrs = append(attrs, slog.String("key", key))
	}
	if answer != nil {
		attrs = append(attrs, slog.Int("status", answer.Status), slog.String("request_id", answer.RequestID))
	}
	outcome, level := "ok", slog.LevelInfo
	if err == nil && orderID == "" && answer.Failure() != nil { // a raw call takes any answer
		outcome, level = "refused", slog.LevelWarn
	}
	if err != nil {
		outcome, level = "not sent", slog.LevelError
		attrs = append(attrs, slog.String("error", err.Error()))
		if failure, ok := errors.AsType[*Error](err); ok {
			outcome = failure.Kind.String()
			if failure.Kind == Refused {
				level = slog.LevelWarn // by a server that works as it should
			}
			attrs = append(attrs, slog.String("code", failure.Code))
		}
	}
	c.Log.LogAttrs(req.Context(), level, "call", append(attrs, slog.String("outcome", outcome))...)
}
