package sandbox

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"image/png"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/makiuchi-d/gozxing"
	"github.com/makiuchi-d/gozxing/qrcode"
)

// bankCaller calls the bank's API of a sandbox in this process.
type bankCaller struct {
	t   *testing.T
	s   *Sandbox
	key string
}

func (b bankCaller) call(method, path, body string) answer {
	b.t.Helper()
	header := http.Header{"Content-Type": {"application/json"}, "X-Api-Key": {b.key}}
	return send(b.t.Context(), client(b.s.Transport()), method, inProcess+BankPath+path, body, header)
}

// code asks for a code of an order.
func (b bankCaller) code(o *order, sof string) answer {
	b.t.Helper()
	return b.call("POST", "/qr/v2/qr", fmt.Sprintf(`{"order_id":%q,"amount":%v,"currency":"THB","description":%q,"sof":%q,"reference_order":%q}`,
		o.ID, o.Amount, o.Description, sof, o.ReferenceOrder))
}

// mustCode makes a code of an order.
func (b bankCaller) mustCode(o *order) paymentCode {
	b.t.Helper()
	got := b.code(o, "ThaiQR")
	var code paymentCode
	if err := json.Unmarshal([]byte(got.body), &code); err != nil || got.status != 200 {
		b.t.Fatalf("make a code: %+v", got)
	}
	return code
}

func (b bankCaller) want(name string, got answer, status int, part string) {
	b.t.Helper()
	if got.err != nil || got.status != status || !strings.Contains(got.body, part) {
		b.t.Errorf("%s: %d %s (%v), want %d with %s", name, got.status, got.body, got.err, status, part)
	}
}

func (b bankCaller) wantCodes(orderID string, made, open int) {
	b.t.Helper()
	got, err := b.s.Stats(b.t.Context(), orderID)
	if err != nil || got.Codes != made || got.OpenCodes != open {
		b.t.Errorf("%s: %d codes, %d open (%v), want %d and %d", orderID, got.Codes, got.OpenCodes, err, made, open)
	}
}

func TestBankCode(t *testing.T) {
	t.Parallel()
	s := newSandbox(t, Options{})
	bank := bankCaller{t: t, s: s}
	made := makeOrder(t, s, exampleOrder)
	got := bank.code(made, "ThaiQR")
	var code paymentCode
	if err := json.Unmarshal([]byte(got.body), &code); err != nil {
		t.Fatalf("%+v: %v", got, err)
	}
	ref := strings.ToUpper(code.ID[len(code.ID)-20:])
	text := strings.ReplaceAll("000201 010212 3063 0016A000000677010112 0115000000000000000 0220"+ref+
		" 5303764 5406300.00 5802TH 6211 0707SANDBOX 6304", " ", "")
	want := `{"id":"` + code.ID + `","object":"qr","order_id":"` + made.ID + `","account_name":"Villa Sandbox",` +
		`"paint_text":"` + text + crc16(text) + `","image_with_base64":"` + code.Image + `","sof_support":[` +
		`{"code":"ThaiQR","desc":"Thai QR Payment","icon_url":"https://bank.invalid/thaiqr.png"},` +
		`{"code":"WeChat","desc":"WeChat Pay","icon_url":"https://bank.invalid/wechat.png"}],` +
		`"status":"success","created":"20250530205658833","livemode":false,"failure_code":null,"failure_message":null,"expire_time_seconds":600}`
	if diff := cmp.Diff(want, got.body); diff != "" || got.status != 200 {
		t.Errorf("%d (-want +got):\n%s", got.status, diff)
	}
	if date := got.header.Get("Date"); date != "Fri, 30 May 2025 13:56:58 GMT" {
		t.Errorf("Date: %s", date)
	}

	image, err := base64.StdEncoding.DecodeString(code.Image)
	if err != nil {
		t.Fatal(err)
	}
	picture, err := png.Decode(bytes.NewReader(image))
	if err != nil {
		t.Fatal(err)
	}
	bitmap, err := gozxing.NewBinaryBitmapFromImage(picture)
	if err != nil {
		t.Fatal(err)
	}
	// Without this it looks for a code in a photograph, and some texts mislead it.
	pure := map[gozxing.DecodeHintType]any{gozxing.DecodeHintType_PURE_BARCODE: true}
	if scanned, err := qrcode.NewQRCodeReader().Decode(bitmap, pure); err != nil || scanned.GetText() != code.PaintText {
		t.Errorf("the picture holds %v (%v), want %s", scanned, err, code.PaintText)
	}

	if again := bank.mustCode(made); again.ID == code.ID || again.PaintText == code.PaintText {
		t.Errorf("another code is the same: %+v", again)
	}
	wechat := bank.code(made, "WeChat")
	bank.want("WeChat", wechat, 200, `"paint_text":"weixin://wxpay/bizpayurl?pr=sandbox`)
	wantStats(t, s, exampleOrder, Stats{Posts: 1, Orders: 1, BankCalls: 3, Codes: 3, OpenCodes: 3})
}

