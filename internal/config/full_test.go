//go:build linux || darwin

package config

import (
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"testing"
)

// full edits a file that may not grow beyond a few bytes, which fails as a full
// disk does: in the middle of a write.
func full(t *testing.T) {
	signal.Ignore(syscall.SIGXFSZ)
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: 20, Max: 20}); err != nil {
		t.Fatal(err)
	}
	fmt.Println(Set(t.Context(), os.LookupEnv, "dev", "kbank.shop_name", long))
}

func TestFullDisk(t *testing.T) {
	if os.Getenv("CONFIG_TEST_FULL") != "" {
		full(t)
		return
	}
	t.Parallel()
	const text = "# ours\nenvs:\n  dev:\n    source: wechat # kept\n"
	w := newWorld(t, text)
	cmd := child(t, w, "")
	cmd.Args = append(cmd.Args, "-test.run=^TestFullDisk$")
	cmd.Env = append(cmd.Env, "CONFIG_TEST_FULL=1")
	out, _ := cmd.CombinedOutput() // measuring coverage fails in there too
	if !strings.HasPrefix(string(out), "write "+w.path()+": ") {
		t.Errorf("the edit says %s", out)
	}
	if w.text(t) != text {
		t.Errorf("the file is %q", w.text(t))
	}
	wantFiles(t, w, "config.yaml", "config.yaml.lock")
}
