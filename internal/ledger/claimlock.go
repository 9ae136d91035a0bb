package ledger

import (
	"crypto/rand"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/gofrs/flock"
)

// claimLock is a file that this process keeps locked while its ledger is open.
// The system releases the lock when the process ends, however it ends, so
// another process on this machine sees at once that a claim's owner has died.
// If no lock can be had (a read-only directory, another machine), only the lease
// decides.
type claimLock struct {
	dir string
	now func() time.Time

	mu    sync.Mutex
	tried bool
	held  *flock.Flock
	kept  bool // the file outlives the lock
}

// own returns the name of this process's lock, made when first asked for; ""
// if none can be had.
func (c *claimLock) own() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.tried {
		c.tried = true
		c.held = c.take()
	}
	if c.held == nil {
		return ""
	}
	return strings.TrimSuffix(filepath.Base(c.held.Path()), lockSuffix)
}

const lockSuffix = ".lock"

func (c *claimLock) path(name string) string { return filepath.Join(c.dir, name+lockSuffix) }

func (c *claimLock) take() *flock.Flock {
	if c.dir == "" || os.MkdirAll(c.dir, 0o700) != nil {
		return nil
	}
	c.sweep()
	held := flock.New(c.path(rand.Text()), flock.SetFlag(os.O_CREATE|os.O_RDWR), flock.SetPermissions(0o600))
	if ok, err := held.TryLock(); !ok || err != nil {
		return nil
	}
	return held
}

// staleAfter is the age from which the lock file of a dead process is removed;
// its claims have lapsed by then.
const staleAfter = time.Hour

// sweep removes what processes that were killed have left behind.
func (c *claimLock) sweep() {
	entries, _ := os.ReadDir(c.dir)
	for _, entry := range entries {
		name, ok := strings.CutSuffix(entry.Name(), lockSuffix)
		info, err := entry.Info()
		if ok && err == nil && c.now().Sub(info.ModTime()) > staleAfter && c.died(name) {
			_ = os.Remove(c.path(name))
		}
	}
}

// died reports whether the process that owns a lock is known to have ended. A
// lock that is not in this directory is another machine's: nothing is known, nor of
// what is not a regular file.
func (c *claimLock) died(name string) bool {
	if name == "" || strings.Trim(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567") != "" { // not one of rand.Text's
		return false
	}
	lock := flock.New(c.path(name), flock.SetFlag(os.O_RDWR))
	if info, err := os.Lstat(lock.Path()); err != nil || !info.Mode().IsRegular() {
		return false
	}
	free, err := lock.TryLock()
	_ = lock.Close()
	return free && err == nil
}

// keep makes the file outlive the lock, as that of a process that died: the end
// of a claim could not be recorded, and others need not wait for its lease.
func (c *claimLock) keep() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.kept = true
}

func (c *claimLock) release() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.held == nil {
		return
	}
	_ = c.held.Close()
	if !c.kept {
		_ = os.Remove(c.held.Path())
	}
	c.held = nil
}
