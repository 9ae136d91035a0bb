package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/villapay/villapay/internal/order"
	"github.com/villapay/villapay/internal/secret"
)

const seedOrder = `{"id":"order_test_222110adff3affb5844c497fa9c22366b5bc6","object":"order","created":"20250530205658833","livemode":false,"amount":300.0,"currency":"THB","customer":null,"description":"Order 492500004632","metadata":null,"status":"success","reference_order":"4925000046321748613417.737979","source_type":"qr","additional_data":{"term":null,"mid":null,"tid":null,"smartpay_id":null,"campaign_id":null},"failure_code":null,"failure_message":null,"expire_time_seconds":3600}`

// tokens hands out the given tokens in turn, the next after each refresh.
type tokens struct {
	all     []string
	err     error
	refused []string
}

func (s *tokens) Token(context.Context) (secret.String, error) { return secret.New(s.all[0]), nil }

func (s *tokens) Refresh(_ context.Context, used secret.String) (secret.String, error) {
	s.refused = append(s.refused, used.Reveal())
	if s.err != nil {
		return secret.String{}, s.err
	}
	s.all = s.all[1:]
	return secret.New(s.all[0]), nil
}

// serve starts a server on loopback and a client of it.
func serve(t *testing.T, handler http.HandlerFunc) *Client {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	transport, err := NewTransport(4)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(transport.CloseIdleConnections)
	return &Client{BaseURL: server.URL + "/api", IdempotencyHeader: "Idempotency-Key", UserAgent: "villapay/test (linux/amd64)", Transport: transport}
}

func TestCreateOrderSendsExactlyWhatTheSeedShows(t *testing.T) {
	t.Parallel()
	var got *http.Request
	var body string
	client := serve(t, func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		got, body = r, string(b)
		w.Header().Set("X-Amzn-Requestid", "req-1")
		io.WriteString(w, seedOrder)
	})
	client.Tokens = &tokens{all: []string{"eyJ.token.sig"}}
	order, requestID, err := client.CreateOrder(t.Context(), "492500004632", QR, "key-1")
	if err != nil {
		t.Fatal(err)
	}
	if got.Method != "POST" || got.URL.Path != "/api/qrpayment" || body != `{"orderid":"492500004632","source":"qr"}` {
		t.Errorf("sent %s %s %s", got.Method, got.URL.Path, body)
	}
	for name, want := range map[string]string{
		"Authorization": "eyJ.token.sig", "Content-Type": "application/json",
		"User-Agent": "villapay/test (linux/amd64)", "Idempotency-Key": "key-1",
	} {
		if got := got.Header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if string(order.Raw) != seedOrder || requestID != "req-1" {
		t.Errorf("got %s, request id %q", order.Raw, requestID)
	}
	client.Scheme = "Bearer"
	if _, _, err := client.CreateOrder(t.Context(), "492500004632", QR, "key-1"); err != nil || got.Header.Get("Authorization") != "Bearer eyJ.token.sig" {
		t.Errorf("with a scheme: %q, %v", got.Header.Get("Authorization"), err)
	}
}

