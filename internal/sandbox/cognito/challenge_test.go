package cognito

import (
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
)

const (
	badSession     = "Invalid session for the user."
	usedSession    = "Invalid session for the user, session can only be used once."
	expiredSession = "Invalid session for the user, session is expired."
	badCode        = "Invalid code or auth state for the user."
)

func TestTOTPOfRFC6238(t *testing.T) {
	t.Parallel()
	const secret = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ" // the RFC's, base32
	for at, want := range map[int64]string{
		59: "287082", 1111111109: "081804", 1111111111: "050471", 1234567890: "005924", 2000000000: "279037", 20000000000: "353130",
	} {
		if got := TOTP(secret, time.Unix(at, 0)); got != want {
			t.Errorf("TOTP at %d = %s, want %s", at, got, want)
		}
	}
	if got := TOTP("not base32!", noon); got != "" {
		t.Errorf("TOTP of nonsense = %s", got)
	}
}

func TestSoftwareToken(t *testing.T) {
	t.Parallel()
	p, c := newPool(t, Options{})
	a := newApp(t, p, ConfidentialID)
	code := func(d time.Duration) map[string]string {
		return map[string]string{"SOFTWARE_TOKEN_MFA_CODE": TOTP(totpSecret, p.now().Add(d))}
	}
	first := a.srpFlow("totp", password)
	if first.ChallengeName != "SOFTWARE_TOKEN_MFA" || len(first.Session) < 20 {
		t.Fatalf("challenge %+v", first)
	}
	for _, d := range []time.Duration{-time.Minute, time.Minute} {
		wantError(t, a.respond(first, code(d)), "CodeMismatchException", "Invalid code received for user")
	}
	stranger := a
	stranger.secret = "wrong"
	wantError(t, stranger.respond(first, code(0)), notAllowed, badHashText)
	a.signedIn(a.respond(first, code(0)))

	used := "Your software token has already been used once."
	wantError(t, a.respond(a.password("totp", password), code(0)), "ExpiredCodeException", used)
	a.signedIn(a.respond(a.password("totp", password), code(30*time.Second)))
	c.add(time.Minute)
	a.signedIn(a.respond(a.password("totp", password), code(0)))
	wantError(t, a.respond(first, map[string]string{}), notAllowed, usedSession)
	wantError(t, a.respond(a.password("totp", password), map[string]string{}), badParam, "Missing required parameter SOFTWARE_TOKEN_MFA_CODE")
}

func TestTextMessage(t *testing.T) {
	t.Parallel()
	p, _ := newPool(t, Options{})
	a := newApp(t, p, ClientID)
	sms := func(code string) map[string]string { return map[string]string{"SMS_MFA_CODE": code} }
	first := a.srpFlow("sms", password)
	if to := first.ChallengeParameters["CODE_DELIVERY_DESTINATION"]; to != "+*******1234" {
		t.Errorf("sent to %q", to)
	}
	wantError(t, a.respond(first, sms("000000")), "CodeMismatchException", badCode)
	wantError(t, a.respond(first, sms(ExpiredSMSCode)), "ExpiredCodeException", "Invalid code provided, please request a code again.")
	wantError(t, a.respond(first, sms("")), badParam, "Missing required parameter SMS_MFA_CODE")
	a.signedIn(a.respond(first, sms(SMSCode)))

	second := a.srpFlow("sms", password)
	for range maxTries {
		wantError(t, a.respond(second, sms("000000")), "CodeMismatchException", badCode)
	}
	wantError(t, a.respond(second, sms(SMSCode)), notAllowed, usedSession)
}

func TestChoiceOfMFA(t *testing.T) {
	t.Parallel()
	p, _ := newPool(t, Options{})
	a := newApp(t, p, ClientID)
	first := a.srpFlow("both", password)
	if got := first.ChallengeParameters["MFAS_CAN_CHOOSE"]; got != `["SMS_MFA","SOFTWARE_TOKEN_MFA"]` {
		t.Errorf("choice of %s", got)
	}
	wantError(t, a.respond(first, map[string]string{"ANSWER": "PIGEON"}), badParam, "Invalid MFA type PIGEON")
	wantError(t, a.respond(first, map[string]string{}), badParam, "Missing required parameter ANSWER")
	second := a.respond(first, map[string]string{"ANSWER": "SMS_MFA"})
	wantError(t, a.respond(first, map[string]string{"ANSWER": "SMS_MFA"}), notAllowed, usedSession)
	a.signedIn(a.respond(second, map[string]string{"SMS_MFA_CODE": SMSCode}))

	second = a.respond(a.srpFlow("both", password), map[string]string{"ANSWER": "SOFTWARE_TOKEN_MFA"})
	a.signedIn(a.respond(second, map[string]string{"SOFTWARE_TOKEN_MFA_CODE": TOTP(totpSecret, p.now())}))
}

