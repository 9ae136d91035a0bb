//go:build linux

package cmd

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
)

// sandboxed is a machine whose environment is the embedded sandbox, with a
// terminal of the usual kind.
func sandboxed(t *testing.T, env ...string) *machine {
	t.Helper()
	usual := []string{"VILLAPAY_ENV=sandbox", "TERM=xterm-256color", "LANG=C.UTF-8", "LC_ALL=", "LC_CTYPE="}
	return newMachine(t, append(usual, env...)...)
}

// On a terminal pay qr shows the table and under it the whole code, which stays
// on the screen beside the prompt.
func TestPayQRAtATerminal(t *testing.T) {
	t.Parallel()
	m := sandboxed(t)
	x := m.at(t, 80, 24, "pay", "qr", "4925")
	if code := x.exit(); code != 0 {
		t.Fatalf("exit %d\n%s", code, x.text())
	}
	id := m.run(t, "order", "status", "4925", "--offline", "--jq", ".id").stdout
	if got := x.code(); got != strings.TrimSpace(id) {
		t.Errorf("the code says %q, want %q\n%s", got, id, x.text())
	}
}

// Ctrl-Z gives the terminal back until the shell goes on with the command.
func TestWatchSteppedAside(t *testing.T) {
	t.Parallel()
	m := sandboxed(t)
	x := m.at(t, 80, 24, "pay", "qr", "4925", "--watch")
	x.see("order expires in")
	x.press("\x1a")
	x.until("the normal screen", func(v *vt) bool { return v.normal == nil && !v.hidden })
	for state := ""; state != "T"; { // stopped, as its shell would be told
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", x.cmd.Process.Pid))
		if err != nil {
			t.Fatal(err)
		}
		state = strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))[0]
	}
	if err := x.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	x.see("order expires in")
	x.press("\x03")
	if code := x.exit(); code != 130 {
		t.Errorf("exit %d\n%s", code, x.text())
	}
}
