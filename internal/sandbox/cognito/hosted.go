package cognito

import (
	"encoding/base64"
	"errors"
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
)

const (
	codeLife  = 5 * time.Minute
	maxCodes  = 1000
	allScopes = adminScope + " email openid phone profile"
)

// authCode is the content of an authorization code, which can be used once.
type authCode struct {
	authorize
	user    string
	expires time.Time
}

// authorize is a well-formed authorization request (RFC 6749 4.1.1, RFC 7636).
type authorize struct {
	client                                   appClient
	redirect, state, nonce, scope, challenge string
}

// readAuthorize checks an authorization request. redirect reports whether the
// problem may be sent to the application, whose client ID and redirect URL must be
// valid for that.
func (p *Pool) readAuthorize(q url.Values) (req authorize, redirect bool, problem string) {
	c, err := client(q.Get("client_id"))
	if err != nil {
		return req, false, "invalid_request"
	}
	req = authorize{c, q.Get("redirect_uri"), q.Get("state"), q.Get("nonce"), q.Get("scope"), q.Get("code_challenge")}
	if req.scope == "" {
		req.scope = allScopes
	}
	switch {
	case !slices.Contains(p.callbacks(), req.redirect):
		return req, false, "redirect_mismatch"
	case q.Get("response_type") != "code":
		return req, true, "unsupported_response_type"
	case req.challenge == "" || q.Get("code_challenge_method") != "S256":
		return req, true, "invalid_request"
	}
	for scope := range strings.FieldsSeq(req.scope) {
		if !hasScope(allScopes, scope) {
			return req, true, "invalid_scope"
		}
	}
	return req, false, ""
}

// callbacks are the registered redirect URLs. They are compared as text.
func (p *Pool) callbacks() []string {
	urls := slices.Clone(p.opts.Callbacks)
	for _, port := range []string{"8976", "8977", "8978"} {
		urls = append(urls, "http://127.0.0.1:"+port+"/callback", "http://localhost:"+port+"/callback")
	}
	return urls
}

// serveAuthorize sends a browser on to the sign-in page. Locations are
// relative, so that the pool also works behind a path prefix.
func (p *Pool) serveAuthorize(w http.ResponseWriter, r *http.Request) {
	if _, ok := p.admit(w, r, "../"); ok {
		redirectTo(w, "../login?"+r.URL.RawQuery)
	}
}

// admit reads the authorization request in r's query, or answers r with what
// is wrong with it. up leads from r's path to the root.
func (p *Pool) admit(w http.ResponseWriter, r *http.Request, up string) (authorize, bool) {
	req, redirect, problem := p.readAuthorize(r.URL.Query())
	switch {
	case problem == "":
		return req, true
	case redirect:
		redirectTo(w, callbackURL(req, "error", problem))
	default:
		q := url.Values{"error": {problem}, "client_id": {r.URL.Query().Get("client_id")}}
		redirectTo(w, up+"error?"+q.Encode())
	}
	return req, false
}

// callbackURL is the application's redirect URL with an answer in it.
func callbackURL(req authorize, name, value string) string {
	u, err := url.Parse(req.redirect)
	if err != nil {
		return req.redirect // registered, so somebody's odd choice
	}
	q := u.Query()
	q.Set(name, value)
	if req.state != "" {
		q.Set("state", req.state)
	}
	u.RawQuery = q.Encode()
	return u.String()
}

func redirectTo(w http.ResponseWriter, location string) {
	w.Header().Set("Location", location)
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusFound)
}

func (p *Pool) serveLoginPage(w http.ResponseWriter, r *http.Request) {
	if req, ok := p.admit(w, r, ""); ok {
		writePage(w, http.StatusOK, page{Client: req.client.id, Form: true, redirect: req.redirect})
	}
}

