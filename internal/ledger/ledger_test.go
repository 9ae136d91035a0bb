package ledger

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/villapay/villapay/internal/order"
	"github.com/villapay/villapay/internal/secret"
	"github.com/villapay/villapay/internal/testpg"
)

const scope = "https://shop.example/api"

// clock is a machine's clock that a test sets.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func newClock() *clock { return &clock{at: time.Now()} }

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// place is where ledgers are opened: one database, several state directories.
type place struct {
	dsn   string
	dir   string
	clock *clock
}

func sqlitePlace(t testing.TB) *place {
	return &place{dsn: "sqlite", dir: t.TempDir(), clock: newClock()}
}

func postgresPlace(t testing.TB) *place { return postgresAt(t, testpg.Schema(t)) }

func postgresAt(t testing.TB, dsn string) *place {
	return &place{dsn: dsn, dir: t.TempDir(), clock: newClock()}
}

// both runs a test on both databases.
func both(t *testing.T, test func(t *testing.T, at *place)) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		test(t, sqlitePlace(t))
	})
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		test(t, postgresPlace(t))
	})
}

// open opens one more handle on a place, as another process would.
func (p *place) open(t testing.TB) *Ledger {
	t.Helper()
	return p.openIn(t, p.dir)
}

// openIn opens the place with another state directory, as another machine would.
func (p *place) openIn(t testing.TB, dir string) *Ledger {
	t.Helper()
	l, err := Open(t.Context(), secret.New(p.dsn), dir, "tester@host pid 1", p.clock.now)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

var keys atomic.Int64

// ask is a request with a fresh key, in which no search for an order or an amount finds
// its digits.
func ask(orderID string) ClaimRequest {
	number := strings.Map(func(digit rune) rune { return digit - '0' + 'a' }, fmt.Sprint(keys.Add(1)))
	return ClaimRequest{Scope: scope, Env: "dev", OrderID: orderID, Source: order.QR, Key: "key-" + number}
}

func (l *Ledger) mustClaim(t testing.TB, req ClaimRequest, want Verdict) Claim {
	t.Helper()
	c, err := l.Claim(context.Background(), req)
	if err != nil {
		t.Fatal(err)
	}
	if c.Verdict != want {
		t.Fatalf("verdict %d, want %d: %+v", c.Verdict, want, c.Payment)
	}
	return c
}

// testOrder is an order as the API sends it; fields such as `"amount":1` come
// instead of its own, or beside them.
func testOrder(t testing.TB, id string, fields ...string) *order.Order {
	t.Helper()
	made, err := orderFor(id, fields...)
	if err != nil {
		t.Fatal(id, fields, err)
	}
	return made
}

func orderFor(id string, fields ...string) (*order.Order, error) {
	for _, own := range []string{`"object":"order"`, `"amount":300.0`, `"currency":"THB"`, `"status":"success"`, `"livemode":false`, `"expire_time_seconds":3600`} {
		name, _, _ := strings.Cut(own, ":")
		if !slices.ContainsFunc(fields, func(field string) bool { return strings.HasPrefix(field, name+":") }) {
			fields = append(fields, own)
		}
	}
	return order.Decode([]byte(`{"id":"` + id + `",` + strings.Join(fields, ",") + `}`))
}

// Fields of an order that has lapsed for certain at once, and of one that is not
// shown any more, but may still be paid.
const (
	lapsed  = `"expire_time_seconds":0.000001`
	expired = `"created":"20200101000000000"`
)

func (l *Ledger) mustRecord(t testing.TB, c Claim, made *order.Order) order.Payment {
	t.Helper()
	p, err := l.RecordOrder(context.Background(), c, made, Answer{Attempts: 1, RequestID: "req-" + made.ID})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// awaiting makes an open payment of a Villa order, with the bank order
// "o"+orderID.
func (l *Ledger) awaiting(t testing.TB, orderID string, fields ...string) order.Payment {
	t.Helper()
	return l.mustRecord(t, l.mustClaim(t, ask(orderID), Claimed), testOrder(t, "o"+orderID, fields...))
}

// another makes a payment with --new.
func (l *Ledger) another(t testing.TB, orderID, bankOrderID string, fields ...string) order.Payment {
	t.Helper()
	req := ask(orderID)
	req.New, req.Asked = true, math.MaxInt64
	return l.mustRecord(t, l.mustClaim(t, req, Claimed), testOrder(t, bankOrderID, fields...))
}

// report is a notification that fits testOrder.
func report(chargeID, bankOrderID, state string) order.Report {
	test := false
	return order.Report{
		ChargeID: chargeID, BankOrderID: bankOrderID, Amount: amount("300.00"), Currency: "THB", Status: "success", TransactionState: state,
		Livemode: &test, From: order.FromWebhook, Raw: json.RawMessage(`{"id":"` + chargeID + `"}`),
	}
}

func amount(text string) order.Amount {
	a, err := order.ParseAmount(text)
	if err != nil {
		panic(err)
	}
	return a
}

func (l *Ledger) hear(t testing.TB, r order.Report) Recorded {
	t.Helper()
	done, err := l.RecordReport(context.Background(), scope, r)
	if err != nil {
		t.Fatal(err)
	}
	return done
}

// answer records what the status endpoint says about a Villa order.
func (l *Ledger) answer(t testing.TB, orderID, body string) {
	t.Helper()
	status, err := order.ParseStatus([]byte(body), orderID, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.RecordAnswer(context.Background(), scope, Asked{OrderID: orderID, Status: status, From: order.FromAPI, RequestID: "req-status"}); err != nil {
		t.Fatal(err)
	}
}

// of are the payments of a Villa order, newest first.
func (l *Ledger) of(t testing.TB, orderID string) []order.Payment {
	t.Helper()
	all, err := l.Payments(context.Background(), scope, orderID)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// fail records that a claim got no order.
func (l *Ledger) fail(t testing.TB, c Claim, state order.State) order.Payment {
	t.Helper()
	p, err := l.RecordFailure(context.Background(), c, state, order.Failure{Code: "boom", Message: "it broke", Status: 502, RequestID: "r9", Retryable: true}, 2)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func (l *Ledger) events(t testing.TB, id int64) []Event {
	t.Helper()
	events, err := l.Events(context.Background(), id)
	if err != nil {
		t.Fatal(err)
	}
	return events
}

// exec changes the database behind the ledger's back.
func (l *Ledger) exec(t testing.TB, statement string, args ...any) {
	t.Helper()
	err := l.store.write(context.Background(), opening{why: recordTx}, func(x *txn) error {
		return x.exec(statement, args...)
	})
	if err != nil {
		t.Fatal(err)
	}
}

func codes(warnings []order.Warning) string {
	var all []string
	for _, w := range warnings {
		all = append(all, w.Code)
	}
	return strings.Join(all, " ")
}

// count is a query's one number.
func (l *Ledger) count(t testing.TB, query string, args ...any) (n int) {
	t.Helper()
	n, err := scalar[int](l.read(context.Background(), query, args...))
	if err != nil {
		t.Fatal(err)
	}
	return n
}
