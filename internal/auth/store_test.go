package auth

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

	"github.com/gofrs/flock"
	"github.com/google/go-cmp/cmp"

	"github.com/villapay/villapay/internal/secret"
)

const someSession = "dev https://issuer/pool client"

func someTokens(refresh string) Tokens {
	at := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	return Tokens{
		ID: secret.New("id-of-" + refresh), Access: secret.New("access-of-" + refresh), Refresh: secret.New(refresh),
		Username: "operator-ann", Device: "device", ReceivedAt: at, ExpiresAt: at.Add(time.Hour),
	}
}

func reveal(t Tokens) record { return newRecord(t) }

func (s *Store) removeSession(ctx context.Context, name string) error {
	return s.remove(ctx, func(c *contents) error { delete(c.Sessions, name); return nil })
}

// stored reads a session in a new process, as it were.
func stored(t *testing.T, dir string, r Keyring, name string) (Tokens, bool, error) {
	t.Helper()
	s := OpenStore(dir, r, func(text string) { t.Log("warning:", text) })
	c, err := s.read()
	if err != nil {
		return Tokens{}, false, err
	}
	return s.openSession(t.Context(), c, name)
}

func TestStoreSealsAndOpens(t *testing.T) {
	t.Parallel()
	dir, r, warned := filepath.Join(t.TempDir(), "state", "villapay"), newRing(), &texts{}
	want := someTokens("refresh-1")
	if err := OpenStore(dir, r, warned.add).keepSession(t.Context(), Auto, someSession, want); err != nil {
		t.Fatal(err)
	}
	other := someTokens("refresh-2")
	if err := OpenStore(dir, r, warned.add).keepSession(t.Context(), Auto, "prod x y", other); err != nil {
		t.Fatal(err)
	}
	for name, tokens := range map[string]Tokens{someSession: want, "prod x y": other} {
		got, found, err := stored(t, dir, r, name)
		if err != nil || !found || reveal(got) != reveal(tokens) {
			t.Errorf("%s: got %v %v, %s", name, found, err, cmp.Diff(reveal(tokens), reveal(got)))
		}
	}
	text, err := os.ReadFile(filepath.Join(dir, "tokens"))
	if err != nil {
		t.Fatal(err)
	}
	for _, hidden := range []string{"refresh-1", "access-of", "id-of", "operator-ann", r.keys[OpenStore(dir, r, nil).account()]} {
		if strings.Contains(string(text), hidden) {
			t.Errorf("%q stands in the file", hidden)
		}
	}
	if len(r.keys) != 1 || warned.String() != "" {
		t.Errorf("%d keys, warned %q", len(r.keys), warned)
	}
	modes(t, dir)
}

// modes checks that nobody else can read anything in dir.
func modes(t *testing.T, dir string) {
	t.Helper()
	if runtime.GOOS == "windows" {
		return
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		if info, err := entry.Info(); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v, %v", entry.Name(), info.Mode(), err)
		}
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the directory has mode %v, %v", info.Mode(), err)
	}
}

// The keyring is asked once a process, and not at all for a plain session.
func TestKeyringIsAskedOnce(t *testing.T) {
	t.Parallel()
	dir, r := t.TempDir(), newRing()
	s := OpenStore(dir, r, func(string) {})
	if err := s.keepSession(t.Context(), Auto, someSession, someTokens("r")); err != nil {
		t.Fatal(err)
	}
	r.gets = 0
	s = OpenStore(dir, r, func(string) {})
	for range 3 {
		c, err := s.read()
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := s.openSession(t.Context(), c, "nosuch"); err != nil {
			t.Fatal(err)
		}
		if _, _, err := s.openSession(t.Context(), c, someSession); err != nil {
			t.Fatal(err)
		}
	}
	if r.gets != 1 {
		t.Errorf("the keyring was asked %d times", r.gets)
	}
}

