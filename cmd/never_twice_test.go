package cmd

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/villapay/villapay/internal/sandbox"
)

// DESIGN 4: twenty processes for one order make one request and one order, and
// give twenty equal answers.
func TestTwentyProcessesMakeOneOrder(t *testing.T) {
	t.Parallel()
	stand := serveSandbox(t, sandbox.Options{Latency: 100 * time.Millisecond}, nil)
	payTwentyTimes(t, stand, newMachine(t, "VILLAPAY_BASE_URL="+stand.url))
}

// payTwentyTimes pays one order from twenty processes at once, spread over
// machines: one request, one order, twenty equal answers.
func payTwentyTimes(t *testing.T, stand *served, machines ...*machine) {
	t.Helper()
	results := make([]result, 20)
	var all sync.WaitGroup
	for i := range results {
		all.Go(func() { results[i] = machines[i%len(machines)].run(t, "pay", "qr", "4925", "-o", "json") })
	}
	all.Wait()
	first := results[0].object(t)
	fresh := 0
	for _, r := range results {
		p := r.object(t)
		if r.code != 0 || p.ID != first.ID || p.Villapay.Key != first.Villapay.Key || p.Villapay.State != "awaiting" {
			t.Errorf("exit %d, %+v, stderr %s", r.code, p, r.stderr)
		}
		if !p.Villapay.Replayed {
			fresh++
		}
	}
	if fresh != 1 {
		t.Errorf("%d processes say they made it", fresh)
	}
	stand.counts(t, "4925", 1, 1)
}

// An answer that is lost before, during or after its body is asked for again
// with the same key, and the order is made once.
func TestLostAnswersAreAskedForAgain(t *testing.T) {
	t.Parallel()
	for _, id := range []string{"lost-once", "cut-once", "timed-out-once"} {
		t.Run(id, func(t *testing.T) {
			t.Parallel()
			stand := serveSandbox(t, sandbox.Options{}, nil)
			m := newMachine(t, "VILLAPAY_BASE_URL="+stand.url)
			r := m.run(t, "pay", "qr", id, "-o", "json")
			if p := r.object(t); r.code != 0 || p.Villapay.Attempts != 2 {
				t.Errorf("exit %d, %+v", r.code, p)
			}
			stand.counts(t, id, 2, 1)
		})
	}
}

// An answer that stays lost is exit 6, shows nothing, and the next run asks with
// the same key: still one order.
func TestAnAnswerThatStaysLost(t *testing.T) {
	t.Parallel()
	stand := serveSandbox(t, sandbox.Options{}, nil)
	m := newMachine(t, "VILLAPAY_BASE_URL="+stand.url)
	for run := range 2 {
		r := m.run(t, "pay", "qr", "lost-always")
		if r.code != 6 || r.stdout != "" || !strings.Contains(r.stderr, "run the same command again") {
			t.Errorf("run %d: exit %d, stdout %q, stderr %q", run, r.code, r.stdout, r.stderr)
		}
	}
	stand.counts(t, "lost-always", -1, 1)
	p := m.run(t, "order", "status", "lost-always", "--offline", "-o", "json").object(t)
	if p.Villapay.State != "unknown" {
		t.Errorf("recorded as %s", p.Villapay.State)
	}
}

// A ledger that fails once the API was asked is exit 6, and not "nothing was sent".
func TestALedgerThatFailsAfterAsking(t *testing.T) {
	t.Parallel()
	var m *machine
	stand := serveSandbox(t, sandbox.Options{}, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.Contains(r.URL.Path, "/checkstatus/") {
				db, err := sql.Open("sqlite", filepath.Join(m.state(), "ledger.db"))
				if err == nil {
					_, err = db.ExecContext(r.Context(), "ALTER TABLE villapay_event RENAME TO away")
					_ = db.Close()
				}
				if err != nil {
					t.Error(err)
				}
			}
			next.ServeHTTP(w, r)
		})
	})
	m = newMachine(t, "VILLAPAY_BASE_URL="+stand.url)
	m.run(t, "pay", "qr", "4925")
	r := m.run(t, "order", "status", "4925", "-o", "json")
	if r.code != 6 || r.stdout != "" || !strings.Contains(r.stderr, `"code":"not_recorded"`) || !strings.Contains(r.stderr, "run the same command again: that is safe; if") || strings.Contains(r.stderr, "nothing was sent") {
		t.Errorf("exit %d, stdout %q, stderr %q", r.code, r.stdout, r.stderr)
	}
	stand.counts(t, "4925", 1, 1)
}

