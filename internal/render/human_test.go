package render

import (
	"strings"
	"testing"
	"time"

	"github.com/villapay/villapay/internal/order"
)

func TestAgoAndIn(t *testing.T) {
	t.Parallel()
	now := time.Date(2025, 5, 30, 20, 0, 0, 0, order.Bangkok)
	for _, c := range []struct {
		from time.Duration // t - now
		ago  string
		in   string
	}{
		{0, "just now", "now"},
		{-999 * time.Millisecond, "just now", "now"},
		{-time.Second, "1 second ago", "1 second ago"},
		{-119 * time.Second, "119 seconds ago", "119 seconds ago"},
		{-2 * time.Minute, "2 minutes ago", "2 minutes ago"},
		{-119*time.Minute - 59*time.Second, "119 minutes ago", "119 minutes ago"},
		{-2 * time.Hour, "2 hours ago", "2 hours ago"},
		{-47 * time.Hour, "47 hours ago", "47 hours ago"},
		{-48 * time.Hour, "2 days ago", "2 days ago"},
		{-61 * 24 * time.Hour, "2 months ago", "2 months ago"},
		{-800 * 24 * time.Hour, "2 years ago", "2 years ago"},
		{999 * time.Millisecond, "just now", "now"},
		{time.Second, "in 1 second", "in 1 second"},
		{58*time.Minute + 59*time.Second, "in 58 minutes", "in 58 minutes"},
	} {
		if got := Ago(now, now.Add(c.from)); got != c.ago {
			t.Errorf("Ago(%v) = %q, want %q", c.from, got, c.ago)
		}
		if got := In(now, now.Add(c.from)); got != c.in {
			t.Errorf("In(%v) = %q, want %q", c.from, got, c.in)
		}
	}
}

func TestWhen(t *testing.T) {
	t.Parallel()
	at := time.Date(2025, 5, 30, 13, 56, 58, 833e6, time.UTC)
	now := at.Add(2 * time.Minute)
	auckland := time.FixedZone("NZST", 12*60*60)
	for _, c := range []struct {
		name string
		s    Screen
		full bool
		want string
	}{
		{"no clock", Screen{}, true, "2025-05-30 20:56:58 +07"},
		{"humane", Screen{Now: now}, false, "2025-05-30 20:56:58 +07, 2 minutes ago"},
		{"local beside", Screen{Now: now, Local: time.UTC}, true, "2025-05-30 20:56:58 +07, 2 minutes ago (13:56:58 UTC here)"},
		{"local on another day", Screen{Now: now, Local: auckland}, true, "2025-05-30 20:56:58 +07, 2 minutes ago (2025-05-31 01:56:58 NZST here)"},
		{"local is Bangkok's", Screen{Now: now, Local: time.FixedZone("ICT", 7*60*60)}, true, "2025-05-30 20:56:58 +07, 2 minutes ago"},
		{"local not asked", Screen{Now: now, Local: time.UTC}, false, "2025-05-30 20:56:58 +07, 2 minutes ago"},
	} {
		if got := strings.ReplaceAll(c.s.when(at, c.full), noBreak, " "); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
	if got := Exact(at) + Exact(time.Time{}); got != "2025-05-30 20:56:58 +07" {
		t.Errorf("Exact = %q", got)
	}
	if got := FormatTime(at); got != "2025-05-30T20:56:58.833+07:00" {
		t.Errorf("FormatTime = %q", got)
	}
}

func TestMoney(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ amount, currency, want string }{
		{"300.0", "THB", "THB 300.00"},
		{"300", "THB", "THB 300.00"},
		{"74.125", "THB", "THB 74.125"},
		{"0.10", "", "0.10"},
		{"-5", "THB", "THB -5.00"},
		{"", "THB", ""},
		{"1000", "THB", "THB 1,000.00"},
		{"1000", "", "1,000.00"},
		{"999.9", "THB", "THB 999.90"},
		{"-999", "THB", "THB -999.00"},
		{"-1000", "THB", "THB -1,000.00"},
		{"1234567.5", "THB", "THB 1,234,567.50"},
		{"123456", "THB", "THB 123,456.00"},
		{"1234.5678", "THB", "THB 1,234.5678"},
	} {
		if got := Money(sum(t, c.amount), c.currency); got != c.want {
			t.Errorf("Money(%q, %q) = %q, want %q", c.amount, c.currency, got, c.want)
		}
	}
}

func sum(t *testing.T, text string) order.Amount {
	t.Helper()
	if text == "" {
		return order.Amount{}
	}
	amount, err := order.ParseAmount(text)
	if err != nil {
		t.Fatal(err)
	}
	return amount
}
