package ledger

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/stdlib"
	"golang.org/x/sync/errgroup"
)

// A server may be far away, and whatever is waited for takes a round trip. So what
// a transaction begins with is sent at once (opening), statements without a result
// are sent with the next that has one, and what is recorded with its commit. A
// claim's commit goes alone, after everything else has succeeded: only an error of
// the commit itself leaves it open whether the claim was made.

// exchange sends statements in one round trip, and returns the results of those
// before the first that fails.
type exchange func([]statement) ([]*pgconn.Result, error)

// use runs fn with a connection, and leaves no transaction open.
func (s *postgresStore) use(ctx context.Context, fn func(exchange) error) error {
	conn, err := s.db.Conn(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	return conn.Raw(func(driver any) error {
		conn := driver.(*stdlib.Conn).Conn().PgConn()
		send := func(ctx context.Context, statements ...statement) ([]*pgconn.Result, error) {
			batch := &pgconn.Batch{}
			for _, s := range statements {
				batch.ExecParams(bind(s.query), values(s.args), nil, nil, nil)
			}
			results, err := conn.ExecBatch(ctx, batch).ReadAll()
			if n := len(results); n > 0 && results[n-1].Err != nil {
				results = results[:n-1]
			}
			return results, err
		}
		err := fn(func(statements []statement) ([]*pgconn.Result, error) { return send(ctx, statements...) })
		if conn.TxStatus() != 'I' && !conn.IsClosed() {
			if _, failed := send(context.WithoutCancel(ctx), statement{query: "rollback"}); failed != nil {
				_ = conn.Close(ctx)
			}
		}
		return err
	})
}

// pipeline is what one caller sends.
type pipeline struct {
	txn
	store    *postgresStore
	exchange exchange
	queue    []statement        // not sent yet
	ahead    map[string]*result // what was read ahead, by statement.key
}

func (s *postgresStore) pipeline(send exchange) *pipeline {
	p := &pipeline{store: s, exchange: send, ahead: map[string]*result{}}
	p.exec = func(query string, args ...any) error {
		p.queue = append(p.queue, statement{query, args})
		return nil
	}
	p.lock = func(keys ...lockKey) { p.queue = append(p.queue, statement{query: "SELECT " + lockSQL(keys)}) }
	p.query = func(query string, args ...any) (cursor, error) {
		s := statement{query, args}
		if r := take(p.ahead, s); r != nil {
			return r, nil
		}
		results, err := p.send(s)
		if err != nil {
			return nil, err
		}
		return results[0], nil
	}
	return p
}

// clockSQL is the server's clock, in ms. It comes last in a statement that takes
// locks, since these may have been waited for.
const clockSQL = `(extract(epoch FROM clock_timestamp()) * 1000)::bigint`

// send sends what is queued and more statements, and returns the results of the
// latter, beside an error those that there are.
func (p *pipeline) send(more ...statement) (results []*result, _ error) {
	all, queued := slices.Concat(p.queue, more), len(p.queue)
	p.queue = nil
	read, err := p.exchange(all)
	for i, r := range read {
		if strings.HasSuffix(all[i].query, clockSQL) {
			ms, _ := strconv.ParseInt(string(r.Rows[0][len(r.FieldDescriptions)-1]), 10, 64)
			p.now = fromMillis(ms)
			p.store.setClock(p.now)
		}
		if i >= queued {
			results = append(results, &result{Result: r, types: pgtype.NewMap()})
		}
	}
	return results, err
}

// look says whether payments can be kept on a server.
const look = `SELECT coalesce(max(version), 0), pg_is_in_recovery() OR current_setting('transaction_read_only') = 'on', current_setting('server_encoding') FROM villapay_schema`

// open takes locks and returns what is read ahead, all in one round trip with what
// is queued. The first that is asked of a server is whether it is fit.
func (p *pipeline) open(locks []lockKey, reads []statement) ([]*result, error) {
	// A commit has to wait for the disk also where the server's default is not to.
	const durable = `SELECT CASE WHEN current_setting('synchronous_commit') IN ('off', 'local', 'remote_write') THEN set_config('synchronous_commit', 'on', true) END, `
	slices.Sort(locks) // bank orders, charges, Villa orders
	first := []statement{{query: durable + lockSQL(locks)}}
	fit := p.store.fit.Load()
	if !fit {
		first = append(first, statement{query: look})
	}
	results, err := p.send(append(first, reads...)...)
	if !fit {
		if err := isFit(results, err); err != nil {
			return nil, err
		}
		p.store.fit.Store(true)
	}
	if err != nil {
		return nil, err
	}
	return results[len(first):], nil
}

// isFit takes the answer to look, which may stand before an error.
func isFit(results []*result, err error) error {
	if len(results) == 1 && code(err) == pgNoTable {
		return errOldSchema
	}
	if len(results) < 2 || !results[1].Next() {
		return err
	}
	var version int
	var readOnly bool
	var encoding string
	err = results[1].Scan(&version, &readOnly, &encoding)
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

// write has a transaction with locks made together with others, and any other
// alone.
func (s *postgresStore) write(ctx context.Context, o opening, fn func(*txn) error) error {
	j := newJob(ctx, o, fn)
	alone := len(o.locks) == 0
	return s.retry(ctx, o.why, func() error {
		if !alone {
			alone = true
			if err := s.do(j, s.leadWrite); !errors.Is(err, errTogether) {
				return err
			}
		}
		return s.use(ctx, func(send exchange) error { return s.transact(ctx, send, []*job{j}) })
	})
}

// leadWrite runs the waiting jobs that have the leader's purpose, and no lock that
// another of them has: what one does, none of the others may depend on.
func (s *postgresStore) leadWrite(own *job) {
	held := map[lockKey]bool{}
	jobs := s.take(own, func(j *job) bool {
		if j.why != own.why || slices.ContainsFunc(j.locks, func(key lockKey) bool { return held[key] }) {
			return false
		}
		for _, key := range j.locks {
			held[key] = true
		}
		return true
	})
	if len(jobs) == 0 {
		return
	}
	ctx := own.ctx
	if len(jobs) > 1 { // who gives up ends it for all: the others go on alone
		var cancel context.CancelFunc
		ctx, cancel = context.WithCancel(context.WithoutCancel(ctx))
		defer cancel()
		for _, j := range jobs {
			defer context.AfterFunc(j.ctx, cancel)()
		}
	}
	err := s.use(ctx, func(send exchange) error { return s.transact(ctx, send, jobs) })
	if err != nil && len(jobs) > 1 && !errors.Is(err, errCommitUnsure) {
		err = fmt.Errorf("%w: %w", errTogether, err)
	}
	for _, j := range jobs {
		j.finish(err)
	}
}

// transact runs jobs in one transaction, side by side, so that what they wait for
// is sent together.
func (s *postgresStore) transact(ctx context.Context, send exchange, jobs []*job) error {
	var locks []lockKey
	var reads []statement
	for _, j := range jobs {
		locks, reads = append(locks, j.locks...), append(reads, j.reads...)
	}
	p := s.pipeline(send)
	p.queue = []statement{{query: begin}}
	read, err := p.open(locks, reads)
	if err != nil {
		return err
	}
	batch := &batcher{exchange: send, running: len(jobs), held: map[lockKey]*job{}}
	var group errgroup.Group
	parts := make([]*pipeline, len(jobs))
	for i, j := range jobs {
		part := s.pipeline(batch.send)
		part.now = p.now
		for n, statement := range j.reads {
			part.ahead[statement.key()] = read[n]
		}
		read, parts[i] = read[len(j.reads):], part
		batch.hold(j, j.locks)
		lock := part.lock
		part.lock = func(keys ...lockKey) {
			batch.hold(j, keys)
			lock(keys...)
		}
	}
	for i, j := range jobs {
		group.Go(func() error {
			defer batch.leave()
			return j.fn(&parts[i].txn)
		})
	}
	if err := cmp.Or(group.Wait(), batch.err); err != nil {
		return err
	}
	for _, part := range parts {
		p.queue = append(p.queue, part.queue...)
	}
	if jobs[0].why == claimTx && len(p.queue) > 0 {
		if _, err := p.send(); err != nil {
			return err
		}
	}
	return p.commit(ctx)
}

func (p *pipeline) commit(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	done, err := p.send(statement{query: "commit"})
	switch {
	case err == nil && done[0].CommandTag.String() != "COMMIT":
		return pgx.ErrTxCommitRollback
	case err == nil, code(err) != "" && !endsConnection(code(err)):
		return err // the server itself says that it did not
	}
	return fmt.Errorf("%w: %w", errCommitUnsure, err)
}

// batcher sends together what the callers of one transaction send.
type batcher struct {
	exchange exchange

	mu      sync.Mutex
	running int     // callers
	calls   []*call // of those that wait
	held    map[lockKey]*job
	err     error // the transaction has failed
}

// call is what a caller sends.
type call struct {
	statements []statement
	results    []*pgconn.Result
	done       chan struct{}
}

// send waits until every caller waits, or has left, and then sends what all of them
// send.
func (b *batcher) send(statements []statement) ([]*pgconn.Result, error) {
	own := &call{statements: statements, done: make(chan struct{})}
	b.mu.Lock()
	b.calls = append(b.calls, own)
	b.mu.Unlock()
	b.flush()
	<-own.done
	b.mu.Lock()
	defer b.mu.Unlock()
	return own.results, b.err
}

func (b *batcher) leave() {
	b.mu.Lock()
	b.running--
	b.mu.Unlock()
	b.flush()
}

func (b *batcher) flush() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.calls) == 0 || len(b.calls) < b.running {
		return
	}
	var all []statement
	for _, call := range b.calls {
		all = append(all, call.statements...)
	}
	var results []*pgconn.Result
	if b.err == nil {
		results, b.err = b.exchange(all)
	}
	for _, call := range b.calls {
		if b.err == nil {
			call.results, results = results[:len(call.statements)], results[len(call.statements):]
		}
		close(call.done)
	}
	b.calls = nil
}

