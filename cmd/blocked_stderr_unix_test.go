//go:build unix

package cmd

import (
	"os"
	"syscall"
	"testing"
	"time"
)

// fullPipe returns the write end of a pipe that holds no byte more, and that nobody
// reads.
func fullPipe(t *testing.T) *os.File {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close(); _ = w.Close() })
	if err := w.SetWriteDeadline(time.Now().Add(100 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	for err == nil {
		_, err = w.Write(make([]byte, 4096))
	}
	if err := w.SetWriteDeadline(time.Time{}); err != nil {
		t.Fatal(err)
	}
	return w
}

// The first Ctrl-C also ends a command whose notes nobody reads.
func TestInterruptedWhileNobodyReadsStderr(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		args []string
		code int
	}{
		"sandbox serve": {[]string{"sandbox", "serve", "--addr", "127.0.0.1:0"}, 0},
		"pay qr":        {[]string{"pay", "qr", "1", "--watch"}, 130},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := newMachine(t, "VILLAPAY_ENV=sandbox")
			m.run(t, "pay", "qr", "1")
			c := m.command(t, test.args...)
			c.Stderr = fullPipe(t)
			if err := c.Start(); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second) // until it writes to stderr
			if err := c.Process.Signal(syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
			stuck := time.AfterFunc(8*time.Second, func() { _ = c.Process.Kill() })
			_ = c.Wait()
			if !stuck.Stop() || c.ProcessState.ExitCode() != test.code {
				t.Errorf("got %s, want exit %d", c.ProcessState, test.code)
			}
		})
	}
}
