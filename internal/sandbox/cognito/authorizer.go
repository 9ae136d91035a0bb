package cognito

import (
	"net/http"
	"strings"
)

// Check checks an Authorization header as an API Gateway with a Cognito authorizer
// does. It returns the gateway's status and message, or 0 if the request may pass.
// The ID token may follow "Bearer". An access token is denied, since the authorizer
// asks for no scopes.
//
// Tokens revoked or signed out pass until they expire: the gateway looks at
// only the signature and the clock.
func (p *Pool) Check(authorization string) (status int, message string) {
	token := strings.TrimSpace(authorization)
	if scheme, rest, ok := strings.Cut(token, " "); ok && strings.EqualFold(scheme, "Bearer") {
		token = strings.TrimSpace(rest)
	}
	c, err := p.verify(token)
	if err != nil || c.TokenUse != "id" || !p.issued(c) {
		return http.StatusUnauthorized, "Unauthorized"
	}
	if p.now().Unix() >= c.Expires {
		return http.StatusUnauthorized, "The incoming token has expired"
	}
	if a := p.accounts[c.CognitoUser]; a == nil || a.noAccess {
		return http.StatusForbidden, "User is not authorized to access this resource"
	}
	return 0, ""
}

// issued reports whether a token names this pool and one of its clients.
func (p *Pool) issued(c claims) bool {
	if p.opts.Issuer != "" && c.Issuer != p.opts.Issuer+"/"+PoolID {
		return false
	}
	_, err := client(c.Audience)
	return err == nil && strings.HasSuffix(c.Issuer, "/"+PoolID)
}
