package cmd

import (
	"bytes"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/villapay/villapay/internal/order"
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
