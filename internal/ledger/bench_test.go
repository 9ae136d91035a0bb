package ledger

import (
	"context"
	"database/sql"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
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
