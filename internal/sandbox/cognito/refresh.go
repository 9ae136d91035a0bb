package cognito

import (
	"crypto/subtle"
	"slices"
	"strings"
)

// refreshAuth is InitiateAuth with a refresh token. A client that rotates
// cannot have this flow enabled.
func (p *Pool) refreshAuth(base string, c appClient, params map[string]string) (any, error) {
	if c.rotates {
		return nil, invalidParameter("Auth flow not enabled for this client")
	}
	if err := require(params, "REFRESH_TOKEN"); err != nil {
		return nil, err
	}
	g, a, _, err := p.refreshed(c, params["REFRESH_TOKEN"], params["DEVICE_KEY"])
	if err != nil {
		return nil, err
	}
	if err := checkSecretHash(c, params, a.username, a.sub()); err != nil {
		return nil, err
	}
	result, err := p.mint(base, c, g, a, "", "")
	if err != nil {
		return nil, err
	}
	return authOutput{AuthenticationResult: &result, ChallengeParameters: map[string]string{}}, nil
}

// getTokensFromRefreshToken refreshes whether the client rotates or not. Only
// a client that does gets another refresh token.
func (p *Pool) getTokensFromRefreshToken(base string, in input) (any, error) {
	c, err := client(in.ClientID)
	if err != nil {
		return nil, err
	}
	if in.RefreshToken == "" {
		return nil, missingMember("refreshToken")
	}
	if !c.secretIs(in.ClientSecret) {
		return nil, wrongSecret(c)
	}
	g, a, next, err := p.refreshed(c, in.RefreshToken, in.DeviceKey)
	if err != nil {
		return nil, err
	}
	result, err := p.mint(base, c, g, a, next, "")
	if err != nil {
		return nil, err
	}
	return authOutput{AuthenticationResult: &result, ChallengeParameters: map[string]string{}}, nil
}

// secretIs compares a client's secret; a public client has the empty one.
func (c appClient) secretIs(secret string) bool {
	return subtle.ConstantTimeCompare([]byte(c.secret), []byte(secret)) == 1
}

// revokeToken ends the grant of a refresh token, and so every token that came of
// it. An unknown token is as good as revoked (RFC 7009).
func (p *Pool) revokeToken(_ string, in input) (any, error) {
	c, err := client(in.ClientID)
	switch {
	case err != nil:
		return nil, err
	case in.Token == "":
		return nil, missingMember("token")
	case !c.secretIs(in.ClientSecret):
		return nil, apiErr("UnauthorizedException", "Invalid client secret")
	case strings.Count(in.Token, ".") == 2:
		return nil, apiErr("UnsupportedTokenTypeException", "Only refresh tokens can be revoked")
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	g := p.grantOf(hashToken(in.Token))
	switch {
	case g == nil:
		return struct{}{}, nil
	case g.Client != c.id:
		return nil, apiErr("UnauthorizedException", "The token was issued to another client")
	}
	g.Revoked = true
	return struct{}{}, p.save()
}

// globalSignOut revokes every grant of the access token's user. ID tokens
// that were issued stay valid for the API until they expire, as with AWS.
func (p *Pool) globalSignOut(_ string, in input) (any, error) {
	a, _, err := p.ownerOf(in.AccessToken)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, g := range p.grants {
		g.Revoked = g.Revoked || g.User == a.username
	}
	return struct{}{}, p.save()
}

func (p *Pool) getUser(_ string, in input) (any, error) {
	a, _, err := p.ownerOf(in.AccessToken)
	if err != nil {
		return nil, err
	}
	type attribute struct{ Name, Value string }
	out := struct {
		Username           string
		UserAttributes     []attribute
		UserMFASettingList []string `json:",omitempty"`
	}{Username: a.username, UserAttributes: []attribute{{"sub", a.sub()}}}
	for name, value := range a.attributes() {
		out.UserAttributes = append(out.UserAttributes, attribute{name, value})
	}
	slices.SortFunc(out.UserAttributes, func(a, b attribute) int { return strings.Compare(a.Name, b.Name) })
	out.UserMFASettingList = a.factors()
	return out, nil
}

// ownerOf finds the user and the sign-in that an access token is of.
func (p *Pool) ownerOf(accessToken string) (*account, *grant, error) {
	if accessToken == "" {
		return nil, nil, missingMember("accessToken")
	}
	c, err := p.verify(accessToken)
	if err != nil || c.TokenUse != "access" {
		return nil, nil, notAuthorized("Invalid Access Token")
	}
	if !hasScope(c.Scope, adminScope) {
		return nil, nil, notAuthorized("Access Token does not have required scopes")
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	a, g := p.accounts[c.Username], p.grants[c.OriginJTI]
	switch {
	case p.now().Unix() >= c.Expires:
		return nil, nil, notAuthorized("Access Token has expired")
	case a == nil || g == nil || g.Revoked:
		return nil, nil, notAuthorized("Access Token has been revoked")
	}
	return a, g, nil
}
