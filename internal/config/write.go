package config

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/gofrs/flock"
)

// lockWait bounds how long an edit waits for another one, which takes a few
// milliseconds.
const lockWait = 10 * time.Second

// lock makes the directory and takes config.yaml.lock, which stays: removing a
// lock file lets two processes hold "the" lock.
func lock(ctx context.Context, path string) (unlock func(), err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, notWritten(path, err)
	}
	limited, cancel := context.WithTimeout(ctx, lockWait)
	defer cancel()
	l := flock.New(path + ".lock")
	_, err = l.TryLockContext(limited, 5*time.Millisecond)
	switch {
	case err == nil:
		return func() { _ = l.Unlock() }, nil
	case ctx.Err() != nil:
		return nil, fmt.Errorf("edit %s: %w", path, ctx.Err())
	case errors.Is(err, context.DeadlineExceeded):
		err = fmt.Errorf("another villapay has been editing it for %s", lockWait)
	}
	return nil, notWritten(path, err)
}

// write replaces the file by one rename, so that a reader and a crash find the
// old text or the new one. It writes 0600 whatever the mode was. A file that is
// a link stays one: the file it leads to is replaced. The lock is held, so a
// temporary file that is there is one that a crash left.
func write(path, text string) (err error) {
	target, err := filepath.EvalSymlinks(path)
	if errors.Is(err, os.ErrNotExist) {
		target, err = path, nil
	}
	if err != nil {
		return notWritten(path, err)
	}
	temporary := target + ".villapay-new"
	_ = os.Remove(temporary)
	defer func() {
		if err != nil {
			_ = os.Remove(temporary)
			err = notWritten(path, err)
		}
	}()
	if err := create(temporary, text); err != nil {
		return err
	}
	if err := os.Rename(temporary, target); err != nil {
		return err
	}
	syncDir(filepath.Dir(target))
	return nil
}

// create writes a new file, 0600, and waits until it is on the disk.
func create(path, text string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	if err == nil {
		err = f.Sync()
	}
	if closed := f.Close(); err == nil {
		err = closed
	}
	return err
}

// syncDir makes a rename durable where the system can: Windows and some network
// file systems cannot, and the edit is made either way.
func syncDir(dir string) {
	if d, err := os.Open(dir); err == nil {
		_ = d.Sync()
		_ = d.Close()
	}
}

func notWritten(path string, err error) *Error {
	return &Error{Kind: KindConfig, Message: fmt.Sprintf("write %s: %s", path, err), Hint: "check the directory's owner, mode and free space, or set VILLAPAY_CONFIG_DIR", Err: err}
}
