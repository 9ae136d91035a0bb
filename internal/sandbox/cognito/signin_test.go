package cognito

import (
	"encoding/base64"
	"maps"
	"testing"
	"time"
)

const (
	wrongText   = "Incorrect username or password."
	notAllowed  = "NotAuthorizedException"
	badParam    = "InvalidParameterException"
	lockedText  = "Password attempts exceeded"
	noHashText  = "Client villapay-confidential is configured with secret but SECRET_HASH was not received"
	badHashText = "Unable to verify secret hash for client villapay-confidential"
)

// Everybody who needs nothing but a password gets in, both ways, with each
// client that allows it, and by email as by name.
func TestSignIn(t *testing.T) {
	t.Parallel()
	p, _ := newPool(t, Options{})
	for _, c := range appClients() {
		a := newApp(t, p, c.id)
		for _, name := range []string{"ann", "ann@villa.test", "ANN@villa.test", "mai@villa.test", "visitor"} {
			if !c.noSRP {
				a.signedIn(a.srpFlow(name, password))
			}
			if !c.noPassword {
				a.signedIn(a.password(name, password))
			}
		}
	}
}

// Every listed user answers as the note for people says.
func TestListedUsers(t *testing.T) {
	t.Parallel()
	want := map[string]string{
		"ann": "", "mai@villa.test": "", "visitor": "", "totp": "SOFTWARE_TOKEN_MFA", "sms": "SMS_MFA", "both": "SELECT_MFA_TYPE",
		"mail": "EMAIL_OTP", "smsotp": "SMS_OTP", "any": "SELECT_MFA_TYPE", "device": "", "device2": "", "history": "NEW_PASSWORD_REQUIRED",
		"newbie": "NEW_PASSWORD_REQUIRED", "newtotp": "NEW_PASSWORD_REQUIRED",
		"reset": "PasswordResetRequiredException Password reset required for the user", "unconf": "UserNotConfirmedException User is not confirmed.",
		"disabled": notAllowed + " User is disabled.", "locked": notAllowed + " " + lockedText,
		"expired": notAllowed + " Temporary password has expired and must be reset by an administrator.",
	}
	for _, u := range Users() {
		p, _ := newPool(t, Options{})
		a := newApp(t, p, ClientID)
		if u.Note == "" || u.Password == "" {
			t.Errorf("%s: nothing said about it", u.Name)
		}
		for flow, out := range map[string]answer{"SRP": a.srpFlow(u.Name, u.Password), "password": a.password(u.Name, u.Password)} {
			got := out.ChallengeName
			if out.Type != "" {
				got = out.Type + " " + out.Message
			}
			if w, ok := want[u.Name]; !ok || got != w || w == "" && out.AuthenticationResult == nil {
				t.Errorf("%s by %s: %q, want %q", u.Name, flow, got, w)
			}
		}
		delete(want, u.Name)
	}
	if len(want) > 0 {
		t.Errorf("not listed: %v", want)
	}
}

func TestWrongPassword(t *testing.T) {
	t.Parallel()
	p, _ := newPool(t, Options{})
	a := newApp(t, p, ClientID)
	for _, name := range []string{"ann", "nobody", "totp", "c93a45dc-0071-70a3-2f2e-2b9f4c1d7e10"} {
		wantError(t, a.srpFlow(name, "wrong"), notAllowed, wrongText)
		wantError(t, a.password(name, "wrong"), notAllowed, wrongText)
	}
	// An unknown user cannot be told by the challenge either.
	first, _ := a.srpClaim("nobody", password)
	if p := first.ChallengeParameters; p["SALT"] == "" || p["USER_ID_FOR_SRP"] != "nobody" {
		t.Errorf("challenge for an unknown user: %v", p)
	}
	again, _ := a.srpClaim("nobody", password)
	if first.ChallengeParameters["SALT"] != again.ChallengeParameters["SALT"] {
		t.Error("an unknown user's salt changes, a known one's does not")
	}
}

