package sandbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode"

	"github.com/google/go-cmp/cmp"
)

// everyday is the answer to an ordinary order ID.
const everyday = `200 {"id":"order_test_`

// scripts has what a client gets that repeats a request with one key: the
// beginnings of status and body, or "error". made is the number of orders
// afterwards.
var scripts = map[string]struct {
	want []string
	made int
}{
	"refused-amount":       {[]string{`400 {"error":{"code":"invalid_amount","message":"Invalid payment amount."}}`, "400"}, 0},
	"not-found":            {[]string{`404 {"error":{"code":"order_not_found"`, "404"}, 0},
	"unauthorized":         {[]string{`401 {"message":"Unauthorized"}`, "401"}, 0},
	"expired-token-always": {[]string{`401 {"message":"The incoming token has expired"}`, "401", "401"}, 0},
	"forbidden":            {[]string{`403 {"message":"User is not authorized to access this resource"}`, "403"}, 0},
	"echoed-token":         {[]string{`403 {"message":"'' not a valid key=value pair`, "403"}, 0},
	"no-route":             {[]string{`403 {"message":"Missing Authentication Token"}`, "403"}, 0},
	"throttled-always":     {[]string{`429 {"message":"Limit Exceeded"}`, "429", "429", "429", "429"}, 0},
	"server-error":         {[]string{`500 {"error":{"code":"internal_error"`, "500"}, 0},
	"unavailable-always":   {[]string{`503 {"message":"Service Unavailable"}`, "503", "503", "503", "503"}, 0},
	"hostile-error":        {[]string{`400 {"error":{"code":"bad\u001b[31m"`, "400"}, 0},
	"wrapped-error":        {[]string{`200 {"statusCode":400,"body":{"error":"Invalid payment amount.","code":"INVALID_AMOUNT","details":{}}}`}, 0},
	"wrapped-error-text":   {[]string{`200 {"statusCode":400,"body":"{\"error\":\"Invalid payment amount.\"`}, 0},

	"expired-token":  {[]string{`401 {"message":"The incoming token has expired"}`, everyday, everyday}, 1},
	"throttled":      {[]string{`429 {"message":"Too Many Requests"}`, everyday, everyday}, 1},
	"throttled-wait": {[]string{`429 {"message":"Too Many Requests"}`, everyday, everyday}, 1},
	"conflict":       {[]string{`409 {"error":{"code":"idempotency_conflict"`, everyday, everyday}, 1},
	"unavailable":    {[]string{"503", "503", "503", everyday, everyday}, 1},

	"lost-once":      {[]string{"error", everyday, everyday}, 1},
	"lost-always":    {[]string{"error", "error", "error", "error", "error"}, 1},
	"cut-once":       {[]string{"error", everyday, everyday}, 1},
	"cut-short":      {[]string{"error", "error", "error"}, 1},
	"timed-out-once": {[]string{`504 {"message":"Endpoint request timed out"}`, everyday}, 1},
	"timed-out":      {[]string{"504", "504", "504"}, 1},
	"slow":           {[]string{everyday}, 1},
	"silent":         {nil, 0}, // see TestSilence
	"stalled":        {nil, 0},

	"html-502": {[]string{"502 <!DOCTYPE html>", "502"}, 0},
	"html-200": {[]string{"200 <!DOCTYPE html>", "200 <!DOCTYPE html>"}, 0},
	"empty":    {[]string{"200 ", "200 "}, 1},
	"redirect": {[]string{"307 ", "307 "}, 0},
	"huge":     {[]string{everyday}, 1},

	"failed-order": {[]string{everyday, everyday}, 1},
	"short-expiry": {[]string{everyday}, 1},
	"no-expiry":    {[]string{everyday}, 1},
	"live":         {[]string{`200 {"id":"order_prod_`}, 1},
	"other-source": {[]string{everyday}, 1},
	"hostile-text": {[]string{everyday}, 1},
	"thai":         {[]string{everyday}, 1},
	"extra-fields": {[]string{everyday}, 1},

	"text-amount":   {[]string{everyday}, 1},
	"text-livemode": {[]string{everyday}, 1},
	"loose-types":   {[]string{everyday}, 1},
	"wrapped":       {[]string{`200 {"statusCode":200,"body":{"id":"order_test_`}, 1},
	"wrapped-text":  {[]string{`200 {"statusCode":200,"body":"{\"id\":\"order_test_`}, 1},

	"emvco":            {[]string{everyday}, 1},
	"emvco-bad-crc":    {[]string{everyday}, 1},
	"emvco-bad-amount": {[]string{everyday}, 1},
	"wechat-url":       {[]string{everyday}, 1},

	"paid":              {[]string{everyday}, 1},
	"paid-third-check":  {[]string{everyday}, 1},
	"declined":          {[]string{everyday}, 1},
	"unknown-state":     {[]string{everyday}, 1},
	"bare-success":      {[]string{everyday}, 1},
	"check-no-route":    {[]string{everyday}, 1},
	"check-unavailable": {[]string{everyday}, 1},

	// Their own tests are in bank_test.go.
	"bank-down-once":   {[]string{everyday}, 1},
	"bank-down-always": {[]string{everyday}, 1},
	"code-rejected":    {[]string{everyday}, 1},
	"code-no-text":     {[]string{everyday}, 1},
	"code-bad-amount":  {[]string{everyday}, 1},
	"code-short":       {[]string{everyday}, 1},
	"code-other-order": {[]string{everyday}, 1},
	"paid-twice":       {[]string{everyday}, 1},
	"cancel-paid":      {[]string{everyday}, 1},
	"cancel-lost":      {[]string{everyday}, 1},
	"void-rejected":    {[]string{everyday}, 1},
	"void-lost":        {[]string{everyday}, 1},
}

