package auth

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

func TestOpener(t *testing.T) {
	t.Parallel()
	none := func(string) string { return "" }
	for _, test := range []struct {
		system, display, name string
		args                  int
	}{{"darwin", "", "open", 0}, {"windows", "", "rundll32", 1}, {"linux", ":0", "xdg-open", 0}} {
		name, args, err := opener(test.system, func(string) string { return test.display })
		if err != nil || name != test.name || len(args) != test.args {
			t.Errorf("%s: %s %v %v", test.system, name, args, err)
		}
	}
	if _, _, err := opener("linux", none); err == nil || !strings.Contains(err.Error(), "no display") {
		t.Errorf("without a display: %v", err)
	}
}

func TestOpenBrowser(t *testing.T) {
	if runtime.GOOS == "windows" || runtime.GOOS == "darwin" {
		t.Skip("the opener there is the system's own")
	}
	dir := t.TempDir()
	t.Setenv("PATH", dir+string(os.PathListSeparator)+os.Getenv("PATH"))
	t.Setenv("DISPLAY", ":99")
	write := func(script string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, "xdg-open"), []byte("#!/bin/sh\n"+script+"\n"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	const address = "https://example.test/?a=1&b=$(touch x)"
	for _, name := range []string{"VILLAPAY_TOKEN", "VILLAPAY_KBANK_SECRET", "VILLAPAY_LEDGER", "villapay_password", "PGPASSWORD"} {
		t.Setenv(name, "hunter2")
	}
	t.Setenv("LANG", "th_TH")
	write(`printf %s "$1" > ` + dir + `/opened; env > ` + dir + `/environment`)
	if err := OpenBrowser(t.Context(), address); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(filepath.Join(dir, "opened")); err != nil || string(got) != address {
		t.Errorf("opened %s, %v", got, err)
	}
	if env, err := os.ReadFile(filepath.Join(dir, "environment")); err != nil || strings.Contains(string(env), "hunter2") || !strings.Contains(string(env), "LANG=th_TH") {
		t.Errorf("its environment is %s, %v", env, err)
	}
	write("exit 3")
	if err := OpenBrowser(t.Context(), address); err == nil || !strings.Contains(err.Error(), "exit status 3") {
		t.Errorf("a failed opener: %v", err)
	}
	for _, bad := range []string{"file:///etc/passwd", "-x", "javascript:1"} {
		if err := OpenBrowser(t.Context(), bad); err == nil {
			t.Errorf("%s was opened", bad)
		}
	}
}
