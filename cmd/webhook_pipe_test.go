package cmd

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// stopReading closes the pipe of the events, and waits until no other process has its
// end: one that this test starts has a copy until it runs its program.
func (l *listening) stopReading(t *testing.T) {
	t.Helper()
	pipe, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", l.stdout.Fd()))
	syscall.ForkLock.RLock()
	l.stdout.Close()
	syscall.ForkLock.RUnlock()
	for err == nil && t.Context().Err() == nil && hasPipe(pipe, l.process.Process.Pid) {
		time.Sleep(time.Millisecond)
	}
}

// hasPipe reports whether any process but one has a pipe open.
func hasPipe(pipe string, except int) bool {
	open, _ := filepath.Glob("/proc/[0-9]*/fd/*")
	return slices.ContainsFunc(open, func(path string) bool {
		name, err := os.Readlink(path)
		return err == nil && name == pipe && !strings.HasPrefix(path, fmt.Sprintf("/proc/%d/", except))
	})
}

// A listener exits at once when the reader of its events is gone, so that a
// supervisor can restart both, and does not acknowledge unread events. Replay writes
// the events received meanwhile.
func TestTheListenerEndsWithItsHandler(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("whether a pipe has a reader is not known there")
	}
	m := newMachine(t, "VILLAPAY_ENV=sandbox", "VILLAPAY_WEBHOOK_SECRET=skey_test_1")
	var bodies [2][]byte
	for i, id := range []string{"1", "2"} {
		m.run(t, "pay", "qr", id)
		bodies[i] = []byte(m.run(t, "webhook", "send", id, "--print").stdout)
	}

	l := m.listen(t)
	if status := l.post(t, bodies[0]); status != http.StatusOK || !strings.Contains(l.line(t), `"orderid":"1","state":"paid"`) {
		t.Errorf("while it is read: %d", status)
	}
	l.stopReading(t)
	if status := l.post(t, bodies[1]); status == http.StatusOK {
		t.Error("what nobody reads is acknowledged")
	}
	if code := l.wait(); code != 1 {
		t.Errorf("exit %d, want 1", code)
	}

	idle := m.listen(t)
	idle.stopReading(t)
	if code := idle.wait(); code != 1 { // no notification comes
		t.Errorf("idle: exit %d, want 1", code)
	}

	again := m.listen(t) // the bank sends it again
	if status := again.post(t, bodies[1]); status != http.StatusOK || !strings.Contains(again.line(t), `"orderid":"2","state":"paid"`) {
		t.Errorf("sent again: %d", status)
	}
	if r := m.run(t, "webhook", "replay", "--since", "1h", "--jq", ".villapay.orderid"); r.stdout != "1\n2\n" {
		t.Errorf("replayed: %q %s", r.stdout, r.stderr)
	}
}
