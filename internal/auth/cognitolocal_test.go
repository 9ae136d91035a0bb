package auth

import (
	"context"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/villapay/villapay/internal/sandbox/cognito"
	"github.com/villapay/villapay/internal/secret"
)

// cognitoLocal is a client of the emulator that .ci/cognito-local.sh starts:
// another pair of hands than the sandbox's. It has no SRP, neither of the calls
// that AWS added later, and an own idea of some errors.
func cognitoLocal(t *testing.T, p Prompter) (*Client, UserPool) {
	t.Helper()
	endpoint := os.Getenv("VILLAPAY_TEST_COGNITO_LOCAL")
	if endpoint == "" {
		t.Skip("needs cognito-local: run under .ci/cognito-local.sh")
	}
	pool := UserPool{Env: "local", Region: "ap-southeast-1", UserPoolID: "ap-southeast-1_Local01", ClientID: "villapay", Endpoint: endpoint, Domain: endpoint, CallbackPorts: []int{8976, 8977, 8978}}
	return NewClient(pool, http.DefaultTransport, time.Now, p, func(text string) { t.Log("warning:", text) }), pool
}

func TestCognitoLocalPassword(t *testing.T) {
	t.Parallel()
	for user, typed := range map[string][]string{
		"ann": nil, "sms": {"123456"}, "totp": {"TOTP"}, "both": {"1", "TOTP"}, "newbie": {"N3wPassw0rd!", "N3wPassw0rd!"},
	} {
		p := &answers{typed: typed}
		for i, text := range typed {
			if text == "TOTP" {
				p.typed[i] = cognito.TOTP(totpSecret, time.Now())
			}
		}
		c, _ := cognitoLocal(t, p)
		tokens, err := c.Password(t.Context(), user, secret.New(rightPassword))
		if err != nil {
			t.Errorf("%s: %v; asked %s", user, err, p.asked.String())
			continue
		}
		if accepted, err := c.Accept(t.Context(), tokens.ID); err != nil || accepted.Username != user {
			t.Errorf("%s: its own token: %+v, %v", user, accepted, err)
		}
	}
}

func TestCognitoLocalRefusals(t *testing.T) {
	t.Parallel()
	c, pool := cognitoLocal(t, nil)
	_, err := c.Password(t.Context(), "ann", secret.New("Wr0ng-pass!"))
	wantError(t, err, Denied, "wrong username or password")
	_, err = c.Password(t.Context(), "reset", secret.New(rightPassword))
	wantError(t, err, Denied, "reset first")
	_, err = c.Password(t.Context(), "sms", secret.New(rightPassword))
	wantError(t, err, NotSignedIn, "nobody can be asked here")
	pool.ClientID = "nosuch"
	_, err = NewClient(pool, http.DefaultTransport, time.Now, nil, func(string) {}).Password(t.Context(), "ann", secret.New(rightPassword))
	wantError(t, err, Config, "client_id or region is wrong")
}

func TestCognitoLocalSession(t *testing.T) {
	t.Parallel()
	c, pool := cognitoLocal(t, nil)
	tokens, err := c.Password(t.Context(), "ann", secret.New(rightPassword))
	if err != nil {
		t.Fatal(err)
	}
	tokens.ReceivedAt, tokens.ExpiresAt = tokens.ReceivedAt.Add(-2*time.Hour), tokens.ExpiresAt.Add(-2*time.Hour)
	s := NewSession(c, OpenStore(t.TempDir(), newRing(), func(text string) { t.Error(text) }), secret.String{})
	if err := s.Save(t.Context(), tokens, Auto); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Token(t.Context()); err != nil {
		t.Errorf("renew: %v", err)
	}
	if !s.tokens.fresh(time.Now()) {
		t.Errorf("the renewed token expires at %s", s.tokens.ExpiresAt)
	}
	wantError(t, s.SignOut(t.Context(), true), Config, "cannot sign out on all devices", "villapay logout -e "+pool.Env)
	kept := s.tokens
	if err := s.SignOut(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	_, err = c.Refresh(t.Context(), kept)
	wantError(t, err, Denied, "run `villapay login -e local`")
}

// Its page takes our code and PKCE, but its ID token lacks the nonce that we
// sent, which AWS and OpenID Connect put into it: so we refuse the token.
func TestCognitoLocalBrowser(t *testing.T) {
	t.Parallel()
	p := &answers{}
	c, pool := cognitoLocal(t, p)
	_, err := c.Browser(t.Context(), nil, func(ctx context.Context) (string, error) {
		_, rest, _ := strings.Cut(p.asked.String(), pool.Endpoint)
		address, _, _ := strings.Cut(rest, "\n")
		form := mustQuery(t, address)
		form.Set("username", "ann")
		form.Set("password", rightPassword)
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, pool.Endpoint+"/oauth2/authorize", strings.NewReader(form.Encode()))
		if err != nil {
			return "", err
		}
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		res, err := http.DefaultTransport.RoundTrip(req)
		if err != nil {
			return "", err
		}
		defer res.Body.Close()
		return res.Header.Get("Location"), nil
	})
	wantError(t, err, Config, "wrong nonce")
}
