package auth

import (
	"bytes"
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/villapay/villapay/internal/sandbox/cognito"
	"github.com/villapay/villapay/internal/secret"
)

func TestAccept(t *testing.T) {
	t.Parallel()
	b := newBench(t, cognito.Options{})
	tokens := b.signIn(t)
	got, err := b.client(nil).Accept(t.Context(), secret.New("\n "+tokens.ID.Reveal()+" \r\n"))
	if err != nil {
		t.Fatal(err)
	}
	if got.ID.Reveal() != tokens.ID.Reveal() || got.Username != "ann" || !got.Refresh.Empty() || !got.ExpiresAt.Equal(tokens.ExpiresAt) {
		t.Errorf("got %+v", got)
	}
	if b.warned.String() != "" {
		t.Errorf("warned %q", b.warned)
	}
}

func TestAcceptRefuses(t *testing.T) {
	t.Parallel()
	b := newBench(t, cognito.Options{})
	tokens := b.signIn(t)
	with := func(changes map[string]any) secret.String {
		return unsigned(t, idClaims(b.UserPool, b.clock.now(), changes))
	}
	parts := strings.Split(tokens.ID.Reveal(), ".")
	forged := parts[0] + "." + parts[1] + "." + base64.RawURLEncoding.EncodeToString(make([]byte, 256))
	for name, test := range map[string]struct {
		token secret.String
		says  string
	}{
		"nothing":           {secret.New(" \n"), "no token in the input"},
		"garbage":           {secret.New("hello"), "three parts between dots, this has 1"},
		"JSON":              {secret.New(`{"IdToken": "ey.."}`), "white space"},
		"with Bearer":       {secret.New("Bearer " + tokens.ID.Reveal()), "without a word such as Bearer"},
		"access token":      {tokens.Access, "this is an access token; the API needs the ID token"},
		"refresh token":     {tokens.Refresh, "looks like a refresh token"},
		"middle not base64": {secret.New("a.!.c"), "not base64 of JSON"},
		"middle not JSON":   {secret.New("a.aGVsbG8.c"), "not base64 of JSON"},
		"wrong pool":        {with(map[string]any{"iss": "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_other"}), "from https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_other; environment dev signs in at " + b.issuer()},
		"no issuer":         {with(map[string]any{"iss": ""}), "from none"},
		"wrong client":      {with(map[string]any{"aud": "somebodyelse"}), "for app client somebodyelse; environment dev uses villapay-sandbox"},
		"two audiences":     {with(map[string]any{"aud": []string{"villapay-sandbox", "b"}}), "for app client villapay-sandbox, b"},
		"no use":            {with(map[string]any{"token_use": ""}), "use is none"},
		"no expiry":         {with(map[string]any{"exp": 0}), "does not say when it expires"},
		"expired":           {with(map[string]any{"iat": b.clock.now().Add(-2 * time.Hour).Unix(), "exp": b.clock.now().Add(-time.Hour).Unix()}), "not signed by"},
		"forged":            {secret.New(forged), "was not signed by " + b.issuer()},
		"no algorithm":      {secret.New(base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none"}`)) + "." + parts[1] + "."), "was not signed by"},
	} {
		got, err := b.client(nil).Accept(t.Context(), test.token)
		if err == nil {
			t.Errorf("%s: accepted %+v", name, got)
			continue
		}
		wantError(t, err, Denied, test.says, "give the ID token")
		if text := test.token.Reveal(); len(text) > 20 && strings.Contains(err.Error(), text) {
			t.Errorf("%s: the token shows in %q", name, err)
		}
	}
	b.clock.add(61 * time.Minute)
	_, err := b.client(nil).Accept(t.Context(), tokens.ID)
	wantError(t, err, Denied, "expired 1m0s ago")
}

// Keys that cannot be had are a warning, not a refusal.
func TestAcceptWithoutKeys(t *testing.T) {
	t.Parallel()
	for name, handler := range map[string]http.HandlerFunc{
		"not found":   http.NotFound,
		"not JSON":    func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<html>")) },
		"no keys":     func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(`{"keys":[]}`)) },
		"redirected":  func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/elsewhere", http.StatusFound) },
		"cut short":   func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"unavailable": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) },
	} {
		server := httptest.NewServer(handler)
		warned := &texts{}
		pool := UserPool{Env: "dev", UserPoolID: "x_y", ClientID: "c", Endpoint: server.URL}
		token := unsigned(t, idClaims(pool, time.Now(), nil))
		_, err := NewClient(pool, http.DefaultTransport, time.Now, nil, warned.add).Accept(t.Context(), token)
		server.Close()
		if err != nil || !strings.Contains(warned.String(), "signature was not checked") {
			t.Errorf("%s: %v, warned %q", name, err, warned)
		}
	}
}

