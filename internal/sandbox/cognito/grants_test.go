package cognito

import (
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
)

const (
	badRefresh     = "Invalid Refresh Token"
	revokedRefresh = "Refresh Token has been revoked"
)

func TestTokens(t *testing.T) {
	t.Parallel()
	p, c := newPool(t, Options{Issuer: "https://sign.in"})
	a := newApp(t, p, ClientID)
	out := a.signedIn(a.srpFlow("mai@villa.test", password)).AuthenticationResult
	if out.ExpiresIn != 3600 || out.TokenType != "Bearer" {
		t.Errorf("expires in %d, type %s", out.ExpiresIn, out.TokenType)
	}
	id, access := payload(t, out.IdToken), payload(t, out.AccessToken)
	if id.ID == access.ID || id.OriginJTI != access.OriginJTI {
		t.Errorf("jti %s and %s, origin_jti %s and %s", id.ID, access.ID, id.OriginJTI, access.OriginJTI)
	}
	const user = "c93a45dc-0071-70a3-2f2e-2b9f4c1d7e10"
	shared := claims{
		Subject: user, Issuer: "https://sign.in/" + PoolID, OriginJTI: id.OriginJTI, EventID: id.EventID,
		AuthTime: noon.Unix(), IssuedAt: noon.Unix(), Expires: noon.Unix() + 3600,
	}
	wantID, wantAccess := shared, shared
	wantID.ID, wantID.TokenUse, wantID.Audience, wantID.CognitoUser = id.ID, "id", ClientID, user
	wantID.Email, wantID.EmailVerified = "mai@villa.test", true
	wantAccess.ID, wantAccess.TokenUse, wantAccess.ClientID = access.ID, "access", ClientID
	wantAccess.Username, wantAccess.Scope = user, "aws.cognito.signin.user.admin"
	if id != wantID {
		t.Errorf("ID token %+v, want %+v", id, wantID)
	}
	if access != wantAccess {
		t.Errorf("access token %+v, want %+v", access, wantAccess)
	}
	// As long as AWS's were measured to be, within a tenth.
	for name, size := range map[string][2]int{"ID": {len(out.IdToken), 958}, "access": {len(out.AccessToken), 1002}, "refresh": {len(out.RefreshToken), 1785}} {
		if size[0] < size[1]*9/10 || size[0] > size[1]*11/10 {
			t.Errorf("%s token of %d bytes, AWS's has %d", name, size[0], size[1])
		}
	}
	if strings.Count(out.RefreshToken, ".") != 4 {
		t.Error("refresh token does not look like a JWE")
	}

	c.add(time.Hour)
	again := a.signedIn(a.refresh(out.RefreshToken)).AuthenticationResult
	id2 := payload(t, again.IdToken)
	if id2.AuthTime != id.AuthTime || id2.OriginJTI != id.OriginJTI || id2.IssuedAt != id.IssuedAt+3600 || id2.ID == id.ID {
		t.Errorf("refreshed: %+v", id2)
	}
	if again.RefreshToken != "" {
		t.Error("another refresh token without rotation")
	}
}

// The pool is called what its clients call it, unless it is told.
func TestIssuer(t *testing.T) {
	t.Parallel()
	for want, change := range map[string]func(*Pool, *http.Request){
		"http://localhost:1234":  func(*Pool, *http.Request) {},
		"https://localhost:1234": func(_ *Pool, r *http.Request) { r.TLS = &tls.ConnectionState{} },
		"https://told.example/x": func(p *Pool, _ *http.Request) { p.opts.Issuer = "https://told.example/x" },
	} {
		p, _ := newPool(t, Options{})
		r := httptest.NewRequest(http.MethodGet, "http://localhost:1234/"+PoolID+"/.well-known/openid-configuration", nil)
		change(p, r)
		w := httptest.NewRecorder()
		p.ServeHTTP(w, r)
		if got := w.Body.String(); !strings.Contains(got, `"issuer":"`+want+`/ap-southeast-1_Sandbox01"`) || !strings.Contains(got, `"`+want+`/oauth2/token"`) {
			t.Errorf("want %s, got %s", want, got)
		}
	}
}

