package order

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"
)

// Kind says what a scan of a code gives.
type Kind string

// The kinds of codes.
const (
	ThaiQR     Kind = "thai_qr"   // a payload that bank apps pay
	WeChatCode Kind = "wechat"    // an address that WeChat pays
	Page       Kind = "page"      // the address of a web page
	Reference  Kind = "reference" // a text that nothing pays
)

// Code is what a QR code holds.
type Code struct {
	Kind Kind
	Text string // byte for byte what is encoded
}

// Content is a parsed qr_content: text with {{.field}} or {{.field.sub}} of the
// order, and nothing else.
type Content struct{ parts []part }

// part is a text, or the path of a field.
type part struct {
	text string
	path []string
}

// ParseContent reads a qr_content setting.
func ParseContent(text string) (c Content, _ error) {
	for rest := text; rest != ""; {
		before, after, found := strings.Cut(rest, "{{")
		if before != "" {
			c.parts = append(c.parts, part{text: before})
		}
		if !found {
			break
		}
		inner, more, closed := strings.Cut(after, "}}")
		path := strings.Split(strings.TrimSpace(inner), ".")
		if !closed || len(path) < 2 || path[0] != "" || strings.ContainsAny(inner, "{}\"'`|()") || slices.ContainsFunc(path[1:], isBroken) {
			return Content{}, fmt.Errorf("%.40q is not {{.field}} or {{.field.sub}}", "{{"+after)
		}
		c.parts = append(c.parts, part{path: path[1:]})
		rest = more
	}
	if strings.TrimSpace(text) == "" {
		return Content{}, errors.New("it is empty: there would be no code to draw")
	}
	return c, nil
}

// isBroken reports whether a name in a path is empty or has blanks around it.
func isBroken(name string) bool { return name == "" || strings.TrimSpace(name) != name }

// Code is what the code of a payment holds: the content filled from the order's
// JSON, numbers with their digits. A field that the order lacks or has as null is
// an error that names it. A Thai QR payload is taken only whole, as a field of
// the order, and only if [CheckPayload] accepts it: no code is drawn that moves
// other money. Whether it may be shown at all is for [Payment.Payable] to say.
func (c Content) Code(p *Payment) (Code, error) {
	text, err := c.fill(p.Order)
	if err != nil {
		return Code{}, fmt.Errorf("qr_content: %w", err)
	}
	if !LooksLikePayload(text) {
		return Code{kindOf(text), text}, nil
	}
	if len(c.parts) != 1 || c.parts[0].path == nil {
		return Code{}, errors.New("qr_content: a payment payload must be one field of the order; villapay never draws one that it put together")
	}
	if err := CheckPayload(text, p.Amount, p.Currency); err != nil {
		return Code{}, fmt.Errorf("qr_content: the server's payment payload is wrong: %w", err)
	}
	return Code{ThaiQR, text}, nil
}

func (c Content) fill(order json.RawMessage) (string, error) {
	fields, err := ParseObject(order)
	if err != nil {
		return "", errors.New("the payment has no order to take fields from")
	}
	var out strings.Builder
	for _, part := range c.parts {
		value := part.text
		if part.path != nil {
			if value, err = fields.lookup(part.path); err != nil {
				return "", err
			}
		}
		out.WriteString(value)
	}
	if out.Len() == 0 {
		return "", errors.New("it is empty for this order")
	}
	return out.String(), nil
}

// lookup follows the path of a field to a text, number or boolean.
func (o Object) lookup(path []string) (string, error) {
	name := "." + strings.Join(path, ".")
	for len(path) > 1 {
		inner, err := ParseObject(o[path[0]])
		if err != nil {
			return "", fmt.Errorf("the order has no field %s", name)
		}
		o, path = inner, path[1:]
	}
	switch raw := bytes.TrimSpace(o[path[0]]); {
	case len(raw) == 0:
		return "", fmt.Errorf("the order has no field %s", name)
	case string(raw) == "null":
		return "", fmt.Errorf("the order's field %s is null", name)
	case raw[0] == '{' || raw[0] == '[':
		return "", fmt.Errorf("the order's field %s is not a text or number", name)
	}
	return o.Text(path[0]), nil
}

// kindOf says what a scan of a text gives that is no payload.
func kindOf(text string) Kind {
	u, err := url.Parse(text)
	if err != nil {
		return Reference
	}
	host := strings.ToLower(u.Hostname())
	switch {
	case u.Scheme == "weixin":
		return WeChatCode
	case u.Scheme != "http" && u.Scheme != "https" || host == "":
		return Reference
	case within(host, "wx.tenpay.com"), within(host, "wechat.com"), within(host, "weixin.qq.com"):
		return WeChatCode
	}
	return Page
}

// within reports whether a host is a domain or one below it.
func within(host, domain string) bool {
	return host == domain || strings.HasSuffix(host, "."+domain)
}

// LooksLikePayload reports whether a bank app could take a text for a payment
// payload: its letters and digits begin like one, whatever stands before them.
func LooksLikePayload(text string) bool {
	first := strings.IndexFunc(text, func(r rune) bool { return r < utf8.RuneSelf && isID(string(r)) })
	return first >= 0 && strings.HasPrefix(text[first:], payloadStart)
}
