package cmd

import (
	"bytes"
	"context"
	"io"
	"os"
	"strings"
	"testing"
)

// moreThanAPipe is a --jq expression whose result no pipe holds: once a byte of it was
// read, the write is blocked until somebody reads on.
const moreThanAPipe = `"x" * 1000000`

// The first Ctrl-C also ends a command whose results nobody reads.
func TestInterruptedWhileNobodyReads(t *testing.T) {
	t.Parallel()
	noInterruptsOnWindows(t)
	for name, test := range map[string]struct {
		args []string
		said string
	}{
		"env list":  {[]string{"env", "list"}, "interrupted"},
		"pay batch": {[]string{"pay", "batch", "orders.txt", "--rate", "0"}, "run the same command again to continue"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := newMachine(t, "VILLAPAY_ENV=sandbox")
			m.orderFile(t, 50)
			c := m.command(t, append(test.args, "--jq", moreThanAPipe)...)
			stdout, err := c.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			var stderr bytes.Buffer
			c.Stderr = &stderr
			if err := c.Start(); err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadFull(stdout, make([]byte, 1)); err != nil {
				t.Fatal(err)
			}
			_ = c.Process.Signal(os.Interrupt)
			_ = c.Wait() // until it has ended; only then is the pipe closed
			if code := c.ProcessState.ExitCode(); code != 130 || !strings.Contains(stderr.String(), test.said) {
				t.Errorf("exit %d, %s", code, &stderr)
			}
		})
	}
}

// A watch ends at its limit though nobody reads what it shows.
func TestAWatchEndsWhileNobodyReads(t *testing.T) {
	t.Parallel()
	m := newMachine(t, "VILLAPAY_ENV=sandbox")
	m.run(t, "pay", "qr", "1")
	c := m.command(t, "order", "status", "1", "--watch-for", "1s", "--jq", moreThanAPipe)
	if _, err := c.StdoutPipe(); err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	_ = c.Wait()
	if code := c.ProcessState.ExitCode(); code != 8 {
		t.Errorf("exit %d", code)
	}
}

// Nor does a stderr that nobody reads keep a command.
func TestInterruptedWhileNobodyReadsNotes(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	p := inProcess(t, writerFunc(func(p []byte) (int, error) {
		cancel() // Ctrl-C while it is blocked
		<-t.Context().Done()
		return len(p), nil
	}))
	if code := Run(ctx, p, []string{"sandbox", "serve", "--addr", "127.0.0.1:0"}); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// A listener whose events nobody reads ends with 0, as always after Ctrl-C, and
// acknowledges nothing.
func TestAListenerEndsWhileNobodyReads(t *testing.T) {
	t.Parallel()
	noInterruptsOnWindows(t)
	m := newMachine(t, "VILLAPAY_ENV=sandbox", "VILLAPAY_WEBHOOK_SECRET=skey_test_1")
	m.run(t, "pay", "qr", "1")
	body := []byte(m.run(t, "webhook", "send", "1", "--print").stdout)
	l := m.listen(t, "--jq", moreThanAPipe)
	status := make(chan int, 1)
	go func() { status <- l.post(t, body) }()
	if _, err := l.stdout.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	if code := l.stop(t); code != 0 {
		t.Errorf("exit %d", code)
	}
	if got := <-status; got == 200 {
		t.Error("what nobody reads is acknowledged")
	}
}
