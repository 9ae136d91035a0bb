package ledger

import (
	"cmp"
	"context"
	"crypto/tls"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/villapay/villapay/internal/backoff"
	"github.com/villapay/villapay/internal/pgurl"
	"github.com/villapay/villapay/internal/secret"
)

// postgresStore is a server that many machines share. It needs no more than
// what a connection pooler in transaction mode (PgBouncer) hands on: no
// prepared statements, and no setting or lock that outlives a transaction.
type postgresStore struct {
	db      *sql.DB
	url     string // to show: user, host, port and database only
	warning string
	secrets []secret.String

	now    func() time.Time // this machine's clock
	asked  time.Time        // on it, when the server's clock was asked
	server time.Time        // the server's clock then
}

// poolSize is how many connections one process opens at most.
const poolSize = 16

// connectionLife ends connections to a primary that has become a standby.
const connectionLife = 5 * time.Minute

// silentFor is how long a server may send nothing where something is awaited, if
// opening has no deadline that says so.
const silentFor = 30 * time.Second

func openPostgres(ctx context.Context, dsn secret.String, now func() time.Time) (*postgresStore, error) {
	shown, err := pgurl.Parse(dsn.Reveal())
	if err != nil {
		return nil, &Error{Op: "open", Where: "setting", text: err.Error(), err: err}
	}
	config, err := pgx.ParseConfig(dsn.Reveal())
	if err != nil {
		return nil, &Error{Op: "open", Where: shown.String(), text: "the PostgreSQL URL cannot be used: " + oneLine(secret.Redact(explainConfig(err), dsn)), err: err}
	}
	within := silentFor
	if deadline, ok := ctx.Deadline(); ok {
		within = time.Until(deadline)
	}
	config.DefaultQueryExecMode = pgx.QueryExecModeExec
	if config.ConnectTimeout == 0 || config.ConnectTimeout > within {
		config.ConnectTimeout = within
	}
	config.DialFunc = dialPatiently(within)
	if config.ValidateConnect == nil && manyHosts(config) {
		config.ValidateConnect = pgconn.ValidateConnectTargetSessionAttrsReadWrite
	}
	s := &postgresStore{
		url: shown.String(), now: now, warning: protect(config, dsn.Reveal()),
		secrets: []secret.String{dsn, secret.New(config.Password), secret.New(url.QueryEscape(config.Password))},
	}
	s.db = stdlib.OpenDB(*config)
	s.db.SetMaxOpenConns(poolSize)
	s.db.SetMaxIdleConns(poolSize)
	s.db.SetConnMaxLifetime(connectionLife)
	if err := s.prepare(ctx); err != nil {
		return nil, errors.Join(wrap(s, err, "open"), s.db.Close())
	}
	return s, nil
}

// explainConfig is why pgx cannot use a URL, without the URL.
func explainConfig(err error) string {
	if inner := errors.Unwrap(err); inner != nil {
		return inner.Error()
	}
	return "pgx cannot read it"
}

// protect keeps passwords from servers that are not proven to be the right ones.
// Off this machine, a server without TLS gets none unless the URL says
// sslmode=disable. It returns a warning if the server is not verified.
func protect(config *pgx.ConnConfig, dsn string) (warning string) {
	type end struct {
		host string
		tls  *tls.Config
	}
	ends := []end{{config.Host, config.TLSConfig}}
	for _, other := range config.Fallbacks {
		ends = append(ends, end{other.Host, other.TLSConfig})
	}
	remote := slices.ContainsFunc(ends, func(e end) bool { return !isLocal(e.host) })
	if !remote || strings.Contains(dsn, "sslmode=disable") {
		if remote {
			warning = "the connection to the ledger is not encrypted (sslmode=disable)"
		}
		return warning
	}
	config.Fallbacks = slices.DeleteFunc(config.Fallbacks, func(f *pgconn.FallbackConfig) bool { return f.TLSConfig == nil && !isLocal(f.Host) })
	if config.TLSConfig == nil && !isLocal(config.Host) && len(config.Fallbacks) > 0 { // sslmode=allow
		first := config.Fallbacks[0]
		config.Host, config.Port, config.TLSConfig, config.Fallbacks = first.Host, first.Port, first.TLSConfig, config.Fallbacks[1:]
	}
	if !strings.Contains(dsn, "sslmode=verify-full") {
		warning = "the ledger's server is not verified: add sslmode=verify-full to its URL"
	}
	return warning
}

