package webhook

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/villapay/villapay/internal/ledger"
	"github.com/villapay/villapay/internal/order"
	"github.com/villapay/villapay/internal/secret"
)

// openLedger opens the SQLite ledger of a directory.
func openLedger(t testing.TB, dir string) *ledger.Ledger {
	t.Helper()
	l, err := ledger.Open(context.Background(), secret.New("sqlite"), dir, "test", time.Now)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

// record records the payment of an order as `pay qr` does.
func record(t testing.TB, l *ledger.Ledger, orderID, bankID string) {
	t.Helper()
	claim, err := l.Claim(t.Context(), ledger.ClaimRequest{Scope: scope, Env: "dev", OrderID: orderID, Source: order.QR, Key: "key-" + orderID})
	if err != nil {
		t.Fatal(err)
	}
	order, err := order.Decode([]byte(`{"id":"` + bankID + `","object":"order","amount":300.0,"currency":"THB","status":"success","livemode":false,"expire_time_seconds":3600}`))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.RecordOrder(t.Context(), claim, order, ledger.RecordedAnswer{Attempts: 1}); err != nil {
		t.Fatal(err)
	}
}

const scope = "https://api.example"

// payment is the one payment of an order.
func payment(t testing.TB, l *ledger.Ledger, orderID string) order.Payment {
	t.Helper()
	all, err := l.Payments(t.Context(), scope, orderID)
	if err != nil || len(all) != 1 {
		t.Fatalf("%d payments, %v", len(all), err)
	}
	return all[0]
}

// signed is a notification about order_test_1, rightly signed.
func signed(t testing.TB, id, bankID, money, state string) string {
	t.Helper()
	body, err := Sign(fmt.Appendf(nil, `{"id":%q,"order_id":%q,"amount":%s,"currency":"THB","status":"success","transaction_state":%q,"livemode":false}`, id, bankID, money, state), exampleKey())
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

func TestWhatTheLedgerMakesOfNotifications(t *testing.T) {
	t.Parallel()
	type sent struct {
		body   string
		status int
	}
	paid := signed(t, "chrg_test_1", "order_test_1", "300.0", "Authorized")
	for name, test := range map[string]struct {
		sent  []sent
		state order.State
		told  string // of each event: n new, r repeat, u unknown order; ! where there are warnings
	}{
		"paid":                         {[]sent{{paid, 200}}, order.Paid, "n"},
		"replayed":                     {[]sent{{paid, 200}, {paid, 200}, {paid, 200}}, order.Paid, "nrr"},
		"forged":                       {[]sent{{strings.Replace(paid, "chrg_test_1", "chrg_test_2", 1), 400}}, order.Awaiting, ""},
		"re-aimed":                     {[]sent{{signed(t, "chrg_test_1", "order_test_9", "300.0", "Authorized"), 200}, {paid, 400}}, order.Awaiting, "u"},
		"re-aimed after it was taken":  {[]sent{{paid, 200}, {strings.Replace(paid, "order_test_1", "order_test_2", 1), 400}}, order.Paid, "n"},
		"another amount":               {[]sent{{signed(t, "chrg_test_1", "order_test_1", "299.0", "Authorized"), 200}}, order.Awaiting, "n!"},
		"livemode turned":              {[]sent{{strings.Replace(paid, "false", "true", 1), 200}}, order.Awaiting, "n!"},
		"a state nobody knows":         {[]sent{{signed(t, "chrg_test_1", "order_test_1", "300.0", "Teleported"), 200}}, order.Awaiting, "n"},
		"the bank's typo":              {[]sent{{signed(t, "chrg_test_1", "order_test_1", "300.00", "Auhtorized"), 200}}, order.Paid, "n"},
		"in order":                     {[]sent{{paid, 200}, {signed(t, "chrg_test_1", "order_test_1", "300.0", "Voided"), 200}}, order.Cancelled, "nn"},
		"reordered":                    {[]sent{{signed(t, "chrg_test_1", "order_test_1", "300.0", "Voided"), 200}, {paid, 200}}, order.Cancelled, "nn"},
		"declined, then another card":  {[]sent{{signed(t, "chrg_test_1", "order_test_1", "300.0", "Declined"), 200}, {signed(t, "chrg_test_2", "order_test_1", "300.0", "Settled"), 200}}, order.Paid, "nn"},
		"paid, a late decline of else": {[]sent{{paid, 200}, {signed(t, "chrg_test_2", "order_test_1", "300.0", "Declined"), 200}}, order.Paid, "nn"},
		"an order that is not here":    {[]sent{{signed(t, "chrg_test_7", "order_test_7", "300.0", "Authorized"), 200}}, order.Awaiting, "u"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			book := openLedger(t, t.TempDir())
			record(t, book, "4925", "order_test_1")
			told := ""
			l := listening(book)
			l.Each = func(e Event) {
				switch {
				case e.Applied.Repeat:
					told += "r"
				case e.Applied.Unknown:
					told += "u"
				default:
					told += "n"
				}
				if len(e.Applied.Warnings) > 0 {
					told += "!"
				}
			}
			for i, s := range test.sent {
				if resp := post(l, s.body); resp.StatusCode != s.status {
					t.Errorf("notification %d: %s", i+1, resp.Status)
				}
			}
			if p := payment(t, book, "4925"); p.State != test.state || told != test.told {
				t.Errorf("the payment is %s (%v), told %q", p.State, p.Warnings, told)
			}
		})
	}
}

func TestAnEventWaitsForItsOrder(t *testing.T) {
	t.Parallel()
	book := openLedger(t, t.TempDir())
	l := listening(book)
	if resp := post(l, signed(t, "chrg_test_1", "order_test_1", "300.0", "Authorized")); resp.StatusCode != 200 {
		t.Fatal(resp.Status)
	}
	record(t, book, "4925", "order_test_1")
	if p := payment(t, book, "4925"); p.State != order.Paid || p.ChargeID != "chrg_test_1" || p.PaidBy != order.ByTransactionState {
		t.Errorf("%+v", p)
	}
}

// TestTwoThousandEventsAtOnce sends what a busy second brings: every event is
// answered with 200, is in the ledger, and is told once.
func TestTwoThousandEventsAtOnce(t *testing.T) {
	t.Parallel()
	const events, clients = 2000, 64
	dir := t.TempDir()
	book := openLedger(t, dir)
	l := listening(book)
	told := map[string]int{}
	l.Each = func(e Event) { told[e.Notification.ID]++ }
	server := httptest.NewServer(l)
	defer server.Close()
	took := flood(t, server.URL+"/notify", events, clients)
	t.Logf("%d events in %s: %.0f a second", events, took, events/took.Seconds())
	if len(told) != events {
		t.Errorf("told of %d events", len(told))
	}
	again := listening(openLedger(t, dir)) // what another process finds
	for i := range events {
		id := fmt.Sprintf("chrg_test_%d", i)
		if told[id] != 1 {
			t.Errorf("told of %s %d times", id, told[id])
		}
	}
	missing := 0
	again.Each = func(e Event) {
		if !e.Applied.Repeat {
			missing++
		}
	}
	for i := range events {
		post(again, signed(t, fmt.Sprintf("chrg_test_%d", i), fmt.Sprintf("order_test_%d", i), "300.0", "Authorized"))
	}
	if missing != 0 {
		t.Errorf("%d events are lost", missing)
	}
}

// flood posts events from many clients at once and returns how long it took.
func flood(t testing.TB, url string, events, clients int) time.Duration {
	t.Helper()
	bodies := make([]string, events)
	for i := range bodies {
		bodies[i] = signed(t, fmt.Sprintf("chrg_test_%d", i), fmt.Sprintf("order_test_%d", i), "300.0", "Authorized")
	}
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: clients}}
	defer client.CloseIdleConnections()
	var next atomic.Int64
	var sending sync.WaitGroup
	start := time.Now()
	for range clients {
		sending.Go(func() {
			for i := next.Add(1) - 1; i < int64(events); i = next.Add(1) - 1 {
				if status, err := Send(t.Context(), client, url, []byte(bodies[i])); err != nil || status != 200 {
					t.Errorf("event %d: %d, %v", i, status, err)
				}
			}
		})
	}
	sending.Wait()
	return time.Since(start)
}

func BenchmarkListener(b *testing.B) {
	l := listening(openLedger(b, b.TempDir()))
	server := httptest.NewServer(l)
	defer server.Close()
	b.ResetTimer()
	took := flood(b, server.URL+"/notify", b.N, 64)
	b.ReportMetric(float64(b.N)/took.Seconds(), "events/s")
}