// hold notes whose a lock is. Two callers that want the same one cannot be in the
// same transaction, whose lock it would be.
func (b *batcher) hold(j *job, keys []lockKey) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, key := range keys {
		if other := b.held[key]; other != nil && other != j {
			b.err = errTogether
		}
		b.held[key] = j
	}
}

// take takes what was read ahead, nil if it was not.
func take(ahead map[string]*result, s statement) *result {
	r := ahead[s.key()]
	delete(ahead, s.key())
	return r
}

// migrate makes the schema, or brings it up to date.
func (s *postgresStore) migrate(send exchange) error {
	p := s.pipeline(send)
	encoding, err := scalar[string](p.query("SELECT current_setting('server_encoding')"))
	if err != nil || encoding != "UTF8" {
		return cmp.Or(err, errEncoding)
	}
	p.queue = []statement{{query: begin}}
	p.lock("schema") // CREATE TABLE IF NOT EXISTS alone may collide
	err = p.exec("CREATE TABLE IF NOT EXISTS villapay_schema (version BIGINT NOT NULL)")
	version, failed := scalar[int](p.query("SELECT coalesce(max(version), 0) FROM villapay_schema"))
	if err = errors.Join(err, failed); err == nil && version < schemaVersion {
		err = errors.Join(migrate(&p.txn, version, postgresDialect()),
			p.exec("DELETE FROM villapay_schema"), p.exec(fmt.Sprintf("INSERT INTO villapay_schema (version) VALUES (%d)", schemaVersion)))
	}
	if err == nil {
		err = p.commit(context.Background())
	}
	if err != nil {
		return fmt.Errorf("bring the schema to version %d: %w", schemaVersion, err)
	}
	return nil
}

// reader sends the queries ahead together with the first look at the server.
func (s *postgresStore) reader(ctx context.Context, ahead ...statement) (queryFunc, error) {
	p := s.pipeline(nil)
	if len(ahead) > 0 || !s.fit.Load() {
		ctx, cancel := context.WithTimeout(ctx, s.within) // tries together
		defer cancel()
		err := s.retry(ctx, claimTx, func() error {
			return s.use(ctx, func(send exchange) error {
				p.exchange = send
				read, err := p.open(nil, ahead)
				for i, r := range read {
					p.ahead[ahead[i].key()] = r
				}
				return err
			})
		})
		if err != nil {
			return nil, err
		}
	}
	return func(query string, args ...any) (cursor, error) {
		if r := take(p.ahead, statement{query, args}); r != nil {
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
