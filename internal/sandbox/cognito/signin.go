package cognito

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"time"

	"github.com/google/uuid"
)

// authOutput answers InitiateAuth and RespondToAuthChallenge: either tokens or
// one more challenge.
type authOutput struct {
	AuthenticationResult *tokens           `json:",omitempty"`
	ChallengeName        string            `json:",omitempty"`
	ChallengeParameters  map[string]string `json:"ChallengeParameters"`
	Session              string            `json:",omitempty"`
}

func (p *Pool) initiateAuth(base string, in input) (any, error) {
	c, err := client(in.ClientID)
	if err != nil {
		return nil, err
	}
	switch in.AuthFlow {
	case "USER_SRP_AUTH":
		return p.startSRP(c, in.AuthParameters)
	case "USER_PASSWORD_AUTH":
		return p.signInByPassword(base, c, in.AuthParameters)
	case "REFRESH_TOKEN_AUTH", "REFRESH_TOKEN":
		return p.refreshAuth(base, c, in.AuthParameters)
	case "USER_AUTH", "CUSTOM_AUTH":
		return nil, invalidParameter(in.AuthFlow + " is not enabled for the client.")
	case "":
		return nil, missingMember("authFlow")
	}
	return nil, invalidParameter("1 validation error detected: Value '" + in.AuthFlow +
		"' at 'authFlow' failed to satisfy constraint: Member must satisfy enum value set: " +
		"[USER_SRP_AUTH, REFRESH_TOKEN_AUTH, REFRESH_TOKEN, CUSTOM_AUTH, ADMIN_NO_SRP_AUTH, USER_PASSWORD_AUTH, ADMIN_USER_PASSWORD_AUTH, USER_AUTH]")
}

func (p *Pool) signInByPassword(base string, c appClient, params map[string]string) (any, error) {
	if c.noPassword {
		return nil, invalidParameter("USER_PASSWORD_AUTH flow not enabled for this client")
	}
	if err := require(params, "USERNAME", "PASSWORD"); err != nil {
		return nil, err
	}
	if err := checkSecretHash(c, params, params["USERNAME"]); err != nil {
		return nil, err
	}
	a, err := p.checkPassword(params["USERNAME"], params["PASSWORD"])
	if err != nil {
		return nil, err
	}
	return p.nextStep(base, c, a)
}

// checkPassword finds the account that a name and a password belong to.
func (p *Pool) checkPassword(name, password string) (*account, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	a := p.find(name)
	if a == nil {
		return nil, wrongPassword()
	}
	if err := a.blocked(); err != nil {
		return nil, err
	}
	return a, a.attempt(p.now(), subtle.ConstantTimeCompare([]byte(a.password), []byte(password)) == 1)
}

// startSRP sends an unknown user a challenge that no password answers, so that
// names cannot be guessed (AWS: PreventUserExistenceErrors).
func (p *Pool) startSRP(c appClient, params map[string]string) (any, error) {
	if c.noSRP {
		return nil, invalidParameter("USER_SRP_AUTH is not enabled for the client.")
	}
	name := params["USERNAME"]
	if err := require(params, "USERNAME"); err != nil {
		return nil, err
	}
	if err := checkSecretHash(c, params, name); err != nil {
		return nil, err
	}
	publicA, err := parseSRPA(params["SRP_A"])
	if err != nil {
		return nil, err
	}
	user, password := name, uuid.NewString()
	p.mu.Lock()
	a := p.find(name)
	if a != nil {
		user, password, err = a.username, a.password, a.blocked()
	}
	p.mu.Unlock()
	if err != nil {
		return nil, err
	}
	return p.offerSRP(c, a, newExchange(user, password, publicA))
}

func (p *Pool) offerSRP(c appClient, a *account, e exchange) (any, error) {
	block := base64.StdEncoding.EncodeToString(randomBytes(864))
	err := p.addSession(block, &session{client: c.id, account: a, challenge: "PASSWORD_VERIFIER", srp: e})
	if err != nil {
		return nil, err
	}
	// AWS sends no Session here: the secret block is what ties the two calls.
	return authOutput{ChallengeName: "PASSWORD_VERIFIER", ChallengeParameters: map[string]string{
		"SALT":            e.salt.Text(16),
		"SRP_B":           e.publicB.Text(16),
		"SECRET_BLOCK":    block,
		"USERNAME":        e.user,
		"USER_ID_FOR_SRP": e.user,
	}}, nil
}