func TestMagicIDs(t *testing.T) {
	t.Parallel()
	form := regexp.MustCompile(`^[a-z][a-z0-9-]*$`)
	var ids []string
	for _, magic := range MagicIDs() {
		if !form.MatchString(magic.ID) || magic.Outcome == "" {
			t.Errorf("%q (%q) is no readable magic ID", magic.ID, magic.Outcome)
		}
		if _, ok := scripts[magic.ID]; !ok {
			t.Errorf("%s has no test", magic.ID)
		}
		ids = append(ids, magic.ID)
	}
	if len(ids) != len(scripts) {
		t.Errorf("%d magic IDs, %d tests", len(ids), len(scripts))
	}
	slices.Sort(ids)
	if len(slices.Compact(slices.Clone(ids))) != len(ids) {
		t.Errorf("a magic ID is listed twice: %v", ids)
	}
}

func TestEachMagicID(t *testing.T) {
	t.Parallel()
	eachWay(t, Options{Now: time.Now}, func(t *testing.T, s *Sandbox, c *http.Client, base string) {
		for id, script := range scripts {
			for _, orderID := range []string{id, id + ".7"} { // each suffix has a count of its own
				t.Run(orderID, func(t *testing.T) {
					t.Parallel()
					if orderID == "slow.7" {
						t.Skip("three seconds once are enough")
					}
					checkScript(t, s, c, base, orderID, script.want)
					wantStats(t, s, orderID, Stats{Posts: len(script.want), Orders: script.made})
				})
			}
		}
	})
}

func checkScript(t *testing.T, s *Sandbox, c *http.Client, base, orderID string, script []string) {
	t.Helper()
	made := ""
	for i, want := range script {
		got := ask(t.Context(), c, base, orderID, "qr", "key-"+orderID)
		is := fmt.Sprint(got.status, " ", got.body)
		if got.err != nil {
			is = "error"
		}
		if !strings.HasPrefix(is, want) {
			t.Errorf("answer %d: %.200s (%v), want %s", i+1, is, got.err, want)
		}
		if got.err == nil && got.header.Get("x-amzn-RequestId") == "" {
			t.Errorf("answer %d has no request id", i+1)
		}
		if want == everyday && made != "" && made != got.body {
			t.Errorf("answer %d is another order: %s, before %s", i+1, got.body, made)
		} else if want == everyday {
			made = got.body
		}
	}
}

func TestHeadersOfMagicAnswers(t *testing.T) {
	t.Parallel()
	eachWay(t, Options{}, func(t *testing.T, _ *Sandbox, c *http.Client, base string) {
		for _, test := range []struct{ orderID, header, want string }{
			{"throttled-wait", "Retry-After", "1"},
			{"redirect", "Location", "https://elsewhere.invalid/qrpayment"},
			{"html-502", "Content-Type", "text/html; charset=utf-8"},
		} {
			if got := ask(t.Context(), c, base, test.orderID, "qr", "").header.Get(test.header); got != test.want {
				t.Errorf("%s: %s is %q, want %q", test.orderID, test.header, got, test.want)
			}
		}
	})
}

