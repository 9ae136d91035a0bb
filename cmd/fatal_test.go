package cmd

import (
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"
)

// fatalVariable makes a villapay process end by a bug instead.
const fatalVariable = "TEST_FATAL"

// fatal ends as a bug would: what Main cannot recover from.
func fatal(how string) {
	abortOnFatalErrors()
	switch how {
	case "panic":
		go func() { panic("bug") }()
		select {}
	case "stack":
		debug.SetMaxStack(1 << 20)
		var endless func(int) int
		endless = func(n int) int { return endless(n+1) + 1 }
		endless(0)
	}
}

// A bug that nothing recovers from does not end with 2, which says that nothing
// was sent, and leaves no core, which would hold tokens.
func TestFatalErrors(t *testing.T) {
	t.Parallel()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for how, says := range map[string]string{"panic": "panic: bug", "stack": "stack overflow"} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			c := exec.CommandContext(t.Context(), self)
			c.Args, c.Dir = []string{"villapay"}, t.TempDir()
			c.Env = append(os.Environ(), fatalVariable+"="+how)
			out, err := c.CombinedOutput()
			if code := c.ProcessState.ExitCode(); code == 0 || code == exitUsage || !strings.Contains(string(out), says) {
				t.Errorf("exit %d (%v): %.200s", code, err, out)
			}
			if runtime.GOOS != "windows" && c.ProcessState.String() != "signal: aborted" {
				t.Errorf("it ended with %s", c.ProcessState)
			}
			if left, _ := os.ReadDir(c.Dir); len(left) > 0 {
				t.Errorf("it left %v", left)
			}
		})
	}
}