// Each row of the retry table, as one attempt is classified.
func TestFailuresAreToldApartByWhatTheyMayHaveDone(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		status int
		body   string
		want   Error
	}{
		{400, `{"error":{"code":"invalid_amount","message":"Invalid payment amount."}}`, Error{Kind: Refused, Code: "invalid_amount", Message: "Invalid payment amount."}},
		{404, `{"error":{"code":"order_not_found","message":"No such order."}}`, Error{Kind: Refused, Code: "order_not_found", Message: "No such order."}},
		{404, `{"message":"Not Found"}`, Error{Kind: Refused, Code: "no_such_route", Message: "the API has no such route"}},
		{401, `{"message":"Unauthorized"}`, Error{Kind: Denied, Code: "http_401", Message: "Unauthorized"}},
		{403, `{"message":"User is not authorized to access this resource"}`, Error{Kind: Denied, Code: "http_403", Message: "User is not authorized to access this resource"}},
		{403, `{"message":"Missing Authentication Token"}`, Error{Kind: Denied, Code: "no_such_route", Message: "the API has no such route"}},
		{408, ``, Error{Kind: Unknown, Again: true, Code: "http_408", Message: "the server answered 408 Request Timeout"}},
		{409, `{"error":"still running","code":"IN_PROGRESS"}`, Error{Kind: Unknown, Again: true, Code: "IN_PROGRESS", Message: "still running"}},
		{422, `{"error":"key used","code":"KEY_USED"}`, Error{Kind: Refused, Code: "KEY_USED", Message: "key used"}},
		{429, `{"message":"Too Many Requests"}`, Error{Kind: Unavailable, Again: true, Code: "http_429", Message: "Too Many Requests"}},
		{500, `{"message":"Internal server error"}`, Error{Kind: Unknown, Again: true, Code: "http_500", Message: "Internal server error"}},
		{502, `<html><h1>502 Bad Gateway</h1></html>`, Error{Kind: Unknown, Again: true, Code: "http_502", Message: "the server answered 502 Bad Gateway"}},
		{503, ``, Error{Kind: Unknown, Again: true, Code: "http_503", Message: "the server answered 503 Service Unavailable"}},
		{504, `{"message":"Endpoint request timed out"}`, Error{Kind: Unknown, Again: true, Code: "http_504", Message: "Endpoint request timed out"}},
		{501, ``, Error{Kind: Unknown, Code: "http_501", Message: "the server answered 501 Not Implemented"}},
		{302, ``, Error{Kind: Unknown, Code: "http_302", Message: "the server redirects elsewhere; redirects are not followed"}},
		{200, `<html>hello</html>`, Error{Kind: Unknown, Code: "http_200", Message: "the server's answer is not an order"}},
		{200, `{"object":"order"}`, Error{Kind: Unknown, Code: "http_200", Message: "the server's answer is not an order"}},
		{200, `{"id":"cust_1","object":"customer"}`, Error{Kind: Unknown, Code: "http_200", Message: "the server's answer is not an order"}},
		{200, `{"statusCode":400,"body":{"error":"bad order","code":"BAD","details":{}}}`, Error{Kind: Refused, Status: 400, Code: "BAD", Message: "bad order"}},
		{200, `{"statusCode":"503","body":"{\"message\":\"down\"}"}`, Error{Kind: Unknown, Again: true, Status: 503, Code: "http_503", Message: "down"}},
		{504, `{"statusCode":400,"body":{"error":"bad order","code":"BAD"}}`, Error{Kind: Unknown, Again: true, Code: "BAD", Message: "bad order"}},
		{429, `{"statusCode":400,"body":{"error":"bad order","code":"BAD"}}`, Error{Kind: Unavailable, Again: true, Code: "BAD", Message: "bad order"}},
		{400, `{"statusCode":504,"body":{"message":"timed out"}}`, Error{Kind: Unknown, Again: true, Status: 504, Code: "http_504", Message: "timed out"}},
		{429, `{"statusCode":500,"body":{"message":"broken"}}`, Error{Kind: Unknown, Again: true, Status: 500, Code: "http_500", Message: "broken"}},
		{302, `{"statusCode":422,"body":{"error":"bad order","code":"BAD"}}`, Error{Kind: Unknown, Code: "BAD", Message: "bad order"}},
	} {
		t.Run(fmt.Sprint(test.status, test.body), func(t *testing.T) {
			t.Parallel()
			client := serve(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("X-Amzn-Requestid", "req-7")
				w.WriteHeader(test.status)
				io.WriteString(w, test.body)
			})
			_, _, err := client.CreateOrder(t.Context(), "1", QR, "k")
			var got *Error
			if !errors.As(err, &got) {
				t.Fatalf("got %v", err)
			}
			want := test.want
			want.RequestID = "req-7"
			if want.Status == 0 {
				want.Status = test.status
			}
			got.Err = nil
			if diff := cmp.Diff(want, *got, cmpopts.IgnoreUnexported(Error{})); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// hijack answers with raw bytes and closes the connection.
func hijack(raw string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			panic(err)
		}
		_, _ = io.WriteString(conn, raw)
		_ = conn.Close()
	}
}

