//go:build linux

package cmd

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/villapay/villapay/internal/sandbox/cognito"
)

// An operator signs in at a terminal: name, hidden password, and whatever the
// account asks for besides.
func TestSignInAtATerminal(t *testing.T) {
	t.Parallel()
	totp := func() string { return cognito.TOTP(cognito.Users()[userNamed(t, "totp")].TOTPSecret, time.Now()) }
	for _, test := range []struct {
		user   string
		dialog [][2]string // what is asked, what is answered
	}{
		{user: "ann"},
		{user: "sms", dialog: [][2]string{{"code sent by SMS", cognito.SMSCode}}},
		{user: "mail", dialog: [][2]string{{"code sent by email to m***@v***", cognito.SMSCode}}},
		{user: "totp", dialog: [][2]string{{"code from your authenticator app", "totp"}}},
		{user: "newbie", dialog: [][2]string{{"New password (hidden)", "N3w-Passw0rd!"}, {"New password again", "N3w-Passw0rd!"}}},
	} {
		t.Run(test.user, func(t *testing.T) {
			t.Parallel()
			m := signInMachine(t, cognito.ClientID)
			x := m.at(t, 100, 30, "login")
			x.see("User name")
			x.press(test.user + "\r")
			x.see("Password (hidden)")
			x.press(password + "\r")
			for _, step := range test.dialog {
				x.see(step[0])
				answer := step[1]
				if answer == "totp" {
					answer = totp()
				}
				x.press(answer + "\r")
			}
			if code := x.exit(); code != 0 {
				t.Errorf("exit %d\n%s", code, x.text())
			}
			if screen := x.text(); strings.Contains(screen, password) || strings.Contains(screen, "N3w-Passw0rd!") || !strings.Contains(screen, "signed in to shop as "+test.user) {
				t.Errorf("the screen shows\n%s", screen)
			}
		})
	}
}

// The bank's key is asked for without echo, and one that is none is not kept.
func TestBankKeyAtATerminal(t *testing.T) {
	t.Parallel()
	m := newMachine(t, "VILLAPAY_TOKEN="+unset, "VILLAPAY_ENV=dev")
	x := m.at(t, 100, 30, "login", "--kbank-secret")
	x.see("secret key (hidden)")
	x.press("skey_test 1\r")
	if code := x.exit(); code != 2 || !strings.Contains(x.text(), "blank") {
		t.Errorf("exit %d\n%s", code, x.text())
	}
	x = m.at(t, 100, 30, "login", "--kbank-secret")
	x.see("secret key (hidden)")
	x.press(testBankKey + "\r")
	if code := x.exit(); code != 0 || strings.Contains(x.text(), testBankKey) {
		t.Errorf("exit %d\n%s", code, x.text())
	}
	if r := m.run(t, "logout", "--kbank-secret"); r.code != 0 || !strings.Contains(r.stderr, "deleted the bank's secret key") {
		t.Errorf("exit %d, %s", r.code, r.stderr)
	}
	x = m.at(t, 100, 30, "login", "--kbank-secret", "--no-input")
	if code := x.exit(); code != 2 || !strings.Contains(x.text(), "--no-input forbids asking") {
		t.Errorf("--no-input: exit %d\n%s", code, x.text())
	}
}

func userNamed(t *testing.T, name string) int {
	t.Helper()
	for i, u := range cognito.Users() {
		if u.Name == name {
			return i
		}
	}
	t.Fatalf("the sandbox has no user %s", name)
	return 0
}

// Ctrl-C at the hidden prompt ends with 130 and leaves the terminal sane, which
// exit checks.
func TestCtrlCAtTheHiddenPrompt(t *testing.T) {
	t.Parallel()
	m := signInMachine(t, cognito.ClientID)
	x := m.at(t, 100, 30, "login", "--username", "ann")
	x.see("Password (hidden)")
	x.press("hunter2\x03")
	if code := x.exit(); code != 130 {
		t.Errorf("exit %d\n%s", code, x.text())
	}
	if strings.Contains(x.text(), "hunter2") {
		t.Errorf("the screen shows the password:\n%s", x.text())
	}
}

