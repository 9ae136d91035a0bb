package kbank

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/villapay/villapay/internal/api"
	"github.com/villapay/villapay/internal/order"
	"github.com/villapay/villapay/internal/secret"
)

const (
	key       = "skey_test_22211abcdef0123456789"
	bankOrder = "order_test_222110000000000000000000000000000001"
)

// thaiQR is a payload over an amount, with its checksum.
func thaiQR(amount string) string {
	text := "000201010212" + tlv("30", tlv("00", "A000000677010112")) + tlv("53", "764") + tlv("54", amount) + tlv("58", "TH") + "6304"
	crc := uint16(0xffff)
	for i := range len(text) {
		crc ^= uint16(text[i]) << 8
		for range 8 {
			carry := crc & 0x8000
			if crc <<= 1; carry != 0 {
				crc ^= 0x1021
			}
		}
	}
	return text + fmt.Sprintf("%04X", crc)
}

func tlv(tag, value string) string { return fmt.Sprintf("%s%02d%s", tag, len(value), value) }

// paymentOver is an open payment whose order has an amount as the API sent it.
func paymentOver(t *testing.T, amount string) *order.Payment {
	t.Helper()
	made, err := order.Decode([]byte(`{"id":"` + bankOrder + `","object":"order","amount":` + amount + `,"currency":"THB","description":"Order 4925","status":"success","reference_order":"4925.1","expire_time_seconds":3600}`))
	if err != nil {
		t.Fatal(err)
	}
	p := &order.Payment{OrderID: "4925", Source: order.QR}
	p.Answer(made, order.Answered{Received: time.Now()})
	return p
}

// bank answers every request as its test says, and keeps what it was asked.
type bank struct {
	*Client
	log bytes.Buffer

	mu      sync.Mutex
	answer  http.HandlerFunc
	asked   []*http.Request
	bodies  []string
	address string
}

func serve(t *testing.T, answer http.HandlerFunc) *bank {
	t.Helper()
	b := &bank{answer: answer}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		b.mu.Lock()
		b.asked, b.bodies = append(b.asked, r), append(b.bodies, string(body))
		b.mu.Unlock()
		b.answer(w, r)
	}))
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	transport, err := api.NewTransport(1)
	if err != nil {
		t.Fatal(err)
	}
	b.address = server.URL
	b.Client = &Client{
		HTTP: &api.Client{Name: "the bank", BaseURL: server.URL, Key: secret.New(key), Transport: transport, Log: slog.New(slog.NewTextHandler(&b.log, nil))},
		Sof:  map[order.Source]string{order.QR: "ThaiQR", order.WeChat: "WeChat"},
	}
	return b
}

// requests returns what was asked so far.
func (b *bank) requests() []*http.Request {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.asked)
}

// sent returns the bodies of what was asked so far.
func (b *bank) sent() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.bodies)
}

