package sandbox

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// inProcess is the base URL for clients of Transport.
const inProcess = "http://sandbox.invalid"

// exampleTime is when the vendor's example order was created.
func exampleTime() time.Time { return time.Date(2025, 5, 30, 13, 56, 58, 833e6, time.UTC) }

// clock is a clock that a test moves.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func newClock() *clock { return &clock{at: exampleTime()} }

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// newSandbox makes a sandbox that is closed when the test ends.
func newSandbox(t *testing.T, o Options) *Sandbox {
	t.Helper()
	if o.Now == nil {
		o.Now = exampleTime
	}
	s := New(o)
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return s
}

// client follows no redirect, as no client of a payment API should.
func client(transport http.RoundTripper) *http.Client {
	return &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse
	}}
}

// answer is what a client got.
type answer struct {
	status int
	header http.Header
	body   string
	err    error
}

func (a answer) order() *order {
	o, err := parseOrder(a.body)
	if err != nil {
		return &order{}
	}
	return o
}

// ask makes a payment request as the vendor's document shows it.
func ask(ctx context.Context, c *http.Client, base, orderID, source, key string) answer {
	header := http.Header{"Content-Type": {"application/json"}}
	if key != "" {
		header.Set("Idempotency-Key", key)
	}
	return send(ctx, c, http.MethodPost, base+"/qrpayment", `{"orderid":"`+orderID+`","source":"`+source+`"}`, header)
}

func send(ctx context.Context, c *http.Client, method, url, body string, header http.Header) answer {
	req, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		return answer{err: err}
	}
	req.Header = header
	resp, err := c.Do(req)
	if err != nil {
		return answer{err: err}
	}
	defer func() { _ = resp.Body.Close() }()
	got, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	return answer{status: resp.StatusCode, header: resp.Header, body: string(got), err: err}
}

func wantStats(t *testing.T, s *Sandbox, orderID string, want Stats) {
	t.Helper()
	got, err := s.Stats(t.Context(), orderID)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("stats of %s (-want +got):\n%s", orderID, diff)
	}
}

// eachWay runs a test against the sandbox in this process and behind a port.
func eachWay(t *testing.T, o Options, test func(t *testing.T, s *Sandbox, c *http.Client, base string)) {
	t.Helper()
	t.Run("in process", func(t *testing.T) {
		t.Parallel()
		s := newSandbox(t, o)
		test(t, s, client(s.Transport()), inProcess)
	})
	t.Run("served", func(t *testing.T) {
		t.Parallel()
		s := newSandbox(t, o)
		// On a connection that it has used before, net/http sends a request with
		// an Idempotency-Key again by itself; these tests count requests.
		test(t, s, client(&http.Transport{DisableKeepAlives: true}), serve(t, s))
	})
}

// serve puts a handler on a port.
func serve(t *testing.T, h http.Handler) string {
	t.Helper()
	server := httptest.NewUnstartedServer(h)
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.Start()
	t.Cleanup(server.Close)
	return server.URL
}

// The vendor's example answer without its white space.
const exampleJSON = `{"id":"order_test_222110adff3affb5844c497fa9c22366b5bc6","object":"order","created":"20250530205658833",` +
	`"livemode":false,"amount":300.0,"currency":"THB","customer":null,"description":"Order 492500004632","metadata":null,` +
	`"status":"success","reference_order":"4925000046321748613417.737979","source_type":"qr",` +
	`"additional_data":{"term":null,"mid":null,"tid":null,"smartpay_id":null,"campaign_id":null},` +
	`"failure_code":null,"failure_message":null,"expire_time_seconds":3600}`

func TestAnswerIsTheDocumentsExample(t *testing.T) {
	t.Parallel()
	id := regexp.MustCompile(`order_test_22211[0-9a-f]{32}`)
	eachWay(t, Options{}, func(t *testing.T, _ *Sandbox, c *http.Client, base string) {
		got := ask(t.Context(), c, base, exampleOrder, "qr", "")
		if got.err != nil || got.status != 200 {
			t.Fatalf("%+v", got)
		}
		want := id.ReplaceAllString(exampleJSON, "ID")
		if diff := cmp.Diff(want, id.ReplaceAllString(got.body, "ID")); diff != "" {
			t.Errorf("answer (-the document's +got):\n%s", diff)
		}
		for name, want := range map[string]string{
			"Content-Type": "application/json", "Date": "Fri, 30 May 2025 13:56:58 GMT",
		} {
			if got := got.header.Get(name); got != want {
				t.Errorf("%s: %q, want %q", name, got, want)
			}
		}
	})
}