func TestGetUser(t *testing.T) {
	t.Parallel()
	p, _ := newPool(t, Options{})
	a := newApp(t, p, ClientID)
	first := a.respond(a.password("both", password), map[string]string{"ANSWER": "SMS_MFA"})
	token := a.signedIn(a.respond(first, map[string]string{"SMS_MFA_CODE": SMSCode})).AuthenticationResult
	out := a.call("GetUser", map[string]any{"AccessToken": token.AccessToken})
	var got []string
	for _, attribute := range out.UserAttributes {
		got = append(got, attribute.Name+"="+attribute.Value)
	}
	want := []string{
		"email=both@villa.test", "email_verified=true", "phone_number=+66810001234", "phone_number_verified=true",
		"sub=" + payload(t, token.IdToken).Subject,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"SMS_MFA", "SOFTWARE_TOKEN_MFA"}, out.UserMFASettingList); diff != "" {
		t.Error(diff)
	}
}

func TestLifetime(t *testing.T) {
	t.Parallel()
	for client, want := range map[string]int{ClientID: 3600, ShortLivedID: 5} {
		p, _ := newPool(t, Options{})
		a := newApp(t, p, client)
		if got := a.signedIn(a.srpFlow("ann", password)).AuthenticationResult.ExpiresIn; got != want {
			t.Errorf("%s: %d s, want %d", client, got, want)
		}
		p, _ = newPool(t, Options{Lifetime: 90 * time.Second})
		a = newApp(t, p, client)
		out := a.signedIn(a.srpFlow("ann", password)).AuthenticationResult
		if id := payload(t, out.IdToken); out.ExpiresIn != 90 || id.Expires-id.IssuedAt != 90 {
			t.Errorf("%s: %d s, want 90", client, out.ExpiresIn)
		}
	}
}

func TestRefresh(t *testing.T) {
	t.Parallel()
	p, c := newPool(t, Options{})
	for _, id := range []string{ClientID, ConfidentialID} {
		a := newApp(t, p, id)
		token := a.signedIn(a.srpFlow("ann", password)).AuthenticationResult.RefreshToken
		for _, flow := range []string{"REFRESH_TOKEN_AUTH", "REFRESH_TOKEN"} {
			a.signedIn(a.initiate(flow, a.withHash("ann", map[string]string{"REFRESH_TOKEN": token})))
		}
		a.signedIn(a.refresh(token))
		wantError(t, a.refresh(token+"x"), notAllowed, badRefresh)
		wantError(t, newApp(t, p, SRPOnlyID).refresh(token), notAllowed, badRefresh)
		c.add(30*24*time.Hour - time.Second)
		a.signedIn(a.refresh(token))
		c.add(time.Second)
		wantError(t, a.refresh(token), notAllowed, "Refresh Token has expired")
	}
	wantError(t, newApp(t, p, ClientID).refresh(""), badParam,
		"1 validation error detected: Value null at 'refreshToken' failed to satisfy constraint: Member must not be null")
}

func TestRotation(t *testing.T) {
	t.Parallel()
	const reuse, why = "RefreshTokenReuseException", "Refresh token has been invalidated by rotation"
	p, c := newPool(t, Options{})
	a := newApp(t, p, RotatingID)
	first := a.signedIn(a.srpFlow("ann", password)).AuthenticationResult.RefreshToken
	wantError(t, a.initiate("REFRESH_TOKEN_AUTH", map[string]string{"REFRESH_TOKEN": first}), badParam, "Auth flow not enabled for this client")
	second := a.signedIn(a.refresh(first)).AuthenticationResult.RefreshToken
	wantError(t, a.refresh(first), reuse, why)
	third := a.signedIn(a.refresh(second)).AuthenticationResult.RefreshToken
	wantError(t, a.refresh(second), reuse, why)
	c.add(30*24*time.Hour - time.Second) // rotation does not prolong the sign-in
	fourth := a.signedIn(a.refresh(third)).AuthenticationResult.RefreshToken
	c.add(time.Second)
	wantError(t, a.refresh(fourth), notAllowed, "Refresh Token has expired")

	b := newApp(t, p, GraceID)
	first = b.signedIn(b.srpFlow("ann", password)).AuthenticationResult.RefreshToken
	second = b.signedIn(b.refresh(first)).AuthenticationResult.RefreshToken
	c.add(9 * time.Second)
	other := b.signedIn(b.refresh(first)).AuthenticationResult.RefreshToken
	c.add(time.Second) // grace counts from the first use
	wantError(t, b.refresh(first), reuse, why)
	b.signedIn(b.refresh(second))
	b.signedIn(b.refresh(other))
}