// isLocal reports whether a host is this machine: a socket, or loopback.
func isLocal(host string) bool {
	ip := net.ParseIP(host)
	return strings.HasPrefix(host, "/") || host == "localhost" || ip != nil && ip.IsLoopback()
}

// dialPatiently makes connections on which a server that has stalled is noticed: no
// read waits longer than within.
func dialPatiently(within time.Duration) pgconn.DialFunc {
	dialer := &net.Dialer{Timeout: within, KeepAlive: 30 * time.Second}
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dialer.DialContext(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return &limitedConn{Conn: conn, within: within}, nil
	}
}

// limitedConn bounds each read, unless its user has set a deadline of its own.
type limitedConn struct {
	net.Conn
	within time.Duration

	mu  sync.Mutex
	own bool // its user has set a deadline
}

func (c *limitedConn) SetDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.own = !t.IsZero()
	return c.Conn.SetDeadline(t)
}

func (c *limitedConn) Read(p []byte) (int, error) {
	c.mu.Lock()
	if !c.own {
		_ = c.SetReadDeadline(time.Now().Add(c.within))
	}
	c.mu.Unlock()
	return c.Conn.Read(p)
}

func manyHosts(config *pgx.ConnConfig) bool {
	for _, other := range config.Fallbacks {
		if other.Host != config.Host || other.Port != config.Port {
			return true
		}
	}
	return false
}

// Codes of https://www.postgresql.org/docs/current/errcodes-appendix.html.
const (
	pgReadOnly     = "25006"
	pgNoTable      = "42P01"
	pgSerialize    = "40001"
	pgDeadlock     = "40P01"
	pgDuplicate    = "23505" // somebody was quicker; another look finds what they wrote
	pgShuttingDown = "57P0"  // 57P01 to 57P03: shutting down, or just starting
	pgConnection   = "08"    // class: connection exceptions
	pgCrowded      = "53300" // as many connections as there may be
	pgLockTimeout  = "55P03" // a lock was not to be had in time
	pgCanceled     = "57014" // a statement took too long
	pgIdle         = "25P03" // a transaction was idle for too long
	pgTooLong      = "25P04" // a transaction took too long
	pgResources    = "53"    // class: no memory, disk or connection to be had
)

const clockSQL = `(extract(epoch FROM clock_timestamp()) * 1000)::bigint`

// prepare looks at the server once: its clock, whether it takes writes, and the
// schema, which it brings up to date.
func (s *postgresStore) prepare(ctx context.Context) error {
	version, err := s.look(ctx)
	if code(err) == pgNoTable {
		version, err = 0, nil
	}
	if err == nil {
		err = checkVersion(version)
	}
	if err != nil || version == schemaVersion {
		return err
	}
	if err = s.migrate(ctx); err == nil {
		_, err = s.look(ctx)
	}
	return err
}

func (s *postgresStore) look(ctx context.Context) (version int, err error) {
	var readOnly bool
	var encoding string
	var clock int64
	err = s.db.QueryRowContext(ctx, `SELECT coalesce(max(version), 0), pg_is_in_recovery() OR current_setting('transaction_read_only') = 'on', current_setting('server_encoding'), `+clockSQL+` FROM villapay_schema`).
		Scan(&version, &readOnly, &encoding, &clock)
	switch {
	case err != nil:
	case readOnly:
		err = errReadOnly
	case encoding != "UTF8":
		err = errEncoding
	}
	s.asked, s.server = s.now(), time.UnixMilli(clock)
	return version, err
}

