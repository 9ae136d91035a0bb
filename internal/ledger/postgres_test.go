package ledger

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/villapay/villapay/internal/order"
	"github.com/villapay/villapay/internal/pgurl"
	"github.com/villapay/villapay/internal/secret"
	"github.com/villapay/villapay/internal/testpg"
)

// Off this machine only the URL's own sslmode=disable sends anything in clear.
func TestProtect(t *testing.T) {
	t.Parallel()
	for dsn, test := range map[string]struct {
		ends  string // host, and + if it has TLS
		warns string
	}{
		"postgres://u:p@h/d":                                    {"h+", "not verified"},
		"postgres://u:p@h/sslmode=disable":                      {"h+", "not verified"},
		"postgres://u:p@h/d?application_name=sslmode%3Ddisable": {"h+", "not verified"},
		"postgres://u:p@h/sslmode=verify-full?sslmode=allow":    {"h+", "not verified"},
		"postgres://u:p@h,localhost/d":                          {"h+ localhost+ localhost", "not verified"},
		"postgres://u:p@h/d?sslmode=disable":                    {"h", "not encrypted"},
		"postgres://u:p@h/d?sslmode=require":                    {"h+", "not verified"},
		"postgres://u:p@h/d?sslmode=verify-full":                {"h+", ""},
		"postgres://u:p@127.0.0.1/d?sslmode=disable":            {"127.0.0.1", ""},
	} {
		u, err := pgurl.Parse(dsn)
		if err != nil {
			t.Fatal(err)
		}
		config, err := pgx.ParseConfig(dsn)
		if err != nil {
			t.Fatal(err)
		}
		warning, err := protect(config, u.SSLMode)
		end := func(host string, tls *tls.Config) string {
			if tls != nil {
				host += "+"
			}
			return host
		}
		ends := []string{end(config.Host, config.TLSConfig)}
		for _, other := range config.Fallbacks {
			ends = append(ends, end(other.Host, other.TLSConfig))
		}
		if got := strings.Join(ends, " "); err != nil || got != test.ends || !strings.Contains(warning, test.warns) || (warning == "") != (test.warns == "") {
			t.Errorf("%s: %s, warning %q, %v", dsn, got, warning, err)
		}
	}
}

// proxy stands between a ledger and the server and does to connections what
// networks do.
type proxy struct {
	net.Listener
	server string

	cutAfterCommit atomic.Int32 // so many commits reach the server and are never answered
	lastWord       string       // the error code that is told instead, as poolers do; "" = nothing is
	silent         atomic.Bool  // nothing that the server says arrives
	cutBefore      atomic.Int32 // so many times the connection breaks before an INSERT arrives
	onError        sync.Map     // what to do (func()) when the server first answers with an error code
	trips          atomic.Int32 // how often something was sent after the last answer: round trips

	mu       sync.Mutex
	messages []string // what clients sent: message type and, of Parse, the statement's name
}

// through returns dsn led through a new proxy.
func through(t *testing.T, dsn string) (*proxy, string) {
	t.Helper()
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{Listener: listener, server: u.Host}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			go p.serve(client)
		}
	}()
	u.Host = listener.Addr().String()
	return p, u.String()
}

// behindProxy is a ledger of its own behind a new proxy.
func behindProxy(t *testing.T) (*proxy, *place) {
	t.Helper()
	p, led := through(t, testpg.Schema(t))
	return p, postgresAt(t, led)
}

func (p *proxy) serve(client net.Conn) {
	defer client.Close()
	server, err := net.Dial("tcp", p.server)
	if err != nil {
		return
	}
	defer server.Close()
	var mute, answered atomic.Bool
	answered.Store(true)
	go func() {
		defer client.Close()
		answer := make([]byte, 64<<10)
		for {
			n, err := server.Read(answer)
			if err != nil {
				return
			}
			if p.silent.Load() {
				continue
			}
			answered.Store(true)
			p.onError.Range(func(code, do any) bool {
				if bytes.Contains(answer[:n], []byte("C"+code.(string)+"\x00")) && p.onError.CompareAndDelete(code, do) {
					(*do.(*func()))()
				}
				return true
			})
			if mute.Load() { // the server has done it; the client never hears
				_, _ = client.Write(fatal(p.lastWord))
				return
			}
			if _, err := client.Write(answer[:n]); err != nil {
				return
			}
		}
	}()
	chunk := make([]byte, 64<<10)
	for started := false; ; started = true {
		n, err := client.Read(chunk)
		if err != nil {
			return
		}
		if started {
			p.note(chunk[:n])
		}
		if answered.Swap(false) {
			p.trips.Add(1)
		}
		if bytes.Contains(chunk[:n], []byte("INSERT INTO villapay_event")) && p.cutBefore.Add(-1) >= 0 {
			return
		}
		if bytes.Contains(chunk[:n], []byte("commit\x00")) && p.cutAfterCommit.Add(-1) >= 0 {
			mute.Store(true)
		}
		if _, err := server.Write(chunk[:n]); err != nil {
			return
		}
	}
}