func TestBankCodeOfALiveOrder(t *testing.T) {
	t.Parallel()
	s := newSandbox(t, Options{})
	if code := (bankCaller{t: t, s: s}).mustCode(makeOrder(t, s, "live")); !code.Livemode || !strings.HasPrefix(code.ID, "qr_prod_22211") {
		t.Errorf("%+v", code)
	}
}

func TestBankRejectsRequestsForCodes(t *testing.T) {
	t.Parallel()
	s := newSandbox(t, Options{})
	bank := bankCaller{t: t, s: s}
	made := makeOrder(t, s, exampleOrder)
	good := `{"order_id":"` + made.ID + `","amount":300.00,"currency":"THB","sof":"ThaiQR","metadata":[]}`
	change := func(old, new string) string { return strings.Replace(good, old, new, 1) }
	for name, test := range map[string]struct {
		body   string
		status int
		code   string
	}{
		"other digits of the amount": {good, 200, `"object":"qr"`},
		"amount as a string":         {change("300.00", `"300"`), 200, `"object":"qr"`},
		"another amount":             {change("300.00", "300.01"), 400, "invalid_amount"},
		"no amount":                  {change(`"amount":300.00,`, ""), 400, "invalid_amount"},
		"huge amount":                {change("300.00", "1e9999999"), 400, "invalid_amount"},
		"another currency":           {change("THB", "USD"), 400, "invalid_currency"},
		"another reference":          {change(`"metadata":[]`, `"reference_order":"1"`), 400, "invalid_reference_order"},
		"unknown sof":                {change("ThaiQR", "Thai"), 400, "invalid_sof"},
		"no sof":                     {change(`"sof":"ThaiQR",`, ""), 400, "invalid_sof"},
		"unknown order":              {change(made.ID, "order_test_1"), 404, "not_found"},
		"a Villa order":              {change(made.ID, exampleOrder), 404, "not_found"},
		"unknown field":              {change("metadata", "orderid"), 400, "invalid_request"},
		"no JSON":                    {"order_id=1", 400, "invalid_request"},
		"too large":                  {change("[]", `"`+strings.Repeat("x", maxRequest)+`"`), 400, "invalid_request"},
	} {
		got := bank.call("POST", "/qr/v2/qr", test.body)
		bank.want(name, got, test.status, test.code)
		if test.status != 200 && !strings.HasPrefix(got.body, `{"object":"error","code":"`+test.code+`","message":"`) {
			t.Errorf("%s: %s is no error of the bank", name, got.body)
		}
	}
	form := http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}
	bank.want("a form", send(t.Context(), client(s.Transport()), "POST", inProcess+BankPath+"/qr/v2/qr", good, form), 400, "invalid_request")
	bank.wantCodes(exampleOrder, 2, 2)
}

func TestBankRoutes(t *testing.T) {
	t.Parallel()
	s := newSandbox(t, Options{})
	bank := bankCaller{t: t, s: s}
	made := makeOrder(t, s, "1")
	code := bank.mustCode(made)
	charge := pay(t, s, "1", "Authorized")
	for _, route := range []string{
		"GET /", "GET /qr/v2/qr", "POST /qr/v2/order/" + made.ID, "GET /qr/v2/qr/" + code.ID + "/cancel", "DELETE /qr/v2/qr/" + made.ID,
		// An id of the wrong kind.
		"GET /qr/v2/qr/" + code.ID, "GET /qr/v2/qr/1", "GET /qr/v2/order/" + charge.ID, "GET /qr/v2/order/1",
		"POST /qr/v2/qr/" + made.ID + "/cancel", "POST /qr/v2/qr/" + charge.ID + "/cancel",
		"POST /qr/v2/qr/" + made.ID + "/void", "POST /qr/v2/qr/" + code.ID + "/void",
	} {
		method, path, _ := strings.Cut(route, " ")
		bank.want(route, bank.call(method, path, ""), 404, `{"object":"error","code":"not_found","message":"Not found."}`)
	}
}

