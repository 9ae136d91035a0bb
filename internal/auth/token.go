package auth

import (
	"context"
	"crypto"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/villapay/villapay/internal/secret"
)

// claims are those of a Cognito token that we read (AWS: "Understanding user
// pool JSON web tokens").
type claims struct {
	Issuer   string          `json:"iss"`
	Audience jwt.Audience    `json:"aud"`
	Use      string          `json:"token_use"`
	Expires  jwt.NumericDate `json:"exp"` // 0 if there is none
	Issued   jwt.NumericDate `json:"iat"`
	Name     string          `json:"cognito:username"`
	Email    string          `json:"email"`
	Subject  string          `json:"sub"`
	Nonce    string          `json:"nonce"`
}

func (c claims) username() string {
	for _, name := range []string{c.Name, c.Email, c.Subject} {
		if name != "" {
			return name
		}
	}
	return ""
}

// parse reads a token's claims without checking its signature.
func parse(token string) (claims, error) {
	var c claims
	parts := strings.Split(token, ".")
	switch {
	case strings.ContainsAny(token, " \t\r\n"):
		return c, errors.New("this is not a token: it contains white space; give only the token, without a word such as Bearer")
	case len(parts) == 5:
		return c, errors.New("this looks like a refresh token; the API needs the ID token")
	case len(parts) != 3:
		return c, fmt.Errorf("this is not a token: a token has three parts between dots, this has %d", len(parts))
	}
	body, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil || json.Unmarshal(body, &c) != nil {
		return c, errors.New("this is not a token: its middle part is not base64 of JSON")
	}
	return c, nil
}

// check reports why a token with these claims is not an ID token of the pool
// that is valid at the given time.
func (p UserPool) check(c claims, at time.Time) error {
	switch {
	case c.Use == "access":
		return errors.New("this is an access token; the API needs the ID token")
	case c.Issuer != p.issuer():
		return fmt.Errorf("this token is from %s; environment %s signs in at %s", orNone(c.Issuer), p.Env, p.issuer())
	case c.Use != "id":
		return fmt.Errorf("this token's use is %s; the API needs the ID token", orNone(c.Use))
	case len(c.Audience) != 1 || c.Audience[0] != p.ClientID:
		return fmt.Errorf("this token is for app client %s; environment %s uses %s", orNone(strings.Join(c.Audience, ", ")), p.Env, p.ClientID)
	case c.Expires == 0:
		return errors.New("this token does not say when it expires")
	case !at.Before(c.Expires.Time()):
		return fmt.Errorf("this token expired %s ago, at %s", at.Sub(c.Expires.Time()).Round(time.Second), c.Expires.Time().UTC().Format(time.RFC3339))
	}
	return nil
}

// life is the token's lifetime from its issue, 0 if it does not say.
func (c claims) life() time.Duration {
	if c.Issued == 0 || c.Expires <= c.Issued {
		return 0
	}
	return c.Expires.Time().Sub(c.Issued.Time())
}

func orNone(text string) string {
	if text == "" {
		return "none"
	}
	return text
}

// errKeys is behind a failure to get the pool's public keys.
var errKeys = errors.New("cannot fetch the pool's public keys")

// verify checks the token's signature with the pool's public keys. The error is
// errKeys if they cannot be fetched.
func (c *Client) verify(ctx context.Context, token secret.String) error {
	c.hide(token)
	keys, err := c.keys(ctx)
	if err != nil {
		return fmt.Errorf("%w: %w", errKeys, err)
	}
	verifier := oidc.NewVerifier(c.pool.issuer(), &oidc.StaticKeySet{PublicKeys: keys}, &oidc.Config{
		ClientID:        c.pool.ClientID,
		SkipExpiryCheck: true, // done by hand, with the server's clock
	})
	if _, err := verifier.Verify(ctx, token.Reveal()); err != nil {
		return fmt.Errorf("this token was not signed by %s: %w", c.pool.issuer(), err)
	}
	return nil
}

