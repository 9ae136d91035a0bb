package auth

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/zalando/go-keyring"
)

// Keyring keeps small secrets by account name. Get returns [ErrNoKey] if there is
// none.
type Keyring interface {
	Get(account string) (string, error)
	Set(account, value string) error
	Delete(account string) error
}

// ErrNoKey means that the keyring works and has no such account.
var ErrNoKey = errors.New("no such key in the keyring")

// SystemKeyring is the keyring of the operating system: the Secret Service,
// the macOS keychain or the Windows credential manager.
type SystemKeyring struct{}

// service names villapay in the keyring. Some keyrings fail with a space in it.
const service = "villapay"

// Get reads a secret.
func (SystemKeyring) Get(account string) (string, error) {
	if err := sessionBus(); err != nil {
		return "", err
	}
	value, err := keyring.Get(service, account)
	if errors.Is(err, keyring.ErrNotFound) {
		return "", ErrNoKey
	}
	return value, err
}

// Set stores a secret.
func (SystemKeyring) Set(account, value string) error {
	if err := sessionBus(); err != nil {
		return err
	}
	return keyring.Set(service, account, value)
}

// Delete removes a secret; none is fine.
func (SystemKeyring) Delete(account string) error {
	if err := sessionBus(); err != nil {
		return err
	}
	if err := keyring.Delete(service, account); err != nil && !errors.Is(err, keyring.ErrNotFound) {
		return err
	}
	return nil
}

func sessionBus() error {
	return findBus(runtime.GOOS, os.Getenv("DBUS_SESSION_BUS_ADDRESS"), fmt.Sprintf("/run/user/%d/bus", os.Getuid()))
}

// findBus checks that there is a session bus. Without one the library would start
// a bus and a keyring daemon in every process.
func findBus(system, address, socket string) error {
	if system == "darwin" || system == "windows" {
		return nil
	}
	if address != "" && !strings.HasPrefix(address, "autolaunch:") {
		return nil
	}
	if _, err := os.Stat(socket); err == nil && (address == "" || address == "autolaunch:") {
		return nil // where the library looks next
	}
	return errors.New("there is no session bus (DBUS_SESSION_BUS_ADDRESS)")
}

// One call has a limit, because a locked keyring that nobody unlocks, or a frozen
// daemon, never answers. A user who types a password in the keyring's window, which
// closes when the call ends, gets more time, but not so much that others give up the
// file lock.
const (
	keyringTimeout = 3 * time.Second
	unlockTimeout  = 15 * time.Second
)

// limitedKeyring asks a keyring with a limit, and not again after a failure.
type limitedKeyring struct {
	ring    Keyring
	timeout time.Duration
	waiting func() (stop func()) // reports the wait; may be nil

	mu     sync.Mutex
	failed error
}

func (k *limitedKeyring) get(ctx context.Context, account string) (string, error) {
	return k.ask(ctx, func() (string, error) { return k.ring.Get(account) })
}

func (k *limitedKeyring) set(ctx context.Context, account, value string) error {
	_, err := k.ask(ctx, func() (string, error) { return "", k.ring.Set(account, value) })
	return err
}

func (k *limitedKeyring) delete(ctx context.Context, account string) error {
	_, err := k.ask(ctx, func() (string, error) { return "", k.ring.Delete(account) })
	return err
}

func (k *limitedKeyring) ask(ctx context.Context, call func() (string, error)) (string, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.failed != nil {
		return "", k.failed
	}
	type answer struct {
		value string
		err   error
	}
	answered := make(chan answer, 1)
	go func() { // outlives us when the keyring never answers; the process is short
		value, err := call()
		answered <- answer{value, err}
	}()
	if k.waiting != nil {
		defer k.waiting()()
	}
	timer := time.NewTimer(k.timeout)
	defer timer.Stop()
	select {
	case a := <-answered:
		if a.err != nil && !errors.Is(a.err, ErrNoKey) {
			k.failed = a.err
		}
		return a.value, a.err
	case <-timer.C:
		k.failed = fmt.Errorf("the keyring did not answer within %s: it may be locked", k.timeout)
		return "", k.failed
	case <-ctx.Done():
		return "", ctx.Err()
	}
}