func TestBankKey(t *testing.T) {
	t.Parallel()
	s := newSandbox(t, Options{BankKey: BankKey, Authorizer: oneToken{}})
	header := http.Header{"Content-Type": {"application/json"}, "Authorization": {"right"}}
	made := send(t.Context(), client(s.Transport()), "POST", inProcess+"/qrpayment", `{"orderid":"1","source":"qr"}`, header).order()
	for key, status := range map[string]int{"": 401, "skey_test_22211": 401, BankKey: 200} {
		bank := bankCaller{t, s, key}
		wantPart := `"object":"`
		if status == 401 {
			wantPart = `{"object":"error","code":"unauthorized","message":"The API key is missing or wrong."}`
		}
		bank.want("create with "+key, bank.code(made, "ThaiQR"), status, wantPart)
		bank.want("order with "+key, bank.call("GET", "/qr/v2/order/"+made.ID, ""), status, wantPart)
	}
	bankCaller{t: t, s: s}.wantCodes("1", 1, 1)
}

func TestBankInquiry(t *testing.T) {
	t.Parallel()
	s := newSandbox(t, Options{})
	bank := bankCaller{t: t, s: s}
	made := ask(t.Context(), client(s.Transport()), inProcess, "1", "qr", "")
	orderID := made.order().ID
	bank.want("unpaid", bank.call("GET", "/qr/v2/qr/"+orderID, ""), 404, `{"object":"error","code":"charge_not_found"`)

	var charges []string
	for _, state := range []string{"Declined", "Authorized", "Settled"} {
		n := pay(t, s, "1", state)
		charges = append(charges, toJSON(n))
		for _, id := range []string{orderID, n.ID} {
			if got := bank.call("GET", "/qr/v2/qr/"+id, ""); got.status != 200 || got.body != toJSON(n) {
				t.Errorf("%s by %s: %d %s, want %s", state, id, got.status, got.body, toJSON(n))
			}
		}
	}
	var declined Notification
	if err := json.Unmarshal([]byte(charges[0]), &declined); err != nil {
		t.Fatal(err)
	}
	if got := bank.call("GET", "/qr/v2/qr/"+declined.ID, ""); got.body != charges[0] {
		t.Errorf("the declined charge afterwards: %s, want %s", got.body, charges[0])
	}
	if got := bank.call("GET", "/qr/v2/order/"+orderID, ""); got.status != 200 || got.body != made.body {
		t.Errorf("the order: %d %s, want %s", got.status, got.body, made.body)
	}

	wechat := ask(t.Context(), client(s.Transport()), inProcess, "2", "wechat", "").order()
	pay(t, s, "2", "Authorized")
	bank.want("WeChat", bank.call("GET", "/qr/v2/qr/"+wechat.ID, ""), 200, `"status":"","transaction_state":"Authorized"`)
}

// A code ends by its life, by a cancellation, or by a payment of its order.
func TestCodesEnd(t *testing.T) {
	t.Parallel()
	clock := newClock()
	s := newSandbox(t, Options{Now: clock.now})
	bank := bankCaller{t: t, s: s}
	made := makeOrder(t, s, "1")
	lapsed := bank.mustCode(made)
	clock.advance(codeLife*time.Second - 1)
	canceled, used := bank.mustCode(made), bank.mustCode(made)
	bank.wantCodes("1", 3, 3)
	clock.advance(1)
	bank.wantCodes("1", 3, 2)
	bank.want("cancel a lapsed code", bank.call("POST", "/qr/v2/qr/"+lapsed.ID+"/cancel", ""), 200, lapsed.ID)
	for range 2 { // canceling again changes nothing
		want := `{"id":"` + canceled.ID + `","object":"qr","status":"success","created":"` + canceled.Created +
			`","livemode":false,"failure_code":null,"failure_message":null}`
		bank.want("cancel", bank.call("POST", "/qr/v2/qr/"+canceled.ID+"/cancel", ""), 200, want)
		bank.wantCodes("1", 3, 1)
	}
	pay(t, s, "1", "Declined")
	bank.wantCodes("1", 3, 1) // the customer can try again
	pay(t, s, "1", "Authorized")
	bank.wantCodes("1", 3, 0)
	bank.want("cancel a used code", bank.call("POST", "/qr/v2/qr/"+used.ID+"/cancel", ""), 400, `{"object":"error","code":"already_paid"`)
	bank.want("cancel after the payment", bank.call("POST", "/qr/v2/qr/"+canceled.ID+"/cancel", ""), 200, `"status":"success"`)
}

