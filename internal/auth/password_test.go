package auth

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
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
		"SMS":                         {user: "sms", typed: []string{" 123 456 "}, asked: []string{"Code sent by SMS to +*******1234: "}},
		"SMS, wrong twice":            {user: "sms", typed: []string{"111111", cognito.ExpiredSMSCode, cognito.SMSCode}, asked: []string{"Code sent by SMS to +*******1234: ", "note: the code is wrong: try again", "Code sent by SMS to +*******1234: ", "note: the code has expired: try again", "Code sent by SMS to +*******1234: "}},
		"authenticator":               {user: "totp", typed: []string{"TOTP"}, asked: []string{"Code from your authenticator app: "}},
		"choice: SMS":                 {user: "both", typed: []string{"0", cognito.SMSCode}, asked: []string{"Which second factor: a code by SMS, a code from your authenticator app", "Code sent by SMS to +*******1234: "}},
		"choice: authenticator":       {user: "both", typed: []string{"1", "TOTP"}},
		"confidential with a code":    {user: "sms", client: cognito.ConfidentialID, typed: []string{cognito.SMSCode}},
		"new password":                {user: "newbie", typed: []string{newPassword, newPassword}, asked: []string{"note: this account needs a new password", "(hidden) New password (hidden): ", "(hidden) New password again (hidden): "}},
		"new password, typo, then ok": {user: "newbie", typed: []string{newPassword, "other", newPassword, newPassword}},
		"new password, weak, then ok": {user: "newbie", typed: []string{"short", "short", newPassword, newPassword}},
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
			told(t, err, test.kind, test.says...)
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
		told(t, err, Denied, "wrong username or password")
	}
	if _, err := b.client(nil).Password(t.Context(), "ann", secret.New(rightPassword)); err != nil {
		t.Errorf("the account is locked after four wrong passwords: %v", err)
	}
}

func TestChallengeWithoutTerminal(t *testing.T) {
	t.Parallel()
	for user, says := range map[string]string{"sms": "a code by SMS", "totp": "authenticator app", "both": "a choice of second factor", "newbie": "a new password"} {
		b := newBench(t, cognito.Options{})
		_, err := b.client(nil).Password(t.Context(), user, secret.New(rightPassword))
		told(t, err, NotSignedIn, says, "no terminal to ask at", "VILLAPAY_TOKEN")
	}
}