// Of many who refresh with one token at once, one wins, as measured with AWS's
// clients: the others have to wait for it, not to try.
func TestRotationHasOneWinner(t *testing.T) {
	t.Parallel()
	p, _ := newPool(t, Options{})
	a := newApp(t, p, RotatingID)
	token := a.signedIn(a.srpFlow("ann", password)).AuthenticationResult.RefreshToken
	results := make(chan answer)
	for range 20 {
		go func() { results <- a.refresh(token) }()
	}
	won := 0
	for range 20 {
		if out := <-results; out.AuthenticationResult != nil {
			won++
		} else if out.Type != "RefreshTokenReuseException" {
			t.Errorf("%s %s", out.Type, out.Message)
		}
	}
	if won != 1 {
		t.Errorf("%d refreshed", won)
	}
}

func TestRevocation(t *testing.T) {
	t.Parallel()
	p, c := newPool(t, Options{})
	a := newApp(t, p, ConfidentialID)
	revoke := func(token, secret string) answer {
		return a.call("RevokeToken", map[string]any{"ClientId": a.id, "ClientSecret": secret, "Token": token})
	}
	one := a.signedIn(a.srpFlow("ann", password)).AuthenticationResult
	two := a.signedIn(a.srpFlow("ann", password)).AuthenticationResult
	wantError(t, revoke(one.RefreshToken, ""), "UnauthorizedException", "Invalid client secret")
	wantError(t, revoke(one.AccessToken, a.secret), "UnsupportedTokenTypeException", "Only refresh tokens can be revoked")
	wantError(t, newApp(t, p, ClientID).call("RevokeToken", map[string]any{"ClientId": ClientID, "Token": one.RefreshToken}),
		"UnauthorizedException", "The token was issued to another client")
	for range 2 { // the second time it is revoked already
		if out := revoke(one.RefreshToken, a.secret); out.status != 200 {
			t.Errorf("revoke: %s", out.Message)
		}
	}
	if out := revoke("unknown", a.secret); out.status != 200 {
		t.Errorf("revoke unknown: %s", out.Message)
	}
	wantError(t, a.refresh(one.RefreshToken), notAllowed, revokedRefresh)
	user := func(token string) answer { return a.call("GetUser", map[string]any{"AccessToken": token}) }
	wantError(t, user(one.AccessToken), notAllowed, "Access Token has been revoked")
	a.signedIn(a.refresh(two.RefreshToken))
	if out := user(two.AccessToken); out.Username != "ann" || len(out.UserAttributes) != 3 {
		t.Errorf("user %+v", out)
	}

	signOut := func(token string) answer { return a.call("GlobalSignOut", map[string]any{"AccessToken": token}) }
	wantError(t, signOut(two.IdToken), notAllowed, "Invalid Access Token")
	wantError(t, signOut(two.AccessToken+"A"), notAllowed, "Invalid Access Token")
	wantError(t, signOut(""), badParam, "1 validation error detected: Value null at 'accessToken' failed to satisfy constraint: Member must not be null")
	visitor := a.signedIn(a.srpFlow("visitor", password)).AuthenticationResult
	if out := signOut(two.AccessToken); out.status != 200 {
		t.Errorf("sign out: %s", out.Message)
	}
	wantError(t, a.refresh(two.RefreshToken), notAllowed, revokedRefresh)
	wantError(t, signOut(two.AccessToken), notAllowed, "Access Token has been revoked")
	a.signedIn(a.refresh(visitor.RefreshToken)) // somebody else
	if status, message := p.Check(two.IdToken); status != 0 {
		t.Errorf("an ID token died before its time: %d %s", status, message)
	}
	c.add(time.Hour)
	wantError(t, signOut(visitor.AccessToken), notAllowed, "Access Token has expired")
}

