package cognito

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"strings"
	"sync"
)

// claims are what the pool's ID and access tokens say, named as Cognito names
// them. Times are Unix seconds.
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

// signer holds the pool's key, made when a token is first signed: that takes
// long enough to notice.
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

type tokenHeader struct {
	KeyID     string `json:"kid"`
	Algorithm string `json:"alg"`
}

// sign returns c as an RS256 JWT (RFC 7515).
func (s *signer) sign(c claims) (string, error) {
	key, err := s.privateKey()
	if err != nil {
		return "", err
	}
	header, err := segment(tokenHeader{keyID(key), "RS256"})
	if err != nil {
		return "", err
	}
	payload, err := segment(c)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256([]byte(header + "." + payload))
	signature, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, sum[:])
	if err != nil {
		return "", fmt.Errorf("sign token: %w", err)
	}
	return header + "." + payload + "." + base64.RawURLEncoding.EncodeToString(signature), nil
}

// verify returns what a token says if this pool signed it. Whether it has
// expired is for the caller to judge.
func (s *signer) verify(token string) (claims, error) {
	var c claims
	var header tokenHeader
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return c, errors.New("token does not have three parts")
	}
	if err := unsegment(parts[0], &header); err != nil {
		return c, err
	}
	key, err := s.privateKey()
	if err != nil {
		return c, err
	}
	if header != (tokenHeader{keyID(key), "RS256"}) {
		return c, errors.New("token is signed with another key")
	}
	signature, err := base64.RawURLEncoding.DecodeString(parts[2])
	if err != nil {
		return c, fmt.Errorf("read signature: %w", err)
	}
	sum := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	if err := rsa.VerifyPKCS1v15(&key.PublicKey, crypto.SHA256, sum[:], signature); err != nil {
		return c, fmt.Errorf("check signature: %w", err)
	}
	return c, unsegment(parts[1], &c)
}

func segment(v any) (string, error) {
	text, err := json.Marshal(v)
	if err != nil {
		return "", fmt.Errorf("write token: %w", err)
	}
	return base64.RawURLEncoding.EncodeToString(text), nil
}

func unsegment(s string, v any) error {
	text, err := base64.RawURLEncoding.DecodeString(s)
	if err == nil {
		err = json.Unmarshal(text, v)
	}
	if err != nil {
		return fmt.Errorf("read token: %w", err)
	}
	return nil
}

// keyID names a key as Cognito does: 44 characters of base64.
func keyID(key *rsa.PrivateKey) string {
	sum := sha256.Sum256(key.N.Bytes())
	return base64.StdEncoding.EncodeToString(sum[:])
}

// serveJWKS publishes the key that the pool signs with (RFC 7517).
func (p *Pool) serveJWKS(w http.ResponseWriter, _ *http.Request) {
	key, err := p.publishKey()
	if err != nil {
		writeError(w, err)
		return
	}
	type jwk struct {
		Algorithm string `json:"alg"`
		Exponent  string `json:"e"`
		KeyID     string `json:"kid"`
		Type      string `json:"kty"`
		Modulus   string `json:"n"`
		Use       string `json:"use"`
	}
	encode := base64.RawURLEncoding.EncodeToString
	writeJSON(w, http.StatusOK, "application/json", map[string][]jwk{"keys": {{
		"RS256", encode(big.NewInt(int64(key.E)).Bytes()), keyID(key), "RSA", encode(key.N.Bytes()), "sig",
	}}})
}

// publishKey makes sure that a key somebody learns survives a restart.
func (p *Pool) publishKey() (*rsa.PrivateKey, error) {
	key, err := p.privateKey()
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.store.hasKey {
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
		"revocation_endpoint":                   base + "/oauth2/revoke",
		"end_session_endpoint":                  base + "/logout",
		"jwks_uri":                              base + "/" + PoolID + "/.well-known/jwks.json",
		"response_types_supported":              []string{"code"},
		"scopes_supported":                      []string{"openid", "email", "phone", "profile"},
		"subject_types_supported":               []string{"public"},
		"id_token_signing_alg_values_supported": []string{"RS256"},
		"token_endpoint_auth_methods_supported": []string{"client_secret_basic", "client_secret_post"},
	})
}
