package ledger

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/villapay/villapay/internal/order"
)

func openPostgresDB(_ testing.TB, dsn string) (*sql.DB, error) {
	config, err := pgx.ParseConfig(dsn)
	if err != nil {
		return nil, err
	}
	return stdlib.OpenDB(*config), nil
}

// BenchmarkBatch is what `pay batch` does to the ledger: 32 workers that claim
// an order and record its answer.
func BenchmarkBatch(b *testing.B) {
	for name, at := range map[string]func(testing.TB) *place{"sqlite": sqlitePlace, "postgres": postgresPlace} {
		b.Run(name, func(b *testing.B) {
			l := at(b).open(b)
			var next atomic.Int64
			var group sync.WaitGroup
			b.ReportAllocs()
			b.ResetTimer()
			for range 32 {
				group.Go(func() {
					for {
						n := next.Add(1)
						if n > int64(b.N) {
							return
						}
						c, err := l.Claim(context.Background(), ask(fmt.Sprintf("4925%08d", n)))
						if err != nil || c.Verdict != Claimed {
							b.Error(c.Verdict, err)
							return
						}
						l.mustRecord(b, c, testOrder(b, fmt.Sprintf("order_test_%032d", n)))
					}
				})
			}
			group.Wait()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "pairs/s")
		})
	}
}

// BenchmarkFresh is what one `pay qr` does to the ledger.
func BenchmarkFresh(b *testing.B) {
	at := sqlitePlace(b)
	for n := range b.N {
		l := at.open(b)
		c := l.mustClaim(b, ask(fmt.Sprintf("4925%08d", n)), Claimed)
		l.mustRecord(b, c, testOrder(b, fmt.Sprintf("order_test_%032d", n)))
		if err := l.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkAtAMillion measures single operations of fresh handles on a ledger
// with a million payments.
func BenchmarkAtAMillion(b *testing.B) {
	at := sqlitePlace(b)
	l := at.open(b)
	l.mustRecord(b, l.mustClaim(b, ask("first"), Claimed), testOrder(b, "first"))
	fill(b, l)
	for name, op := range map[string]func(*Ledger, int) error{
		"claim": func(l *Ledger, n int) error { _, err := l.Claim(b.Context(), ask(fmt.Sprint("new", n))); return err },
		"replay": func(l *Ledger, n int) error {
			_, err := l.Claim(b.Context(), ask(fmt.Sprintf("4925%08d", n)))
			return err
		},
		"status": func(l *Ledger, n int) error {
			_, err := l.Payments(b.Context(), scope, fmt.Sprintf("4925%08d", n))
			return err
		},
		"list":     func(l *Ledger, _ int) error { return drain(b, l, Filter{Scope: scope, Limit: 20}) },
		"list all": func(l *Ledger, _ int) error { return drain(b, l, Filter{Limit: 20}) },
		"list rare": func(l *Ledger, _ int) error {
			return drain(b, l, Filter{Scope: scope, Limit: 20, States: []order.State{order.Unknown}})
		},
		"complete": func(l *Ledger, _ int) error { _, err := l.OrderIDs(b.Context(), scope, "4925", 50); return err },
	} {
		b.Run(name, func(b *testing.B) {
			for n := range b.N {
				fresh := at.open(b)
				if err := op(fresh, n+1); err != nil {
					b.Fatal(err)
				}
				_ = fresh.Close()
			}
		})
	}
}

func drain(b *testing.B, l *Ledger, f Filter) error {
	for _, err := range l.List(b.Context(), f) {
		if err != nil {
			return err
		}
	}
	return nil
}

// fill copies the first payment a million times.
func fill(b *testing.B, l *Ledger) {
	b.Helper()
	copied := strings.NewReplacer("id, scope", "scope", "orderid,", "printf('4925%08d', n),", "idem_key,", "'k' || n,", "bank_id,", "'order_test_' || n,",
		"recorded_at,", "recorded_at + n,", "slot,", "1,").Replace(columns)
	err := l.store.write(b.Context(), claimTx, func(x *txn) error {
		_, err := x.exec(`WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 1000000)
			INSERT INTO villapay_payment (` + strings.TrimPrefix(columns, "id, ") + `) SELECT ` + copied + ` FROM villapay_payment, numbers WHERE orderid = 'first'`)
		return err
	})
	if err != nil {
		b.Fatal(err)
	}
}