// says answers with a status and a body.
func says(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Request-Id", "req-1")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

// A request for a code has the fields that the bank takes and no other, the amount
// with its digits, the key and no token.
func TestCodeRequest(t *testing.T) {
	t.Parallel()
	for amount, digits := range map[string]string{"300.0": "300.0", "300": "300", `"74.00"`: "74.00", "12345678901234567.5": "12345678901234567.5"} {
		b := serve(t, says(200, fmt.Sprintf(`{"id":"qr_1","object":"qr","order_id":%q,"paint_text":%q,"status":"success","expire_time_seconds":600}`, bankOrder, thaiQR(digits))))
		code, err := b.Code(t.Context(), paymentOver(t, amount))
		if err != nil {
			t.Fatal(err)
		}
		if code.ID != "qr_1" || code.Kind != order.ThaiQR || code.Text != thaiQR(digits) || code.Expiry != 10*time.Minute || code.RequestID != "req-1" || code.Date.IsZero() {
			t.Errorf("code %+v", code)
		}
		want := `{"order_id":"` + bankOrder + `","amount":` + digits + `,"currency":"THB","description":"Order 4925","sof":"ThaiQR","reference_order":"4925.1"}`
		r := b.requests()[0]
		if b.sent()[0] != want || r.Method != "POST" || r.URL.Path != "/qr/v2/qr" {
			t.Errorf("%s %s\n%s, want\n%s", r.Method, r.URL.Path, b.sent()[0], want)
		}
		if r.Header.Get("X-Api-Key") != key || r.Header.Get("Authorization") != "" || r.Header.Get("Content-Type") != "application/json" {
			t.Errorf("headers %v", r.Header)
		}
	}
	if _, err := serve(t, says(500, "")).Code(t.Context(), paymentOver(t, "null")); !errors.As(err, new(*WrongCodeError)) {
		t.Errorf("an order without an amount: %v", err)
	}
}

// calls are every call of the client, by name.
func (b *bank) calls(ctx context.Context, t *testing.T) map[string]func() error {
	t.Helper()
	p := paymentOver(t, "300.0")
	return map[string]func() error{
		"code":    func() error { _, err := b.Code(ctx, p); return err },
		"order":   func() error { _, _, err := b.InquireOrder(ctx, p); return err },
		"charge":  func() error { _, _, err := b.InquireCharge(ctx, "chrg_1", "4925"); return err },
		"reports": func() error { _, err := b.Reports(ctx, "chrg_1"); return err },
		"cancel":  func() error { _, err := b.Cancel(ctx, "qr_1"); return err },
		"void":    func() error { _, _, err := b.Void(ctx, "chrg_1", "4925"); return err },
	}
}

// Every failure has one kind for each call: an inquiry changes nothing, a code that
// was not shown does not matter, and a change that may have been made is unknown.
func TestFailures(t *testing.T) {
	t.Parallel()
	const rejected, denied, unavailable, unknown = api.Rejected, api.Denied, api.Unavailable, api.Unknown
	envelope := func(code string) string { return `{"object":"error","code":"` + code + `","message":"No."}` }
	for _, test := range []struct {
		name   string
		answer http.HandlerFunc
		code   string
		asking api.Kind // of questions
		making api.Kind // of code, cancel and void
	}{
		{"an error with 200", says(200, envelope("bad_state")), "bad_state", rejected, rejected},
		{"an error with 201", says(201, envelope("bad_state")), "bad_state", rejected, rejected},
		{"an error with 200 and nothing else", says(200, `{"object":"error"}`), "http_200", rejected, rejected},
		{"an error with 400", says(400, envelope("bad_state")), "bad_state", rejected, rejected},
		{"an error with 302", says(302, envelope("moved")), "moved", unavailable, unknown},
		{"an error with 500", says(500, envelope("broken")), "broken", unavailable, unknown},
		{"401", says(401, envelope("unauthorized")), "unauthorized", denied, denied},
		{"401 and a page", says(401, "<html>"), "http_401", denied, denied},
		{"403", says(403, envelope("forbidden")), "forbidden", denied, denied},
		{"429", says(429, envelope("slow_down")), "slow_down", unavailable, unavailable},
		{"503", says(503, ""), "http_503", unavailable, unknown},
		{"404", says(404, envelope("not_found")), "not_found", rejected, rejected},
		{"404 and a page", says(404, "<html>Not here</html>"), "no_such_route", unavailable, unavailable},
		{"404 of a gateway", says(404, `{"message":"Not Found"}`), "no_such_route", unavailable, unavailable},
		{"405 and a page", says(405, "<html>No.</html>"), "http_405", unavailable, unavailable},
		{"5 MiB", says(200, `{"object":"qr","fill":"`+strings.Repeat("x", 5<<20)+`"}`), "answer_too_large", unavailable, unknown},
		{"a redirect", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
		}, "http_307", unavailable, unknown},
		{"a cut connection", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, "connection_lost", unavailable, unknown},
		{"half an answer", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			_, _ = io.WriteString(w, `{"object":`)
		}, "connection_lost", unavailable, unknown},
		{"a page with 200", says(200, "<html>Sign in to the hotel's network</html>"), "unreadable", unavailable, unknown},
		{"nothing with 200", says(200, ""), "unreadable", unavailable, unknown},
		{"a field twice", says(200, `{"id":"qr_1","id":"qr_2","status":"success"}`), "unreadable", unavailable, unknown},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			b := serve(t, test.answer)
			for name, call := range b.calls(t.Context(), t) {
				want, code := test.making, test.code
				switch name {
				case "order", "charge", "reports":
					want = test.asking
				case "code": // an answer that holds no code is a bank that cannot be asked
					if code == "unreadable" {
						want, code = unavailable, "no_paint_text"
					}
				}
				err := call()
				var failure *api.Error
				if !errors.As(err, &failure) {
					t.Errorf("%s: %v", name, err)
					continue
				}
				if failure.Kind != want || failure.Code != code || failure.Server != "the bank" || failure.Message == "" {
					t.Errorf("%s: %s %s from %q: %s, want %s %s", name, failure.Kind, failure.Code, failure.Server, failure.Message, want, code)
				}
			}
			for _, r := range b.requests() {
				if r.URL.Path == "/elsewhere" {
					t.Error("the redirect was followed")
				}
			}
		})
	}
}

