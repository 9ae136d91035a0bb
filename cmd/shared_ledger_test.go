package cmd

import (
	"bytes"
	"database/sql"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib"

	"github.com/villapay/villapay/internal/sandbox"
	"github.com/villapay/villapay/internal/testpg"
)

// wire is the network between villapay and PostgreSQL, which a test can cut.
type wire struct {
	server string // its address
	url    string // of the ledger through the wire

	mu    sync.Mutex
	conns map[net.Conn]bool
	gone  bool                   // new connections break at once
	deaf  bool                   // the server's word that it has committed is lost, and the connections with it
	watch func(sent []byte) bool // looks at what villapay sends; false keeps it back and cuts
}

func newWire(t *testing.T, ledgerURL string) *wire {
	t.Helper()
	u, err := url.Parse(ledgerURL)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{server: u.Host, conns: map[net.Conn]bool{}}
	u.Host = listener.Addr().String()
	w.url = u.String()
	t.Cleanup(func() {
		_ = listener.Close()
		w.cut(true)
	})
	go func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			go w.carry(client)
		}
	}()
	return w
}

// carry connects one client with the server until either goes away.
func (w *wire) carry(client net.Conn) {
	defer client.Close()
	server, err := net.Dial("tcp", w.server)
	if err != nil {
		return
	}
	defer server.Close()
	w.mu.Lock()
	gone := w.gone
	w.conns[client], w.conns[server] = true, true
	w.mu.Unlock()
	if gone {
		return
	}
	go w.answer(client, server)
	buffer := make([]byte, 64<<10)
	for {
		n, err := client.Read(buffer)
		if err != nil || !w.passes(buffer[:n]) {
			return
		}
		if _, err := server.Write(buffer[:n]); err != nil {
			return
		}
	}
}

// answer brings back what the server says.
func (w *wire) answer(client, server net.Conn) {
	defer client.Close()
	buffer := make([]byte, 64<<10)
	for {
		n, err := server.Read(buffer)
		if err != nil {
			return
		}
		w.mu.Lock()
		lose := w.deaf && bytes.Contains(buffer[:n], []byte("COMMIT\x00"))
		gone := w.gone
		w.deaf = w.deaf && !lose
		w.mu.Unlock()
		if lose {
			w.cut(gone)
			return
		}
		if _, err := client.Write(buffer[:n]); err != nil {
			return
		}
	}
}

func (w *wire) passes(sent []byte) bool {
	w.mu.Lock()
	watch := w.watch
	w.mu.Unlock()
	return watch == nil || watch(sent)
}

// cut breaks every connection. gone says that no new ones can be had either.
func (w *wire) cut(gone bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.gone = gone
	for conn := range w.conns {
		_ = conn.Close()
	}
	clear(w.conns)
}

func (w *wire) mend() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.gone, w.watch = false, nil
}

// loseAnswer loses the server's answer to a commit, and then the connections.
func (w *wire) loseAnswer(gone bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.deaf, w.gone = true, gone
}

// look shows what villapay sends to do, before it arrives; false keeps it back and cuts.
func (w *wire) look(do func(sent []byte) bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.watch = do
}

// atCommit does something when the next transaction that adds to the history is
// being committed, which the renewal of a lease is not; false keeps the commit from
// arriving.
func (w *wire) atCommit(do func() bool) {
	var recorded, once atomic.Bool
	commit := []byte("commit\x00") // as a statement ends in PostgreSQL's protocol
	w.look(func(sent []byte) bool {
		if bytes.Contains(sent, []byte("INSERT INTO villapay_event")) {
			recorded.Store(true)
		}
		if !recorded.Load() || !bytes.Contains(sent, commit) || once.Swap(true) {
			return true
		}
		return do()
	})
}

