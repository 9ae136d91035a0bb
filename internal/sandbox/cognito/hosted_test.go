package cognito

import (
	"context"
	"io"
	"maps"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

const callback = "http://127.0.0.1:8977/callback"

// browser is a visitor of the hosted UI that shows where it was sent.
type browser struct {
	t   *testing.T
	url string
	c   *http.Client
}

func newBrowser(t *testing.T, p *Pool) browser {
	t.Helper()
	server := httptest.NewServer(p)
	t.Cleanup(server.Close)
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return browser{t, server.URL, &http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse
	}}}
}

// do sends a request (a form, if there is one) and returns the answer, its
// body and the absolute URL it leads to.
func (b browser) do(target string, form url.Values) (*http.Response, string, *url.URL) {
	b.t.Helper()
	method, body := http.MethodGet, io.Reader(nil)
	if form != nil {
		method, body = http.MethodPost, strings.NewReader(form.Encode())
	}
	r, err := http.NewRequestWithContext(b.t.Context(), method, target, body)
	if err != nil {
		b.t.Fatal(err)
	}
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	resp, err := b.c.Do(r)
	if err != nil {
		b.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	to, err := resp.Location()
	if err != nil {
		to = &url.URL{}
	}
	return resp, string(text), to
}

func (b browser) config(client, secret string) oauth2.Config {
	return oauth2.Config{
		ClientID: client, ClientSecret: secret, RedirectURL: callback, Scopes: []string{"openid", adminScope},
		Endpoint: oauth2.Endpoint{AuthURL: b.url + "/oauth2/authorize", TokenURL: b.url + "/oauth2/token"},
	}
}

// signIn goes through the pages to a code for the given authorization URL.
func (b browser) signIn(authURL string) *url.URL {
	b.t.Helper()
	resp, _, login := b.do(authURL, nil)
	if resp.StatusCode != 302 || login.Path != "/login" {
		b.t.Fatalf("authorize led to %d %s", resp.StatusCode, login)
	}
	resp, _, to := b.do(login.String(), url.Values{"username": {"ann"}, "password": {password}})
	if resp.StatusCode != 302 || !strings.HasPrefix(to.String(), callback+"?") {
		b.t.Fatalf("login led to %d %s", resp.StatusCode, to)
	}
	return to
}

// The whole of it with the two Go libraries that others use: PKCE, state,
// nonce, discovery, keys, refresh.
func TestHostedUI(t *testing.T) {
	t.Parallel()
	for id, secret := range map[string]string{ClientID: "", ConfidentialID: ConfidentialSecret, RotatingID: ""} {
		p, _ := newPool(t, Options{Now: time.Now})
		b := newBrowser(t, p)
		conf := b.config(id, secret)
		verifier := oauth2.GenerateVerifier()
		to := b.signIn(conf.AuthCodeURL("some state", oauth2.S256ChallengeOption(verifier), oidc.Nonce("some nonce")))
		if got := to.Query().Get("state"); got != "some state" {
			t.Errorf("state %q", got)
		}
		token, err := conf.Exchange(t.Context(), to.Query().Get("code"), oauth2.VerifierOption(verifier))
		if err != nil {
			t.Fatal(err)
		}
		if d := time.Until(token.Expiry); d < 59*time.Minute || d > time.Hour || token.TokenType != "Bearer" {
			t.Errorf("token for %v, type %s", d, token.TokenType)
		}

		provider, err := oidc.NewProvider(t.Context(), b.url+"/"+PoolID)
		if err != nil {
			t.Fatal(err)
		}
		raw, _ := token.Extra("id_token").(string)
		idToken, err := provider.Verifier(&oidc.Config{ClientID: id}).Verify(t.Context(), raw)
		if err != nil {
			t.Fatal(err)
		}
		if idToken.Nonce != "some nonce" {
			t.Errorf("nonce %q", idToken.Nonce)
		}
		if status, message := p.Check(raw); status != 0 {
			t.Errorf("the API refuses it: %d %s", status, message)
		}

		again, err := conf.TokenSource(t.Context(), &oauth2.Token{RefreshToken: token.RefreshToken}).Token()
		if err != nil {
			t.Fatal(err)
		}
		if rotated := again.RefreshToken != token.RefreshToken; rotated != (id == RotatingID) {
			t.Errorf("%s: refresh token changed: %t", id, rotated)
		}
		if raw, _ := again.Extra("id_token").(string); payload(t, raw).Nonce != "" {
			t.Error("a refreshed token repeats the nonce")
		}
	}
}

func TestScopes(t *testing.T) {
	t.Parallel()
	p, _ := newPool(t, Options{})
	b := newBrowser(t, p)
	a := newApp(t, p, ClientID)
	for scope, want := range map[string]struct{ id, admin bool }{
		"openid":               {true, false},
		"email phone":          {false, false},
		adminScope:             {false, true},
		"":                     {true, true},
		"openid " + adminScope: {true, true},
	} {
		conf := b.config(ClientID, "")
		conf.Scopes = strings.Fields(scope)
		verifier := oauth2.GenerateVerifier()
		code := b.signIn(conf.AuthCodeURL("s", oauth2.S256ChallengeOption(verifier))).Query().Get("code")
		token, err := conf.Exchange(t.Context(), code, oauth2.VerifierOption(verifier))
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := token.Extra("id_token").(string); ok != want.id {
			t.Errorf("scope %q: ID token %t, want %t", scope, ok, want.id)
		}
		out := a.call("GetUser", map[string]any{"AccessToken": token.AccessToken})
		if want.admin && out.Username != "ann" {
			t.Errorf("scope %q: %s", scope, out.Message)
		}
		if !want.admin {
			wantError(t, out, notAllowed, "Access Token does not have required scopes")
		}
	}
}

func TestAuthorizeErrors(t *testing.T) {
	t.Parallel()
	p, _ := newPool(t, Options{Callbacks: []string{"http://127.0.0.1:5555/cb?x=1"}})
	b := newBrowser(t, p)
	good := url.Values{
		"client_id": {ClientID}, "redirect_uri": {callback}, "response_type": {"code"}, "state": {"s&t"},
		"code_challenge": {"abc"}, "code_challenge_method": {"S256"}, "scope": {"openid"},
	}
	for change, want := range map[string]string{
		"redirect_uri=http://127.0.0.1:8979/callback":  b.url + "/error?client_id=villapay-sandbox&error=redirect_mismatch",
		"redirect_uri=http://127.0.0.1:8977/callback/": b.url + "/error?client_id=villapay-sandbox&error=redirect_mismatch",
		"redirect_uri=http://127.0.0.1:8977/Callback":  b.url + "/error?client_id=villapay-sandbox&error=redirect_mismatch",
		"redirect_uri=http://127.0.0.1:8977/callback?": b.url + "/error?client_id=villapay-sandbox&error=redirect_mismatch",
		"redirect_uri=":                               b.url + "/error?client_id=villapay-sandbox&error=redirect_mismatch",
		"client_id=other":                             b.url + "/error?client_id=other&error=invalid_request",
		"response_type=token":                         callback + "?error=unsupported_response_type&state=s%26t",
		"code_challenge=":                             callback + "?error=invalid_request&state=s%26t",
		"code_challenge_method=plain":                 callback + "?error=invalid_request&state=s%26t",
		"scope=openid calendar":                       callback + "?error=invalid_scope&state=s%26t",
		"redirect_uri=http://localhost:8976/callback": "login",
		"redirect_uri=http://127.0.0.1:5555/cb?x=1":   "login",
		"state=":             "login",
		"scope=" + allScopes: "login",
		"redirect_uri=http://127.0.0.1:5555/cb?x=1&other=ignored": b.url + "/error?client_id=villapay-sandbox&error=redirect_mismatch",
	} {
		name, value, _ := strings.Cut(change, "=")
		q := url.Values{}
		maps.Copy(q, good)
		q.Set(name, value)
		for _, path := range []string{"/oauth2/authorize", "/login"} {
			resp, _, to := b.do(b.url+path+"?"+q.Encode(), nil)
			got := to.String()
			if strings.HasPrefix(got, b.url+"/login?") || path == "/login" && resp.StatusCode == 200 {
				got = "login"
			}
			if got != want {
				t.Errorf("%s with %s leads to %s, want %s", path, change, got, want)
			}
			if path == "/login" && want != "login" { // nor can the form be sent
				_, _, to := b.do(b.url+path+"?"+q.Encode(), url.Values{"username": {"ann"}, "password": {password}})
				if to.Query().Get("code") != "" {
					t.Errorf("a code with %s", change)
				}
			}
		}
	}
	resp, page, _ := b.do(b.url+"/error?error=redirect_mismatch", nil)
	if resp.StatusCode != 400 || !strings.Contains(page, "redirect_mismatch") || !strings.Contains(page, "to the letter") {
		t.Errorf("error page: %d %s", resp.StatusCode, page)
	}
}

func TestLoginPage(t *testing.T) {
	t.Parallel()
	p, _ := newPool(t, Options{})
	b := newBrowser(t, p)
	conf := b.config(ClientID, "")
	login := strings.Replace(conf.AuthCodeURL("s", oauth2.S256ChallengeOption("v")), "/oauth2/authorize", "/login", 1)

	resp, page, _ := b.do(login, nil)
	csp := resp.Header.Get("Content-Security-Policy")
	if !strings.HasPrefix(csp, "default-src 'none'; style-src 'nonce-") ||
		!strings.Contains(csp, "; form-action 'self' http://127.0.0.1:8977; frame-ancestors 'none'; base-uri 'none'") {
		t.Errorf("policy %s", csp)
	}
	for _, id := range []string{`id="username"`, `id="password"`, `id="signin"`, `method="post"`} {
		if !strings.Contains(page, id) {
			t.Errorf("page without %s", id)
		}
	}
	if strings.Contains(page, "<script") || strings.Contains(page, "http") {
		t.Error("the page runs or loads something")
	}
	for form, want := range map[[2]string]string{
		{"ann", "wrong"}:                    "Incorrect username or password.",
		{"", ""}:                            "Incorrect username or password.",
		{`"><script>alert(1)</script>`, ""}: "Incorrect username or password.",
		{"disabled", password}:              "User is disabled.",
		{"reset", password}:                 "Password reset required for the user",
		{"locked", password}:                "Password attempts exceeded",
		{"totp", password}:                  "This user needs a second step",
		{"newbie", password}:                "This user needs a second step",
	} {
		resp, page, _ := b.do(login, url.Values{"username": {form[0]}, "password": {form[1]}})
		if resp.StatusCode != 400 || !strings.Contains(page, `id="error"`) || !strings.Contains(page, want) {
			t.Errorf("%v: %d %s, want %q", form, resp.StatusCode, page, want)
		}
		if strings.Contains(page, "<script") {
			t.Errorf("%v: not escaped", form)
		}
	}
	if resp, _, _ := b.do(login, url.Values{"username": {strings.Repeat("x", maxBody)}}); resp.StatusCode != 400 {
		t.Errorf("large form: %d", resp.StatusCode)
	}
}

func TestTokenErrors(t *testing.T) {
	t.Parallel()
	p, c := newPool(t, Options{})
	b := newBrowser(t, p)
	conf := b.config(ClientID, "")
	verifier := oauth2.GenerateVerifier()
	form := func() url.Values {
		to := b.signIn(conf.AuthCodeURL("s", oauth2.S256ChallengeOption(verifier)))
		return url.Values{
			"grant_type": {"authorization_code"}, "client_id": {ClientID}, "redirect_uri": {callback},
			"code": {to.Query().Get("code")}, "code_verifier": {verifier},
		}
	}
	exchange := func(form url.Values, want string) {
		t.Helper()
		resp, text, _ := b.do(b.url+"/oauth2/token", form)
		if want == "" && resp.StatusCode == 200 {
			return
		}
		if resp.StatusCode != 400 || text != `{"error":"`+want+`"}` {
			t.Errorf("token endpoint: %d %s, want %s", resp.StatusCode, text, want)
		}
	}
	for name, test := range map[string][2]string{
		"code_verifier": {oauth2.GenerateVerifier(), "invalid_grant"},
		"redirect_uri":  {"http://localhost:8977/callback", "invalid_grant"},
		"code":          {"none", "invalid_grant"},
		"client_id":     {SRPOnlyID, "invalid_grant"},
		"grant_type":    {"password", "unsupported_grant_type"},
	} {
		f := form()
		f.Set(name, test[0])
		exchange(f, test[1])
		if f.Set(name, form().Get(name)); name != "code" && name != "grant_type" {
			exchange(f, "invalid_grant") // the first try has spent the code
		}
	}
	f := form()
	f.Del("code_verifier")
	exchange(f, "invalid_grant")
	f = form()
	exchange(f, "")
	exchange(f, "invalid_grant")
	f = form()
	c.add(codeLife + time.Second)
	exchange(f, "invalid_grant")
	exchange(url.Values{"grant_type": {"client_credentials"}, "client_id": {ClientID}}, "unauthorized_client")
	exchange(url.Values{"grant_type": {"refresh_token"}, "client_id": {ClientID}, "refresh_token": {"x"}}, "invalid_grant")
	exchange(url.Values{"grant_type": {"refresh_token"}, "client_id": {"other"}}, "invalid_client")
	exchange(url.Values{"grant_type": {"refresh_token"}, "client_id": {ConfidentialID}}, "invalid_client")
	exchange(url.Values{"grant_type": {"refresh_token"}, "client_id": {ClientID}, "client_secret": {"x"}}, "invalid_client")
	exchange(url.Values{"x": {strings.Repeat("x", maxBody)}}, "invalid_request")
}

// A wrong way for a client to say who it is leaves the code for the right one:
// x/oauth2 tries both.
func TestClientAuthentication(t *testing.T) {
	t.Parallel()
	for _, style := range []oauth2.AuthStyle{oauth2.AuthStyleInHeader, oauth2.AuthStyleInParams} {
		for id, secret := range map[string]string{ClientID: "", ConfidentialID: ConfidentialSecret} {
			p, _ := newPool(t, Options{})
			b := newBrowser(t, p)
			conf := b.config(id, secret)
			conf.Endpoint.AuthStyle = style
			verifier := oauth2.GenerateVerifier()
			code := b.signIn(conf.AuthCodeURL("s", oauth2.S256ChallengeOption(verifier))).Query().Get("code")
			_, err := conf.Exchange(context.Background(), code, oauth2.VerifierOption(verifier))
			if public := secret == "" && style == oauth2.AuthStyleInHeader; public != (err != nil) {
				t.Errorf("%s, style %d: %v", id, style, err)
			}
			conf.Endpoint.AuthStyle = oauth2.AuthStyleInParams
			if _, err2 := conf.Exchange(context.Background(), code, oauth2.VerifierOption(verifier)); err2 == nil != (err != nil) {
				t.Errorf("%s: first %v, then %v", id, err, err2)
			}
		}
	}
}
