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

// Response is a whole answer to a call, without the secrets that the request
// carried.
type Response struct {
	Status    int
	Header    http.Header
	Body      []byte // at most MaxBody bytes, wrappers and all
	RequestID string
	token     secret.String
}

// Date is the server's own time of the answer; zero if it states none.
func (r *Response) Date() time.Time {
	at, err := http.ParseTime(r.Header.Get("Date"))
	if err != nil {
		return time.Time{}
	}
	return at
}

// Failure returns the error that a status other than 2xx stands for, nil for 2xx.
func (r *Response) Failure() error {
	if _, ok := r.success(); ok {
		return nil
	}
	return r.failure()
}

// success returns the body without its wrappers, and whether the answer and each
// wrapper says 2xx.
func (r *Response) success() (body []byte, ok bool) {
	status, body := unwrap(r.Status, r.Body)
	return body, r.Status/100 == 2 && status/100 == 2
}

func (r *Response) failure() *Error {
	e := statusError(r.Status, r.Header, r.Body)
	e.token = r.token
	return e
}

// redact hides a secret that the server repeats: some echo what they were sent.
func (r *Response) redact(token secret.String) {
	r.token = token
	r.Body = []byte(secret.Redact(string(r.Body), token))
	r.RequestID = secret.Redact(r.RequestID, token)
	for _, values := range r.Header {
		for i := range values {
			values[i] = secret.Redact(values[i], token)
		}
	}
}

// order reads the order in an answer, or says what it is instead.
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

// unwrap takes {"statusCode":N,"body":…} wrappers off, also nested ones and
// bodies that are JSON inside a string. It returns the innermost status code,
// or status if there is no wrapper.
func unwrap(status int, body []byte) (int, []byte) {
	for range 3 {
		if !bytes.Contains(body, []byte("statusCode")) {
			break // as nearly always
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
