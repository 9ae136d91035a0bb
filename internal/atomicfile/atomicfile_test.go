package atomicfile

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func mode(t *testing.T, path string) os.FileMode {
	t.Helper()
	info, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Mode()
}

func names(t *testing.T, dir string) (all []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		all = append(all, entry.Name())
	}
	return all
}

func TestWriteReplacesFilesWhole(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "[a]") // nothing reads it as a pattern
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "tokens")
	if err := os.WriteFile(path, []byte("old"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := Write(path, []byte("new"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := read(t, path); got != "new" {
		t.Errorf("got %q", got)
	}
	if runtime.GOOS != "windows" && mode(t, path) != 0o600 {
		t.Errorf("mode %v", mode(t, path))
	}
	if got := names(t, dir); len(got) != 1 {
		t.Errorf("left over: %v", got)
	}
}

func TestWhatIsNotCommittedIsDiscarded(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "tokens")
	f, err := Create(path, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString("half"); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if got := names(t, filepath.Dir(path)); len(got) != 0 {
		t.Errorf("left over: %v", got)
	}
	if err := Write(filepath.Join(path, "below"), nil, 0o600); err == nil {
		t.Error("wrote into a directory that is not there")
	}
}

func TestFailedCommitLeavesTheOldFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "tokens")
	f, err := Create(path, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(path, 0o700); err != nil { // since then
		t.Fatal(err)
	}
	if err := f.Commit(); err == nil {
		t.Error("replaced a directory")
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
	if got := names(t, filepath.Dir(path)); len(got) != 1 {
		t.Errorf("left over: %v", got)
	}
}

func TestLockRemovesWhatACrashLeft(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "state", "tokens")
	unlock, err := Lock(t.Context(), path, time.Second)
	if err != nil {
		t.Fatal(err)
	}
	unlock()
	f, err := Create(path, 0o600) // and then, say, kill -9
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	neighbor := filepath.Join(filepath.Dir(path), ".tokens2-x.tmp")
	if err := os.WriteFile(neighbor, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if unlock, err = Lock(t.Context(), path, time.Second); err != nil {
		t.Fatal(err)
	}
	defer unlock()
	if _, err := os.Stat(f.Name()); runtime.GOOS != "windows" && !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the temporary file is still there: %v", err)
	}
	if _, err := os.Stat(neighbor); err != nil {
		t.Error(err)
	}
	if got := mode(t, filepath.Dir(path)).Perm(); runtime.GOOS != "windows" && got != 0o700 {
		t.Errorf("the directory has mode %v", got)
	}
}

func TestLockIsWaitedForWithALimit(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "tokens")
	synctest.Test(t, func(t *testing.T) {
		unlock, err := Lock(t.Context(), path, time.Second)
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		if _, err := Lock(t.Context(), path, 20*time.Second); !errors.Is(err, ErrLocked) || !strings.Contains(err.Error(), "20s") {
			t.Errorf("got %v", err)
		}
		if waited := time.Since(start); waited != 20*time.Second {
			t.Errorf("waited %s", waited)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := Lock(ctx, path, 20*time.Second); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want the caller's own limit", err)
		}
		unlock()
		if unlock, err = Lock(t.Context(), path, time.Second); err != nil {
			t.Fatal(err)
		}
		unlock()
	})
}
