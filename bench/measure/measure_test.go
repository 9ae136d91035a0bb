//go:build unix

package main

import (
	"testing"
	"time"

	"github.com/villapay/villapay/internal/order"
	"github.com/villapay/villapay/internal/secret"
	"github.com/villapay/villapay/internal/webhook"
)

// What villapay is measured with has to be what it takes.
func TestWhatIsSentIsTaken(t *testing.T) {
	t.Parallel()
	made, err := order.Decode([]byte(sample(7, time.Date(2025, 5, 30, 13, 56, 58, 833e6, time.UTC))))
	if err != nil || made.Failed() || made.Expiry != time.Hour || !made.Created.Equal(time.Date(2025, 5, 30, 13, 56, 58, 833e6, time.UTC)) {
		t.Errorf("%+v, %v", made, err)
	}
	p := order.Payment{BankOrderID: "o", Amount: made.Amount, Currency: made.Currency, Source: order.QR}
	if code, err := order.DecodeBankCode([]byte(sampleCode(7, "o", time.Now())), &p); err != nil || code.Text != samplePayload || code.Expiry != 10*time.Minute {
		t.Errorf("%+v, %v", code, err)
	}
	n, err := webhook.Decode([]byte(notification(made.ID)))
	if err == nil {
		err = webhook.Verify(n, secret.New(key))
	}
	if err != nil || n.OrderID != made.ID {
		t.Errorf("%+v, %v", n, err)
	}
}

func TestLowerQuartile(t *testing.T) {
	t.Parallel()
	got := quartile([]usage{{9, 1, 5}, {2, 4, 7}, {3, 3, 6}, {1, 2, 1}})
	if want := (usage{wall: 2, cpu: 2, peak: 7}); got != want {
		t.Errorf("%+v", got)
	}
}

func TestPipelines(t *testing.T) {
	t.Parallel()
	b := &bench{}
	u, err := b.run(pipeline{{"printf", "x"}, {"grep", "-q", "x"}})
	if err != nil || u.wall <= 0 || u.peak <= 0 {
		t.Errorf("%+v, %v", u, err)
	}
	if _, err := b.run(pipeline{{"true"}, {"false"}}); err == nil {
		t.Error("a failed command went unnoticed")
	}
}
