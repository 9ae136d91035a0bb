package api

import (
	"context"
	"encoding/json"
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
	"github.com/villapay/villapay/internal/testport"
)

const seedOrder = `{"id":"order_test_222110adff3affb5844c497fa9c22366b5bc6","object":"order","created":"20250530205658833","livemode":false,"amount":300.0,"currency":"THB","customer":null,"description":"Order 492500004632","metadata":null,"status":"success","reference_order":"4925000046321748613417.737979","source_type":"qr","additional_data":{"term":null,"mid":null,"tid":null,"smartpay_id":null,"campaign_id":null},"failure_code":null,"failure_message":null,"expire_time_seconds":3600}`

// tokens hands out the given tokens in turn, the next after each refresh.
type tokens struct {
	all    []string
	err    error
	denied []string
}

func (s *tokens) Token(context.Context) (secret.String, error) { return secret.New(s.all[0]), nil }

func (s *tokens) Refresh(_ context.Context, used secret.String) (secret.String, error) {
	s.denied = append(s.denied, used.Reveal())
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

// create asks once for an order.
func create(c *Client) func(context.Context) error {
	return func(ctx context.Context) error {
		_, _, err := c.CreateOrder(ctx, "1", order.QR, "k")
		return err
	}
}

// failure is an error as an *Error; the zero Error if it is of another type.
func failure(err error) Error {
	if e, ok := errors.AsType[*Error](err); ok {
		return *e
	}
	return Error{}
}

func TestCreateOrderSendsExactlyWhatTheSeedShows(t *testing.T) {
	t.Parallel()
	var got *http.Request
	var body string
	client := serve(t, func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		got, body = r, string(b)
		w.Header().Set("X-Amzn-Requestid", "req-1")
		w.Header().Set("Date", "Fri, 30 May 2025 13:57:00 GMT")
		io.WriteString(w, seedOrder)
	})
	client.Tokens = &tokens{all: []string{"eyJ.token.sig"}}
	made, response, err := client.CreateOrder(t.Context(), "492500004632", order.QR, "key-1")
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
	if date := response.Date(); string(made.Raw) != seedOrder || response.RequestID != "req-1" || !date.Equal(time.Date(2025, 5, 30, 13, 57, 0, 0, time.UTC)) {
		t.Errorf("got %s, request id %q, date %s", made.Raw, response.RequestID, date)
	}
	for _, text := range []string{"", "yesterday", "2025-05-30T13:57:00Z"} {
		if date := (&Response{Header: http.Header{"Date": {text}}}).Date(); !date.IsZero() {
			t.Errorf("date %q is %s", text, date)
		}
	}
	client.Scheme, client.OrderPath = "Bearer", "/kbank/order"
	if err := create(client)(t.Context()); err != nil || got.Header.Get("Authorization") != "Bearer eyJ.token.sig" || got.URL.Path != "/api/kbank/order" {
		t.Errorf("configured: %q, %s, %v", got.Header.Get("Authorization"), got.URL.Path, err)
	}
}

func TestOrdersInWrappers(t *testing.T) {
	t.Parallel()
	text, _ := json.Marshal(seedOrder)
	for _, body := range []string{
		seedOrder, `{"statusCode":200,"body":` + seedOrder + `}`, `{"statusCode":"200","body":` + string(text) + `}`,
		`{"statusCode":200,"body":{"statusCode":201,"body":` + string(text) + `}}`,
	} {
		made, err := (&Response{Status: 200, Body: []byte(body)}).order()
		if err != nil || string(made.Raw) != seedOrder {
			t.Errorf("%s: %v", body, err)
		}
	}
}

