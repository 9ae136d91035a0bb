package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/villapay/villapay/internal/order"
	"github.com/villapay/villapay/internal/secret"
)

// Ledger is an open ledger. It is safe for concurrent use.
type Ledger struct {
	store store
	actor string
	now   func() time.Time // this machine's clock
	lock  *claimLock

	sightings *sightings
}

// store is one of the two databases.
type store interface {
	// write runs fn in one transaction and returns when it is durable. fn may
	// run several times; only the last run counts.
	write(ctx context.Context, o opening, fn func(*txn) error) error
	// reader returns what runs queries, nil if nothing was ever written. ahead are
	// those that will be asked first.
	reader(ctx context.Context, ahead ...statement) (queryFunc, error)
	// snapshot begins a transaction that reads the ledger as it is now; nil if nothing
	// was ever written.
	snapshot(ctx context.Context) (*sql.Tx, error)
	dialect() dialect
	clock() time.Time // the ledger's clock; this machine's before the first reader or write
	// probe changes nothing, and fails where payments would.
	probe(t *txn) error
	explain(err error) string // puts a driver's error into words, secrets hidden
	size(context.Context) (int64, error)
	verify(context.Context) (string, error) // "ok", or what is wrong
	kind() string
	where() string
	warning() string // as Ledger.Warning
	close() error
}

// statement is SQL, with a ? for each argument.
type statement struct {
	query string
	args  []any
}

// cursor is what a query returns, as sql.Rows.
type cursor interface {
	Next() bool
	Scan(into ...any) error
	Err() error
	Close() error
}

type queryFunc func(query string, args ...any) (cursor, error)

// opening is what a transaction begins with. Over PostgreSQL all of it takes one
// round trip: the locks are taken, then the reads are made, of which the same
// query with the same arguments returns the result once.
type opening struct {
	why   purpose
	locks []lockKey
	reads []statement
}

// purpose is what a transaction is for.
type purpose int

const (
	// claimTx lets a request leave. PostgreSQL never runs it again if it is not
	// known whether it was committed.
	claimTx purpose = iota
	// recordTx records what is known, and may be run again.
	recordTx
)

// txn is a running write transaction, or what queries run in.
type txn struct {
	now time.Time // the ledger's clock, to the millisecond
	// exec may run its statement later, at the latest before what is next asked
	// for. An error may come as late, and ends the transaction.
	exec  func(query string, args ...any) error
	query queryFunc
	// lock makes transactions with the same keys run one after the other, from the
	// next query to their end, and sets the clock by then. SQLite has but one writer
	// at a time and needs no more. Keys are locked in one order everywhere: bank
	// order, charge, Villa order.
	lock func(keys ...lockKey)
}

// ask runs a query that may have been read ahead.
func (t *txn) ask(s statement) (cursor, error) { return t.query(s.query, s.args...) }

// lockKey names what a transaction wants for itself.
type lockKey string

func chargeKey(scope, id string) lockKey    { return lockKey("charge\x00" + scope + "\x00" + id) }
func bankOrderKey(scope, id string) lockKey { return lockKey("bank order\x00" + scope + "\x00" + id) }
func orderKey(scope, id string) lockKey     { return lockKey("order\x00" + scope + "\x00" + id) }

// Open opens the ledger that dsn names: "sqlite", the file ledger.db in
// stateDir, a postgres:// (postgresql://) URL, or "none", a memory that ends with
// the process. Claims are locked by files in stateDir, which only SQLite needs.
// actor says who writes events, such as "user@host pid 123". now is this machine's
// clock, best with Go's monotonic reading.
//
// SQLite's file is made, 0600 in a directory 0700, when something is first
// written; a PostgreSQL server has to be there, and its schema is made when it is
// first used. The time until ctx's deadline is also how long a PostgreSQL server may
// be silent later. Every error is an *Error.
func Open(ctx context.Context, dsn secret.String, stateDir, actor string, now func() time.Time) (*Ledger, error) {
	l := &Ledger{
		actor: actor, now: now,
		lock: &claimLock{now: now}, sightings: &sightings{now: now, seen: map[int64]sighting{}},
	}
	var err error
	text := dsn.Reveal()
	if text != "none" && stateDir != "" {
		l.lock.dir = filepath.Join(stateDir, "claims")
	}
	switch {
	case text == "none":
		l.store, err = openSQLite("", now)
	case text == "sqlite":
		l.store, err = openSQLite(filepath.Join(stateDir, "ledger.db"), now)
	case strings.HasPrefix(text, "postgres://"), strings.HasPrefix(text, "postgresql://"):
		l.store, err = openPostgres(ctx, dsn, now)
	default:
		err = &Error{Op: "open", Where: "setting", text: "it must be sqlite or a postgres:// URL"}
	}
	if err != nil {
		return nil, err
	}
	return l, nil
}

// Close lets go of the database and of this process's claims.
func (l *Ledger) Close() error {
	err := l.store.close()
	l.lock.release()
	return l.wrap(err, "close")
}

// Kind is "sqlite", "postgres", or "none" for a memory.
func (l *Ledger) Kind() string { return l.store.kind() }

// Now is the time by the ledger's clock, which decides what may be shown: that of a
// PostgreSQL server, once it was asked, else this machine's.
func (l *Ledger) Now() time.Time { return l.store.clock() }

// Where is the SQLite file's path or the PostgreSQL server's URL, of which only
// user, host, port and database are shown.
func (l *Ledger) Where() string { return l.store.where() }

// Warning is what is to be said about the way to the ledger; "" if nothing is.
func (l *Ledger) Warning() string { return l.store.warning() }

// Health is how a ledger does.
type Health struct {
	SizeBytes int64 // on disk
	Payments  int64
	Integrity string // "ok", or what the database's own check found
}

// Writable checks that the ledger can be written, by writing to it what it holds,
// and makes the SQLite file if there is none.
func (l *Ledger) Writable(ctx context.Context) error {
	return l.wrap(l.store.write(ctx, opening{why: recordTx}, l.store.probe), "write")
}

// Check is Writable, and looks all of the ledger over, which takes seconds where
// it is large.
func (l *Ledger) Check(ctx context.Context) (Health, error) {
	var health Health
	err := l.Writable(ctx)
	if err != nil {
		return health, err
	}
	health.Payments, err = scalar[int64](l.read(ctx, `SELECT count(*) FROM villapay_payment`))
	if err == nil {
		health.SizeBytes, err = l.store.size(ctx)
	}
	if err == nil {
		health.Integrity, err = l.store.verify(ctx)
	}
	return health, l.wrap(err, "check")
}

// wrap makes an *Error of what the database said; nil stays nil, and so do the
// answers that are no failures of the ledger.
func (l *Ledger) wrap(err error, op string, args ...any) error {
	return wrap(l.store, err, op, args...)
}

func wrap(s store, err error, op string, args ...any) error {
	_, already := errors.AsType[*Error](err)
	_, doubt := errors.AsType[*order.DoubtError](err)
	if err == nil || already || doubt {
		return err
	}
	return &Error{Op: fmt.Sprintf(op, args...), Where: s.where(), text: s.explain(err), err: err}
}

// The ledger keeps milliseconds; 0 stands for no time at all.

func toMillis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

func fromMillis(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).In(order.Bangkok)
}
