package auth

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/villapay/villapay/internal/sandbox/cognito"
	"github.com/villapay/villapay/internal/secret"
)

const totpSecret = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"

func TestPasswordSignsIn(t *testing.T) {
	t.Parallel()
	const newPassword = "Another1!pass"
	tests := map[string]struct {
		user, client string
		typed        []string // "TOTP" stands for the code of the moment
		asked        []string
		calls        []string
		username     string
	}{
		"SRP":                         {user: "ann", calls: []string{"InitiateAuth", "RespondToAuthChallenge"}},
		"by email":                    {user: " ann@villa.test ", username: "ann"},
		"username is a UUID":          {user: "mai@villa.test", username: "c93a45dc-0071-70a3-2f2e-2b9f4c1d7e10"},
		"confidential client":         {user: "ann", client: cognito.ConfidentialID},
		"confidential, by email":      {user: "mai@villa.test", client: cognito.ConfidentialID, username: "c93a45dc-0071-70a3-2f2e-2b9f4c1d7e10"},
		"password where SRP is off":   {user: "ann", client: cognito.PasswordOnlyID, calls: []string{"InitiateAuth", "InitiateAuth"}},
		"SRP where the password is":   {user: "ann", client: cognito.SRPOnlyID},
		"SMS":                         {user: "sms", typed: []string{" 123 456 "}, asked: []string{"The code sent by SMS to +*******1234: "}},
		"SMS, wrong twice":            {user: "sms", typed: []string{"111111", cognito.ExpiredSMSCode, cognito.SMSCode}, asked: []string{"The code sent by SMS to +*******1234: ", "note: the code is wrong: try again", "The code sent by SMS to +*******1234: ", "note: the code has expired, and no other is sent: press Ctrl-C and sign in again", "The code sent by SMS to +*******1234: "}},
		"authenticator":               {user: "totp", typed: []string{"TOTP"}, asked: []string{"The code from your authenticator app: "}},
		"choice: SMS":                 {user: "both", typed: []string{"0", cognito.SMSCode}, asked: []string{"Which second factor: code sent by SMS, code from your authenticator app", "The code sent by SMS to +*******1234: "}},
		"choice: authenticator":       {user: "both", typed: []string{"1", "TOTP"}},
		"choice: email":               {user: "any", typed: []string{"2", cognito.SMSCode}, asked: []string{"Which second factor: code sent by SMS, code from your authenticator app, code sent by email", "The code sent by email to a***@v***: "}},
		"email":                       {user: "mail", typed: []string{"12345", cognito.SMSCode}, asked: []string{"The code sent by email to m***@v***: ", "note: the code is wrong: try again", "The code sent by email to m***@v***: "}},
		"email, confidential":         {user: "mail", client: cognito.ConfidentialID, typed: []string{cognito.SMSCode}},
		"SMS_OTP":                     {user: "smsotp", typed: []string{cognito.SMSCode}, asked: []string{"The code sent by SMS to +*******1234: "}},
		"new password, an old one":    {user: "history", typed: []string{rightPassword, rightPassword, "Passw0rd!2", "Passw0rd!2", newPassword, newPassword}, asked: []string{"note: this account needs a new password", "(hidden) New password (hidden): ", "(hidden) New password again (hidden): ", "note: the new password was used before: try again", "note: this account needs a new password", "(hidden) New password (hidden): ", "(hidden) New password again (hidden): ", "note: the new password was used before: try again", "note: this account needs a new password", "(hidden) New password (hidden): ", "(hidden) New password again (hidden): "}},
		"confidential with a code":    {user: "sms", client: cognito.ConfidentialID, typed: []string{cognito.SMSCode}},
		"new password":                {user: "newbie", typed: []string{newPassword, newPassword}, asked: []string{"note: this account needs a new password", "(hidden) New password (hidden): ", "(hidden) New password again (hidden): "}},
		"new password, typo, then ok": {user: "newbie", typed: []string{newPassword, "other", newPassword, newPassword}},
		"new password, weak, then ok": {user: "newbie", typed: []string{"short", "short", newPassword, newPassword}, asked: []string{"note: this account needs a new password", "(hidden) New password (hidden): ", "(hidden) New password again (hidden): ", "note: the new password is not good enough for this pool (Password does not conform to policy: Password not long enough): try again", "note: this account needs a new password", "(hidden) New password (hidden): ", "(hidden) New password again (hidden): "}},
		"new password, then a code":   {user: "newtotp", typed: []string{newPassword, newPassword, "TOTP"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, cognito.Options{})
			if test.client != "" {
				b.ClientID = test.client
			}
			if test.client == cognito.ConfidentialID {
				b.ClientSecret = secret.New(cognito.ConfidentialSecret)
			}
			p := &answers{}
			for _, text := range test.typed {
				if text == "TOTP" {
					text = cognito.TOTP(totpSecret, b.clock.now())
				}
				p.typed = append(p.typed, text)
			}
			tokens, err := b.client(p).Password(t.Context(), test.user, secret.New(rightPassword))
			if err != nil {
				t.Fatal(err)
			}
			if test.username == "" {
				test.username = test.user
			}
			if tokens.Username != test.username || tokens.Access.Empty() || tokens.Refresh.Empty() || !tokens.ExpiresAt.Equal(b.clock.now().Add(time.Hour)) {
				t.Errorf("got %+v, want those of %s for an hour", tokens, test.username)
			}
			if status, words := b.pool.Check(tokens.ID.Reveal()); status != 0 {
				t.Errorf("the API says %d %s", status, words)
			}
			if test.asked != nil && !cmp.Equal(p.asked.all, test.asked) {
				t.Errorf("asked (-want +got):\n%s", cmp.Diff(test.asked, p.asked.all))
			}
			if got := b.calls.all[:len(b.calls.all)-1]; test.calls != nil && !cmp.Equal(got, test.calls) {
				t.Errorf("called %v, want %v and the keys", b.calls.all, test.calls)
			}
			if len(p.typed) != 0 || b.warned.String() != "" {
				t.Errorf("%d answers left, warned %q", len(p.typed), b.warned)
			}
		})
	}
}

