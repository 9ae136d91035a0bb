package ledger

import (
	"context"
	"crypto/tls"
	"database/sql"
	"database/sql/driver"
	"errors"
	"io"
	"net"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
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
	queue
	db      *sql.DB
	url     string // to show: user, host, port and database only
	warns   string
	secrets []secret.String

	now    func() time.Time // this machine's clock
	within time.Duration    // how long the server may be silent

	fit    atomic.Bool // the server was found fit for payments
	clocks sync.Mutex
	asked  time.Time // on this machine's clock, when the server's was asked
	server time.Time // the server's clock then
}

// poolSize is how many connections one process opens at most, and leaders how many
// of them write for several callers.
const (
	poolSize = 16
	leaders  = 8
)

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
	config.DialFunc = dialWithin(within)
	if config.ValidateConnect == nil && manyHosts(config) {
		config.ValidateConnect = pgconn.ValidateConnectTargetSessionAttrsReadWrite
	}
	warning, err := protect(config, shown.SSLMode)
	if err != nil {
		return nil, &Error{Op: "open", Where: shown.String(), text: err.Error(), err: err}
	}
	s := &postgresStore{
		queue: queue{lead: make(chan struct{}, leaders)},
		url:   shown.String(), now: now, within: within, warns: warning,
		secrets: []secret.String{dsn, secret.New(config.Password), secret.New(url.QueryEscape(config.Password))},
	}
	s.db = stdlib.OpenDB(*config, stdlib.OptionShouldPing(func(_ context.Context, p stdlib.ShouldPingParams) bool {
		return p.IdleDuration > time.Second && p.IdleDuration < connectionLife // longer: a new one
	}))
	s.db.SetMaxOpenConns(poolSize)
	s.db.SetMaxIdleConns(poolSize)
	s.db.SetConnMaxLifetime(connectionLife)
	// No more than to connect: what the ledger is first used for looks at the server.
	if err := s.retry(ctx, claimTx, func() error { return s.use(ctx, func(exchange) error { return nil }) }); err != nil {
		return nil, errors.Join(wrap(s, err, "open"), s.db.Close())
	}
	return s, nil
}

// explainConfig is why pgx cannot use a URL, without the URL, which holds no blank.
func explainConfig(err error) string {
	_, why, _ := strings.Cut(err.Error(), "`: ")
	return why
}

// protect keeps passwords from servers that are not proven to be the right ones.
// Off this machine, a server without TLS gets none unless the URL's own sslmode is
// disable: PGSSLMODE and service files, which pgx reads too, are easily forgotten. It
// returns a warning if the server is not verified.
func protect(config *pgx.ConnConfig, sslmode string) (warning string, _ error) {
	var remote []*tls.Config
	if !isLocal(config.Host) {
		remote = append(remote, config.TLSConfig)
	}
	for _, other := range config.Fallbacks {
		if !isLocal(other.Host) {
			remote = append(remote, other.TLSConfig)
		}
	}
	encrypted := func(c *tls.Config) bool { return c != nil }
	switch {
	case len(remote) == 0:
		return "", nil
	case sslmode == "disable":
		return "the connection to the ledger is not encrypted (sslmode=disable)", nil
	case !slices.ContainsFunc(remote, encrypted):
		return "", errors.New("PGSSLMODE or a service file turns TLS off, and the server is not on this machine: unset it, or put sslmode into the URL")
	}
	config.Fallbacks = slices.DeleteFunc(config.Fallbacks, func(f *pgconn.FallbackConfig) bool { return f.TLSConfig == nil && !isLocal(f.Host) })
	if config.TLSConfig == nil && !isLocal(config.Host) { // sslmode=allow
		first := config.Fallbacks[0]
		config.Host, config.Port, config.TLSConfig, config.Fallbacks = first.Host, first.Port, first.TLSConfig, config.Fallbacks[1:]
	}
	if slices.ContainsFunc(remote, func(c *tls.Config) bool { return c == nil || c.InsecureSkipVerify }) {
		warning = "the ledger's server is not verified: add sslmode=verify-full to its URL"
	}
	return warning, nil
}

