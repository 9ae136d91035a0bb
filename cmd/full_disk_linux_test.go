package cmd

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/villapay/villapay/internal/sandbox"
)

// fillDisk keeps a running process's files from growing any more.
func fillDisk(t *testing.T, pid int) {
	t.Helper()
	if err := unix.Prlimit(pid, unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: 1, Max: 1}, nil); err != nil {
		t.Errorf("limit process %d: %v", pid, err)
	}
}

// An answer that cannot be recorded, since the disk fills up while the request is
// under way: nothing is shown, exit 6, and the next run asks again with its key.
func TestTheDiskFillsUpUnderARequest(t *testing.T) {
	t.Parallel()
	g := newGate(t)
	stand := serveSandbox(t, sandbox.Options{}, g.hold)
	m := newMachine(t, "VILLAPAY_BASE_URL="+stand.url)
	c := m.payUpTo(t, g)
	fillDisk(t, c.Process.Pid)
	close(g.open)
	if r := c.end(); r.code != 6 || r.stdout != "" || !strings.Contains(r.stderr, `"code":"not_recorded"`) {
		t.Errorf("exit %d, stdout %q, stderr %q", r.code, r.stdout, r.stderr)
	}
	if p := m.run(t, "pay", "qr", "4925", "-o", "json").object(t); p.Villapay.State != "awaiting" || p.Villapay.Replayed {
		t.Errorf("then %+v", p)
	}
	stand.counts(t, "4925", 2, 1) // the sandbox makes one order a key
}

// The same in the middle of a batch, which stops; taken up again it goes on, and
// no order is lost or made twice.
func TestTheDiskFillsUpUnderABatch(t *testing.T) {
	t.Parallel()
	b := serveBank(t, false)
	m := newMachine(t, "VILLAPAY_BASE_URL="+b.url)
	args := []string{"pay", "batch", m.orderFile(t, 500), "--rate", "0", "--concurrency", "8", "-o", "json"}
	c := m.command(t, args...)
	var stdout, stderr bytes.Buffer
	c.Stdout, c.Stderr = &stdout, &stderr
	var seen atomic.Int64
	started := make(chan struct{})
	b.hold(func(string) {
		<-started
		if seen.Add(1) == 100 {
			fillDisk(t, c.Process.Pid)
		}
	})
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	close(started)
	_ = c.Wait()
	if code := c.ProcessState.ExitCode(); code != 6 && code != 9 || !strings.Contains(stderr.String(), "run the same command again to continue") || strings.Contains(stderr.String(), "nothing was sent") {
		t.Errorf("exit %d, stderr %s", code, &stderr)
	}
	if villa, _ := b.orders(); villa > 120 {
		t.Errorf("it went on to %d orders", villa)
	}
	shown := shownOrders{}
	shown.see(t, stdout.Bytes())
	r := m.run(t, args...)
	if r.code != 0 {
		t.Errorf("then: exit %d, %s", r.code, r.stderr)
	}
	shown.see(t, []byte(r.stdout))
	shown.check(t, b, 500)
}

// A full disk under stdout is a failed write: exit 1, after the payment is safe.
func TestAFullDiskUnderStdout(t *testing.T) {
	t.Parallel()
	b := serveBank(t, false)
	m := newMachine(t, "VILLAPAY_BASE_URL="+b.url)
	name := m.orderFile(t, 100)
	for _, args := range [][]string{{"pay", "qr", "4925000001"}, {"pay", "batch", name, "--rate", "0"}, {"pay", "batch", name, "--rate", "0", "-o", "csv"}} {
		full, err := openFull()
		if err != nil {
			t.Skip(err)
		}
		c := m.command(t, args...)
		c.Stdout = full
		_ = c.Run()
		_ = full.Close()
		if code := c.ProcessState.ExitCode(); code != 1 {
			t.Errorf("%v: exit %d", args, code)
		}
	}
	if r := m.run(t, "order", "list", "--state", "sending,unknown", "-o", "json"); strings.TrimSpace(r.stdout) != "[]" {
		t.Errorf("left behind: %s", r.stdout)
	}
	r := m.run(t, "pay", "batch", name, "--rate", "0", "-o", "json")
	shown := shownOrders{}
	shown.see(t, []byte(r.stdout))
	shown.check(t, b, 100)
}

// openFull opens a file that takes nothing.
func openFull() (*os.File, error) {
	file, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		return nil, fmt.Errorf("there is no full disk to write to: %w", err)
	}
	return file, nil
}
