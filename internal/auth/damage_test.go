package auth

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// Whatever has happened to the file: an error that says what to do, no crash,
// and a new sign-in repairs it.
func TestDamagedFiles(t *testing.T) {
	t.Parallel()
	dir, r := t.TempDir(), newRing()
	keep := func(s *Store) {
		t.Helper()
		if err := s.keepSession(t.Context(), Auto, someSession, someTokens("refresh-1")); err != nil {
			t.Fatal(err)
		}
	}
	s := OpenStore(dir, r, func(string) {})
	keep(s)
	whole, err := os.ReadFile(s.Path())
	if err != nil {
		t.Fatal(err)
	}
	var c contents
	if err := json.Unmarshal(whole, &c); err != nil {
		t.Fatal(err)
	}
	edited := func(edit func(sealed []byte) []byte) []byte {
		text, err := json.Marshal(contents{Version: 1, Sessions: map[string]entry{someSession: {Sealed: edit(append([]byte(nil), c.Sessions[someSession].Sealed...))}}})
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	for name, test := range map[string]struct {
		text []byte
		want error
	}{
		"truncated":       {whole[:len(whole)/2], errDamaged},
		"empty":           {nil, errDamaged},
		"zeroes":          {make([]byte, 4096), errDamaged},
		"not ours":        {[]byte(`{"hello":1}`), errDamaged},
		"a bit flipped":   {edited(func(b []byte) []byte { b[len(b)/2] ^= 1; return b }), errOtherKey},
		"sealed cut":      {edited(func(b []byte) []byte { return b[:len(b)-1] }), errOtherKey},
		"sealed missing":  {edited(func([]byte) []byte { return nil }), errDamaged},
		"another's entry": {[]byte(strings.ReplaceAll(string(whole), someSession, "prod x y")), nil},
	} {
		if err := os.WriteFile(s.Path(), test.text, 0o600); err != nil {
			t.Fatal(err)
		}
		session := someSession
		if test.want == nil { // a session moved to another environment's name
			session, test.want = "prod x y", errOtherKey
		}
		if _, _, err := stored(t, dir, r, session); !errors.Is(err, test.want) {
			t.Errorf("%s: got %v, want %v", name, err, test.want)
		}
		warned := &texts{}
		keep(OpenStore(dir, r, warned.add))
		if _, found, err := stored(t, dir, r, someSession); !found || err != nil {
			t.Errorf("%s: not repaired: %v", name, err)
		}
		if lost := errors.Is(test.want, errDamaged) && name != "sealed missing"; lost != strings.Contains(warned.String(), "sessions in it are lost") {
			t.Errorf("%s: warned %q", name, warned)
		}
	}
}

func TestNewerFileIsLeftAlone(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := OpenStore(dir, newRing(), func(string) {})
	if err := os.WriteFile(s.Path(), []byte(`{"version":2,"sessions":{}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	wantError(t, s.keepSession(t.Context(), FileOnly, someSession, someTokens("r")), Config, "newer villapay")
	if text, err := os.ReadFile(s.Path()); err != nil || !strings.Contains(string(text), `"version":2`) {
		t.Errorf("now it holds %s, %v", text, err)
	}
}

func TestOtherKey(t *testing.T) {
	t.Parallel()
	dir, r := t.TempDir(), newRing()
	s := OpenStore(dir, r, func(string) {})
	if err := s.keepSession(t.Context(), Auto, someSession, someTokens("refresh-1")); err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]string{"none": "", "garbage": "hello", "another": "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="} {
		other := newRing()
		if value != "" {
			other.keys[s.account()] = value
		}
		if _, _, err := stored(t, dir, other, someSession); !errors.Is(err, errOtherKey) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestWorldReadableFileIsFixed(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("Windows has no such permissions")
	}
	dir, warned := t.TempDir(), &texts{}
	s := OpenStore(dir, newRing(), warned.add)
	if err := s.keepSession(t.Context(), FileOnly, someSession, someTokens("r")); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(s.Path(), 0o644); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := s.read(); err != nil {
			t.Fatal(err)
		}
	}
	if n := strings.Count(warned.String(), "could be read by others (0644)"); n != 1 {
		t.Errorf("warned %d times: %s", n, warned)
	}
	private(t, s.Path())
}

// A link, FIFO or device in the place of a file of ours is an error at once, and
// what a link points to is left alone.
func TestSpecialFiles(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("links need privileges on Windows")
	}
	target := filepath.Join(t.TempDir(), "target")
	if err := os.WriteFile(target, []byte(`{"version":1}`), 0o644); err != nil {
		t.Fatal(err)
	}
	for name, create := range specialFiles(target) {
		for _, file := range []string{"tokens", "tokens.lock"} {
			dir := t.TempDir()
			if err := create(filepath.Join(dir, file)); err != nil {
				t.Fatal(err)
			}
			s := OpenStore(dir, newRing(), func(text string) { t.Errorf("%s: warned %s", name, text) })
			wantError(t, s.keepSession(t.Context(), FileOnly, someSession, someTokens("r")), Config, file+": it is a "+name)
			if file == "tokens" {
				_, err := s.read()
				wantError(t, err, Config, "read the token file", "it is a "+name)
			}
		}
	}
	if text, err := os.ReadFile(target); err != nil || string(text) != `{"version":1}` {
		t.Errorf("the target holds %s, %v", text, err)
	}
	if info, err := os.Stat(target); err != nil || info.Mode().Perm() != 0o644 {
		t.Errorf("the target has mode %v, %v", info.Mode(), err)
	}
}

func TestUnwritableDirectory(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	s := OpenStore(filepath.Join(file, "below"), newRing(), func(string) {})
	wantError(t, s.keepSession(t.Context(), FileOnly, someSession, someTokens("r")), Config, "lock the token file", "VILLAPAY_STATE_DIR")
}

// What a process left that died while it wrote is removed by the next one.
func TestLeftoversAreRemoved(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, ".tokens-123.tmp"), []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := OpenStore(dir, newRing(), func(string) {})
	if err := s.keepSession(t.Context(), FileOnly, someSession, someTokens("r")); err != nil {
		t.Fatal(err)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, ".*")); len(left) != 0 {
		t.Errorf("left over: %v", left)
	}
}

// A directory in which others could replace the file is fixed or named.
func TestLooseDirectory(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("Windows has no such permissions")
	}
	for name, want := range map[string]struct {
		mode  os.FileMode
		named bool
	}{"villapay": {0o700, false}, "shared": {0o777, true}} {
		dir, warned := filepath.Join(t.TempDir(), name), &texts{}
		if err := errors.Join(os.Mkdir(dir, 0o700), os.Chmod(dir, 0o777)); err != nil {
			t.Fatal(err)
		}
		if err := OpenStore(dir, newRing(), warned.add).keepSession(t.Context(), Auto, someSession, someTokens("r")); err != nil {
			t.Fatal(err)
		}
		if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != want.mode {
			t.Errorf("%s: mode %v, %v", name, info.Mode(), err)
		}
		if named := strings.Contains(warned.String(), "others can replace files in "+dir); named != want.named {
			t.Errorf("%s: warned %q", name, warned)
		}
	}
}