func (s *postgresStore) migrate(ctx context.Context) error {
	tx, err := s.db.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelReadCommitted})
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	var encoding string
	if err := tx.QueryRowContext(ctx, "SELECT current_setting('server_encoding')").Scan(&encoding); err != nil || encoding != "UTF8" {
		return cmp.Or(err, errEncoding)
	}
	for _, statement := range []string{
		"SELECT pg_advisory_xact_lock(" + lockID("schema") + ")", // CREATE TABLE IF NOT EXISTS alone may collide
		"CREATE TABLE IF NOT EXISTS villapay_schema (version BIGINT NOT NULL)",
	} {
		if _, err := tx.ExecContext(ctx, statement); err != nil {
			return err
		}
	}
	version := 0
	err = tx.QueryRowContext(ctx, "SELECT version FROM villapay_schema").Scan(&version)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	if version == schemaVersion {
		return tx.Commit()
	}
	if err := checkVersion(version); err != nil {
		return err
	}
	t := s.txn(ctx, tx)
	t.now = fromMillis(toMillis(s.now()))
	if err := migrate(ctx, t, tx, version, postgresDialect()); err != nil {
		return err
	}
	for _, statement := range []string{"DELETE FROM villapay_schema", fmt.Sprintf("INSERT INTO villapay_schema (version) VALUES (%d)", schemaVersion)} {
		if _, err := tx.ExecContext(ctx, statement); err != nil {
			return err
		}
	}
	return tx.Commit()
}

// lockID is an advisory lock's number.
func lockID(key lockKey) string {
	sum := fnv.New64a()
	_, _ = io.WriteString(sum, "villapay\x00"+string(key))
	return strconv.FormatInt(int64(sum.Sum64()), 10) //nolint:gosec // any 64 bits will do
}

// tries is how often a claim's transaction is run at most if it fails for transient
// reasons: conflicts, and connections lost before the commit. What is recorded is
// tried until its deadline.
const tries = 5

func (s *postgresStore) write(ctx context.Context, why purpose, fn func(*txn) error) error {
	for try := 1; ; try++ {
		err := s.transact(ctx, fn)
		again := isTransient(err) || why == recordTx && isPassing(err)
		_, bounded := ctx.Deadline()
		if err == nil || !again || try >= tries && (why == claimTx || !bounded) || ctx.Err() != nil {
			return err
		}
		if backoff.Sleep(ctx, time.Duration(min(try*try, 50))*20*time.Millisecond) != nil {
			return err
		}
	}
}

// isPassing reports whether recording is tried again after an error that ends a
// claim.
func isPassing(err error) bool {
	switch sqlstate := code(err); sqlstate {
	case pgLockTimeout, pgCanceled, pgIdle, pgTooLong:
		return true
	default:
		return errors.Is(err, errCommitUnsure) || strings.HasPrefix(sqlstate, pgResources)
	}
}

// isTransient reports whether an error of an uncommitted transaction may go away
// by itself.
func isTransient(err error) bool {
	if errors.Is(err, errCommitUnsure) {
		return false
	}
	switch sqlstate := code(err); {
	case sqlstate == pgSerialize, sqlstate == pgDeadlock, sqlstate == pgDuplicate, sqlstate == pgCrowded, ending(sqlstate):
		return true
	case sqlstate != "":
		return false
	}
	return lost(err)
}

// ending reports whether a server, or the pooler before it, ends the connection
// with an error code. It says nothing about a commit that was under way.
func ending(sqlstate string) bool {
	return strings.HasPrefix(sqlstate, pgShuttingDown) || strings.HasPrefix(sqlstate, pgConnection)
}

// lost reports whether the connection broke.
func lost(err error) bool {
	_, network := errors.AsType[net.Error](err)
	return network || errors.Is(err, driver.ErrBadConn) || errors.Is(err, pgconn.ErrConnClosed) ||
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}

// code is the server's error code, "" if it is not the server that failed.
func code(err error) string {
	if failure, ok := errors.AsType[*pgconn.PgError](err); ok {
		return failure.Code
	}
	return ""
}

