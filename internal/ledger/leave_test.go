package ledger

import (
	"database/sql"
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

		if c := at.open(t).mustClaim(t, ask("1"), Replay); c.Payment.BankOrderID != "bank-1" {
			t.Errorf("order 1 is now %+v", c.Payment)
		}
	})
}

// reading holds a view of the database, as another process would, until the
// returned function is called.
func reading(t *testing.T, s *sqliteStore) (release func()) {
	t.Helper()
	db, err := sql.Open("sqlite", s.dsn())
	if err != nil {
		t.Fatal(err)
	}
	tx, err := db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	var payments int
	if err := tx.QueryRowContext(t.Context(), "SELECT count(*) FROM villapay_payment").Scan(&payments); err != nil {
		t.Fatal(err)
	}
	return func() {
		_ = tx.Rollback()
		_ = db.Close()
	}
}

// A log that has grown is tidied up by the process that leaves.
func TestALongLogIsNotLeft(t *testing.T) {
	t.Parallel()
	at := sqlitePlace(t)
	l := at.open(t)
	l.mustClaim(t, ask("first"), Claimed)
	release := reading(t, l.store.(*sqliteStore)) // or SQLite begins the log anew
	for orderID := 0; l.store.(*sqliteStore).logSize() <= leaveUpTo; orderID++ {
		l.mustClaim(t, ask(fmt.Sprint(orderID)), Claimed)
	}
	release()
	if err := l.Leave(); err != nil {
		t.Fatal(err)
	}
	if left, err := filepath.Glob(filepath.Join(at.dir, "ledger.db?*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %q, %v", left, err)
	}
}
