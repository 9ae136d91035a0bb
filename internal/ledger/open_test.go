package ledger

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/villapay/villapay/internal/order"
	"github.com/villapay/villapay/internal/secret"
)

func TestReadingMakesNothing(t *testing.T) {
	t.Parallel()
	at := sqlitePlace(t)
	at.dir = filepath.Join(at.dir, "state")
	l := at.open(t)
	if all := l.of(t, "1"); all != nil {
		t.Error(all)
	}
	for p, err := range l.List(t.Context(), Filter{}) {
		t.Error(p, err)
	}
	if ids, err := l.OrderIDs(t.Context(), scope, "", 9); ids != nil || err != nil {
		t.Error(ids, err)
	}
	if events, err := l.Events(t.Context(), 1); events != nil || err != nil {
		t.Error(events, err)
	}
	if _, err := os.Stat(at.dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("reading made %s", at.dir)
	}
	at.open(t).mustClaim(t, ask("1"), Claimed)
	if all := l.of(t, "1"); len(all) != 1 {
		t.Error("the first reader does not see what was written since:", all)
	}
}

func TestANewerSchemaIsLeftAlone(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, at *place) {
		l := at.open(t)
		l.mustClaim(t, ask("1"), Claimed)
		raise := `PRAGMA user_version = 99`
		if at.dsn != "sqlite" {
			raise = `UPDATE villapay_schema SET version = 99`
		}
		l.exec(t, raise)
		check := func(err error) {
			t.Helper()
			if _, ok := errors.AsType[*Error](err); !ok || !errors.Is(err, ErrNewerSchema) || !strings.Contains(err.Error(), "version 99") {
				t.Errorf("%v", err)
			}
		}
		check(l.Writable(t.Context())) // it came while the ledger was open
		_ = l.Close()
		l = at.open(t)
		_, err := l.Claim(t.Context(), ask("1"))
		check(err)
		_, err = l.Payments(t.Context(), scope, "1")
		check(err)
	})
}

func TestFilesThatAreNoLedger(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(path string) error{
		"not a database": func(path string) error {
			return os.WriteFile(path, []byte(strings.Repeat("this is a shopping list\n", 400)), 0o600)
		},
		"torn in half": func(path string) error {
			whole, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			return os.WriteFile(path, whole[:len(whole)/2+100], 0o600)
		},
		"overwritten": func(path string) error {
			whole, err := os.ReadFile(path)
			for i := 200; i < len(whole); i++ {
				whole[i] ^= 0x5a
			}
			return errors.Join(err, os.WriteFile(path, whole, 0o600))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			at := sqlitePlace(t)
			l := at.open(t)
			l.mustClaim(t, ask("1"), Claimed)
			_ = l.Close()
			path := filepath.Join(at.dir, "ledger.db")
			if err := spoil(path); err != nil {
				t.Fatal(err)
			}
			before, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			l = at.open(t)
			for range 2 {
				_, err = l.Claim(t.Context(), ask("1"))
				if _, ok := errors.AsType[*Error](err); !ok || !strings.Contains(err.Error(), "damaged") || !strings.Contains(err.Error(), path) {
					t.Errorf("claim: %v", err)
				}
			}
			if _, err = l.Payments(t.Context(), scope, "1"); err == nil || !strings.Contains(err.Error(), "damaged") {
				t.Errorf("read: %v", err)
			}
			_ = l.Close()
			if after, err := os.ReadFile(path); err != nil || string(after) != string(before) {
				t.Errorf("the file was touched (%d bytes, %d before): %v", len(after), len(before), err)
			}
		})
	}
}

func TestPlacesThatCannotBeWritten(t *testing.T) {
	t.Parallel()
	file, sealed := filepath.Join(t.TempDir(), "file"), t.TempDir()
	if err := errors.Join(os.WriteFile(file, nil, 0o600), os.Chmod(sealed, 0o500)); err != nil {
		t.Fatal(err)
	}
	dirs := []string{filepath.Join(file, "state")}
	if runtime.GOOS != "windows" && os.Getuid() != 0 { // root writes everywhere
		dirs = append(dirs, sealed)
	}
	for _, dir := range dirs {
		l, err := Open(t.Context(), secret.New("sqlite"), dir, "", time.Now)
		if err == nil {
			_, err = l.Claim(t.Context(), ask("1"))
		}
		if _, ok := errors.AsType[*Error](err); !ok {
			t.Errorf("%s: %v", dir, err)
		}
	}
}

// TestAFullDisk stands in for one with a limit on the database's size, which
// fails with the same code.
func TestAFullDisk(t *testing.T) {
	t.Parallel()
	at := sqlitePlace(t)
	l := at.open(t)
	held := l.mustClaim(t, ask("0"), Claimed)
	store := l.store.(*sqliteStore)
	if err := store.writer.run(t.Context(), "PRAGMA max_page_count = 1"); err != nil { // no more than it has
		t.Fatal(err)
	}
	var err error
	recorded := 0
	for i := 1; i < 10_000 && err == nil; i++ {
		if _, err = l.Claim(t.Context(), ask(fmt.Sprint(i))); err == nil {
			recorded++
		}
	}
	if _, ok := errors.AsType[*Error](err); !ok || !strings.Contains(err.Error(), "the disk is full") {
		t.Fatalf("after %d claims: %v", recorded, err)
	}
	if err := store.writer.run(t.Context(), "PRAGMA max_page_count = 1000000"); err != nil {
		t.Fatal(err)
	}
	l.mustRecord(t, held, testOrder(t, "o1"))
	health, err := at.open(t).Check(t.Context())
	if err != nil || health.Payments != int64(recorded+1) || health.Integrity != "ok" {
		t.Errorf("once there is room again: %+v, %v", health, err)
	}
}

