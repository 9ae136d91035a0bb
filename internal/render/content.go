package render

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"text/template"

	"github.com/villapay/villapay/internal/ledger"
	"github.com/villapay/villapay/internal/sanitize"
)

// Code is what a QR code holds, and what a scan of it gives.
type Code struct {
	Text    string // byte for byte what is encoded
	Caption string // one ASCII line for people, to stand beside the code
}

// Captions of codes that no bank app can pay, and of WeChat's.
const (
	CaptionReference = "order reference, not a payment code"
	CaptionPage      = "Opens the payment page"
	CaptionWeChat    = "Scan with WeChat"
)

// maxContent bounds what a qr_content template may write: far above what any
// code holds.
const maxContent = 64 << 10

// CheckContent refuses a qr_content that is no template, before anything is
// sent.
func CheckContent(tmpl string) error {
	_, err := parseContent(tmpl)
	return err
}

func parseContent(tmpl string) (*template.Template, error) {
	t, err := template.New("qr_content").Option("missingkey=error").Parse(tmpl)
	if err != nil {
		return nil, fmt.Errorf("qr_content: %s", strings.TrimPrefix(err.Error(), "template: "))
	}
	return t, nil
}

// Content is what the code of a payment holds: the qr_content template filled
// from the order's JSON, numbers with their digits. A field that the order lacks
// or has as null is an error that names it. A Thai QR payload (EMVCo, 000201…)
// is taken only whole, as a field of the order, and only if it parses, its
// checksum fits, and amount and currency are the order's: anything else is an
// error, so that no code is drawn which moves other money.
//
// Whether the payment may be shown at all (awaiting, unexpired, not replaced) is
// for the caller to know.
func Content(tmpl string, p ledger.Payment) (Code, error) {
	text, err := fill(tmpl, p.Order)
	if err != nil {
		return Code{}, err
	}
	if !strings.HasPrefix(text, payloadStart) {
		return Code{text, caption(text)}, nil
	}
	if !holds(p.Order, text) {
		return Code{}, errors.New("qr_content: the payment payload is not a field of the order; one put together here is never drawn")
	}
	if err := checkPayload(text, p.Amount, p.Currency); err != nil {
		return Code{}, fmt.Errorf("qr_content: the server's payment payload is wrong: %w", err)
	}
	app := "Scan with a bank app, "
	if strings.EqualFold(p.Currency, "THB") {
		app = "Scan with a bank app (Thai QR), "
	}
	return Code{text, app + Money(p.Amount, strings.ToUpper(p.Currency))}, nil
}

func fill(tmpl string, order json.RawMessage) (string, error) {
	t, err := parseContent(tmpl)
	if err != nil {
		return "", err
	}
	decoder := json.NewDecoder(bytes.NewReader(order))
	decoder.UseNumber()
	var fields map[string]any
	if !json.Valid(order) || decoder.Decode(&fields) != nil || fields == nil {
		return "", errors.New("qr_content: the payment has no order to take fields from")
	}
	out := limited{room: maxContent}
	if err := t.Execute(&out, fields); err != nil {
		if errors.Is(err, errTooMuch) {
			return "", fmt.Errorf("qr_content: %w", errTooMuch)
		}
		reason := err.Error()
		if _, at, ok := strings.Cut(reason, `executing "qr_content" at `); ok {
			reason = at
		}
		return "", fmt.Errorf("qr_content: the order does not fit it: %s", sanitize.Text(reason))
	}
	text := out.String()
	switch {
	case text == "":
		return "", fmt.Errorf("qr_content: %s gives nothing for this order", tmpl)
	case strings.Contains(text, "<no value>"): // text/template's word for null
		return "", fmt.Errorf("qr_content: a field of %s is null in this order", tmpl)
	}
	return text, nil
}

// limited is a buffer that refuses to grow beyond its room.
type limited struct {
	bytes.Buffer
	room int
}

var errTooMuch = errors.New("the text is far too long for a code")

func (l *limited) Write(p []byte) (int, error) {
	if l.Len()+len(p) > l.room {
		return 0, errTooMuch
	}
	return l.Buffer.Write(p)
}

// holds tells whether text is, whole, a string somewhere in the order.
func holds(order json.RawMessage, text string) bool {
	decoder := json.NewDecoder(bytes.NewReader(order))
	for {
		token, err := decoder.Token()
		if err != nil {
			return false
		}
		if value, ok := token.(string); ok && value == text {
			return true
		}
	}
}

// caption says what a scan of a text gives that is no bank payload.
func caption(text string) string {
	u, err := url.Parse(text)
	if err != nil {
		return CaptionReference
	}
	host := strings.ToLower(u.Hostname())
	switch {
	case u.Scheme == "weixin":
		return CaptionWeChat
	case (u.Scheme != "http" && u.Scheme != "https") || host == "":
		return CaptionReference
	case within(host, "wx.tenpay.com"), within(host, "wechat.com"), within(host, "weixin.qq.com"):
		return CaptionWeChat
	}
	return CaptionPage
}

// within tells whether a host is a domain or one below it.
func within(host, domain string) bool {
	return host == domain || strings.HasSuffix(host, "."+domain)
}