func TestFlowsAndParameters(t *testing.T) {
	t.Parallel()
	p, _ := newPool(t, Options{})
	user := map[string]string{"USERNAME": "ann", "PASSWORD": password, "SRP_A": "abc"}
	without := func(name string) map[string]string {
		params := maps.Clone(user)
		delete(params, name)
		return params
	}
	for _, test := range []struct {
		client, flow  string
		params        map[string]string
		kind, message string
	}{
		{PasswordOnlyID, "USER_SRP_AUTH", user, badParam, "USER_SRP_AUTH is not enabled for the client."},
		{SRPOnlyID, "USER_PASSWORD_AUTH", user, badParam, "USER_PASSWORD_AUTH flow not enabled for this client"},
		{ClientID, "USER_AUTH", user, badParam, "USER_AUTH is not enabled for the client."},
		{ClientID, "", user, badParam, "1 validation error detected: Value null at 'authFlow' failed to satisfy constraint: Member must not be null"},
		{"", "USER_SRP_AUTH", user, badParam, "1 validation error detected: Value null at 'clientId' failed to satisfy constraint: Member must not be null"},
		{"other", "USER_SRP_AUTH", user, "ResourceNotFoundException", "User pool client other does not exist."},
		{ClientID, "USER_SRP_AUTH", without("USERNAME"), badParam, "Missing required parameter USERNAME"},
		{ClientID, "USER_SRP_AUTH", without("SRP_A"), badParam, "Missing required parameter SRP_A"},
		{ClientID, "USER_SRP_AUTH", map[string]string{"USERNAME": "ann", "SRP_A": "0"}, badParam, "Invalid SRP_A"},
		{ClientID, "USER_PASSWORD_AUTH", nil, badParam, "Missing required parameter USERNAME"},
		{ClientID, "USER_PASSWORD_AUTH", without("PASSWORD"), badParam, "Missing required parameter PASSWORD"},
		{ClientID, "REFRESH_TOKEN_AUTH", user, badParam, "Missing required parameter REFRESH_TOKEN"},
		{ConfidentialID, "USER_SRP_AUTH", user, notAllowed, noHashText},
		{ConfidentialID, "USER_PASSWORD_AUTH", user, notAllowed, noHashText},
	} {
		wantError(t, newApp(t, p, test.client).initiate(test.flow, test.params), test.kind, test.message)
	}
	out := newApp(t, p, ClientID).initiate("NONSENSE", user)
	if out.Type != badParam {
		t.Errorf("unknown flow: %s %s", out.Type, out.Message)
	}
}

func TestSecretHash(t *testing.T) {
	t.Parallel()
	p, _ := newPool(t, Options{})
	a := newApp(t, p, ConfidentialID)

	// Signing in by alias: the first hash is over what was typed, the second
	// over USER_ID_FOR_SRP.
	first, claim := a.srpClaim("ann@villa.test", password)
	claim["SECRET_HASH"], claim["USERNAME"] = a.hash("ann@villa.test"), "ann@villa.test"
	out := a.call("RespondToAuthChallenge", map[string]any{
		"ClientId": a.id, "ChallengeName": first.ChallengeName, "ChallengeResponses": claim,
	})
	wantError(t, out, notAllowed, badHashText)
	tokens := a.signedIn(a.srpFlow("ann@villa.test", password)).AuthenticationResult

	for name, message := range map[string]string{"": noHashText, "other": badHashText, "ann": badHashText} {
		params := map[string]string{"USERNAME": "ann", "PASSWORD": password}
		if name != "" {
			params["SECRET_HASH"] = newApp(t, p, ConfidentialID).hash(name)
		}
		if name == "ann" {
			params["SECRET_HASH"] = app{t: t, id: a.id, secret: "wrong"}.hash(name)
		}
		wantError(t, a.initiate("USER_PASSWORD_AUTH", params), notAllowed, message)
	}

	// A refresh takes the hash over the username or the sub, never the alias.
	sub := payload(t, tokens.IdToken).Subject
	for name, good := range map[string]bool{"ann": true, sub: true, "ann@villa.test": false} {
		out := a.initiate("REFRESH_TOKEN_AUTH", map[string]string{"REFRESH_TOKEN": tokens.RefreshToken, "SECRET_HASH": a.hash(name)})
		if good {
			a.signedIn(out)
		} else {
			wantError(t, out, notAllowed, badHashText)
		}
	}
	a.signedIn(a.refresh(tokens.RefreshToken))
	a.secret = "wrong"
	wantError(t, a.refresh(tokens.RefreshToken), notAllowed, badHashText)
	a.secret = ""
	wantError(t, a.refresh(tokens.RefreshToken), notAllowed, badHashText)

	public := newApp(t, p, ClientID)
	public.secret = "none is set"
	wantError(t, public.password("ann", password), badParam,
		"App client villapay-sandbox is not configured for secret but secret hash was received")
}

