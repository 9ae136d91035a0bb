package cmd

import (
	"net"
	"strings"
	"testing"
	"time"
)

// Somebody at the keyboard waits for TAB: a database server that takes calls and
// says nothing does not hold it up for as long as a payment would wait.
func TestCompletionDoesNotWaitForASilentLedger(t *testing.T) {
	t.Parallel()
	silent, err := net.Listen("tcp4", "127.0.0.1:0") // nobody accepts
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = silent.Close() })
	m := newMachine(t, "VILLAPAY_ENV=sandbox", "VILLAPAY_LEDGER=postgres://nobody@"+silent.Addr().String()+"/x?connect_timeout=3600")
	c := m.command(t, "__complete", "order", "show", "")
	impatient := time.AfterFunc(time.Minute, func() { _ = c.Process.Kill() })
	defer impatient.Stop()
	if out, err := c.CombinedOutput(); err != nil || !strings.HasPrefix(string(out), ":") {
		t.Errorf("%v: %s", err, out)
	}
}
