//go:build unix

package config

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// Nothing but a regular file is read, locked or replaced, and nothing is waited for.
func TestOtherThanARegularFile(t *testing.T) {
	t.Parallel()
	for name, place := range map[string]func(path string) error{
		"FIFO":   func(path string) error { return unix.Mkfifo(path, 0o600) },
		"device": func(path string) error { return os.Symlink("/dev/null", path) },
	} {
		w := newWorld(t, "")
		if err := place(w.path()); err != nil {
			t.Fatal(err)
		}
		_, err := Load(w.lookup, Flags{})
		wantError(t, err, KindConfig, "read the configuration", "it is a "+name)
		wantError(t, Use(t.Context(), w.lookup, "prod"), KindConfig, "it is a "+name)

		w = newWorld(t, "env: dev\n")
		if err := place(w.path() + ".lock"); err != nil {
			t.Fatal(err)
		}
		wantError(t, Use(t.Context(), w.lookup, "prod"), KindConfig, "config.yaml.lock", "it is a ")
		if w.text(t) != "env: dev\n" {
			t.Errorf("%s: the file became %q", name, w.text(t))
		}
	}
}
