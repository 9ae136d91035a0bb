package auth

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// frozen is a keyring whose daemon does not answer until it is released.
type frozen struct {
	ring
	release chan struct{}
}

func (f *frozen) Get(string) (string, error) { <-f.release; return "", ErrNoKey }

func TestFrozenKeyring(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		dir, warned := t.TempDir(), &texts{}
		f := &frozen{release: make(chan struct{})}
		defer close(f.release)
		s := OpenStore(dir, f, warned.add)
		start := time.Now()
		if err := s.keepSession(t.Context(), Auto, someSession, someTokens("r")); err != nil {
			t.Fatal(err)
		}
		if waited := time.Since(start); waited != keyringTimeout {
			t.Errorf("waited %s", waited)
		}
		if !strings.Contains(warned.String(), "did not answer within 3s") {
			t.Errorf("warned %q", warned)
		}
		// Asked again in the same process, it is known not to work.
		if err := s.keepSession(t.Context(), Auto, "prod", someTokens("r")); err != nil {
			t.Fatal(err)
		}
		if waited := time.Since(start); waited != keyringTimeout {
			t.Errorf("waited again: %s", waited)
		}
	})
}

// A user needs longer than a daemon to unlock a keyring, and the wait is shown.
func TestUnlockedInTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := &frozen{ring: ring{keys: map[string]string{}}, release: make(chan struct{})}
		s := OpenStore(t.TempDir(), f, func(text string) { t.Error(text) })
		waits, ended := 0, 0
		s.WaitForUnlock(func() func() { waits++; return func() { ended++ } })
		time.AfterFunc(10*time.Second, func() { close(f.release) })
		if err := s.keepSession(t.Context(), KeyringOnly, someSession, someTokens("r")); err != nil {
			t.Fatal(err)
		}
		if waits == 0 || ended != waits {
			t.Errorf("%d waits were reported, %d ended", waits, ended)
		}
	})
}

func TestFindBus(t *testing.T) {
	t.Parallel()
	socket := filepath.Join(t.TempDir(), "bus")
	if err := os.WriteFile(socket, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		system, address, socket string
		found                   bool
	}{
		{"linux", "", "/nonexistent", false},
		{"linux", "", socket, true},
		{"linux", "unix:path=/x", "/nonexistent", true},
		{"linux", "autolaunch:", socket, true},
		{"linux", "autolaunch:", "/nonexistent", false},
		{"linux", "autolaunch:scope=install", socket, false},
		{"freebsd", "", "/nonexistent", false},
		{"darwin", "", "/nonexistent", true},
		{"windows", "", "/nonexistent", true},
	} {
		if err := findBus(test.system, test.address, test.socket); (err == nil) != test.found {
			t.Errorf("%+v: got %v", test, err)
		}
	}
}

// Without a session bus the library would start one, with a keyring daemon,
// and leave both behind. A dbus-launch that tells on us proves that it does not.
func TestNoBusIsStarted(t *testing.T) {
	dir := t.TempDir()
	trace := filepath.Join(dir, "launched")
	if err := os.WriteFile(filepath.Join(dir, "dbus-launch"), []byte("#!/bin/sh\ntouch "+trace+"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(fmt.Sprintf("/run/user/%d/bus", os.Getuid())); err == nil {
		t.Skip("this user has a session bus at its usual place")
	}
	t.Setenv("PATH", dir+string(os.PathListSeparator)+os.Getenv("PATH"))
	t.Setenv("DISPLAY", ":99")
	for _, address := range []string{"", "autolaunch:"} {
		t.Setenv("DBUS_SESSION_BUS_ADDRESS", address)
		_, err := SystemKeyring{}.Get("x")
		if err == nil || SystemKeyring.Set(SystemKeyring{}, "x", "y") == nil || SystemKeyring.Delete(SystemKeyring{}, "x") == nil {
			t.Errorf("with the address %q the keyring answers: %v", address, err)
		}
	}
	if _, err := os.Stat(trace); err == nil {
		t.Error("dbus-launch was called")
	}
}
