package auth

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"golang.org/x/oauth2"

	"github.com/villapay/villapay/internal/secret"
)

// browserTimeout is how long a sign-in in the browser may take.
const browserTimeout = 5 * time.Minute

// flow is one sign-in in a browser: code with PKCE (RFC 7636), a state that ties
// the redirect to it (RFC 6749, section 10.12) and a nonce that ties the ID token
// to it (OpenID Connect Core, section 3.1.2.1).
type flow struct {
	client                 *Client
	config                 oauth2.Config
	state, nonce, verifier string
}

// Browser signs in at the pool's hosted UI. open shows a URL in a browser; the
// redirect arrives at a listener on one of the pool's callback ports. If paste is
// given instead, nothing listens, the URL is a note to the user, and paste returns
// the address that their browser ended at.
func (c *Client) Browser(ctx context.Context, open func(url string) error, paste func(ctx context.Context) (string, error)) (_ Tokens, err error) {
	defer c.redact(&err)
	if err := c.webReady(); err != nil {
		return Tokens{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, browserTimeout)
	defer cancel()
	if paste != nil {
		f := c.flow(c.pool.CallbackPorts[0])
		tokens, err := f.byPaste(ctx, paste)
		return tokens, f.explain(ctx, err)
	}
	listener, port, err := c.listen(ctx)
	if err != nil {
		return Tokens{}, err
	}
	f := c.flow(port)
	tokens, err := f.byListener(ctx, listener, open)
	return tokens, f.explain(ctx, err)
}

func (c *Client) webReady() error {
	if c.pool.Domain == "" {
		return &Error{Kind: Config, Message: "environment " + c.pool.Env + " has no auth.domain: there is no page to sign in at", Hint: c.setting("set the hosted UI's address", "auth.domain https://DOMAIN")}
	}
	if len(c.pool.CallbackPorts) == 0 {
		return &Error{Kind: Config, Message: "environment " + c.pool.Env + " has no auth.callback_ports", Hint: c.setting("set them", "auth.callback_ports 8976,8977,8978")}
	}
	return nil
}

func (c *Client) flow(port int) *flow {
	domain := strings.TrimSuffix(c.pool.Domain, "/")
	style := oauth2.AuthStyleInParams // explicit: trying both would spend the code
	if !c.pool.ClientSecret.Empty() {
		style = oauth2.AuthStyleInHeader
	}
	return &flow{
		client: c,
		config: oauth2.Config{
			ClientID: c.pool.ClientID, ClientSecret: c.pool.ClientSecret.Reveal(),
			Endpoint:    oauth2.Endpoint{AuthURL: domain + "/oauth2/authorize", TokenURL: domain + "/oauth2/token", AuthStyle: style},
			RedirectURL: callbackURL(port), Scopes: []string{"openid"},
		},
		state: oauth2.GenerateVerifier(), nonce: oauth2.GenerateVerifier(), verifier: oauth2.GenerateVerifier(),
	}
}

// callbackURL must be registered for a port: Cognito compares redirect URLs to the
// letter.
func callbackURL(port int) string { return fmt.Sprintf("http://127.0.0.1:%d/callback", port) }

// callbackURLs names every URL to register.
func (c *Client) callbackURLs() string {
	urls := make([]string, len(c.pool.CallbackPorts))
	for i, port := range c.pool.CallbackPorts {
		urls[i] = callbackURL(port)
	}
	return strings.Join(urls, " ")
}

func (f *flow) url() string {
	return f.config.AuthCodeURL(f.state, oauth2.S256ChallengeOption(f.verifier), oauth2.SetAuthURLParam("nonce", f.nonce))
}

// listen takes the first callback port that is free.
func (c *Client) listen(ctx context.Context) (net.Listener, int, error) {
	var failures []string
	for _, port := range c.pool.CallbackPorts {
		listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp4", fmt.Sprintf("127.0.0.1:%d", port))
		if err == nil {
			return listener, port, nil
		}
		failures = append(failures, err.Error())
	}
	return nil, 0, &Error{
		Kind: Config, Message: "cannot wait for the browser's answer: " + strings.Join(failures, "; "),
		Hint: "free one of the ports, use --no-browser, or " + c.setting("choose others", "auth.callback_ports PORT") + ", and register each as the app client's callback URL, now " + c.callbackURLs(),
	}
}

// preflight fetches the sign-in page once: Cognito reports a wrong redirect URL or
// client in the browser only, where nobody could tell why.
func (f *flow) preflight(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, f.url(), http.NoBody)
	if err != nil {
		return &Error{Kind: Config, Message: "auth.domain makes no address: " + err.Error(), Hint: f.client.setting("set it", "auth.domain https://DOMAIN")}
	}
	res, err := f.client.http.Do(req)
	if err != nil {
		return f.client.webUnreachable(err)
	}
	defer res.Body.Close()
	body, _ := io.ReadAll(res.Body)
	if to, err := res.Location(); err == nil && to.Query().Get("error") != "" {
		return f.oauthError(to.Query().Get("error"), to.Query().Get("error_description"))
	}
	if res.StatusCode >= 500 {
		return f.client.webUnreachable(fmt.Errorf("HTTP %d", res.StatusCode))
	}
	if res.StatusCode >= 400 && strings.Contains(string(body), "redirect_mismatch") {
		return f.oauthError("redirect_mismatch", "")
	}
	return nil
}

