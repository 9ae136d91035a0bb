package order

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/villapay/villapay/internal/order"
)

func TestContent(t *testing.T) {
	t.Parallel()
	base := awaiting(t)
	const id = "order_test_222110adff3affb5844c497fa9c22366b5bc6"
	for _, c := range []struct{ tmpl, order, text, caption string }{
		{"{{.id}}", seedOrder, id, CaptionReference},
		{"https://pay.example/pay?order={{.id}}", seedOrder, "https://pay.example/pay?order=" + id, CaptionPage},
		{"{{.amount}} {{.big}}", `{"amount":300.0,"big":12345678901234567890123}`, "300.0 12345678901234567890123", CaptionReference},
		{"{{.qr}}", `{"qr":"weixin://wxpay/bizpayurl?pr=abc"}`, "weixin://wxpay/bizpayurl?pr=abc", CaptionWeChat},
		{"{{.qr}}", `{"qr":"https://wx.tenpay.com/x?y"}`, "https://wx.tenpay.com/x?y", CaptionWeChat},
		{"{{.qr}}", `{"qr":"https://notwechat.com/"}`, "https://notwechat.com/", CaptionPage},
		{"{{.qr}}", `{"qr":"javascript:alert(1)"}`, "javascript:alert(1)", CaptionReference},
		{"{{.qr}}", `{"qr":"https:///no-host"}`, "https:///no-host", CaptionReference},
		{"{{.qr}}", `{"qr":"a\u001b\u0000b"}`, "a\x1b\x00b", CaptionReference},
		{"{{.a.b}}", `{"a":{"b":"น้ำ"}}`, "น้ำ", CaptionReference},
		{"{{index .l 1}}", `{"l":["x","y"]}`, "y", CaptionReference},
	} {
		p := base
		p.Order = []byte(c.order)
		code, err := Content(c.tmpl, p)
		if err != nil {
			t.Errorf("%s: %v", c.tmpl, err)
		}
		if diff := cmp.Diff(Code{c.text, c.caption}, code); diff != "" {
			t.Errorf("%s: %s", c.tmpl, diff)
		}
	}
}

func TestContentRefuses(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ tmpl, order, says string }{
		{"{{.payload}}", `{"id":"x"}`, `"payload"`},
		{"{{.a.deep}}", `{"a":{}}`, `"deep"`},
		{"{{.payload}}", `{"payload":null}`, ".payload"},
		{"{{.customer.id}}", `{"customer":null}`, ".customer.id"},
		{"{{.id.x}}", `{"id":"x"}`, ".id.x"},
		{"{{.id}}", `{"id":""}`, "nothing"},
		{"{{.id}}", ``, "no order"},
		{"{{.id}}", `null`, "no order"},
		{"{{.id}}", `[]`, "no order"},
		{"{{.id", `{}`, "unclosed action"},
		{"{{nosuch}}", `{}`, "nosuch"},
		{"{{range 100000000}}xxxxxxxxxx{{end}}", `{}`, "far too long"},
	} {
		code, err := Content(c.tmpl, order.Payment{Order: []byte(c.order)})
		if err == nil || !strings.Contains(err.Error(), c.says) || code != (Code{}) {
			t.Errorf("%s over %s: %+v, %v, want an error that says %q", c.tmpl, c.order, code, err, c.says)
		}
	}
	if err := CheckContent("{{.id}}"); err != nil {
		t.Error(err)
	}
	if CheckContent("{{.id") == nil {
		t.Error("a broken template was taken")
	}
}

func TestContentOfAPayload(t *testing.T) {
	t.Parallel()
	payload := emvco("54", "300.00")
	for _, c := range []struct {
		name, tmpl, payload, says string
		change                    func(*order.Payment)
	}{
		{name: "whole", tmpl: "{{.qr.data}}", payload: payload},
		{name: "put together", tmpl: payload[:20] + "{{.rest}}", payload: "elsewhere " + payload, says: "put together"},
		{name: "cut", tmpl: "{{slice .qr.data 0 40}}", payload: payload, says: "put together"},
		{name: "wrong checksum", tmpl: "{{.qr.data}}", payload: strings.Replace(payload, "300.00", "300.01", 1), says: "checksum"},
		{name: "another amount", tmpl: "{{.qr.data}}", payload: emvco("54", "3000.00"), says: "asks for 3000.00"},
		{name: "amount not known", tmpl: "{{.qr.data}}", payload: payload, says: "not given", change: func(p *order.Payment) { p.Amount = sum(t, "") }},
		{name: "another currency", tmpl: "{{.qr.data}}", payload: payload, says: "currency", change: func(p *order.Payment) { p.Currency = "CNY" }},
	} {
		p := awaiting(t)
		p.Order = fmt.Appendf(nil, `{"qr":{"data":%q},"rest":%q}`, c.payload, payload[20:])
		if c.change != nil {
			c.change(&p)
		}
		code, err := Content(c.tmpl, p)
		switch {
		case c.says == "":
			if diff := cmp.Diff(Code{payload, "Scan with a bank app (Thai QR), THB 300.00"}, code); diff != "" || err != nil {
				t.Errorf("%s: %v %s", c.name, err, diff)
			}
		case err == nil || !strings.Contains(err.Error(), c.says) || code != (Code{}):
			t.Errorf("%s: %+v, %v", c.name, code, err)
		}
	}
}

// FuzzContent: whatever the server sends, a payment payload is drawn only when
// it is the order's own, whole, right, and for the order's amount.
func FuzzContent(f *testing.F) {
	f.Add(seedOrder)
	f.Add(`{"id":"` + emvco("54", "300.00") + `"}`)
	f.Add(`{"id":"` + emvco("54", "300.01") + `"}`)
	f.Add(`{"id":null}`)
	f.Fuzz(func(t *testing.T, order string) {
		p := awaiting(t)
		p.Order = []byte(order)
		code, err := Content("{{.id}}", p)
		if err != nil {
			return
		}
		checkSafe(t, code.Caption)
		var fields map[string]any
		if json.Unmarshal(p.Order, &fields) != nil || code.Text == "" {
			t.Fatalf("%q gave %+v", order, code)
		}
		if strings.HasPrefix(code.Text, payloadStart) != strings.HasPrefix(code.Caption, "Scan with a bank app") {
			t.Errorf("%q is captioned %q", code.Text, code.Caption)
		}
		if strings.HasPrefix(code.Text, payloadStart) && checkPayload(code.Text, p.Amount, p.Currency) != nil {
			t.Errorf("%q is a wrong payload", code.Text)
		}
	})
}
