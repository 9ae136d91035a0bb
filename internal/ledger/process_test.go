package ledger

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/villapay/villapay/internal/secret"
)

// TestMain lets the test binary play other processes: with childTask set it does
// that task instead of running tests.
func TestMain(m *testing.M) {
	if task := os.Getenv(childTask); task != "" {
		if err := child(task); err != nil {
			fmt.Println("failed:", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

const (
	childTask = "VILLAPAY_LEDGER_CHILD"
	childDSN  = "VILLAPAY_LEDGER_CHILD_DSN"
	childDir  = "VILLAPAY_LEDGER_CHILD_DIR"
)

func child(task string) error {
	ctx := context.Background()
	l, err := Open(ctx, secret.New(os.Getenv(childDSN)), os.Getenv(childDir), "child", time.Now)
	if err != nil {
		return err
	}
	if task == "batch" {
		return childBatch(ctx, l)
	}
	c, err := l.Claim(ctx, ClaimRequest{Scope: scope, OrderID: "1", Source: "qr", Key: fmt.Sprint("child-", os.Getpid())})
	if err != nil {
		return err
	}
	fmt.Println("verdict", c.Verdict, c.Payment.Key)
	if task == "hold" {
		select {} // until it is killed
	}
	return l.Close()
}

// start runs the test binary as another process and returns its first line.
func (p *place) start(t *testing.T, task string) (*exec.Cmd, string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), childTask+"="+task, childDSN+"="+p.dsn, childDir+"="+p.dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return cmd, strings.TrimSpace(line)
}

func TestAKilledProcessIsNoticedAtOnce(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, at *place) {
		holder, said := at.start(t, "hold")
		key, ok := strings.CutPrefix(said, fmt.Sprintf("verdict %d ", Claimed))
		if !ok {
			t.Fatal(said)
		}
		l, elsewhere := at.open(t), at.openIn(t, t.TempDir())
		if c := l.mustClaim(t, ask("1"), Busy); c.Holder != "child" {
			t.Errorf("held by %q", c.Holder)
		}
		if err := holder.Process.Kill(); err != nil { // kill -9
			t.Fatal(err)
		}
		_ = holder.Wait()

		if at.dsn != "sqlite" {
			elsewhere.mustClaim(t, ask("1"), Busy) // another machine cannot know
		}
		c := l.mustClaim(t, ask("1"), Claimed)
		if c.Payment.Key != key || c.Number != 2 || !c.Resumed {
			t.Errorf("taken over: %+v", c)
		}
	})
}

func TestManyProcessesStartAtOnce(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, at *place) {
		const processes = 6
		cmds := make([]*exec.Cmd, processes)
		outs := make([]strings.Builder, processes)
		for i := range cmds {
			cmds[i] = exec.CommandContext(t.Context(), os.Args[0])
			cmds[i].Env = append(os.Environ(), childTask+"=claim", childDSN+"="+at.dsn, childDir+"="+at.dir)
			cmds[i].Stdout, cmds[i].Stderr = &outs[i], &outs[i]
			if err := cmds[i].Start(); err != nil {
				t.Fatal(err)
			}
		}
		fresh := 0
		for i, cmd := range cmds {
			if err := cmd.Wait(); err != nil {
				t.Errorf("%v: %s", err, outs[i].String())
			}
			if strings.HasPrefix(outs[i].String(), fmt.Sprintf("verdict %d child-%d\n", Claimed, cmd.Process.Pid)) {
				fresh++
			}
		}
		if fresh != 1 { // others may take over from it, with its key, once it has ended
			t.Errorf("%d processes made a payment", fresh)
		}
		if all := at.open(t).of(t, "1"); len(all) != 1 {
			t.Errorf("%d payments", len(all))
		}
	})
}

func TestFilesAreTheirOwnersAlone(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("Windows has no such modes")
	}
	dir := filepath.Join(t.TempDir(), "deep", "state")
	at := sqlitePlace(t)
	at.dir = dir
	l := at.open(t)
	l.mustClaim(t, ask("1"), Claimed)
	if _, err := l.Payments(t.Context(), scope, "1"); err != nil {
		t.Fatal(err)
	}
	modes := map[string]os.FileMode{"": 0o700, "claims": 0o700, "ledger.db": 0o600, "ledger.db-wal": 0o600, "ledger.db-shm": 0o600}
	for name, want := range modes {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil || info.Mode().Perm() != want {
			t.Errorf("%q: %v, %v", name, info, err)
		}
	}
	locks, err := os.ReadDir(filepath.Join(dir, "claims"))
	if err != nil || len(locks) != 1 {
		t.Fatal(locks, err)
	}
	if info, err := locks[0].Info(); err != nil || info.Mode().Perm() != 0o600 {
		t.Error(info, err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if locks, err := os.ReadDir(filepath.Join(dir, "claims")); err != nil || len(locks) != 0 {
		t.Error("a closed ledger leaves no lock:", locks, err)
	}
	if err := os.Chmod(filepath.Join(dir, "ledger.db"), 0o644); err != nil {
		t.Fatal(err)
	}
	at.open(t)
	if info, err := os.Stat(filepath.Join(dir, "ledger.db")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("a file that others could read: %v, %v", info, err)
	}
}

// A process that ends in good order, but could not record what became of its
// claim, is taken over from as quickly as one that was killed.
func TestAClaimWhoseEndCouldNotBeRecorded(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, at *place) {
		first, second := at.open(t), at.open(t)
		claim, other := first.mustClaim(t, ask("4925"), Claimed), first.mustClaim(t, ask("4926"), Claimed)
		ended, end := context.WithCancel(t.Context())
		end()
		if _, err := first.RecordOrder(ended, claim, testOrder(t, "order_test_1"), Answer{}); err == nil {
			t.Fatal("it was recorded")
		}
		second.mustClaim(t, ask("4925"), Busy)
		if err := first.Close(); err != nil {
			t.Fatal(err)
		}
		if again := second.mustClaim(t, ask("4925"), Claimed); again.Payment.Key != claim.Payment.Key {
			t.Errorf("with key %s, not %s", again.Payment.Key, claim.Payment.Key)
		}
		if again := second.mustClaim(t, ask("4926"), Claimed); again.Payment.Key != other.Payment.Key {
			t.Errorf("with key %s, not %s", again.Payment.Key, other.Payment.Key)
		}
	})
}

func TestLocksOfTheDeadAreSwept(t *testing.T) {
	t.Parallel()
	at := sqlitePlace(t)
	claims := filepath.Join(at.dir, "claims")
	if err := os.MkdirAll(claims, 0o700); err != nil {
		t.Fatal(err)
	}
	old := time.Now().Add(-2 * staleAfter)
	for name, changed := range map[string]time.Time{"AAAA.lock": old, "BBBB.lock": time.Now(), "notes.txt": old} {
		path := filepath.Join(claims, name)
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, changed, changed); err != nil {
			t.Fatal(err)
		}
	}
	alive := at.open(t)
	alive.mustClaim(t, ask("1"), Claimed)
	if err := os.Chtimes(alive.lock.held.Path(), old, old); err != nil {
		t.Fatal(err)
	}
	at.open(t).mustClaim(t, ask("2"), Claimed)
	left, err := filepath.Glob(filepath.Join(claims, "*"))
	if err != nil || len(left) != 4 || strings.Contains(strings.Join(left, " "), "AAAA") {
		t.Errorf("left: %v, %v", left, err)
	}
	if alive.lock.died("../ledger.db") || alive.lock.died("") || alive.lock.died("CCCC") {
		t.Error("nothing is known of locks that are not here")
	}
}