func TestAmounts(t *testing.T) {
	t.Parallel()
	for amount, want := range map[satang]string{300_00: "300.0", 74_25: "74.25", 74_50: "74.5", 20_05: "20.05", 5000_00: "5000.0"} {
		if got := string(amount.number()); got != want {
			t.Errorf("%d satang: %s, want %s", amount, got, want)
		}
	}
	odd := 0
	for i := range 1000 {
		id := strconv.Itoa(i)
		amount := amountOf(id)
		if amount != amountOf(id) || amount < 20_00 || amount > 5000_00 {
			t.Errorf("order %s costs %d satang, and then %d", id, amount, amountOf(id))
		}
		if amount%100 != 0 {
			odd++
		}
	}
	if odd < 400 || odd > 900 {
		t.Errorf("%d of 1000 amounts have satang, want some", odd)
	}
}

func TestRoutes(t *testing.T) {
	t.Parallel()
	const missing = `{"message":"Missing Authentication Token"}`
	tests := []struct {
		method, path string
		status       int
		body         string
	}{
		{"GET", "/qrpayment", 403, missing},
		{"PUT", "/qrpayment", 403, missing},
		{"POST", "/qrpayment/", 403, missing},
		{"POST", "/", 403, missing},
		{"POST", "/QRPayment", 403, missing},
		{"GET", "/checkstatus", 403, missing},
		{"GET", "/checkstatus/", 403, missing},
		{"GET", "/checkstatus/1/2", 403, missing},
		{"POST", "/checkstatus/1", 403, missing},
		{"GET", "/checkstatus/1", 404, `{"statusCode":404,"body":{"error":"Order not found.","code":"ORDER_NOT_FOUND","details":{}}}`},
		{"GET", "/checkstatus/bare-success", 404, `{"statusCode":404,"body":{"error":"Order not found.","code":"ORDER_NOT_FOUND","details":{}}}`},
	}
	eachWay(t, Options{}, func(t *testing.T, _ *Sandbox, c *http.Client, base string) {
		seen := map[string]bool{}
		for _, test := range tests {
			got := send(t.Context(), c, test.method, base+test.path, "", http.Header{})
			if got.err != nil || got.status != test.status || got.body != test.body {
				t.Errorf("%s %s: %d %s (%v), want %d %s", test.method, test.path, got.status, got.body, got.err, test.status, test.body)
			}
			id := got.header.Get("x-amzn-RequestId")
			if len(id) != 36 || seen[id] || got.header.Get("x-amz-apigw-id") == "" {
				t.Errorf("%s %s: request id %q (seen: %v), gateway id %q", test.method, test.path, id, seen[id], got.header.Get("x-amz-apigw-id"))
			}
			seen[id] = true
		}
	})
}

// What API Gateway says about an unknown route depends on the Authorization
// header; one answer repeats it.
func TestNoRoute(t *testing.T) {
	t.Parallel()
	const (
		missing    = `{"message":"Missing Authentication Token"}`
		incomplete = `{"message":"Invalid key=value pair (missing equal-sign) in Authorization header ` +
			`(hashed with SHA-256 and encoded with Base64): 'v/3iBBM0e3oA4TY94/l8pp5BncCupV9KSnUBj6s6Do4='."}`
		echoed = `{"message":"'Bearer secret' not a valid key=value pair (missing equal-sign) in Authorization header: 'Bearer secret'."}`
		order  = `{"orderid":"%s","source":"qr"}`
	)
	s := newSandbox(t, Options{})
	post := func(orderID, authorization string) answer {
		header := http.Header{"Content-Type": {"application/json"}, "Authorization": {authorization}}
		return send(t.Context(), client(s.Transport()), "POST", inProcess+"/qrpayment", fmt.Sprintf(order, orderID), header)
	}
	get := func(path, authorization string) answer {
		return send(t.Context(), client(s.Transport()), "GET", inProcess+path, "", http.Header{"Authorization": {authorization}})
	}
	post("check-no-route", "Bearer secret")
	for name, test := range map[string]struct {
		got             answer
		body, errorType string
	}{
		"no header":             {get("/elsewhere", ""), missing, "MissingAuthenticationTokenException"},
		"header":                {get("/elsewhere", "Bearer secret"), incomplete, "IncompleteSignatureException"},
		"magic payment":         {post("no-route", "Bearer secret"), incomplete, "IncompleteSignatureException"},
		"magic checkstatus":     {get("/checkstatus/check-no-route", "Bearer secret"), incomplete, "IncompleteSignatureException"},
		"repeats the token":     {post("echoed-token", "Bearer secret"), echoed, "IncompleteSignatureException"},
		"checkstatus of no one": {get("/checkstatus/check-no-route.1", "Bearer secret"), incomplete, "IncompleteSignatureException"},
	} {
		if test.got.status != 403 || test.got.body != test.body || test.got.header.Get("x-amzn-ErrorType") != test.errorType {
			t.Errorf("%s: %d %s (%s), want 403 %s (%s)", name, test.got.status, test.got.body,
				test.got.header.Get("x-amzn-ErrorType"), test.body, test.errorType)
		}
	}
}

