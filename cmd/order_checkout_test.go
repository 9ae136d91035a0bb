package cmd

import (
	"bytes"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/villapay/villapay/internal/config"
	"github.com/villapay/villapay/internal/order"
	"github.com/villapay/villapay/internal/payment"
)

// The address of a page that a phone can reach is drawn as a code, with its caption.
func TestAnInvitationToThePage(t *testing.T) {
	t.Parallel()
	var stdout, stderr bytes.Buffer
	a := newApp(&Program{
		Out: &stdout, Err: &stderr, OutTTY: true, Now: time.Now,
		LookupEnv: func(string) (string, bool) { return "", false }, Size: func() (int, int) { return 80, 40 },
	}, nil)
	amount, err := order.ParseAmount("300.0")
	if err != nil {
		t.Fatal(err)
	}
	open := order.Payment{OrderID: "4925", Amount: amount, Currency: "THB", ExpiresAt: time.Date(2026, 11, 23, 1, 2, 3, 0, order.Bangkok)}
	c := &orderCheckout{app: a, noBrowser: true}
	c.invite(t.Context(), "http://192.0.2.1:1/x/", &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 1}, open)
	if caption, code, _ := strings.Cut(stdout.String(), "\n"); caption != "Opens the payment page: 4925, THB 300.00, until 01:02:03" || len(code) < 500 {
		t.Errorf("%s", stdout.String())
	}
}

// Whether the page shows a code is decided by the ledger's clock, not this machine's.
func TestThePageGoesByTheLedgersClock(t *testing.T) {
	t.Parallel()
	now := time.Now()
	a := newApp(&Program{
		Now:       func() time.Time { return now.Add(2 * time.Hour) },
		LookupEnv: func(string) (string, bool) { return "", false },
	}, nil)
	amount, err := order.ParseAmount("300.0")
	if err != nil {
		t.Fatal(err)
	}
	open := order.Payment{
		OrderID: "4925", BankOrderID: "order_1", Order: []byte("{}"), State: order.Awaiting, Amount: amount, Currency: "THB",
		Held: &order.Held{ID: "qr_1", Kind: order.ThaiQR, Text: "00", Life: order.Life{HeldUntil: now.Add(time.Minute)}},
	}
	c := &orderCheckout{app: a}
	// Without a living code, it would need the bank's widget, which has no address here.
	if _, err := c.page(&config.Config{}, &payment.Service{Now: func() time.Time { return now }}, open, &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1}); err != nil {
		t.Error(err)
	}
}
