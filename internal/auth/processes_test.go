package auth

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/villapay/villapay/internal/sandbox/cognito"
	"github.com/villapay/villapay/internal/secret"
)

// The variables that make this test binary another process of a test's.
const (
	childJob      = "VILLAPAY_TEST_CHILD" // token, refresh, write or prompt
	childDir      = "VILLAPAY_TEST_DIR"
	childEndpoint = "VILLAPAY_TEST_ENDPOINT"
	childClient   = "VILLAPAY_TEST_CLIENT"
	childKey      = "VILLAPAY_TEST_KEY"
	childUsed     = "VILLAPAY_TEST_USED"
)

// inherited is a keyring that holds what the parent's did.
type inherited struct{}

func (inherited) Get(string) (string, error) { return os.Getenv(childKey), nil }
func (inherited) Set(string, string) error   { return errors.New("not needed") }
func (inherited) Delete(string) error        { return nil }

// child does one job of another process and returns its exit code.
func child() int {
	warn := func(text string) { fmt.Fprintln(os.Stderr, text) }
	pool := Pool{Env: "dev", Region: cognito.Region, UserPoolID: cognito.PoolID, ClientID: os.Getenv(childClient), Endpoint: os.Getenv(childEndpoint)}
	store := OpenStore(os.Getenv(childDir), Auto, inherited{}, warn)
	s := NewSession(NewClient(pool, http.DefaultTransport, time.Now, nil, warn), store, secret.String{})
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var token secret.String
	var err error
	switch os.Getenv(childJob) {
	case "prompt":
		err = childPrompt()
	case "token":
		token, err = s.Token(ctx)
	case "refresh":
		token, err = s.Refresh(ctx, secret.New(os.Getenv(childUsed)))
	case "write":
		for n := 0; err == nil; n++ { // until it is killed
			err = store.keep(ctx, someSession, someTokens(strings.Repeat(fmt.Sprint(n%10), 1000+n%7)))
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	fmt.Print(token.Reveal())
	return 0
}

// childPrompt asks for a secret at the process's own terminal until an answer
// or Ctrl-C.
func childPrompt() error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	terminal, err := OpenTerminal()
	if err != nil {
		return err
	}
	password, err := terminal.Secret(ctx, "Password: ")
	if err != nil {
		return err
	}
	terminal.Note(fmt.Sprintf("%d letters", len(password.Reveal())))
	return nil
}

// spawn prepares a child of the test's.
func (b *bench) spawn(t *testing.T, job, dir string, r *ring, used secret.String) *exec.Cmd {
	t.Helper()
	key := ""
	for _, value := range r.keys {
		key = value
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	command := exec.CommandContext(t.Context(), self) //nolint:gosec // this very test
	command.Env = append(os.Environ(), childJob+"="+job, childDir+"="+dir, childEndpoint+"="+b.server.URL,
		childClient+"="+b.ClientID, childKey+"="+key, childUsed+"="+used.Reveal())
	return command
}

// together runs n children at once and returns what they printed.
func (b *bench) together(t *testing.T, n int, job, dir string, r *ring, used secret.String) map[string]int {
	t.Helper()
	var mu sync.Mutex
	printed := map[string]int{}
	var all sync.WaitGroup
	for range n {
		command := b.spawn(t, job, dir, r, used)
		all.Go(func() {
			var errs strings.Builder
			command.Stderr = &errs
			out, err := command.Output()
			mu.Lock()
			defer mu.Unlock()
			printed[string(out)]++
			if err != nil || errs.String() != "" {
				t.Errorf("a process: %v: %s", err, errs.String())
			}
		})
	}
	all.Wait()
	return printed
}

// Twenty processes with an expired token, rotation on and no grace: one of them
// refreshes, and all get the same token. The same after a 401.
func TestTwentyProcessesAtOnce(t *testing.T) {
	t.Parallel()
	b := newBench(t, cognito.Options{Now: time.Now})
	b.clock.t = time.Now()
	b.ClientID = cognito.RotatingID
	dir, r := t.TempDir(), newRing()
	tokens := b.signIn(t)
	tokens.ReceivedAt, tokens.ExpiresAt = tokens.ReceivedAt.Add(-2*time.Hour), tokens.ExpiresAt.Add(-2*time.Hour)
	if err := b.session(dir, Auto, r).Save(t.Context(), tokens); err != nil {
		t.Fatal(err)
	}
	b.pool.SetDelay(50 * time.Millisecond) // so that they meet
	printed := b.together(t, 20, "token", dir, r, secret.String{})
	if n := b.calls.count("GetTokensFromRefreshToken"); n != 1 || len(printed) != 1 {
		t.Fatalf("%d refreshes, %d different tokens", n, len(printed))
	}
	var used string
	for used = range printed {
		if status, words := b.pool.Check(used); status != 0 {
			t.Errorf("the API says %d %s", status, words)
		}
	}
	printed = b.together(t, 20, "refresh", dir, r, secret.New(used))
	if n := b.calls.count("GetTokensFromRefreshToken"); n != 2 || len(printed) != 1 || printed[used] != 0 {
		t.Errorf("after a 401: %d refreshes in all, %d different tokens, %d the refused one", n, len(printed), printed[used])
	}
}

// A process killed while it refreshes leaves the old session and no lock.
func TestKilledWhileRefreshing(t *testing.T) {
	t.Parallel()
	b := newBench(t, cognito.Options{Now: time.Now})
	b.clock.t = time.Now()
	b.ClientID = cognito.RotatingID
	dir, r := t.TempDir(), newRing()
	tokens := b.signIn(t)
	tokens.ReceivedAt, tokens.ExpiresAt = tokens.ReceivedAt.Add(-2*time.Hour), tokens.ExpiresAt.Add(-2*time.Hour)
	if err := b.session(dir, Auto, r).Save(t.Context(), tokens); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(OpenStore(dir, Auto, r, nil).Path())
	if err != nil {
		t.Fatal(err)
	}
	b.pool.SetDelay(time.Minute)
	victim := b.spawn(t, "token", dir, r, secret.String{})
	if err := victim.Start(); err != nil {
		t.Fatal(err)
	}
	for b.calls.count("GetTokensFromRefreshToken") == 0 {
		if t.Context().Err() != nil {
			t.Fatal("the process never asked")
		}
		time.Sleep(time.Millisecond)
	}
	_ = victim.Process.Kill()
	_ = victim.Wait()
	if after, err := os.ReadFile(OpenStore(dir, Auto, r, nil).Path()); err != nil || string(after) != string(before) {
		t.Errorf("the session changed: %v", err)
	}
	b.pool.SetDelay(0)
	printed := b.together(t, 3, "token", dir, r, secret.String{})
	if len(printed) != 1 {
		t.Errorf("%d different tokens", len(printed))
	}
}

// A process killed while it writes, at any moment, leaves a whole session: the
// old or the new one.
func TestKilledWhileWriting(t *testing.T) {
	t.Parallel()
	b := newBench(t, cognito.Options{})
	dir, r := t.TempDir(), newRing()
	if err := OpenStore(dir, Auto, r, func(string) {}).keep(t.Context(), someSession, someTokens("first")); err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for round := range 25 {
		victim := b.spawn(t, "write", dir, r, secret.String{})
		if err := victim.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(20*time.Millisecond + time.Duration(round)*700*time.Microsecond) // somewhere in a write
		_ = victim.Process.Kill()
		_ = victim.Wait()
		got, found, err := stored(t, dir, r, someSession)
		if err != nil || !found || got.ID.Reveal() != "id-of-"+got.Refresh.Reveal() {
			t.Fatalf("round %d: %v %v", round, found, err)
		}
		seen[got.Refresh.Reveal()] = true
	}
	if len(seen) < 5 {
		t.Errorf("only %d different sessions in 25 rounds: the processes were killed too early", len(seen))
	}
	modes2(t, OpenStore(dir, Auto, r, nil).Path())
}