func TestPasswordRefused(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		user, password, client, clientSecret string
		typed                                []string
		kind                                 Kind
		says                                 []string
	}{
		"wrong password":        {user: "ann", password: "Wr0ng-pass!", kind: Denied, says: []string{"wrong username or password"}},
		"wrong, SRP off":        {user: "ann", password: "Wr0ng-pass!", client: cognito.PasswordOnlyID, kind: Denied, says: []string{"wrong username or password"}},
		"unknown user":          {user: "nobody", kind: Denied, says: []string{"wrong username or password"}},
		"unknown user, SRP off": {user: "nobody", client: cognito.PasswordOnlyID, kind: Denied, says: []string{"wrong username or password"}},
		"locked out":            {user: "locked", kind: Denied, says: []string{"locked for now", "wait 15 minutes", "do not retry"}},
		"disabled":              {user: "disabled", kind: Denied, says: []string{"disabled", "ask an administrator"}},
		"temporary expired":     {user: "expired", kind: Denied, says: []string{"temporary password has expired", "ask an administrator"}},
		"reset required":        {user: "reset", kind: Denied, says: []string{"has to be reset first"}},
		"not confirmed":         {user: "unconf", kind: Denied, says: []string{"not confirmed", "confirm it"}},
		"wrong client secret":   {user: "ann", client: cognito.ConfidentialID, clientSecret: "wrong-client-secret", kind: Config, says: []string{"client secret is wrong (not your password)", "VILLAPAY_CLIENT_SECRET"}},
		"no client secret":      {user: "ann", client: cognito.ConfidentialID, kind: Config, says: []string{"needs its client secret", "set VILLAPAY_CLIENT_SECRET"}},
		"needless secret":       {user: "ann", clientSecret: "some-client-secret", kind: Config, says: []string{"has no secret", "unset VILLAPAY_CLIENT_SECRET"}},
		"unknown client":        {user: "ann", client: "nosuchclient", kind: Config, says: []string{"client_id or region is wrong", "villapay env set auth.client_id CLIENT_ID -e dev"}},
		"three wrong codes":     {user: "sms", typed: []string{"1", "2", "3", "4"}, kind: Denied, says: []string{"the code is wrong", "start again"}},
		"no such factor":        {user: "both", typed: []string{"0", "x"}, kind: Denied, says: []string{"the code is wrong"}},
		"never the same":        {user: "newbie", typed: []string{"a", "b", "c", "d", "e", "f"}, kind: Denied, says: []string{"no new password was chosen"}},
		"never good enough":     {user: "newbie", typed: []string{"a", "a", "b", "b", "c", "c", "d", "d"}, kind: Denied, says: []string{"not good enough", "longer"}},
		"always an old one":     {user: "history", typed: slices.Repeat([]string{rightPassword}, 8), kind: Denied, says: []string{"was used before", "choose one"}},
		"nothing typed":         {user: " ", kind: Denied, says: []string{"needs a username and a password"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, cognito.Options{})
			if test.client != "" {
				b.ClientID = test.client
			}
			b.ClientSecret = secret.New(test.clientSecret)
			if test.password == "" {
				test.password = rightPassword
			}
			p := &answers{typed: test.typed}
			if name == "no such factor" {
				p.typed = []string{"0", "1", "1", "1"}
			}
			_, err := b.client(p).Password(t.Context(), test.user, secret.New(test.password))
			wantError(t, err, test.kind, test.says...)
			for _, hidden := range []string{test.password, test.clientSecret} {
				if hidden != "" && strings.Contains(err.Error(), hidden) {
					t.Errorf("%q shows a secret", err)
				}
			}
			if n := b.calls.count("InitiateAuth"); n > 2 || n == 2 && test.client != cognito.PasswordOnlyID {
				t.Errorf("%d attempts", n)
			}
		})
	}
}

