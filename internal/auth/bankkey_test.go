package auth

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/villapay/villapay/internal/sandbox/cognito"
	"github.com/villapay/villapay/internal/secret"
)

const (
	testBank = "https://dev-bank.example"
	liveBank = "https://bank.example"
	testKey  = "skey_test_22211abcdef"
)

// bankKey reads a key as a new process does.
func bankKey(t *testing.T, dir string, r Keyring, url string) (string, string, error) {
	t.Helper()
	key, store, err := OpenStore(dir, r, func(text string) { t.Log("warning:", text) }).BankKey(t.Context(), url)
	return key.Reveal(), store, err
}

func TestBankKeyIsStoredForItsURL(t *testing.T) {
	t.Parallel()
	for mode, want := range map[Mode]string{Auto: "keyring", KeyringOnly: "keyring", FileOnly: "file"} {
		dir, r, warned := t.TempDir(), newRing(), &texts{}
		s := OpenStore(dir, r, warned.add)
		if key, kept, err := bankKey(t, dir, r, testBank); key != "" || kept != "" || err != nil {
			t.Errorf("%s: before: %q %q %v", mode, key, kept, err)
		}
		if r.gets != 0 {
			t.Errorf("%s: the keyring was asked for nothing", mode)
		}
		if err := s.SaveBankKey(t.Context(), testBank, secret.New(testKey), mode); err != nil {
			t.Fatal(err)
		}
		if key, kept, err := bankKey(t, dir, r, testBank); key != testKey || kept != want || err != nil {
			t.Errorf("%s: got %q %q %v", mode, key, kept, err)
		}
		if key, kept, err := bankKey(t, dir, r, liveBank); key != "" || kept != "" || err != nil {
			t.Errorf("%s: another URL got %q %q %v", mode, key, kept, err)
		}
		text, err := os.ReadFile(s.Path())
		if err != nil || strings.Contains(string(text), testKey) != (mode == FileOnly) {
			t.Errorf("%s: %v, the file holds %s", mode, err, text)
		}
		if plain := strings.Contains(warned.String(), "the bank's key is written to "+s.Path()+" unencrypted (0600)"); plain != (mode == FileOnly) {
			t.Errorf("%s: warned %s", mode, warned)
		}
		private(t, s.Path())
	}
}

// A key moved to another URL in the file is not handed out for it.
func TestBankKeyIsBoundToItsURL(t *testing.T) {
	t.Parallel()
	dir, r := t.TempDir(), newRing()
	s := OpenStore(dir, r, func(string) {})
	err := errors.Join(
		s.SaveBankKey(t.Context(), testBank, secret.New(testKey), Auto),
		s.keepSession(t.Context(), Auto, someSession, someTokens("r")),
	)
	if err != nil {
		t.Fatal(err)
	}
	c, err := s.read()
	if err != nil {
		t.Fatal(err)
	}
	for name, moved := range map[string]entry{"another URL's": c.BankKeys[testBank], "a session": c.Sessions[someSession]} {
		text, err := json.Marshal(contents{Version: 1, BankKeys: map[string]entry{liveBank: moved}})
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(s.Path(), text, 0o600); err != nil {
			t.Fatal(err)
		}
		_, _, err = OpenStore(dir, r, nil).BankKey(t.Context(), liveBank)
		wantError(t, err, Config, "cannot read the bank's key", "login --kbank-secret")
		if !errors.Is(err, errOtherKey) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

// Sessions and keys come and go apart, and share the keyring's key.
func TestBankKeyIsIndependentOfSessions(t *testing.T) {
	t.Parallel()
	b, r, dir := newBench(t, cognito.Options{}), newRing(), t.TempDir()
	session := b.session(dir, r)
	store := session.store
	if err := store.SaveBankKey(t.Context(), testBank, secret.New(testKey), Auto); err != nil {
		t.Fatal(err)
	}
	if err := session.Save(t.Context(), b.signIn(t), Auto); err != nil {
		t.Fatal(err)
	}
	if len(r.keys) != 1 {
		t.Errorf("%d keys in the keyring", len(r.keys))
	}
	b.clock.add(2 * time.Hour)
	if _, err := b.again(session, r).Token(t.Context()); err != nil || b.calls.count("GetTokensFromRefreshToken") != 1 {
		t.Fatalf("no refresh: %v", err)
	}
	if err := b.again(session, r).SignOut(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	if key, _, err := bankKey(t, dir, r, testBank); key != testKey || err != nil {
		t.Errorf("after signing out: %q, %v", key, err)
	}
	if err := session.Save(t.Context(), b.signIn(t), Auto); err != nil {
		t.Fatal(err)
	}
	for _, want := range []bool{true, false} {
		if found, err := store.RemoveBankKey(t.Context(), testBank); found != want || err != nil {
			t.Errorf("removed %t, %v", found, err)
		}
	}
	if key, kept, err := bankKey(t, dir, r, testBank); key != "" || kept != "" || err != nil {
		t.Errorf("after removing it: %q %q %v", key, kept, err)
	}
	if _, err := b.again(session, r).Token(t.Context()); err != nil {
		t.Errorf("the session is gone: %v", err)
	}
	if err := b.again(session, r).SignOut(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(store.Path()); !errors.Is(err, os.ErrNotExist) || len(r.keys) != 0 {
		t.Errorf("at the end: %v, %d keys", err, len(r.keys))
	}
}

// A key that cannot be read is an error that says what to do.
func TestBankKeyFaults(t *testing.T) {
	t.Parallel()
	dir, r := t.TempDir(), newRing()
	s := OpenStore(dir, r, func(string) {})
	if err := s.SaveBankKey(t.Context(), testBank, secret.New(testKey), Auto); err != nil {
		t.Fatal(err)
	}
	locked := newRing()
	locked.err = errors.New("it is locked")
	_, store, err := OpenStore(dir, locked, nil).BankKey(t.Context(), testBank)
	wantError(t, err, Config, "it is locked", "unlock the keyring")
	if store != "keyring" {
		t.Errorf("stored in %q", store)
	}
	wantError(t, OpenStore(dir, locked, nil).SaveBankKey(t.Context(), testBank, secret.New(testKey), KeyringOnly), Config, "it is locked", "--store file")
	if err := os.WriteFile(s.Path(), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, _, err = s.BankKey(t.Context(), testBank)
	wantError(t, err, Config, "the token file is damaged")
	if text := fmt.Sprint(err); strings.Contains(text, testKey) {
		t.Errorf("the error shows the key: %s", text)
	}
}