func TestNewPassword(t *testing.T) {
	t.Parallel()
	const better = "B3tter-than-that"
	p, _ := newPool(t, Options{})
	a := newApp(t, p, ClientID)
	first := a.srpFlow("newbie", password)
	if want := `{"email":"newbie@villa.test","email_verified":"true"}`; first.ChallengeParameters["userAttributes"] != want {
		t.Errorf("attributes %s", first.ChallengeParameters["userAttributes"])
	}
	if got := first.ChallengeParameters["requiredAttributes"]; got != "[]" {
		t.Errorf("required attributes %s", got)
	}
	for weak, why := range map[string]string{
		"Sh0rt!": "Password not long enough", "nouppercase1!": "Password must have uppercase characters",
		"NOLOWERCASE1!": "Password must have lowercase characters", "NoNumber!": "Password must have numeric characters",
		"NoSymbol1": "Password must have symbol characters",
	} {
		out := a.respond(first, map[string]string{"NEW_PASSWORD": weak})
		wantError(t, out, "InvalidPasswordException", "Password does not conform to policy: "+why)
	}
	wantError(t, a.respond(first, map[string]string{}), badParam, "Missing required parameter NEW_PASSWORD")
	a.signedIn(a.respond(first, map[string]string{"NEW_PASSWORD": better}))
	wantError(t, a.respond(first, map[string]string{"NEW_PASSWORD": better}), notAllowed, usedSession)
	wantError(t, a.srpFlow("newbie", password), notAllowed, wrongText)
	a.signedIn(a.srpFlow("newbie", better))

	// A second step follows where there is one.
	second := a.respond(a.srpFlow("newtotp", password), map[string]string{"NEW_PASSWORD": better})
	a.signedIn(a.respond(second, map[string]string{"SOFTWARE_TOKEN_MFA_CODE": TOTP(totpSecret, p.now())}))
}

func TestSessions(t *testing.T) {
	t.Parallel()
	p, c := newPool(t, Options{})
	a := newApp(t, p, ClientID)
	right := func() map[string]string { return map[string]string{"SMS_MFA_CODE": SMSCode} }
	first := a.srpFlow("sms", password)

	for name, out := range map[string]answer{
		"another client":  newApp(t, p, SRPOnlyID).respond(first, right()),
		"unknown session": a.respond(answer{ChallengeName: "SMS_MFA", Session: strings.Repeat("x", 40), ChallengeParameters: first.ChallengeParameters}, right()),
		"another user": a.call("RespondToAuthChallenge", map[string]any{
			"ClientId": a.id, "ChallengeName": "SMS_MFA", "Session": first.Session,
			"ChallengeResponses": map[string]string{"USERNAME": "ann", "SMS_MFA_CODE": SMSCode},
		}),
	} {
		t.Log(name)
		wantError(t, out, notAllowed, badSession)
	}
	other := first
	other.ChallengeName = "SOFTWARE_TOKEN_MFA"
	wantError(t, a.respond(other, right()), "CodeMismatchException", badCode)
	other.ChallengeName, other.Session = "SMS_MFA", ""
	wantError(t, a.respond(other, right()), badParam, "Missing required parameter Session")
	other.ChallengeName = "DEVICE_SRP_AUTH"
	wantError(t, a.respond(other, right()), badParam, "Unsupported challenge DEVICE_SRP_AUTH")
	other.ChallengeName = ""
	wantError(t, a.respond(other, right()), badParam,
		"1 validation error detected: Value null at 'challengeName' failed to satisfy constraint: Member must not be null")

	c.add(sessionLife)
	a.signedIn(a.respond(first, right()))
	first = a.srpFlow("sms", password)
	c.add(sessionLife + time.Second)
	wantError(t, a.respond(first, right()), notAllowed, expiredSession)
	c.add(sessionLife)
	a.srpFlow("sms", password) // sweeps
	wantError(t, a.respond(first, right()), notAllowed, badSession)
}

// One session, answered by many at once, signs in once.
func TestSessionServesOnce(t *testing.T) {
	t.Parallel()
	p, _ := newPool(t, Options{})
	a := newApp(t, p, ClientID)
	first := a.password("sms", password)
	results := make(chan answer)
	for range 8 {
		go func() { results <- a.respond(first, map[string]string{"SMS_MFA_CODE": SMSCode}) }()
	}
	good := 0
	for range 8 {
		if out := <-results; out.AuthenticationResult != nil {
			good++
		}
	}
	if good != 1 {
		t.Errorf("signed in %d times", good)
	}
}

func TestSessionsAreBounded(t *testing.T) {
	t.Parallel()
	p, c := newPool(t, Options{})
	a := newApp(t, p, ClientID)
	for range maxSessions {
		if err := p.addSession(uuid.NewString(), &session{}); err != nil {
			t.Fatal(err)
		}
	}
	wantError(t, a.password("sms", password), "TooManyRequestsException", "Rate exceeded")
	c.add(2*sessionLife + time.Second)
	if out := a.password("sms", password); out.ChallengeName != "SMS_MFA" {
		t.Errorf("after a while still %s", out.Message)
	}
}