func TestLostAnswersAreUnknown(t *testing.T) {
	t.Parallel()
	for name, raw := range map[string]string{
		"before any byte":  "",
		"inside the head":  "HTTP/1.1 200 OK\r\nContent-Le",
		"inside the body":  "HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n" + seedOrder[:100],
		"not HTTP at all":  "SSH-2.0-OpenSSH_9.2\r\n",
		"inside an error":  "HTTP/1.1 400 Bad Request\r\nContent-Length: 900\r\n\r\n{",
		"inside the chunk": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\n{",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, _, err := serve(t, hijack(raw)).CreateOrder(t.Context(), "1", QR, "k")
			var got *Error
			if !errors.As(err, &got) || got.Kind != Unknown || !got.Again || got.Code != "connection_lost" {
				t.Errorf("got %#v", got)
			}
		})
	}
}

func TestSilentServerEndsWithTheContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		transport, err := NewTransport(1)
		if err != nil {
			t.Fatal(err)
		}
		defer transport.CloseIdleConnections()
		transport.DialContext = func(context.Context, string, string) (net.Conn, error) {
			here, there := net.Pipe()
			go func() { _, _ = io.Copy(io.Discard, there) }() // it takes the request and says nothing
			return here, nil
		}
		client := &Client{BaseURL: "http://silent.example", IdempotencyHeader: "Idempotency-Key", Transport: transport}
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		start := time.Now()
		_, _, err = client.CreateOrder(ctx, "1", QR, "k")
		var got *Error
		if !errors.As(err, &got) || got.Kind != Unknown || got.Code != "timeout" || time.Since(start) != 30*time.Second {
			t.Errorf("after %s: %v", time.Since(start), err)
		}
	})
}

// dialNowhere finds no address for any name, without asking anybody.
func dialNowhere(_ context.Context, network, address string) (net.Conn, error) {
	return nil, &net.OpError{Op: "dial", Net: network, Err: &net.DNSError{Err: "no such host", Name: address, IsNotFound: true}}
}

func TestUnreachableServersMadeNothing(t *testing.T) {
	t.Parallel()
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	refused := "http://" + closed.Addr().String()
	closed.Close()
	plain := httptest.NewServer(http.NotFoundHandler())
	defer plain.Close()
	untrusted := httptest.NewUnstartedServer(http.NotFoundHandler())
	untrusted.Config.ErrorLog = log.New(io.Discard, "", 0)
	untrusted.StartTLS()
	defer untrusted.Close()
	for name, base := range map[string]string{
		"refused":            refused,
		"no such host":       "http://villapay.invalid",
		"TLS to a plain one": strings.Replace(plain.URL, "http:", "https:", 1),
		"unknown authority":  untrusted.URL,
	} {
		t.Run(name, func(t *testing.T) {
			transport, err := NewTransport(1)
			if err != nil {
				t.Fatal(err)
			}
			defer transport.CloseIdleConnections()
			if name == "no such host" {
				transport.DialContext = dialNowhere
			}
			client := &Client{BaseURL: base, IdempotencyHeader: "Idempotency-Key", Transport: transport}
			_, _, err = client.CreateOrder(t.Context(), "1", QR, "k")
			var got *Error
			if !errors.As(err, &got) || got.Kind != Unavailable || !got.Again || got.Code != "unreachable" {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestHugeAnswersAreNotReadToTheirEnd(t *testing.T) {
	t.Parallel()
	client := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		chunk := []byte(strings.Repeat(" ", 1<<20))
		for range 512 {
			if _, err := w.Write(chunk); err != nil {
				return
			}
		}
	})
	_, _, err := client.CreateOrder(t.Context(), "1", QR, "k")
	var got *Error
	if !errors.As(err, &got) || got.Kind != Unknown || got.Again || got.Code != "answer_too_large" {
		t.Errorf("got %v", err)
	}
}

func TestNoRequestLeavesForAnotherHost(t *testing.T) {
	t.Parallel()
	stolen := make(chan string, 1)
	thief := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { stolen <- r.Header.Get("Authorization") }))
	defer thief.Close()
	client := serve(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, thief.URL, http.StatusTemporaryRedirect)
	})
	client.Tokens = &tokens{all: []string{"eyJ.token.sig"}}
	if _, _, err := client.CreateOrder(t.Context(), "1", QR, "k"); err == nil {
		t.Error("a redirect was taken for an order")
	}
	select {
	case token := <-stolen:
		t.Errorf("the redirect was followed with %q", token)
	default:
	}
	for _, path := range []string{"//evil.example/x", "https://evil.example/x", "/..//evil.example", "@evil.example"} {
		req, err := client.Request(t.Context(), "GET", path, nil)
		if err == nil && req.URL.Host != strings.TrimSuffix(strings.TrimPrefix(client.BaseURL, "http://"), "/api") {
			t.Errorf("%s goes to %s", path, req.URL.Host)
		}
	}
}

