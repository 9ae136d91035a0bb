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

// Kind says what a failed call may have done at the API. It decides the exit
// code.
type Kind int

// The kinds of failure, the worst last.
const (
	Rejected    Kind = iota + 1 // the API said no; nothing was made
	Denied                      // not signed in, or not allowed; nothing was made
	Unavailable                 // never reached, or throttled; nothing was made
	Unknown                     // sent, and the outcome is not known: it may have been made
)

// String is the kind's word in the log.
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

// Error is a failed call. It is the one error type that calls return, apart
// from errors of the context and of the caller's own Tokens.
type Error struct {
	Kind       Kind
	Again      bool          // asking again with the same key may help
	Status     int           // HTTP status; 0 if none arrived
	Code       string        // the API's own code, or one of ours such as http_502
	Message    string        // for people; server text, so not to be shown unsanitized
	RequestID  string        // x-amzn-RequestId
	RetryAfter time.Duration // what the server asked to wait; 0 if it did not
	Err        error         // the transport's error, if any
	Server     string        // Client.Name

	token secret.String // that the denied request carried, for one refresh
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

// Retryable reports whether running the command again can make the order:
// nothing stands against it, and it is safe.
func (e *Error) Retryable() bool { return e.Kind == Unavailable || e.Kind == Unknown }

// ErrFreshToken says that the API rejected a token that had just been renewed.
var ErrFreshToken = errors.New("the API rejected a token that had just been renewed")

// ErrNoRoute says that the API has no such path, as API Gateway puts it.
var ErrNoRoute = errors.New("the API has no such route")

// rule is one row of the retry table.
type rule struct {
	kind  Kind
	again bool
}

// rules is the retry table by HTTP status (docs/errors.md shows it for people).
// Statuses that are not listed fall to their class; see classify.
var rules = map[int]rule{ //nolint:gochecknoglobals // a constant table
	http.StatusUnauthorized:        {Denied, false}, // Retry refreshes the sign-in once
	http.StatusForbidden:           {Denied, false},
	http.StatusRequestTimeout:      {Unknown, true},
	http.StatusConflict:            {Unknown, true}, // the first request with this key still runs
	http.StatusTooManyRequests:     {Unavailable, true},
	http.StatusInternalServerError: {Unknown, true},
	http.StatusBadGateway:          {Unknown, true},
	http.StatusServiceUnavailable:  {Unknown, true},
	http.StatusGatewayTimeout:      {Unknown, true},
}

// classify says what a status means for a request that was sent.
func classify(status int) rule {
	if r, ok := rules[status]; ok {
		return r
	}
	if status >= 400 && status < 500 {
		return rule{Rejected, false}
	}
	return rule{Unknown, false} // 2xx that is no order, 3xx, odd 5xx
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
	// A wrapper's status counts in a 2xx, and wherever it alone says that the
	// request may have been carried out.
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
		e.Message = "the server's answer is not an order"
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

// noRoute recognizes API Gateway's answers for a path it does not have: a 403 about
// the Authorization header, which it takes for an AWS signature, and a 404 that is
// not the vendor's own. Each 403 was seen with its type and without.
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
	now, err := http.ParseTime(header.Get("Date")) // the server's own clock, so that ours does not matter
	if err != nil {
		return 0
	}
	return max(0, at.Sub(now))
}