func TestVoid(t *testing.T) {
	t.Parallel()
	s := newSandbox(t, Options{})
	bank := bankCaller{t: t, s: s}
	for state, status := range map[string]int{
		"Authorized": 200, "Settled": 200, "Voided": 200, "Declined": 400, "Initialize": 400, "Reversed": 400, "Refund Sent": 400,
	} {
		orderID := "order-" + strings.ReplaceAll(state, " ", "-")
		made := makeOrder(t, s, orderID)
		charge := pay(t, s, orderID, state)
		got := bank.call("POST", "/qr/v2/qr/"+charge.ID+"/void", "")
		if status == 200 {
			charge.TransactionState = "Voided"
			bank.want(state, got, 200, toJSON(charge))
		} else {
			bank.want(state, got, 400, `{"object":"error","code":"invalid_state"`)
		}
		bank.want(state+" afterwards", bank.call("GET", "/qr/v2/qr/"+made.ID, ""), 200, `"transaction_state":"`+charge.TransactionState+`"`)
	}
}

func TestBankMagicIDs(t *testing.T) {
	t.Parallel()
	s := newSandbox(t, Options{})
	bank := bankCaller{t: t, s: s}
	const unavailable = `{"object":"error","code":"service_unavailable"`

	once := makeOrder(t, s, "bank-down-once")
	bank.want("bank-down-once", bank.code(once, "ThaiQR"), 503, unavailable)
	bank.mustCode(once)
	always := makeOrder(t, s, "bank-down-always")
	for range 3 {
		bank.want("bank-down-always", bank.code(always, "ThaiQR"), 503, unavailable)
		bank.want("bank-down-always", bank.call("GET", "/qr/v2/qr/"+always.ID, ""), 503, unavailable)
	}
	wantStats(t, s, "bank-down-always", Stats{Posts: 1, Orders: 1, BankCalls: 6})

	bank.want("code-rejected", bank.code(makeOrder(t, s, "code-rejected"), "ThaiQR"), 400, `{"object":"error","code":"invalid_merchant"`)
	bank.wantCodes("code-rejected", 0, 0)
	if code := bank.mustCode(makeOrder(t, s, "code-no-text")); code.PaintText != "" || code.Image == "" {
		t.Errorf("code-no-text: %+v", code)
	}
	code := bank.mustCode(makeOrder(t, s, "code-bad-amount"))
	if amount := amountOf("code-bad-amount"); !strings.Contains(code.PaintText, tlv("54", (amount+100).fixed())) {
		t.Errorf("code-bad-amount: %s, the order costs %s", code.PaintText, amount.fixed())
	}
	if code := bank.mustCode(makeOrder(t, s, "code-short")); code.ExpireSeconds != 5 {
		t.Errorf("code-short: %+v", code)
	}
	other := makeOrder(t, s, "code-other-order")
	if code := bank.mustCode(other); code.OrderID == other.ID || len(code.OrderID) != len(other.ID) {
		t.Errorf("code-other-order: %+v of order %s", code, other.ID)
	}
}

func TestPaidTwice(t *testing.T) {
	t.Parallel()
	s := newSandbox(t, Options{})
	bank := bankCaller{t: t, s: s}
	made := makeOrder(t, s, "paid-twice")
	first, second := pay(t, s, "paid-twice", "Authorized"), pay(t, s, "paid-twice", "Authorized")
	if first.ID == second.ID {
		t.Errorf("one charge, %s", first.ID)
	}
	bank.want("the order", bank.call("GET", "/qr/v2/qr/"+made.ID, ""), 200, second.ID)
	bank.want("void the first", bank.call("POST", "/qr/v2/qr/"+first.ID+"/void", ""), 200, `"transaction_state":"Voided"`)
	bank.want("the second", bank.call("GET", "/qr/v2/qr/"+second.ID, ""), 200, `"transaction_state":"Authorized"`)
	if n := pay(t, s, "paid-twice", "Settled"); n.ID != second.ID {
		t.Errorf("settled %s, want the newest charge, %s", n.ID, second.ID)
	}
}

