package cmd

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/villapay/villapay/internal/sandbox"
)

// inProcess is a Program without a terminal, on a machine of its own, for tests that need
// their hands on its streams or its context.
func inProcess(t *testing.T, stderr io.Writer) *Program {
	t.Helper()
	state := t.TempDir()
	variables := map[string]string{"VILLAPAY_STATE_DIR": state, "VILLAPAY_CONFIG_DIR": state, "VILLAPAY_WEBHOOK_SECRET": "c2VjcmV0c2VjcmV0c2VjcmV0"}
	return &Program{
		In: strings.NewReader(""), Out: io.Discard, Err: stderr, Now: time.Now, Local: time.UTC,
		Size:    func() (int, int) { return 0, 0 },
		Environ: func() []string { return nil },
		LookupEnv: func(name string) (string, bool) {
			value, set := variables[name]
			return value, set
		},
	}
}

// machine is a computer with state and settings of its own, on which villapay's
// real main runs as processes.
type machine struct {
	dir string
	env []string
}

func newMachine(t *testing.T, env ...string) *machine {
	t.Helper()
	m := &machine{dir: t.TempDir()}
	for _, entry := range os.Environ() {
		name, _, _ := strings.Cut(entry, "=")
		if !strings.HasPrefix(name, "VILLAPAY_") && !strings.Contains(strings.ToLower(name), "proxy") && name != "CI" && name != "NO_COLOR" {
			m.env = append(m.env, entry)
		}
	}
	m.env = append(m.env, "HOME="+m.dir, "VILLAPAY_STATE_DIR="+m.state(), "VILLAPAY_CONFIG_DIR="+filepath.Join(m.dir, "config"),
		"VILLAPAY_TOKEN=eyJhbGciOiJub25lIn0.e30.x", "DBUS_SESSION_BUS_ADDRESS=unix:path=/nonexistent", "GORACE=atexit_sleep_ms=0",
		"VILLAPAY_TIMEOUT=3m") // tests do not go by the default limit, which a busy machine exceeds
	m.env = append(m.env, env...)
	return m
}

func (m *machine) state() string { return filepath.Join(m.dir, "state") }

// command is villapay as a process: the test binary under that name (TestMain).
func (m *machine) command(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := exec.CommandContext(t.Context(), self)
	c.Args = append([]string{"villapay"}, args...)
	c.Env, c.Dir = m.env, m.dir
	return c
}

// result is what a process left behind.
type result struct {
	code           int
	stdout, stderr string
}

func (m *machine) run(t *testing.T, args ...string) result {
	t.Helper()
	c := m.command(t, args...)
	var stdout, stderr bytes.Buffer
	c.Stdout, c.Stderr = &stdout, &stderr
	err := c.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return result{c.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

// payment is what tests look at in a payment object.
type paymentObject struct {
	ID       string `json:"id"`
	Villapay struct {
		OrderID  string `json:"orderid"`
		State    string `json:"state"`
		Key      string `json:"idempotency_key"`
		Replayed bool   `json:"replayed"`
		Attempts int    `json:"attempts"`
		PaidBy   string `json:"paid_by"`
	} `json:"villapay"`
}

// object decodes the one payment object on stdout.
func (r result) object(t *testing.T) paymentObject {
	t.Helper()
	var p paymentObject
	if err := json.Unmarshal([]byte(r.stdout), &p); err != nil {
		t.Fatalf("exit %d, stdout %q, stderr %q: %v", r.code, r.stdout, r.stderr, err)
	}
	return p
}

// served is a sandbox on a port, which processes of any machine can reach.
type served struct {
	*sandbox.Sandbox
	url string
}

// serveSandbox serves a sandbox. wrap may put something between it and its
// clients.
func serveSandbox(t *testing.T, options sandbox.Options, wrap func(http.Handler) http.Handler) *served {
	t.Helper()
	options.Dir, options.Now = t.TempDir(), time.Now
	stand := sandbox.New(options)
	var handler http.Handler = stand
	if wrap != nil {
		handler = wrap(handler)
	}
	server := httptest.NewServer(handler)
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
		_ = stand.Close()
	})
	return &served{stand, server.URL}
}

// counts checks how many requests and orders a sandbox saw for an order.
func (s *served) counts(t *testing.T, orderID string, posts, orders int) {
	t.Helper()
	got, err := s.Stats(t.Context(), orderID)
	if err != nil {
		t.Fatal(err)
	}
	if posts >= 0 && got.Posts != posts || got.Orders != orders {
		t.Errorf("order %s: %d requests and %d orders, want %d and %d", orderID, got.Posts, got.Orders, posts, orders)
	}
}

// sessionVariable makes a villapay process be session instead.
const sessionVariable = "TEST_SESSION"

// session sits at a terminal as a shell does: it runs villapay, whose signals it
// does not obey, writes its exit code behind all that was written, and stays.
// Were villapay itself the first process there, its end would end the terminal,
// and the kernel would throw away what was not read yet.
func session() {
	signal.Notify(make(chan os.Signal, 1))
	tty, err := os.OpenFile("/dev/tty", os.O_RDWR, 0)
	if err != nil {
		panic(err)
	}
	self, err := os.Executable()
	if err != nil {
		panic(err)
	}
	c := exec.CommandContext(context.Background(), self)
	c.Args, c.Env = os.Args, append(os.Environ(), sessionVariable+"=")
	c.Stdin, c.Stdout, c.Stderr = os.Stdin, os.Stdout, os.Stderr
	_ = c.Run()
	fmt.Fprintf(tty, "%s%d%s", sessionMark, c.ProcessState.ExitCode(), sessionMark)
	_, _ = io.Copy(io.Discard, tty) // until the person has left
}

// sessionMark is a character that villapay never writes.
const sessionMark = "\x1e"