func TestRestart(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "state")
	p, _ := newPool(t, Options{Dir: dir})
	a, b := newApp(t, p, ClientID), newApp(t, p, RotatingID)
	kept := a.signedIn(a.srpFlow("ann", password)).AuthenticationResult
	old := b.signedIn(b.srpFlow("ann", password)).AuthenticationResult.RefreshToken
	current := b.signedIn(b.refresh(old)).AuthenticationResult.RefreshToken
	ended := a.signedIn(a.srpFlow("visitor", password)).AuthenticationResult
	a.call("RevokeToken", map[string]any{"ClientId": a.id, "Token": ended.RefreshToken})

	if info, err := os.Stat(filepath.Join(dir, "cognito.json")); err != nil {
		t.Fatal(err)
	} else if runtime.GOOS != "windows" && info.Mode() != 0o600 {
		t.Errorf("state file has mode %v", info.Mode())
	}
	if left, err := filepath.Glob(filepath.Join(dir, ".cognito-*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
	if text, err := os.ReadFile(filepath.Join(dir, "cognito.json")); err != nil || strings.Contains(string(text), kept.RefreshToken) {
		t.Errorf("the file holds a refresh token itself (%v)", err)
	}

	q, err := New(Options{Now: p.opts.Now, Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	a.p, b.p = q, q
	if status, message := q.Check(kept.IdToken); status != 0 {
		t.Errorf("ID token after a restart: %d %s", status, message)
	}
	a.signedIn(a.refresh(kept.RefreshToken))
	wantError(t, a.refresh(ended.RefreshToken), notAllowed, revokedRefresh)
	wantError(t, b.refresh(old), "RefreshTokenReuseException", "Refresh token has been invalidated by rotation")
	b.signedIn(b.refresh(current))
}

func TestKeySurvivesItsPublication(t *testing.T) {
	t.Parallel()
	opts := Options{Now: time.Now, Dir: t.TempDir()}
	var keys []string
	for range 2 {
		p, err := New(opts)
		if err != nil {
			t.Fatal(err)
		}
		w := httptest.NewRecorder()
		p.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/"+PoolID+"/.well-known/jwks.json", nil))
		keys = append(keys, w.Body.String())
	}
	if keys[0] != keys[1] || !strings.Contains(keys[0], `"kty":"RSA"`) {
		t.Errorf("keys %s, after a restart %s", keys[0], keys[1])
	}
}

func TestBadState(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "{", `{"Key":"","Grants":[]}`, `[]`, `{"Key":"AAAA"}`} {
		dir := t.TempDir()
		path := filepath.Join(dir, "cognito.json")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := New(Options{Now: time.Now, Dir: dir}); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("state %q: %v", text, err)
		}
	}
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "cognito.json"), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := New(Options{Now: time.Now, Dir: dir}); err == nil || !strings.Contains(err.Error(), "not a regular file") {
		t.Errorf("a directory: %v", err)
	}
}

// Tokens that could not be kept are not given out.
func TestUnwritableState(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	p, _ := newPool(t, Options{})
	p.opts.Dir = filepath.Join(file, "below")
	out := newApp(t, p, ClientID).password("ann", password)
	if out.status != 500 || out.Type != "InternalErrorException" || out.AuthenticationResult != nil {
		t.Errorf("answer %d %s %s", out.status, out.Type, out.Message)
	}
}

func TestGrantsAreBounded(t *testing.T) {
	t.Parallel()
	g := &grant{Tokens: map[string]time.Time{}}
	first, second := g.add(), g.add()
	g.Tokens[hashToken(first)], g.Tokens[hashToken(second)] = noon, noon.Add(time.Second)
	for range maxTokens - 1 {
		g.add()
	}
	if _, ok := g.Tokens[hashToken(first)]; ok || len(g.Tokens) != maxTokens {
		t.Errorf("%d tokens, the one rotated out first among them: %t", len(g.Tokens), ok)
	}
	if _, ok := g.Tokens[hashToken(second)]; !ok {
		t.Error("a token was forgotten before its time")
	}
	for range maxTokens {
		g.add()
	}
	if len(g.Tokens) != maxTokens {
		t.Errorf("%d tokens of one grant", len(g.Tokens))
	}

	p, c := newPool(t, Options{})
	a := newApp(t, p, ClientID)
	for i := range 2 * maxGrants {
		id := uuid.NewString()
		p.forgetGrants(p.now())
		p.grants[id] = &grant{Origin: id, AuthTime: noon.Add(time.Duration(i-3*maxGrants) * time.Second), Expires: noon}
	}
	a.signedIn(a.password("ann", password))
	if len(p.grants) != maxGrants {
		t.Errorf("%d grants", len(p.grants))
	}
	c.add(25 * time.Hour)
	a.signedIn(a.password("ann", password))
	if len(p.grants) != 2 {
		t.Errorf("%d grants long after all but two expired", len(p.grants))
	}
}
