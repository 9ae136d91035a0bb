package sandbox

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"modernc.org/sqlite"
)

const (
	fileName = "sandbox.db"

	sqliteBusy = 5 // SQLITE_BUSY, in the low byte of an error code

	// dbTimeout includes waiting for other processes.
	dbTimeout = 20 * time.Second

	// A key without an order belongs to a running request. It is free again after
	// running_until (Unix milliseconds), in case its process was killed.
	schema1 = `
CREATE TABLE orders (
	n INTEGER PRIMARY KEY,
	orderid TEXT NOT NULL,
	bank_id TEXT NOT NULL UNIQUE,
	answer TEXT NOT NULL,
	charge_id TEXT NOT NULL DEFAULT '',
	charged TEXT NOT NULL DEFAULT '',
	state TEXT NOT NULL DEFAULT ''
);
CREATE INDEX orders_orderid ON orders (orderid, n);
CREATE TABLE keys (
	key TEXT PRIMARY KEY,
	print TEXT NOT NULL,
	order_n INTEGER,
	running_until INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE counts (
	orderid TEXT PRIMARY KEY,
	posts INTEGER NOT NULL,
	checks INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;`

	schema2 = `
CREATE TABLE charges (
	n INTEGER PRIMARY KEY,
	id TEXT NOT NULL UNIQUE,
	order_n INTEGER NOT NULL,
	created TEXT NOT NULL,
	state TEXT NOT NULL
);
CREATE INDEX charges_order ON charges (order_n, n);
INSERT INTO charges (id, order_n, created, state)
	SELECT charge_id, n, charged, state FROM orders WHERE charge_id <> '' ORDER BY n;
CREATE TABLE codes (
	id TEXT PRIMARY KEY,
	order_n INTEGER NOT NULL,
	created TEXT NOT NULL,
	expires INTEGER NOT NULL,
	state TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX codes_order ON codes (order_n);
ALTER TABLE orders DROP COLUMN charge_id;
ALTER TABLE orders DROP COLUMN charged;
ALTER TABLE orders DROP COLUMN state;
ALTER TABLE orders RENAME COLUMN answer TO json;
ALTER TABLE keys RENAME COLUMN print TO body_hash;
ALTER TABLE counts ADD COLUMN bank INTEGER NOT NULL DEFAULT 0;`
)

// files are the suffixes of the files that SQLite uses, the database last.
func files() []string { return []string{"-wal", "-shm", ""} }

// store is the sandbox's SQLite file, opened on first use.
type store struct {
	dir string // "" for memory

	mu     sync.Mutex
	db     *sql.DB
	closed bool
}

// tx runs do in one transaction, with all other processes locked out. A client
// that disconnects does not roll it back, as with a real server.
func (s *store) tx(ctx context.Context, do func(context.Context, *sql.Tx) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), dbTimeout)
	defer cancel()
	db, err := s.open(ctx)
	if err != nil {
		return fmt.Errorf("open the sandbox's state: %w", err)
	}
	return inTx(ctx, db, do)
}

func inTx(ctx context.Context, db *sql.DB, do func(context.Context, *sql.Tx) error) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	if err := do(ctx, tx); err != nil {
		return errors.Join(err, tx.Rollback())
	}
	return tx.Commit()
}

func (s *store) open(ctx context.Context) (*sql.DB, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, errors.New("the sandbox is closed")
	}
	if s.db != nil {
		return s.db, nil
	}
	dsn, err := s.prepare()
	if err != nil {
		return nil, err
	}
	db, err := sql.Open("sqlite", dsn)
	if err != nil {
		return nil, err
	}
	// One connection: there is one writer at a time anyway, and a database in
	// memory belongs to its connection.
	db.SetMaxOpenConns(1)
	if err := migrateRetry(ctx, db); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	s.db = db
	return db, nil
}

