package auth

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/villapay/villapay/internal/sandbox/cognito"
	"github.com/villapay/villapay/internal/secret"
)

// signedIn is a bench with a stored session.
func signedIn(t *testing.T, client string) (b *bench, s *Session, r *ring) {
	t.Helper()
	b = newBench(t, cognito.Options{})
	b.ClientID = client
	if client == cognito.ConfidentialID {
		b.ClientSecret = secret.New(cognito.ConfidentialSecret)
	}
	r = newRing()
	s = b.session(t.TempDir(), r)
	if err := s.Save(t.Context(), b.signIn(t), Auto); err != nil {
		t.Fatal(err)
	}
	return b, s, r
}

// again is the same session in another process, as it were.
func (b *bench) again(s *Session, r Keyring) *Session { return b.session(s.store.dir, r) }

func token(t *testing.T, s *Session) secret.String {
	t.Helper()
	token, err := s.Token(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func TestNotSignedIn(t *testing.T) {
	t.Parallel()
	b := newBench(t, cognito.Options{})
	dir, r := filepath.Join(t.TempDir(), "none"), newRing()
	s := b.session(dir, r)
	_, err := s.Token(t.Context())
	wantError(t, err, NotSignedIn, "not signed in to dev", "run `villapay login -e dev`")
	_, err = s.Refresh(t.Context(), secret.New("x"))
	wantError(t, err, NotSignedIn, "not signed in to dev")
	_, err = s.Status(t.Context())
	wantError(t, err, NotSignedIn, "not signed in to dev")
	wantError(t, s.SignOut(t.Context(), false), NotSignedIn, "not signed in to dev")
	wantError(t, s.SignOut(t.Context(), true), NotSignedIn, "not signed in to dev")
	if r.gets != 0 || len(b.calls.all) != 0 {
		t.Errorf("the keyring was asked %d times, the pool %v", r.gets, b.calls.all)
	}
}

func TestTokenIsRenewedBeforeItExpires(t *testing.T) {
	t.Parallel()
	for _, client := range []string{cognito.ClientID, cognito.RotatingID, cognito.ConfidentialID} {
		b, s, r := signedIn(t, client)
		first := token(t, b.again(s, r))
		b.clock.add(54*time.Minute + 59*time.Second)
		if got := token(t, b.again(s, r)); got.Reveal() != first.Reveal() {
			t.Errorf("%s: renewed outside the margin", client)
		}
		b.clock.add(2 * time.Second)
		second := token(t, b.again(s, r))
		if status, words := b.pool.Check(second.Reveal()); second.Reveal() == first.Reveal() || status != 0 {
			t.Errorf("%s: inside the margin: the same %v, %d %s", client, second.Reveal() == first.Reveal(), status, words)
		}
		b.clock.add(3 * time.Hour)
		if third := token(t, b.again(s, r)); third.Reveal() == second.Reveal() {
			t.Errorf("%s: not renewed after it expired", client)
		}
		if n := b.calls.count("GetTokensFromRefreshToken"); n != 2 || b.warned.String() != "" {
			t.Errorf("%s: %d refreshes, warned %q", client, n, b.warned)
		}
	}
}

// An app client may give access tokens of a day beside ID tokens of five minutes.
func TestAnIDTokenShorterThanTheAccessToken(t *testing.T) {
	t.Parallel()
	b := newBench(t, cognito.Options{Lifetime: 5 * time.Minute})
	b.says(`"ExpiresIn":300`, `"ExpiresIn":86400`)
	s := b.session(t.TempDir(), newRing())
	if err := s.Save(t.Context(), b.signIn(t), FileOnly); err != nil {
		t.Fatal(err)
	}
	b.clock.add(10 * time.Minute)
	got := token(t, s)
	if status, words := b.pool.Check(got.Reveal()); status != 0 {
		t.Errorf("%d %s", status, words)
	}
	if n := b.calls.count("GetTokensFromRefreshToken"); n != 1 {
		t.Errorf("%d refreshes", n)
	}
}

func TestMargin(t *testing.T) {
	t.Parallel()
	at := time.Now()
	for life, margin := range map[time.Duration]time.Duration{
		time.Hour: 5 * time.Minute, 24 * time.Hour: 5 * time.Minute, 10 * time.Minute: time.Minute, 5 * time.Second: 500 * time.Millisecond,
	} {
		tokens := Tokens{ReceivedAt: at, ExpiresAt: at.Add(life)}
		if !tokens.fresh(at.Add(life-margin-1)) || tokens.fresh(at.Add(life-margin)) {
			t.Errorf("a token for %s: the margin is not %s", life, margin)
		}
	}
}

func TestRefreshAfterRefusal(t *testing.T) {
	t.Parallel()
	b, s, r := signedIn(t, cognito.RotatingID)
	one, two := b.again(s, r), b.again(s, r)
	used := token(t, one)
	_ = token(t, two)
	b.clock.add(time.Second) // so that the next token differs
	renewed, err := one.Refresh(t.Context(), used)
	if err != nil || renewed.Reveal() == used.Reveal() {
		t.Fatalf("%v, the same %v", err, renewed.Reveal() == used.Reveal())
	}
	// The other process had the same token refused: the stored one is another by now.
	got, err := two.Refresh(t.Context(), used)
	if err != nil || got.Reveal() != renewed.Reveal() {
		t.Errorf("%v, the stored one %v", err, got.Reveal() == renewed.Reveal())
	}
	if got, err := two.Refresh(t.Context(), used); err != nil || got.Reveal() != renewed.Reveal() {
		t.Errorf("asked twice: %v", err)
	}
	if n := b.calls.count("GetTokensFromRefreshToken"); n != 1 {
		t.Errorf("%d refreshes", n)
	}
}

func TestGoroutinesShareOneRefresh(t *testing.T) {
	t.Parallel()
	b, s, r := signedIn(t, cognito.RotatingID)
	b.clock.add(2 * time.Hour)
	shared := b.again(s, r)
	var all sync.WaitGroup
	for range 16 {
		all.Go(func() {
			if _, err := shared.Token(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if n := b.calls.count("GetTokensFromRefreshToken"); n != 1 {
		t.Errorf("%d refreshes", n)
	}
}

func TestEnvironmentsAreApart(t *testing.T) {
	t.Parallel()
	b, s, r := signedIn(t, cognito.ClientID)
	prod := *b
	prod.Env = "prod"
	_, err := prod.again(s, r).Token(t.Context())
	wantError(t, err, NotSignedIn, "not signed in to prod", "villapay login -e prod")
	moved := *b
	moved.ClientID = cognito.SRPOnlyID
	_, err = moved.again(s, r).Token(t.Context())
	wantError(t, err, NotSignedIn, "not signed in to dev")
	if err := prod.again(s, r).Save(t.Context(), b.signIn(t), Auto); err != nil {
		t.Fatal(err)
	}
	if err := b.again(s, r).SignOut(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	_ = token(t, prod.again(s, r))
}

func TestUnreadableSessions(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		spoil func(*Session, *ring) error
		kind  Kind
		says  []string
	}{
		"truncated":   {func(s *Session, _ *ring) error { return os.Truncate(s.store.Path(), 30) }, NotSignedIn, []string{"token file is damaged", "villapay login -e dev"}},
		"other key":   {func(_ *Session, r *ring) error { clear(r.keys); return nil }, NotSignedIn, []string{"another key", "villapay login -e dev"}},
		"locked ring": {func(_ *Session, r *ring) error { r.err = errors.New("the keyring is locked"); return nil }, Config, []string{"the keyring is locked", "unlock the keyring", "--store file"}},
	} {
		b, s, r := signedIn(t, cognito.ClientID)
		if err := test.spoil(s, r); err != nil {
			t.Fatal(err)
		}
		_, err := b.again(s, r).Token(t.Context())
		wantError(t, err, test.kind, append(test.says, s.store.Path())...)
		_, err = b.again(s, r).Refresh(t.Context(), secret.New("used"))
		var e *Error
		if !errors.As(err, &e) || name == "locked ring" && e.Kind != Config {
			t.Errorf("%s: refresh says %v", name, err)
		}
	}
}

// Signing out takes the key out of the keyring, and signing in makes another: a
// long command, which has read the first, goes on.
func TestANewKeyUnderALongCommand(t *testing.T) {
	t.Parallel()
	b, s, r := signedIn(t, cognito.RotatingID)
	long := b.again(s, r)
	_ = token(t, long)
	if err := b.again(s, r).SignOut(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	if err := b.again(s, r).Save(t.Context(), b.signIn(t), Auto); err != nil {
		t.Fatal(err)
	}
	for range 2 { // once with the session of the other terminal, once with its own
		b.clock.add(58 * time.Minute)
		if status, words := b.pool.Check(token(t, long).Reveal()); status != 0 {
			t.Errorf("%d %s", status, words)
		}
	}
	_ = token(t, b.again(s, r)) // what the long command sealed opens for others
}

func TestTokenWithoutRefreshToken(t *testing.T) {
	t.Parallel()
	b, s, r := signedIn(t, cognito.ClientID)
	accepted, err := b.client(nil).Accept(t.Context(), s.tokens.ID)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Save(t.Context(), accepted, Auto); err != nil {
		t.Fatal(err)
	}
	b.clock.add(59 * time.Minute)
	got := token(t, b.again(s, r))
	_, err = b.again(s, r).Refresh(t.Context(), got)
	wantError(t, err, NotSignedIn, "the API rejected the token of dev", "came without a refresh token")
	b.clock.add(2 * time.Minute)
	_, err = b.again(s, r).Token(t.Context())
	wantError(t, err, NotSignedIn, "expired at", "came without a refresh token", "villapay login -e dev")
	wantError(t, b.again(s, r).SignOut(t.Context(), true), Denied, "no access token", "sign in with a password")
	if err := b.again(s, r).SignOut(t.Context(), false); err != nil || b.calls.count("RevokeToken") != 0 {
		t.Errorf("%v, %v", err, b.calls.all)
	}
}

func TestGivenToken(t *testing.T) {
	t.Parallel()
	b, s, r := signedIn(t, cognito.ClientID)
	given := func(text string) *Session { return NewSession(b.client(nil), b.again(s, r).store, secret.New(text)) }
	r.gets = 0
	good := s.tokens.ID.Reveal()
	if got := token(t, given(good)); got.Reveal() != good {
		t.Error("not the given one")
	}
	if got := token(t, given("opaque")); got.Reveal() != "opaque" {
		t.Error("what it is is for the API to judge")
	}
	for text, says := range map[string]string{
		s.tokens.Access.Reveal(): "VILLAPAY_TOKEN is an access token; the API needs the ID token",
		"Bearer " + good:         "white space",
		"line\nbreak":            "white space",
		"gréen":                  "a character that no token has",
	} {
		_, err := given(text).Token(t.Context())
		wantError(t, err, NotSignedIn, says, "unset it")
		_, err = given(text).Status(t.Context())
		wantError(t, err, NotSignedIn, says, "unset it")
	}
	_, err := given("opaque").Refresh(t.Context(), secret.New("opaque"))
	wantError(t, err, NotSignedIn, "the API rejected the token in VILLAPAY_TOKEN: this is not a token")
	b.clock.add(2 * time.Hour)
	_, err = given(good).Refresh(t.Context(), secret.New(good))
	wantError(t, err, NotSignedIn, "the API rejected the token in VILLAPAY_TOKEN: it expired at")
	if r.gets != 0 || b.calls.count("GetTokensFromRefreshToken") != 0 {
		t.Error("the store was used beside VILLAPAY_TOKEN")
	}
}

func TestStatus(t *testing.T) {
	t.Parallel()
	b, s, r := signedIn(t, cognito.ClientID)
	want := Status{Username: "ann", Env: "dev", UserPoolID: cognito.PoolID, Store: "keyring", Path: s.store.Path(), ExpiresAt: s.tokens.ExpiresAt, Renewable: true}
	if got, err := b.again(s, r).Status(t.Context()); err != nil || got != want {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
	if err := b.session(s.store.dir, r).Save(t.Context(), s.tokens, FileOnly); err != nil {
		t.Fatal(err)
	}
	got, err := b.again(s, r).Status(t.Context())
	if err != nil || got.Store != "file" || !strings.Contains(got.Warning, "unencrypted") || !strings.Contains(got.Warning, s.store.Path()) {
		t.Errorf("plain: got %+v, %v", got, err)
	}
	got, err = NewSession(b.client(nil), s.store, s.tokens.ID).Status(t.Context())
	want = Status{Username: "ann", Env: "dev", UserPoolID: cognito.PoolID, Store: "environment", ExpiresAt: s.tokens.ExpiresAt}
	if err != nil || !got.ExpiresAt.Equal(want.ExpiresAt) {
		t.Errorf("given: %v, expires %s", err, got.ExpiresAt)
	}
	got.ExpiresAt = want.ExpiresAt
	if got != want {
		t.Errorf("given: got %+v, want %+v", got, want)
	}
}

// The grace that some pools give to a rotated refresh token helps a process
// that was killed before it could save the new one.
func TestGraceAfterRotation(t *testing.T) {
	t.Parallel()
	b, s, r := signedIn(t, cognito.GraceID)
	b.clock.add(2 * time.Hour)
	if _, err := b.client(nil).Refresh(t.Context(), s.tokens); err != nil { // and is killed
		t.Fatal(err)
	}
	_ = token(t, b.again(s, r))
}

// A server without the newer call gets the older one.
func TestRenewByTheOlderCall(t *testing.T) {
	t.Parallel()
	b, s, _ := signedIn(t, cognito.ConfidentialID)
	old := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if strings.HasSuffix(req.Header.Get("X-Amz-Target"), "GetTokensFromRefreshToken") {
			w.WriteHeader(http.StatusInternalServerError)
			_, _ = w.Write([]byte(`{"__type":"CognitoLocal#Unsupported","message":"unsupported"}`))
			return
		}
		b.pool.ServeHTTP(w, req)
	}))
	t.Cleanup(old.Close)
	b.Endpoint = old.URL
	b.clock.add(time.Second)
	renewed, err := b.client(nil).Refresh(t.Context(), s.tokens)
	if err != nil || renewed.ID.Reveal() == s.tokens.ID.Reveal() || renewed.Refresh.Reveal() != s.tokens.Refresh.Reveal() {
		t.Errorf("%v, renewed %v", err, renewed.ID.Reveal() != s.tokens.ID.Reveal())
	}
	b.ClientID, b.ClientSecret = cognito.RotatingID, secret.String{}
	_, err = b.client(nil).Refresh(t.Context(), s.tokens)
	wantError(t, err, Config, "may not refresh sessions")
}