// fatal is the message with which a server, or a pooler, ends a connection.
func fatal(code string) []byte {
	if code == "" {
		return nil
	}
	fields := "SFATAL\x00VFATAL\x00C" + code + "\x00Mserver conn crashed?\x00\x00"
	return append(binary.BigEndian.AppendUint32([]byte("E"), uint32(len(fields)+4)), fields...)
}

// note takes messages apart, as far as a chunk holds them whole.
func (p *proxy) note(chunk []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(chunk) > 5 {
		size := int(binary.BigEndian.Uint32(chunk[1:5])) + 1
		if size > len(chunk) {
			return
		}
		said := string(chunk[:1])
		if said == "P" {
			name, _, _ := strings.Cut(string(chunk[5:size]), "\x00")
			said += name
		}
		p.messages = append(p.messages, said)
		chunk = chunk[size:]
	}
}

// The connection ends while a commit is under way, without a word, as a pooler
// tells that its server has gone (08P01), or as a server that shuts down: none of
// it says whether the commit was carried out.
func TestALostConnectionWhileCommitting(t *testing.T) {
	t.Parallel()
	for _, code := range []string{"", "08P01", "57P01"} {
		t.Run("code "+code, func(t *testing.T) {
			t.Parallel()
			lostWhileCommitting(t, code)
		})
	}
}

func lostWhileCommitting(t *testing.T, code string) {
	t.Helper()
	p, at := behindProxy(t)
	p.lastWord = code
	l := at.open(t)

	c := l.mustClaim(t, ask("1"), Claimed)
	p.cutAfterCommit.Store(1)
	made, err := l.RecordOrder(t.Context(), c, testOrder(t, "o1"), Answer{Attempts: 1})
	if err != nil || made.State != order.Awaiting || made.Attempts != 1 || len(l.events(t, made.ID)) != 2 {
		t.Errorf("order: %+v, %v", made, err)
	}
	p.cutAfterCommit.Store(1)
	done, err := l.RecordReport(t.Context(), scope, report("c1", "o1", "Authorized"))
	if err != nil || done.Repeat || !done.Changed || done.Payment.State != order.Paid || len(l.events(t, made.ID)) != 3 {
		t.Errorf("charge: %+v, %v", done, err)
	}
	c = l.mustClaim(t, ask("2"), Claimed)
	p.cutAfterCommit.Store(1)
	if failed := l.fail(t, c, order.Unknown); failed.State != order.Unknown || failed.Attempts != 2 || len(l.events(t, failed.ID)) != 2 {
		t.Errorf("failure: %+v", failed)
	}
	c = l.mustClaim(t, ask("2"), Claimed)
	p.cutAfterCommit.Store(1)
	renew(t, l, c)

	p.cutAfterCommit.Store(1) // a claim is not sure to be ours then: nothing may be sent
	if _, err = l.Claim(t.Context(), ask("3")); !errors.Is(err, errCommitUnsure) || !strings.Contains(err.Error(), "not known whether") {
		t.Errorf("claim: %v", err)
	}
	l.mustClaim(t, ask("3"), Busy)
	if other := at.openIn(t, t.TempDir()); other.mustClaim(t, ask("3"), Busy).Holder == "" {
		t.Error("somebody holds it")
	}
}