// Each row of the retry table, as one attempt is classified.
func TestFailures(t *testing.T) {
	t.Parallel()
	notOrder := Error{Kind: Unknown, Code: "http_200", Message: "the response is not an order"}
	for _, test := range []struct {
		status int
		body   string
		want   Error
	}{
		{400, `{"error":{"code":"invalid_amount","message":"Invalid payment amount."}}`, Error{Kind: Rejected, Code: "invalid_amount", Message: "Invalid payment amount."}},
		{404, `{"error":{"code":"order_not_found","message":"No such order."}}`, Error{Kind: Rejected, Code: "order_not_found", Message: "No such order."}},
		{404, `{"message":"Not Found"}`, Error{Kind: Rejected, Code: "no_such_route", Message: "the API has no such route"}},
		{401, `{"message":"Unauthorized"}`, Error{Kind: Denied, Code: "http_401", Message: "Unauthorized"}},
		{403, `{"message":"User is not authorized to access this resource"}`, Error{Kind: Denied, Code: "http_403", Message: "User is not authorized to access this resource"}},
		{403, `{"message":"Missing Authentication Token"}`, Error{Kind: Denied, Code: "no_such_route", Message: "the API has no such route"}},
		{408, ``, Error{Kind: Unknown, Again: true, Code: "http_408", Message: "the server answered 408 Request Timeout"}},
		{409, `{"error":"still running","code":"IN_PROGRESS"}`, Error{Kind: Unknown, Again: true, Code: "IN_PROGRESS", Message: "still running"}},
		{422, `{"error":"key used","code":"KEY_USED"}`, Error{Kind: Rejected, Code: "KEY_USED", Message: "key used"}},
		{429, `{"message":"Too Many Requests"}`, Error{Kind: Unavailable, Again: true, Code: "http_429", Message: "Too Many Requests"}},
		{500, `{"message":"Internal server error"}`, Error{Kind: Unknown, Again: true, Code: "http_500", Message: "Internal server error"}},
		{502, `<html><h1>502 Bad Gateway</h1></html>`, Error{Kind: Unknown, Again: true, Code: "http_502", Message: "the server answered 502 Bad Gateway"}},
		{503, ``, Error{Kind: Unknown, Again: true, Code: "http_503", Message: "the server answered 503 Service Unavailable"}},
		{504, `{"message":"Endpoint request timed out"}`, Error{Kind: Unknown, Again: true, Code: "http_504", Message: "Endpoint request timed out"}},
		{501, ``, Error{Kind: Unknown, Code: "http_501", Message: "the server answered 501 Not Implemented"}},
		{302, ``, Error{Kind: Unknown, Code: "http_302", Message: "the server redirects elsewhere; redirects are not followed"}},
		{200, `<html>hello</html>`, notOrder},
		{200, `{"object":"order"}`, notOrder},
		{200, `{"id":"cust_1","object":"customer"}`, notOrder},
		{200, `{"id":"a","id":"b"}`, notOrder},
		{200, `{"ID":"a"}`, notOrder},
		{200, `{"statusCode":400,"body":{"error":"bad order","code":"BAD","details":{}}}`, Error{Kind: Rejected, Status: 400, Code: "BAD", Message: "bad order"}},
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
			got, want := failure(create(client)(t.Context())), test.want
			want.RequestID = "req-7"
			if want.Status == 0 {
				want.Status = test.status
			}
			got.Err = nil
			if diff := cmp.Diff(want, got, cmpopts.IgnoreUnexported(Error{})); diff != "" {
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
			if got := failure(create(serve(t, hijack(raw)))(t.Context())); got.Kind != Unknown || !got.Again || got.Code != "connection_lost" {
				t.Errorf("got %#v", got)
			}
		})
	}
}

// piped is a client whose every connection goes to a server that reads what it is
// sent, answers with raw bytes, and leaves the connection open.
func piped(t *testing.T, raw string) *Client {
	t.Helper()
	transport, err := NewTransport(1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(transport.CloseIdleConnections)
	transport.DialContext = func(context.Context, string, string) (net.Conn, error) {
		here, there := net.Pipe()
		go func() {
			_, _ = there.Read(make([]byte, 1)) // nothing is answered before it is asked
			go func() { _, _ = io.Copy(io.Discard, there) }()
			_, _ = io.WriteString(there, raw)
		}()
		return here, nil
	}
	return &Client{BaseURL: "http://silent.example", IdempotencyHeader: "Idempotency-Key", Transport: transport, jitter: func() float64 { return 1 }}
}

const switched = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"

// No server holds a call up for longer than its context: not by silence, and not
// by an answer whose body is a connection.
func TestCallsEndWithTheirContext(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ raw, code string }{
		"silent":               {"", "timeout"},
		"silent after a part":  {"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n{", "timeout"},
		"processing for ever":  {"HTTP/1.1 102 Processing\r\n\r\n", "timeout"},
		"switching protocols":  {switched, "http_101"},
		"switched, and noise":  {switched + "noise", "http_101"},
		"switched, unasked to": {"HTTP/1.1 101 Switching Protocols\r\nContent-Length: 900\r\n\r\n{", "http_101"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				client := piped(t, test.raw)
				ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
				defer cancel()
				start := time.Now()
				made, err := client.Retry(ctx, create(client))
				if got := failure(err); got.Kind != Unknown || got.Code != test.code || !got.Again || time.Since(start) > 30*time.Second {
					t.Errorf("after %s: %v", time.Since(start), err)
				}
				if want := map[bool]int{true: maxAttempts, false: 1}[test.code == "http_101"]; made.Sent != want {
					t.Errorf("sent %d times", made.Sent)
				}
			})
		})
	}
	t.Run("canceled", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			client := piped(t, switched)
			ctx, cancel := context.WithCancel(t.Context())
			client.OnRetry = func(Wait) { time.AfterFunc(100*time.Millisecond, cancel) }
			start := time.Now()
			made, err := client.Retry(ctx, create(client))
			if made.Sent != 1 || failure(err).Kind != Unknown || time.Since(start) != 100*time.Millisecond {
				t.Errorf("after %s, sent %d: %v", time.Since(start), made.Sent, err)
			}
		})
	})
}