// What was canceled or voided stays so, even if the response is lost.
func TestCancelAndVoidMagicIDs(t *testing.T) {
	t.Parallel()
	s := newSandbox(t, Options{})
	bank := bankCaller{t: t, s: s}

	made := makeOrder(t, s, "cancel-paid")
	code := bank.mustCode(made)
	for range 2 {
		bank.want("cancel-paid", bank.call("POST", "/qr/v2/qr/"+code.ID+"/cancel", ""), 400, `{"object":"error","code":"already_paid"`)
	}
	bank.want("cancel-paid afterwards", bank.call("GET", "/qr/v2/qr/"+made.ID, ""), 200, `"transaction_state":"Authorized"`)
	bank.wantCodes("cancel-paid", 1, 0)

	code = bank.mustCode(makeOrder(t, s, "cancel-lost"))
	if got := bank.call("POST", "/qr/v2/qr/"+code.ID+"/cancel", ""); got.err == nil {
		t.Errorf("cancel-lost: %+v, want an error", got)
	}
	bank.wantCodes("cancel-lost", 1, 0)
	bank.want("cancel-lost again", bank.call("POST", "/qr/v2/qr/"+code.ID+"/cancel", ""), 200, `"status":"success"`)

	makeOrder(t, s, "void-rejected")
	charge := pay(t, s, "void-rejected", "Authorized")
	for range 2 {
		bank.want("void-rejected", bank.call("POST", "/qr/v2/qr/"+charge.ID+"/void", ""), 400, `{"object":"error","code":"void_not_allowed"`)
	}
	bank.want("void-rejected afterwards", bank.call("GET", "/qr/v2/qr/"+charge.ID, ""), 200, `"transaction_state":"Authorized"`)

	makeOrder(t, s, "void-lost")
	charge = pay(t, s, "void-lost", "Authorized")
	if got := bank.call("POST", "/qr/v2/qr/"+charge.ID+"/void", ""); got.err == nil {
		t.Errorf("void-lost: %+v, want an error", got)
	}
	bank.want("void-lost afterwards", bank.call("GET", "/qr/v2/qr/"+charge.ID, ""), 200, `"transaction_state":"Voided"`)
	bank.want("void-lost again", bank.call("POST", "/qr/v2/qr/"+charge.ID+"/void", ""), 200, `"transaction_state":"Voided"`)
}

// Every process sees the codes and charges of the others.
func TestBankStateIsShared(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	here := bankCaller{t: t, s: newSandbox(t, Options{Dir: dir})}
	there := bankCaller{t: t, s: newSandbox(t, Options{Dir: dir})}
	made := makeOrder(t, here.s, "1")
	first, second := here.mustCode(made), there.mustCode(made)
	there.want("cancel", there.call("POST", "/qr/v2/qr/"+first.ID+"/cancel", ""), 200, first.ID)
	here.wantCodes("1", 2, 1)
	n := pay(t, here.s, "1", "Authorized")
	there.want("cancel a paid code", there.call("POST", "/qr/v2/qr/"+second.ID+"/cancel", ""), 400, "already_paid")
	there.want("void", there.call("POST", "/qr/v2/qr/"+n.ID+"/void", ""), 200, `"transaction_state":"Voided"`)
	here.want("inquiry", here.call("GET", "/qr/v2/qr/"+made.ID, ""), 200, `"transaction_state":"Voided"`)
	if err := here.s.Reset(t.Context()); err != nil {
		t.Fatal(err)
	}
	there.want("after a reset", there.call("GET", "/qr/v2/order/"+made.ID, ""), 404, "not_found")
	there.want("after a reset", there.call("POST", "/qr/v2/qr/"+second.ID+"/cancel", ""), 404, "not_found")
}

func TestBankFaults(t *testing.T) {
	t.Parallel()
	for kind, want := range map[string]struct{ status, codes int }{"lost": {0, 1}, "cut": {0, 1}, "503": {503, 0}, "504": {504, 1}} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			made := makeOrder(t, newSandbox(t, Options{Dir: dir}), "1")
			fail, err := ParseFail(kind + "=100%")
			if err != nil {
				t.Fatal(err)
			}
			bank := bankCaller{t: t, s: newSandbox(t, Options{Dir: dir, Fail: fail})}
			got := bank.code(made, "ThaiQR")
			if (got.err != nil) != (want.status == 0) || got.err == nil && got.status != want.status {
				t.Errorf("%+v, want status %d", got, want.status)
			}
			bank.wantCodes("1", want.codes, want.codes)
		})
	}
}