func TestSessionOfChallengeExpires(t *testing.T) {
	t.Parallel()
	b := newBench(t, cognito.Options{})
	late := &lateAnswers{answers{typed: []string{cognito.SMSCode}}, func() { b.clock.add(4 * time.Minute) }}
	_, err := b.client(late).Password(t.Context(), "sms", secret.New(rightPassword))
	told(t, err, Denied, "over 3 minutes", "start again")
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

func TestMissingSettings(t *testing.T) {
	t.Parallel()
	good := Pool{Env: "dev", Region: "ap-southeast-1", UserPoolID: "ap-southeast-1_x", ClientID: "c", Domain: "https://x", CallbackPorts: []int{1}}
	for setting, clear := range map[string]func(*Pool){
		"auth.region":         func(p *Pool) { p.Region = "" },
		"auth.user_pool_id":   func(p *Pool) { p.UserPoolID = "" },
		"auth.client_id":      func(p *Pool) { p.ClientID = "" },
		"auth.domain":         func(p *Pool) { p.Domain = "" },
		"auth.callback_ports": func(p *Pool) { p.CallbackPorts = nil },
	} {
		pool := good
		clear(&pool)
		c := NewClient(pool, offline{}, time.Now, nil, func(string) {})
		_, err := c.Browser(t.Context(), nil, nil)
		told(t, err, Config, "dev has no "+setting, "villapay env set "+setting)
		if setting == "auth.domain" || setting == "auth.callback_ports" {
			continue
		}
		_, err = c.Password(t.Context(), "ann", secret.New("x"))
		told(t, err, Config, "dev has no "+setting)
		_, err = c.Renew(t.Context(), Tokens{})
		told(t, err, Config, "dev has no "+setting)
		told(t, c.Revoke(t.Context(), Tokens{}), Config, setting)
		told(t, c.SignOutEverywhere(t.Context(), Tokens{}), Config, setting)
	}
}

// offline is a network that fails every test which uses it.
type offline struct{}

func (offline) RoundTrip(req *http.Request) (*http.Response, error) {
	return nil, fmt.Errorf("a request left for %s", req.URL)
}

// TestErrorTable reads every answer of the pool that has words of its own.
func TestErrorTable(t *testing.T) {
	t.Parallel()
	tests := []struct {
		status      int
		kind, words string
		want        Kind
		says        []string
	}{
		{400, "NotAuthorizedException", "Incorrect username or password.", Denied, []string{"wrong username or password"}},
		{400, "UserNotFoundException", "User does not exist.", Denied, []string{"wrong username or password"}},
		{400, "NotAuthorizedException", "User does not exist.", Denied, []string{"wrong username or password"}},
		{400, "InvalidPasswordException", "Invalid password", Denied, []string{"wrong username or password"}},
		{400, "NotAuthorizedException", "Password attempts exceeded", Denied, []string{"locked", "do not retry"}},
		{400, "NotAuthorizedException", "User is disabled.", Denied, []string{"administrator"}},
		{400, "NotAuthorizedException", "Temporary password has expired and must be reset by an administrator.", Denied, []string{"temporary password", "administrator"}},
		{400, "NotAuthorizedException", "Unable to verify secret hash for client abc", Config, []string{"client secret is wrong (not your password)"}},
		{400, "NotAuthorizedException", "Client abc is configured with secret but SECRET_HASH was not received", Config, []string{"set VILLAPAY_CLIENT_SECRET"}},
		{400, "NotAuthorizedException", "Client abc is not configured for secret but secret was received", Config, []string{"unset VILLAPAY_CLIENT_SECRET"}},
		{400, "NotAuthorizedException", "Invalid session for the user, session is expired.", Denied, []string{"3 minutes", "start again"}},
		{400, "NotAuthorizedException", "Invalid Refresh Token", NotSignedIn, []string{"session in dev has ended", "villapay login -e dev"}},
		{400, "NotAuthorizedException", "Something new", Denied, []string{"Something new"}},
		{400, "PasswordResetRequiredException", "x", Denied, []string{"reset first"}},
		{400, "UserNotConfirmedException", "x", Denied, []string{"confirm"}},
		{400, "ResourceNotFoundException", "User pool client abc does not exist.", Config, []string{"client_id or region is wrong"}},
		{400, "TooManyRequestsException", "Rate exceeded", Unreachable, []string{"too many requests", "wait a minute"}},
		{400, "LimitExceededException", "Attempt limit exceeded", Unreachable, []string{"wait 15 minutes"}},
		{400, "InvalidParameterException", "Something is odd", Config, []string{"Something is odd", "villapay env show -e dev"}},
		{400, "UserLambdaValidationException", "PreAuthentication failed with error closed on Sundays.", Denied, []string{"closed on Sundays"}},
		{403, "ForbiddenException", "Request not allowed due to WAF block.", Denied, []string{"WAF"}},
		{500, "InternalErrorException", "Something went wrong", Unreachable, []string{"unavailable (HTTP 500)", "nothing about your password"}},
		{503, "ServiceUnavailableException", "busy", Unreachable, []string{"unavailable (HTTP 503)"}},
		{502, "", "<html>Bad gateway</html>", Unreachable, []string{"HTTP 502", "nothing about your password"}},
		{403, "", "<html>Forbidden by the proxy</html>", Unreachable, []string{"HTTP 403", "proxy"}},
		{302, "", "<html>Portal</html>", Unreachable, []string{"HTTP 302"}},
		{200, "", "<html>Welcome to the hotel</html>", Unreachable, []string{"HTTP 200, but not as Cognito does", "portal"}},
	}
	for _, test := range tests {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			if test.kind == "" {
				w.Header().Set("Location", "/elsewhere")
				w.WriteHeader(test.status)
				fmt.Fprint(w, test.words)
				return
			}
			w.Header().Set("X-Amzn-ErrorType", test.kind+":")
			w.WriteHeader(test.status)
			fmt.Fprintf(w, `{"__type":%q,"message":%q}`, test.kind, test.words)
		}))
		pool := Pool{Env: "dev", Region: "ap-southeast-1", UserPoolID: "ap-southeast-1_x", ClientID: "abc", Endpoint: server.URL}
		_, err := NewClient(pool, http.DefaultTransport, time.Now, nil, func(string) {}).Password(t.Context(), "ann", secret.New("hunter2hunter2"))
		server.Close()
		told(t, err, test.want, test.says...)
		var e *Error
		if errors.As(err, &e) && test.kind != "" && e.Code != test.kind {
			t.Errorf("code %q, want %q", e.Code, test.kind)
		}
	}
}

