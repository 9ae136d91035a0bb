package auth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/villapay/villapay/internal/sandbox/cognito"
	"github.com/villapay/villapay/internal/secret"
	"github.com/villapay/villapay/internal/testport"
)

func TestMissingSettings(t *testing.T) {
	t.Parallel()
	good := UserPool{Env: "dev", Region: "ap-southeast-1", UserPoolID: "ap-southeast-1_x", ClientID: "c", Domain: "https://x", CallbackPorts: []int{1}}
	for setting, clear := range map[string]func(*UserPool){
		"auth.domain":         func(p *UserPool) { p.Domain = "" },
		"auth.callback_ports": func(p *UserPool) { p.CallbackPorts = nil },
	} {
		pool := good
		clear(&pool)
		c := NewClient(pool, offline{}, time.Now, nil, func(string) {})
		_, err := c.Browser(t.Context(), nil, nil)
		wantError(t, err, Config, "dev has no "+setting, "villapay env set "+setting)
	}
}

// offline is a network that fails every test which uses it.
type offline struct{}

func (offline) RoundTrip(req *http.Request) (*http.Response, error) {
	return nil, fmt.Errorf("a request left for %s", req.URL)
}

// nameless is a network in which no name has an address.
type nameless struct{}

func (nameless) RoundTrip(req *http.Request) (*http.Response, error) {
	return nil, &net.OpError{Op: "dial", Net: "tcp", Err: &net.DNSError{Err: "no such host", Name: req.URL.Host, IsNotFound: true}}
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
		{500, "InternalErrorException", "Something went wrong", Unreachable, []string{"unavailable (HTTP 500)", "does not mean that your password or session is wrong"}},
		{503, "ServiceUnavailableException", "busy", Unreachable, []string{"unavailable (HTTP 503)"}},
		{502, "", "<html>Bad gateway</html>", Unreachable, []string{"HTTP 502", "does not mean that your password or session is wrong"}},
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
		pool := UserPool{Env: "dev", Region: "ap-southeast-1", UserPoolID: "ap-southeast-1_x", ClientID: "abc", Endpoint: server.URL}
		_, err := NewClient(pool, http.DefaultTransport, time.Now, nil, func(string) {}).Password(t.Context(), "ann", secret.New("hunter2hunter2"))
		server.Close()
		wantError(t, err, test.want, test.says...)
	}
}

func TestOutageIsNotAWrongPassword(t *testing.T) {
	t.Parallel()
	closed := fmt.Sprintf("http://127.0.0.1:%d", testport.Free(t))
	silent := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // else the server does not notice that we left
		<-r.Context().Done()
	}))
	t.Cleanup(silent.Close)
	cut := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }))
	t.Cleanup(cut.Close)
	for endpoint, test := range map[string]struct {
		within    time.Duration
		transport http.RoundTripper
		says      string
	}{
		closed:                  {time.Minute, http.DefaultTransport, "connection refused"},
		"http://nosuch.invalid": {time.Minute, nameless{}, "cannot reach sign-in at nosuch.invalid: no such host"},
		silent.URL:              {500 * time.Millisecond, http.DefaultTransport, "did not answer in time"},
		cut.URL:                 {time.Minute, http.DefaultTransport, "cannot reach sign-in"},
	} {
		pool := UserPool{Env: "dev", Region: "x", UserPoolID: "x_y", ClientID: "c", Endpoint: endpoint}
		ctx, cancel := context.WithTimeout(t.Context(), test.within)
		_, err := NewClient(pool, test.transport, time.Now, nil, func(string) {}).Password(ctx, "ann", secret.New(rightPassword))
		cancel()
		wantError(t, err, Unreachable, test.says, "does not mean that your password or session is wrong")
	}
}

// A server may repeat what it was sent; we do not.
func TestEchoedSecretsAreRedacted(t *testing.T) {
	t.Parallel()
	const password, refresh = "hunter2hunter2", "refresh-token-1"
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		kind, message := "NotAuthorizedException", "no: "+string(body)
		if strings.Contains(string(body), "USER_SRP_AUTH") {
			kind, message = "InvalidParameterException", "USER_SRP_AUTH is not enabled for the client."
		}
		w.WriteHeader(http.StatusBadRequest)
		_ = json.NewEncoder(w).Encode(map[string]string{"__type": kind, "message": message})
	}))
	t.Cleanup(server.Close)
	pool := UserPool{Env: "dev", Region: "x", UserPoolID: "x_y", ClientID: "c", Endpoint: server.URL, ClientSecret: secret.New("client-secret-1")}
	c := NewClient(pool, http.DefaultTransport, time.Now, nil, func(string) {})
	session := Tokens{ID: secret.New("id-token-1"), Access: secret.New(refresh), Refresh: secret.New(refresh)}
	_, signIn := c.Password(t.Context(), "ann", secret.New(password))
	_, renewed := c.Refresh(t.Context(), session)
	for name, err := range map[string]error{"sign-in": signIn, "renew": renewed, "revoke": c.Revoke(t.Context(), session), "everywhere": c.SignOutEverywhere(t.Context(), session)} {
		text := fmt.Sprintf("%v %+v %#v", err, err, errors.Unwrap(err))
		if !strings.Contains(text, secret.Redacted) {
			t.Errorf("%s: nothing redacted in %q", name, text)
		}
		for _, hidden := range []string{password, refresh, pool.ClientSecret.Reveal(), pool.secretHash("ann")} {
			if strings.Contains(text, hidden) {
				t.Errorf("%s: %q shows in %q", name, hidden, text)
			}
		}
	}
}

// Nor where it makes an answer that net/http cannot read, and quotes. The address of
// the public keys gets no secret: it has seen one before.
func TestSecretsInMalformedAnswersAreRedacted(t *testing.T) {
	t.Parallel()
	const password = "hunter2hunter2"
	var seen string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		switch {
		case strings.Contains(string(body), "USER_SRP_AUTH"):
			w.WriteHeader(http.StatusBadRequest)
			_, _ = io.WriteString(w, `{"__type":"InvalidParameterException","message":"USER_SRP_AUTH is not enabled for the client."}`)
			return
		case len(body) > 0:
			seen = strings.ReplaceAll(string(body), " ", "")
		}
		conn, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			panic(err)
		}
		_, _ = io.WriteString(conn, "HTTP/1.1 "+seen+" x\r\n\r\n")
		_ = conn.Close()
	}))
	t.Cleanup(server.Close)
	pool := UserPool{Env: "dev", Region: "x", UserPoolID: "x_y", ClientID: "c", Endpoint: server.URL, Domain: server.URL, CallbackPorts: []int{8976}}
	warned := &texts{}
	c := NewClient(pool, http.DefaultTransport, time.Now, nil, warned.add)
	paste := func(context.Context) (string, error) { return "", errors.New("nothing to paste") }
	_, signIn := c.Password(t.Context(), "ann", secret.New(password))
	_, web := c.Browser(t.Context(), nil, paste)
	_, keys := c.keys(t.Context())
	c.warn(fmt.Sprint(keys))
	for name, text := range map[string]string{"sign-in": fmt.Sprintf("%v %+v", signIn, errors.Unwrap(signIn)), "web": fmt.Sprint(web), "keys": warned.String()} {
		if strings.Contains(text, password) || !strings.Contains(text, secret.Redacted) {
			t.Errorf("%s: %s", name, text)
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
		c := NewClient(b.UserPool, http.DefaultTransport, ours, nil, b.warned.add)
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
