package order

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// code parses a qr_content and fills it.
func code(qrContent string, p *Payment) (Code, error) {
	c, err := ParseContent(qrContent)
	if err != nil {
		return Code{}, err
	}
	return c.Code(p)
}

func TestCode(t *testing.T) {
	t.Parallel()
	const id = "order_test_222110adff3affb5844c497fa9c22366b5bc6"
	for _, c := range []struct {
		content, order string
		want           Code
	}{
		{"{{.id}}", seedOrder, Code{Reference, id}},
		{"{{ .id }}", seedOrder, Code{Reference, id}},
		{"https://pay.example/pay?order={{.id}}&amount={{.amount}}", seedOrder, Code{Page, "https://pay.example/pay?order=" + id + "&amount=300.0"}},
		{"{{.amount}} {{.big}}", `{"amount":300.0,"big":12345678901234567890123}`, Code{Reference, "300.0 12345678901234567890123"}},
		{"{{.live}}", `{"live":false}`, Code{Reference, "false"}},
		{"}}{{.id}}}}{", `{"id":"a"}`, Code{Reference, "}}a}}{"}},
		{"{{.ID}}{{.id}}", `{"id":"a","ID":"b"}`, Code{Reference, "ba"}},
		{"{{.a.b.c}}", `{"a":{"b":{"c":"น้ำ"}}}`, Code{Reference, "น้ำ"}},
		{"{{.qr}}", `{"qr":"weixin://wxpay/bizpayurl?pr=abc"}`, Code{WeChatCode, "weixin://wxpay/bizpayurl?pr=abc"}},
		{"{{.qr}}", `{"qr":"WEIXIN://wxpay/bizpayurl?pr=abc"}`, Code{WeChatCode, "WEIXIN://wxpay/bizpayurl?pr=abc"}},
		{"{{.qr}}", `{"qr":"https://wx.tenpay.com/x?y"}`, Code{WeChatCode, "https://wx.tenpay.com/x?y"}},
		{"{{.qr}}", `{"qr":"https://a.WECHAT.com/x"}`, Code{WeChatCode, "https://a.WECHAT.com/x"}},
		{"{{.qr}}", `{"qr":"https://notwechat.com/"}`, Code{Page, "https://notwechat.com/"}},
		{"{{.qr}}", `{"qr":"https://wechat.com@evil.example/"}`, Code{Page, "https://wechat.com@evil.example/"}},
		{"{{.qr}}", `{"qr":"javascript:alert(1)"}`, Code{Reference, "javascript:alert(1)"}},
		{"{{.qr}}", `{"qr":"https:///no-host"}`, Code{Reference, "https:///no-host"}},
		{"{{.qr}}", `{"qr":"http://[::1"}`, Code{Reference, "http://[::1"}},
		{"{{.qr}}", `{"qr":"a\u001b\u0000b"}`, Code{Reference, "a\x1b\x00b"}},
		{"{{.qr}}", `{"qr":"chrg_000201"}`, Code{Reference, "chrg_000201"}},
		{"a text", `{}`, Code{Reference, "a text"}},
	} {
		got, err := code(c.content, &Payment{Order: []byte(c.order)})
		if diff := cmp.Diff(c.want, got); diff != "" || err != nil {
			t.Errorf("%s over %s: %v %s", c.content, c.order, err, diff)
		}
	}
}

func TestNoCode(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ content, order, says string }{
		{"{{.payload}}", `{"id":"x"}`, "no field .payload"},
		{"{{.Id}}", `{"id":"x"}`, "no field .Id"},
		{"{{.a.deep}}", `{"a":{}}`, "no field .a.deep"},
		{"{{.a.deep}}", `{"a":{"deep":null}}`, ".a.deep is null"},
		{"{{.payload}}", `{"payload":null}`, ".payload is null"},
		{"{{.customer.id}}", `{"customer":null}`, "no field .customer.id"},
		{"{{.id.x}}", `{"id":"x"}`, "no field .id.x"},
		{"{{.a}}", `{"a":{"b":1}}`, ".a is not a text or number"},
		{"{{.a}}", `{"a":[1]}`, ".a is not a text or number"},
		{"{{.a.b}}", `{"a":{"b":1,"b":2}}`, "no field .a.b"},
		{"{{.id}}", `{"id":"x","id":"y"}`, "no order"},
		{"{{.id}}", `{"id":""}`, "is empty"},
		{"{{.id}}", ``, "no order"},
		{"{{.id}}", `null`, "no order"},
		{"{{.id}}", `[]`, "no order"},
	} {
		got, err := code(c.content, &Payment{Order: []byte(c.order)})
		if err == nil || !strings.HasPrefix(err.Error(), "qr_content: ") || !strings.Contains(err.Error(), c.says) || got != (Code{}) {
			t.Errorf("%s over %s: %+v, %v, want an error that says %q", c.content, c.order, got, err, c.says)
		}
	}
}