func TestOutageIsNotAWrongPassword(t *testing.T) {
	t.Parallel()
	closed, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = closed.Close()
	silent := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // else the server does not notice that we left
		<-r.Context().Done()
	}))
	t.Cleanup(silent.Close)
	cut := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }))
	t.Cleanup(cut.Close)
	for endpoint, says := range map[string]string{
		"http://" + closed.Addr().String(): "connection refused",
		"http://nosuch.invalid":            "cannot reach sign-in at nosuch.invalid",
		silent.URL:                         "did not answer in time",
		cut.URL:                            "cannot reach sign-in",
	} {
		pool := Pool{Env: "dev", Region: "x", UserPoolID: "x_y", ClientID: "c", Endpoint: endpoint}
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		_, err := NewClient(pool, http.DefaultTransport, time.Now, nil, func(string) {}).Password(ctx, "ann", secret.New(rightPassword))
		cancel()
		told(t, err, Unreachable, says, "nothing about your password")
	}
}

// A server may repeat what it was sent; we do not.
func TestEchoedSecretsAreRedacted(t *testing.T) {
	t.Parallel()
	const password, clientSecret, refresh = "hunter2hunter2", "client-secret-1", "refresh-token-1"
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusBadRequest)
		fmt.Fprintf(w, `{"__type":"NotAuthorizedException","message":"no: %s %s %s"}`, password, clientSecret, refresh)
	}))
	t.Cleanup(server.Close)
	pool := Pool{Env: "dev", Region: "x", UserPoolID: "x_y", ClientID: "c", Endpoint: server.URL, ClientSecret: secret.New(clientSecret)}
	c := NewClient(pool, http.DefaultTransport, time.Now, nil, func(string) {})
	session := Tokens{ID: secret.New("id-token-1"), Access: secret.New(refresh), Refresh: secret.New(refresh)}
	_, signIn := c.Password(t.Context(), "ann", secret.New(password))
	_, renewed := c.Renew(t.Context(), session)
	for name, err := range map[string]error{"sign-in": signIn, "renew": renewed, "revoke": c.Revoke(t.Context(), session), "everywhere": c.SignOutEverywhere(t.Context(), session)} {
		text := fmt.Sprintf("%v %+v %#v", err, err, errors.Unwrap(err))
		if !strings.Contains(text, secret.Redacted) {
			t.Errorf("%s: nothing redacted in %q", name, text)
		}
		hidden := []string{clientSecret, refresh}
		if name == "sign-in" {
			hidden = []string{clientSecret, password}
		}
		for _, text2 := range hidden {
			if strings.Contains(text, text2) {
				t.Errorf("%s: %q shows in %q", name, text2, text)
			}
		}
	}
}

// A machine whose clock is hours off signs in, keeps a right expiry by its own
// clock, and is told.
func TestClockTwoHoursOff(t *testing.T) {
	t.Parallel()
	for off, says := range map[time.Duration]string{
		2 * time.Hour:  "clock is 2h0m0s ahead of that of",
		-2 * time.Hour: "clock is 2h0m0s behind that of",
	} {
		b := newBench(t, cognito.Options{})
		ours := func() time.Time { return b.clock.now().Add(off) }
		c := NewClient(b.Pool, http.DefaultTransport, ours, nil, b.warned.add)
		tokens, err := c.Password(t.Context(), "ann", secret.New(rightPassword))
		if err != nil {
			t.Fatal(err)
		}
		if want := ours().Add(time.Hour); !tokens.ExpiresAt.Equal(want) || !tokens.fresh(ours()) {
			t.Errorf("expires at %s, want %s", tokens.ExpiresAt, want)
		}
		if got := b.warned.String(); strings.Count(got, "clock") != 1 || !strings.Contains(got, says) {
			t.Errorf("warned %q, want once %q", got, says)
		}
		if accepted, err := c.Accept(t.Context(), tokens.ID); err != nil || !accepted.ExpiresAt.Equal(tokens.ExpiresAt) {
			t.Errorf("the token alone: %v, expires %s, want %s", err, accepted.ExpiresAt, tokens.ExpiresAt)
		}
	}
}