// keys fetches the pool's public keys. go-jose takes none of more than 4096 bits,
// which would take minutes to verify with.
func (c *Client) keys(ctx context.Context) ([]crypto.PublicKey, error) {
	ctx, cancel := context.WithTimeout(ctx, keysTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.pool.issuer()+"/.well-known/jwks.json", http.NoBody)
	if err != nil {
		return nil, err
	}
	res, err := c.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	var set jose.JSONWebKeySet
	if err := json.NewDecoder(res.Body).Decode(&set); res.StatusCode != http.StatusOK || err != nil || len(set.Keys) == 0 {
		return nil, fmt.Errorf("HTTP %d without usable keys", res.StatusCode)
	}
	keys := make([]crypto.PublicKey, len(set.Keys))
	for i, key := range set.Keys {
		keys[i] = key.Key
	}
	return keys, nil
}

// receive checks tokens that the pool has issued at a time of our clock. The ID
// token must carry the nonce, unless that is empty. Its lifetime counts from their
// receipt, so our clock may be wrong, and is not ExpiresIn, which is the access
// token's: an app client sets the two apart.
func (c *Client) receive(ctx context.Context, r authResult, nonce string, at time.Time) (Tokens, error) {
	parsed, err := parse(r.IDToken)
	if r.IDToken == "" {
		err = errors.New("there is no ID token in it; is openid among the app client's scopes?")
	}
	if err == nil {
		err = c.pool.check(parsed, parsed.Issued.Time())
	}
	if err == nil && nonce != "" && subtle.ConstantTimeCompare([]byte(nonce), []byte(parsed.Nonce)) != 1 {
		err = errors.New("this token answers another sign-in (wrong nonce)")
	}
	id := secret.New(r.IDToken)
	if err == nil {
		if err = c.verify(ctx, id); errors.Is(err, errKeys) {
			err = nil // it came over this very connection
		}
	}
	if err != nil {
		return Tokens{}, &Error{Kind: Config, Message: "sign-in's answer cannot be used: " + err.Error(), Hint: "check the auth settings: villapay env show -e " + c.pool.Env}
	}
	life := parsed.life()
	if life == 0 {
		life = time.Duration(r.ExpiresIn) * time.Second // the best guess
	}
	return Tokens{
		ID: id, Access: secret.New(r.AccessToken), Refresh: secret.New(r.RefreshToken),
		Username: parsed.username(), ReceivedAt: at, ExpiresAt: at.Add(life),
	}, nil
}

// Accept takes an ID token that came from elsewhere, after the same checks. If
// the pool's keys cannot be fetched, its signature goes unchecked with a
// warning: the API checks it anyway.
func (c *Client) Accept(ctx context.Context, token secret.String) (_ Tokens, err error) {
	defer c.redact(&err)
	token = secret.New(strings.TrimSpace(token.Reveal()))
	parsed, err := parse(token.Reveal())
	switch {
	case token.Empty():
		return Tokens{}, invalidToken(errors.New("there is no token in the input"))
	case err != nil:
		return Tokens{}, invalidToken(err)
	}
	// Everything but the time first: fetching the keys brings the server's time.
	if err := c.pool.check(parsed, parsed.Issued.Time()); err != nil {
		return Tokens{}, invalidToken(err)
	}
	if err := c.verify(ctx, token); errors.Is(err, errKeys) && ctx.Err() == nil {
		c.warn("the token's signature was not checked: " + err.Error())
	} else if err != nil {
		return Tokens{}, invalidToken(err)
	}
	if err := c.pool.check(parsed, c.serverNow()); err != nil {
		return Tokens{}, invalidToken(err)
	}
	left := parsed.Expires.Time().Sub(c.serverNow())
	return Tokens{ID: token, Username: parsed.username(), ReceivedAt: c.now(), ExpiresAt: c.now().Add(left)}, nil
}

func invalidToken(err error) error {
	return &Error{Kind: Denied, Message: err.Error(), Hint: "give the ID token (IdToken in Cognito's answer) of this environment's user pool"}
}
