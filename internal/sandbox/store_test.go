package sandbox

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// childDir makes the test binary a process that uses the sandbox in that
// directory.
const childDir = "SANDBOX_TEST_CHILD_DIR"

// childDies makes such a process kill itself once its first order is answered.
const childDies = "SANDBOX_TEST_CHILD_DIES"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		if err := child(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

const childOrders = 5

// child makes some orders of its own and one that all children ask for under
// the same key, whose bank id it prints. It opens the state anew for each.
func child(dir string) error {
	dies := os.Getenv(childDies) != ""
	for i := range childOrders + 1 {
		orderID, key := "own", fmt.Sprintf("%d-%d", os.Getpid(), i)
		if i == 0 {
			orderID, key = "shared", "shared-key"
		}
		s := New(Options{Dir: dir, Now: time.Now})
		got := ask(context.Background(), client(s.Transport()), inProcess, orderID, "qr", key)
		if got.err != nil || got.status != http.StatusOK {
			return fmt.Errorf("order %d: %+v", i, got)
		}
		if i == 0 {
			fmt.Println(got.order().ID)
			if dies {
				return kill()
			}
		}
		if err := s.Close(); err != nil {
			return err
		}
	}
	return nil
}

// kill ends this process at once, nothing closed, nothing flushed.
func kill() error {
	self, err := os.FindProcess(os.Getpid())
	if err == nil {
		err = self.Kill()
	}
	if err == nil {
		select {}
	}
	return err
}

func TestManyProcessesAtOnce(t *testing.T) {
	t.Parallel()
	const processes = 20
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "new") // all race to make it
	ids := make([]string, processes)
	var wg sync.WaitGroup
	for i := range processes {
		wg.Go(func() {
			cmd := exec.CommandContext(t.Context(), self)
			cmd.Env = append(os.Environ(), childDir+"="+dir)
			var stderr bytes.Buffer
			cmd.Stderr = &stderr
			out, err := cmd.Output()
			if err != nil {
				t.Errorf("process %d: %v: %s", i, err, stderr.String())
			}
			ids[i] = strings.TrimSpace(string(out))
		})
	}
	wg.Wait()
	for i, id := range ids {
		if id == "" || id != ids[0] {
			t.Errorf("process %d got order %q for the shared key, process 0 %q", i, id, ids[0])
		}
	}
	s := newSandbox(t, Options{Dir: dir})
	wantStats(t, s, "shared", Stats{Posts: processes, Orders: 1})
	wantStats(t, s, "own", Stats{Posts: processes * childOrders, Orders: processes * childOrders})
}

// An order that was answered survives kill -9.
func TestKilledProcessLosesNothing(t *testing.T) {
	t.Parallel()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cmd := exec.CommandContext(t.Context(), self)
	cmd.Env = append(os.Environ(), childDir+"="+dir, childDies+"=1")
	out, err := cmd.Output()
	if err == nil {
		t.Fatal("the child was not killed")
	}
	s := newSandbox(t, Options{Dir: dir})
	got := ask(t.Context(), client(s.Transport()), inProcess, "shared", "qr", "shared-key")
	if id := strings.TrimSpace(string(out)); id == "" || got.order().ID != id {
		t.Errorf("the same key gives %q, the killed process was given %q", got.order().ID, id)
	}
	wantStats(t, s, "shared", Stats{Posts: 2, Orders: 1})
}

func TestStateIsPrivate(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("Windows has no such modes")
	}
	dir := filepath.Join(t.TempDir(), "a b?c%20d#e", "sandbox") // no character of a path is special
	s := newSandbox(t, Options{Dir: dir})
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("New touched the disk: %v", err)
	}
	if got := ask(t.Context(), client(s.Transport()), inProcess, "1", "qr", ""); got.status != 200 {
		t.Fatalf("%+v", got)
	}
	for path, want := range map[string]os.FileMode{
		dir:                                 0o700 | os.ModeDir,
		filepath.Join(dir, fileName):        0o600,
		filepath.Join(dir, fileName+"-wal"): 0o600,
		filepath.Join(dir, fileName+"-shm"): 0o600,
	} {
		info, err := os.Stat(path)
		if err != nil || info.Mode() != want {
			t.Errorf("%s: mode %v (%v), want %v", path, info.Mode(), err, want)
		}
	}
}

