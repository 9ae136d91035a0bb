package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/villapay/villapay/internal/order"
	"github.com/villapay/villapay/internal/secret"
)

// Kind classifies a failed call by what it may have done at the API. It determines
// the exit code.
type Kind int

// The kinds of failure, the worst last.
const (
	Rejected    Kind = iota + 1 // the API rejected the request; nothing was made
	Denied                      // not signed in, or not allowed; nothing was made
	Unavailable                 // not reached, or throttled; nothing was made
	Unknown                     // sent, outcome unknown: it may have been made
)

// String returns the kind as written to the log.
func (k Kind) String() string {
	switch k {
	case Rejected:
		return "rejected"
	case Denied:
		return "denied"
	case Unavailable:
		return "unavailable"
	case Unknown:
		return "unknown"
	}
	return "failed"
}

// Error is a failed call. Calls return no other errors, except those of the context
// and of Tokens.
type Error struct {
	Kind       Kind
	Again      bool          // a retry with the same key may help
	Status     int           // HTTP status; 0 without a response
	Code       string        // the API's code, or one of ours such as http_502
	Message    string        // may be the server's text: sanitize it before showing it
	RequestID  string        // x-amzn-RequestId
	RetryAfter time.Duration // from Retry-After; 0 if there is none
	Err        error         // the transport's error, if any
	Server     string        // Client.Name

	token secret.String // of the denied request, for one refresh
}

func (e *Error) Error() string {
	switch {
	case e.Status == 0:
		return e.Message
	case e.Code == fmt.Sprintf("http_%d", e.Status):
		return fmt.Sprintf("%s (HTTP %d)", e.Message, e.Status)
	}
	return fmt.Sprintf("%s (%s, HTTP %d)", e.Message, e.Code, e.Status)
}

func (e *Error) Unwrap() error { return e.Err }

// Retryable reports whether running the command again may succeed.
func (e *Error) Retryable() bool { return e.Kind == Unavailable || e.Kind == Unknown }

// Reached reports whether the request may have reached the server.
func (e *Error) Reached() bool {
	return e.Status != 0 || e.Code != codeUnreachable && e.Code != codeProxy
}

// ErrFreshToken means that the API rejected a token that had just been renewed.
var ErrFreshToken = errors.New("the API rejected a token that had just been renewed")

// ErrNoRoute means that API Gateway has no such path.
var ErrNoRoute = errors.New("the API has no such route")

// rule is one row of the retry table.
type rule struct {
	kind  Kind
	again bool
}

// rules is the retry table by HTTP status (see docs/errors.md). classify handles the
// statuses that are not listed.
var rules = map[int]rule{ //nolint:gochecknoglobals // a constant table
	http.StatusUnauthorized:        {Denied, false}, // Retry refreshes the sign-in once
	http.StatusForbidden:           {Denied, false},
	http.StatusRequestTimeout:      {Unknown, true},
	http.StatusConflict:            {Unknown, true}, // the first request with this key is still running
	http.StatusTooManyRequests:     {Unavailable, true},
	http.StatusInternalServerError: {Unknown, true},
	http.StatusBadGateway:          {Unknown, true},
	http.StatusServiceUnavailable:  {Unknown, true},
	http.StatusGatewayTimeout:      {Unknown, true},
}

// classify returns the rule for a response status.
func classify(status int) rule {
	if r, ok := rules[status]; ok {
		return r
	}
	if status >= 400 && status < 500 {
		return rule{Rejected, false}
	}
	return rule{Unknown, false} // 2xx without an order, 3xx, other 5xx
}

// DecodeError reads the three error envelopes the vendor and API Gateway use:
// {"error":{"code","message"}}, {"error":"…","code":"…"} and {"message":"…"},
// each also inside {"statusCode","body"} wrappers. It returns "" for what is
// not there.
func DecodeError(body []byte) (code, message string) {
	_, body = unwrap(0, body)
	fields, err := order.ParseObject(body)
	if err != nil {
		return "", ""
	}
	if inner, err := order.ParseObject(fields["error"]); err == nil {
		return inner.Text("code"), inner.Text("message")
	}
	code, message = fields.Text("code"), fields.Text("message")
	if text := fields.Text("error"); text != "" {
		message = text
	}
	return code, message
}

// statusError makes the error for a whole answer that is not a success.
func statusError(status int, header http.Header, body []byte) *Error {
	// A wrapper's status counts if the HTTP status is 2xx, or if only the wrapper's
	// says that the request may have succeeded.
	if inner, _ := unwrap(status, body); inner >= 400 && (status/100 == 2 || classify(inner).kind == Unknown && classify(status).kind != Unknown) {
		status = inner
	}
	rule := classify(status)
	e := &Error{
		Kind: rule.kind, Again: rule.again, Status: status,
		RequestID: requestID(header), RetryAfter: retryAfter(header),
	}
	e.Code, e.Message = DecodeError(body)
	switch {
	case noRoute(status, header.Get("X-Amzn-Errortype"), e.Code, e.Message, body):
		e.Code, e.Message, e.Err = "no_such_route", "the API has no such route", ErrNoRoute
	case e.Message == "" && status >= 200 && status < 300:
		e.Message = "the response is not an order"
	case e.Message == "" && status >= 300 && status < 400:
		e.Message = "the server redirects elsewhere; redirects are not followed"
	case e.Message == "":
		e.Message = "the server answered " + describe(status)
	}
	if e.Code == "" {
		e.Code = "http_" + strconv.Itoa(status)
	}
	return e
}

// noRoute recognizes API Gateway's responses for an unknown path: a 403 about the
// Authorization header, which it reads as an AWS signature, or a 404 that is not the
// vendor's. The 403 has been seen with and without an error type.
func noRoute(status int, kind, code, message string, body []byte) bool {
	switch status {
	case http.StatusForbidden:
		return strings.HasPrefix(kind, "MissingAuthenticationTokenException") || strings.HasPrefix(kind, "IncompleteSignatureException") ||
			message == "Missing Authentication Token" || strings.Contains(message, "key=value pair (missing equal-sign) in Authorization header") ||
			strings.HasPrefix(message, "Authorization header requires 'Credential' parameter")
	case http.StatusNotFound:
		return code == "" && (message == "Not Found" || !json.Valid(body))
	}
	return false
}

func describe(status int) string {
	if text := http.StatusText(status); text != "" {
		return strconv.Itoa(status) + " " + text
	}
	return strconv.Itoa(status)
}

func requestID(header http.Header) string {
	for _, name := range []string{"X-Amzn-Requestid", "X-Request-Id", "X-Amz-Apigw-Id"} {
		if id := header.Get(name); id != "" {
			return id
		}
	}
	return ""
}

// retryAfter reads the header as seconds or as a date (RFC 9110, 10.2.3).
func retryAfter(header http.Header) time.Duration {
	value := header.Get("Retry-After")
	if seconds, err := strconv.Atoi(strings.TrimSpace(value)); err == nil {
		return max(0, time.Duration(min(seconds, 1<<20))*time.Second)
	}
	at, err := http.ParseTime(value)
	if err != nil {
		return 0
	}
	now, err := http.ParseTime(header.Get("Date")) // relative to the server's clock
	if err != nil {
		return 0
	}
	return max(0, at.Sub(now))
}
