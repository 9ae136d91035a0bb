package ledger

import (
	"fmt"
	"path/filepath"
	"testing"
)

// What a process leaves in SQLite's log is there for the next one, which tidies
// up when it closes.
func TestLeftForTheNext(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, at *place) {
		l := at.open(t)
		first := l.mustClaim(t, ask("1"), Claimed)
		if _, err := l.RecordOrder(t.Context(), first, testOrder(t, "bank-1"), RecordedAnswer{Attempts: 1}); err != nil {
			t.Fatal(err)
		}
		if err := l.Leave(); err != nil {
			t.Fatal(err)
		}

		if c := at.open(t).mustClaim(t, ask("1"), Replay); c.Payment.BankID != "bank-1" {
			t.Errorf("order 1 is now %+v", c.Payment)
		}
	})
}

// A log that has grown is tidied up by the process that leaves.
func TestALongLogIsNotLeft(t *testing.T) {
	t.Parallel()
	at := sqlitePlace(t)
	l := at.open(t)
	for orderID := 0; l.store.(*sqliteStore).logSize() <= leaveUpTo; orderID++ {
		l.mustClaim(t, ask(fmt.Sprint(orderID)), Claimed)
	}
	if err := l.Leave(); err != nil {
		t.Fatal(err)
	}
	if left, err := filepath.Glob(filepath.Join(at.dir, "ledger.db?*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %q, %v", left, err)
	}
}