func TestWrongPasswordIsTriedOnce(t *testing.T) {
	t.Parallel()
	b := newBench(t, cognito.Options{})
	for range 4 { // the fifth wrong one would lock
		_, err := b.client(nil).Password(t.Context(), "ann", secret.New("Wr0ng-pass!"))
		wantError(t, err, Denied, "wrong username or password")
	}
	if _, err := b.client(nil).Password(t.Context(), "ann", secret.New(rightPassword)); err != nil {
		t.Errorf("the account is locked after four wrong passwords: %v", err)
	}
}

func TestChallengeWithoutTerminal(t *testing.T) {
	t.Parallel()
	for user, says := range map[string]string{"sms": "a code sent by SMS", "mail": "a code sent by email", "smsotp": "a code sent by SMS", "totp": "authenticator app", "both": "a choice of second factor", "newbie": "a new password"} {
		b := newBench(t, cognito.Options{})
		_, err := b.client(nil).Password(t.Context(), user, secret.New(rightPassword))
		wantError(t, err, NotSignedIn, says, "nobody can be asked here", "VILLAPAY_TOKEN")
	}
}

func TestSessionOfChallengeExpires(t *testing.T) {
	t.Parallel()
	b := newBench(t, cognito.Options{})
	late := &lateAnswers{answers{typed: []string{cognito.SMSCode}}, func() { b.clock.add(4 * time.Minute) }}
	_, err := b.client(late).Password(t.Context(), "sms", secret.New(rightPassword))
	wantError(t, err, Denied, "over 3 minutes", "start again")
}

// lateAnswers thinks for a while before it types.
type lateAnswers struct {
	answers
	think func()
}

func (l *lateAnswers) Line(ctx context.Context, label string) (string, error) {
	l.think()
	return l.answers.Line(ctx, label)
}

func TestPromptInterrupted(t *testing.T) {
	t.Parallel()
	b := newBench(t, cognito.Options{})
	ctx, cancel := context.WithCancel(t.Context())
	p := &lateAnswers{think: cancel}
	if _, err := b.client(interrupted{p}).Password(ctx, "sms", secret.New(rightPassword)); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want the interruption", err)
	}
}

type interrupted struct{ *lateAnswers }

func (i interrupted) Line(ctx context.Context, _ string) (string, error) {
	i.think()
	return "", ctx.Err()
}

func TestServerTextIsMadeVisible(t *testing.T) {
	t.Parallel()
	p := &answers{typed: []string{"1"}}
	c := NewClient(UserPool{}, offline{}, time.Now, p, func(string) {})
	ask, err := c.asker(step{ChallengeName: "SMS_MFA", ChallengeParameters: map[string]string{"CODE_DELIVERY_DESTINATION": "+66\x1b[2J\n\u202e9 ก้"}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ask(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got, want := p.asked.String(), `The code sent by SMS to +66\x1b[2J\n\u202e9 ก้: `; got != want {
		t.Errorf("shows %q, want %q", got, want)
	}
}

// An app client with neither flow is told apart from a wrong password.
func TestNeitherFlowIsOffered(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusBadRequest)
		fmt.Fprint(w, `{"__type":"InvalidParameterException","message":"Auth flow not enabled for this client"}`)
	}))
	t.Cleanup(server.Close)
	pool := UserPool{Env: "dev", Region: "x", UserPoolID: "x_y", ClientID: "c", Endpoint: server.URL}
	_, err := NewClient(pool, http.DefaultTransport, time.Now, nil, func(string) {}).Password(t.Context(), "ann", secret.New("pw"))
	wantError(t, err, Config, "neither by SRP nor by password", "villapay login --web")
}