func (p *Pool) serveLogin(w http.ResponseWriter, r *http.Request) {
	req, ok := p.admit(w, r, "")
	if !ok {
		return
	}
	if err := r.ParseForm(); err != nil {
		writePage(w, http.StatusBadRequest, page{Error: "invalid_request"})
		return
	}
	name := r.PostForm.Get("username")
	code, problem := p.signInHosted(req, name, r.PostForm.Get("password"))
	if problem != "" {
		writePage(w, http.StatusBadRequest, page{
			Client: req.client.id, Form: true, Username: name, Error: problem, redirect: req.redirect,
		})
		return
	}
	redirectTo(w, callbackURL(req, "code", code))
}

// signInHosted gives a code to whoever needs nothing but a password.
func (p *Pool) signInHosted(req authorize, name, password string) (code, problem string) {
	a, err := p.checkPassword(name, password)
	p.mu.Lock()
	defer p.mu.Unlock()
	if err == nil {
		err = a.blockedLate()
	}
	var e apiError
	switch {
	case errors.As(err, &e):
		return "", e.message
	case a.mustChange || a.sms || a.totpSecret != "":
		return "", "This user needs a second step, which the sandbox's page does not have. Sign in at a terminal."
	}
	now := p.now()
	for code, old := range p.codes {
		if now.After(old.expires) {
			delete(p.codes, code)
		}
	}
	if len(p.codes) >= maxCodes {
		return "", "Too many requests."
	}
	code = uuid.NewString()
	p.codes[code] = authCode{req, a.username, now.Add(codeLife)}
	return code, ""
}

func (p *Pool) serveErrorPage(w http.ResponseWriter, r *http.Request) {
	writePage(w, http.StatusBadRequest, page{Error: r.URL.Query().Get("error")})
}

// page is the data of the pages; Error is shown alone or above the form.
type page struct {
	Client, Username, Error, Nonce string
	Form                           bool
	redirect                       string
}

// writePage allows no script, and lets the form lead to the application's
// redirect URL: browsers hold a form's redirects to form-action too.
func writePage(w http.ResponseWriter, status int, content page) {
	content.Nonce = base64.StdEncoding.EncodeToString(randomBytes(16))
	t := template.Must(template.New("page").Parse(pageText))
	allowed := "'self'"
	if u, err := url.Parse(content.redirect); err == nil && u.Host != "" {
		allowed += " " + u.Scheme + "://" + u.Host
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'nonce-"+content.Nonce+
		"'; form-action "+allowed+"; frame-ancestors 'none'; base-uri 'none'")
	h.Set("Cache-Control", "no-store")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_ = t.Execute(w, content) // the client is gone: nobody is left to tell
}

const pageText = `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{if .Form}}Sign in{{else}}Error{{end}} - villapay sandbox</title>
<style nonce="{{.Nonce}}">
body { font: 1rem/1.5 system-ui, sans-serif; max-width: 24rem; margin: 10vh auto; padding: 0 1rem; color: #1a1a1a; background: #fff }
label, input, button { display: block; width: 100%; box-sizing: border-box; font: inherit }
input, button { margin: .25rem 0 1rem; padding: .6rem; border: 1px solid #767676; border-radius: .3rem }
button { border: 0; background: #0b5a2a; color: #fff }
.error { padding: .6rem; background: #fde8e8; color: #8a1212; border-radius: .3rem }
.note { color: #595959; font-size: .875rem }
</style>
<main>
{{- if .Form}}
<h1>Sign in</h1>
{{- if .Error}}
<p class="error" id="error" role="alert">{{.Error}}</p>
{{- end}}
<form method="post" id="login">
<label for="username">Username</label>
<input id="username" name="username" value="{{.Username}}" autocomplete="username" required autofocus>
<label for="password">Password</label>
<input id="password" name="password" type="password" autocomplete="current-password" required>
<button id="signin">Sign in</button>
</form>
<p class="note">The sandbox's users are fictitious: <code>villapay help sandbox</code> lists them. Application: {{.Client}}.</p>
{{- else}}
<h1>An error was encountered with the requested page.</h1>
<p class="error" id="error" role="alert">{{.Error}}</p>
{{- if eq .Error "redirect_mismatch"}}
<p>The redirect URL is not registered for this application. It has to match to the letter, port included.</p>
{{- end}}
{{- end}}
</main>
</html>
`
