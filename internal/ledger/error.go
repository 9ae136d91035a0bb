package ledger

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/villapay/villapay/internal/order"
)

// Error says that the ledger itself failed: it cannot be opened, read or
// written. Its text names the ledger and never shows a secret.
type Error struct {
	Op    string // what was being done, such as "claim order 4925"
	Where string // which ledger, as Ledger.Where
	text  string
	err   error
}

func (e *Error) Error() string { return e.Op + ": ledger " + e.Where + ": " + e.text }

// Transient reports whether trying again may succeed: another process kept the ledger
// locked, or its server could not be reached or had no time.
func (e *Error) Transient() bool { return isBusy(e.err) || isTransient(e.err) || mayRecordAgain(e.err) }

// OutOfTime reports whether the ledger did not answer within a time limit.
func (e *Error) OutOfTime() bool { return outOfTime(e.err) }

func outOfTime(err error) bool {
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded)
}

// Unwrap returns the driver's error. Its own text is not checked for secrets.
func (e *Error) Unwrap() error { return e.err }

// KeyUsedError says that an idempotency key cannot be used for what was asked:
// it belongs to another order or source, or was given together with New.
type KeyUsedError struct {
	Key     string
	OrderID string // what the key belongs to
	Source  order.Source
	New     bool // it belongs to what was asked, but --new needs a fresh key
}

func (e *KeyUsedError) Error() string {
	if e.New {
		return fmt.Sprintf("the idempotency key %q already belongs to a payment of order %s; another payment needs another key", e.Key, e.OrderID)
	}
	return fmt.Sprintf("the idempotency key %q already belongs to order %s, source %s", e.Key, e.OrderID, e.Source)
}

// ErrClaimLost says that another process has taken the claim over, or that an
// order is recorded already: what came with it was kept as an event only.
var ErrClaimLost = errors.New("the claim was taken over")

// ErrNewerSchema says that the ledger was written by a newer version of the
// tool, which this one must not touch. It is wrapped in an *Error.
var ErrNewerSchema = errors.New("it was written by a newer version of villapay; update this one")

var (
	errReadOnly     = errors.New("the PostgreSQL server takes no writes (a standby, or read-only): the ledger needs a writable primary")
	errCommitUnsure = errors.New("the connection was lost while committing, so it is not known whether this was recorded")
	errTogether     = errors.New("a transaction of several callers failed")
	errMoved        = errors.New("the file was moved, replaced or removed while it was open; restart to use the new one")
	errEncoding     = errors.New("the PostgreSQL database's encoding is not UTF8, so it cannot hold Thai; create one with ENCODING 'UTF8'")
	errOldSchema    = errors.New("its schema has to be brought up to date")
	errGone         = errors.New("the payment is not in the ledger")
)

// explain puts a driver's error into words.
func explain(err error) string {
	if lite, ok := errors.AsType[*sqlite.Error](err); ok {
		return explainSQLite(lite)
	}
	if code(err) == pgReadOnly {
		return errReadOnly.Error()
	}
	return oneLine(err.Error())
}

// oneLine joins the lines of a driver's message, each once.
func oneLine(text string) string {
	var lines []string
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); !slices.Contains(lines, line) {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, " ")
}

// explainSQLite knows the result codes of https://sqlite.org/rescode.html that
// a person can do something about.
func explainSQLite(err *sqlite.Error) string {
	text := ""
	switch err.Code() & 0xff {
	case sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT:
		text = "the file is damaged or is not a ledger; it was left as it is (move it away, or restore a backup)"
	case sqlite3.SQLITE_FULL:
		text = "the disk is full"
	case sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_CANTOPEN:
		text = "the file or its directory cannot be written"
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED:
		text = "another process kept it locked for too long"
	case sqlite3.SQLITE_IOERR:
		text = "the disk failed"
		if err.Code() == sqlite3.SQLITE_IOERR_SHMSIZE { // its shared memory could not grow
			text = "the disk is full"
		}
	default:
		return err.Error()
	}
	return text + ": " + err.Error()
}
