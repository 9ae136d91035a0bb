package auth

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/villapay/villapay/internal/sandbox/cognito"
)

// Where a writer keeps no lock, the loser of a race must not throw away what
// the winner saved.
func TestLoserKeepsTheWinnersSession(t *testing.T) {
	t.Parallel()
	b, s, r := signedIn(t, cognito.RotatingID)
	path := s.store.Path()
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b.clock.add(2 * time.Hour)
	won := token(t, b.again(s, r))
	after, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, before, 0o600); err != nil {
		t.Fatal(err)
	}
	loser := b.again(s, r)
	loser.client.http.Transport = roundTrip(func(req *http.Request) (*http.Response, error) {
		if err := os.WriteFile(path, after, 0o600); err != nil {
			return nil, err
		}
		return http.DefaultTransport.RoundTrip(req)
	})
	if got := token(t, loser); got.Reveal() != won.Reveal() {
		t.Error("the loser does not take the winner's token")
	}
	if text, err := os.ReadFile(path); err != nil || string(text) != string(after) {
		t.Errorf("the winner's session is gone: %v", err)
	}
}

// Nothing but the end of the session takes it out of the store.
func TestSessionSurvivesOtherRefusals(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]fault{
		"outage":       outageFault,
		"throttled":    {400, "TooManyRequestsException", "Rate exceeded"},
		"disabled":     {400, "NotAuthorizedException", "User is disabled."},
		"wrong secret": {400, "NotAuthorizedException", "Unable to verify secret hash for client x"},
		"proxy":        {407, "ProxyAuthenticationRequired", "who are you"},
	} {
		b, s, r := signedIn(t, cognito.RotatingID)
		b.clock.add(2 * time.Hour)
		b.calls.set(0, &fault)
		_, err := b.again(s, r).Token(t.Context())
		var e *Error
		if !errors.As(err, &e) || e.Kind == NotSignedIn {
			t.Errorf("%s: got %v", name, err)
		}
		_ = token(t, b.again(s, r))
	}
}

// Inside the margin an outage costs nothing; after it, it is one.
func TestOutageInsideTheMargin(t *testing.T) {
	t.Parallel()
	b, s, r := signedIn(t, cognito.ClientID)
	b.clock.add(56 * time.Minute)
	b.server.Close()
	shared := b.again(s, r)
	first := token(t, shared)
	if first.Reveal() != s.tokens.ID.Reveal() || strings.Count(b.warned.String(), "could not renew the session") != 1 {
		t.Errorf("another token, or warned %q", b.warned)
	}
	calls := len(b.warned.all)
	_ = token(t, shared) // at once: it is not tried again yet
	if len(b.warned.all) != calls {
		t.Errorf("tried again at once: %q", b.warned)
	}
	_, err := shared.Refresh(t.Context(), first)
	wantError(t, err, Unreachable, "connection refused", "does not mean that your password or session is wrong")
	b.clock.add(5 * time.Minute)
	_, err = b.again(s, r).Token(t.Context())
	wantError(t, err, Unreachable, "connection refused")
}

func TestUnwritableStoreIsNotRenewedInto(t *testing.T) {
	t.Parallel()
	b, s, r := signedIn(t, cognito.RotatingID)
	lock := s.store.Path() + ".lock"
	if err := errors.Join(os.Remove(lock), os.Mkdir(lock, 0o700)); err != nil { // even root cannot lock it now
		t.Fatal(err)
	}
	b.clock.add(56 * time.Minute)
	_ = token(t, b.again(s, r))
	if !strings.Contains(b.warned.String(), "could not renew the session (lock the token file") {
		t.Errorf("warned %q", b.warned)
	}
	b.clock.add(time.Hour)
	_, err := b.again(s, r).Token(t.Context())
	wantError(t, err, Config, "lock the token file", "VILLAPAY_STATE_DIR")
	if n := b.calls.count("GetTokensFromRefreshToken"); n != 0 {
		t.Errorf("%d refresh tokens were used up for nothing", n)
	}
}

func TestReadOnlyDirectory(t *testing.T) {
	t.Parallel()
	if os.Getuid() <= 0 {
		t.Skip("permissions do not bind root, nor Windows")
	}
	b, s, r := signedIn(t, cognito.RotatingID)
	if err := os.Chmod(s.store.dir, 0o500); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Chmod(s.store.dir, 0o700) })
	b.clock.add(2 * time.Hour)
	_, err := b.again(s, r).Token(t.Context())
	wantError(t, err, Config, "write the token file", "permission denied")
	if n := b.calls.count("GetTokensFromRefreshToken"); n != 0 {
		t.Errorf("%d refresh tokens were used up for nothing", n)
	}
}

// A renewal that was not saved still serves the command that made it.
func TestRenewedButNotSaved(t *testing.T) {
	t.Parallel()
	b, s, r := signedIn(t, cognito.RotatingID)
	b.clock.add(2 * time.Hour)
	other := b.again(s, r)
	// While the pool answers, the file turns into a directory: no rename can replace that.
	spoil := roundTrip(func(req *http.Request) (*http.Response, error) {
		if strings.HasSuffix(req.Header.Get("X-Amz-Target"), "GetTokensFromRefreshToken") {
			path := s.store.Path()
			if err := errors.Join(os.Remove(path), os.MkdirAll(filepath.Join(path, "x"), 0o700)); err != nil {
				return nil, err
			}
		}
		return http.DefaultTransport.RoundTrip(req)
	})
	other.client.http.Transport = spoil
	got := token(t, other)
	if status, words := b.pool.Check(got.Reveal()); status != 0 {
		t.Errorf("the API says %d %s", status, words)
	}
	if !strings.Contains(b.warned.String(), "could not be saved") {
		t.Errorf("warned %q", b.warned)
	}
	if again := token(t, other); again.Reveal() != got.Reveal() {
		t.Error("the token was not kept in memory")
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

// Ctrl-C in the middle of a renewal lets it finish, so that a rotated refresh
// token is not lost.
func TestInterruptedRenewalIsSaved(t *testing.T) {
	t.Parallel()
	b, s, r := signedIn(t, cognito.RotatingID)
	b.clock.add(2 * time.Hour)
	ctx, cancel := context.WithCancel(t.Context())
	b.calls.next = http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		answer := httptest.NewRecorder()
		b.pool.ServeHTTP(answer, req)
		cancel() // the old refresh token is spent, the new one on its way
		maps.Copy(w.Header(), answer.Header())
		w.WriteHeader(answer.Code)
		_, _ = w.Write(answer.Body.Bytes())
	})
	other := b.again(s, r)
	_, _ = other.Token(ctx)
	_ = token(t, b.again(s, r))
	if n := b.calls.count("GetTokensFromRefreshToken"); n != 1 {
		t.Errorf("%d refreshes, want the interrupted one alone", n)
	}
}
