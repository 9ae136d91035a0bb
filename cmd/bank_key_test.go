package cmd

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/villapay/villapay/internal/sandbox/cognito"
)

const testBankKey = "skey_test_22211abcdef"

// pipe runs a command with text on stdin.
func (m *machine) pipe(t *testing.T, text string, args ...string) result {
	t.Helper()
	c := m.command(t, args...)
	var out, errs strings.Builder
	c.Stdin, c.Stdout, c.Stderr = strings.NewReader(text), &out, &errs
	_ = c.Run()
	return result{c.ProcessState.ExitCode(), out.String(), errs.String()}
}

// The bank's key comes and goes without a sign-in, and no file but its own has it.
func TestBankKeyWithoutASignIn(t *testing.T) {
	t.Parallel()
	m := newMachine(t, "VILLAPAY_TOKEN="+unset, "VILLAPAY_ENV=dev")
	r := m.pipe(t, testBankKey+"\r\n", "login", "--kbank-secret", "--debug")
	if r.code != 0 || r.stdout != "" || !strings.Contains(r.stderr, "unencrypted") || strings.Contains(r.stderr, testBankKey) {
		t.Fatalf("login: exit %d, %q, %s", r.code, r.stdout, r.stderr)
	}
	noSecrets(t, m, testBankKey)
	if r := m.run(t, "whoami"); r.code != 4 || !strings.Contains(r.stderr, "bank key for https://dev-kpaymentgateway-services.kasikornbank.com (file)") {
		t.Errorf("whoami: exit %d, %s", r.code, r.stderr)
	}
	if r := m.run(t, "logout"); r.code != 4 {
		t.Errorf("logout without a session: exit %d, %s", r.code, r.stderr)
	}
	for _, want := range []string{"deleted the bank's secret key", "there was no secret key"} {
		if r := m.run(t, "logout", "--kbank-secret"); r.code != 0 || !strings.Contains(r.stderr, want) {
			t.Errorf("logout: exit %d, %s, want %q", r.code, r.stderr, want)
		}
	}
	if _, err := os.Stat(filepath.Join(m.dir, "state", "tokens")); !os.IsNotExist(err) {
		t.Errorf("the file is still there: %v", err)
	}
}

// whoami shows whether there is a key, and where it comes from.
func TestWhoamiShowsTheBankKey(t *testing.T) {
	t.Parallel()
	m := signInMachine(t, cognito.ClientID)
	if r := m.with("VILLAPAY_USERNAME=ann", "VILLAPAY_PASSWORD="+password).run(t, "login"); r.code != 0 {
		t.Fatal(r.stderr)
	}
	shows := func(m *machine, want, warning string) {
		t.Helper()
		r := m.run(t, "whoami", "--jq", ".bank_key")
		if r.code != 0 || r.stdout != want+"\n" || !strings.Contains(r.stderr, warning) || strings.Contains(r.stderr, "skey") {
			t.Errorf("got %q %s, want %s and %q", r.stdout, r.stderr, want, warning)
		}
	}
	shows(m, "null", "")
	if r := m.pipe(t, testBankKey, "login", "--kbank-secret"); r.code != 0 {
		t.Fatal(r.stderr)
	}
	shows(m, "file", "")
	shows(m.with("VILLAPAY_KBANK_SECRET="+testBankKey), "environment", "")
	shows(m.with("VILLAPAY_KBANK_SECRET=skey_prod_1"), "environment", "VILLAPAY_KBANK_SECRET: the secret key is a live one")
	shows(m.with("VILLAPAY_KBANK_SECRET="), "environment", "VILLAPAY_KBANK_SECRET is set, and empty")
	shows(m.with("VILLAPAY_KBANK_SECRET=\ufeffskey_test_1"), "environment", "byte order mark")
	if r := m.run(t, "whoami"); !strings.Contains(r.stdout, "stored unencrypted, beside the tokens") {
		t.Errorf("the table shows no key:\n%s", r.stdout)
	}
	if r := m.run(t, "logout"); r.code != 0 {
		t.Fatal(r.stderr)
	}
	if r := m.run(t, "whoami"); r.code != 4 || !strings.Contains(r.stderr, "bank key for https") {
		t.Errorf("after signing out: exit %d, %s", r.code, r.stderr)
	}
	// The key was entered for another URL than the one that is set now.
	if r := m.run(t, "env", "set", "kbank.api_url", "https://bank.example"); r.code != 0 {
		t.Fatal(r.stderr)
	}
	if r := m.run(t, "whoami"); r.code != 4 || strings.Contains(r.stderr, "secret key") {
		t.Errorf("at another URL: exit %d, %s", r.code, r.stderr)
	}
}

func TestBankKeyThatIsNoKey(t *testing.T) {
	t.Parallel()
	m := newMachine(t, "VILLAPAY_TOKEN="+unset)
	for _, test := range []struct {
		key  string
		args []string
		code int
		says string
	}{
		{"", nil, 2, "stdin is empty"},
		{"\n", nil, 2, "stdin is empty"},
		{"skey_test_1 skey_test_2", nil, 2, "blank"},
		{"\ufeffskey_test_1", nil, 2, "byte order mark"},
		{"\xff\xfes\x00k\x00", nil, 2, "UTF-16"},
		{"skey_prod_1", []string{"--env", "dev"}, 3, "environment dev is not live"},
		{"skey_test_1", []string{"--env", "prod"}, 3, "environment prod is live"},
		{"pkey_test_1", nil, 3, "a public key"},
		{"skey_test_1", []string{"--env", "sandbox"}, 2, "needs no key"},
		{"skey_test_1", []string{"--web"}, 2, "use only one"},
		{"skey_test_1", []string{"--with-token"}, 2, "use only one"},
		{"skey_test_1", []string{"-u", "ann"}, 2, "--username"},
	} {
		r := m.pipe(t, test.key, append([]string{"login", "--kbank-secret"}, test.args...)...)
		if r.code != test.code || !strings.Contains(r.stderr, test.says) || strings.Contains(r.stderr, "skey_") {
			t.Errorf("%q %v: exit %d, %s", test.key, test.args, r.code, r.stderr)
		}
	}
	if _, err := os.Stat(filepath.Join(m.dir, "state", "tokens")); !os.IsNotExist(err) {
		t.Errorf("something was kept: %v", err)
	}
	if r := m.run(t, "env", "set", "kbank.api_url", "", "--env", "dev"); r.code != 0 {
		t.Fatal(r.stderr)
	}
	for _, command := range []string{"login", "logout"} {
		if r := m.pipe(t, testBankKey, command, "--kbank-secret", "--env", "dev"); r.code != 3 || !strings.Contains(r.stderr, "no kbank.api_url") {
			t.Errorf("%s without a bank: exit %d, %s", command, r.code, r.stderr)
		}
	}
	if r := m.run(t, "logout", "--kbank-secret", "--all-devices"); r.code != 2 {
		t.Errorf("exit %d, %s", r.code, r.stderr)
	}
}
