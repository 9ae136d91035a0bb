package order

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// Held is what a payer may have been shown to pay a payment with: a code that the
// bank drew, or a page with the bank's widget.
type Held struct {
	ID       string // the bank's, qr_…; "" for a page
	Kind     Kind   // ThaiQR, WeChatCode or Page
	Text     string // what the code holds; "" for a page
	Life            // zero times: as long as its order
	Canceled bool   // the bank confirmed it
	// Canceling says that the bank was asked to cancel it and has not answered yet:
	// somebody may still pay with it, and nobody is shown it.
	Canceling bool
}

// holds reports whether somebody may still pay with it.
func (h *Held) holds(now time.Time) bool {
	return h != nil && !h.Canceled && (h.HeldUntil.IsZero() || now.Before(h.HeldUntil))
}

// shows reports whether its time to be shown for paying is not over.
func (h *Held) shows(now time.Time) bool { return h.ShownUntil.IsZero() || now.Before(h.ShownUntil) }

// LivingCode is the bank's recorded code, if it may be shown for paying at a
// time; else nil.
func (p *Payment) LivingCode(now time.Time) *Held {
	h := p.Held
	if h == nil || h.Text == "" || h.Canceling || !h.holds(now) || !h.shows(now) || p.Payable(now) != nil {
		return nil
	}
	return h
}

// CodeWithdrawn reports whether the code was canceled, or is being canceled, though its
// time to be shown is not over.
func (p *Payment) CodeWithdrawn(now time.Time) bool {
	return p.Held != nil && (p.Held.Canceled || p.Held.Canceling) && p.Held.shows(now)
}

// HoldsCode reports whether somebody may still pay with a code or page that was
// shown for this payment.
func (p *Payment) HoldsCode(now time.Time) bool { return p.Held.holds(now) }

// MayBePaid reports whether somebody may still pay it: it is open, has not lapsed, and
// the bank has not canceled its code.
func (p *Payment) MayBePaid(now time.Time) bool {
	return p.State.Open() && !p.Lapsed(now) && (p.Held == nil || !p.Held.Canceled)
}

// MayBePaidUntil is when an order with an expiry has lapsed for certain: the order
// itself, and the code of it that somebody may hold.
func (p *Payment) MayBePaidUntil(now time.Time) time.Time {
	if p.HoldsCode(now) && p.Held.HeldUntil.After(p.HeldUntil) {
		return p.Held.HeldUntil
	}
	return p.HeldUntil
}

// codeLife is how long a code of the bank is shown that states no life.
const codeLife = 10 * time.Minute

// BankCode is the bank's answer to the request for a code.
type BankCode struct {
	ID       string
	Kind     Kind
	Text     string
	Livemode *bool // nil if it does not say
	Created  time.Time
	Expiry   time.Duration // 0 if it states none

	RequestID string    // of the answer, as is Date
	Date      time.Time // the Date header; zero if there is none
}

// ErrNoText says that the bank's answer holds no code that could be shown, and
// canceled.
var ErrNoText = errors.New("the bank's answer holds no code (paint_text) with an id")

// pathSegment reports whether an ID can stand in the path of a URL: it is printable
// ASCII without what separates or escapes there, and neither "." nor "..".
func pathSegment(id string) bool {
	return len(id) <= maxCodeID && strings.Trim(id, ".") != "" &&
		!strings.ContainsFunc(id, func(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune(`/\?#%;`, r) })
}

// maxCodeID is how long the ID of a code may be, in bytes.
const maxCodeID = 255

// DecodeBankCode reads and checks the bank's answer to the request for a payment's
// code. It fails with ErrNoText for an answer without a code, and otherwise if the
// code is another order's, would move other money, or could not be canceled.
func DecodeBankCode(body []byte, p *Payment) (*BankCode, error) {
	fields, err := ParseObject(body)
	if err != nil {
		return nil, fmt.Errorf("%w: it %w", ErrNoText, err)
	}
	c := &BankCode{
		ID: fields.Text("id"), Text: fields.Text("paint_text"), Livemode: fields.Flag("livemode"), Created: ParseCreated(fields.Text("created")),
	}
	c.Expiry, _ = fields.expiry()
	status := fields.Text("status")
	switch {
	case fields.FailureCode() != "":
		return nil, fmt.Errorf("the bank made no code: %s", strings.TrimSpace(fields.Text("failure_code")+" "+fields.Text("failure_message")))
	case status != "" && !strings.EqualFold(status, "success"):
		return nil, fmt.Errorf("the bank made no code: its status is %q", status)
	case c.Text == "" || c.ID == "":
		return nil, ErrNoText
	case !pathSegment(c.ID):
		return nil, fmt.Errorf("the bank's code has the id %q, with which it could not be canceled", c.ID)
	case fields.Text("order_id") != p.BankOrderID:
		return nil, fmt.Errorf("the bank's code is for order %q, not %s", fields.Text("order_id"), p.BankOrderID)
	case c.Livemode != nil && p.livemode() != nil && *c.Livemode != *p.livemode():
		return nil, fmt.Errorf("the livemode of the bank's code is %t, the order's %t", *c.Livemode, *p.livemode())
	}
	if p.Source == WeChat {
		if LooksLikePayload(c.Text) {
			return nil, errors.New("the bank's WeChat code is a Thai QR payload")
		}
		c.Kind = WeChatCode
		return c, nil
	}
	c.Kind = ThaiQR
	if err := CheckPayload(c.Text, p.Amount, p.Currency); err != nil {
		return nil, fmt.Errorf("the bank's payment code is wrong: %w", err)
	}
	return c, nil
}

// Hold is the code as it is recorded for a payment. The drawing bound is cut to
// the order's. A code without a stated life is held as long as its order.
func (c *BankCode) Hold(p *Payment, a Answered) *Held {
	h := &Held{ID: c.ID, Kind: c.Kind, Text: c.Text}
	if c.Expiry > 0 {
		h.Life, _ = NewLife(c.Created, c.Expiry, a)
	} else {
		h.ShownUntil, h.HeldUntil = a.Received.Add(codeLife), p.HeldUntil
	}
	if !p.ExpiresAt.IsZero() && p.ExpiresAt.Before(h.ShownUntil) {
		h.ShownUntil = p.ExpiresAt
	}
	return h
}

// HoldPage is a served page with the bank's widget, held as long as its order.
func (p *Payment) HoldPage() *Held {
	return &Held{Kind: Page, Life: Life{ShownUntil: p.ExpiresAt, HeldUntil: p.HeldUntil}}
}

// Code is what a payment's code holds at a time: the bank's living code if there
// is one, else what qr_content says. A page's address is no code while a code of
// the bank's may still be paid.
func (p *Payment) Code(content string, now time.Time) (Code, time.Time, error) {
	if h := p.LivingCode(now); h != nil {
		return Code{h.Kind, h.Text}, h.ShownUntil, nil
	}
	c, err := ParseContent(content)
	if err != nil {
		return Code{}, time.Time{}, fmt.Errorf("qr_content: %w", err)
	}
	code, err := c.Code(p)
	if err == nil && code.Kind != Reference && p.HoldsCode(now) && p.Held.Text != "" {
		err = errors.New("the bank's earlier code may still be paid; no other one is shown beside it")
	}
	return code, p.ExpiresAt, err
}