func TestStateIsKeptAndReset(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first := newSandbox(t, Options{Dir: dir})
	made := ask(t.Context(), client(first.Transport()), inProcess, "1", "qr", "k").order()
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}

	second := newSandbox(t, Options{Dir: dir})
	again := ask(t.Context(), client(second.Transport()), inProcess, "1", "qr", "k").order()
	if diff := cmp.Diff(made, again); diff != "" {
		t.Errorf("the same key in a later process (-first +later):\n%s", diff)
	}
	if err := second.Reset(t.Context()); err != nil {
		t.Fatal(err)
	}
	wantStats(t, second, "1", Stats{})
	fresh := ask(t.Context(), client(second.Transport()), inProcess, "1", "qr", "k").order()
	if fresh.ID == "" || fresh.ID == made.ID {
		t.Errorf("after a reset the key gives %q, before %q", fresh.ID, made.ID)
	}
}

// A file of the first version keeps its orders and charges.
func TestStateOfAnOlderVersion(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	older, err := sql.Open("sqlite", filepath.Join(dir, fileName))
	if err != nil {
		t.Fatal(err)
	}
	const rows = `PRAGMA user_version = 1;
		INSERT INTO orders (orderid, bank_id, answer, charge_id, charged, state)
			VALUES (?1, 'order_test_1', ?2, 'chrg_test_1', '20250530205758833', 'Authorized'), ('2', 'order_test_2', ?2, '', '', '');
		INSERT INTO keys (key, print, order_n, running_until) VALUES ('k', 'hash', 2, 0)`
	if _, err := older.ExecContext(t.Context(), schema1+rows, exampleOrder, exampleJSON); err != nil {
		t.Fatal(err)
	}
	if err := older.Close(); err != nil {
		t.Fatal(err)
	}

	s := newSandbox(t, Options{Dir: dir})
	if n := pay(t, s, exampleOrder, "Settled"); n.ID != "chrg_test_1" || n.Created != "20250530205758833" {
		t.Errorf("the charge became %+v", n)
	}
	if n := pay(t, s, "2", "Authorized"); n.ID == "chrg_test_1" {
		t.Errorf("the order without a charge got %+v", n)
	}
	if got := ask(t.Context(), client(s.Transport()), inProcess, "2", "qr", "k"); got.status != 422 {
		t.Errorf("the key with another body: %+v, want 422", got)
	}
}

func TestStateThatCannotBeUsed(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		spoil func(t *testing.T, file string)
		says  string
	}{
		{"not a database", func(t *testing.T, file string) {
			if err := os.WriteFile(file, bytes.Repeat([]byte("not a database "), 100), 0o600); err != nil {
				t.Fatal(err)
			}
		}, "file is not a database"},
		{"a link", func(t *testing.T, file string) {
			target := filepath.Join(t.TempDir(), "target")
			if err := os.WriteFile(target, nil, 0o644); err != nil {
				t.Fatal(err)
			}
			if err := os.Symlink(target, file); err != nil {
				t.Skip(err)
			}
			t.Cleanup(func() {
				if info, err := os.Stat(target); err != nil || info.Size() > 0 || runtime.GOOS != "windows" && info.Mode() != 0o644 {
					t.Errorf("the target was changed: %v (%v)", info, err)
				}
			})
		}, "not a regular file"},
		{"a directory for a log", func(t *testing.T, file string) {
			if err := os.Mkdir(file+"-wal", 0o700); err != nil {
				t.Fatal(err)
			}
		}, "not a regular file"},
		{"made by a newer version", func(t *testing.T, file string) {
			newer := newSandbox(t, Options{Dir: filepath.Dir(file)})
			err := newer.store.tx(t.Context(), func(ctx context.Context, tx *sql.Tx) error {
				_, err := tx.ExecContext(ctx, "PRAGMA user_version = 99")
				return err
			})
			if err := errors.Join(err, newer.Close()); err != nil {
				t.Fatal(err)
			}
		}, "newer version"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			test.spoil(t, filepath.Join(dir, fileName))
			s := newSandbox(t, Options{Dir: dir})
			got := ask(t.Context(), client(s.Transport()), inProcess, "1", "qr", "")
			if got.status != 500 || !strings.Contains(got.body, test.says) {
				t.Errorf("got %d %s, want 500 that says %q", got.status, got.body, test.says)
			}
			if err := s.Reset(t.Context()); err != nil {
				t.Fatal(err)
			}
			if got := ask(t.Context(), client(s.Transport()), inProcess, "1", "qr", ""); got.status != 200 {
				t.Errorf("after a reset: %+v", got)
			}
		})
	}
}

func TestClosedSandboxSaysSo(t *testing.T) {
	t.Parallel()
	s := New(Options{Now: exampleTime})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if got := ask(t.Context(), http.DefaultClient, serve(t, s), "1", "qr", ""); got.status != 500 || !strings.Contains(got.body, "closed") {
		t.Errorf("%+v", got)
	}
	if got := ask(t.Context(), client(s.Transport()), inProcess, "1", "qr", ""); got.err == nil {
		t.Errorf("in process: %+v, want an error", got)
	}
}