// isLocal reports whether a host is this machine: a socket, or loopback.
func isLocal(host string) bool {
	ip := net.ParseIP(host)
	return strings.HasPrefix(host, "/") || host == "localhost" || ip != nil && ip.IsLoopback()
}

// dialWithin makes connections on which a server that has stalled is noticed: no
// read waits longer than within.
func dialWithin(within time.Duration) pgconn.DialFunc {
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
	return slices.ContainsFunc(config.Fallbacks, func(other *pgconn.FallbackConfig) bool {
		return other.Host != config.Host || other.Port != config.Port
	})
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

// tries is how often a claim's transaction is run at most if it fails for transient
// reasons: conflicts, and connections lost before the commit. What is recorded is
// tried until its deadline, and so is whatever gets no connection since others have
// as many as there may be.
const tries = 5

// retry runs fn, and again if it fails for transient reasons.
func (s *postgresStore) retry(ctx context.Context, why purpose, fn func() error) error {
	for try := 1; ; try++ {
		err := fn()
		if errors.Is(err, errOldSchema) {
			if err = s.use(ctx, s.migrate); err == nil {
				continue
			}
		}
		again := isTransient(err) || why == recordTx && mayRecordAgain(err)
		_, bounded := ctx.Deadline()
		few := !bounded || why == claimTx && code(err) != pgCrowded
		if err == nil || !again || try >= tries && few || ctx.Err() != nil {
			return err
		}
		if backoff.Sleep(ctx, time.Duration(min(try*try, 50))*20*time.Millisecond) != nil {
			return err
		}
	}
}

// mayRecordAgain reports whether recording is tried again after an error that ends a
// claim.
func mayRecordAgain(err error) bool {
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
	case sqlstate == pgSerialize, sqlstate == pgDeadlock, sqlstate == pgDuplicate, sqlstate == pgCrowded, endsConnection(sqlstate):
		return true
	case sqlstate != "":
		return false
	}
	return lost(err)
}

// endsConnection reports whether a server, or the pooler before it, ends the connection
// with an error code. It says nothing about a commit that was under way.
func endsConnection(sqlstate string) bool {
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

// probe needs what a payment needs, as the role's permissions are asked for also
// if there is no row to write.
func (*postgresStore) probe(t *txn) error {
	for _, table := range []string{"payment", "report", "event", "change"} {
		if err := t.exec("INSERT INTO villapay_" + table + " OVERRIDING SYSTEM VALUE SELECT * FROM villapay_" + table + " WHERE false"); err != nil {
			return err
		}
	}
	version, err := scalar[int](t.query("SELECT version FROM villapay_schema"))
	return errors.Join(err, checkVersion(version), t.exec("UPDATE villapay_payment SET state = state WHERE false"))
}

func (*postgresStore) dialect() dialect  { return postgresDialect() }
func (*postgresStore) kind() string      { return "postgres" }
func (s *postgresStore) where() string   { return s.url }
func (s *postgresStore) warning() string { return s.warns }
func (s *postgresStore) close() error    { return s.db.Close() }

func (s *postgresStore) explain(err error) string {
	if outOfTime(err) {
		return "the server did not answer in time"
	}
	return secret.Redact(explain(err), s.secrets...)
}

// clock extrapolates the server's clock from when it was asked.
func (s *postgresStore) clock() time.Time {
	s.clocks.Lock()
	defer s.clocks.Unlock()
	if s.asked.IsZero() {
		return s.now()
	}
	return s.server.Add(s.now().Sub(s.asked))
}

func (s *postgresStore) setClock(server time.Time) {
	s.clocks.Lock()
	defer s.clocks.Unlock()
	s.asked, s.server = s.now(), server
}

func (s *postgresStore) size(ctx context.Context) (size int64, err error) {
	return scalar[int64](asCursor(s.db.QueryContext(ctx, `SELECT sum(pg_total_relation_size('villapay_' || name))::bigint FROM unnest('{payment,report,event,change}'::text[]) name`)))
}

// verify leaves the checking of pages to the server, which does it on reading.
func (s *postgresStore) verify(context.Context) (string, error) { return "ok", nil }