// The ladder: where the keyring fails a plain file follows, after a warning
// that comes before the file.
func TestStoreLadder(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		mode   Mode
		err    error
		plain  bool
		warns  string
		failed string
	}{
		"auto":                   {mode: Auto},
		"auto, no bus":           {mode: Auto, err: findBus("linux", "", "/nonexistent"), plain: true, warns: "unencrypted (0600), because the keyring cannot be used: there is no session bus"},
		"auto, broken":           {mode: Auto, err: errors.New("org.freedesktop.DBus.Error"), plain: true, warns: "org.freedesktop.DBus.Error"},
		"keyring":                {mode: KeyringOnly},
		"keyring, broken":        {mode: KeyringOnly, err: errors.New("it is locked"), failed: "cannot use the keyring: it is locked"},
		"file":                   {mode: FileOnly, plain: true, warns: "as --store file asks"},
		"file, keyring unwanted": {mode: FileOnly, err: errors.New("broken"), plain: true, warns: "as --store file asks"},
	} {
		dir, r := t.TempDir(), newRing()
		r.err = test.err
		path, warned := filepath.Join(dir, "tokens"), ""
		s := OpenStore(dir, r, func(text string) {
			if _, err := os.Stat(path); err == nil && warned == "" {
				t.Errorf("%s: the warning came after the file", name)
			}
			warned += text
		})
		err := s.keepSession(t.Context(), test.mode, someSession, someTokens("refresh-1"))
		if test.failed != "" {
			wantError(t, err, Config, test.failed, "--store file")
			if _, err := os.Stat(path); err == nil {
				t.Errorf("%s: a file was written", name)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		text, err := os.ReadFile(path)
		if err != nil || strings.Contains(string(text), "refresh-1") != test.plain {
			t.Errorf("%s: %v, file %s", name, err, text)
		}
		if !strings.Contains(warned, test.warns) || (warned == "") != (test.warns == "") || test.warns != "" && !strings.Contains(warned, path) {
			t.Errorf("%s: warned %q, want %q", name, warned, test.warns)
		}
		if test.mode == FileOnly && r.gets != 0 {
			t.Errorf("%s: the keyring was asked", name)
		}
		if err := s.keepSession(t.Context(), test.mode, "another", someTokens("r")); err != nil || r.gets > 1 {
			t.Errorf("%s: again: %v, and the keyring was asked %d times", name, err, r.gets)
		}
		if got, found, err := stored(t, dir, r, someSession); err != nil || !found || got.Username != "operator-ann" {
			t.Errorf("%s: got %v %v %v", name, got, found, err)
		}
		private(t, path)
	}
}

func private(t *testing.T, path string) {
	t.Helper()
	if info, err := os.Stat(path); err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
		t.Errorf("%s: %v, %v", path, info.Mode(), err)
	}
}

// A keyring that fails today leaves the sealed sessions of yesterday alone.
func TestPlainBesideSealed(t *testing.T) {
	t.Parallel()
	dir, r := t.TempDir(), newRing()
	if err := OpenStore(dir, r, func(string) {}).keepSession(t.Context(), Auto, someSession, someTokens("sealed")); err != nil {
		t.Fatal(err)
	}
	r.err = errors.New("locked")
	if err := OpenStore(dir, r, func(string) {}).keepSession(t.Context(), Auto, "prod", someTokens("plain")); err != nil {
		t.Fatal(err)
	}
	if _, _, err := stored(t, dir, r, someSession); !errors.Is(err, r.err) {
		t.Errorf("the sealed one under a locked keyring: %v", err)
	}
	r.err = nil
	for name, refresh := range map[string]string{someSession: "sealed", "prod": "plain"} {
		if got, _, err := stored(t, dir, r, name); err != nil || got.Refresh.Reveal() != refresh {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestRemove(t *testing.T) {
	t.Parallel()
	dir, r := t.TempDir(), newRing()
	s := OpenStore(dir, r, func(text string) { t.Error(text) })
	for _, name := range []string{"a", "b"} {
		if err := s.keepSession(t.Context(), Auto, name, someTokens(name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.removeSession(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	if _, found, err := stored(t, dir, r, "b"); err != nil || !found || len(r.keys) != 1 {
		t.Errorf("the other session: %v %v, %d keys", found, err, len(r.keys))
	}
	if err := OpenStore(dir, r, nil).removeSession(t.Context(), "b"); err != nil { // another process
		t.Fatal(err)
	}
	if _, err := os.Stat(s.Path()); !errors.Is(err, os.ErrNotExist) || len(r.keys) != 0 {
		t.Errorf("after the last one: file %v, %d keys", err, len(r.keys))
	}
	// The key that this store remembers is gone from the keyring: a new session needs a new one.
	if err := s.keepSession(t.Context(), Auto, "c", someTokens("c")); err != nil {
		t.Fatal(err)
	}
	if _, found, err := stored(t, dir, r, "c"); err != nil || !found {
		t.Errorf("a session after that: %v %v", found, err)
	}
	if err := s.removeSession(t.Context(), "nosuch"); err != nil {
		t.Error(err)
	}
}

func TestLockIsWaitedForWithALimit(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	lock := flock.New(filepath.Join(dir, "tokens.lock"))
	if ok, err := lock.TryLock(); !ok || err != nil {
		t.Fatal(ok, err)
	}
	defer func() { _ = lock.Unlock() }()
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		s := OpenStore(dir, newRing(), func(string) {})
		wantError(t, s.keepSession(t.Context(), FileOnly, someSession, someTokens("r")), Config, "another villapay has held the lock for 20s")
		if waited := time.Since(start); waited.Round(time.Second) != lockLimit {
			t.Errorf("waited %s", waited)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := s.keepSession(ctx, FileOnly, someSession, someTokens("r")); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want the caller's own limit", err)
		}
	})
}
