package api

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/villapay/villapay/internal/order"
	"github.com/villapay/villapay/internal/secret"
)

// Response is a complete response. The request's secrets are redacted.
type Response struct {
	Status    int
	Header    http.Header
	Body      []byte // at most MaxBody bytes, with any wrappers
	RequestID string
	token     secret.String
}

// Date returns the Date header, zero if there is none.
func (r *Response) Date() time.Time {
	at, err := http.ParseTime(r.Header.Get("Date"))
	if err != nil {
		return time.Time{}
	}
	return at
}

// Failure returns the error of a status other than 2xx, nil for 2xx.
func (r *Response) Failure() error {
	if _, ok := r.success(); ok {
		return nil
	}
	return r.failure()
}

// success returns the unwrapped body, and whether the status and the innermost
// wrapper's are 2xx.
func (r *Response) success() (body []byte, ok bool) {
	status, body := unwrap(r.Status, r.Body)
	return body, r.Status/100 == 2 && status/100 == 2
}

func (r *Response) failure() *Error {
	e := statusError(r.Status, r.Header, r.Body)
	e.token = r.token
	return e
}

// redact hides the token in a response's headers: some servers echo requests.
func (r *Response) redact(token secret.String) {
	r.token = token
	r.RequestID = secret.Redact(r.RequestID, token)
	for name, values := range r.Header {
		for i := range values {
			values[i] = secret.Redact(values[i], token)
		}
		if shown := secret.Redact(name, token); shown != name {
			delete(r.Header, name)
			r.Header[shown] = append(r.Header[shown], values...)
		}
	}
}

// order decodes the order in a response.
func (r *Response) order() (*order.Order, error) {
	body, ok := r.success()
	if !ok {
		return nil, r.failure()
	}
	made, err := order.Decode(body)
	if err != nil {
		failure := r.failure()
		failure.Err = err
		return nil, failure
	}
	return made, nil
}

// unwrap removes {"statusCode":N,"body":…} wrappers, even if they are nested or the
// body is JSON in a string. It returns the innermost status code, or status without
// a wrapper.
func unwrap(status int, body []byte) (int, []byte) {
	for range 3 {
		if !bytes.Contains(body, []byte("statusCode")) {
			break // the usual case
		}
		wrapper, err := order.ParseObject(body)
		if err != nil || wrapper["statusCode"] == nil || wrapper["body"] == nil {
			break
		}
		code, err := strconv.Atoi(strings.TrimSpace(wrapper.Text("statusCode")))
		if err != nil || code < 100 || code > 599 {
			break
		}
		status, body = code, wrapper["body"]
		var text string
		if json.Unmarshal(body, &text) == nil {
			body = []byte(text)
		}
	}
	return status, body
}