// kill -9 at random moments loses no order and makes none twice: the next run
// finishes with the same key.
func TestKilledAtRandomMoments(t *testing.T) {
	t.Parallel()
	stand := serveSandbox(t, sandbox.Options{Latency: 10 * time.Millisecond}, nil)
	m := newMachine(t, "VILLAPAY_BASE_URL="+stand.url)
	const kills, orders = 100, 10
	random := rand.New(rand.NewPCG(1, 2))
	shown := make(map[string]map[string]bool) // order ID → bank orders ever shown
	see := func(orderID, stdout string) {
		if !strings.HasPrefix(stdout, "{") || !strings.HasSuffix(stdout, "}\n") {
			return // killed before it was shown whole
		}
		p := result{stdout: stdout}.object(t)
		if shown[orderID] == nil {
			shown[orderID] = map[string]bool{}
		}
		shown[orderID][p.ID] = true
	}
	for i := range kills {
		orderID := fmt.Sprintf("kill-%d", i%orders)
		c := m.command(t, "pay", "qr", orderID, "-o", "json")
		var out strings.Builder
		c.Stdout = &out
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		timer := time.AfterFunc(time.Duration(random.IntN(60))*time.Millisecond, func() { _ = c.Process.Kill() })
		_ = c.Wait()
		timer.Stop()
		see(orderID, out.String())
	}
	for i := range orders {
		orderID := fmt.Sprintf("kill-%d", i)
		r := m.run(t, "pay", "qr", orderID, "-o", "json")
		if r.code != 0 {
			t.Fatalf("%s: exit %d: %s", orderID, r.code, r.stderr)
		}
		see(orderID, r.stdout)
		if len(shown[orderID]) != 1 {
			t.Errorf("%s was shown as %v", orderID, shown[orderID])
		}
		stand.counts(t, orderID, -1, 1)
	}
}

// The ledger's disk: where nothing can be recorded, nothing is sent (exit 3).
func TestNothingIsSentThatCannotBeRecorded(t *testing.T) {
	t.Parallel()
	t.Run("the state directory is a file", func(t *testing.T) {
		t.Parallel()
		stand := serveSandbox(t, sandbox.Options{}, nil)
		m := newMachine(t, "VILLAPAY_BASE_URL="+stand.url)
		if err := os.WriteFile(m.state(), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		refusesToSend(t, m, stand)
	})
	t.Run("a corrupt ledger is kept as it is", func(t *testing.T) {
		t.Parallel()
		stand := serveSandbox(t, sandbox.Options{}, nil)
		m := newMachine(t, "VILLAPAY_BASE_URL="+stand.url)
		if err := os.Mkdir(m.state(), 0o700); err != nil {
			t.Fatal(err)
		}
		path, garbage := filepath.Join(m.state(), "ledger.db"), strings.Repeat("not a database\n", 1000)
		if err := os.WriteFile(path, []byte(garbage), 0o600); err != nil {
			t.Fatal(err)
		}
		refusesToSend(t, m, stand)
		if kept, err := os.ReadFile(path); err != nil || string(kept) != garbage {
			t.Errorf("the file was changed: %v", err)
		}
	})
}

func refusesToSend(t *testing.T, m *machine, stand *served) {
	t.Helper()
	r := m.run(t, "pay", "qr", "4925")
	if r.code != 3 || r.stdout != "" || !strings.Contains(r.stderr, "ledger") {
		t.Errorf("exit %d, stdout %q, stderr %q", r.code, r.stdout, r.stderr)
	}
	stand.counts(t, "4925", 0, 0)
}

// gate holds requests back until it is opened.
type gate struct {
	arrived chan struct{}
	open    chan struct{}
	through chan struct{}   // closed when the first request has been answered
	ended   <-chan struct{} // the test has failed before it was opened
}

func newGate(t *testing.T) *gate {
	t.Helper()
	return &gate{make(chan struct{}, 100), make(chan struct{}), make(chan struct{}), t.Context().Done()}
}

// hold delays the first request and lets the others pass. The delayed request is
// carried out even if its client is gone.
func (g *gate) hold(next http.Handler) http.Handler {
	var seen atomic.Bool
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !seen.Swap(true) {
			g.arrived <- struct{}{}
			select {
			case <-g.open:
			case <-g.ended:
			}
			defer close(g.through)
			r = r.WithContext(context.WithoutCancel(r.Context()))
		}
		next.ServeHTTP(w, r)
	})
}

// paying is a payment of order 4925 under way.
type paying struct {
	*exec.Cmd
	stdout, stderr bytes.Buffer
}

// payUpTo starts a payment and returns when its request stands at the gate.
func (m *machine) payUpTo(t *testing.T, g *gate) *paying {
	t.Helper()
	p := &paying{Cmd: m.command(t, "pay", "qr", "4925", "-o", "json")}
	p.Stdout, p.Stderr = &p.stdout, &p.stderr
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	<-g.arrived
	return p
}

// end waits for the payment's process.
func (p *paying) end() result {
	_ = p.Wait()
	return result{p.ProcessState.ExitCode(), p.stdout.String(), p.stderr.String()}
}

