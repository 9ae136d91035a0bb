package cmd

import (
	"bufio"
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/villapay/villapay/internal/sandbox"
	"github.com/villapay/villapay/internal/sandbox/cognito"
)

// A closed stdout stops the batch: no new orders, those in flight finish and are
// recorded, exit 1. The rest is made when it runs again.
func TestBatchWithAClosedStdout(t *testing.T) {
	t.Parallel()
	b := serveBank(t, false)
	m := newMachine(t, "VILLAPAY_BASE_URL="+b.url)
	args := []string{"pay", "batch", m.orderFile(t, 2000), "--rate", "0", "--concurrency", "16", "-o", "json"}
	c := m.command(t, args...)
	var stderr bytes.Buffer
	c.Stderr = &stderr
	stdout, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	first, _ := bufio.NewReader(stdout).ReadBytes('\n')
	_ = stdout.Close()
	_ = c.Wait()
	if code := c.ProcessState.ExitCode(); code != 1 || !strings.Contains(stderr.String(), "of 2000 orders") {
		t.Errorf("exit %d, stderr %s", code, &stderr)
	}
	if villa, _ := b.orders(); villa == 2000 {
		t.Error("it made every order though nobody listened")
	}
	if r := m.run(t, "order", "list", "--state", "sending,unknown", "-o", "json"); strings.TrimSpace(r.stdout) != "[]" {
		t.Errorf("left behind: %s", r.stdout)
	}
	shown := shownOrders{}
	shown.see(t, first)
	r := m.run(t, args...)
	if r.code != 0 {
		t.Errorf("exit %d: %s", r.code, r.stderr)
	}
	shown.see(t, []byte(r.stdout))
	shown.check(t, b, 2000)
}

// endingSignIn lets so many requests pass.
type endingSignIn struct {
	mu   sync.Mutex
	left int
}

func (e *endingSignIn) Check(string) (status int, message string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.left--; e.left < 0 {
		return http.StatusUnauthorized, "The incoming token has expired"
	}
	return 0, ""
}

// A sign-in that ends half way ends the batch with 9; what was not begun is left
// as it was.
func TestBatchWhoseSignInEnds(t *testing.T) {
	t.Parallel()
	stand := serveSandbox(t, sandbox.Options{Authorizer: &endingSignIn{left: 20}}, nil)
	m := newMachine(t, "VILLAPAY_BASE_URL="+stand.url)
	r := m.run(t, "pay", "batch", m.orderFile(t, 200), "--rate", "0", "--concurrency", "4", "-o", "json")
	if r.code != 9 || !strings.Contains(r.stderr, `"code":"sign_in"`) || !strings.Contains(r.stderr, "stopped after 2") || !strings.Contains(r.stderr, "run the same command again to continue") {
		t.Errorf("exit %d: %s", r.code, r.stderr)
	}
	made, begun := strings.Count(r.stdout, `"state":"awaiting"`), strings.Count(r.stdout, "\n")
	if made != 20 || begun > 24 {
		t.Errorf("%d made of %d begun", made, begun)
	}
	list := m.run(t, "order", "list", "--limit", "0", "-o", "csv")
	if recorded := strings.Count(list.stdout, "\n") - 1; recorded != begun {
		t.Errorf("%d orders are recorded, %d were told", recorded, begun)
	}
}

// counted counts the sign-in's refreshes on their way.
type counted struct {
	http.Handler
	refreshes atomic.Int64
}

func (c *counted) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if strings.HasSuffix(r.Header.Get("X-Amz-Target"), ".GetTokensFromRefreshToken") {
		c.refreshes.Add(1)
	}
	c.Handler.ServeHTTP(w, r)
}

// expiring rejects the first token it sees from some request on.
type expiring struct {
	sandbox.Authorizer
	mu    sync.Mutex
	first string
	left  int
}

func (e *expiring) Check(token string) (status int, message string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.first == "" {
		e.first = token
	}
	if e.left--; e.left < 0 && token == e.first {
		return http.StatusUnauthorized, "The incoming token has expired"
	}
	return e.Authorizer.Check(token)
}

// A batch refreshes the token once, however many orders get a 401 at the same time.
func TestBatchRefreshesItsSignInOnce(t *testing.T) {
	t.Parallel()
	server := httptest.NewUnstartedServer(nil)
	url := "http://" + server.Listener.Addr().String()
	pool, err := cognito.New(cognito.Options{Now: time.Now, Issuer: url})
	if err != nil {
		t.Fatal(err)
	}
	signIn := &counted{Handler: pool}
	stand := sandbox.New(sandbox.Options{Now: time.Now, Authorizer: &expiring{Authorizer: pool, left: 50}, SignIn: signIn})
	server.Config.Handler = stand
	server.Start()
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
		_ = stand.Close()
	})
	m := newMachine(t, "VILLAPAY_TOKEN="+unset, "VILLAPAY_ENV=shop", "VILLAPAY_USERNAME=ann", "VILLAPAY_PASSWORD="+password)
	for _, args := range [][]string{
		{"env", "add", "shop", "--base-url", url, "--env", "dev"},
		{"env", "set", "auth.endpoint", url},
		{"env", "set", "auth.user_pool_id", cognito.PoolID},
		{"env", "set", "auth.client_id", cognito.ClientID},
		{"login", "--store", "file"},
	} {
		if r := m.run(t, args...); r.code != 0 {
			t.Fatalf("%v: exit %d, %s", args, r.code, r.stderr)
		}
	}
	r := m.run(t, "pay", "batch", m.orderFile(t, 200), "--rate", "0", "--concurrency", "32")
	if r.code != 0 || signIn.refreshes.Load() != 1 {
		t.Errorf("exit %d, %d refreshes: %s%s", r.code, signIn.refreshes.Load(), r.stdout, r.stderr)
	}
}