// dialNowhere finds no address for any name, without asking anybody.
func dialNowhere(_ context.Context, network, address string) (net.Conn, error) {
	return nil, &net.OpError{Op: "dial", Net: network, Err: &net.DNSError{Err: "no such host", Name: address, IsNotFound: true}}
}

// What ended a request while it was under way is said: Ctrl-C, or another cause.
func TestInterrupted(t *testing.T) {
	t.Parallel()
	arrived := make(chan struct{})
	client := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // before it, a client that goes is not noticed
		arrived <- struct{}{}
		<-r.Context().Done()
	})
	host := strings.TrimSuffix(strings.TrimPrefix(client.BaseURL, "http://"), "/api")
	for want, cause := range map[string]error{"interrupted": nil, "the claim was taken over": errors.New("the claim was taken over")} {
		ctx, cancel := context.WithCancelCause(t.Context())
		go func() {
			<-arrived
			cancel(cause)
		}()
		_, err := client.Retry(ctx, create(client))
		if got := failure(err); got.Kind != Unknown || got.Code != "interrupted" || got.Message != want+" before "+host+" answered" {
			t.Errorf("%s: %v", want, got)
		}
	}
}

func TestUnreachableServersMadeNothing(t *testing.T) {
	t.Parallel()
	plain := httptest.NewServer(http.NotFoundHandler())
	defer plain.Close()
	untrusted := httptest.NewUnstartedServer(http.NotFoundHandler())
	untrusted.Config.ErrorLog = log.New(io.Discard, "", 0)
	untrusted.StartTLS()
	defer untrusted.Close()
	for name, base := range map[string]string{
		"nobody listens":     fmt.Sprintf("http://127.0.0.1:%d", testport.Free(t)),
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
			if got := failure(create(client)(t.Context())); got.Kind != Unavailable || !got.Again || got.Code != "unreachable" {
				t.Errorf("got %v", &got)
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
	if got := failure(create(client)(t.Context())); got.Kind != Unknown || got.Again || got.Code != "answer_too_large" {
		t.Errorf("got %v", &got)
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
	if err := create(client)(t.Context()); err == nil {
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

// A token that the server repeats is redacted, in errors and orders.
func TestTokensAreRedactedOnEntry(t *testing.T) {
	t.Parallel()
	const token = "eyJ.token.sig"
	for status, body := range map[int]string{
		200: `{"id":"order_test_1","description":"%s"}`, 202: `{"message":"%s"}`, 403: `{"message":"not a valid key=value pair in '%s'"}`,
	} {
		client := serve(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("X-Request-Id", "for "+r.Header.Get("Authorization"))
			w.Header().Set("X-Echo", r.Header.Get("Authorization"))
			w.WriteHeader(status)
			fmt.Fprintf(w, body, r.Header.Get("Authorization"))
		})
		client.Tokens = &tokens{all: []string{token}}
		made, response, err := client.CreateOrder(t.Context(), "1", order.QR, "k")
		text := fmt.Sprintf("%v %+v %#v %+v %+v %s", err, err, err, made, response, response.Body)
		if strings.Contains(text, token) || strings.Count(text, secret.Redacted) < 3 {
			t.Errorf("%d shows %s", status, text)
		}
		if made != nil && strings.Contains(string(made.Raw), token) {
			t.Errorf("the order holds %s", made.Raw)
		}
	}
}

// net/http quotes what it cannot read, and a server may put the token there.
func TestMalformedAnswersRepeatNoToken(t *testing.T) {
	t.Parallel()
	const token = "eyJ.Token.sig"
	for name, raw := range map[string]string{
		"status":            "HTTP/1.1 %s x\r\n\r\n",
		"protocol":          "%s\r\n\r\n",
		"header":            "HTTP/1.1 400 Bad\r\n%s\r\n\r\n",
		"header's name":     "HTTP/1.1 400 Bad\r\nX-%s: 1\r\nContent-Length: 0\r\n\r\n",
		"reason":            "HTTP/1.1 400 %s\r\nContent-Length: 0\r\n\r\n",
		"Content-Length":    "HTTP/1.1 400 Bad\r\nContent-Length: %s\r\n\r\n",
		"Transfer-Encoding": "HTTP/1.1 400 Bad\r\nTransfer-Encoding: %s\r\n\r\n",
		"Location":          "HTTP/1.1 302 Found\r\nLocation: http://[::1%s\r\n\r\n",
		"another protocol":  "HTTP/1.1 101 %[1]s\r\nConnection: Upgrade\r\nUpgrade: %[1]s\r\nX-Request-Id: %[1]s\r\n\r\n",
		"trailer":           "HTTP/1.1 400 Bad\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n%s\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client := serve(t, hijack(fmt.Sprintf(raw, token)))
			client.Tokens = &tokens{all: []string{token}}
			var response *Response
			var err error
			log := logged(client, func() { _, response, err = client.CreateOrder(t.Context(), "1", order.QR, "k") })
			text := fmt.Sprintf("%v %s %+v %+v %s", err, failure(err).RequestID, errors.Unwrap(err), response, log)
			if err == nil || strings.Contains(strings.ToLower(text), strings.ToLower(token)) {
				t.Errorf("%s", text)
			}
		})
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

// What a status answer says is for order.ParseStatus to read; here it is asked
// for, unwrapped, and its failures classified.
func TestStatus(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		code   int
		body   string
		charge string // of the one report, if there is one
		word   string
		err    error // nil: an answer
		kind   Kind  // of the failure
	}{
		"wrapped charge":         {200, `{"statusCode":200,"body":{"id":"chrg_1","status":"success","transaction_state":"Authorized"}}`, "chrg_1", "success", nil, 0},
		"bare word":              {200, `"Completed"`, "", "Completed", nil, 0},
		"bare status":            {200, `{"status":"pending"}`, "", "pending", nil, 0},
		"another order's":        {200, `{"orderid":"50-2","transaction_state":"Authorized"}`, "", "", order.ErrOtherOrder, Unavailable},
		"unreadable":             {200, `<html>`, "", "", nil, Unavailable},
		"no such order":          {404, `{"statusCode":404,"body":{"error":"none","code":"ORDER_NOT_FOUND"}}`, "", "", ErrNoOrder, Rejected},
		"no such route":          {403, `{"message":"Missing Authentication Token"}`, "", "", ErrNoRoute, Denied},
		"no such route, another": {404, `{"message":"Not Found"}`, "", "", ErrNoRoute, Rejected},
		"down":                   {503, ``, "", "", nil, Unavailable},
		"denied":                 {403, `{"message":"no"}`, "", "", nil, Denied},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var path string
			client := serve(t, func(w http.ResponseWriter, r *http.Request) {
				path = r.URL.Path
				w.Header().Set("X-Request-Id", "req-1")
				w.WriteHeader(test.code)
				io.WriteString(w, test.body)
			})
			got, requestID, err := client.Status(t.Context(), "/checkstatus/{orderid}", "49-1", []string{"completed"})
			if failed := failure(err); failed.Kind != test.kind || !errors.Is(err, test.err) && test.err != nil || path != "/api/checkstatus/49-1" {
				t.Fatalf("%s: %v, want %v", path, err, test.err)
			}
			if err == nil && (got.Word != test.word || requestID != "req-1" || test.charge != "" && (len(got.Reports) != 1 || got.Reports[0].ChargeID != test.charge)) {
				t.Errorf("%+v, request id %q", got, requestID)
			}
		})
	}
	if _, _, err := serve(t, hijack("")).Status(t.Context(), "/checkstatus/{orderid}", "1", nil); failure(err).Kind != Unavailable {
		t.Errorf("a failed question made something: %v", err)
	}
}

func FuzzDecodeError(f *testing.F) {
	f.Add([]byte(`{"error":{"code":"a","message":"b"}}`))
	f.Add([]byte(`{"statusCode":400,"body":{"error":"b","code":"a"}}`))
	f.Add([]byte(`{"statusCode":400,"body":"{\"message\":\"b\"}"}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		code, message := DecodeError(body)
		if !json.Valid(body) && code+message != "" {
			t.Errorf("%q from what is not JSON", code+message)
		}
	})
}
