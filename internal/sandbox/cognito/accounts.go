package cognito

import (
	"crypto/sha256"
	"fmt"
	"strings"
	"time"
)

// A User is an account of the sandbox, some of which cannot sign in.
type User struct {
	// Name is what to sign in with, Password what belongs to it.
	Name, Password string
	// TOTPSecret, if any, is the base32 secret for an authenticator app.
	TOTPSecret string
	// Note says in a line what signing in takes.
	Note string
}

const (
	password   = "Passw0rd!"
	totpSecret = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP" //nolint:gosec // everybody may know it
)

// Users lists everybody in the pool. Each can also sign in with
// NAME@villa.test.
func Users() []User {
	var users []User
	for _, a := range seedAccounts() {
		users = append(users, User{a.signInName(), a.password, a.totpSecret, a.note})
	}
	return users
}

// account is a user in the pool. The flags are AWS's user status and MFA
// preferences.
type account struct {
	username, password, totpSecret, note string

	emailOnly     bool // username is a UUID, as in a pool that signs in by email
	disabled      bool
	unconfirmed   bool
	resetRequired bool
	passwordStale bool // the temporary password ran out
	mustChange    bool
	sms           bool
	smsOTP        bool // sms, by its newer name
	emailOTP      bool
	noAccess      bool // signs in, but the API denies it

	oldPasswords []string // which a new one must not be
	devices      devices

	failures    int
	lastFailure time.Time
	lockedUntil time.Time
	lastTOTP    int64 // the time step of the last code: each serves once
}

// devices is what the pool does about the device that a user signs in from. In AWS
// it is a setting of the whole pool.
type devices int

const (
	deviceUnknown devices = iota // nothing
	deviceKept                   // remembers it once it is confirmed
	deviceAsks                   // leaves it to the user as well
)

func seedAccounts() []*account {
	const mailUser = "c93a45dc-0071-70a3-2f2e-2b9f4c1d7e10"
	never := time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)
	return []*account{
		{username: "ann", password: password, note: "nothing else"},
		{username: mailUser, password: password, emailOnly: true, note: "nothing else; signs in only by email, her username is a UUID"},
		{username: "totp", password: password, totpSecret: totpSecret, note: "a code from an authenticator app"},
		{username: "sms", password: password, sms: true, note: "the code " + SMSCode + " from a text message; " + ExpiredSMSCode + " is a code that came too late"},
		{username: "both", password: password, totpSecret: totpSecret, sms: true, note: "a choice between app and text message, then the code"},
		{username: "mail", password: password, emailOTP: true, note: "the code " + SMSCode + " from an email"},
		{username: "smsotp", password: password, smsOTP: true, note: "the code " + SMSCode + " from a text message, as the challenge SMS_OTP"},
		{username: "any", password: password, totpSecret: totpSecret, sms: true, emailOTP: true, note: "a choice of app, text message and email, then the code"},
		{username: "device", password: password, devices: deviceKept, note: "nothing else, but its pool remembers devices"},
		{username: "device2", password: password, devices: deviceAsks, note: "nothing else, but its pool asks whether to remember the device"},
		{username: "history", password: password, mustChange: true, oldPasswords: []string{password, "Passw0rd!2"}, note: "a new password, neither " + password + " nor Passw0rd!2"},
		{username: "newbie", password: password, mustChange: true, note: "a new password"},
		{username: "newtotp", password: password, mustChange: true, totpSecret: totpSecret, note: "a new password, then a code from an authenticator app"},
		{username: "visitor", password: password, noAccess: true, note: "nothing else, but the API answers 403"},
		{username: "reset", password: password, resetRequired: true, note: "denied: the password must be reset"},
		{username: "unconf", password: password, unconfirmed: true, note: "denied: the account is not confirmed"},
		{username: "disabled", password: password, disabled: true, note: "denied: the account is disabled"},
		{username: "expired", password: password, passwordStale: true, note: "denied: the temporary password has expired"},
		{username: "locked", password: password, lockedUntil: never, note: "denied: too many wrong passwords"},
	}
}

// find returns the account that name signs in to, by username or email; nil
// if there is none. The caller holds p.mu.
func (p *Pool) find(name string) *account {
	if a := p.accounts[name]; a != nil && !a.emailOnly {
		return a
	}
	for _, a := range p.accounts {
		if strings.EqualFold(name, a.email()) {
			return a
		}
	}
	return nil
}

func (a *account) email() string {
	if a.emailOnly {
		return "mai@villa.test"
	}
	return a.username + "@villa.test"
}

func (a *account) signInName() string {
	if a.emailOnly {
		return a.email()
	}
	return a.username
}

// sub is the user's UUID: a username that is one already, or one made of it.
func (a *account) sub() string {
	if a.emailOnly {
		return a.username
	}
	h := sha256.Sum256([]byte("sub " + a.username))
	return fmt.Sprintf("%x-%x-70%x-a0%x-%x", h[:4], h[4:6], h[6:7], h[7:8], h[8:14])
}

// factors are what the account asks for after the password, by Cognito's names.
func (a *account) factors() (names []string) {
	for _, f := range []struct {
		name string
		on   bool
	}{{"SMS_MFA", a.sms}, {"SOFTWARE_TOKEN_MFA", a.totpSecret != ""}, {"EMAIL_OTP", a.emailOTP}, {"SMS_OTP", a.smsOTP}} {
		if f.on {
			names = append(names, f.name)
		}
	}
	return names
}

func (a *account) phone() string {
	if a.sms || a.smsOTP {
		return "+66810001234"
	}
	return ""
}

// appClient is an app client of the pool: the rules that one application signs in
// by.
type appClient struct {
	id, secret string // a secret makes it confidential

	noSRP, noPassword bool
	rotates           bool          // a refresh makes the old refresh token useless
	grace             time.Duration // until it does
	tokens, refresh   time.Duration // lifetimes
}

// The app clients of the pool, by client_id.
const (
	ClientID           = "villapay-sandbox"
	ConfidentialID     = "villapay-confidential"
	ConfidentialSecret = "sandbox-client-secret"
	PasswordOnlyID     = "villapay-password"
	SRPOnlyID          = "villapay-srp"
	RotatingID         = "villapay-rotating"
	GraceID            = "villapay-grace"
	ShortLivedID       = "villapay-shortlived"
)

func appClients() []appClient {
	const hour, month = time.Hour, 30 * 24 * time.Hour
	return []appClient{
		{id: ClientID, tokens: hour, refresh: month},
		{id: ConfidentialID, secret: ConfidentialSecret, tokens: hour, refresh: month},
		{id: PasswordOnlyID, noSRP: true, tokens: hour, refresh: month},
		{id: SRPOnlyID, noPassword: true, tokens: hour, refresh: month},
		{id: RotatingID, rotates: true, tokens: hour, refresh: month},
		{id: GraceID, rotates: true, grace: 10 * time.Second, tokens: hour, refresh: month},
		{id: ShortLivedID, tokens: 5 * time.Second, refresh: time.Minute},
	}
}

// client finds an app client. The error is AWS's.
func client(id string) (appClient, error) {
	if id == "" {
		return appClient{}, missingMember("clientId")
	}
	for _, c := range appClients() {
		if c.id == id {
			return c, nil
		}
	}
	return appClient{}, apiErr("ResourceNotFoundException", "User pool client "+id+" does not exist.")
}
