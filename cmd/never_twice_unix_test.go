//go:build linux || darwin

package cmd

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/villapay/villapay/internal/sandbox"
)

// A process is stopped while it holds a claim, and another takes over, against a
// server that ignores keys. Only one bank order is ever shown.
func TestAStoppedHolderShowsTheOthersOrder(t *testing.T) {
	t.Parallel()
	g := newGate(t)
	stand := serveSandbox(t, sandbox.Options{IgnoreKeys: true}, g.hold)
	m := newMachine(t, "VILLAPAY_BASE_URL="+stand.url)
	holder := m.payUpTo(t, g)
	if err := holder.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	other := m.run(t, "pay", "qr", "4925", "-o", "json")
	made := other.object(t)
	if made.Villapay.Replayed || !strings.Contains(other.stderr, "waiting for it") {
		t.Errorf("%+v, stderr %s", made, other.stderr)
	}
	close(g.open) // now the holder's own answer comes, another order
	<-g.through
	if err := holder.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	late := holder.end()
	if p := late.object(t); late.code != 0 || p.ID != made.ID || !p.Villapay.Replayed || p.Villapay.Key != made.Villapay.Key {
		t.Errorf("exit %d, it shows %+v, the other one %s", late.code, p, made.ID)
	}
	if again := m.run(t, "pay", "qr", "4925", "-o", "json").object(t); again.ID != made.ID {
		t.Errorf("later it is %s", again.ID)
	}
	stand.counts(t, "4925", 2, 2)
}

// Ctrl-C while the request is under way: exit 130, nothing shown, the outcome
// recorded as unknown; the next run asks again with the same key.
func TestInterruptedWhileTheRequestIsUnderWay(t *testing.T) {
	t.Parallel()
	for _, signal := range []os.Signal{os.Interrupt, syscall.SIGTERM, syscall.SIGQUIT} {
		t.Run(signal.String(), func(t *testing.T) {
			t.Parallel()
			g := newGate(t)
			stand := serveSandbox(t, sandbox.Options{}, g.hold)
			m := newMachine(t, "VILLAPAY_BASE_URL="+stand.url)
			c := m.payUpTo(t, g)
			_ = c.Process.Signal(signal)
			if r := c.end(); r.code != 130 || r.stdout != "" || !strings.Contains(r.stderr, "may have been made") {
				t.Errorf("exit %d, stdout %q, stderr %s", r.code, r.stdout, r.stderr)
			}
			if p := m.run(t, "order", "status", "4925", "--offline", "-o", "json").object(t); p.Villapay.State != "unknown" {
				t.Errorf("recorded as %s", p.Villapay.State)
			}
			close(g.open)
			if p := m.run(t, "pay", "qr", "4925", "-o", "json").object(t); p.Villapay.State != "awaiting" || p.Villapay.Replayed {
				t.Errorf("then %+v", p)
			}
			stand.counts(t, "4925", -1, 1)
		})
	}
}

// Where the state directory cannot be written, nothing is sent (exit 3).
func TestNothingIsSentFromAReadOnlyDirectory(t *testing.T) {
	t.Parallel()
	stand := serveSandbox(t, sandbox.Options{}, nil)
	m := newMachine(t, "VILLAPAY_BASE_URL="+stand.url)
	if err := os.Mkdir(m.state(), 0o500); err != nil {
		t.Fatal(err)
	}
	c := m.command(t, "pay", "qr", "4925")
	if os.Getuid() == 0 {
		m.asNobody(t, c)
	}
	var stdout, stderr bytes.Buffer
	c.Stdout, c.Stderr = &stdout, &stderr
	err := c.Run()
	if code := c.ProcessState.ExitCode(); code != 3 || stdout.Len() > 0 || !strings.Contains(stderr.String(), "permission denied") {
		t.Errorf("%v, stdout %q, stderr %q", err, &stdout, &stderr)
	}
	stand.counts(t, "4925", 0, 0)
}

// asNobody runs a command as an unprivileged user: root ignores file modes.
func (m *machine) asNobody(t *testing.T, c *exec.Cmd) {
	t.Helper()
	const nobody = 65534
	c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	c.Path = filepath.Join(m.dir, "villapay") // the test's own directory is root's alone
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	// A process of its own copies: a child forked meanwhile would hold the file open
	// for writing, and a program that is being written cannot be run.
	if out, err := exec.Command("cp", self, c.Path).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, dir := range []string{m.dir, filepath.Dir(m.dir)} {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chown(m.state(), nobody, nobody); err != nil {
		t.Fatal(err)
	}
}

// limited is a command whose files may not grow: a disk that is full.
func (m *machine) limited(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	shell, err := exec.LookPath("sh")
	if err != nil {
		t.Skip("there is no shell to set a limit with")
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(t.TempDir(), "villapay")
	if err := os.Symlink(self, link); err != nil {
		t.Fatal(err)
	}
	c := m.command(t)
	c.Path, c.Args = shell, append([]string{"sh", "-c", `ulimit -f 1 && exec "$0" "$@"`, link}, args...)
	return c
}

// A full disk before anything is sent: exit 3, nothing sent, and what the ledger
// holds is kept.
func TestAFullDisk(t *testing.T) {
	t.Parallel()
	for name, before := range map[string][]string{"a new ledger": nil, "an old ledger": {"pay", "qr", "4900"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			stand := serveSandbox(t, sandbox.Options{}, nil)
			m := newMachine(t, "VILLAPAY_BASE_URL="+stand.url)
			if before != nil {
				if r := m.run(t, before...); r.code != 0 {
					t.Fatal(r.stderr)
				}
			}
			c := m.limited(t, "pay", "qr", "4925")
			var stdout, stderr bytes.Buffer
			c.Stdout, c.Stderr = &stdout, &stderr
			_ = c.Run()
			if code := c.ProcessState.ExitCode(); code != 3 || stdout.Len() > 0 || !strings.Contains(stderr.String(), "nothing was sent") {
				t.Errorf("exit %d, stdout %q, stderr %q", code, &stdout, &stderr)
			}
			stand.counts(t, "4925", 0, 0)
			stdout.Reset()
			c = m.limited(t, "doctor")
			c.Stdout = &stdout
			if _ = c.Run(); c.ProcessState.ExitCode() != 3 || !strings.Contains(stdout.String(), "disk failed") && !strings.Contains(stdout.String(), "disk is full") {
				t.Errorf("the doctor sees nothing: exit %d, %s", c.ProcessState.ExitCode(), &stdout)
			}
			if r := m.run(t, "pay", "qr", "4925"); r.code != 0 {
				t.Errorf("with room again: exit %d, %s", r.code, r.stderr)
			}
		})
	}
}