// "none" works as any other ledger does, until the process ends.
func TestALedgerThatKeepsNothing(t *testing.T) {
	t.Parallel()
	at := &place{dsn: "none", clock: newClock()}
	l := at.open(t)
	if all := l.of(t, "1"); len(all) != 0 || l.Kind() != "none" || l.Where() != "none" {
		t.Errorf("%+v in %s, %s", all, l.Kind(), l.Where())
	}
	var group sync.WaitGroup
	for i := range 8 { // reads do not lock out writes, nor the other way round
		group.Go(func() { l.awaiting(t, fmt.Sprint(i)) })
		group.Go(func() {
			for len(l.of(t, fmt.Sprint(i))) == 0 {
				runtime.Gosched()
			}
		})
	}
	group.Wait()
	l.hear(t, report("c1", "o1", "Authorized"))
	if c := l.mustClaim(t, ask("1"), Replay); c.Payment.State != order.Paid {
		t.Errorf("%+v", c.Payment)
	}
	if got := strings.Fields(listed(t, l, Filter{})); len(got) != 8 {
		t.Error(got)
	}
	if all := at.open(t).of(t, "1"); len(all) != 0 {
		t.Errorf("another one knows it: %+v", all)
	}
}

// What is written to a file that is not at its path any more, nobody would ever
// read.
func TestAFileThatWasMovedAway(t *testing.T) {
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
		"its directory moved": func(path string) error { return os.Rename(filepath.Dir(path), filepath.Dir(path)+".old") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			at := sqlitePlace(t)
			at.dir = filepath.Join(at.dir, "state")
			l := at.open(t)
			l.awaiting(t, "1")
			if err := move(filepath.Join(at.dir, "ledger.db")); err != nil {
				t.Fatal(err)
			}
			for range 2 {
				_, err := l.RecordReport(t.Context(), scope, report("c1", "o1", "Authorized"))
				if _, ok := errors.AsType[*Error](err); !ok || !errors.Is(err, errMoved) || !strings.Contains(err.Error(), "restart") {
					t.Errorf("%v", err)
				}
			}
			if _, err := l.Claim(t.Context(), ask("2")); !errors.Is(err, errMoved) {
				t.Errorf("a claim: %v", err)
			}
			if next := at.open(t); name != "its directory moved" {
				next.mustClaim(t, ask("3"), Claimed)
			}
		})
	}
}

func TestSettingsThatNameNoLedger(t *testing.T) {
	t.Parallel()
	none, clear := filepath.Join(t.TempDir(), "none"), filepath.Join(t.TempDir(), "pg_service.conf")
	if err := os.WriteFile(clear, []byte("[tills]\nsslmode=disable\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for dsn, want := range map[string]string{
		"":                                     "must be sqlite or a postgres:// URL",
		"memory":                               "must be sqlite or a postgres:// URL",
		"mysql://root:hunter2hunter2@db":       "must be sqlite or a postgres:// URL",
		"postgres://u:hunter2hunter2@h:port/d": "port is not a number",
		"postgres://u:hunter2%zz@h/d":          "percent-encoded",
		"postgres://u:hunter2@h/d?sslmode=perhaps":                                          "sslmode is not one of",
		"postgres://u:hunter2@h/d?sslmode=verify-full&sslrootcert=" + none:                  "unable to read CA file: open " + none,
		"postgres://u:hunter2@h/d?sslcert=" + none + "&sslkey=" + none:                      "unable to read sslkey: open " + none,
		"postgres://u:hunter2@h/d?service=tills&servicefile=" + none:                        "failed to read service file: " + none,
		"postgres://u:hunter2@h.invalid/d?service=tills&servicefile=" + clear:               "turns TLS off",
		"postgres://u:hunter2@h.invalid/sslmode=disable?service=tills&servicefile=" + clear: "turns TLS off",
		"postgres://u:hunter2@localhost,h.invalid/d?service=tills&servicefile=" + clear:     "turns TLS off",
		"postgres://u:hunter2@h/d?connect_timeout=soon":                                     "connect_timeout",
		"postgres://u:hunter2@h/d?target_session_attrs=hunter":                              "target_session_attrs",
		"postgres://u:hunter2@h/d?channel_binding=perhaps":                                  "channel_binding",
	} {
		_, err := Open(t.Context(), secret.New(dsn), t.TempDir(), "", time.Now)
		if _, ok := errors.AsType[*Error](err); !ok || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", dsn, err, want)
		}
		if err != nil && strings.Contains(err.Error(), "hunter2") {
			t.Errorf("a password shows: %v", err)
		}
	}
}