// oneToken is an authorizer that accepts one token.
type oneToken struct{}

func (oneToken) Check(authorization string) (int, string) {
	if strings.TrimPrefix(authorization, "Bearer ") == "right" {
		return 0, ""
	}
	return http.StatusUnauthorized, expiredToken
}

func TestAuthorization(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		opts   Options
		header string
		want   string
	}{
		{"not required", Options{}, "", "200"},
		{"none", Options{Authorizer: oneToken{}}, "", `401 {"message":"The incoming token has expired"}`},
		{"right", Options{Authorizer: oneToken{}}, "right", "200"},
		{"right with a scheme", Options{Authorizer: oneToken{}}, "Bearer right", "200"},
		{"wrong", Options{Authorizer: oneToken{}}, "wrong", `401 {"message":"The incoming token has expired"}`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := newSandbox(t, test.opts)
			header := http.Header{"Content-Type": {"application/json"}, "Authorization": {test.header}}
			got := send(t.Context(), client(s.Transport()), "POST", inProcess+"/qrpayment", `{"orderid":"1","source":"qr"}`, header)
			if text := fmt.Sprint(got.status, " ", got.body); !strings.HasPrefix(text, test.want) {
				t.Errorf("got %s, want %s", text, test.want)
			}
			check := send(t.Context(), client(s.Transport()), "GET", inProcess+"/checkstatus/1", "", http.Header{"Authorization": {test.header}})
			if check.status != got.status {
				t.Errorf("checkstatus: %d, want %d", check.status, got.status)
			}
			if got.status == 401 {
				wantStats(t, s, "1", Stats{})
			}
		})
	}
}

func TestSignInPaths(t *testing.T) {
	t.Parallel()
	signIn := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, "sign-in") })
	s := newSandbox(t, Options{SignIn: signIn, Authorizer: oneToken{}})
	for path, want := range map[string]bool{
		"/": true, "/pool/.well-known/jwks.json": true, "/oauth2/authorize": true, "/oauth2/token": true,
		"/login": true, "/logout": false, "/error": true, "/qrpayment": false, "/checkstatus/1": false, "/elsewhere": false,
	} {
		got := send(t.Context(), client(s.Transport()), "GET", inProcess+path, "", http.Header{})
		if (got.body == "sign-in") != want {
			t.Errorf("%s: %q, want sign-in %v", path, got.body, want)
		}
	}
}

func TestLatency(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSandbox(t, Options{Now: time.Now, Latency: time.Minute})
		for _, orderID := range []string{"1", "refused-amount", "1"} {
			start := time.Now()
			ask(t.Context(), client(s.Transport()), inProcess, orderID, "qr", "key-"+orderID)
			if took := time.Since(start); took != time.Minute {
				t.Errorf("order %s took %v, want a minute", orderID, took)
			}
		}
	})
}

// A server does not notice that its client disconnected.
func TestClientThatDisconnectsStillGetsAnOrder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSandbox(t, Options{Now: time.Now, Latency: time.Minute})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if got := ask(ctx, client(s.Transport()), inProcess, "1", "qr", "key"); !errors.Is(got.err, context.DeadlineExceeded) {
			t.Errorf("got %+v, want a deadline exceeded", got)
		}
		synctest.Wait()
		wantStats(t, s, "1", Stats{Posts: 1, Orders: 1})
	})
}
