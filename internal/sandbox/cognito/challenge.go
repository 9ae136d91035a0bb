package cognito

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"
	"unicode"
)

const (
	sessionLife = 3 * time.Minute
	maxSessions = 5000
	maxTries    = 3
)

// session is a sign-in between two calls.
type session struct {
	client    string
	account   *account // nil: a user who does not exist, only for SRP
	challenge string
	srp       exchange
	started   time.Time
	tries     int
	used      bool
}

// addSession keeps s under its token. Expired sessions stay for a
// while, since their error differs from that of unknown ones.
func (p *Pool) addSession(token string, s *session) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	s.started = p.now()
	for key, old := range p.sessions {
		if s.started.Sub(old.started) > 2*sessionLife {
			delete(p.sessions, key)
		}
	}
	if len(p.sessions) >= maxSessions {
		return apiErr("TooManyRequestsException", "Rate exceeded")
	}
	p.sessions[token] = s
	return nil
}

// takeExchange ends the SRP exchange that the responses belong to; nil if
// there is none, for this client and user, or not any more.
func (p *Pool) takeExchange(c appClient, responses map[string]string) *session {
	p.mu.Lock()
	defer p.mu.Unlock()
	block, name := responses["PASSWORD_CLAIM_SECRET_BLOCK"], responses["USERNAME"]
	s := p.sessions[block]
	if s == nil || s.challenge != "PASSWORD_VERIFIER" || s.client != c.id {
		return nil
	}
	if name != s.srp.user && p.find(name) != s.account {
		return nil
	}
	delete(p.sessions, block)
	if p.now().Sub(s.started) > sessionLife {
		return nil
	}
	return s
}

// challenge asks for one more proof.
func (p *Pool) challenge(c appClient, a *account, name string) (any, error) {
	token := base64.RawURLEncoding.EncodeToString(randomBytes(660))
	err := p.addSession(token, &session{client: c.id, account: a, challenge: name})
	if err != nil {
		return nil, err
	}
	return authOutput{ChallengeName: name, ChallengeParameters: a.challengeParameters(name), Session: token}, nil
}

func (a *account) challengeParameters(name string) map[string]string {
	params := map[string]string{"USER_ID_FOR_SRP": a.username}
	switch name {
	case "NEW_PASSWORD_REQUIRED":
		attributes, _ := json.Marshal(a.attributes()) // only strings
		params["requiredAttributes"] = "[]"
		params["userAttributes"] = string(attributes)
	case "EMAIL_OTP":
		params["CODE_DELIVERY_DELIVERY_MEDIUM"] = "EMAIL"
		params["CODE_DELIVERY_DESTINATION"] = a.email()[:1] + "***@v***"
	case "SMS_MFA", "SMS_OTP":
		phone := a.phone()
		params["CODE_DELIVERY_DELIVERY_MEDIUM"] = "SMS"
		params["CODE_DELIVERY_DESTINATION"] = "+" + strings.Repeat("*", len(phone)-5) + phone[len(phone)-4:]
	case "SOFTWARE_TOKEN_MFA":
		params["FRIENDLY_DEVICE_NAME"] = "sandbox"
	case "SELECT_MFA_TYPE":
		factors, _ := json.Marshal(a.factors()) // only strings
		params["MFAS_CAN_CHOOSE"] = string(factors)
	}
	return params
}

// attributes are the user's own, without the sub.
func (a *account) attributes() map[string]string {
	attributes := map[string]string{"email": a.email(), "email_verified": "true"}
	if a.phone() != "" {
		attributes["phone_number"] = a.phone()
		attributes["phone_number_verified"] = "true"
	}
	return attributes
}

func (p *Pool) respondToAuthChallenge(base string, in input) (any, error) {
	c, err := client(in.ClientID)
	if err != nil {
		return nil, err
	}
	var check func(*account, map[string]string) error
	switch in.ChallengeName {
	case "PASSWORD_VERIFIER":
		return p.finishSRP(base, c, in.ChallengeResponses)
	case "NEW_PASSWORD_REQUIRED":
		check = changePassword
	case "SELECT_MFA_TYPE":
		check = chooseMFA
	case "SMS_MFA", "SMS_OTP", "EMAIL_OTP":
		check = checkCode(in.ChallengeName + "_CODE")
	case "SOFTWARE_TOKEN_MFA":
		check = p.checkSoftwareToken
	case "":
		return nil, missingMember("challengeName")
	default:
		return nil, invalidParameter("Unsupported challenge " + in.ChallengeName)
	}
	a, err := p.checkAnswer(c, in, check)
	switch {
	case err != nil:
		return nil, err
	case in.ChallengeName == "NEW_PASSWORD_REQUIRED":
		return p.nextStep(base, c, a)
	case in.ChallengeName == "SELECT_MFA_TYPE":
		return p.challenge(c, a, in.ChallengeResponses["ANSWER"])
	}
	return p.signIn(base, c, a)
}