// migrateRetry opens the first connection and makes the tables. SQLite ignores
// its busy timeout if several processes switch a new file to WAL, or if one
// opens the file while the last one closes it.
func migrateRetry(ctx context.Context, db *sql.DB) error {
	for {
		err := inTx(ctx, db, migrate)
		if busy := (*sqlite.Error)(nil); !errors.As(err, &busy) || busy.Code()&0xff != sqliteBusy {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// prepare makes the directory and the file, only for this user, and returns
// the data source name. Writes are not synced: the state survives the death of
// a process, not of the machine.
func (s *store) prepare() (string, error) {
	if s.dir == "" {
		return "file::memory:?_txlock=immediate", nil
	}
	path, err := filepath.Abs(filepath.Join(s.dir, fileName))
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return "", err
	}
	for _, suffix := range files() {
		if info, err := os.Lstat(path + suffix); err == nil && !info.Mode().IsRegular() {
			return "", fmt.Errorf("%s is not a regular file", path+suffix)
		}
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600) // SQLite would use 0644
	if err != nil {
		return "", err
	}
	if err := errors.Join(file.Chmod(0o600), file.Close()); err != nil {
		return "", err
	}
	path = filepath.ToSlash(path)
	if !strings.HasPrefix(path, "/") {
		path = "/" + path // file:///C:/…
	}
	query := url.Values{
		"_txlock": {"immediate"},
		"_pragma": {"busy_timeout(15000)", "journal_mode(WAL)", "synchronous(OFF)"},
	}
	return (&url.URL{Scheme: "file", Path: path, RawQuery: query.Encode()}).String(), nil
}

// migrate makes the tables, or brings an older file up to date. The transaction
// is exclusive, so of many processes that start together only one does it.
func migrate(ctx context.Context, tx *sql.Tx) error {
	steps := []string{schema1, schema2}
	var have int
	if err := tx.QueryRowContext(ctx, "PRAGMA user_version").Scan(&have); err != nil {
		return err
	}
	switch {
	case have == len(steps):
		return nil
	case have > len(steps):
		return errors.New("a newer version made it; run `villapay sandbox reset` to use this version")
	}
	_, err := tx.ExecContext(ctx, fmt.Sprintf("%s PRAGMA user_version = %d", strings.Join(steps[have:], ""), len(steps)))
	return err
}

func (s *store) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	if s.db == nil {
		return nil
	}
	db := s.db
	s.db = nil
	return db.Close()
}

// Reset deletes everything the sandbox remembers. A file that cannot be read is
// removed.
func (s *Sandbox) Reset(ctx context.Context) error {
	err := s.store.tx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, "DELETE FROM orders; DELETE FROM charges; DELETE FROM codes; DELETE FROM keys; DELETE FROM counts")
		return err
	})
	switch {
	case err == nil:
		s.store.shrink(ctx)
	case ctx.Err() == nil && s.opts.Dir != "":
		err = s.store.remove()
	}
	if err != nil {
		return fmt.Errorf("reset the sandbox: %w", err)
	}
	return nil
}

// shrink frees the space of deleted rows. SQLite may be unable to while others
// use the file; the space is reused then.
func (s *store) shrink(ctx context.Context) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.db != nil {
		_, _ = s.db.ExecContext(ctx, "VACUUM")
	}
}

// remove deletes the files.
func (s *store) remove() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.db != nil {
		if err := s.db.Close(); err != nil {
			return err
		}
		s.db = nil
	}
	for _, suffix := range files() {
		err := os.Remove(filepath.Join(s.dir, fileName+suffix))
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return nil
}

// Stats are the counts of one Villa order, over all processes.
type Stats struct {
	Posts  int // valid payment requests
	Orders int // bank orders made
	Checks int // checkstatus calls after the first payment request

	BankCalls int // calls of the bank's API about the bank orders
	Codes     int // payment codes made by the bank
	OpenCodes int // those that a customer can pay now
}

// Stats returns the counts of a Villa order, for tests that must know what
// reached the server.
func (s *Sandbox) Stats(ctx context.Context, orderID string) (Stats, error) {
	var st Stats
	err := s.store.tx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		err := tx.QueryRowContext(ctx, `SELECT posts, checks, bank FROM counts WHERE orderid = ?`, orderID).Scan(&st.Posts, &st.Checks, &st.BankCalls)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		return tx.QueryRowContext(ctx, `SELECT count(DISTINCT n), count(id), count(id) FILTER (WHERE state = ?2 AND expires > ?3)
			FROM orders LEFT JOIN codes ON order_n = n WHERE orderid = ?1`,
			orderID, codeOpen, s.opts.Now().UnixMilli()).Scan(&st.Orders, &st.Codes, &st.OpenCodes)
	})
	return st, err
}