func (p *Pool) finishSRP(base string, c appClient, responses map[string]string) (any, error) {
	err := require(responses, "USERNAME", "PASSWORD_CLAIM_SECRET_BLOCK", "PASSWORD_CLAIM_SIGNATURE", "TIMESTAMP")
	if err != nil {
		return nil, err
	}
	block, signature, err := decodeClaim(responses)
	if err != nil {
		return nil, err
	}
	s := p.takeExchange(c, responses)
	if s == nil {
		return nil, wrongPassword()
	}
	if err := checkSecretHash(c, responses, s.srp.user); err != nil {
		return nil, err
	}
	timestamp := responses["TIMESTAMP"]
	if err := checkTimestamp(timestamp, p.now()); err != nil {
		return nil, err
	}
	right := hmac.Equal(signature, s.srp.signature(block, timestamp))
	if s.account == nil {
		return nil, wrongPassword()
	}
	p.mu.Lock()
	err = s.account.attempt(p.now(), right)
	p.mu.Unlock()
	if err != nil {
		return nil, err
	}
	return p.nextStep(base, c, s.account)
}

func decodeClaim(responses map[string]string) (block, signature []byte, err error) {
	block, err = base64.StdEncoding.DecodeString(responses["PASSWORD_CLAIM_SECRET_BLOCK"])
	if err == nil {
		signature, err = base64.StdEncoding.DecodeString(responses["PASSWORD_CLAIM_SIGNATURE"])
	}
	if err != nil {
		return nil, nil, invalidParameter("Invalid base64 in the password claim")
	}
	return block, signature, nil
}

// nextStep asks for what the account still has to give, or signs it in. Its
// password has been proved.
func (p *Pool) nextStep(base string, c appClient, a *account) (any, error) {
	p.mu.Lock()
	err, mustChange := a.blockedLate(), a.mustChange
	p.mu.Unlock()
	factors := a.factors()
	switch {
	case err != nil:
		return nil, err
	case mustChange:
		return p.challenge(c, a, "NEW_PASSWORD_REQUIRED")
	case len(factors) > 1:
		return p.challenge(c, a, "SELECT_MFA_TYPE")
	case len(factors) == 1:
		return p.challenge(c, a, factors[0])
	}
	return p.signIn(base, c, a)
}

func (p *Pool) signIn(base string, c appClient, a *account) (any, error) {
	g := grant{Scope: adminScope}
	if a.devices != deviceUnknown {
		g.Device = Region + "_" + uuid.NewString()
	}
	result, err := p.newTokens(base, c, a, g, "")
	if err != nil {
		return nil, err
	}
	if g.Device != "" {
		result.NewDeviceMetadata = &newDevice{deviceGroup, g.Device}
	}
	return authOutput{AuthenticationResult: &result, ChallengeParameters: map[string]string{}}, nil
}

// blocked and blockedLate return why the account cannot sign in, before its
// password is checked and after. AWS reports an unconfirmed user without a
// password.
func (a *account) blocked() error {
	switch {
	case a.unconfirmed:
		return apiErr("UserNotConfirmedException", "User is not confirmed.")
	case a.disabled:
		return notAuthorized("User is disabled.")
	}
	return nil
}

func (a *account) blockedLate() error {
	switch {
	case a.resetRequired:
		return apiErr("PasswordResetRequiredException", "Password reset required for the user")
	case a.passwordStale:
		return notAuthorized("Temporary password has expired and must be reset by an administrator.")
	}
	return nil
}

// attempt counts wrong passwords as AWS says it does: the fifth in a row locks
// for a second, each later one for twice as long up to 15 minutes; 15 quiet
// minutes forget them; attempts while locked do not count. The caller holds
// p.mu.
func (a *account) attempt(now time.Time, right bool) error {
	const most = 15 * time.Minute
	if now.Before(a.lockedUntil) {
		return notAuthorized("Password attempts exceeded")
	}
	if right || now.Sub(a.lastFailure) > most {
		a.failures = 0
	}
	if right {
		return nil
	}
	a.failures++
	a.lastFailure = now
	if a.failures >= 5 {
		a.lockedUntil = now.Add(min(time.Second<<min(a.failures-5, 10), most))
	}
	return wrongPassword()
}

func wrongPassword() error { return notAuthorized("Incorrect username or password.") }

// checkSecretHash wants base64(HMAC-SHA256(secret, one of names + client ID))
// of a confidential client.
func checkSecretHash(c appClient, params map[string]string, names ...string) error {
	got := params["SECRET_HASH"]
	switch {
	case c.secret == "" && got == "":
		return nil
	case c.secret == "":
		return invalidParameter("App client " + c.id + " is not configured for secret but secret hash was received")
	case got == "":
		return notAuthorized("Client " + c.id + " is configured with secret but SECRET_HASH was not received")
	}
	for _, name := range names {
		mac := hmac.New(sha256.New, []byte(c.secret))
		mac.Write([]byte(name + c.id))
		if hmac.Equal([]byte(got), []byte(base64.StdEncoding.EncodeToString(mac.Sum(nil)))) {
			return nil
		}
	}
	return wrongSecret(c)
}

func wrongSecret(c appClient) error {
	return notAuthorized("Unable to verify secret hash for client " + c.id)
}

func require(params map[string]string, names ...string) error {
	for _, name := range names {
		if params[name] == "" {
			return missingParameter(name)
		}
	}
	return nil
}
