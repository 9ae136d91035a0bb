package auth

import (
	"context"
	"encoding/json"
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

// childJob is the variable that makes this test binary another process of a
// test's; it holds a job as JSON.
const childJob = "VILLAPAY_TEST_CHILD"

// job is what another process is to do, with the session in Dir.
type job struct {
	Do               string // token, refresh, write or prompt
	Dir              string
	Endpoint, Client string
	Key              string // what the keyring holds
	Used             string // the token that the API refused
}

// inherited is a keyring that holds what the parent's did.
type inherited struct{ key string }

func (i inherited) Get(string) (string, error) { return i.key, nil }
func (inherited) Set(string, string) error     { return errors.New("not needed") }
func (inherited) Delete(string) error          { return nil }

// child does its job and returns the exit code.
func child() int {
	warn := func(text string) { fmt.Fprintln(os.Stderr, text) }
	var j job
	if err := json.Unmarshal([]byte(os.Getenv(childJob)), &j); err != nil {
		warn(err.Error())
		return 1
	}
	pool := UserPool{Env: "dev", Region: cognito.Region, UserPoolID: cognito.PoolID, ClientID: j.Client, Endpoint: j.Endpoint}
	store := OpenStore(j.Dir, inherited{j.Key}, warn)
	s := NewSession(NewClient(pool, http.DefaultTransport, time.Now, nil, warn), store, secret.String{})
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var token secret.String
	var err error
	switch j.Do {
	case "prompt":
		err = childPrompt()
	case "token":
		token, err = s.Token(ctx)
	case "refresh":
		token, err = s.Refresh(ctx, secret.New(j.Used))
	case "write":
		for n := 0; err == nil; n++ { // until it is killed
			err = store.keepSession(ctx, Auto, someSession, someTokens(strings.Repeat(fmt.Sprint(n%10), 1000+n%7)))
		}
	}
	if err != nil {
		warn(err.Error())
		return 1
	}
	fmt.Print(token.Reveal())
	return 0
}

// spawn prepares another process with a job.
func spawn(t *testing.T, j job) *exec.Cmd {
	t.Helper()
	text, err := json.Marshal(j)
	if err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	command := exec.CommandContext(t.Context(), self)
	command.Env = append(os.Environ(), childJob+"="+string(text))
	return command
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

// child prepares another process of b's with the session in dir.
func (b *bench) child(t *testing.T, do, dir string, r *ring, used string) *exec.Cmd {
	t.Helper()
	j := job{Do: do, Dir: dir, Endpoint: b.server.URL, Client: b.ClientID, Used: used}
	for _, key := range r.keys {
		j.Key = key
	}
	return spawn(t, j)
}

// together runs n children at once and returns what they printed.
func (b *bench) together(t *testing.T, n int, do, dir string, r *ring, used string) map[string]int {
	t.Helper()
	var mu sync.Mutex
	printed := map[string]int{}
	var all sync.WaitGroup
	for range n {
		command := b.child(t, do, dir, r, used)
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
	if err := b.session(dir, r).Save(t.Context(), tokens, Auto); err != nil {
		t.Fatal(err)
	}
	b.calls.set(50*time.Millisecond, nil) // so that they meet
	printed := b.together(t, 20, "token", dir, r, "")
	if n := b.calls.count("GetTokensFromRefreshToken"); n != 1 || len(printed) != 1 {
		t.Fatalf("%d refreshes, %d different tokens", n, len(printed))
	}
	var used string
	for used = range printed {
		if status, words := b.pool.Check(used); status != 0 {
			t.Errorf("the API says %d %s", status, words)
		}
	}
	printed = b.together(t, 20, "refresh", dir, r, used)
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
	if err := b.session(dir, r).Save(t.Context(), tokens, Auto); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(OpenStore(dir, r, nil).Path())
	if err != nil {
		t.Fatal(err)
	}
	b.calls.set(time.Minute, nil)
	victim := b.child(t, "token", dir, r, "")
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
	if after, err := os.ReadFile(OpenStore(dir, r, nil).Path()); err != nil || string(after) != string(before) {
		t.Errorf("the session changed: %v", err)
	}
	b.calls.set(0, nil)
	printed := b.together(t, 3, "token", dir, r, "")
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
	if err := OpenStore(dir, r, func(string) {}).keepSession(t.Context(), Auto, someSession, someTokens("first")); err != nil {
		t.Fatal(err)
	}
	path := OpenStore(dir, r, nil).Path()
	for round := range 25 {
		before, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		victim := b.child(t, "write", dir, r, "")
		if err := victim.Start(); err != nil {
			t.Fatal(err)
		}
		for now := before; string(now) == string(before); now, err = os.ReadFile(path) { // until it writes, over and over
			if err != nil || t.Context().Err() != nil {
				t.Fatalf("round %d: nothing was written: %v", round, err)
			}
		}
		time.Sleep(time.Duration(round) * 300 * time.Microsecond) // somewhere in one of its writes
		_ = victim.Process.Kill()
		_ = victim.Wait()
		got, found, err := stored(t, dir, r, someSession)
		if err != nil || !found || got.ID.Reveal() != "id-of-"+got.Refresh.Reveal() {
			t.Fatalf("round %d: %v %v", round, found, err)
		}
	}
	private(t, path)
}
