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
	j := New(filepath.Join(t.TempDir(), "state", "log"))
	j.Logger().Info("call", "token", secret.New("hunter2hunter2"), "took", 1500*time.Millisecond)
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	got := records(t, j.Path())
	if len(got) != 1 || got[0]["token"] != secret.Redacted || got[0]["took_ms"] != 1500.0 || got[0]["msg"] != "call" {
		t.Errorf("got %v", got)
	}
	if _, err := time.Parse("2006-01-02T15:04:05.999999999Z", fmt.Sprint(got[0]["time"])); err != nil {
		t.Errorf("not UTC: %v", err)
	}
	for path, want := range map[string]os.FileMode{j.Path(): 0o600, filepath.Dir(j.Path()): 0o700} {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v, %v", path, info.Mode(), err)
		}
	}
}

// Text from a server stands in the log as it came, and acts on no terminal.
func TestServerTextIsHarmless(t *testing.T) {
	t.Parallel()
	j := New(filepath.Join(t.TempDir(), "log"))
	const said = "a\x1b[2J\u009b31m\u202eb\u200b\U000e0041\x7f\r\n\u2028 ก ✓ c"
	j.Logger().Error("call", "error", said)
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	if got := records(t, j.Path()); len(got) != 1 || got[0]["error"] != said {
		t.Errorf("got %v", got)
	}
	data, err := os.ReadFile(j.Path())
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
	j := New(filepath.Join(t.TempDir(), "log"))
	j.Logger()
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Dir(j.Path())); !os.IsNotExist(err) {
		t.Errorf("the directory is there: %v", err)
	}
}

func TestItIsRotatedBySize(t *testing.T) {
	t.Parallel()
	j := New(t.TempDir())
	record := append(bytes.Repeat([]byte("x"), 64<<10), '\n')
	for range MaxSize/len(record) + 2 {
		if n, err := j.Write(record); n != len(record) || err != nil {
			t.Fatal(n, err)
		}
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	now, err := os.Stat(j.Path())
	if err != nil {
		t.Fatal(err)
	}
	older, err := os.Stat(j.Path() + ".1")
	if err != nil {
		t.Fatal(err)
	}
	if now.Size() > MaxSize/2 || older.Size() < MaxSize {
		t.Errorf("sizes %d and %d", now.Size(), older.Size())
	}
}

// A log that others could read is taken away from them, also when it is full
// and becomes the older one.
func TestALooseFileIsTightened(t *testing.T) {
	t.Parallel()
	for name, size := range map[string]int64{"small": 0, "full": MaxSize} {
		j := New(t.TempDir())
		for _, path := range []string{j.Path(), j.Path() + ".1"} {
			if err := os.WriteFile(path, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(os.Truncate(path, size), os.Chmod(path, 0o644)); err != nil {
				t.Fatal(err)
			}
		}
		j.Logger().Info("x")
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
		for _, path := range []string{j.Path(), j.Path() + ".1"} {
			if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
				t.Errorf("%s: %v, %v", name, info, err)
			}
		}
	}
}

// Logging never fails a command: what cannot be written is not written.
func TestAJournalThatCannotBeWritten(t *testing.T) {
	t.Parallel()
	blocked := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(blocked, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	j := New(filepath.Join(blocked, "log"))
	if n, err := j.Write([]byte("x\n")); n != 2 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	if j.Check() == nil {
		t.Error("Check does not tell")
	}
}

func TestManyWritersKeepLinesWhole(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var writers sync.WaitGroup
	for i := range 8 {
		writers.Go(func() {
			j := New(dir)
			defer j.Close()
			for n := range 50 {
				j.Logger().Info("x", "writer", i, "n", n)
			}
		})
	}
	writers.Wait()
	if got := records(t, filepath.Join(dir, name)); len(got) != 400 {
		t.Errorf("%d records", len(got))
	}
}