// Over a network it is the round trips that take time: with the one to connect, 8 for
// a payment and the bank's code, and 3 for an order's payments.
func TestRoundTrips(t *testing.T) {
	t.Parallel()
	p, at := behindProxy(t)
	at.open(t).of(t, "1") // makes the schema
	took := func(want int32, do func(l *Ledger)) {
		t.Helper()
		l := at.openIn(t, t.TempDir())
		p.trips.Store(0)
		do(l)
		if got := p.trips.Load(); got != want {
			t.Errorf("%d round trips, want %d", got, want)
		}
	}
	took(7, func(l *Ledger) {
		made := l.awaiting(t, "1")
		code := &order.BankCode{ID: "code", Kind: order.ThaiQR, Text: "text", Expiry: time.Hour}
		if _, recorded, err := l.RecordCode(t.Context(), made, code, 0); !recorded || err != nil {
			t.Errorf("the code was not recorded: %v", err)
		}
	})
	took(1, func(l *Ledger) { l.of(t, "1") })
	took(2, func(l *Ledger) { l.mustClaim(t, ask("1"), Replay) })
	took(2, func(l *Ledger) { listed(t, l, Filter{Scope: scope, Limit: 30}) })
	took(9, func(l *Ledger) { l.hear(t, report("c1", "o1", "Authorized")) })
}

// A role that only reads is told from one that can pay.
func TestARoleThatOnlyReads(t *testing.T) {
	t.Parallel()
	dsn := testpg.Schema(t)
	owner := postgresAt(t, dsn).open(t)
	owner.mustClaim(t, ask("1"), Claimed)
	if err := owner.Writable(t.Context()); err != nil {
		t.Error(err)
	}
	db, err := openPostgresDB(t, dsn)
	if err != nil {
		t.Fatal(err)
	}
	role := "villapay_reader_" + strings.ToLower(rand.Text())
	var schema string
	if err := db.QueryRow("SELECT current_schema()").Scan(&schema); err != nil {
		t.Fatal(err)
	}
	for _, statement := range []string{"CREATE ROLE " + role, "GRANT USAGE ON SCHEMA " + schema + " TO " + role, "GRANT SELECT ON ALL TABLES IN SCHEMA " + schema + " TO " + role} {
		if _, err := db.Exec(statement); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		_, _ = db.Exec("DROP OWNED BY " + role + "; DROP ROLE " + role)
		_ = db.Close()
	})
	reader := postgresAt(t, dsn+"&role="+role).open(t)
	if err := reader.Writable(t.Context()); err == nil || !strings.Contains(err.Error(), "permission denied") {
		t.Errorf("it seems to be writable: %v", err)
	}
	if all, err := reader.Payments(t.Context(), scope, "1"); err != nil || len(all) != 1 {
		t.Errorf("%+v, %v", all, err)
	}
}

// A server that does not answer a question ends the waiting.
func TestASilentServer(t *testing.T) {
	t.Parallel()
	p, at := behindProxy(t)
	l := at.open(t)
	l.mustClaim(t, ask("1"), Claimed)
	store := l.store.(*postgresStore)
	conn, err := store.db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	err = conn.Raw(func(driver any) error {
		driver.(*stdlib.Conn).Conn().PgConn().Conn().(*limitedConn).within = 50 * time.Millisecond
		return nil
	})
	if err = errors.Join(err, conn.Close()); err != nil {
		t.Fatal(err)
	}
	p.silent.Store(true)
	const want = "the server did not answer in time"
	for _, err := range l.List(t.Context(), Filter{}) {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("list: %v", err)
		}
	}
	store.within = 50 * time.Millisecond
	if all, err := l.Payments(t.Context(), scope, "1"); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("%+v, %v", all, err)
	}
}

func TestALostConnectionBeforeTheCommit(t *testing.T) {
	t.Parallel()
	p, at := behindProxy(t)
	l := at.open(t)
	p.cutBefore.Store(2)
	c := l.mustClaim(t, ask("1"), Claimed)
	p.cutBefore.Store(2)
	if made := l.mustRecord(t, c, testOrder(t, "o1")); len(l.events(t, made.ID)) != 2 {
		t.Errorf("%+v", made)
	}
	p.cutBefore.Store(100)
	_, err := l.Claim(t.Context(), ask("2"))
	if _, ok := errors.AsType[*Error](err); !ok {
		t.Errorf("a server that is gone: %v", err)
	}
	p.cutBefore.Store(0)
	if all, err := l.Payments(t.Context(), scope, "2"); err != nil || all != nil {
		t.Errorf("%+v, %v", all, err)
	}
}