// A silent bank costs no more than the time there is.
func TestSilence(t *testing.T) {
	t.Parallel()
	var over context.CancelCauseFunc
	b := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		over(context.DeadlineExceeded) // the time is up once the request is there
		<-r.Context().Done()
	})
	for name := range b.calls(t.Context(), t) {
		var ctx context.Context
		ctx, over = context.WithCancelCause(t.Context())
		err := b.calls(ctx, t)[name]()
		over(nil)
		want := api.Unknown
		if name == "order" || name == "charge" || name == "reports" {
			want = api.Unavailable
		}
		if failure, ok := errors.AsType[*api.Error](err); !ok || failure.Code != "timeout" || failure.Kind != want {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Nobody is there: nothing was sent.
func TestUnreachable(t *testing.T) {
	t.Parallel()
	b := serve(t, nil)
	b.HTTP.BaseURL = "http://127.0.0.1:1"
	for name, call := range b.calls(t.Context(), t) {
		if failure, ok := errors.AsType[*api.Error](call()); !ok || failure.Kind != api.Unavailable || failure.Code != "unreachable" || failure.Server != "the bank" {
			t.Errorf("%s: %v", name, call())
		}
	}
}

// The key goes to no other host, and stands in no error and in no log, also if the
// bank repeats it.
func TestTheKeyIsShownNowhere(t *testing.T) {
	t.Parallel()
	elsewhere := serve(t, says(200, "{}"))
	b := serve(t, func(w http.ResponseWriter, r *http.Request) {
		echo := r.Header.Get("X-Api-Key")
		w.Header().Set("Location", elsewhere.address+"/?"+echo)
		w.Header().Set("X-Request-Id", echo)
		status := 400
		if strings.HasSuffix(r.URL.Path, "/void") {
			status = 307
		}
		w.WriteHeader(status)
		fmt.Fprintf(w, `{"object":"error","code":%q,"message":"no such key: %s"}`, echo, echo)
	})
	for name, call := range b.calls(t.Context(), t) {
		err := call()
		failure, ok := errors.AsType[*api.Error](err)
		if !ok || !strings.Contains(failure.Message, secret.Redacted) {
			t.Errorf("%s: %v", name, err)
		}
		if text := fmt.Sprintf("%v %+v %#v", err, failure, failure); strings.Contains(text, key) {
			t.Errorf("%s shows the key: %s", name, text)
		}
	}
	if b.log.Len() == 0 || strings.Contains(b.log.String(), key) {
		t.Errorf("the log:\n%s", b.log.String())
	}
	if len(elsewhere.requests()) > 0 {
		t.Error("the redirect was followed")
	}
}

// An id stands in the path as it is, and leads nowhere else.
func TestIDsInPaths(t *testing.T) {
	t.Parallel()
	b := serve(t, says(404, `{"object":"error","code":"not_found","message":"No."}`))
	for _, id := range []string{"a/../b", "a?b=c#d", "ไทย", "a b"} {
		if _, err := b.Cancel(t.Context(), id); err == nil {
			t.Error("it is no error")
		}
		if got := b.requests()[len(b.requests())-1]; got.URL.Path != "/qr/v2/qr/"+id+"/cancel" || got.URL.RawQuery != "" {
			t.Errorf("%q: %s", id, got.URL)
		}
	}
	before := len(b.requests())
	for _, id := range []string{"", ".", ".."} {
		if _, err := b.Cancel(t.Context(), id); err == nil {
			t.Error("it is no error")
		}
		if _, _, err := b.Void(t.Context(), id, "4925"); err == nil {
			t.Error("it is no error")
		}
	}
	if len(b.requests()) != before {
		t.Errorf("%s was asked", b.requests()[before].URL)
	}
}

// What is no code, and what is a code that must not be shown.
func TestWrongCodes(t *testing.T) {
	t.Parallel()
	good := map[string]any{"id": "qr_1", "object": "qr", "order_id": bankOrder, "paint_text": thaiQR("300.00"), "status": "success", "livemode": false, "failure_code": nil}
	for _, test := range []struct {
		field string
		value any
		want  string // of a code that must not be shown; "" is a bank that cannot be asked
	}{
		{"order_id", "order_test_1", "is for order"},
		{"order_id", nil, "is for order"},
		{"paint_text", thaiQR("301.00"), "asks for 301.00"},
		{"paint_text", thaiQR("300.00") + "\n", "is wrong"},
		{"paint_text", "\ufeff" + thaiQR("300.00"), "is wrong"},
		{"paint_text", "https://pay.example/", "is wrong"},
		{"paint_text", strings.Replace(thaiQR("300.00"), "5303764", "5303840", 1), "checksum"},
		{"failure_code", "invalid_merchant", "invalid_merchant"},
		{"status", "fail", "its status is"},
		{"paint_text", "", ""},
		{"paint_text", nil, ""},
		{"id", "", ""},
	} {
		changed := map[string]any{}
		maps.Copy(changed, good)
		changed[test.field] = test.value
		body, err := json.Marshal(changed)
		if err != nil {
			t.Fatal(err)
		}
		_, err = serve(t, says(200, string(body))).Code(t.Context(), paymentOver(t, "300.0"))
		_, wrong := errors.AsType[*WrongCodeError](err)
		failure, unavailable := errors.AsType[*api.Error](err)
		if err == nil || wrong != (test.want != "") || unavailable == wrong || !strings.Contains(err.Error(), test.want) || unavailable && failure.Kind != api.Unavailable {
			t.Errorf("%s %v: %v, want %q", test.field, test.value, err, test.want)
		}
	}
}

// A code is canceled only if the answer says so of this code.
func TestCancel(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		answer string
		kind   api.Kind // 0: canceled
	}{
		{`{"id":"qr_1","object":"qr","status":"success","failure_code":null}`, 0},
		{`{"id":"qr_1","object":"qr","status":"Cancelled"}`, 0},
		{`{"id":"qr_1","status":"","failure_code":"0"}`, 0},
		{`{"status":"success"}`, 0},
		{`{"id":"qr_2","object":"qr","status":"success"}`, api.Unknown},
		{`{}`, api.Unknown},
		{`{"object":"qr"}`, api.Unknown},
		{`{"id":"qr_1","status":"pending"}`, api.Unknown},
		{`{"statusCode":200,"body":{"id":"qr_1","status":"success"}}`, api.Unknown},
		{`{"id":"qr_1","status":"fail"}`, api.Rejected},
		{`{"id":"qr_1","status":"success","failure_code":"already_paid","failure_message":"It was paid."}`, api.Rejected},
		{`[]`, api.Unknown},
		{`"success"`, api.Unknown},
	} {
		requestID, err := serve(t, says(200, test.answer)).Cancel(t.Context(), "qr_1")
		failure, _ := errors.AsType[*api.Error](err)
		if (err == nil) != (test.kind == 0) || failure != nil && failure.Kind != test.kind || err == nil && requestID != "req-1" {
			t.Errorf("%s: %q %v", test.answer, requestID, err)
		}
	}
}

// A charge is voided only if the answer says so of this charge.
func TestVoid(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		answer string
		kind   api.Kind // 0: voided
	}{
		{`{"id":"chrg_1","object":"charge","order_id":"o","status":"success","transaction_state":"Voided"}`, 0},
		{`{"id":"chrg_1","transaction_state":"VOID","status":""}`, 0},
		{`{"data":{"id":"chrg_1","transaction_state":"Voided"}}`, 0},
		{`{"id":"chrg_1","transaction_state":"Reversed"}`, 0},
		{`{"id":"chrg_2","transaction_state":"Voided"}`, api.Unknown},
		{`{"transaction_state":"Voided"}`, api.Unknown},
		{`{"id":"chrg_1","status":"success"}`, api.Unknown},
		{`{"id":"chrg_1","transaction_state":"Authorized","status":"success"}`, api.Unknown},
		{`{"id":"chrg_1","transaction_state":"Voided","amount":{}}`, api.Unknown},
		{`{"id":"chrg_1","transaction_state":"Voided","orderid":"4926"}`, api.Unknown},
		{`{"id":"chrg_1","transaction_state":"Authorized","failure_code":"void_not_allowed"}`, api.Rejected},
		{`{}`, api.Unknown},
		{`"success"`, api.Unknown},
	} {
		status, _, err := serve(t, says(200, test.answer)).Void(t.Context(), "chrg_1", "4925")
		failure, _ := errors.AsType[*api.Error](err)
		if (err == nil) != (test.kind == 0) || failure != nil && failure.Kind != test.kind {
			t.Errorf("%s: %v", test.answer, err)
		}
		if err == nil && (len(status.Reports) != 1 || status.Reports[0].From != order.FromBank || status.Reports[0].OrderID != "4925") {
			t.Errorf("%s: %+v", test.answer, status.Reports)
		}
	}
}

