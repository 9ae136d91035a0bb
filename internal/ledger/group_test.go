package ledger

import (
	"bufio"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/villapay/villapay/internal/order"
)

// length is how many callers wait for a leader.
func (q *queue) length() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.waiting)
}

// locked holds the database's write lock, as another process would, until the
// returned function is called.
func locked(t *testing.T, s *sqliteStore) (release func()) {
	t.Helper()
	db, err := sql.Open("sqlite", s.dsn())
	if err != nil {
		t.Fatal(err)
	}
	conn, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.ExecContext(t.Context(), "BEGIN IMMEDIATE"); err != nil {
		t.Fatal(err)
	}
	return func() {
		_, _ = conn.ExecContext(context.Background(), "ROLLBACK")
		_ = conn.Close()
		_ = db.Close()
	}
}

// queueOf is a ledger's queue.
func queueOf(l *Ledger) *queue {
	if s, ok := l.store.(*postgresStore); ok {
		return &s.queue
	}
	return &l.store.(*sqliteStore).queue
}

// together runs writers so that all of them are in the queue before anybody leads.
func together(t *testing.T, l *Ledger, n int, write func(i int)) {
	t.Helper()
	q := queueOf(l)
	for range cap(q.lead) {
		q.lead <- struct{}{}
	}
	var group sync.WaitGroup
	for i := range n {
		group.Go(func() { write(i) })
	}
	for q.length() < n {
		time.Sleep(time.Millisecond)
	}
	for range cap(q.lead) {
		<-q.lead
	}
	group.Wait()
}

func TestACallersFailureIsNoOthers(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, at *place) {
		l := at.open(t)
		l.mustClaim(t, ask("0"), Claimed)
		boom := errors.New("boom")
		const callers = 20
		errs := make([]error, callers)
		together(t, l, callers, func(i int) {
			o := opening{why: recordTx, locks: []lockKey{lockKey(fmt.Sprint(i))}}
			errs[i] = l.store.write(context.Background(), o, func(x *txn) error {
				err := l.note(x, 1, event{kind: "test", note: fmt.Sprint(i)})
				if i%5 == 3 {
					return boom
				}
				return err
			})
		})
		for i, err := range errs {
			if (i%5 == 3) != errors.Is(err, boom) {
				t.Errorf("caller %d: %v", i, err)
			}
		}
		seen := map[string]int64{}
		for _, e := range l.events(t, 1) {
			if e.Kind == "test" {
				seen[e.Note]++
			}
		}
		for i := range callers {
			if want := number(i%5 != 3); seen[fmt.Sprint(i)] != want {
				t.Errorf("caller %d wrote %d times", i, seen[fmt.Sprint(i)])
			}
		}
	})
}

// Callers in one transaction see nothing of each other: those who need the same do
// so one after the other, also if it turns out only later.
func TestCallersWhoNeedTheSame(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, at *place) {
		l := at.open(t)
		const callers = 12
		var claimed atomic.Int64
		together(t, l, callers, func(i int) { // four for each of three orders
			c, err := l.Claim(context.Background(), ask(fmt.Sprint(i%3)))
			if err != nil {
				t.Error(err)
			}
			if c.Verdict == Claimed {
				claimed.Add(1)
			}
		})
		if claimed.Load() != 3 {
			t.Errorf("%d claims", claimed.Load())
		}
		l.awaiting(t, "one", `"reference_order":"ref-1"`)
		together(t, l, callers, func(i int) { // charges of one Villa order, which is found only then
			r := report(fmt.Sprint("c", i), "ref-1", "Declined")
			if i == 7 {
				r.TransactionState = "Settled"
			}
			r.BankOrderID, r.Reference = "", "ref-1"
			l.hear(t, r)
		})
		if p := l.of(t, "one")[0]; p.State != order.Paid || p.ChargeID != "c7" {
			t.Errorf("%+v", p)
		}
		together(t, l, callers, func(i int) {
			o := opening{why: recordTx, locks: []lockKey{lockKey(fmt.Sprint(i))}}
			err := l.store.write(context.Background(), o, func(x *txn) error {
				x.lock("the same")
				n, err := scalar[int64](x.query(`SELECT attempts FROM villapay_payment WHERE orderid = 'one'`))
				if err != nil {
					return err
				}
				return x.exec(`UPDATE villapay_payment SET attempts = ? WHERE orderid = 'one'`, n+1)
			})
			if err != nil {
				t.Error(err)
			}
		})
		if p := l.of(t, "one")[0]; p.Attempts != 1+callers {
			t.Errorf("%d changes were lost", 1+callers-p.Attempts)
		}
	})
}

// Who gives up ends nothing for the others in the same transaction.
func TestACallerWhoGivesUp(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, at *place) {
		l := at.open(t)
		l.mustClaim(t, ask("0"), Claimed)
		for round := range 20 {
			gaveUp, cancel := context.WithCancel(t.Context())
			together(t, l, 6, func(i int) {
				ctx := context.Background()
				if i == 0 {
					ctx = gaveUp
				}
				o := opening{why: recordTx, locks: []lockKey{lockKey(fmt.Sprint(i))}}
				err := l.store.write(ctx, o, func(x *txn) error {
					if i == 0 {
						cancel()
					}
					note := fmt.Sprint(i, " in round ", round)
					known, err := scalar[bool](x.query(`SELECT count(*) > 0 FROM villapay_event WHERE payment = 1 AND note = ?`, note))
					if err != nil || known { // by a commit that went unconfirmed
						return err
					}
					return l.note(x, 1, event{kind: "test", note: note})
				})
				if err != nil && (i != 0 || !errors.Is(err, context.Canceled)) {
					t.Errorf("caller %d: %v", i, err)
				}
			})
			cancel()
		}
		if n := l.count(t, `SELECT count(*) FROM villapay_event WHERE kind = 'test' AND note NOT LIKE '0 %'`); n != 100 {
			t.Errorf("%d of 100 events", n)
		}
	})
}