func TestPathsWithAnyCharacters(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("Windows forbids most of them")
	}
	at := sqlitePlace(t)
	at.dir = filepath.Join(at.dir, "a b?c#d%41&mode=memory é")
	l := at.open(t)
	l.mustClaim(t, ask("1"), Claimed)
	if info, err := os.Stat(l.Where()); err != nil || info.Size() == 0 || l.Where() != filepath.Join(at.dir, "ledger.db") || l.Kind() != "sqlite" {
		t.Errorf("%s %s: %v, %v", l.Kind(), l.Where(), info, err)
	}
}

// TestEventsAreNeverRewritten holds the code to it: history and what was said of
// charges are only ever added to.
func TestEventsAreNeverRewritten(t *testing.T) {
	t.Parallel()
	rewritten := regexp.MustCompile(`(UPDATE|DELETE FROM|REPLACE INTO|TRUNCATE|DROP TABLE) villapay_(event|report)|DELETE FROM villapay_payment`)
	files, err := filepath.Glob("*.go")
	if err != nil || len(files) < 5 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		source, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		if found := rewritten.FindAllString(string(source), -1); found != nil {
			t.Errorf("%s: %q", file, found)
		}
	}
}

// TestQueriesUseIndexes asks SQLite itself how it would run every statement: a
// scan of a whole table would grow with the ledger.
func TestQueriesUseIndexes(t *testing.T) {
	t.Parallel()
	l := sqlitePlace(t).open(t)
	seen := exercise(t, l)
	for _, states := range [][]order.State{nil, {order.Paid}, {order.Awaiting, order.Expired}} {
		for _, f := range []Filter{{Scope: scope, Limit: 20}, {Limit: 20}, {Scope: scope, Since: time.Now(), Limit: 20}, {Since: time.Now(), Limit: 20, Source: "qr"}} {
			f.States = states
			seen = append(seen, `SELECT `+columns+` FROM villapay_payment`+f.condition(time.Now()).where()+f.order(""))
		}
	}
	for _, query := range seen {
		for _, step := range plan(t, l, query) {
			inOrder := strings.Contains(step, "USING INDEX villapay_payment_find") && strings.Contains(query, "LIMIT")
			wholeScope := strings.HasSuffix(step, "(scope=?)") && !strings.Contains(query, "LIMIT")
			if strings.HasPrefix(step, "SCAN villapay") && !inOrder || wholeScope || strings.Contains(step, "TEMP B-TREE FOR ORDER BY") && strings.Contains(query, "LIMIT") {
				t.Errorf("%s\n\t%s", query, step)
			}
		}
	}
}

// exercise does everything that a ledger can do, and returns the statements that
// it ran for it.
func exercise(t *testing.T, l *Ledger) (statements []string) {
	t.Helper()
	given := ask("1")
	given.KeyGiven = true
	c := l.mustClaim(t, given, Claimed)
	renew(t, l, c)
	l.fail(t, c, order.Unknown)
	l.awaiting(t, "1", `"reference_order":"ref-1"`)
	l.answer(t, "1", `{"status":"success"}`)
	l.answer(t, "1", `{"charges":[{"charge_id":"c1","transaction_state":"Settled"},{"order_id":"theirs","reference_order":"ref-9","transaction_state":"Declined"}]}`)
	l.hear(t, report("c2", "o2", "Authorized"))
	l.awaiting(t, "2")
	l.hear(t, report("c1", "ref-1", "Authorized"))
	l.another(t, "3", "o3")
	if _, err := l.OrderIDs(t.Context(), scope, "1", 5); err != nil {
		t.Fatal(err)
	}
	for query := range l.store.(*sqliteStore).writer.statements {
		if strings.HasPrefix(query, "SELECT") || strings.HasPrefix(query, "UPDATE") || strings.HasPrefix(query, "INSERT") && strings.Contains(query, "VALUES") {
			statements = append(statements, query)
		}
	}
	return append(statements,
		`SELECT DISTINCT orderid FROM villapay_payment WHERE scope = ? AND orderid >= ? AND orderid < ? ORDER BY orderid LIMIT ?`,
		`SELECT at FROM villapay_event WHERE payment = ? ORDER BY id`)
}

func plan(t *testing.T, l *Ledger, query string) (steps []string) {
	t.Helper()
	rows, err := l.read(t.Context(), "EXPLAIN QUERY PLAN "+query, make([]any, strings.Count(query, "?"))...)
	if err != nil {
		t.Fatal(query, err)
	}
	defer rows.Close()
	for rows.Next() {
		var id, parent, unused int
		var detail string
		if err := rows.Scan(&id, &parent, &unused, &detail); err != nil {
			t.Fatal(err)
		}
		steps = append(steps, detail)
	}
	return steps
}

// Only the wait for others has a limit of its own; bringing a large ledger's schema
// up to date takes as long as it takes.
func TestOpeningMayTakeLong(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		if err := retryBusy(t.Context(), func(ctx context.Context) error {
			time.Sleep(time.Minute)
			return ctx.Err()
		}); err != nil {
			t.Error(err)
		}
	})
}