// An answer counts only if it is about what was asked.
func TestInquire(t *testing.T) {
	t.Parallel()
	charge := func(fields string) string {
		return `{` + fields + `,"transaction_state":"Authorized","status":"success"}`
	}
	none := errors.New("none")
	for _, test := range []struct {
		answer        string
		order, charge error // nil: it counts; none: it does not
	}{
		{charge(`"id":"chrg_1","order_id":"` + bankOrder + `"`), nil, nil},
		{charge(`"id":"chrg_1","order_id":"4925.1"`), nil, nil},
		{charge(`"id":"chrg_1","reference_order":"4925.1"`), nil, nil},
		{charge(`"id":"chrg_1"`), nil, nil},
		{charge(`"id":"chrg_2","order_id":"` + bankOrder + `"`), nil, none},
		{charge(`"id":"chrg_1","order_id":"order_test_9"`), none, nil},
		{charge(`"id":"chrg_1","reference_order":"4926.1"`), none, nil},
		{charge(`"id":"chrg_1","orderid":"4926"`), none, none},
		{`[` + charge(`"id":"chrg_1"`) + `,` + charge(`"id":"chrg_2","order_id":"order_test_9"`) + `]`, none, none},
	} {
		b := serve(t, says(200, test.answer))
		_, _, asOrder := b.InquireOrder(t.Context(), paymentOver(t, "300.0"))
		_, _, asCharge := b.InquireCharge(t.Context(), "chrg_1", "4925")
		for _, got := range []struct{ err, want error }{{asOrder, test.order}, {asCharge, test.charge}} {
			failure, _ := errors.AsType[*api.Error](got.err)
			if (got.err == nil) != (got.want == nil) || failure != nil && (failure.Code != "other_order" || failure.Kind != api.Unavailable) {
				t.Errorf("%s: %v, want %v", test.answer, got.err, got.want)
			}
		}
	}
}

