package webhook

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

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
func record(t testing.TB, l *ledger.Ledger, orderID, bankOrderID, amount string) {
	t.Helper()
	claim, err := l.Claim(t.Context(), ledger.ClaimRequest{Scope: scope, Env: "dev", OrderID: orderID, Source: order.QR, Key: "key-" + orderID})
	if err != nil {
		t.Fatal(err)
	}
	made, err := order.Decode(fmt.Appendf(nil, `{"id":%q,"object":"order","amount":%s,"currency":"THB","status":"success","livemode":false,"reference_order":"%s.1"}`, bankOrderID, amount, orderID))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.RecordOrder(t.Context(), claim, made, ledger.Answer{Attempts: 1}); err != nil {
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

// signed is a notification about a bank order, correctly signed.
func signed(t testing.TB, id, bankOrderID, amount, state string) string {
	t.Helper()
	body, err := Sign(fmt.Appendf(nil, `{"id":%q,"order_id":%q,"amount":%s,"currency":"THB","status":"success","transaction_state":%q,"livemode":false}`, id, bankOrderID, amount, state), exampleKey())
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

// Every genuine notification is kept and answered with 200, whatever it changes.
func TestWhatTheLedgerMakesOfNotifications(t *testing.T) {
	t.Parallel()
	paid := signed(t, "chrg_test_1", "order_test_1", "300.0", "Authorized")
	on := func(bankOrderID string) string { return strings.Replace(paid, "order_test_1", bankOrderID, 1) }
	state := func(state string) string { return signed(t, "chrg_test_1", "order_test_1", "300.0", state) }
	for name, test := range map[string]struct {
		sent  []string
		state order.State // of order 4925; 4926 awaits
		each  string      // event: n new, r repeat, u unknown order; ! with warnings; - rejected
	}{
		"paid":                         {[]string{paid}, order.Paid, "n"},
		"paid, before its order":       {[]string{paid}, order.Paid, "u"},
		"repeated":                     {[]string{paid, paid, paid}, order.Paid, "nrr"},
		"forged":                       {[]string{strings.Replace(paid, "chrg_test_1", "chrg_test_2", 1)}, order.Awaiting, "-"},
		"re-aimed at nothing, first":   {[]string{on("order_test_9"), paid}, order.Paid, "un"},
		"re-aimed at nothing, later":   {[]string{paid, on("order_test_9")}, order.Paid, "nu"},
		"re-aimed at another, later":   {[]string{paid, on("order_test_2")}, order.Paid, "nn!"},
		"re-aimed at another's sum":    {[]string{on("order_test_3"), paid}, order.Paid, "n!n"},
		"by its reference":             {[]string{strings.Replace(paid, `"order_id":"order_test_1"`, `"reference_order":"4925.1"`, 1)}, order.Paid, "n"},
		"by its reference, as order":   {[]string{on("4925.1")}, order.Paid, "n"},
		"by both, as they come":        {[]string{on(`order_test_1","reference_order":"4925.1`), paid}, order.Paid, "nn"},
		"another amount":               {[]string{signed(t, "chrg_test_1", "order_test_1", "299.0", "Authorized")}, order.Awaiting, "n!"},
		"livemode flipped":             {[]string{strings.Replace(paid, "false", "true", 1)}, order.Awaiting, "n!"},
		"livemode unreadable":          {[]string{strings.Replace(paid, "false", "[]", 1)}, order.Awaiting, "n!"},
		"a state nobody knows":         {[]string{state("Teleported")}, order.Awaiting, "n"},
		"the bank's typo":              {[]string{signed(t, "chrg_test_1", "order_test_1", "300.00", "Auhtorized")}, order.Paid, "n"},
		"a refund that failed":         {[]string{paid, state("Refund Failed")}, order.Paid, "nn!"},
		"in order":                     {[]string{paid, state("Voided")}, order.Cancelled, "nn"},
		"reordered":                    {[]string{state("Voided"), paid}, order.Cancelled, "nn"},
		"declined, then another card":  {[]string{state("Declined"), signed(t, "chrg_test_2", "order_test_1", "300.0", "Settled")}, order.Paid, "nn"},
		"paid, a late decline of else": {[]string{paid, signed(t, "chrg_test_2", "order_test_1", "300.0", "Declined")}, order.Paid, "nn"},
		"an order that is not here":    {[]string{on("order_test_9")}, order.Awaiting, "u"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			opened := openLedger(t, t.TempDir())
			late := strings.HasSuffix(name, "before its order")
			if !late {
				record(t, opened, "4925", "order_test_1", "300.0")
			}
			record(t, opened, "4926", "order_test_2", "300.0")
			record(t, opened, "4927", "order_test_3", "900.0")
			each := ""
			l := listening(opened)
			l.Each = func(e Event) error {
				switch {
				case e.Recorded.Repeat:
					each += "r"
				case e.Recorded.Unknown:
					each += "u"
				default:
					each += "n"
				}
				if len(e.Recorded.Warnings) > 0 {
					each += "!"
				}
				return nil
			}
			for i, body := range test.sent {
				if resp := post(l, body); resp.StatusCode == http.StatusBadRequest {
					each += "-"
				} else if resp.StatusCode != http.StatusOK {
					t.Errorf("notification %d: %s", i+1, resp.Status)
				}
			}
			if late {
				record(t, opened, "4925", "order_test_1", "300.0")
			}
			if p := payment(t, opened, "4925"); p.State != test.state || each != test.each {
				t.Errorf("the payment is %s (%v), events %q", p.State, p.Warnings, each)
			}
			for _, other := range []string{"4926", "4927"} {
				if p := payment(t, opened, other); p.State != order.Awaiting {
					t.Errorf("order %s is %s", other, p.State)
				}
			}
		})
	}
}

// A captured notification that comes first with another order's id takes the
// charge only until the API says whose it is. The genuine one that loses meanwhile
// is kept, and counts from then on.
func TestACapturedNotificationLosesToTheAPI(t *testing.T) {
	t.Parallel()
	opened := openLedger(t, t.TempDir())
	record(t, opened, "4925", "order_test_1", "300.0")
	record(t, opened, "4926", "order_test_2", "300.0")
	l := listening(opened)
	paid := signed(t, "chrg_test_1", "order_test_1", "300.0", "Authorized")
	for _, body := range []string{strings.Replace(paid, "order_test_1", "order_test_2", 1), paid} {
		if resp := post(l, body); resp.StatusCode != http.StatusOK {
			t.Error(resp.Status)
		}
	}
	if p, q := payment(t, opened, "4925"), payment(t, opened, "4926"); p.State != order.Awaiting || !p.Warned("charge_order") || q.State != order.Paid {
		t.Errorf("at first %s (%v) and %s", p.State, p.Warnings, q.State)
	}
	status, err := order.ParseStatus([]byte(`{"id":"chrg_test_1","status":"success","transaction_state":"Authorized"}`), "4925", nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := opened.RecordAnswer(t.Context(), scope, ledger.Asked{OrderID: "4925", Status: status, From: order.FromAPI}); err != nil {
		t.Fatal(err)
	}
	if p, q := payment(t, opened, "4925"), payment(t, opened, "4926"); p.State != order.Paid || p.Warned("charge_order") || q.State != order.Awaiting || !q.Warned("charge_order") {
		t.Errorf("then %s (%v) and %s (%v)", p.State, p.Warnings, q.State, q.Warnings)
	}
}

// One signed text is one charge's, also if two cuts of it come at once.
func TestOneSignedTextPaysOnce(t *testing.T) {
	t.Parallel()
	opened := openLedger(t, t.TempDir())
	record(t, opened, "4925", "order_test_1", "300.0")
	record(t, opened, "4926", "order_test_2", "5300.0")
	l := listening(opened)
	genuine := signed(t, "chrg_5", "order_test_1", "300.0", "Authorized")
	recut := strings.NewReplacer("chrg_5", "chrg_", "300.0", "5300.0", "order_test_1", "order_test_2").Replace(genuine)
	var sending sync.WaitGroup
	for _, body := range []string{genuine, recut} {
		sending.Go(func() {
			if resp := post(l, body); resp.StatusCode != http.StatusOK {
				t.Error(resp.Status)
			}
		})
	}
	sending.Wait()
	if p, q := payment(t, opened, "4925").State, payment(t, opened, "4926").State; (p == order.Paid) == (q == order.Paid) {
		t.Errorf("%s and %s", p, q)
	}
}

// slowToReturn is a ledger that keeps its first caller waiting after it has recorded.
type slowToReturn struct {
	*ledger.Ledger
	later    atomic.Bool   // it is not the first caller
	recorded chan struct{} // closed then
	goOn     chan struct{}
}

func (s *slowToReturn) RecordReport(ctx context.Context, scope string, r order.Report, beside ...order.Report) (ledger.Recorded, error) {
	done, err := s.Ledger.RecordReport(ctx, scope, r, beside...)
	if !s.later.Swap(true) {
		close(s.recorded)
		<-s.goOn
	}
	return done, err
}

// The last event passed on has the payment's last state, in whichever order the events
// are passed on.
func TestEventsThatOvertake(t *testing.T) {
	t.Parallel()
	opened := openLedger(t, t.TempDir())
	record(t, opened, "4925", "order_test_1", "300.0")
	slow := &slowToReturn{Ledger: opened, recorded: make(chan struct{}), goOn: make(chan struct{})}
	l := listening(slow)
	l.Scope = scope
	var events []string
	l.Each = func(e Event) error {
		events = append(events, e.Notification.TransactionState+": "+string(e.Recorded.Payment.State))
		return nil
	}
	var first sync.WaitGroup
	first.Go(func() {
		if resp := post(l, signed(t, "chrg_test_1", "order_test_1", "300.0", "Authorized")); resp.StatusCode != http.StatusOK {
			t.Error(resp.Status)
		}
	})
	<-slow.recorded
	if resp := post(l, signed(t, "chrg_test_1", "order_test_1", "300.0", "Voided")); resp.StatusCode != http.StatusOK {
		t.Error(resp.Status)
	}
	close(slow.goOn)
	first.Wait()
	if diff := cmp.Diff([]string{"Voided: cancelled", "Authorized: cancelled"}, events); diff != "" {
		t.Error(diff)
	}
}

// A notification is not acknowledged if the ledger's file was moved or replaced.
func TestAMovedLedgerTakesNothing(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("Windows does not let an open file be moved")
	}
	for name, move := range map[string]func(path string) error{
		"moved":   func(path string) error { return os.Rename(path, path+".old") },
		"removed": os.Remove,
		"replaced": func(path string) error {
			return errors.Join(os.Rename(path, path+".old"), os.WriteFile(path, nil, 0o600))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			opened := openLedger(t, dir)
			l := listening(opened)
			l.Ready = opened.Writable
			if resp := post(l, example); resp.StatusCode != http.StatusOK {
				t.Fatal(resp.Status)
			}
			if err := move(filepath.Join(dir, "ledger.db")); err != nil {
				t.Fatal(err)
			}
			l.Each = func(e Event) error {
				t.Errorf("an event: %+v", e)
				return nil
			}
			for _, body := range []string{example, signed(t, "chrg_test_2", "order_test_2", "300.0", "Authorized")} {
				if resp := post(l, body); resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") == "" {
					t.Error(resp.Status)
				}
			}
			answer := httptest.NewRecorder()
			if l.ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/healthz", nil)); answer.Code != http.StatusServiceUnavailable {
				t.Errorf("healthy: %d", answer.Code)
			}
		})
	}
}

// TestTwoThousandEventsAtOnce sends what a busy second brings: every event is
// answered with 200, is passed on once, and is in the ledger that another process
// opens.
func TestTwoThousandEventsAtOnce(t *testing.T) {
	t.Parallel()
	const events, clients = 2000, 64
	dir := t.TempDir()
	for _, repeat := range []bool{false, true} {
		l := listening(openLedger(t, dir))
		each := map[string]int{}
		l.Each = func(e Event) error {
			if each[e.Notification.ID]++; e.Recorded.Repeat != repeat {
				t.Errorf("%s: repeat %t", e.Notification.ID, e.Recorded.Repeat)
			}
			return nil
		}
		server := httptest.NewServer(l)
		flood(t, server.URL+"/notify", events, clients)
		server.Close()
		for i := range events {
			if id := fmt.Sprintf("chrg_test_%d", i); each[id] != 1 {
				t.Errorf("%d events of %s", each[id], id)
			}
		}
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