// What is known is recorded in spite of time-outs that the server sets, and
// nothing may be sent after them.
func TestTimeoutsOfTheServer(t *testing.T) {
	t.Parallel()
	for setting, code := range map[string]string{"lock_timeout": pgLockTimeout, "statement_timeout": pgCanceled} {
		t.Run(setting, func(t *testing.T) {
			t.Parallel()
			dsn := testpg.Schema(t)
			other := postgresAt(t, dsn).open(t)
			p, led := through(t, dsn)
			l := postgresAt(t, led+"&"+setting+"=200ms").open(t)
			// until runs a write while another process holds the order's lock, and
			// frees it after the first time-out
			until := func(orderID string, write func()) {
				t.Helper()
				held, timedOut := make(chan struct{}), make(chan struct{})
				give := func() { close(timedOut) }
				p.onError.Store(code, &give)
				var group sync.WaitGroup
				group.Go(func() {
					o := opening{why: recordTx, locks: []lockKey{orderKey(scope, orderID)}}
					err := other.store.write(context.Background(), o, func(*txn) error {
						close(held)
						<-timedOut
						return nil
					})
					if err != nil {
						t.Error(err)
					}
				})
				<-held
				write()
				if _, waiting := p.onError.LoadAndDelete(code); waiting {
					t.Errorf("there was no time-out")
					close(timedOut)
				}
				group.Wait()
			}
			deadline, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			c := other.mustClaim(t, ask("1"), Claimed)
			until("1", func() {
				if p, err := l.RecordOrder(deadline, c, testOrder(t, "o1"), Answer{}); err != nil || p.State != order.Awaiting || len(other.events(t, p.ID)) != 2 {
					t.Errorf("%+v, %v", p, err)
				}
			})
			until("1", func() {
				if done, err := l.RecordReport(deadline, scope, report("c1", "o1", "Settled")); err != nil || done.Repeat || done.Payment.State != order.Paid {
					t.Errorf("%+v, %v", done, err)
				}
			})
			c = other.mustClaim(t, ask("2"), Claimed)
			until("2", func() {
				if p, err := l.RecordFailure(deadline, c, order.Unknown, order.Failure{Code: "x"}, 1); err != nil || p.State != order.Unknown {
					t.Errorf("%+v, %v", p, err)
				}
			})
			until("3", func() {
				_, err := l.Claim(deadline, ask("3"))
				if _, ok := errors.AsType[*Error](err); !ok {
					t.Errorf("a claim: %v", err)
				}
			})
			if all := other.of(t, "3"); len(all) != 0 {
				t.Errorf("%+v", all)
			}
		})
	}
}

func TestATransactionThatTheServerFindsIdle(t *testing.T) {
	t.Parallel()
	p, at := behindProxy(t)
	at.open(t) // makes the schema
	at.dsn += "&idle_in_transaction_session_timeout=200ms"
	l := at.open(t)
	ended := make(chan struct{})
	end := func() { close(ended) }
	p.onError.Store(pgIdle, &end)
	deadline, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	runs := 0
	err := l.store.write(deadline, opening{why: recordTx}, func(x *txn) error {
		if runs++; runs == 1 {
			<-ended // as after a machine's sleep
		}
		return l.note(x, 0, event{kind: "test"})
	})
	if kept := l.count(t, `SELECT count(*) FROM villapay_event`); err != nil || runs < 2 || kept != 1 {
		t.Errorf("%d runs, %d events, %v", runs, kept, err)
	}
}

func TestNothingThatAPoolerCannotHandOn(t *testing.T) {
	t.Parallel()
	p, at := behindProxy(t)
	l := at.open(t)
	l.awaiting(t, "1")
	l.hear(t, report("c1", "o1", "Authorized"))
	for range l.List(t.Context(), Filter{Scope: scope, States: []order.State{order.Paid, order.Expired}, Limit: 3}) {
		break
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	parsed := 0
	for _, said := range p.messages {
		if name, ok := strings.CutPrefix(said, "P"); ok {
			parsed++
			if name != "" {
				t.Errorf("a statement was prepared under a name: %q", name)
			}
		}
	}
	if parsed < 10 {
		t.Errorf("only %d statements seen of %d messages", parsed, len(p.messages))
	}
}

func TestAServerThatTakesNoWrites(t *testing.T) {
	t.Parallel()
	dsn := testpg.Schema(t)
	for range 2 { // without a schema, and with one
		l := postgresAt(t, dsn+"&default_transaction_read_only=on").open(t)
		_, claimErr := l.Claim(t.Context(), ask("1"))
		_, readErr := l.Payments(t.Context(), scope, "1")
		for _, err := range []error{claimErr, readErr} {
			if _, ok := errors.AsType[*Error](err); !ok || !strings.Contains(err.Error(), "writable primary") {
				t.Errorf("%v", err)
			}
		}
		postgresAt(t, dsn).open(t).of(t, "1") // makes the schema
	}
}

// A database whose encoding cannot hold Thai is rejected before anything is made
// in it.
func TestADatabaseThatCannotHoldThai(t *testing.T) {
	t.Parallel()
	dsn := testpg.Server(t)
	admin, err := openPostgresDB(t, dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close()
	name := "villapay_test_" + strings.ToLower(rand.Text())
	if _, err := admin.Exec("CREATE DATABASE " + name + " ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if admin, err := openPostgresDB(t, dsn); err == nil {
			_, _ = admin.Exec("DROP DATABASE " + name + " WITH (FORCE)")
			_ = admin.Close()
		}
	})
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	u.Path = "/" + name
	_, err = postgresAt(t, u.String()).open(t).Claim(t.Context(), ask("1"))
	if _, ok := errors.AsType[*Error](err); !ok || !errors.Is(err, errEncoding) || !strings.Contains(err.Error(), "UTF8") {
		t.Errorf("%v", err)
	}
	db, err := openPostgresDB(t, u.String())
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var tables int
	if err := db.QueryRow("SELECT count(*) FROM pg_tables WHERE tablename LIKE 'villapay%'").Scan(&tables); err != nil || tables != 0 {
		t.Errorf("%d tables were made, %v", tables, err)
	}
}