func readConfig(t *testing.T, m *machine) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(m.dir, "config", "config.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// An environment without a user pool gets one at a terminal: its IDs are asked for
// and saved before the sign-in.
func TestLoginAsksForTheUserPool(t *testing.T) {
	t.Parallel()
	url := serveSignIn(t)
	m := newMachine(t, "VILLAPAY_TOKEN="+unset, "VILLAPAY_ENV=shop")
	writeConfig(t, m, "envs:\n  shop:\n    base_url: "+url+"\n    auth:\n      endpoint: "+url+"\n")
	x := m.at(t, 100, 30, "login")
	x.see("come from Villa")
	x.see("User pool ID")
	before := readConfig(t, m)
	for _, wrong := range [][2]string{{"", "auth.user_pool_id is empty"}, {"foo", `"foo" is not a user pool ID such as`}, {"bar baz", `"bar baz" is not an ID`}} {
		x.press(wrong[0] + "\r")
		x.see(wrong[1])
	}
	x.press(cognito.PoolID + "\r")
	x.see("App client ID")
	x.press("bar baz\r")
	x.see(`"bar baz" is not an ID`)
	x.press("\x03")
	if code := x.exit(); code != 130 || readConfig(t, m) != before {
		t.Errorf("exit %d\n%s\n%s", code, x.text(), readConfig(t, m))
	}
	x = m.at(t, 100, 30, "login") // nothing was saved: it asks for both
	x.see("User pool ID")
	x.press("\x04")
	if code := x.exit(); code == 0 || readConfig(t, m) != before {
		t.Errorf("end of input: exit %d\n%s", code, x.text())
	}
	x = m.at(t, 100, 30, "login")
	x.see("User pool ID")
	x.press(" " + cognito.PoolID + " \r")
	signInToShop(t, x)
	if r := m.run(t, "pay", "qr", "4925"); r.code != 0 {
		t.Errorf("after it: exit %d, %s", r.code, r.stderr)
	}
	// A pool of another region brings its region along.
	abroad := newMachine(t, "VILLAPAY_TOKEN="+unset)
	x = abroad.at(t, 100, 30, "login")
	x.see("User pool ID")
	x.press("eu-west-1_AbCdEfGhI\r")
	x.see("App client ID")
	x.press("abc\r")
	x.see("User name")
	x.press("\x03")
	x.exit()
	if r := abroad.run(t, "env", "show", "--jq", `.[]|select(.key=="auth.region")|.value`); r.stdout != "eu-west-1\n" {
		t.Errorf("the region is %s%s", r.stdout, r.stderr)
	}
}

// signInToShop answers what is asked after the user pool's ID.
func signInToShop(t *testing.T, x *terminal) {
	t.Helper()
	x.see("App client ID")
	x.press(cognito.ClientID + "\r")
	x.see("User name")
	x.press("ann\r")
	x.see("Password (hidden)")
	x.press(password + "\r")
	if code := x.exit(); code != 0 || !strings.Contains(x.text(), "signed in to shop as ann") {
		t.Errorf("exit %d\n%s", code, x.text())
	}
}

// Login signs in to the environment that was selected when it began, even if another
// one is selected while it asks.
func TestLoginStaysInItsEnvironment(t *testing.T) {
	t.Parallel()
	url := serveSignIn(t)
	m := newMachine(t, "VILLAPAY_TOKEN="+unset)
	auth := "\n    auth:\n      endpoint: " + url + "\n"
	writeConfig(t, m, "env: shop\nenvs:\n  shop:\n    base_url: "+url+auth+
		"  other:\n    base_url: "+url+auth+"      user_pool_id: "+cognito.PoolID+"\n      client_id: "+cognito.ClientID+"\n")
	x := m.at(t, 100, 30, "login")
	x.see("User pool ID")
	if r := m.run(t, "env", "use", "other"); r.code != 0 {
		t.Fatal(r.stderr)
	}
	x.press(cognito.PoolID + "\r")
	signInToShop(t, x)
	if r := m.run(t, "whoami", "-e", "shop", "--jq", ".username"); r.stdout != "ann\n" {
		t.Errorf("in shop: %s%s", r.stdout, r.stderr)
	}
}
