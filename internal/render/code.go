package render

import (
	"strings"
	"time"

	"github.com/villapay/villapay/internal/order"
)

// Code is what a QR code holds, and what a scan of it gives.
type Code struct {
	Text    string // byte for byte what is encoded
	Caption string // one ASCII line for people, to stand beside the code
}

// NewCode captions the code of a payment: what scans it, order, amount and until
// when it can be paid (zero: not stated).
func NewCode(code order.Code, p order.Payment, until time.Time) Code {
	what := map[order.Kind]string{
		order.ThaiQR:     "Scan with a bank app (Thai QR)",
		order.WeChatCode: "Scan with WeChat",
		order.Page:       "Opens the payment page",
		order.Reference:  "Order reference, not a payment code",
	}[code.Kind]
	parts := []string{p.OrderID, Money(p.Amount, strings.ToUpper(p.Currency))}
	if !until.IsZero() {
		parts = append(parts, "until "+until.In(order.Bangkok).Format("15:04:05"))
	}
	return Code{code.Text, what + ": " + strings.Join(parts, ", ")}
}