// The password itself goes only to a pool that says in Cognito's words that it
// has no SRP, never to something that answers in its place.
func TestThePasswordIsNotShownToStrangers(t *testing.T) {
	t.Parallel()
	for _, status := range []int{http.StatusNotFound, http.StatusNotImplemented, http.StatusMethodNotAllowed, http.StatusBadGateway} {
		var sent texts
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			body, _ := io.ReadAll(req.Body)
			sent.add(string(body))
			http.Error(w, "<html>nothing here", status)
		}))
		pool := UserPool{Env: "dev", Region: "x", UserPoolID: "x_y", ClientID: "c", Endpoint: server.URL}
		_, err := NewClient(pool, http.DefaultTransport, time.Now, nil, func(string) {}).Password(t.Context(), "ann", secret.New(rightPassword))
		server.Close()
		wantError(t, err, Unreachable)
		if strings.Contains(sent.String(), rightPassword) {
			t.Errorf("after %d the password itself was sent: %s", status, sent.String())
		}
	}
}

// A server that never stops asking is left, and one that asks nothing too.
func TestOddServers(t *testing.T) {
	t.Parallel()
	for answer, test := range map[string]struct {
		kind Kind
		says string
	}{
		`{}`: {Unreachable, "neither tokens nor a challenge"},
		`{"ChallengeName":"SMS_MFA","ChallengeParameters":{},"Session":"s"}`:                                       {Denied, "keeps asking for more steps"},
		`{"ChallengeName":"SELECT_MFA_TYPE","ChallengeParameters":{},"Session":"s"}`:                               {Unreachable, "names none"},
		`{"ChallengeName":"PASSWORD_VERIFIER","ChallengeParameters":{"SALT":"x"}}`:                                 {Unreachable, "SRP challenge is invalid"},
		`{"AuthenticationResult":{"AccessToken":"a"}}`:                                                             {Config, "there is no ID token"},
		`{"AuthenticationResult":{"IdToken":"a.b.c","NewDeviceMetadata":{"DeviceKey":"d"}},"ChallengeName":"SMS"}`: {Config, "not base64"},
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, answer) }))
		pool := UserPool{Env: "dev", Region: "x", UserPoolID: "x_y", ClientID: "c", Endpoint: server.URL}
		p := &answers{typed: slices.Repeat([]string{"123456"}, 20)}
		_, err := NewClient(pool, http.DefaultTransport, time.Now, p, func(string) {}).Password(t.Context(), "ann", secret.New("pw"))
		server.Close()
		wantError(t, err, test.kind, test.says)
	}
}

func TestUnknownChallengeIsNamed(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `{"ChallengeName":"MFA_SETUP","ChallengeParameters":{},"Session":"s"}`)
	}))
	t.Cleanup(server.Close)
	pool := UserPool{Env: "dev", Region: "x", UserPoolID: "x_y", ClientID: "c", Endpoint: server.URL}
	_, err := NewClient(pool, http.DefaultTransport, time.Now, &answers{}, func(string) {}).Password(t.Context(), "ann", secret.New("pw"))
	wantError(t, err, Denied, "MFA_SETUP", "villapay login --web")
}

func TestRequiredAttributesAreAsked(t *testing.T) {
	t.Parallel()
	p := &answers{typed: []string{"pw", "pw", "Ann"}}
	c := NewClient(UserPool{}, offline{}, time.Now, p, func(string) {})
	got, err := c.askNewPassword(`["userAttributes.given_name"]`)(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if want := map[string]string{"NEW_PASSWORD": "pw", "userAttributes.given_name": "Ann"}; !cmp.Equal(got, want) {
		t.Error(cmp.Diff(want, got))
	}
}