// Only the bank itself can say that there is no charge.
func TestNoCharge(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		status int
		body   string
		want   bool
	}{
		{404, `{"object":"error","code":"charge_not_found","message":"No."}`, true},
		{404, `{"object":"error","message":"No."}`, true},
		{200, `{"object":"error","code":"not_found","message":"No."}`, true},
		{400, `{"object":"error","code":"charge_not_found","message":"No."}`, true},
		{404, `{"object":"error","code":"ORDER_NOT_FOUND","message":"No."}`, true},
		{400, `{"object":"error","code":"invalid_id","message":"No."}`, false},
		{404, `{"object":"error","code":"unauthorized_merchant","message":"No."}`, false},
		{404, `{"object":"error","code":"merchant_not_found","message":"No."}`, false},
		{400, `{"object":"error","message":"No."}`, false},
		{200, `{"object":"Error","code":"not_found"}`, false},
		{401, `{"object":"error","code":"unauthorized","message":"No."}`, false},
		{404, `{"message":"Not Found"}`, false},
		{404, `{}`, false},
		{404, `<html>`, false},
		{404, ``, false},
	} {
		_, _, err := serve(t, says(test.status, test.body)).InquireOrder(t.Context(), paymentOver(t, "300.0"))
		if err == nil || errors.Is(err, ErrNoCharge) != test.want {
			t.Errorf("%d %s: %v", test.status, test.body, err)
		}
	}
}