func (c *Client) webUnreachable(err error) error {
	if errors.Is(err, context.Canceled) {
		return fmt.Errorf("sign-in interrupted: %w", context.Canceled)
	}
	authErr := c.unreachable(err)
	says, cause := networkError(err)
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		says = "timed out"
	case cause == nil:
		says = err.Error()
	}
	authErr.Message = "cannot reach the sign-in page at " + c.pool.Domain + ": " + says
	if errors.As(err, new(net.Error)) {
		authErr.Hint = "check auth.domain: run `villapay env show`; or " + outage
	}
	return authErr
}

// byPaste shows the URL and takes the address that the browser ended at.
func (f *flow) byPaste(ctx context.Context, paste func(context.Context) (string, error)) (Tokens, error) {
	if err := f.preflight(ctx); err != nil {
		return Tokens{}, err
	}
	f.note("open this address in any browser and sign in:\n\n  " + f.url() + "\n\nthen copy the whole address from the browser: it starts with " + f.config.RedirectURL + ", and its page may not load")
	for try := 1; ; try++ {
		text, err := paste(ctx)
		if err != nil {
			return Tokens{}, err
		}
		code, err := f.readPasted(text)
		if err == nil {
			return f.redeem(ctx, code)
		}
		var authErr *Error
		if errors.As(err, &authErr) || try == maxTries {
			return Tokens{}, err
		}
		f.note(err.Error() + ": paste it again")
	}
}

// readPasted takes the code out of the address that a user pasted.
func (f *flow) readPasted(text string) (string, error) {
	address, err := url.Parse(strings.TrimSpace(text))
	if err != nil {
		return "", errors.New("that is not an address")
	}
	query := address.Query()
	if query.Get("error") == "redirect_mismatch" { // Cognito's own error page carries no state
		return "", f.oauthError("redirect_mismatch", "")
	}
	return f.read(query)
}

// read takes the code out of a redirect's query.
func (f *flow) read(query url.Values) (string, error) {
	switch {
	case subtle.ConstantTimeCompare([]byte(query.Get("state")), []byte(f.state)) != 1:
		return "", errors.New("that is not the answer to this sign-in (wrong state)")
	case query.Get("error") != "":
		return "", f.oauthError(query.Get("error"), query.Get("error_description"))
	case query.Get("code") == "":
		return "", errors.New("there is no code in that address")
	}
	return query.Get("code"), nil
}

func (f *flow) note(text string) {
	if f.client.prompt != nil {
		f.client.prompt.Note(text)
		return
	}
	f.client.warn(text)
}

// redeem exchanges the code for tokens.
func (f *flow) redeem(ctx context.Context, code string) (Tokens, error) {
	c := f.client
	ctx, cancel := context.WithTimeout(context.WithValue(ctx, oauth2.HTTPClient, c.http), callTimeout)
	defer cancel()
	c.hide(secret.New(code), secret.New(f.verifier))
	at := c.now()
	token, err := f.config.Exchange(ctx, code, oauth2.VerifierOption(f.verifier))
	if err != nil {
		return Tokens{}, f.exchangeError(err)
	}
	id, _ := token.Extra("id_token").(string)
	return c.receive(ctx, authResult{
		IDToken: id, AccessToken: token.AccessToken, RefreshToken: token.RefreshToken, ExpiresIn: token.ExpiresIn,
	}, f.nonce, at)
}

func (f *flow) exchangeError(err error) error {
	var answer *oauth2.RetrieveError
	if !errors.As(err, &answer) {
		return f.client.webUnreachable(err)
	}
	if answer.ErrorCode == "" {
		return f.client.webUnreachable(fmt.Errorf("HTTP %d", answer.Response.StatusCode))
	}
	return f.oauthError(answer.ErrorCode, answer.ErrorDescription)
}

// oauthError explains an error code of RFC 6749 or of Cognito's own pages.
func (f *flow) oauthError(code, words string) *Error {
	authErr := &Error{Kind: Denied, Message: "the sign-in page reported " + code, Hint: "start again: villapay login --web -e " + f.client.pool.Env}
	if words != "" {
		authErr.Message += ": " + words
	}
	switch code {
	case "redirect_mismatch":
		authErr.Kind, authErr.Message = Config, "the app client does not have this callback URL: "+f.config.RedirectURL
		authErr.Hint = "register each of these as a callback URL of the app client, to the letter: " + f.client.callbackURLs()
	case "access_denied":
		authErr.Message = "the sign-in in the browser was denied"
	case "invalid_grant":
		authErr.Message = "the code from the browser has expired or was used already"
	case "invalid_client", "unauthorized_client", "invalid_request", "invalid_scope", "unsupported_response_type":
		authErr.Kind, authErr.Hint = Config, "check auth.client_id, VILLAPAY_CLIENT_SECRET, and that the app client allows the code grant with the scope openid"
	case "temporarily_unavailable", "server_error":
		authErr.Kind, authErr.Hint = Unreachable, outage
	}
	return authErr
}

// explain explains a failure that is no [Error] yet, mostly a browser that never
// came back.
func (f *flow) explain(ctx context.Context, err error) error {
	var authErr *Error
	switch {
	case err == nil, errors.As(err, &authErr):
		return err
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return &Error{
			Kind: NotSignedIn, Message: fmt.Sprintf("no answer from the browser within %d minutes", int(browserTimeout.Minutes())),
			Hint: "start again: `villapay login --web`; if the browser showed redirect_mismatch, register these callback URLs: " + f.client.callbackURLs(),
		}
	case errors.Is(err, context.Canceled):
		return fmt.Errorf("sign-in interrupted: %w", context.Canceled)
	}
	return &Error{Kind: Denied, Message: err.Error(), Hint: "start again: `villapay login --web`", Err: err}
}
