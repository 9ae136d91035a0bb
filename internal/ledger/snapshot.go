package ledger

import (
	"context"
	"database/sql"
)

// Snapshot runs fn with the ledger as it is at one moment: fn does not see what others
// write meanwhile, unless it is a memory. One of fn's reads has to end before the next begins.
func (l *Ledger) Snapshot(ctx context.Context, fn func(*Ledger) error) error {
	if _, already := l.store.(*snapshotStore); already {
		return fn(l)
	}
	tx, err := l.store.snapshot(ctx)
	if err != nil {
		return l.wrap(err, "read")
	}
	if tx != nil {
		defer func() { _ = tx.Rollback() }() // it has written nothing
	}
	still := *l
	still.store = &snapshotStore{l.store, tx}
	return fn(&still)
}

// snapshot runs fn, which may read several times, in a Snapshot.
func (l *Ledger) snapshot(ctx context.Context, fn func(*txn) error) error {
	return l.Snapshot(ctx, func(l *Ledger) error {
		t, err := l.reading(ctx)
		if err != nil {
			return err
		}
		return fn(t)
	})
}

// snapshotStore is a store whose reads are of one moment.
type snapshotStore struct {
	store
	tx *sql.Tx // nil if nothing was ever written
}

func (s *snapshotStore) reader(ctx context.Context, _ ...statement) (queryFunc, error) {
	return func(query string, args ...any) (cursor, error) {
		if s.tx == nil {
			return noRows{}, nil
		}
		return asCursor(s.tx.QueryContext(ctx, s.dialect().bind(query), clean(args)...))
	}, nil
}

func (s *sqliteStore) snapshot(ctx context.Context) (*sql.Tx, error) {
	db, err := s.openReader(ctx)
	if err != nil || db == nil {
		return nil, err
	}
	return db.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
}

func (s *postgresStore) snapshot(ctx context.Context) (*sql.Tx, error) {
	if _, err := s.reader(ctx); err != nil { // looks at the server first
		return nil, err
	}
	return s.db.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true})
}