// A lock is waited for until the caller's deadline, and for as long as SQLite waits
// without one.
func TestALockIsWaitedFor(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := sqlitePlace(t).open(t)
		l.mustClaim(t, ask("1"), Claimed)
		ctx, cancel := context.WithTimeout(t.Context(), 3*busyFor)
		defer cancel()
		time.AfterFunc(2*busyFor, locked(t, l.store.(*sqliteStore)))
		if c, err := l.Claim(ctx, ask("2")); err != nil || c.Verdict != Claimed {
			t.Errorf("%+v, %v", c, err)
		}
		release := locked(t, l.store.(*sqliteStore))
		defer release()
		start := time.Now()
		_, err := l.Claim(t.Context(), ask("3"))
		if failure, ok := errors.AsType[*Error](err); !ok || !failure.Transient() || time.Since(start) > 2*busyFor {
			t.Errorf("after %s: %v", time.Since(start), err)
		}
	})
}

// Nobody goes on before the commit, and waiting for it ends with a caller's own
// context.
func TestWaitingForTheCommit(t *testing.T) {
	t.Parallel()
	l := sqlitePlace(t).open(t)
	l.mustClaim(t, ask("0"), Claimed)
	s := l.store.(*sqliteStore)
	release := locked(t, s)
	ctx, cancel := context.WithCancel(t.Context())
	ended, done := make(chan error, 4), make(chan error, 4)
	claim := func(ctx context.Context, orderID string, into chan error) {
		_, err := l.Claim(ctx, ask(orderID))
		into <- err
	}
	for i := range cap(done) {
		go claim(ctx, fmt.Sprint("ended-", i), ended)
		go claim(context.Background(), fmt.Sprint("done-", i), done)
	}
	for s.length() < cap(ended)+cap(done) { // the leader waits for the lock, and is still in the queue
		time.Sleep(time.Millisecond)
	}
	cancel()
	for range cap(ended) {
		err := <-ended
		if _, ok := errors.AsType[*Error](err); !ok || !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	}
	if len(done) != 0 {
		t.Error("it is done while another process holds the lock")
	}
	release()
	for range cap(done) {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	l.mustClaim(t, ask("ended-0"), Claimed)
	if s.length() != 0 {
		t.Error("canceled work is still in the queue")
	}
	if _, err := l.Claim(ctx, ask("ended-1")); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// TestNothingConfirmedIsLost kills a process in the middle of a batch and looks
// for every answer that was confirmed to it.
func TestNothingConfirmedIsLost(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, at *place) {
		cmd := exec.CommandContext(t.Context(), os.Args[0])
		cmd.Env = append(os.Environ(), childTask+"=batch", childDSN+"="+at.dsn, childDir+"="+at.dir)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		var confirmed []string
		for lines := bufio.NewScanner(out); lines.Scan(); {
			if confirmed = append(confirmed, lines.Text()); len(confirmed) == 200 {
				_ = cmd.Process.Kill()
			}
		}
		_ = cmd.Wait()
		l := at.open(t)
		for _, id := range confirmed {
			if id, ok := strings.CutPrefix(id, "made "); ok {
				if all := l.of(t, id); len(all) != 1 || all[0].State != order.Awaiting || all[0].BankOrderID != "o"+id {
					t.Fatalf("order %s was confirmed, and now %+v", id, all)
				}
			}
		}
		if health, err := l.Check(t.Context()); err != nil || health.Integrity != "ok" || health.Payments < 200 || health.SizeBytes == 0 {
			t.Errorf("%+v, %v", health, err)
		}
	})
}

// childBatch records orders as fast as it can and prints what is confirmed.
func childBatch(ctx context.Context, l *Ledger) error {
	var group sync.WaitGroup
	for worker := range 16 {
		group.Go(func() {
			for n := 0; ; n++ {
				id := fmt.Sprintf("%d.%d", worker, n)
				c, err := l.Claim(ctx, ClaimRequest{Scope: scope, OrderID: id, Source: "qr", Key: id})
				if err != nil {
					return
				}
				made, err := orderFor("o" + id)
				if err == nil {
					_, err = l.RecordOrder(ctx, c, made, Answer{Attempts: 1})
				}
				if err != nil {
					return
				}
				fmt.Println("made", id)
			}
		})
	}
	group.Wait()
	return nil
}

// A write whose context ends at any moment leaves no transaction open, which
// would fail every write after it.
func TestWritesThatAreGivenUp(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, at *place) {
		l := at.open(t)
		l.mustClaim(t, ask("4925"), Claimed)
		undone := errors.New("undone")
		for i := range 1500 {
			ctx, cancel := context.WithCancel(t.Context())
			go func() {
				for range i * 20 { // so many steps later
					_ = ctx.Err()
				}
				cancel()
			}()
			err := l.store.write(ctx, opening{why: recordTx}, func(*txn) error { return undone })
			if err != nil && !errors.Is(err, undone) && ctx.Err() == nil {
				t.Fatal(err)
			}
			cancel()
		}
		l.mustClaim(t, ask("4926"), Claimed)
	})
}
