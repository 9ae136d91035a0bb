// Package atomicfile replaces the program's own files whole, and opens them safely.
//
// It promises that a reader or a crash finds the old content or the new, never a
// part; that a FIFO, device, socket or link in the place of one of our files is an
// error at once; and that permissions change on only on this user's regular files.
package atomicfile

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/gofrs/flock"
)

// File is the new content of a path. It is written beside it.
type File struct {
	*os.File
	path string
	done bool
}

// Create starts to replace path, whose directory must exist. perm is 0600, or
// 0666 (less the umask) for a file to pass on. A link at path will be replaced,
// not followed; a FIFO, device, socket or directory there is an error.
func Create(path string, perm fs.FileMode) (*File, error) {
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		return nil, notRegular(path, info.Mode())
	}
	name := filepath.Join(filepath.Dir(path), tempPrefix(path)+strings.ToLower(rand.Text())+tempSuffix)
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, perm)
	if err != nil {
		return nil, err
	}
	return &File{File: f, path: path}, nil
}

// Commit makes the content durable and puts it in place.
func (f *File) Commit() error {
	err := f.Sync()
	if closeErr := f.File.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = rename(f.Name(), f.path)
	}
	if err != nil {
		return err
	}
	f.done = true
	if dir, err := os.Open(filepath.Dir(f.path)); err == nil { // Windows and some network disks cannot sync one
		_ = dir.Sync()
		_ = dir.Close()
	}
	return nil
}

// Close discards the content unless it was committed.
func (f *File) Close() error {
	if f.done {
		return nil
	}
	f.done = true
	_ = f.File.Close() // a failed Commit has done it already
	return os.Remove(f.Name())
}

// Write replaces path by data; see [Create].
func Write(path string, data []byte, perm fs.FileMode) error {
	f, err := Create(path, perm)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Commit()
	}
	return errors.Join(err, f.Close())
}

// rename waits on Windows for readers of to, who hold it for a moment.
func rename(from, to string) error {
	err := os.Rename(from, to)
	for try := 0; err != nil && runtime.GOOS == "windows" && try < 20; try++ {
		time.Sleep(25 * time.Millisecond)
		err = os.Rename(from, to)
	}
	return err
}

const tempSuffix = ".tmp"

func tempPrefix(path string) string { return "." + filepath.Base(path) + "-" }

// ErrLocked is behind an error of [Lock]: somebody else has had the lock all the time.
var ErrLocked = errors.New("another villapay has held the lock")

// Lock takes the lock on path, that is path+".lock", which stays. It makes the
// directory (0700), waits for limit at most, and removes what a crash left of a
// replacement of path: under the lock no other can be going on. The error is
// ctx's, [ErrLocked] or the file's.
func Lock(ctx context.Context, path string, limit time.Duration) (unlock func(), err error) {
	dir, name := filepath.Dir(path), path+".lock"
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	f, err := Open(name, os.O_CREATE|os.O_RDWR)
	if err != nil {
		return nil, err
	}
	_ = f.Close()
	limited, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	lock := flock.New(name, flock.SetFlag(os.O_CREATE|os.O_RDWR|openFlags))
	_, err = lock.TryLockContext(limited, 10*time.Millisecond)
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case err != nil && limited.Err() != nil:
		return nil, fmt.Errorf("%w for %s", ErrLocked, limit)
	case err != nil:
		return nil, err
	}
	entries, _ := os.ReadDir(dir)
	for _, entry := range entries {
		if name := entry.Name(); strings.HasPrefix(name, tempPrefix(path)) && strings.HasSuffix(name, tempSuffix) {
			_ = os.Remove(filepath.Join(dir, name))
		}
	}
	return func() { _ = lock.Unlock() }, nil
}

// Open opens one of our own files, 0600 where flag makes it. A path that is not
// a regular file is an error at once: links are not followed, and no FIFO is waited for.
func Open(path string, flag int) (*os.File, error) {
	if info, err := os.Lstat(path); err == nil && !info.Mode().IsRegular() {
		return nil, notRegular(path, info.Mode())
	}
	f, err := os.OpenFile(path, flag|openFlags, 0o600)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = notRegular(path, info.Mode())
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

func notRegular(path string, mode fs.FileMode) error {
	kind := "special file"
	switch {
	case mode&fs.ModeSymlink != 0:
		kind = "link"
	case mode.IsDir():
		kind = "directory"
	case mode&fs.ModeNamedPipe != 0:
		kind = "FIFO"
	case mode&fs.ModeSocket != 0:
		kind = "socket"
	case mode&fs.ModeDevice != 0:
		kind = "device"
	}
	return &fs.PathError{Op: "open", Path: path, Err: fmt.Errorf("it is a %s, not a regular file", kind)}
}

// FixPermissions makes a file that came from [Open] 0600 if others had any
// permission on it. was is what it had then, else 0. A file of another user or
// with several names is left as it is, which is an error.
func FixPermissions(f *os.File) (was fs.FileMode, err error) {
	info, err := f.Stat()
	if err != nil || runtime.GOOS == "windows" || info.Mode().Perm()&0o077 == 0 {
		return 0, err
	}
	was = info.Mode().Perm()
	if !info.Mode().IsRegular() || !ownedAlone(info) {
		return was, &fs.PathError{Op: "chmod", Path: f.Name(), Err: errors.New("it belongs to another user, or has several hard links")}
	}
	return was, f.Chmod(0o600)
}

// FixDir makes an existing directory 0700 if it is this user's and named
// villapay, as our own are by default. Any other directory is left as it is: one
// that others can write to is an error, since they can replace what is in it.
func FixDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || runtime.GOOS == "windows" || !info.IsDir() {
		return err
	}
	perm := info.Mode().Perm()
	if perm&0o077 != 0 && filepath.Base(dir) == "villapay" && owned(info) {
		return f.Chmod(0o700)
	}
	if perm&0o022 != 0 && info.Mode()&fs.ModeSticky == 0 {
		return fmt.Errorf("others can replace files in %s (mode %#o)", dir, perm)
	}
	return nil
}