// Twenty processes on two machines that share a ledger: one request, one order,
// twenty equal answers.
func TestTwoMachinesMakeOneOrder(t *testing.T) {
	t.Parallel()
	shared := testpg.Schema(t)
	stand := serveSandbox(t, sandbox.Options{Latency: 100 * time.Millisecond}, nil)
	env := []string{"VILLAPAY_BASE_URL=" + stand.url, "VILLAPAY_LEDGER=" + shared}
	payTwentyTimes(t, stand, newMachine(t, env...), newMachine(t, env...))
}

// A machine that dies while it sends is noticed by its lease, and its order is
// finished with the same key by the other one.
func TestADeadMachineIsTakenOverFrom(t *testing.T) {
	t.Parallel()
	shared := testpg.Schema(t)
	g := newGate(t)
	var keys sync.Map
	stand := serveSandbox(t, sandbox.Options{}, func(next http.Handler) http.Handler {
		held := g.hold(next)
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			keys.Store(r.Header.Get("Idempotency-Key"), true)
			held.ServeHTTP(w, r)
		})
	})
	defer close(g.open)
	env := []string{"VILLAPAY_BASE_URL=" + stand.url, "VILLAPAY_LEDGER=" + shared}
	dying, other := newMachine(t, env...), newMachine(t, env...)
	holder := dying.command(t, "pay", "qr", "4925")
	if err := holder.Start(); err != nil {
		t.Fatal(err)
	}
	<-g.arrived
	_ = holder.Process.Kill()
	_ = holder.Wait()
	r := other.run(t, "pay", "qr", "4925", "-o", "json")
	if p := r.object(t); r.code != 0 || p.Villapay.Replayed || !strings.Contains(r.stderr, "waiting for it") {
		t.Errorf("exit %d, %+v, stderr %s", r.code, p, r.stderr)
	}
	n := 0
	keys.Range(func(any, any) bool { n++; return true })
	if n != 1 {
		t.Errorf("%d keys were sent", n)
	}
}

// PostgreSQL gone before the call: exit 3, nothing sent, and no password shown.
func TestTheSharedLedgerIsGoneBefore(t *testing.T) {
	t.Parallel()
	stand := serveSandbox(t, sandbox.Options{}, nil)
	m := newMachine(t, "VILLAPAY_BASE_URL="+stand.url, "VILLAPAY_LEDGER=postgres://clerk:tops3cret@127.0.0.1:1/villapay")
	for _, args := range [][]string{{"pay", "qr", "4925"}, {"order", "list"}, {"order", "status", "4925"}} {
		r := m.run(t, args...)
		if r.code != 3 || r.stdout != "" || !strings.Contains(r.stderr, "postgres://clerk@127.0.0.1:1/villapay") || strings.Contains(r.stderr, "tops3cret") {
			t.Errorf("%v: exit %d, stdout %q, stderr %q", args, r.code, r.stdout, r.stderr)
		}
	}
	stand.counts(t, "4925", 0, 0)
}

// PostgreSQL gone while the request is under way, or while the answer is being
// committed: what is not known to be recorded is not shown (exit 6), and the
// next run gives the one order there is, with its key.
func TestTheSharedLedgerIsGoneMeanwhile(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name  string
		at    func(w *wire) // when the request has arrived
		code  int           // of the run that it happens to
		posts int           // in both runs together
	}{
		{"during the request, for good", func(w *wire) { w.cut(true) }, 6, 2},
		{"during the request, for a moment", func(w *wire) { w.cut(false) }, 0, 1},
		{"as the commit leaves, for good", func(w *wire) {
			w.atCommit(func() bool { w.cut(true); return false })
		}, 6, 2},
		{"as the commit leaves, for a moment", func(w *wire) {
			w.atCommit(func() bool { w.cut(false); return false })
		}, 0, 1},
		{"before the commit is confirmed, for a moment", func(w *wire) {
			w.atCommit(func() bool { w.loseAnswer(false); return true })
		}, 0, 1},
		{"before the commit is confirmed, for good", func(w *wire) {
			w.atCommit(func() bool { w.loseAnswer(true); return true })
		}, 6, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			w := newWire(t, testpg.Schema(t))
			g := newGate(t)
			stand := serveSandbox(t, sandbox.Options{}, g.hold)
			m := newMachine(t, "VILLAPAY_BASE_URL="+stand.url, "VILLAPAY_LEDGER="+w.url)
			c := m.payUpTo(t, g)
			test.at(w)
			close(g.open)
			r := c.end()
			if r.code != test.code || (r.stdout == "") != (test.code != 0) {
				t.Errorf("exit %d, stdout %q, stderr %s", r.code, r.stdout, r.stderr)
			}
			w.mend()
			again := m.run(t, "pay", "qr", "4925", "-o", "json").object(t)
			if again.Villapay.State != "awaiting" || test.code == 0 && again.ID != r.object(t).ID {
				t.Errorf("first %s, then %+v", r.stdout, again)
			}
			stand.counts(t, "4925", test.posts, 1)
		})
	}
}

