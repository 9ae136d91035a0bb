//go:build unix

package applog

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// Whatever stands in the place of the file, logging returns at once, and what a
// link leads to is left as it is.
func TestOtherThanARegularFile(t *testing.T) {
	t.Parallel()
	target := filepath.Join(t.TempDir(), "target")
	if err := os.WriteFile(target, []byte("theirs"), 0o644); err != nil {
		t.Fatal(err)
	}
	for name, place := range map[string]func(path string) error{
		"a FIFO":           func(path string) error { return unix.Mkfifo(path, 0o600) },
		"a link":           func(path string) error { return os.Symlink(target, path) },
		"a link to a link": func(path string) error { return os.Symlink("/dev/stdin", path) },
		"a device":         func(path string) error { return os.Symlink("/dev/null", path) },
		"a directory":      func(path string) error { return os.Mkdir(path, 0o700) },
	} {
		for _, suffix := range []string{"", ".1"} {
			l := New(t.TempDir())
			if err := place(l.Path() + suffix); err != nil {
				t.Fatal(err)
			}
			l.Logger().Info("x")
			if err := l.Check(); (err == nil) != (suffix == ".1") {
				t.Errorf("%s: %v", name+suffix, err)
			}
			if err := l.Close(); err != nil {
				t.Errorf("%s: %v", name+suffix, err)
			}
		}
	}
	text, _ := os.ReadFile(target)
	if info, err := os.Stat(target); err != nil || info.Mode().Perm() != 0o644 || string(text) != "theirs" {
		t.Errorf("the target of a link became %q, %v, %v", text, info, err)
	}
}