// Ctrl-C once: no new orders, those in flight finish, a summary, 130.
func TestBatchInterruptedOnce(t *testing.T) {
	t.Parallel()
	noInterruptsOnWindows(t)
	const orders = 20_000
	b := serveBank(t, false)
	arrived := make(chan struct{}, orders)
	b.hold(func(string) { arrived <- struct{}{} })
	m := newMachine(t, "VILLAPAY_BASE_URL="+b.url)
	c := m.command(t, "pay", "batch", m.orderFile(t, orders), "--rate", "0", "--concurrency", "8")
	var stdout, stderr bytes.Buffer
	c.Stdout, c.Stderr = &stdout, &stderr
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	for range 20 {
		<-arrived
	}
	_ = c.Process.Signal(os.Interrupt)
	_ = c.Wait()
	villa, all := b.orders()
	want := fmt.Sprintf("%d of %d orders: %d made, 0 already open or paid, 0 failed, 0 unknown\n", villa, orders, villa)
	if code := c.ProcessState.ExitCode(); code != 130 || stdout.String() != want || villa != all || villa == orders {
		t.Errorf("exit %d, stdout %q, want %q, stderr %s", code, &stdout, want, &stderr)
	}
	for _, said := range []string{"finishing the orders in flight", "villapay: interrupted", "hint: run the same command again to continue"} {
		if strings.Count(stderr.String(), said) != 1 {
			t.Errorf("not said once: %q in %s", said, &stderr)
		}
	}
	if r := m.run(t, "order", "list", "--state", "sending,unknown", "-o", "json"); strings.TrimSpace(r.stdout) != "[]" {
		t.Errorf("left behind: %s", r.stdout)
	}
}

// Ctrl-C twice: it stops at once, whatever hangs, and nothing is lost.
func TestBatchInterruptedTwice(t *testing.T) {
	t.Parallel()
	noInterruptsOnWindows(t)
	b := serveBank(t, false)
	arrived, opened := make(chan struct{}, 100), make(chan struct{})
	b.hold(func(string) {
		arrived <- struct{}{}
		select {
		case <-opened:
		case <-t.Context().Done(): // the test has failed
		}
	})
	m := newMachine(t, "VILLAPAY_BASE_URL="+b.url)
	args := []string{"pay", "batch", m.orderFile(t, 50), "--rate", "0", "--concurrency", "8", "-o", "json"}
	c := m.command(t, append(args, "--timeout", "10m")...)
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	for range 8 {
		<-arrived
	}
	ended := make(chan struct{})
	go func() {
		again := time.NewTicker(20 * time.Millisecond) // two at once may arrive as one
		defer again.Stop()
		for {
			_ = c.Process.Signal(os.Interrupt)
			select {
			case <-ended:
				return
			case <-again.C:
			}
		}
	}()
	start := time.Now()
	_ = c.Wait()
	close(ended)
	if code, took := c.ProcessState.ExitCode(), time.Since(start); code != 130 || took > time.Minute {
		t.Errorf("exit %d after %s", code, took)
	}
	close(opened)
	r := m.run(t, args...)
	if r.code != 0 {
		t.Errorf("then: exit %d, %s", r.code, r.stderr)
	}
	shown := shownOrders{}
	shown.see(t, []byte(r.stdout))
	shown.check(t, b, 50)
}

// Ctrl-C also ends the wait for a pipe that keeps silent; nothing was sent.
func TestInterruptedWhileItReads(t *testing.T) {
	t.Parallel()
	noInterruptsOnWindows(t)
	for _, args := range [][]string{
		{"pay", "batch", "-"},
		{"api", "/qrpayment", "-X", "POST", "--input", "-"},
	} {
		t.Run(args[0], func(t *testing.T) {
			t.Parallel()
			b := serveBank(t, false)
			m := newMachine(t, "VILLAPAY_BASE_URL="+b.url)
			c := m.command(t, args...)
			stdin, err := c.StdinPipe()
			if err != nil {
				t.Fatal(err)
			}
			defer stdin.Close()
			if err := c.Start(); err != nil {
				t.Fatal(err)
			}
			if _, err := stdin.Write(bytes.Repeat([]byte("4925\n"), 100_000)); err != nil { // more than a pipe holds: it reads
				t.Fatal(err)
			}
			_ = c.Process.Signal(os.Interrupt)
			_ = c.Wait()
			if code := c.ProcessState.ExitCode(); code != 130 {
				t.Errorf("exit %d", code)
			}
			if villa, _ := b.orders(); villa != 0 {
				t.Errorf("%d orders were made", villa)
			}
		})
	}
}

func noInterruptsOnWindows(t *testing.T) {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("no process can send another one Ctrl-C here")
	}
}