func TestTokensAreNotRepeatedInErrors(t *testing.T) {
	t.Parallel()
	client := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusForbidden)
		fmt.Fprintf(w, `{"message":"not a valid key=value pair in '%s'"}`, r.Header.Get("Authorization"))
	})
	client.Tokens = &tokens{all: []string{"eyJ.token.sig"}}
	_, _, err := client.CreateOrder(t.Context(), "1", QR, "k")
	if err == nil || strings.Contains(err.Error(), "eyJ") || !strings.Contains(err.Error(), secret.Redacted) {
		t.Errorf("got %v", err)
	}
	if text := fmt.Sprintf("%+v %#v", err, err); strings.Contains(text, "eyJ") {
		t.Errorf("printed: %s", text)
	}
}

// transportFunc answers without a network, so that time can be synthetic.
type transportFunc func(*http.Request) (*http.Response, error)

func (f transportFunc) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// script answers the given statuses in turn; 0 stands for a lost connection.
func script(statuses ...int) (*Client, *[]time.Time) {
	var at []time.Time
	transport := transportFunc(func(*http.Request) (*http.Response, error) {
		status := statuses[min(len(at), len(statuses)-1)]
		at = append(at, time.Now())
		if status == 0 {
			return nil, errors.New("connection refused")
		}
		body := `{"message":"no"}`
		if status == 200 {
			body = seedOrder
		}
		return &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body))}, nil
	})
	return &Client{BaseURL: "https://api.example", IdempotencyHeader: "Idempotency-Key", Transport: transport, jitter: func() float64 { return 1 }}, &at
}

func create(c *Client) func(context.Context) error {
	return func(ctx context.Context) error {
		_, _, err := c.CreateOrder(ctx, "1", QR, "k")
		return err
	}
}

func TestRetryTable(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name     string
		statuses []int
		sent     int
		kind     Kind // 0 = made
	}{
		{"made at once", []int{200}, 1, 0},
		{"unreachable for good", []int{0}, 5, Unavailable},
		{"unreachable, then made", []int{0, 0, 200}, 3, 0},
		{"throttled for good", []int{429}, 5, Unavailable},
		{"unavailable, then made", []int{503, 503, 503, 200}, 4, 0},
		{"unavailable for good", []int{503}, 5, Unknown},
		{"running elsewhere, then made", []int{409, 200}, 2, 0},
		{"redirected", []int{307}, 1, Unknown},
		{"refused", []int{400}, 1, Refused},
		{"forbidden", []int{403}, 1, Denied},
		{"unauthorized without a sign-in", []int{401}, 1, Denied},
		{"ambiguous, then refused", []int{500, 400}, 2, Unknown},
		{"ambiguous, then unreachable", []int{502, 0}, 5, Unknown},
		{"ambiguous, then forbidden", []int{504, 403}, 2, Unknown},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				client, at := script(test.statuses...)
				made, err := client.Retry(t.Context(), create(client))
				var failure *Error
				if errors.As(err, &failure); err != nil && failure == nil {
					t.Fatal(err)
				}
				kind := Kind(0)
				if failure != nil {
					kind = failure.Kind
				}
				if made.Sent != test.sent || len(*at) != test.sent || kind != test.kind {
					t.Errorf("sent %d (%d seen), ended as %d: %v; want %d, %d", made.Sent, len(*at), kind, err, test.sent, test.kind)
				}
			})
		})
	}
}

func TestRetryBacksOffWithinItsTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		client, at := script(503)
		var waits []time.Duration
		client.Waits = func(w Wait) { waits = append(waits, w.For) }
		_, _ = client.Retry(t.Context(), create(client))
		want := []time.Duration{250 * time.Millisecond, 500 * time.Millisecond, time.Second, 2 * time.Second}
		if diff := cmp.Diff(want, waits); diff != "" {
			t.Error(diff)
		}
		if total := (*at)[4].Sub((*at)[0]); total != 3750*time.Millisecond {
			t.Errorf("took %s", total)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		client, at := script(503)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		_, err := client.Retry(ctx, create(client))
		if len(*at) != 3 || time.Since(start) > time.Second {
			t.Errorf("%d attempts in %s: %v", len(*at), time.Since(start), err)
		}
	})
}

// A refreshed sign-in is no reason for a sixth request.
func TestRetryNeverAsksMoreThanFiveTimes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		client, _ := script(503, 503, 503, 503, 401)
		client.Tokens = &tokens{all: []string{"first.token.x", "second.token.x"}}
		if made, err := client.Retry(t.Context(), create(client)); made.Sent != 5 || err == nil {
			t.Errorf("sent %d: %v", made.Sent, err)
		}
	})
}

// Nobody is told of another attempt once there will be none.
func TestRetryEndsQuietly(t *testing.T) {
	t.Parallel()
	client, _ := script(503)
	client.Waits = func(w Wait) { t.Errorf("told of a wait of %s", w.For) }
	ctx, cancel := context.WithCancel(t.Context())
	made, err := client.Retry(ctx, func(ctx context.Context) error {
		defer cancel()
		return create(client)(ctx)
	})
	if made.Sent != 1 || err == nil {
		t.Errorf("sent %d: %v", made.Sent, err)
	}
}

func TestRetryHonoursRetryAfter(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var at []time.Time
		client := &Client{BaseURL: "https://api.example", IdempotencyHeader: "k", jitter: func() float64 { return 0 }}
		client.Transport = transportFunc(func(*http.Request) (*http.Response, error) {
			at = append(at, time.Now())
			header := http.Header{"Retry-After": {"7"}}
			return &http.Response{StatusCode: 429, Header: header, Body: io.NopCloser(strings.NewReader(""))}, nil
		})
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		_, err := client.Retry(ctx, create(client))
		if len(at) != 2 || at[1].Sub(at[0]) != 7*time.Second {
			t.Errorf("asked at %v: %v", at, err)
		}
	})
}

