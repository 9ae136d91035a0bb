//go:build unix

package atomicfile

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Nothing but a regular file is opened, replaced or locked, and nothing waits.
func TestOnlyRegularFiles(t *testing.T) {
	t.Parallel()
	target := filepath.Join(t.TempDir(), "target")
	if err := os.WriteFile(target, []byte("theirs"), 0o644); err != nil {
		t.Fatal(err)
	}
	for kind, create := range map[string]func(path string) error{
		"link":      func(path string) error { return os.Symlink(target, path) },
		"FIFO":      func(path string) error { return unix.Mkfifo(path, 0o600) },
		"directory": func(path string) error { return os.Mkdir(path, 0o700) },
		"socket": func(path string) error {
			l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
			if err == nil {
				l.SetUnlinkOnClose(false)
				err = l.Close()
			}
			return err
		},
		"device": func(path string) error { return os.Symlink("/dev/null", path) }, // a link, to Open
	} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			dir, err := os.MkdirTemp("", "af") //nolint:usetesting // short: a socket's path has a limit
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = os.RemoveAll(dir) })
			path := filepath.Join(dir, "tokens")
			if err := errors.Join(create(path), create(path+".lock")); err != nil {
				t.Fatal(err)
			}
			want := kind
			if kind == "device" {
				want = "link"
			}
			for _, flag := range []int{os.O_RDONLY, os.O_WRONLY | os.O_APPEND, os.O_RDWR | os.O_CREATE} {
				if f, err := Open(path, flag); err == nil || !strings.Contains(err.Error(), "it is a "+want) {
					t.Errorf("%#x: got %v, %v", flag, f, err)
				}
			}
			if _, err := Lock(t.Context(), path, time.Minute); err == nil || !strings.Contains(err.Error(), "it is a "+want) {
				t.Errorf("lock: %v", err)
			}
			err = Write(path, []byte("ours"), 0o600)
			if kind == "link" {
				if err != nil || read(t, path) != "ours" || !mode(t, path).IsRegular() {
					t.Errorf("write: %v", err)
				}
			} else if err == nil || !strings.Contains(err.Error(), "it is a "+kind) {
				t.Errorf("write: %v", err)
			}
		})
	}
	t.Cleanup(func() {
		if read(t, target) != "theirs" || mode(t, target) != 0o644 {
			t.Errorf("the target of the links was changed")
		}
	})
}

func TestFixPermissions(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "tokens")
	f, err := Open(path, os.O_CREATE|os.O_RDWR)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if was, err := FixPermissions(f); was != 0 || err != nil {
		t.Errorf("a new file: %v, %v", was, err)
	}
	if err := f.Chmod(0o644); err != nil {
		t.Fatal(err)
	}
	if was, err := FixPermissions(f); was != 0o644 || err != nil || mode(t, path) != 0o600 {
		t.Errorf("a loose file: %v, %v, now %v", was, err, mode(t, path))
	}
	if err := errors.Join(f.Chmod(0o640), os.Link(path, path+"2")); err != nil {
		t.Fatal(err)
	}
	if was, err := FixPermissions(f); was != 0o640 || err == nil || mode(t, path) != 0o640 {
		t.Errorf("a file with two names: %v, %v, now %v", was, err, mode(t, path))
	}
}

func TestFixDir(t *testing.T) {
	t.Parallel()
	own, other := filepath.Join(t.TempDir(), "villapay"), filepath.Join(t.TempDir(), "elsewhere")
	for _, test := range []struct {
		dir          string
		before, then os.FileMode
		named        bool
	}{
		{own, 0o777, 0o700, false},
		{own, 0o755, 0o700, false},
		{own, 0o700, 0o700, false},
		{other, 0o755, 0o755, false},
		{other, 0o770, 0o770, true},
		{other, 0o777 | os.ModeSticky, 0o777 | os.ModeSticky, false},
	} {
		if err := errors.Join(os.MkdirAll(test.dir, 0o700), os.Chmod(test.dir, test.before)); err != nil {
			t.Fatal(err)
		}
		err := FixDir(test.dir)
		if named := err != nil && strings.Contains(err.Error(), test.dir); named != test.named || (err != nil) != test.named {
			t.Errorf("%s %v: %v", test.dir, test.before, err)
		}
		if got := mode(t, test.dir) &^ os.ModeDir; got != test.then {
			t.Errorf("%s %v: now %v", test.dir, test.before, got)
		}
	}
	if err := FixDir(filepath.Join(own, "nosuch")); err != nil {
		t.Error(err)
	}
}