// DESIGN 4.4: a claim whose holder died is taken over at once, with the same key.
func TestADeadHolderIsTakenOverAtOnce(t *testing.T) {
	t.Parallel()
	g := newGate(t)
	stand := serveSandbox(t, sandbox.Options{}, g.hold)
	defer close(g.open)
	m := newMachine(t, "VILLAPAY_BASE_URL="+stand.url)
	holder := m.command(t, "pay", "qr", "4925")
	if err := holder.Start(); err != nil {
		t.Fatal(err)
	}
	<-g.arrived
	_ = holder.Process.Kill()
	_ = holder.Wait()
	if shown := m.run(t, "order", "show", "4925"); !strings.Contains(shown.stdout, "pay qr 4925 --source qr -e dev") {
		t.Errorf("it does not say how to go on: %s", shown.stdout)
	}
	r := m.run(t, "pay", "qr", "4925", "-o", "json")
	if r.code != 0 || strings.Contains(r.stderr, "waiting for it") {
		t.Errorf("exit %d: %s", r.code, r.stderr)
	}
	if state := r.object(t).Villapay.State; state != "awaiting" {
		t.Errorf("state %s", state)
	}
	if shown := m.run(t, "order", "show", "4925", "-o", "json"); !strings.Contains(shown.stdout, "which has ended") {
		t.Errorf("it was not the holder's death that ended its claim: %s", shown.stdout)
	}
}

// --new makes another order, says so, and the older one is never drawn again.
func TestNewReplacesTheOpenOrder(t *testing.T) {
	t.Parallel()
	stand := serveSandbox(t, sandbox.Options{}, nil)
	m := newMachine(t, "VILLAPAY_BASE_URL="+stand.url)
	first := m.run(t, "pay", "qr", "4925", "-o", "json").object(t)
	r := m.run(t, "pay", "qr", "4925", "--new", "-o", "json")
	second := r.object(t)
	if second.ID == first.ID || second.Villapay.Replayed || !strings.Contains(r.stderr, first.ID) {
		t.Errorf("%s after %s, stderr %q", second.ID, first.ID, r.stderr)
	}
	if again := m.run(t, "pay", "qr", "4925", "-o", "json").object(t); again.ID != second.ID || !again.Villapay.Replayed {
		t.Errorf("then %s, replayed %t", again.ID, again.Villapay.Replayed)
	}
	stand.counts(t, "4925", 2, 2)
}

// A user's key returns its payment for the same order and source, and is invalid for
// any other.
func TestIdempotencyKey(t *testing.T) {
	t.Parallel()
	stand := serveSandbox(t, sandbox.Options{}, nil)
	m := newMachine(t, "VILLAPAY_BASE_URL="+stand.url)
	first := m.run(t, "pay", "qr", "4925", "--idempotency-key", "mine", "-o", "json").object(t)
	if first.Villapay.Key != "mine" {
		t.Errorf("key %q", first.Villapay.Key)
	}
	if again := m.run(t, "pay", "qr", "4925", "--idempotency-key", "mine", "-o", "json").object(t); again.ID != first.ID || !again.Villapay.Replayed {
		t.Errorf("%+v", again)
	}
	for _, args := range [][]string{
		{"pay", "qr", "4926", "--idempotency-key", "mine"},
		{"pay", "qr", "4925", "--idempotency-key", "mine", "--source", "wechat"},
		{"pay", "qr", "4925", "--idempotency-key", "mine", "--new"},
	} {
		if r := m.run(t, args...); r.code != 2 || r.stdout != "" || !strings.Contains(r.stderr, "mine") {
			t.Errorf("%v: exit %d, stdout %q, stderr %q", args, r.code, r.stdout, r.stderr)
		}
	}
	stand.counts(t, "4925", 1, 1)
	stand.counts(t, "4926", 0, 0)
}

// Without a ledger nothing is recorded, one warning says so, and the hint of an
// unknown outcome has the key.
func TestWithoutALedger(t *testing.T) {
	t.Parallel()
	stand := serveSandbox(t, sandbox.Options{}, nil)
	m := newMachine(t, "VILLAPAY_BASE_URL="+stand.url, "VILLAPAY_LEDGER=none")
	r := m.run(t, "pay", "qr", "4925", "-o", "json")
	if p := r.object(t); r.code != 0 || p.Villapay.State != "awaiting" || strings.Count(r.stderr, "ledger") != 1 {
		t.Errorf("exit %d, %+v, stderr %q", r.code, p, r.stderr)
	}
	r = m.run(t, "pay", "qr", "lost-always", "--idempotency-key", "my$key")
	if r.code != 6 || !strings.Contains(r.stderr, "villapay pay qr lost-always --source qr -e dev --idempotency-key 'my$key'\n") {
		t.Errorf("exit %d, stderr %q", r.code, r.stderr)
	}
	for _, args := range [][]string{{"order", "list"}, {"order", "show", "4925"}, {"order", "status", "4925", "--offline"}, {"pay", "batch", writeList(t, "4925\n")}} {
		if r := m.run(t, args...); r.code != 3 {
			t.Errorf("%v: exit %d, stderr %q", args, r.code, r.stderr)
		}
	}
	if _, err := os.Stat(filepath.Join(m.state(), "ledger.db")); err == nil {
		t.Error("a ledger was made")
	}
}