// A server that stalls, as it does while somebody else locks the tables, is waited for
// as long as --timeout says, and whatever it was asked for may be asked for again.
func TestTheSharedLedgerStalls(t *testing.T) {
	t.Parallel()
	shared := testpg.Schema(t)
	m := newMachine(t, "VILLAPAY_LEDGER="+shared, "VILLAPAY_ENV=sandbox")
	if r := m.run(t, "pay", "qr", "lost-always"); r.code != 6 {
		t.Fatalf("exit %d, %s", r.code, r.stderr)
	}
	file := filepath.Join(m.dir, "orders.csv")
	if err := os.WriteFile(file, []byte("orderid,amount\nlost-always,1.00\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	other, err := sql.Open("pgx", shared)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = other.Close() })
	lock, err := other.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = lock.Rollback() })
	if _, err := lock.ExecContext(t.Context(), "LOCK TABLE villapay_payment, villapay_event"); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"pay", "qr", "lost-always"},
		{"pay", "batch", file},
		{"pay", "batch", file, "--rate", "0"},
		{"pay", "batch", file, "--dry-run"},
		{"order", "show", "lost-always"},
		{"order", "cancel", "lost-always"},
		{"order", "void", "lost-always"},
		{"order", "status", "lost-always"},
		{"order", "list"},
		{"order", "find", "lost"},
		{"order", "report"},
		{"order", "reconcile", file, "--since", "today", "--until", "today"},
	} {
		t.Run(strings.Join(args[:2], " "), func(t *testing.T) {
			t.Parallel()
			start := time.Now()
			r := m.run(t, append(args, "-o", "json", "--timeout", "2s")...)
			if took := time.Since(start); took > 15*time.Second {
				t.Errorf("it took %s", took)
			}
			if r.code != 3 || r.stdout != "" || !strings.Contains(r.stderr, `"code":"timeout"`) || !strings.Contains(r.stderr, `"retryable":true`) {
				t.Errorf("exit %d, stdout %q, stderr %s", r.code, r.stdout, r.stderr)
			}
		})
	}
}

// A claim whose commit is not confirmed sends nothing (exit 3), and does not keep
// the next run waiting though it may be in the ledger.
func TestAClaimThatIsNotConfirmed(t *testing.T) {
	t.Parallel()
	w := newWire(t, testpg.Schema(t))
	stand := serveSandbox(t, sandbox.Options{}, nil)
	m := newMachine(t, "VILLAPAY_BASE_URL="+stand.url, "VILLAPAY_LEDGER="+w.url)
	if r := m.run(t, "pay", "qr", "4900"); r.code != 0 {
		t.Fatal(r.stderr)
	}
	w.atCommit(func() bool { w.loseAnswer(true); return true })
	if r := m.run(t, "pay", "qr", "4925"); r.code != 3 || r.stdout != "" || !strings.Contains(r.stderr, "nothing was sent") {
		t.Errorf("exit %d, stdout %q, stderr %s", r.code, r.stdout, r.stderr)
	}
	stand.counts(t, "4925", 0, 0)
	w.mend()
	r := m.run(t, "pay", "qr", "4925", "-o", "json")
	if p := r.object(t); p.Villapay.State != "awaiting" || strings.Contains(r.stderr, "waiting for it") {
		t.Errorf("%+v, stderr %s", p, r.stderr)
	}
	stand.counts(t, "4925", 1, 1)
}