// The fields in which odd orders differ from an ordinary one.
func TestOddOrders(t *testing.T) {
	t.Parallel()
	amount := func(id string) json.Number { return amountOf(id).number() }
	tests := map[string]map[string]any{
		"failed-order": {"status": "fail", "failure_code": "payment_rejected", "failure_message": "The bank rejected the order."},
		"short-expiry": {"expire_time_seconds": json.Number("3")},
		"no-expiry":    {"expire_time_seconds": nil},
		"live":         {"livemode": true},
		"other-source": {"source_type": "wechat"},
		"hostile-text": {"description": hostile},
		"thai":         {"description": "คำสั่งซื้อน้ำปลา ๒ ขวด จำนวน ๓๐๐ บาท"},
		"extra-fields": {
			"fee":  json.Number("1.10"),
			"bank": map[string]any{"trace": json.Number("12345678901234567890"), "note": "<&>"},
		},
		"text-amount":   {"amount": amountOf("text-amount").fixed()},
		"text-livemode": {"livemode": "false"},
		"loose-types": {
			"expire_time_seconds": "3600", "created": "20250530205658", "metadata": []any{}, "failure_code": "", "failure_message": "",
		},
		"emvco-bad-amount": {"qr_payload": emvco(amountOf("emvco-bad-amount")+100, "SANDBOX")},
		"emvco":            {"qr_payload": emvco(amountOf("emvco"), "SANDBOX")},
		"paid":             {},
	}
	s := newSandbox(t, Options{})
	for id, want := range tests {
		got := ask(t.Context(), client(s.Transport()), inProcess, id, "qr", "")
		var fields map[string]any
		dec := json.NewDecoder(strings.NewReader(got.body))
		dec.UseNumber()
		if err := dec.Decode(&fields); err != nil {
			t.Errorf("%s: %v", id, err)
			continue
		}
		usual := map[string]any{
			"object": "order", "created": "20250530205658833", "livemode": false, "amount": amount(id), "currency": "THB",
			"customer": nil, "description": "Order " + id, "metadata": nil, "status": "success",
			"reference_order": id + "1748613417.737979", "source_type": "qr",
			"additional_data": map[string]any{"term": nil, "mid": nil, "tid": nil, "smartpay_id": nil, "campaign_id": nil},
			"failure_code":    nil, "failure_message": nil, "expire_time_seconds": json.Number("3600"),
		}
		delete(fields, "id")
		maps.Copy(usual, want)
		if diff := cmp.Diff(usual, fields); diff != "" {
			t.Errorf("%s (-want +got):\n%s", id, diff)
		}
	}
}

func TestHostileTextIsHostile(t *testing.T) {
	t.Parallel()
	has := func(name string, in func(rune) bool) {
		if !strings.ContainsFunc(hostile, in) {
			t.Errorf("it has no %s", name)
		}
	}
	has("C0 control", func(c rune) bool { return c == 0x1b })
	has("C1 control", func(c rune) bool { return c >= 0x80 && c < 0xa0 })
	has("bidi control", func(c rune) bool { return unicode.Is(unicode.Bidi_Control, c) })
	has("carriage return", func(c rune) bool { return c == '\r' })
	has("format character", func(c rune) bool { return unicode.Is(unicode.Cf, c) && !unicode.Is(unicode.Bidi_Control, c) })
	has("line separator", func(c rune) bool { return unicode.In(c, unicode.Zl, unicode.Zp) })
	for _, sequence := range []string{"\x1b[2J", "\x1b]0;", "\x1b]8;;", "\u009b"} {
		if !strings.Contains(hostile, sequence) {
			t.Errorf("it lacks %q", sequence)
		}
	}
}