func TestParseContent(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"", " ", "{{.id", "{{", "{{}}", "{{.}}", "{{..id}}", "{{.id.}}", "{{.a..b}}", "{{. id}}", "{{id}}", "{{- .id}}", "{{.id | len}}", "{{index .l 1}}", "{{(.id)}}",
		"{{slice .id 0 4}}", "{{range 100000000}}x{{end}}", "{{/* .id */}}", "{{`.id`}}", `{{".id"}}`, "{{.id}} {{.x", "{{.a{{.b}}}}", strings.Repeat("x", 100) + "{{" + strings.Repeat("y", 100),
	} {
		if _, err := ParseContent(text); err == nil || len(err.Error()) > 120 {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestCodeOfAPayload(t *testing.T) {
	t.Parallel()
	payload := emvco("54", "300.00")
	for _, c := range []struct {
		name, content, payload, says string
		change                       func(*Payment)
	}{
		{name: "whole", content: "{{.qr.data}}", payload: payload},
		{name: "put together", content: payload[:20] + "{{.rest}}", payload: payload, says: "put together"},
		{name: "of the setting alone", content: payload, payload: payload, says: "put together"},
		{name: "a letter behind it", content: "{{.qr.data}}.", payload: payload, says: "put together"},
		{name: "of two fields", content: "{{.start}}{{.rest}}", payload: payload, says: "put together"},
		{name: "a blank in the setting", content: " {{.qr.data}}", payload: payload, says: "put together"},
		{name: "a line end in the setting", content: "\n{{.qr.data}}", payload: payload, says: "put together"},
		{name: "a byte order mark in the setting", content: "\ufeff{{.qr.data}}", payload: payload, says: "put together"},
		{name: "a blank in front", content: "{{.qr.data}}", payload: " " + payload, says: "no field"},
		{name: "a line end in front", content: "{{.qr.data}}", payload: "\r\n" + payload, says: "no field"},
		{name: "a byte order mark in front", content: "{{.qr.data}}", payload: "\ufeff" + payload, says: "no field"},
		{name: "a zero-width space in front", content: "{{.qr.data}}", payload: "\u200b" + payload, says: "no field"},
		{name: "a control character in front", content: "{{.qr.data}}", payload: "\x00\x1b" + payload, says: "no field"},
		{name: "a no-break space in front", content: "{{.qr.data}}", payload: "\u00a0" + payload, says: "no field"},
		{name: "a Hangul filler in front", content: "{{.qr.data}}", payload: "\u3164" + payload, says: "no field"},
		{name: "a variation selector in front", content: "{{.qr.data}}", payload: "\ufe0f" + payload, says: "no field"},
		{name: "a combining grapheme joiner in the setting", content: "\u034f{{.qr.data}}", payload: payload, says: "put together"},
		{name: "a line end behind", content: "{{.qr.data}}", payload: payload + "\n", says: "no field"},
		{name: "cut", content: "{{.qr.data}}", payload: payload[:40], says: "states a length of 37, which does not fit"},
		{name: "wrong checksum", content: "{{.qr.data}}", payload: strings.Replace(payload, "300.00", "300.01", 1), says: "checksum"},
		{name: "another amount", content: "{{.qr.data}}", payload: emvco("54", "3000.00"), says: "asks for 3000.00"},
		{name: "no amount", content: "{{.qr.data}}", payload: emvco("54", ""), says: "no amount"},
		{name: "amount not known", content: "{{.qr.data}}", payload: payload, says: "not given", change: func(p *Payment) { p.Amount = Amount{} }},
		{name: "another currency", content: "{{.qr.data}}", payload: payload, says: "currency", change: func(p *Payment) { p.Currency = "CNY" }},
	} {
		p := &Payment{Amount: sum(t, "300.0"), Currency: "THB"}
		p.Order = fmt.Appendf(nil, `{"qr":{"data":%s},"start":%q,"rest":%q}`, quoted(t, c.payload), payload[:20], payload[20:])
		if c.change != nil {
			c.change(p)
		}
		got, err := code(c.content, p)
		switch {
		case c.says == "":
			if diff := cmp.Diff(Code{ThaiQR, payload}, got); diff != "" || err != nil {
				t.Errorf("%s: %v %s", c.name, err, diff)
			}
		case err == nil || !strings.Contains(err.Error(), c.says) || got != (Code{}):
			t.Errorf("%s: %+v, %v", c.name, got, err)
		}
	}
}

// FuzzCode: whatever setting and server say, a payment payload is a code only if
// it is a field of the order, whole, right, and for the order's amount.
func FuzzCode(f *testing.F) {
	f.Add("{{.id}}", seedOrder)
	f.Add("{{.id}}", `{"id":"`+emvco("54", "300.00")+`"}`)
	f.Add("{{.id}}", `{"id":"`+emvco("54", "300.01")+`"}`)
	f.Add("{{.id}}", `{"id":"\ufeff `+emvco("54", "300.00")+`"}`)
	f.Add("0002{{.a.b}}", `{"a":{"b":"01"}}`)
	f.Add("https://{{.a}}/{{.b}}", `{"a":"wx.tenpay.com","b":1.0}`)
	f.Add("{{.id", `{"id":null}`)
	f.Fuzz(func(t *testing.T, content, order string) {
		p := &Payment{Order: []byte(order), Amount: sum(t, "300.0"), Currency: "THB"}
		c, err := ParseContent(content)
		if err != nil {
			return
		}
		got, err := c.Code(p)
		if (got == Code{}) == (err == nil) {
			t.Fatalf("%q over %q gave %+v, %v", content, order, got, err)
		}
		if err != nil {
			return
		}
		if _, err := ParseObject(p.Order); err != nil || got.Text == "" {
			t.Fatalf("%q over %q gave %+v", content, order, got)
		}
		if payload := LooksLikePayload(got.Text); payload != (got.Kind == ThaiQR) || payload && CheckPayload(got.Text, p.Amount, p.Currency) != nil {
			t.Errorf("%q is %s", got.Text, got.Kind)
		}
		if got.Kind == ThaiQR && !strings.Contains(content, "{{") {
			t.Errorf("%q was put together", got.Text)
		}
	})
}