// checkAnswer runs check on the responses to a session's challenge. A session can
// be used once; three wrong codes use it up too.
func (p *Pool) checkAnswer(c appClient, in input, check func(*account, map[string]string) error) (*account, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s, err := p.findSession(c, in)
	if err != nil {
		return nil, err
	}
	err = check(s.account, in.ChallengeResponses)
	var e apiError
	if errors.As(err, &e) && (e.kind == "CodeMismatchException" || e.kind == "ExpiredCodeException") {
		s.tries++
	}
	s.used = err == nil || s.tries >= maxTries
	return s.account, err
}

func (p *Pool) findSession(c appClient, in input) (*session, error) {
	const invalid = "Invalid session for the user"
	if in.Session == "" {
		return nil, missingParameter("Session")
	}
	if err := require(in.ChallengeResponses, "USERNAME"); err != nil {
		return nil, err
	}
	s := p.sessions[in.Session]
	switch {
	case s == nil || s.client != c.id || s.challenge == "PASSWORD_VERIFIER":
		return nil, notAuthorized(invalid + ".")
	case s.used:
		return nil, notAuthorized(invalid + ", session can only be used once.")
	case p.now().Sub(s.started) > sessionLife:
		return nil, notAuthorized(invalid + ", session is expired.")
	}
	name := in.ChallengeResponses["USERNAME"]
	if name != s.account.username && p.find(name) != s.account {
		return nil, notAuthorized(invalid + ".")
	}
	if err := checkSecretHash(c, in.ChallengeResponses, s.account.username); err != nil {
		return nil, err
	}
	if s.challenge != in.ChallengeName {
		return nil, codeMismatch("Invalid code or auth state for the user.")
	}
	return s, nil
}

// checkCode checks the code that was sent to the user.
func checkCode(parameter string) func(*account, map[string]string) error {
	return func(_ *account, responses map[string]string) error {
		switch responses[parameter] {
		case "":
			return missingParameter(parameter)
		case SMSCode:
			return nil
		case ExpiredSMSCode:
			return expiredCode("Invalid code provided, please request a code again.")
		}
		return codeMismatch("Invalid code or auth state for the user.")
	}
}

func (p *Pool) checkSoftwareToken(a *account, responses map[string]string) error {
	if err := require(responses, "SOFTWARE_TOKEN_MFA_CODE"); err != nil {
		return err
	}
	return a.checkTOTP(responses["SOFTWARE_TOKEN_MFA_CODE"], p.now())
}

func chooseMFA(a *account, responses map[string]string) error {
	if err := require(responses, "ANSWER"); err != nil {
		return err
	}
	if !slices.Contains(a.factors(), responses["ANSWER"]) {
		return invalidParameter("Invalid MFA type " + responses["ANSWER"])
	}
	return nil
}

func changePassword(a *account, responses map[string]string) error {
	if err := require(responses, "NEW_PASSWORD"); err != nil {
		return err
	}
	if err := checkPolicy(responses["NEW_PASSWORD"]); err != nil {
		return err
	}
	if slices.Contains(a.oldPasswords, responses["NEW_PASSWORD"]) {
		return apiErr("PasswordHistoryPolicyViolationException", "Password has previously been used.")
	}
	a.password, a.mustChange = responses["NEW_PASSWORD"], false
	return nil
}

// checkPolicy is Cognito's default password policy.
func checkPolicy(password string) error {
	var lower, upper, digit, symbol bool
	for _, r := range password {
		lower = lower || unicode.IsLower(r)
		upper = upper || unicode.IsUpper(r)
		digit = digit || unicode.IsDigit(r)
		symbol = symbol || strings.ContainsRune("^$*.[]{}()?\"!@#%&/\\,><':;|_~`=+- ", r)
	}
	problem := ""
	switch {
	case len(password) < 8:
		problem = "Password not long enough"
	case !upper:
		problem = "Password must have uppercase characters"
	case !lower:
		problem = "Password must have lowercase characters"
	case !digit:
		problem = "Password must have numeric characters"
	case !symbol:
		problem = "Password must have symbol characters"
	default:
		return nil
	}
	return apiErr("InvalidPasswordException", "Password does not conform to policy: "+problem)
}

func codeMismatch(message string) error { return apiErr("CodeMismatchException", message) }

func expiredCode(message string) error { return apiErr("ExpiredCodeException", message) }

func randomBytes(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails (crypto/rand)
	return b
}