// The shared ledger goes away in the middle of a batch: it stops, and on another
// machine it is taken up again to its end; no order is lost or made twice.
func TestTheSharedLedgerIsGoneUnderABatch(t *testing.T) {
	t.Parallel()
	shared := testpg.Schema(t)
	w := newWire(t, shared)
	b := serveBank(t, true)
	var seen atomic.Int64
	b.hold(func(string) {
		if seen.Add(1) == 100 {
			w.cut(true)
		}
	})
	m := newMachine(t, "VILLAPAY_BASE_URL="+b.url, "VILLAPAY_LEDGER="+w.url)
	args := []string{"pay", "batch", m.orderFile(t, 300), "--rate", "0", "--concurrency", "8", "-o", "json"}
	shown := shownOrders{}
	r := m.run(t, args...)
	if r.code != 6 && r.code != 9 || !strings.Contains(r.stderr, "run the same command again to continue") || strings.Contains(r.stderr, "nothing was sent") {
		t.Errorf("exit %d, stderr %s", r.code, r.stderr)
	}
	shown.see(t, []byte(r.stdout))
	other := newMachine(t, "VILLAPAY_BASE_URL="+b.url, "VILLAPAY_LEDGER="+shared)
	for range 5 {
		r = other.run(t, args...)
		shown.see(t, []byte(r.stdout))
		if r.code != 6 {
			break
		}
	}
	if r.code != 0 {
		t.Errorf("then: exit %d, %s", r.code, r.stderr)
	}
	shown.check(t, b, 300)
}

// A container that shares a ledger and has a token needs no directories.
func TestASharedLedgerNeedsNoDirectories(t *testing.T) {
	t.Parallel()
	m := newMachine(t, "VILLAPAY_LEDGER="+testpg.Schema(t), "VILLAPAY_BASE_URL="+serveSandbox(t, sandbox.Options{}, nil).url,
		"HOME="+unset, "VILLAPAY_STATE_DIR="+unset, "VILLAPAY_CONFIG_DIR="+unset)
	for _, args := range [][]string{{"pay", "qr", "4925"}, {"order", "status", "4925"}, {"order", "status", "4925", "--offline"}} {
		if r := m.run(t, append(args, "-o", "json")...); r.code != 0 || r.object(t).Villapay.State != "awaiting" {
			t.Errorf("%v: exit %d, %s", args, r.code, r.stderr)
		}
	}
	if entries, err := os.ReadDir(m.dir); err != nil || len(entries) > 0 {
		t.Errorf("it made %v, %v", entries, err)
	}
}

// Whether a code is shown is decided by the ledger's clock, whatever this machine's says.
func TestTheLedgersClockDecides(t *testing.T) {
	t.Parallel()
	m := newMachine(t, "VILLAPAY_LEDGER="+testpg.Schema(t), "VILLAPAY_ENV=sandbox")
	if r := m.run(t, "pay", "qr", "4925"); r.code != 0 {
		t.Fatal(r.stderr)
	}
	ahead := m.with(clockVariable + "=" + time.Now().Add(2*time.Hour).Format(time.RFC3339Nano))
	if r := ahead.run(t, "order", "show", "4925", "-o", "qr"); r.code != 0 {
		t.Errorf("exit %d: %s", r.code, r.stderr)
	}
	if r := ahead.run(t, "order", "status", "4925", "--offline", "--jq", ".villapay|.state, .qr.kind, .expires_in > 3000"); r.stdout != "awaiting\nthai_qr\ntrue\n" {
		t.Errorf("exit %d: %s%s", r.code, r.stdout, r.stderr)
	}
}
