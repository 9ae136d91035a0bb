package applog

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode"

	"github.com/villapay/villapay/internal/secret"
)

func records(t *testing.T, path string) []map[string]any {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var all []map[string]any
	for line := range bytes.Lines(data) {
		var record map[string]any
		if err := json.Unmarshal(line, &record); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		all = append(all, record)
	}
	return all
}

func TestRecordsAreJSONWithoutSecrets(t *testing.T) {
	t.Parallel()
	l := New(filepath.Join(t.TempDir(), "state", "log"))
	l.Logger().Info("call", "token", secret.New("hunter2hunter2"), "took", 1500*time.Millisecond)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	got := records(t, l.Path())
	if len(got) != 1 || got[0]["token"] != secret.Redacted || got[0]["took_ms"] != 1500.0 || got[0]["msg"] != "call" {
		t.Errorf("got %v", got)
	}
	if _, err := time.Parse("2006-01-02T15:04:05.999999999Z", fmt.Sprint(got[0]["time"])); err != nil {
		t.Errorf("not UTC: %v", err)
	}
	for path, want := range map[string]os.FileMode{l.Path(): 0o600, filepath.Dir(l.Path()): 0o700} {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v, %v", path, info.Mode(), err)
		}
	}
}

// Text from a server stands in the log as it came, and acts on no terminal.
func TestServerTextIsSanitized(t *testing.T) {
	t.Parallel()
	l := New(filepath.Join(t.TempDir(), "log"))
	const said = "a\x1b[2J\u009b31m\u202eb\u200b\U000e0041\x7f\r\n\u2028 ก ✓ c"
	l.Logger().Error("call", "error", said)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if got := records(t, l.Path()); len(got) != 1 || got[0]["error"] != said {
		t.Errorf("got %v", got)
	}
	data, err := os.ReadFile(l.Path())
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range strings.TrimSuffix(string(data), "\n") {
		if !unicode.IsPrint(r) {
			t.Errorf("%U stands in the file", r)
		}
	}
	if !strings.Contains(string(data), "ก ✓") {
		t.Errorf("readable text is escaped: %s", data)
	}
}

func TestNothingIsOpenedBeforeTheFirstRecord(t *testing.T) {
	t.Parallel()
	l := New(filepath.Join(t.TempDir(), "log"))
	l.Logger()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Dir(l.Path())); !os.IsNotExist(err) {
		t.Errorf("the directory is there: %v", err)
	}
}

func TestItIsRotatedBySize(t *testing.T) {
	t.Parallel()
	l := New(t.TempDir())
	record := append(bytes.Repeat([]byte("x"), 64<<10), '\n')
	for range MaxSize/len(record) + 2 {
		if n, err := l.Write(record); n != len(record) || err != nil {
			t.Fatal(n, err)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	now, err := os.Stat(l.Path())
	if err != nil {
		t.Fatal(err)
	}
	older, err := os.Stat(l.Path() + ".1")
	if err != nil {
		t.Fatal(err)
	}
	if now.Size() > MaxSize/2 || older.Size() < MaxSize {
		t.Errorf("sizes %d and %d", now.Size(), older.Size())
	}
}

// A log that others could read is taken away from them, also when it is full
// and becomes the older one.
func TestPermissionsAreFixed(t *testing.T) {
	t.Parallel()
	for name, size := range map[string]int64{"small": 0, "full": MaxSize} {
		l := New(t.TempDir())
		for _, path := range []string{l.Path(), l.Path() + ".1"} {
			if err := os.WriteFile(path, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(os.Truncate(path, size), os.Chmod(path, 0o644)); err != nil {
				t.Fatal(err)
			}
		}
		l.Logger().Info("x")
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		for _, path := range []string{l.Path(), l.Path() + ".1"} {
			if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
				t.Errorf("%s: %v, %v", name, info, err)
			}
		}
	}
}

// Logging never fails a command: what cannot be written is not written.
func TestALogThatCannotBeWritten(t *testing.T) {
	t.Parallel()
	blocked := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(blocked, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	l := New(filepath.Join(blocked, "log"))
	if n, err := l.Write([]byte("x\n")); n != 2 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	if l.Check() == nil {
		t.Error("Check returns no error")
	}
}

func TestManyWritersKeepLinesWhole(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var writers sync.WaitGroup
	for i := range 8 {
		writers.Go(func() {
			l := New(dir)
			defer l.Close()
			for n := range 50 {
				l.Logger().Info("x", "writer", i, "n", n)
			}
		})
	}
	writers.Wait()
	if got := records(t, filepath.Join(dir, name)); len(got) != 400 {
		t.Errorf("%d records", len(got))
	}
}
