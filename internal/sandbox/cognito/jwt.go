package cognito

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"sync"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// claims are those of the pool's ID and access tokens, by Cognito's names. Times
// are Unix seconds.
type claims struct {
	Subject       string `json:"sub"`
	EmailVerified bool   `json:"email_verified,omitempty"`
	Issuer        string `json:"iss"`
	PhoneVerified bool   `json:"phone_number_verified,omitempty"`
	CognitoUser   string `json:"cognito:username,omitempty"`
	ClientID      string `json:"client_id,omitempty"`
	OriginJTI     string `json:"origin_jti"`
	Audience      string `json:"aud,omitempty"`
	Nonce         string `json:"nonce,omitempty"`
	EventID       string `json:"event_id"`
	TokenUse      string `json:"token_use"`
	Scope         string `json:"scope,omitempty"`
	AuthTime      int64  `json:"auth_time"`
	Phone         string `json:"phone_number,omitempty"`
	Expires       int64  `json:"exp"`
	IssuedAt      int64  `json:"iat"`
	ID            string `json:"jti"`
	Email         string `json:"email,omitempty"`
	Username      string `json:"username,omitempty"`
}

// signer holds the pool's key. Making it takes a noticeable time, so it is made
// when a token is first signed.
type signer struct {
	keyMu sync.Mutex
	key   *rsa.PrivateKey
}

func (s *signer) privateKey() (*rsa.PrivateKey, error) {
	s.keyMu.Lock()
	defer s.keyMu.Unlock()
	if s.key == nil {
		key, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			return nil, fmt.Errorf("make signing key: %w", err)
		}
		s.key = key
	}
	return s.key, nil
}

// sign returns c as an RS256 JWT (RFC 7515).
func (s *signer) sign(c claims) (string, error) {
	key, err := s.privateKey()
	if err != nil {
		return "", err
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: jwk(key)}, nil)
	if err != nil {
		return "", fmt.Errorf("sign token: %w", err)
	}
	token, err := jwt.Signed(signer).Claims(c).Serialize()
	if err != nil {
		return "", fmt.Errorf("sign token: %w", err)
	}
	return token, nil
}

// verify returns the claims of a token that this pool signed. It does not check
// the expiry.
func (s *signer) verify(token string) (c claims, err error) {
	key, err := s.privateKey()
	if err != nil {
		return c, err
	}
	parsed, err := jwt.ParseSigned(token, []jose.SignatureAlgorithm{jose.RS256})
	if err != nil {
		return c, fmt.Errorf("read token: %w", err)
	}
	return c, parsed.Claims(&key.PublicKey, &c)
}

// jwk is key with its name, which is like Cognito's: 44 characters of base64.
func jwk(key *rsa.PrivateKey) jose.JSONWebKey {
	sum := sha256.Sum256(key.N.Bytes())
	return jose.JSONWebKey{Key: key, KeyID: base64.StdEncoding.EncodeToString(sum[:]), Algorithm: string(jose.RS256), Use: "sig"}
}

// serveJWKS publishes the key that the pool signs with (RFC 7517).
func (p *Pool) serveJWKS(w http.ResponseWriter, _ *http.Request) {
	key, err := p.publishKey()
	if err != nil {
		writeError(w, err)
		return
	}
	published := jwk(key)
	writeJSON(w, http.StatusOK, "application/json", jose.JSONWebKeySet{Keys: []jose.JSONWebKey{published.Public()}})
}

// publishKey saves the key before anybody sees it, so that it survives a restart.
func (p *Pool) publishKey() (*rsa.PrivateKey, error) {
	key, err := p.privateKey()
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.keyKept {
		return key, nil
	}
	return key, p.save()
}

// serveDiscovery is the pool's OpenID Connect configuration.
func (p *Pool) serveDiscovery(w http.ResponseWriter, r *http.Request) {
	base := p.base(r)
	writeJSON(w, http.StatusOK, "application/json", map[string]any{
		"issuer":                                base + "/" + PoolID,
		"authorization_endpoint":                base + "/oauth2/authorize",
		"token_endpoint":                        base + "/oauth2/token",
		"jwks_uri":                              base + "/" + PoolID + "/.well-known/jwks.json",
		"response_types_supported":              []string{"code"},
		"scopes_supported":                      []string{"openid", "email", "phone", "profile"},
		"subject_types_supported":               []string{"public"},
		"id_token_signing_alg_values_supported": []string{"RS256"},
		"token_endpoint_auth_methods_supported": []string{"client_secret_basic", "client_secret_post"},
	})
}