func TestRetryRefreshesTheSignInOnce(t *testing.T) {
	t.Parallel()
	ended := errors.New("session ended")
	for _, test := range []struct {
		name     string
		statuses []int
		err      error // of the refresh
		sent     int
		want     error // nil: made
	}{
		{"expired, then fine", []int{401, 200}, nil, 2, nil},
		{"still refused", []int{401, 401}, nil, 2, &Error{}},
		{"session ended", []int{401}, ended, 1, ended},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			client, _ := script(test.statuses...)
			source := &tokens{all: []string{"first.token.x", "second.token.x", "third"}, err: test.err}
			client.Tokens = source
			made, err := client.Retry(t.Context(), create(client))
			if made.Sent != test.sent || (err == nil) != (test.want == nil) || test.err != nil && !errors.Is(err, test.err) {
				t.Errorf("sent %d: %v", made.Sent, err)
			}
			if diff := cmp.Diff([]string{"first.token.x"}, source.refused); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// A refresh that could not be done now says nothing about the sign-in: asking
// later may help.
func TestARefreshThatMayWorkLater(t *testing.T) {
	t.Parallel()
	for _, why := range []error{later{}, context.DeadlineExceeded} {
		client, _ := script(401)
		client.Tokens = &tokens{all: []string{"first.token.x"}, err: why}
		_, err := client.Retry(t.Context(), create(client))
		if _, refused := errors.AsType[*Error](err); refused || !errors.Is(err, why) {
			t.Errorf("%v became %v", why, err)
		}
	}
}

// later is a failure that passes.
type later struct{}

func (later) Error() string   { return "the sign-in is away" }
func (later) Transient() bool { return true }

// What must not be repeated is sent again after a 401 alone.
func TestOnceSendsAgainOnlyAfterARefresh(t *testing.T) {
	t.Parallel()
	for status, sent := range map[int]int{401: 2, 503: 1, 429: 1} {
		client, calls := script(status, 200)
		client.Tokens = &tokens{all: []string{"first.token.x", "second.token.x"}}
		err := client.Once(t.Context(), create(client))
		if len(*calls) != sent || (err == nil) != (sent == 2) {
			t.Errorf("after %d: sent %d, %v", status, len(*calls), err)
		}
	}
}

// A request with an idempotency key must not be resent by net/http itself:
// attempts are counted here.
func TestTheTransportDoesNotResendOnItsOwn(t *testing.T) {
	t.Parallel()
	seen := 0
	client := serve(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		if seen++; seen == 1 {
			io.WriteString(w, seedOrder)
			return
		}
		hijack("")(w, r)
	})
	if err := create(client)(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := create(client)(t.Context()); err == nil || seen != 2 {
		t.Errorf("%d requests arrived for 2 attempts: %v", seen, err)
	}
}

func TestStatus(t *testing.T) {
	t.Parallel()
	yes := true
	for _, test := range []struct {
		name string
		code int
		body string
		want StatusAnswer
		err  error
	}{
		{
			"wrapped charge", 200, `{"statusCode":200,"body":{"order_id":"order_test_1","id":"chrg_1","object":"charge","amount":"74.00","currency":"THB","status":"success","transaction_state":"Authorized","livemode":"true"}}`,
			StatusAnswer{BankOrderID: "order_test_1", ChargeID: "chrg_1", Amount: Amount{"74.00"}, Currency: "THB", Status: "success", TransactionState: "Authorized", Livemode: &yes},
			nil,
		},
		{
			"nested charge", 200, `{"status":"ok","data":"x","charge":{"id":"chrg_1","transaction_state":"Settled","status":"success"}}`,
			StatusAnswer{ChargeID: "chrg_1", Status: "success", TransactionState: "Settled"},
			nil,
		},
		{
			"a charge in its order", 200, `{"id":"order_test_1","object":"order","status":"success","charge":{"id":"chrg_1","transaction_state":"Settled","status":"success"}}`,
			StatusAnswer{BankOrderID: "order_test_1", ChargeID: "chrg_1", Status: "success", TransactionState: "Settled"},
			nil,
		},
		{"bare word", 200, `"success"`, StatusAnswer{Status: "success"}, nil},
		{"bare status", 200, `{"status":"success"}`, StatusAnswer{Status: "success"}, nil},
		{"an order", 200, `{"id":"order_test_1","object":"order","status":"success"}`, StatusAnswer{BankOrderID: "order_test_1", Status: "success"}, nil},
		{"no such order", 404, `{"statusCode":404,"body":{"error":"none","code":"ORDER_NOT_FOUND"}}`, StatusAnswer{}, ErrNoOrder},
		{"no such route", 403, `{"message":"Missing Authentication Token"}`, StatusAnswer{}, ErrNoRoute},
		{"no such route, HTTP API", 404, `{"message":"Not Found"}`, StatusAnswer{}, ErrNoRoute},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			var path string
			client := serve(t, func(w http.ResponseWriter, r *http.Request) {
				path = r.URL.Path
				w.WriteHeader(test.code)
				io.WriteString(w, test.body)
			})
			got, err := client.Status(t.Context(), "/checkstatus/{orderid}", "49-1")
			if !errors.Is(err, test.err) || path != "/api/checkstatus/49-1" {
				t.Fatalf("%s: %v, want %v", path, err, test.err)
			}
			got.Raw = nil
			if diff := cmp.Diff(test.want, got, sameDigits); diff != "" {
				t.Error(diff)
			}
		})
	}
	t.Run("a failed question made nothing", func(t *testing.T) {
		t.Parallel()
		client := serve(t, hijack(""))
		_, err := client.Status(t.Context(), "/checkstatus/{orderid}", "1")
		var failure *Error
		if !errors.As(err, &failure) || failure.Kind != Unavailable {
			t.Errorf("got %v", err)
		}
	})
}