func TestSRPProof(t *testing.T) {
	t.Parallel()
	p, c := newPool(t, Options{})
	a := newApp(t, p, ClientID)
	for name, spoil := range map[string]func(map[string]string){
		"signature": func(r map[string]string) {
			r["PASSWORD_CLAIM_SIGNATURE"] = base64.StdEncoding.EncodeToString(make([]byte, 32))
		},
		"empty signature": func(r map[string]string) { r["PASSWORD_CLAIM_SIGNATURE"] = "AA==" },
		"secret block":    func(r map[string]string) { r["PASSWORD_CLAIM_SECRET_BLOCK"] = "AAAA" },
		"timestamp":       func(r map[string]string) { r["TIMESTAMP"] = p.now().Add(time.Second).Format(awsTime) },
		"old timestamp":   func(r map[string]string) { r["TIMESTAMP"] = p.now().Add(-6 * time.Minute).Format(awsTime) },
	} {
		first, claim := a.srpClaim("ann", password)
		spoil(claim)
		t.Log(name)
		wantError(t, a.respond(first, claim), notAllowed, wrongText)
		p.accounts["ann"].failures = 0
	}
	for _, name := range []string{"PASSWORD_CLAIM_SIGNATURE", "PASSWORD_CLAIM_SECRET_BLOCK", "TIMESTAMP"} {
		first, claim := a.srpClaim("ann", password)
		delete(claim, name)
		wantError(t, a.respond(first, claim), badParam, "Missing required parameter "+name)
	}

	first, claim := a.srpClaim("ann", password)
	if first.Session != "" {
		t.Error("a Session where AWS sends none")
	}
	wantError(t, newApp(t, p, SRPOnlyID).respond(first, maps.Clone(claim)), notAllowed, wrongText)
	a.signedIn(a.respond(first, maps.Clone(claim)))
	wantError(t, a.respond(first, claim), notAllowed, wrongText) // a proof serves once

	first, claim = a.srpClaim("ann", password)
	c.add(sessionLife + time.Second)
	wantError(t, a.respond(first, claim), notAllowed, wrongText)
}

func TestLockout(t *testing.T) {
	t.Parallel()
	p, c := newPool(t, Options{})
	a := newApp(t, p, ClientID)
	for range 5 {
		wantError(t, a.password("ann", "wrong"), notAllowed, wrongText)
	}
	wantError(t, a.password("ann", password), notAllowed, lockedText) // even the right one
	wantError(t, a.srpFlow("ann", password), notAllowed, lockedText)
	c.add(time.Second)
	wantError(t, a.srpFlow("ann", "wrong"), notAllowed, wrongText) // the sixth: 2 s
	c.add(time.Second)
	wantError(t, a.password("ann", password), notAllowed, lockedText)
	c.add(time.Second)
	a.signedIn(a.password("ann", password)) // which forgets the failures
	for range 4 {
		wantError(t, a.password("ann", "wrong"), notAllowed, wrongText)
	}
	a.signedIn(a.password("ann", password))
}

func TestLockoutEndsAfterQuietQuarter(t *testing.T) {
	t.Parallel()
	a := &account{password: password}
	now := noon
	for i := range 40 {
		if a.lockedUntil.After(now) {
			now = a.lockedUntil
		}
		if err := a.attempt(now, false); err.Error() != wrongPassword().Error() {
			t.Fatal(err)
		}
		want := min(time.Second<<min(max(i-4, 0), 20), 15*time.Minute)
		if lock := a.lockedUntil.Sub(now); i >= 4 && lock != want {
			t.Fatalf("locked for %v after %d failures, want %v", lock, i+1, want)
		}
	}
	now = a.lockedUntil.Add(time.Second)
	if err := a.attempt(now, false); err == nil || a.lockedUntil.After(now) {
		t.Error("failures were not forgotten after a quarter of an hour")
	}
}
