package ledger

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/stdlib"
)

// A server may be far away, and whatever is waited for takes a round trip. So what
// a transaction begins with is sent at once (opening), statements without a result
// are sent with the next that has one, and what is recorded with its commit. A
// claim's commit goes alone, after everything else has succeeded: only an error of
// the commit itself leaves it open whether the claim was made.

// pipeline is a connection that one caller has for itself.
type pipeline struct {
	store *postgresStore
	ctx   context.Context //nolint:containedctx // the caller's, who has the connection no longer
	conn  *pgconn.PgConn
	types *pgtype.Map
	queue []statement // not sent yet
	ahead map[string]*result
	now   func(time.Time) // takes the server's clock
}

// use runs fn on a connection, and leaves no transaction open.
func (s *postgresStore) use(ctx context.Context, fn func(*pipeline) error) error {
	conn, err := s.db.Conn(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	return conn.Raw(func(driver any) error {
		p := &pipeline{store: s, ctx: ctx, conn: driver.(*stdlib.Conn).Conn().PgConn(), types: pgtype.NewMap(), now: func(time.Time) {}}
		err := fn(p)
		if p.conn.TxStatus() != 'I' && !p.conn.IsClosed() {
			p.ctx, p.queue = context.WithoutCancel(ctx), nil
			if _, failed := p.send(statement{query: "rollback"}); failed != nil {
				_ = p.conn.Close(p.ctx)
			}
		}
		return err
	})
}

// clockSQL is the server's clock, in ms. It comes last in a statement that takes
// locks, since these may have been waited for.
const clockSQL = `(extract(epoch FROM clock_timestamp()) * 1000)::bigint`

// send sends what is queued and more statements in one round trip, and returns the
// results of the latter, beside an error those that there are.
func (p *pipeline) send(more ...statement) (results []*result, _ error) {
	all := append(p.queue, more...)
	first := len(p.queue)
	p.queue = nil
	batch := &pgconn.Batch{}
	for _, s := range all {
		batch.ExecParams(bind(s.query), values(s.args), nil, nil, nil)
	}
	read, err := p.conn.ExecBatch(p.ctx, batch).ReadAll()
	for i, r := range read {
		switch {
		case r.Err != nil:
			return results, err
		case strings.HasSuffix(all[i].query, clockSQL):
			ms, _ := strconv.ParseInt(string(r.Rows[0][len(r.FieldDescriptions)-1]), 10, 64)
			p.store.setClock(time.UnixMilli(ms))
			p.now(fromMillis(ms))
		}
		if i >= first {
			results = append(results, &result{Result: r, types: p.types})
		}
	}
	return results, err
}

// look says whether payments can be kept on a server.
const look = `SELECT coalesce(max(version), 0), pg_is_in_recovery() OR current_setting('transaction_read_only') = 'on', current_setting('server_encoding') FROM villapay_schema`

// open takes locks and reads ahead, all in one round trip with what is queued. The
// first that is asked of a server is whether it is fit.
func (p *pipeline) open(locks []lockKey, reads []statement) error {
	// A commit has to wait for the disk also where the server's default is not to.
	const durable = `SELECT CASE WHEN current_setting('synchronous_commit') IN ('off', 'local', 'remote_write') THEN set_config('synchronous_commit', 'on', true) END, `
	ahead := append([]statement{{query: durable + lockSQL(locks)}}, reads...)
	if !p.store.fit.Load() {
		ahead = append([]statement{{query: look}}, ahead...)
	}
	results, err := p.send(ahead...)
	if ahead[0].query == look {
		if err := fit(results, err); err != nil {
			return err
		}
		p.store.fit.Store(true)
	}
	if err != nil {
		return err
	}
	p.ahead = map[string]*result{}
	for i, r := range results {
		p.ahead[ahead[i].key()] = r
	}
	return nil
}

// fit takes the answer to look, which may stand before an error.
func fit(results []*result, err error) error {
	if len(results) == 0 && code(err) == pgNoTable {
		return errOldSchema
	}
	if len(results) == 0 || !results[0].Next() {
		return err
	}
	var version int
	var readOnly bool
	var encoding string
	err = results[0].Scan(&version, &readOnly, &encoding)
	switch {
	case err != nil:
		return err
	case readOnly:
		return errReadOnly
	case encoding != "UTF8":
		return errEncoding
	case version < schemaVersion:
		return errOldSchema
	}
	return checkVersion(version)
}

// key tells statements apart.
func (s statement) key() string { return fmt.Sprintf("%s %#v", s.query, s.args) }

// lockSQL takes locks, and ends with the clock.
func lockSQL(keys []lockKey) string {
	var locks strings.Builder
	for _, key := range keys {
		locks.WriteString("pg_advisory_xact_lock(" + lockID(key) + ")::text || ")
	}
	return locks.String() + "'', " + clockSQL
}

// lockID is an advisory lock's number.
func lockID(key lockKey) string {
	sum := fnv.New64a()
	_, _ = io.WriteString(sum, "villapay\x00"+string(key))
	return strconv.FormatInt(int64(sum.Sum64()), 10) //nolint:gosec // any 64 bits will do
}

const begin = "begin isolation level read committed"

func (p *pipeline) transact(o opening, fn func(*txn) error) error {
	t := p.txn()
	p.queue = []statement{{query: begin}}
	if err := p.open(o.locks, o.reads); err != nil {
		return err
	}
	if err := fn(t); err != nil {
		return err
	}
	if o.why == claimTx && len(p.queue) > 0 {
		if _, err := p.send(); err != nil {
			return err
		}
	}
	return p.commit()
}

func (p *pipeline) commit() error {
	if err := p.ctx.Err(); err != nil {
		return err
	}
	done, err := p.send(statement{query: "commit"})
	switch {
	case err == nil && done[0].CommandTag.String() != "COMMIT":
		return pgx.ErrTxCommitRollback
	case err == nil, code(err) != "" && !ending(code(err)):
		return err // the server itself says that it did not
	}
	return fmt.Errorf("%w: %w", errCommitUnsure, err)
}

func (p *pipeline) txn() *txn {
	t := &txn{
		exec: func(query string, args ...any) error {
			p.queue = append(p.queue, statement{query, args})
			return nil
		},
		query: func(query string, args ...any) (cursor, error) {
			s := statement{query, args}
			if r := take(p.ahead, s); r != nil {
				return r, nil
			}
			results, err := p.send(s)
			if err != nil {
				return nil, err
			}
			return results[0], nil
		},
		lock: func(keys ...lockKey) { p.queue = append(p.queue, statement{query: "SELECT " + lockSQL(keys)}) },
	}
	p.now = func(now time.Time) { t.now = now }
	return t
}

// take takes what was read ahead, nil if it was not.
func take(ahead map[string]*result, s statement) *result {
	r := ahead[s.key()]
	delete(ahead, s.key())
	return r
}

// migrate makes the schema, or brings it up to date.
func (p *pipeline) migrate() error {
	t := p.txn()
	encoding, err := scalar[string](t.query("SELECT current_setting('server_encoding')"))
	if err != nil || encoding != "UTF8" {
		return cmp.Or(err, errEncoding)
	}
	p.queue = []statement{{query: begin}}
	t.lock("schema") // CREATE TABLE IF NOT EXISTS alone may collide
	err = t.exec("CREATE TABLE IF NOT EXISTS villapay_schema (version BIGINT NOT NULL)")
	version, failed := scalar[int](t.query("SELECT coalesce(max(version), 0) FROM villapay_schema"))
	if err = errors.Join(err, failed); err == nil && version < schemaVersion {
		err = errors.Join(migrate(t, version, postgresDialect()),
			t.exec("DELETE FROM villapay_schema"), t.exec(fmt.Sprintf("INSERT INTO villapay_schema (version) VALUES (%d)", schemaVersion)))
	}
	if err == nil {
		err = p.commit()
	}
	if err != nil {
		return fmt.Errorf("bring the schema to version %d: %w", schemaVersion, err)
	}
	return nil
}

// reader sends the queries ahead together with the first look at the server.
func (s *postgresStore) reader(ctx context.Context, ahead ...statement) (queryFunc, error) {
	var served map[string]*result
	if len(ahead) > 0 || !s.fit.Load() {
		err := s.retry(ctx, claimTx, func(p *pipeline) error {
			err := p.open(nil, ahead)
			served = p.ahead
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return func(query string, args ...any) (cursor, error) {
		if r := take(served, statement{query, args}); r != nil {
			return r, nil
		}
		return asCursor(s.db.QueryContext(ctx, bind(query), clean(args)...))
	}, nil
}

// bind turns ? into $1, $2, …; no query here holds a ? that means anything else.
func bind(query string) string {
	var out strings.Builder
	n := 0
	for part := range strings.SplitSeq(query, "?") {
		if n > 0 {
			out.WriteString("$" + strconv.Itoa(n))
		}
		out.WriteString(part)
		n++
	}
	return out.String()
}

// values are arguments as PostgreSQL reads them; nil is NULL.
func values(args []any) [][]byte {
	texts := make([][]byte, len(args))
	for i, arg := range clean(args) {
		if arg != nil {
			texts[i] = []byte(fmt.Sprint(arg)) // not nil for ""
		}
	}
	return texts
}

// result is what a query returned, in memory.
type result struct {
	*pgconn.Result
	types *pgtype.Map
	next  int
}

func (r *result) Next() bool {
	r.next++
	return r.next <= len(r.Rows)
}

func (r *result) Scan(into ...any) error {
	return pgx.ScanRow(r.types, r.FieldDescriptions, r.Rows[r.next-1], into...)
}

func (*result) Err() error   { return nil }
func (*result) Close() error { return nil }
