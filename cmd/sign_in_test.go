package cmd

import (
	"encoding/base64"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/villapay/villapay/internal/auth"
	"github.com/villapay/villapay/internal/sandbox"
	"github.com/villapay/villapay/internal/sandbox/cognito"
	"github.com/villapay/villapay/internal/testport"
)

// serveSignIn serves a sandbox that asks for tokens, and its user pool.
func serveSignIn(t *testing.T, callbacks ...string) (url string) {
	t.Helper()
	return serveSignInAt(t, time.Now, callbacks...)
}

func serveSignInAt(t *testing.T, now func() time.Time, callbacks ...string) (url string) {
	t.Helper()
	server := httptest.NewUnstartedServer(nil)
	url = "http://" + server.Listener.Addr().String()
	pool, err := cognito.New(cognito.Options{Now: now, Issuer: url, Callbacks: callbacks})
	if err != nil {
		t.Fatal(err)
	}
	stand := sandbox.New(sandbox.Options{Dir: t.TempDir(), Now: now, Authorizer: pool, SignIn: pool})
	server.Config.Handler = stand
	server.Start()
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
		_ = stand.Close()
	})
	return url
}

// signInMachine is a machine with an environment "shop" whose API asks for
// tokens of the sandbox's own user pool.
func signInMachine(t *testing.T, clientID string) *machine {
	t.Helper()
	callback := testport.Free(t)
	url := serveSignIn(t, fmt.Sprintf("http://127.0.0.1:%d/callback", callback))
	m := newMachine(t, "VILLAPAY_TOKEN="+unset, "VILLAPAY_ENV=shop")
	config := "envs:\n  shop:\n    base_url: " + url + "\n    auth:\n      endpoint: " + url +
		"\n      domain: " + url + "\n      callback_ports: [" + strconv.Itoa(callback) + "]" +
		"\n      user_pool_id: " + cognito.PoolID + "\n      client_id: " + clientID + "\n"
	if err := os.MkdirAll(filepath.Join(m.dir, "config"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(m.dir, "config", "config.yaml"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	return m
}

// with is the same machine with more variables set.
func (m *machine) with(env ...string) *machine {
	return &machine{dir: m.dir, env: append(slices.Clip(m.env), env...)}
}

const password = "Passw0rd!"

// From signing in to signing out, as a script does it.
func TestSignInFromAScript(t *testing.T) {
	t.Parallel()
	m := signInMachine(t, cognito.ClientID)
	if r := m.run(t, "pay", "qr", "4925"); r.code != 4 || !strings.Contains(r.stderr, "login") {
		t.Fatalf("before: exit %d, %s", r.code, r.stderr)
	}
	script := m.with("VILLAPAY_USERNAME=ann", "VILLAPAY_PASSWORD="+password)
	if r := script.run(t, "login", "--store", "file"); r.code != 0 || r.stdout != "" || !strings.Contains(r.stderr, "unencrypted") {
		t.Fatalf("login: exit %d, %q, %s", r.code, r.stdout, r.stderr)
	}
	if r := m.run(t, "whoami", "-o", "json"); r.code != 0 || !strings.Contains(r.stdout, `"username":"ann","env":"shop","user_pool_id":"`+cognito.PoolID+`","store":"file"`) {
		t.Errorf("whoami: exit %d, %s%s", r.code, r.stdout, r.stderr)
	}
	if r := m.run(t, "whoami"); !regexp.MustCompile(`Token until +\| \d{4}-\d\d-\d\d \d\d:\d\d:\d\d \+07, in \d+ minutes.*; renewed automatically`).MatchString(r.stdout) {
		t.Errorf("whoami shows\n%s", r.stdout)
	}
	token := m.run(t, "token")
	if token.code != 0 || strings.Count(token.stdout, ".") != 2 || strings.Count(token.stdout, "\n") != 1 {
		t.Errorf("token: exit %d, %q", token.code, token.stdout)
	}
	paid := m.run(t, "pay", "qr", "4925", "--debug", "-o", "json")
	if paid.code != 0 {
		t.Errorf("pay: exit %d, %s", paid.code, paid.stderr)
	}
	if strings.Contains(paid.stderr, strings.TrimSpace(token.stdout)) || !strings.Contains(paid.stderr, "Authorization: [redacted]") {
		t.Errorf("--debug shows the token:\n%s", paid.stderr)
	}
	noSecrets(t, m, password, strings.TrimSpace(token.stdout))
	if r := m.with("VILLAPAY_TOKEN="+strings.TrimSpace(token.stdout)).run(t, "whoami", "-o", "json"); !strings.Contains(r.stdout, `"store":"environment"`) {
		t.Errorf("VILLAPAY_TOKEN does not beat the session: %s", r.stdout)
	}
	if r := m.run(t, "logout"); r.code != 0 {
		t.Errorf("logout: exit %d, %s", r.code, r.stderr)
	}
	if r := m.run(t, "whoami"); r.code != 4 || r.stdout != "" {
		t.Errorf("after: exit %d, %s", r.code, r.stdout)
	}
}

// noSecrets looks for secrets in every file of a machine but the token file.
func noSecrets(t *testing.T, m *machine, secrets ...string) {
	t.Helper()
	err := filepath.WalkDir(m.dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || entry.Name() == "tokens" {
			return err
		}
		data, err := os.ReadFile(path)
		for _, secret := range secrets {
			if strings.Contains(string(data), secret) {
				t.Errorf("%s holds a secret", path)
			}
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// A token that the API calls expired is renewed once, and the order is made with
// the same key.
func TestAnExpiredTokenIsRenewedOnce(t *testing.T) {
	t.Parallel()
	m := signInMachine(t, cognito.RotatingID)
	if r := m.with("VILLAPAY_USERNAME=ann", "VILLAPAY_PASSWORD="+password).run(t, "login"); r.code != 0 {
		t.Fatal(r.stderr)
	}
	before := m.run(t, "token").stdout
	r := m.run(t, "pay", "qr", "expired-token", "-o", "json")
	if p := r.object(t); r.code != 0 || p.Villapay.Attempts != 2 {
		t.Errorf("exit %d, %+v, %s", r.code, p, r.stderr)
	}
	if after := m.run(t, "token").stdout; after == before {
		t.Error("the token was not renewed")
	}
	if r := m.run(t, "pay", "qr", "expired-token-always"); r.code != 4 {
		t.Errorf("exit %d, %s", r.code, r.stderr)
	}
}

// Every way in which signing in fails says what to do, with its exit code.
func TestSignInRefused(t *testing.T) {
	t.Parallel()
	m := signInMachine(t, cognito.ClientID)
	for _, test := range []struct{ user, password, want string }{
		{"ann", "wrong", "wrong username or password"},
		{"nobody", password, "wrong username or password"},
		{"reset", password, "has to be reset"},
		{"unconf", password, "not confirmed"},
		{"disabled", password, "disabled"},
		{"locked", password, "locked for now"},
		{"totp", password, "nobody can be asked here"},
	} {
		r := m.with("VILLAPAY_USERNAME="+test.user, "VILLAPAY_PASSWORD="+test.password).run(t, "login")
		if r.code != 4 || !strings.Contains(r.stderr, test.want) || !strings.Contains(r.stderr, "hint: ") {
			t.Errorf("%s: exit %d, %s", test.user, r.code, r.stderr)
		}
	}
	down := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) }))
	defer down.Close()
	if r := m.run(t, "env", "set", "auth.endpoint", down.URL); r.code != 0 {
		t.Fatal(r.stderr)
	}
	r := m.with("VILLAPAY_USERNAME=ann", "VILLAPAY_PASSWORD="+password).run(t, "login")
	if r.code != 7 || strings.Contains(r.stderr, "wrong username") {
		t.Errorf("an outage: exit %d, %s", r.code, r.stderr)
	}
}

// What a script gets wrong is told, and nobody is asked.
func TestLoginWithoutATerminal(t *testing.T) {
	t.Parallel()
	m := signInMachine(t, cognito.ClientID)
	if r := m.run(t, "login"); r.code != 4 || !strings.Contains(r.stderr, "VILLAPAY_PASSWORD") {
		t.Errorf("exit %d, %s", r.code, r.stderr)
	}
	for input, want := range map[string]int{"garbage\n": 4, "": 2} {
		c := m.command(t, "login", "--with-token")
		c.Stdin = strings.NewReader(input)
		_ = c.Run()
		if code := c.ProcessState.ExitCode(); code != want {
			t.Errorf("%q: exit %d, want %d", input, code, want)
		}
	}
	if r := m.run(t, "login", "--web", "--with-token"); r.code != 2 {
		t.Errorf("two ways: exit %d", r.code)
	}
	bare := newMachine(t, "VILLAPAY_TOKEN="+unset)
	if r := bare.run(t, "login"); r.code != 3 || !strings.Contains(r.stderr, "env set auth.client_id") || !strings.Contains(r.stderr, "env set auth.user_pool_id") {
		t.Errorf("no pool: exit %d, %s", r.code, r.stderr)
	}
	for _, args := range [][]string{{"whoami"}, {"token"}, {"pay", "qr", "1"}} {
		if r := bare.run(t, args...); r.code != 4 {
			t.Errorf("%v: exit %d, %s", args, r.code, r.stderr)
		}
	}
	if r := bare.run(t, "login", "--env", "sandbox"); r.code != 2 {
		t.Errorf("sandbox: exit %d, %s", r.code, r.stderr)
	}
}

// A password that a pipe brings signs in, and a new one is needed where the
// account asks for it.
func TestPasswordFromStdin(t *testing.T) {
	t.Parallel()
	m := signInMachine(t, cognito.ClientID)
	c := m.command(t, "login", "--password-stdin", "--username", "ann")
	c.Stdin = strings.NewReader(password + "\n")
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if r := m.run(t, "whoami", "--jq", ".username"); r.stdout != "ann\n" {
		t.Errorf("signed in as %q", r.stdout)
	}
}

// Each environment has a session of its own.
func TestSessionsOfEnvironments(t *testing.T) {
	t.Parallel()
	m := signInMachine(t, cognito.ClientID)
	if r := m.with("VILLAPAY_USERNAME=ann", "VILLAPAY_PASSWORD="+password).run(t, "login"); r.code != 0 {
		t.Fatal(r.stderr)
	}
	if r := m.run(t, "whoami", "--env", "dev"); r.code != 4 {
		t.Errorf("dev: exit %d, %s", r.code, r.stdout)
	}
}

// doctor says of VILLAPAY_TOKEN what a payment with it would meet, and asks for
// no login, which the variable would override. The API takes none of these.
func TestDoctorLooksAtTheGivenToken(t *testing.T) {
	t.Parallel()
	m := signInMachine(t, cognito.ClientID)
	for name, test := range map[string]struct{ token, status, says, hint string }{
		"a word in front":  {"Bearer abc", "fail", "VILLAPAY_TOKEN is not a token: it contains white space", auth.EnvHint},
		"an access token":  {unsignedToken(`{"token_use":"access","exp":32503680000}`), "fail", "VILLAPAY_TOKEN is an access token", auth.EnvHint},
		"expired":          {unsignedToken(`{"token_use":"id","exp":1700000000}`), "fail", "the token in VILLAPAY_TOKEN has expired", auth.EnvHint},
		"nobody's":         {unsignedToken(`{"token_use":"id","exp":32503680000}`), "ok", "VILLAPAY_TOKEN, ends in ", ""},
		"somebody's":       {unsignedToken(`{"token_use":"id","exp":32503680000,"email":"ann@example.com"}`), "ok", "VILLAPAY_TOKEN of ann@example.com, ends in ", ""},
		"without an end":   {unsignedToken(`{"token_use":"id"}`), "ok", "VILLAPAY_TOKEN; it does not say until when", ""},
		"no token we know": {"opaque", "ok", "VILLAPAY_TOKEN; it does not say until when", ""},
	} {
		with := m.with("VILLAPAY_TOKEN=" + test.token)
		r := with.run(t, "doctor", "--jq", `.[] | select(.name=="sign-in") | "\(.status) \(.message) | \(.hint)"`)
		want := test.status + " " + test.says
		if r.code != 4 || !strings.HasPrefix(r.stdout, want) || !strings.HasSuffix(r.stdout, " | "+strings.Replace(test.hint, "villapay login", "villapay login -e shop", 1)+"\n") {
			t.Errorf("%s: exit %d, %s%s", name, r.code, r.stdout, r.stderr)
		}
	}
	if r := m.with("VILLAPAY_TOKEN=Bearer abc").run(t, "whoami"); r.code != 4 || r.stdout != "" || !strings.Contains(r.stderr, "white space") {
		t.Errorf("whoami: exit %d, %s%s", r.code, r.stdout, r.stderr)
	}
}

// What a token says of itself stays on its line of a table, and as it is in JSON.
func TestNamesInTokensAreOneLine(t *testing.T) {
	t.Parallel()
	m := signInMachine(t, cognito.ClientID)
	m = m.with("VILLAPAY_TOKEN=" + unsignedToken(`{"token_use":"id","exp":32503680000,"iss":"https://x/pool\nEnvironment","cognito:username":"ann\nToken until | never"}`))
	r := m.run(t, "whoami")
	if r.code != 0 || !strings.Contains(r.stdout, `ann\nToken until | never`) || !strings.Contains(r.stdout, `pool\nEnvironment`) {
		t.Errorf("whoami: exit %d\n%s%s", r.code, r.stdout, r.stderr)
	}
	if r := m.run(t, "doctor"); r.code != 4 || !strings.Contains(r.stdout, `ann\nToken until | never`) {
		t.Errorf("doctor: exit %d\n%s%s", r.code, r.stdout, r.stderr)
	}
	if r := m.run(t, "whoami", "--jq", ".username"); r.stdout != "ann\nToken until | never\n" {
		t.Errorf("JSON: %q", r.stdout)
	}
}

// unsignedToken is a token with these claims and no valid signature.
func unsignedToken(claims string) string {
	return "eyJhbGciOiJSUzI1NiJ9." + base64.RawURLEncoding.EncodeToString([]byte(claims)) + ".c2ln"
}

// Line ends around a secret, as a mounted file or a CI service leaves them, are no
// part of it.
func TestVariablesLoseLineEnds(t *testing.T) {
	t.Parallel()
	m := signInMachine(t, cognito.ClientID)
	for _, end := range []string{"\n", "\r\n"} {
		signedIn := m.with("VILLAPAY_USERNAME= ann"+end, "VILLAPAY_PASSWORD="+password+end)
		if r := signedIn.run(t, "login", "--store", "file"); r.code != 0 {
			t.Fatalf("%q: exit %d, %s", end, r.code, r.stderr)
		}
		token := m.run(t, "token").stdout
		stand := serveSandbox(t, sandbox.Options{}, nil)
		for _, ledger := range []string{"sqlite", "none"} {
			paying := m.with("VILLAPAY_ENV=dev"+end, "VILLAPAY_TOKEN="+token+end, "VILLAPAY_BASE_URL="+stand.url+end, "VILLAPAY_LEDGER="+ledger+end)
			if r := paying.run(t, "pay", "qr", "4925", "-o", "json"); r.code != 0 || r.object(t).Villapay.State != "awaiting" {
				t.Errorf("%q, %s: exit %d, %s", end, ledger, r.code, r.stderr)
			}
		}
	}
	if r := m.with("VILLAPAY_USERNAME=ann", "VILLAPAY_PASSWORD= "+password).run(t, "login"); r.code != 4 {
		t.Errorf("a blank before a password is a part of it: exit %d, %s", r.code, r.stderr)
	}
}
