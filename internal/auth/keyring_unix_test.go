//go:build unix

package auth

import (
	"errors"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The rest needs a real Secret Service: .ci/with-keyring.sh go test ./internal/auth
func realKeyring(t *testing.T) {
	t.Helper()
	if os.Getenv("VILLAPAY_TEST_KEYRING") == "" {
		t.Skip("needs a Secret Service: run under .ci/with-keyring.sh")
	}
}

func TestRealKeyring(t *testing.T) {
	realKeyring(t)
	dir := t.TempDir()
	s := OpenStore(dir, SystemKeyring{}, func(text string) { t.Error(text) })
	if _, err := (SystemKeyring{}).Get(s.account()); !errors.Is(err, ErrNoKey) {
		t.Fatalf("before: %v", err)
	}
	if err := s.keepSession(t.Context(), KeyringOnly, someSession, someTokens("refresh-1")); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	got, found, err := stored(t, dir, SystemKeyring{}, someSession)
	t.Logf("opened in %s", time.Since(start))
	if err != nil || !found || reveal(got) != reveal(someTokens("refresh-1")) {
		t.Errorf("got %v %v", found, err)
	}
	if err := s.removeSession(t.Context(), someSession); err != nil {
		t.Fatal(err)
	}
	if _, err := (SystemKeyring{}).Get(s.account()); !errors.Is(err, ErrNoKey) {
		t.Errorf("after: %v", err)
	}
	if err := (SystemKeyring{}).Delete(s.account()); err != nil {
		t.Errorf("delete again: %v", err)
	}
}

// A locked keyring asks a user who is not there; a stopped daemon says nothing.
func TestRealKeyringThatDoesNotAnswer(t *testing.T) {
	realKeyring(t)
	daemon := os.Getenv("VILLAPAY_TEST_KEYRING_PID")
	if daemon == "" {
		t.Skip("VILLAPAY_TEST_KEYRING_PID does not name the daemon")
	}
	pid, err := strconv.Atoi(daemon)
	if err != nil {
		t.Fatal(err)
	}
	freeze := func(t *testing.T) {
		t.Helper()
		if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = syscall.Kill(pid, syscall.SIGCONT) })
	}
	lock := func(t *testing.T) {
		t.Helper()
		if out, err := exec.CommandContext(t.Context(), "dbus-send", "--session", "--print-reply", "--dest=org.freedesktop.secrets", "/org/freedesktop/secrets",
			"org.freedesktop.Secret.Service.Lock", "array:objpath:/org/freedesktop/secrets/collection/login").CombinedOutput(); err != nil {
			t.Fatalf("%v %s", err, out)
		}
	}
	for _, test := range []struct {
		name    string
		disturb func(*testing.T)
	}{{"frozen", freeze}, {"locked", lock}} {
		t.Run(test.name, func(t *testing.T) {
			test.disturb(t)
			start, warned := time.Now(), &texts{}
			s := OpenStore(t.TempDir(), SystemKeyring{}, warned.add)
			if err := s.keepSession(t.Context(), Auto, someSession, someTokens("refresh-1")); err != nil {
				t.Fatal(err)
			}
			if waited := time.Since(start); waited > keyringTimeout+time.Second {
				t.Errorf("waited %s", waited)
			}
			if !strings.Contains(warned.String(), "because the keyring cannot be used") {
				t.Errorf("warned %q", warned)
			}
			t.Log(warned)
		})
	}
}