func TestPaymentCodes(t *testing.T) {
	t.Parallel()
	if got := crc16("123456789"); got != "29B1" { // the check value of CRC-16/CCITT-FALSE
		t.Errorf("CRC of the check string: %s, want 29B1", got)
	}
	const want = "000201 010212 3050 0016A000000677010112 0115000000000000000 0207SANDBOX 5303764 540574.25 5802TH 6211 0707SANDBOX 6304"
	if got, want := emvcoBody(74_25, "SANDBOX"), strings.ReplaceAll(want, " ", ""); got != want {
		t.Errorf("code of 74.25 baht:\n%s, want\n%s", got, want)
	}
	s := newSandbox(t, Options{})
	code := func(id string) string {
		t.Helper()
		payload := ask(t.Context(), client(s.Transport()), inProcess, id, "qr", "").order().QRPayload
		if payload == "" {
			t.Fatalf("%s has no payload", id)
		}
		return payload
	}
	sealed := func(code string) bool { return crc16(code[:len(code)-4]) == code[len(code)-4:] }
	if good := code("emvco"); !sealed(good) {
		t.Errorf("emvco: %s has a wrong checksum", good)
	}
	if bad := code("emvco-bad-crc"); sealed(bad) || !strings.HasPrefix(bad, emvcoBody(amountOf("emvco-bad-crc"), "SANDBOX")) {
		t.Errorf("emvco-bad-crc: %s must be wrong in its checksum alone", bad)
	}
	if other := code("emvco-bad-amount"); !sealed(other) {
		t.Errorf("emvco-bad-amount: %s has a wrong checksum", other)
	}
	if url := code("wechat-url"); !strings.HasPrefix(url, "weixin://") {
		t.Errorf("wechat-url: %s", url)
	}
}

// A silent server makes the order. The client gives up, or the server does.
func TestSilence(t *testing.T) {
	t.Parallel()
	for _, orderID := range []string{"silent", "stalled"} {
		synctest.Test(t, func(t *testing.T) {
			s := newSandbox(t, Options{Now: time.Now})
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			if got := ask(ctx, client(s.Transport()), inProcess, orderID, "qr", "key"); !errors.Is(got.err, context.DeadlineExceeded) {
				t.Errorf("%s: %+v, want a deadline exceeded", orderID, got)
			}
			start := time.Now()
			got := ask(t.Context(), client(s.Transport()), inProcess, orderID, "qr", "key")
			if took := time.Since(start); got.err == nil || took != silenceLimit {
				t.Errorf("%s: %+v after %v, want an error after %v", orderID, got, took, silenceLimit)
			}
			synctest.Wait()
			wantStats(t, s, orderID, Stats{Posts: 2, Orders: 1})
		})
	}
}

// On a port, a silent handler ends with its client's connection.
func TestSilenceServed(t *testing.T) {
	t.Parallel()
	s := newSandbox(t, Options{})
	ended := make(chan struct{})
	base := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer close(ended)
		s.ServeHTTP(w, r)
	}))
	ctx, cancel := context.WithCancel(t.Context())
	req, err := http.NewRequestWithContext(ctx, "POST", base+"/qrpayment", strings.NewReader(`{"orderid":"stalled","source":"qr"}`))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := (&http.Transport{}).RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	if _, err := io.ReadAll(resp.Body); !errors.Is(err, context.Canceled) {
		t.Errorf("reading on: %v, want %v", err, context.Canceled)
	}
	_ = resp.Body.Close()
	select {
	case <-ended:
	case <-time.After(30 * time.Second):
		t.Error("the handler still waits for a client that disconnected")
	}
}

func TestSlow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSandbox(t, Options{Now: time.Now})
		c := client(s.Transport())
		start := time.Now()
		first := make(chan answer)
		go func() { first <- ask(t.Context(), c, inProcess, "slow", "qr", "key") }()
		time.Sleep(time.Second) // on the bubble's clock: the first request waits by then
		if got := ask(t.Context(), c, inProcess, "slow", "qr", "key"); got.status != 409 {
			t.Errorf("the same key meanwhile: %d %s, want 409", got.status, got.body)
		}
		made := <-first
		if took := time.Since(start); made.status != 200 || took != 3*time.Second {
			t.Errorf("got %+v after %v, want an order after 3 s", made, took)
		}
		if again := ask(t.Context(), c, inProcess, "slow", "qr", "key"); again.body != made.body || time.Since(start) != 3*time.Second {
			t.Errorf("once more: %+v after %v, want the same order at once", again, time.Since(start))
		}
		wantStats(t, s, "slow", Stats{Posts: 3, Orders: 1})
	})
}

// A huge answer is streamed.
func TestHuge(t *testing.T) {
	t.Parallel()
	s := newSandbox(t, Options{})
	req, err := http.NewRequestWithContext(t.Context(), "POST", inProcess+"/qrpayment", strings.NewReader(`{"orderid":"huge","source":"qr"}`))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := s.Transport().RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	n, err := io.Copy(io.Discard, resp.Body)
	if err != nil || n < hugeSize {
		t.Errorf("read %d bytes (%v), want %d and some more", n, err, hugeSize)
	}
}