// The key's merchant is known by the digits that it and the order begin with.
func TestOtherMerchant(t *testing.T) {
	t.Parallel()
	hex := strings.Repeat("0a", 16)
	for _, test := range []struct {
		key, order string
		want       bool
	}{
		{"skey_test_22211abc", "order_test_22211" + hex, false},
		{"skey_test_222114567", "order_test_22211" + hex, false}, // digits go on after the merchant's
		{"skey_test_33311abc", "order_test_22211" + hex, true},
		{"skey_prod_2221", "order_prod_22211" + hex, true},
		{"skey_test_33311abc", "order_test_" + hex, false},
		{"skey_test_33311abc", "order_test_1", false},
		{"a key of another form", "order_test_22211" + hex, false},
		{"", "order_test_22211" + hex, false},
	} {
		c := &Client{HTTP: &api.Client{Key: secret.New(test.key)}}
		if got := c.OtherMerchant(test.order); got != test.want {
			t.Errorf("%q and %s: %t", test.key, test.order, got)
		}
	}
}

// An answer that states no transaction_state says neither that an order is unpaid nor
// that a charge was not voided.
func TestAnAnswerThatSaysNothing(t *testing.T) {
	t.Parallel()
	for _, body := range []string{
		`{}`, `[]`, `null`, `[{}]`, `"success"`, `{"object":"qr"}`, `{"status":"success"}`, `{"error":{"code":"internal"}}`,
		`{"object":"Error","code":"internal"}`, `{"object":"order","id":"order_test_1","status":"success"}`,
		`{"ID":"chrg_test_1","Transaction_State":"Authorized"}`, `{"data":[]}`, `{"transaction_state":""}`,
	} {
		c := serve(t, says(200, body))
		_, _, err := c.InquireOrder(t.Context(), paymentOver(t, "300.0"))
		_, _, charge := c.InquireCharge(t.Context(), "chrg_test_1", "4925")
		for _, err := range []error{err, charge} {
			failure, ok := errors.AsType[*api.Error](err)
			if !ok || failure.Kind != api.Unavailable || errors.Is(err, ErrNoCharge) {
				t.Errorf("%s: %v", body, err)
			}
		}
	}
	both := `[{"id":"chrg_test_1","order_id":"order_test_1","transaction_state":"Declined"},{"id":"chrg_test_2","order_id":"order_test_1"}]`
	status, _, err := serve(t, says(200, both)).InquireCharge(t.Context(), "chrg_test_1", "")
	if err == nil {
		t.Errorf("a charge that was not asked about: %+v", status)
	}
	p := paymentOver(t, "300.0")
	both = strings.ReplaceAll(both, "order_test_1", p.BankOrderID)
	status, _, err = serve(t, says(200, both)).InquireOrder(t.Context(), p)
	if err != nil || len(status.Reports) != 2 || status.Reports[0].Doubt != "" || status.Reports[1].Doubt != "transaction_state" {
		t.Errorf("%+v, %v", status.Reports, err)
	}
}

// A notification is unconfirmed if the bank answers and does not name its charge, not
// if nobody answers.
func TestUnconfirmed(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		status int
		body   string
		want   bool
	}{
		{404, `{"object":"error","code":"not_found","message":"No."}`, true},
		{200, `{}`, true},
		{200, `{"status":"success"}`, true},
		{404, `{"object":"error","code":"unauthorized_merchant","message":"No."}`, false},
		{503, ``, false},
		{200, `<html>`, false},
	} {
		_, err := serve(t, says(test.status, test.body)).Reports(t.Context(), "chrg_1")
		if err == nil || errors.Is(err, order.ErrUnconfirmed) != test.want {
			t.Errorf("%d %s: %v", test.status, test.body, err)
		}
	}
}
