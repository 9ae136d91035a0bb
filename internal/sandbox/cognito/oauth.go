package cognito

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"net/http"
	"net/url"
)

// oauthError is an error code of RFC 6749 5.2. Cognito sends it with status 400 and,
// mostly, without a description.
type oauthError string

func (e oauthError) Error() string { return string(e) }

const (
	invalidRequest       oauthError = "invalid_request"
	invalidClient        oauthError = "invalid_client"
	invalidGrant         oauthError = "invalid_grant"
	unauthorizedClient   oauthError = "unauthorized_client"
	unsupportedGrantType oauthError = "unsupported_grant_type"
)

// serveToken is the token endpoint: codes and refresh tokens for tokens.
func (p *Pool) serveToken(w http.ResponseWriter, r *http.Request) {
	out, err := p.exchangeGrant(r)
	if err != nil {
		writeOAuthError(w, err)
		return
	}
	writeJSON(w, http.StatusOK, "application/json", struct {
		IDToken      string `json:"id_token,omitempty"`
		AccessToken  string `json:"access_token"`
		RefreshToken string `json:"refresh_token,omitempty"`
		ExpiresIn    int    `json:"expires_in"`
		TokenType    string `json:"token_type"`
	}{out.IDToken, out.AccessToken, out.RefreshToken, out.ExpiresIn, out.TokenType})
}

func (p *Pool) exchangeGrant(r *http.Request) (tokens, error) {
	c, err := oauthClient(r)
	if err != nil {
		return tokens{}, err
	}
	switch r.PostForm.Get("grant_type") {
	case "authorization_code":
		return p.exchangeCode(r, c)
	case "refresh_token":
		g, a, next, err := p.refreshed(c, r.PostForm.Get("refresh_token"), "")
		if err != nil {
			return tokens{}, invalidGrant
		}
		return p.mint(p.base(r), c, g, a, next, "")
	case "client_credentials":
		return tokens{}, unauthorizedClient
	}
	return tokens{}, unsupportedGrantType
}

// exchangeCode spends a code, whatever comes of it.
func (p *Pool) exchangeCode(r *http.Request, c appClient) (tokens, error) {
	form := r.PostForm
	p.mu.Lock()
	code, ok := p.codes[form.Get("code")]
	delete(p.codes, form.Get("code"))
	a := p.accounts[code.user]
	p.mu.Unlock()
	verifier := sha256.Sum256([]byte(form.Get("code_verifier")))
	challenge := base64.RawURLEncoding.EncodeToString(verifier[:])
	switch {
	case !ok, p.now().After(code.expires), code.client.id != c.id, code.redirect != form.Get("redirect_uri"):
		return tokens{}, invalidGrant
	case subtle.ConstantTimeCompare([]byte(challenge), []byte(code.challenge)) == 0:
		return tokens{}, invalidGrant
	}
	return p.newTokens(p.base(r), c, a, grant{Scope: code.scope, Hosted: true}, code.nonce)
}

// oauthClient authenticates the client, by the Authorization header
// (client_secret_basic) or the form. A public client has no secret, so even an
// empty one in the header is wrong.
func oauthClient(r *http.Request) (appClient, error) {
	if err := r.ParseForm(); err != nil {
		return appClient{}, invalidRequest
	}
	id, secret, basic := r.BasicAuth()
	if basic {
		var err, err2 error
		id, err = url.QueryUnescape(id)
		secret, err2 = url.QueryUnescape(secret)
		if errors.Join(err, err2) != nil {
			return appClient{}, invalidRequest
		}
	} else {
		id, secret = r.PostForm.Get("client_id"), r.PostForm.Get("client_secret")
	}
	c, err := client(id)
	if err != nil || !c.secretIs(secret) || basic && c.secret == "" {
		return appClient{}, invalidClient
	}
	return c, nil
}

func writeOAuthError(w http.ResponseWriter, err error) {
	status, code := http.StatusBadRequest, oauthError("")
	if !errors.As(err, &code) {
		status, code = http.StatusInternalServerError, "server_error"
	}
	writeJSON(w, status, "application/json", map[string]string{"error": code.Error()})
}