func TestASlowerCommitIsNeverSwitchedOff(t *testing.T) {
	t.Parallel()
	for given, want := range map[string]string{"off": "on", "local": "on", "remote_write": "on", "on": "on", "remote_apply": "remote_apply"} {
		l := postgresAt(t, testpg.Schema(t)+"&synchronous_commit="+given).open(t)
		got := ""
		err := l.store.write(t.Context(), opening{why: recordTx}, func(x *txn) error {
			said, err := texts(x.query(`SELECT current_setting('synchronous_commit')`))
			got = strings.Join(said, "")
			return err
		})
		if err != nil || got != want {
			t.Errorf("%s: %s, %v", given, got, err)
		}
	}
}

func TestWhereShowsNoSecret(t *testing.T) {
	t.Parallel()
	dsn := testpg.Server(t)
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.UserPassword("villapay", "hunter2:hunter2")
	u.RawQuery += "&search_path=public&sslpassword=topsecret"
	store, err := openPostgres(context.Background(), secret.New(u.String()), newClock().now)
	if err == nil {
		defer store.close()
		if got, want := store.where(), "postgres://villapay@"+u.Host+u.Path; got != want {
			t.Errorf("%s, want %s", got, want)
		}
		_, err = store.db.Exec(`SELECT 1 FROM "hunter2:hunter2"`)
		if shown := wrap(store, err, "test").Error(); strings.Contains(shown, "hunter2") || !strings.Contains(shown, "[redacted]") {
			t.Error(shown)
		}
	} else {
		t.Error(err)
	}
	u.Host = "127.0.0.1:1"
	_, err = Open(t.Context(), secret.New(u.String()), t.TempDir(), "", newClock().now)
	if err == nil || strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), "topsecret") || !strings.Contains(err.Error(), "127.0.0.1:1") {
		t.Errorf("%v", err)
	}
}

func TestConflictsAreTriedAgain(t *testing.T) {
	t.Parallel()
	at := postgresPlace(t)
	one, two := at.open(t), at.open(t)
	one.mustClaim(t, ask("1"), Claimed)
	one.mustClaim(t, ask("2"), Claimed)
	// Two transactions that lock the same two payments in opposite order: the
	// server ends one of them.
	var group, both sync.WaitGroup
	both.Add(2)
	for i, l := range []*Ledger{one, two} {
		group.Go(func() {
			runs := 0
			err := l.store.write(context.Background(), opening{why: recordTx}, func(x *txn) error {
				runs++
				for step := range 2 {
					id := fmt.Sprint(1 + (i+step)%2)
					if _, err := texts(x.query(`UPDATE villapay_payment SET attempts = attempts + 1 WHERE orderid = ? RETURNING state`, id)); err != nil {
						return err
					}
					if runs == 1 && step == 0 {
						both.Done()
						both.Wait()
					}
				}
				return nil
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	for _, id := range []string{"1", "2"} {
		if all, err := one.Payments(t.Context(), scope, id); err != nil || all[0].Attempts != 2 {
			t.Errorf("order %s: %+v, %v", id, all, err)
		}
	}
}
