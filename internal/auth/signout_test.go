package auth

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/villapay/villapay/internal/sandbox/cognito"
)

func TestEndedSession(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(*bench, *Session, Tokens) error{
		"revoked": func(b *bench, _ *Session, old Tokens) error { return b.client(nil).Revoke(context.Background(), old) },
		"signed out by all": func(b *bench, _ *Session, old Tokens) error {
			return b.client(nil).SignOutEverywhere(context.Background(), old)
		},
		"refresh token reuse": func(b *bench, _ *Session, old Tokens) error {
			_, err := b.client(nil).Refresh(context.Background(), old)
			return err
		},
		"expired": func(b *bench, _ *Session, _ Tokens) error { b.clock.add(31 * 24 * time.Hour); return nil },
	} {
		b, s, r := signedIn(t, cognito.RotatingID)
		old := s.tokens
		if err := end(b, s, old); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		b.clock.add(2 * time.Hour)
		other := b.again(s, r)
		_, err := other.Token(t.Context())
		wantError(t, err, NotSignedIn, "session in dev has ended", "run `villapay login -e dev`")
		_, err = b.again(s, r).Token(t.Context())
		wantError(t, err, NotSignedIn, "not signed in to dev")
		if _, err := os.Stat(s.store.Path()); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: the file is still there: %v", name, err)
		}
	}
}

func TestSignOut(t *testing.T) {
	t.Parallel()
	b, s, r := signedIn(t, cognito.ClientID)
	old := s.tokens
	if err := b.again(s, r).SignOut(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	_, err := b.again(s, r).Token(t.Context())
	wantError(t, err, NotSignedIn, "not signed in")
	_, err = b.client(nil).Refresh(t.Context(), old)
	wantError(t, err, NotSignedIn, "has ended")
	if len(r.keys) != 0 {
		t.Error("the key is still in the keyring")
	}
}

// hookedRing does something once, when the key is read.
type hookedRing struct {
	*ring
	once func()
}

func (r *hookedRing) Get(account string) (string, error) {
	if do := r.once; do != nil {
		r.once = nil
		do()
	}
	return r.ring.Get(account)
}

// What another process stores while a sign-out reads the session is ended at the pool,
// too: nothing is forgotten that is still good.
func TestSignOutEndsWhatIsStoredMeanwhile(t *testing.T) {
	t.Parallel()
	for name, store := range map[string]func(*bench, *Session, Tokens) (Tokens, error){
		"sign-in": func(b *bench, s *Session, _ Tokens) (Tokens, error) {
			fresh := b.signIn(t)
			return fresh, s.Save(context.Background(), fresh, Auto)
		},
		"rotation": func(_ *bench, s *Session, old Tokens) (Tokens, error) {
			_, err := s.Refresh(context.Background(), old.ID)
			return s.tokens, err
		},
	} {
		for _, everywhere := range []bool{false, true} {
			b, s, r := signedIn(t, cognito.RotatingID)
			var fresh Tokens
			hooked := &hookedRing{ring: r}
			hooked.once = func() {
				var err error
				if fresh, err = store(b, b.again(s, r), s.tokens); err != nil {
					t.Errorf("%s: %v", name, err)
				}
			}
			if err := b.again(s, hooked).SignOut(t.Context(), everywhere); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			_, err := b.client(nil).Refresh(t.Context(), fresh)
			wantError(t, err, NotSignedIn, "has ended")
			_, err = b.again(s, r).Token(t.Context())
			wantError(t, err, NotSignedIn, "not signed in")
		}
	}
}

func TestSignOutOffline(t *testing.T) {
	t.Parallel()
	b, s, r := signedIn(t, cognito.ClientID)
	b.server.Close()
	wantError(t, b.again(s, r).SignOut(t.Context(), true), Unreachable, "connection refused")
	_ = token(t, b.again(s, r)) // all devices or none
	if err := b.again(s, r).SignOut(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(b.warned.String(), "could not be ended at the pool") {
		t.Errorf("warned %q", b.warned)
	}
	_, err := b.again(s, r).Token(t.Context())
	wantError(t, err, NotSignedIn, "not signed in")
}

// A session that cannot be opened can still be forgotten.
func TestSignOutOfWhatCannotBeOpened(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(*Session, *ring) error{
		"key gone":       func(_ *Session, r *ring) error { clear(r.keys); return nil },
		"keyring locked": func(_ *Session, r *ring) error { r.err = errors.New("locked"); return nil },
		"truncated":      func(s *Session, _ *ring) error { return os.Truncate(s.store.Path(), 30) },
	} {
		b, s, r := signedIn(t, cognito.ClientID)
		if err := spoil(s, r); err != nil {
			t.Fatal(err)
		}
		if err := b.again(s, r).SignOut(t.Context(), false); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		_, err := b.again(s, r).Token(t.Context())
		wantError(t, err, NotSignedIn, "not signed in")
	}
}

func TestSignOutEverywhere(t *testing.T) {
	t.Parallel()
	b, s, r := signedIn(t, cognito.RotatingID)
	laptop := b.signIn(t)
	b.clock.add(2 * time.Hour) // the access token has expired, too: it is renewed first
	if err := b.again(s, r).SignOut(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	_, err := b.client(nil).Refresh(t.Context(), laptop)
	wantError(t, err, NotSignedIn, "has ended")
	_, err = b.again(s, r).Token(t.Context())
	wantError(t, err, NotSignedIn, "not signed in")
}

// An app client may give ID tokens of a day beside access tokens of an hour,
// which is what signing out everywhere takes.
func TestSignOutEverywhereWithAShortAccessToken(t *testing.T) {
	t.Parallel()
	for after, renewals := range map[time.Duration]int{50 * time.Minute: 0, 58 * time.Minute: 1, 2 * time.Hour: 1} {
		b := newBench(t, cognito.Options{})
		s := b.session(t.TempDir(), newRing())
		tokens := b.signIn(t)
		tokens.ExpiresAt = tokens.ReceivedAt.Add(24 * time.Hour)
		if err := s.Save(t.Context(), tokens, FileOnly); err != nil {
			t.Fatal(err)
		}
		b.clock.add(after)
		if err := s.SignOut(t.Context(), true); err != nil {
			t.Errorf("after %s: %v", after, err)
		}
		if n := b.calls.count("GetTokensFromRefreshToken"); n != renewals {
			t.Errorf("after %s: %d renewals, want %d", after, n, renewals)
		}
	}
}
