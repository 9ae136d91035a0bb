package ledger

import (
	"context"
	"errors"
	"testing"
)

// A write whose context ends at any moment leaves no transaction open, which
// would fail every write after it.
func TestWritesThatAreGivenUp(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, at *place) {
		l := at.open(t)
		l.mustClaim(t, ask("4925"), Claimed)
		undone := errors.New("undone")
		for i := range 3000 {
			ctx, cancel := context.WithCancel(t.Context())
			go func() {
				for range i * 10 { // so many steps later
					_ = ctx.Err()
				}
				cancel()
			}()
			err := l.store.write(ctx, toKeep, func(*txn) error { return undone })
			if err != nil && !errors.Is(err, undone) && ctx.Err() == nil {
				t.Fatal(err)
			}
			cancel()
		}
		l.mustClaim(t, ask("4926"), Claimed)
	})
}