func TestServerTextIsMadeVisible(t *testing.T) {
	t.Parallel()
	p := &answers{typed: []string{"1"}}
	c := NewClient(Pool{}, offline{}, time.Now, p, func(string) {})
	ask, err := c.asker(step{challenge: "SMS_MFA", params: map[string]string{"CODE_DELIVERY_DESTINATION": "+66\x1b[2J\n\u202e9 ก้"}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ask(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got, want := p.asked.String(), `Code sent by SMS to +66\u001b[2J\u000a\u202e9 ก้: `; got != want {
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
	pool := Pool{Env: "dev", Region: "x", UserPoolID: "x_y", ClientID: "c", Endpoint: server.URL}
	_, err := NewClient(pool, http.DefaultTransport, time.Now, nil, func(string) {}).Password(t.Context(), "ann", secret.New("pw"))
	told(t, err, Config, "neither by SRP nor by password", "villapay login --web")
}

// A server that never stops asking is left, and one that asks nothing too.
func TestOddServers(t *testing.T) {
	t.Parallel()
	for answer, test := range map[string]struct {
		kind Kind
		says string
	}{
		`{}`: {Unreachable, "neither tokens nor a question"},
		`{"ChallengeName":"SMS_MFA","ChallengeParameters":{},"Session":"s"}`:                                       {Denied, "more and more steps"},
		`{"ChallengeName":"SELECT_MFA_TYPE","ChallengeParameters":{},"Session":"s"}`:                               {Unreachable, "names none"},
		`{"ChallengeName":"PASSWORD_VERIFIER","ChallengeParameters":{"SALT":"x"}}`:                                 {Unreachable, "makes no sense"},
		`{"AuthenticationResult":{"AccessToken":"a"}}`:                                                             {Config, "there is no ID token"},
		`{"AuthenticationResult":{"IdToken":"a.b.c","NewDeviceMetadata":{"DeviceKey":"d"}},"ChallengeName":"SMS"}`: {Config, "not base64"},
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, answer) }))
		pool := Pool{Env: "dev", Region: "x", UserPoolID: "x_y", ClientID: "c", Endpoint: server.URL}
		p := &answers{typed: slices.Repeat([]string{"123456"}, 20)}
		_, err := NewClient(pool, http.DefaultTransport, time.Now, p, func(string) {}).Password(t.Context(), "ann", secret.New("pw"))
		server.Close()
		told(t, err, test.kind, test.says)
	}
}

func TestUnknownChallengeIsNamed(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `{"ChallengeName":"MFA_SETUP","ChallengeParameters":{},"Session":"s"}`)
	}))
	t.Cleanup(server.Close)
	pool := Pool{Env: "dev", Region: "x", UserPoolID: "x_y", ClientID: "c", Endpoint: server.URL}
	_, err := NewClient(pool, http.DefaultTransport, time.Now, &answers{}, func(string) {}).Password(t.Context(), "ann", secret.New("pw"))
	told(t, err, Denied, "MFA_SETUP", "villapay login --web")
}

func TestRequiredAttributesAreAsked(t *testing.T) {
	t.Parallel()
	p := &answers{typed: []string{"pw", "pw", "Ann"}}
	c := NewClient(Pool{}, offline{}, time.Now, p, func(string) {})
	got, err := c.askNewPassword(`["userAttributes.given_name"]`)(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if want := map[string]string{"NEW_PASSWORD": "pw", "userAttributes.given_name": "Ann"}; !cmp.Equal(got, want) {
		t.Error(cmp.Diff(want, got))
	}
}
