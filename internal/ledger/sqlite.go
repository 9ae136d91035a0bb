package ledger

import (
	"cmp"
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"time"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/villapay/villapay/internal/atomicfile"
	"github.com/villapay/villapay/internal/backoff"
)

// sqliteStore is a file, or a memory that ends with the process. It is written
// through one connection, by groups of callers (group.go), and read through others.
type sqliteStore struct {
	path   string // "" for a memory
	memory string // its name
	warns  string
	now    func() time.Time
	queue

	writer *writer     // the leader's; nil until something is first written
	opened fs.FileInfo // of the file that it writes

	mu   sync.Mutex // of read
	read *sql.DB    // nil until something is first read
}

func openSQLite(path string, now func() time.Time) (*sqliteStore, error) {
	s := &sqliteStore{path: path, now: now, queue: queue{lead: make(chan struct{}, 1)}}
	if path == "" {
		s.memory = rand.Text()
		return s, nil
	}
	return s, wrap(s, s.fixPermissions(), "open")
}

// fixPermissions takes others' permissions off the files, which older tools or a
// restored backup may have left, and fails if one is not a regular file. A link to
// one, and a file of another user, are used as they are.
func (s *sqliteStore) fixPermissions() error {
	for _, suffix := range []string{"", "-wal", "-shm"} {
		path := s.path + suffix
		info, err := os.Stat(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		loose := info.Mode().Perm()&0o077 != 0 && runtime.GOOS != "windows"
		if info.Mode().IsRegular() && !loose {
			continue // unopened: closing it would drop the locks that this process may have on it
		}
		file, err := atomicfile.Open(path, os.O_RDONLY)
		if err == nil {
			_, err = atomicfile.FixPermissions(file)
			err = errors.Join(err, file.Close())
		}
		if err != nil && !info.Mode().IsRegular() {
			return err
		}
		if err != nil {
			s.warns = "others may be able to read the ledger: " + err.Error()
		}
	}
	return nil
}

// dsn is the file as a SQLite URI (https://sqlite.org/uri.html), so that a path
// may hold any character; mode=rw never makes a file.
func (s *sqliteStore) dsn(pragmas ...string) string {
	if s.memory != "" {
		pragmas = append(pragmas, "read_uncommitted(1)") // readers of a shared memory must not lock out its writer
		return "file:" + s.memory + "?" + url.Values{"mode": {"memory"}, "cache": {"shared"}, "_pragma": pragmas}.Encode()
	}
	path := filepath.ToSlash(s.path)
	if !strings.HasPrefix(path, "/") && filepath.VolumeName(s.path) != "" {
		path = "/" + path
	}
	query := url.Values{"mode": {"rw"}, "_pragma": append([]string{fmt.Sprintf("busy_timeout(%d)", busyFor.Milliseconds())}, pragmas...)}
	return "file:" + (&url.URL{Path: path}).EscapedPath() + "?" + query.Encode()
}

// writer is the one connection that writes, with its prepared statements.
type writer struct {
	db         *sql.DB
	conn       *sql.Conn
	statements map[string]*sql.Stmt
}

// openWriter makes the file if there is none, and brings its schema up to date.
func (s *sqliteStore) openWriter(ctx context.Context) error {
	if s.memory != "" {
		return s.connectWriter(ctx)
	}
	if err := s.create(); err != nil {
		return err
	}
	err := retryBusy(ctx, s.connectWriter)
	if err == nil {
		s.opened, err = os.Stat(s.path)
	}
	return err
}

// checkPlace fails if the file that is being written is not found at its path any
// more: what is written to it then, nobody would ever read.
func (s *sqliteStore) checkPlace() error {
	if s.memory != "" || runtime.GOOS == "windows" { // which does not let an open file be moved
		return nil
	}
	info, err := os.Stat(s.path)
	if err != nil || !os.SameFile(info, s.opened) {
		return errMoved
	}
	return nil
}

// busyFor is how long to wait for a lock that another process holds, where ctx has no
// deadline.
const busyFor = 10 * time.Second

// retryBusy opens a connection or begins a transaction. SQLite's own waiting
// (busy_timeout) does not cover the moments in which other processes turn on the
// write-ahead log, or remove it with their last connection.
func retryBusy(ctx context.Context, do func(context.Context) error) error {
	_, bounded := ctx.Deadline()
	const nearly = busyFor * 9 / 10 // SQLite's own waiting ends a little early
	for started := time.Now(); ; {
		err := do(ctx)
		if !isBusy(err) || !bounded && time.Since(started) > nearly || backoff.Sleep(ctx, backoff.Jitter(10*time.Millisecond)) != nil {
			return err
		}
	}
}

// isBusy reports whether another process held a lock for too long.
func isBusy(err error) bool {
	lite, ok := errors.AsType[*sqlite.Error](err)
	return ok && lite.Code()&0xff == sqlite3.SQLITE_BUSY
}

func (s *sqliteStore) connectWriter(ctx context.Context) error {
	db, err := sql.Open("sqlite", s.dsn("journal_mode(WAL)", "synchronous(FULL)", "foreign_keys(1)", fmt.Sprintf("wal_autocheckpoint(%d)", logPages)))
	if err != nil {
		return err
	}
	db.SetMaxOpenConns(1)
	w := &writer{db: db, statements: map[string]*sql.Stmt{}}
	if w.conn, err = db.Conn(ctx); err == nil {
		err = s.migrate(ctx, w)
	}
	if err != nil {
		return errors.Join(err, w.close())
	}
	s.writer = w
	return nil
}

// create makes an empty file that only its owner can read, before SQLite makes
// one that everybody can.
func (s *sqliteStore) create() error {
	dir := filepath.Dir(s.path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	file, err := os.OpenFile(s.path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := file.Close(); err != nil {
		return err
	}
	return syncDir(dir)
}

// syncDir makes a new file's name survive a power cut.
func syncDir(dir string) error {
	if runtime.GOOS == "windows" {
		return nil // it has no such call, and keeps names by itself
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func (s *sqliteStore) migrate(ctx context.Context, w *writer) error {
	version, err := w.version(ctx)
	if err != nil || version == schemaVersion {
		return err
	}
	if err := checkVersion(version); err != nil {
		return err
	}
	if err := w.run(ctx, "BEGIN IMMEDIATE"); err != nil {
		return err
	}
	if version, err = w.version(ctx); err == nil { // another process may have been quicker
		err = errors.Join(checkVersion(version), migrate(w.txn(ctx, s.now()), version, sqliteDialect()))
	}
	if err == nil {
		err = w.run(ctx, fmt.Sprintf("PRAGMA user_version = %d", schemaVersion)) // PRAGMA takes no parameters
	}
	if err == nil {
		err = w.run(ctx, "COMMIT")
	}
	if err != nil {
		_ = w.run(context.WithoutCancel(ctx), "ROLLBACK")
	}
	return err
}

func (w *writer) version(ctx context.Context) (version int, err error) {
	err = w.conn.QueryRowContext(ctx, "PRAGMA user_version").Scan(&version)
	return version, err
}

// run executes a statement that is not worth preparing.
func (w *writer) run(ctx context.Context, statement string) error {
	_, err := w.conn.ExecContext(ctx, statement)
	return err
}

// prepared keeps each statement compiled for the life of the connection.
func (w *writer) prepared(ctx context.Context, query string) (*sql.Stmt, error) {
	if known := w.statements[query]; known != nil {
		return known, nil
	}
	made, err := w.conn.PrepareContext(ctx, query)
	if err == nil {
		w.statements[query] = made
	}
	return made, err
}

func (w *writer) close() error {
	var all []error
	for _, statement := range w.statements {
		all = append(all, statement.Close())
	}
	if w.conn != nil {
		all = append(all, w.conn.Close())
	}
	return errors.Join(append(all, w.db.Close())...)
}

func (s *sqliteStore) reader(ctx context.Context, _ ...statement) (queryFunc, error) {
	db, err := s.openReader(ctx)
	if err != nil {
		return nil, err
	}
	return func(query string, args ...any) (cursor, error) {
		if db == nil {
			return noRows{}, nil
		}
		return asCursor(db.QueryContext(ctx, query, clean(args)...))
	}, nil
}

// openReader opens the file for reading only. A file that does not exist, or that
// another process is just making, holds nothing yet: nil.
func (s *sqliteStore) openReader(ctx context.Context) (*sql.DB, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.read != nil {
		return s.read, nil
	}
	if s.memory != "" {
		s.lead <- struct{}{} // the writer is the leader's
		written := s.writer != nil
		<-s.lead
		if !written {
			return nil, nil //nolint:nilnil // documented: nothing was ever written
		}
	} else if _, err := os.Stat(s.path); errors.Is(err, fs.ErrNotExist) {
		return nil, nil //nolint:nilnil // documented: nothing was ever written
	}
	db, err := sql.Open("sqlite", s.dsn("query_only(1)"))
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(readers)
	db.SetMaxIdleConns(readers)
	var version int
	err = retryBusy(ctx, func(ctx context.Context) error {
		return db.QueryRowContext(ctx, "PRAGMA user_version").Scan(&version)
	})
	if err == nil {
		err = checkVersion(version)
	}
	if err == nil && version > 0 && version < schemaVersion {
		err = s.write(ctx, opening{why: recordTx}, func(*txn) error { return nil }) // brings it up to date
	}
	if err != nil || version == 0 {
		return nil, errors.Join(err, db.Close())
	}
	s.read = db
	return db, nil
}

// readers is how many reads of one process run at once.
const readers = 4

func (*sqliteStore) dialect() dialect { return sqliteDialect() }
func (s *sqliteStore) kind() string {
	if s.memory != "" {
		return "none"
	}
	return "sqlite"
}

func (s *sqliteStore) where() string    { return cmp.Or(s.path, "none") }
func (s *sqliteStore) warning() string  { return s.warns }
func (s *sqliteStore) clock() time.Time { return s.now() }
func (*sqliteStore) explain(err error) string {
	if outOfTime(err) {
		return "no answer in time: another process keeps the file locked, or the disk is slow"
	}
	return explain(err)
}

// probe writes a page with what is there already: villapay has no use for this
// number. A newer villapay may have come since the file was opened.
func (*sqliteStore) probe(t *txn) error {
	version, err := scalar[int](t.query("PRAGMA user_version"))
	return errors.Join(err, checkVersion(version), t.exec("PRAGMA application_id = 0"))
}

func (s *sqliteStore) size(context.Context) (size int64, err error) {
	for _, suffix := range []string{"", "-wal"} {
		if info, err := os.Stat(s.path + suffix); err == nil {
			size += info.Size()
		}
	}
	return size, nil
}

// logPages is how many pages a commit leaves in the write-ahead log, at most,
// before they are moved into the file: a mebibyte.
const logPages = 256

func (s *sqliteStore) verify(ctx context.Context) (found string, err error) {
	query, err := s.reader(ctx)
	if err != nil {
		return "", err
	}
	lines, err := texts(query("PRAGMA quick_check(5)"))
	return strings.Join(lines, "; "), err
}

func (s *sqliteStore) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lead <- struct{}{} // after mu, as in reader
	defer func() { <-s.lead }()
	var all []error
	if s.read != nil {
		all = append(all, s.read.Close())
		s.read = nil
	}
	if s.writer != nil {
		all = append(all, s.writer.close())
		s.writer = nil
	}
	return errors.Join(all...)
}