// A key that would take minutes to verify with is not used.
func TestAbsurdKeysAreIgnored(t *testing.T) {
	t.Parallel()
	huge := base64.RawURLEncoding.EncodeToString(bytes.Repeat([]byte{0xff}, 300_000))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(`{"keys":[{"kty":"RSA","kid":"k","alg":"RS256","e":"AQAB","n":"` + huge + `"}]}`))
	}))
	t.Cleanup(server.Close)
	warned := &texts{}
	pool := UserPool{Env: "dev", UserPoolID: "x_y", ClientID: "c", Endpoint: server.URL}
	token := unsigned(t, idClaims(pool, time.Now(), nil)).Reveal()
	token = token[:strings.LastIndex(token, ".")+1] + huge // as long as the key
	_, err := NewClient(pool, http.DefaultTransport, time.Now, nil, warned.add).Accept(t.Context(), secret.New(token))
	if err != nil || !strings.Contains(warned.String(), "without usable keys") {
		t.Errorf("%v, warned %q", err, warned)
	}
}

func TestIssuer(t *testing.T) {
	t.Parallel()
	for want, pool := range map[string]UserPool{
		"https://cognito-idp.ap-southeast-1.amazonaws.com/p": {Region: "ap-southeast-1", UserPoolID: "p"},
		"http://127.0.0.1:9/p":                               {Region: "ap-southeast-1", UserPoolID: "p", Endpoint: "http://127.0.0.1:9/"},
	} {
		if got := pool.issuer(); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

// What the pool itself gives is checked, too.
func TestReceiveChecks(t *testing.T) {
	t.Parallel()
	pool := UserPool{Env: "dev", Region: "ap-southeast-1", UserPoolID: "ap-southeast-1_abc", ClientID: "c"}
	client := NewClient(pool, offline{}, time.Now, nil, func(string) {})
	id := func(changes map[string]any) string { return unsigned(t, idClaims(pool, time.Now(), changes)).Reveal() }
	for says, r := range map[string]authResult{
		"there is no ID token":      {AccessToken: "x"},
		"access token":              {IDToken: id(map[string]any{"token_use": "access"})},
		"wrong nonce":               {IDToken: id(map[string]any{"nonce": "theirs"})},
		"for app client other":      {IDToken: id(map[string]any{"aud": "other"})},
		"this token is from http:/": {IDToken: id(map[string]any{"iss": "http:/"})},
	} {
		_, err := client.receive(t.Context(), r, "ours", time.Time{})
		wantError(t, err, Config, says)
	}
	if _, err := client.receive(t.Context(), authResult{IDToken: id(map[string]any{"nonce": "ours"})}, "ours", time.Time{}); err != nil {
		t.Error(err)
	}
}

// A token lives as long as it says itself, whatever the access token beside it
// does and however wrong our clock is.
func TestReceivedLifetime(t *testing.T) {
	t.Parallel()
	pool := UserPool{Env: "dev", Region: "ap-southeast-1", UserPoolID: "ap-southeast-1_abc", ClientID: "c"}
	client := NewClient(pool, offline{}, time.Now, nil, func(string) {})
	for name, test := range map[string]struct {
		access int64 // seconds
		claims map[string]any
		want   time.Duration
	}{
		"longer than the access token":      {300, nil, time.Hour},
		"shorter than the access token":     {86400, nil, time.Hour},
		"the access token does not say":     {0, nil, time.Hour},
		"it does not say when it was given": {300, map[string]any{"iat": 0}, 5 * time.Minute},
	} {
		at := time.Unix(1000, 0)
		id := unsigned(t, idClaims(pool, time.Now(), test.claims)).Reveal()
		tokens, err := client.receive(t.Context(), authResult{IDToken: id, ExpiresIn: test.access}, "", at)
		if err != nil || !tokens.ExpiresAt.Equal(at.Add(test.want)) {
			t.Errorf("%s: %v, lives %s, want %s", name, err, tokens.ExpiresAt.Sub(at), test.want)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{"", "a.b.c", "a.e30.c", "a..c", "a.eyJhdWQiOlsiYSIsImIiXSwiZXhwIjoxZTk5fQ.c", "a.b.c.d.e", "a.eyJhdWQiOjF9.c", "a.bnVsbA.c"} {
		f.Add(seed)
	}
	pool := UserPool{Env: "dev", Region: "r", UserPoolID: "p", ClientID: "c"}
	f.Fuzz(func(t *testing.T, token string) {
		told, err := parse(token)
		if err == nil && strings.Count(token, ".") != 2 {
			t.Errorf("%q has not three parts", token)
		}
		if err != nil {
			return
		}
		if pool.check(told, time.Now()) == nil && (told.Issuer != pool.issuer() || told.Use != "id") {
			t.Errorf("%+v passes", told)
		}
	})
}