// begin starts with the clock, and sees to it that a commit waits for the disk
// also if the server's default is not to.
const begin = `SELECT CASE WHEN current_setting('synchronous_commit') IN ('off', 'local', 'remote_write')
	THEN set_config('synchronous_commit', 'on', true) END, ` + clockSQL + ``

func (s *postgresStore) transact(ctx context.Context, fn func(*txn) error) error {
	tx, err := s.db.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelReadCommitted})
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	t := s.txn(ctx, tx)
	if err := t.clock(tx.QueryRowContext(ctx, begin)); err != nil {
		return err
	}
	if err := fn(t); err != nil {
		return err
	}
	err = tx.Commit()
	switch {
	case err == nil:
		return nil
	case code(err) != "" && !ending(code(err)), errors.Is(err, pgx.ErrTxCommitRollback):
		return err // the server itself says that it did not
	}
	return fmt.Errorf("%w: %w", errCommitUnsure, err)
}

func (s *postgresStore) txn(ctx context.Context, tx *sql.Tx) *txn {
	t := &txn{
		exec: func(query string, args ...any) (int64, error) {
			result, err := tx.ExecContext(ctx, s.bind(query), clean(args)...)
			if err != nil {
				return 0, err
			}
			return result.RowsAffected()
		},
		query: func(query string, args ...any) (*sql.Rows, error) {
			return tx.QueryContext(ctx, s.bind(query), clean(args)...)
		},
	}
	t.lock = func(keys ...lockKey) error {
		var locks strings.Builder
		for _, key := range keys {
			locks.WriteString("pg_advisory_xact_lock(" + lockID(key) + ")::text || ")
		}
		// The clock is read last, since the locks may have been waited for.
		return t.clock(tx.QueryRowContext(ctx, "SELECT "+locks.String()+"'', "+clockSQL))
	}
	return t
}

// clock takes the ledger's clock from the second column of a row.
func (t *txn) clock(row *sql.Row) error {
	var ms int64
	var rest sql.NullString
	err := row.Scan(&rest, &ms)
	t.now = fromMillis(ms)
	return err
}

// probe needs what a payment needs, as the role's permissions are asked for also
// if there is no row to write.
func (*postgresStore) probe() (version string, statements []string) {
	return "SELECT version FROM villapay_schema", []string{
		"UPDATE villapay_payment SET state = state WHERE false",
		"INSERT INTO villapay_payment OVERRIDING SYSTEM VALUE SELECT * FROM villapay_payment WHERE false",
		"INSERT INTO villapay_report OVERRIDING SYSTEM VALUE SELECT * FROM villapay_report WHERE false",
		"INSERT INTO villapay_event OVERRIDING SYSTEM VALUE SELECT * FROM villapay_event WHERE false",
	}
}

func (s *postgresStore) reader(context.Context) (*sql.DB, error) { return s.db, nil }
func (*postgresStore) dialect() dialect                          { return postgresDialect() }
func (*postgresStore) kind() string                              { return "postgres" }
func (s *postgresStore) where() string                           { return s.url }
func (s *postgresStore) explain(err error) string                { return secret.Redact(explain(err), s.secrets...) }
func (s *postgresStore) close() error                            { return s.db.Close() }

// clock extrapolates the server's clock from when it was asked.
func (s *postgresStore) clock() time.Time { return s.server.Add(s.now().Sub(s.asked)) }

// bind turns ? into $1, $2, …; no query here holds a ? that means anything else.
func (*postgresStore) bind(query string) string {
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

func (s *postgresStore) size(ctx context.Context) (size int64, err error) {
	err = s.db.QueryRowContext(ctx, `SELECT pg_total_relation_size('villapay_payment') + pg_total_relation_size('villapay_report') + pg_total_relation_size('villapay_event')`).Scan(&size)
	return size, err
}

// verify leaves the checking of pages to the server, which does it on reading.
func (s *postgresStore) verify(context.Context) (string, error) { return "ok", nil }
