package ledger

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/villapay/villapay/internal/order"
	"github.com/villapay/villapay/internal/secret"
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

var schemas atomic.Int64

// adminDSN is the PostgreSQL that tests may use, "" where there is none.
func adminDSN(t testing.TB) string {
	dsn := os.Getenv("VILLAPAY_TEST_POSTGRES")
	if dsn == "" {
		t.Skip("VILLAPAY_TEST_POSTGRES names no PostgreSQL server")
	}
	return dsn
}

// freshSchema makes an empty schema on the PostgreSQL server and returns the URL
// that leads there.
func freshSchema(t testing.TB) string {
	dsn := adminDSN(t)
	schema := fmt.Sprintf("villapay_test_%d_%d_%d", os.Getpid(), time.Now().UnixNano(), schemas.Add(1))
	admin, err := openPostgresDB(t, dsn)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := admin.Exec("CREATE SCHEMA " + schema); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_, _ = admin.Exec("DROP SCHEMA " + schema + " CASCADE")
		_ = admin.Close()
	})
	separator := "?"
	if strings.Contains(dsn, "?") {
		separator = "&"
	}
	return dsn + separator + "search_path=" + url.QueryEscape(schema)
}

func sqlitePlace(t testing.TB) *place {
	return &place{dsn: "sqlite", dir: t.TempDir(), clock: newClock()}
}

func postgresPlace(t testing.TB) *place {
	return &place{dsn: freshSchema(t), dir: t.TempDir(), clock: newClock()}
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

// ask is a request with a fresh key.
func ask(orderID string) ClaimRequest {
	return ClaimRequest{Scope: scope, Env: "dev", OrderID: orderID, Source: order.QR, Key: fmt.Sprintf("key-%d", keys.Add(1))}
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

// testOrder is an order as the API sends it; fields override.
func testOrder(t testing.TB, id string, fields ...string) *order.Order {
	t.Helper()
	order := orderFor(id, fields...)
	if order == nil {
		t.Fatal("not an order:", id, fields)
	}
	return order
}

func orderFor(id string, fields ...string) *order.Order {
	body := `{"id":"` + id + `","object":"order","amount":300.0,"currency":"THB","status":"success","livemode":false,"expire_time_seconds":3600` +
		strings.Join(append([]string{""}, fields...), ",") + `}`
	order, _ := order.Decode([]byte(body))
	return order
}

func (l *Ledger) mustRecord(t testing.TB, c Claim, order *order.Order) Payment {
	t.Helper()
	p, err := l.RecordOrder(context.Background(), c, order, RecordedAnswer{Attempts: 1, RequestID: "req-" + order.ID})
	if err != nil {
		t.Fatal(err)
	}
	return p
}
