package cmd

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// villapay ignores the signals that would kill it while it writes. The browser
// that it starts has them back: a program in a pipeline relies on SIGPIPE.
func TestTheBrowserIgnoresNoSignals(t *testing.T) {
	t.Parallel()
	bin := t.TempDir()
	opener := "#!/bin/sh\nwhile read -r name value; do [ \"$name\" = SigIgn: ] && echo \"$value\" > '" + bin + "/ignored'; done < /proc/self/status\nkill -TERM $PPID\n"
	if err := os.WriteFile(filepath.Join(bin, "xdg-open"), []byte(opener), 0o700); err != nil {
		t.Fatal(err)
	}
	m := newMachine(t, "VILLAPAY_ENV=sandbox", "PATH="+bin+":"+os.Getenv("PATH"), "DISPLAY=:test")
	if r := m.run(t, "pay", "qr", "4925"); r.code != 0 {
		t.Fatal(r.stderr)
	}
	if r := m.run(t, "order", "checkout", "4925"); r.code != exitInterrupted {
		t.Errorf("exit %d, want that of the signal: %s", r.code, r.stderr)
	}
	text, err := os.ReadFile(filepath.Join(bin, "ignored"))
	if err != nil {
		t.Fatal(err)
	}
	ignored, err := strconv.ParseUint(strings.TrimSpace(string(text)), 16, 64)
	if err != nil {
		t.Fatal(err)
	}
	for _, signal := range []syscall.Signal{syscall.SIGPIPE, syscall.SIGXFSZ} {
		if ignored&(1<<(signal-1)) != 0 {
			t.Errorf("the browser ignores %v", signal)
		}
	}
}
