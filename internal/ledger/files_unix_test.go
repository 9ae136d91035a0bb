//go:build unix

package ledger

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/villapay/villapay/internal/secret"
)

// What is not a regular file is an error at once in place of the ledger's files, and
// no owner in place of a lock.
func TestFilesThatAreNotRegular(t *testing.T) {
	t.Parallel()
	for kind, create := range map[string]func(path string) error{
		"FIFO":      func(path string) error { return unix.Mkfifo(path, 0o600) },
		"directory": func(path string) error { return os.Mkdir(path, 0o700) },
		"link":      func(path string) error { return os.Symlink("/dev/null", path) },
	} {
		for _, name := range []string{"ledger.db", "ledger.db-wal", "ledger.db-shm"} {
			dir := t.TempDir()
			if err := create(filepath.Join(dir, name)); err != nil {
				t.Fatal(err)
			}
			_, err := Open(t.Context(), secret.New("sqlite"), dir, "", time.Now)
			if _, ok := errors.AsType[*Error](err); !ok || !strings.Contains(err.Error(), "it is a "+kind) {
				t.Errorf("%s in place of %s: %v", kind, name, err)
			}
		}
		at := sqlitePlace(t)
		l := at.open(t)
		l.mustClaim(t, ask("1"), Claimed)
		other := at.open(t)
		path := l.lock.held.Path()
		if err := errors.Join(os.Remove(path), create(path)); err != nil {
			t.Fatal(err)
		}
		other.mustClaim(t, ask("1"), Busy)
	}
}

// Permissions change on files of our own alone.
func TestPermissionsOfOthersFiles(t *testing.T) {
	t.Parallel()
	real := sqlitePlace(t)
	l := real.open(t)
	l.awaiting(t, "1")
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	target := filepath.Join(real.dir, "ledger.db")
	for name, put := range map[string]func(path string) error{
		"a link":        func(path string) error { return os.Symlink(target, path) },
		"a second name": func(path string) error { return os.Link(target, path) },
	} {
		at := sqlitePlace(t)
		if err := errors.Join(put(filepath.Join(at.dir, "ledger.db")), os.Chmod(target, 0o644)); err != nil {
			t.Fatal(err)
		}
		l := at.open(t)
		if info, err := os.Stat(target); err != nil || info.Mode().Perm() != 0o644 {
			t.Errorf("%s: now %v, %v", name, info, err)
		}
		if all := l.of(t, "1"); len(all) != 1 || !strings.Contains(l.Warning(), "others may be able to read the ledger") {
			t.Errorf("%s: %+v, warning %q", name, all, l.Warning())
		}
	}
}
