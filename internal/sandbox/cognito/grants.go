package cognito

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
)

// adminScope lets an access token act on its own user: GetUser, GlobalSignOut.
// Signing in through the API gives it; through the hosted UI, only if asked.
const adminScope = "aws.cognito.signin.user.admin"

const (
	maxGrants = 2000
	maxTokens = 200 // refresh tokens remembered of one grant
)

// grant is one sign-in: everything that came of it shares its origin_jti, and
// is revoked with it. It is kept as JSON.
type grant struct {
	Origin, Event string
	Client, User  string
	Scope         string
	Hosted        bool // by the hosted UI: an ID token only for the scope openid
	AuthTime      time.Time
	Expires       time.Time
	Revoked       bool
	Device        string // in pools that remember devices
	Confirmed     bool   // the device
	Remembered    bool
	Tokens        map[string]time.Time // SHA-256 of a refresh token: when it was rotated out, zero while good
}

// tokens are what a sign-in or a refresh gives. ExpiresIn is in seconds.
type tokens struct {
	AccessToken  string
	ExpiresIn    int
	IDToken      string `json:"IdToken,omitempty"`
	RefreshToken string `json:",omitempty"`
	TokenType    string

	NewDeviceMetadata *newDevice `json:",omitempty"`
}

// newTokens signs a in: it keeps a grant like g and gives all three tokens. The
// first ID token repeats the nonce; refreshed ones do not.
func (p *Pool) newTokens(base string, c appClient, a *account, g grant, nonce string) (tokens, error) {
	now := p.now()
	g.Origin, g.Event = uuid.NewString(), uuid.NewString()
	g.Client, g.User = c.id, a.username
	g.AuthTime, g.Expires = now, now.Add(c.refresh)
	g.Tokens = map[string]time.Time{}

	p.mu.Lock()
	p.forgetGrants(now)
	refresh := g.add()
	p.grants[g.Origin] = &g
	p.mu.Unlock()
	return p.mint(base, c, g, a, refresh, nonce)
}

// mint signs an ID token and an access token for g, and keeps the pool's state
// before anybody sees them.
func (p *Pool) mint(base string, c appClient, g grant, a *account, refresh, nonce string) (tokens, error) {
	life := c.tokens
	if p.opts.Lifetime > 0 {
		life = p.opts.Lifetime
	}
	now := p.now()
	shared := claims{
		Subject: a.sub(), Issuer: base + "/" + PoolID, OriginJTI: g.Origin, EventID: g.Event,
		AuthTime: g.AuthTime.Unix(), IssuedAt: now.Unix(), Expires: now.Add(life).Unix(),
	}
	access := shared
	access.ID, access.TokenUse, access.Scope = uuid.NewString(), "access", g.Scope
	access.ClientID, access.Username = c.id, a.username
	out := tokens{ExpiresIn: int(life.Seconds()), TokenType: "Bearer", RefreshToken: refresh}
	var err error
	if out.AccessToken, err = p.sign(access); err != nil {
		return tokens{}, err
	}
	if !g.Hosted || hasScope(g.Scope, "openid") {
		id := shared
		id.ID, id.TokenUse, id.Audience = uuid.NewString(), "id", c.id
		id.CognitoUser, id.Email, id.EmailVerified = a.username, a.email(), true
		id.Phone, id.PhoneVerified, id.Nonce = a.phone(), a.phone() != "", nonce
		if out.IDToken, err = p.sign(id); err != nil {
			return tokens{}, err
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return out, p.save()
}

// refreshed finds the grant of a refresh token, used from a device ("" for none),
// and the token that takes its place if the client rotates.
func (p *Pool) refreshed(c appClient, token, device string) (grant, *account, string, error) {
	fail := func(err error) (grant, *account, string, error) { return grant{}, nil, "", err }
	p.mu.Lock()
	defer p.mu.Unlock()
	now, hash := p.now(), hashToken(token)
	g := p.grantOf(hash)
	if g == nil || g.Client != c.id || p.accounts[g.User] == nil {
		return fail(notAuthorized("Invalid Refresh Token"))
	}
	if g.Revoked {
		return fail(notAuthorized("Refresh Token has been revoked"))
	}
	if !now.Before(g.Expires) {
		return fail(notAuthorized("Refresh Token has expired"))
	}
	if err := g.refreshFrom(device); err != nil {
		return fail(errors.Join(err, p.save()))
	}
	if !c.rotates {
		return *g, p.accounts[g.User], "", nil
	}
	if out := g.Tokens[hash]; !out.IsZero() && now.Sub(out) >= c.grace {
		return fail(apiErr("RefreshTokenReuseException", "Refresh token has been invalidated by rotation"))
	}
	if g.Tokens[hash].IsZero() {
		g.Tokens[hash] = now
	}
	return *g, p.accounts[g.User], g.add(), nil
}

// add makes a refresh token: a random one, as long as Cognito's and in the
// shape of the JWE that Cognito's is. Only its hash is kept.
func (g *grant) add() string {
	const header = "eyJjdHkiOiJKV1QiLCJlbmMiOiJBMjU2R0NNIiwiYWxnIjoiUlNBLU9BRVAifQ"
	parts := []string{header}
	for _, size := range []int{256, 12, 1003, 16} {
		parts = append(parts, base64.RawURLEncoding.EncodeToString(randomBytes(size)))
	}
	token := strings.Join(parts, ".")
	g.forgetTokens()
	g.Tokens[hashToken(token)] = time.Time{}
	return token
}

// forgetTokens makes room for one more, dropping what was rotated out longest
// ago, or any if nothing was.
func (g *grant) forgetTokens() {
	for len(g.Tokens) >= maxTokens {
		oldest, at := "", time.Time{}
		for hash, out := range g.Tokens {
			if oldest == "" || at.IsZero() || !out.IsZero() && out.Before(at) {
				oldest, at = hash, out
			}
		}
		delete(g.Tokens, oldest)
	}
}

// forgetGrants drops what has long expired, and the oldest if there are too
// many. The caller holds p.mu.
func (p *Pool) forgetGrants(now time.Time) {
	var oldest *grant
	for origin, g := range p.grants {
		if now.Sub(g.Expires) > 24*time.Hour {
			delete(p.grants, origin)
		} else if oldest == nil || g.AuthTime.Before(oldest.AuthTime) {
			oldest = g
		}
	}
	if len(p.grants) >= maxGrants {
		delete(p.grants, oldest.Origin)
	}
}

// grantOf finds the grant of a refresh token's hash. The caller holds p.mu.
func (p *Pool) grantOf(hash string) *grant {
	for _, g := range p.grants {
		if _, ok := g.Tokens[hash]; ok {
			return g
		}
	}
	return nil
}

func hashToken(token string) string {
	sum := sha256.Sum256([]byte(token))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

func hasScope(scopes, scope string) bool {
	return slices.Contains(strings.Fields(scopes), scope)
}
