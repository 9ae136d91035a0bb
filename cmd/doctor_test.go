package cmd

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/villapay/villapay/internal/sandbox"
)

// bankMachine has an environment whose API and bank are a served sandbox, and a key
// for the bank. The sandbox's bank asks for wants; "" takes any key.
func bankMachine(t *testing.T, wants, key string) *machine {
	t.Helper()
	stand := serveSandbox(t, sandbox.Options{BankKey: wants}, nil)
	m := newMachine(t, "VILLAPAY_ENV=shop", "VILLAPAY_KBANK_SECRET="+key)
	writeConfig(t, m, "envs:\n  shop:\n    base_url: "+stand.url+"\n    kbank:\n      api_url: "+stand.url+sandbox.BankPath+"\n")
	return m
}

func writeConfig(t *testing.T, m *machine, text string) {
	t.Helper()
	dir := filepath.Join(m.dir, "config")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "config.yaml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// checked runs doctor and returns one of its checks, and the exit code.
func (m *machine) checked(t *testing.T, name string) (string, int) {
	t.Helper()
	r := m.run(t, "doctor", "--jq", `.[] | select(.name=="`+name+`") | "\(.status): \(.message) | \(.hint)"`)
	return strings.TrimSuffix(r.stdout, "\n"), r.code
}

// doctor asks the bank whether it takes the key.
func TestDoctorAsksTheBank(t *testing.T) {
	t.Parallel()
	page := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(page.Close)
	for name, test := range map[string]struct {
		machine *machine
		want    string
		hint    string
		code    int
	}{
		"it takes the key": {bankMachine(t, testBankKey, testBankKey), "ok: reachable; it takes the secret key", "", 0},
		"it does not":      {bankMachine(t, "skey_test_other", testBankKey), "fail: it does not accept the secret key: The API key is missing or wrong.", "set VILLAPAY_KBANK_SECRET to the right one", 4},
		"the API is down":  {bankMachine(t, "", testBankKey).with("VILLAPAY_BASE_URL=http://127.0.0.1:1"), "ok: reachable", "", 7},
		"no key":           {bankMachine(t, "", unset), "ok: no secret key", "villapay login --kbank-secret --env shop", 0},
		"a broken key":     {bankMachine(t, "", "skey test"), "fail: VILLAPAY_KBANK_SECRET: ", "", 3},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, code := test.machine.checked(t, "bank")
			if code != test.code || !strings.HasPrefix(got, test.want) || !strings.HasSuffix(got, test.hint) {
				t.Errorf("exit %d, %s", code, got)
			}
			if strings.Contains(got, testBankKey) {
				t.Errorf("the key is shown: %s", got)
			}
		})
	}
	t.Run("not the bank", func(t *testing.T) {
		t.Parallel()
		m := bankMachine(t, "", testBankKey)
		if r := m.run(t, "env", "set", "kbank.api_url", page.URL); r.code != 0 {
			t.Fatal(r.stderr)
		}
		if got, code := m.checked(t, "bank"); code != 0 || !strings.HasPrefix(got, "warn: reachable, but ") || !strings.Contains(got, "check kbank.api_url") {
			t.Errorf("exit %d, %s", code, got)
		}
		if r := m.run(t, "env", "set", "kbank.api_url", "http://127.0.0.1:1"); r.code != 0 {
			t.Fatal(r.stderr)
		}
		if got, code := m.checked(t, "bank"); code != 7 || !strings.HasPrefix(got, "fail: cannot reach 127.0.0.1:1") {
			t.Errorf("exit %d, %s", code, got)
		}
	})
}

// Keys and orders of two merchants are a warning.
func TestDoctorComparesMerchants(t *testing.T) {
	t.Parallel()
	m := bankMachine(t, "", testBankKey)
	if got, _ := m.checked(t, "merchant"); got != "" {
		t.Errorf("a key alone: %s", got)
	}
	if r := m.run(t, "env", "set", "kbank.public_key", "pkey_test_22211xyz"); r.code != 0 {
		t.Fatal(r.stderr)
	}
	if got, _ := m.with("VILLAPAY_KBANK_SECRET=skey_test_33311abc").checked(t, "merchant"); !strings.HasPrefix(got, "warn: the secret key and kbank.public_key belong to different merchants") {
		t.Errorf("two keys: %s", got)
	}
	if r := m.run(t, "pay", "qr", "4925"); r.code != 0 {
		t.Fatal(r.stderr)
	}
	if got, code := m.checked(t, "merchant"); code != 0 || !strings.HasPrefix(got, "ok: the keys and the newest order belong to the same merchant") {
		t.Errorf("exit %d, %s", code, got)
	}
	if got, _ := m.with("VILLAPAY_KBANK_SECRET=skey_test_33311abc").checked(t, "merchant"); !strings.HasPrefix(got, "warn: the secret key and order order_test_22211") {
		t.Errorf("another key: %s", got)
	}
	if r := m.run(t, "env", "set", "kbank.public_key", "pkey_test_33311xyz"); r.code != 0 {
		t.Fatal(r.stderr)
	}
	if got, _ := m.with("VILLAPAY_KBANK_SECRET="+unset).checked(t, "merchant"); !strings.HasPrefix(got, "warn: kbank.public_key and order order_test_22211") {
		t.Errorf("another order: %s", got)
	}
}

// On a fresh install everything says where the missing IDs come from, and offers the
// sandbox.
func TestFreshInstall(t *testing.T) {
	t.Parallel()
	m := newMachine(t, "VILLAPAY_TOKEN="+unset, "VILLAPAY_BASE_URL=http://127.0.0.1:1")
	for _, test := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"pay", "qr", "4925"}, 4, "run `villapay login -e dev`"},
		{[]string{"login"}, 3, "villapay env set auth.user_pool_id"},
		{[]string{"doctor"}, 4, "run `villapay login -e dev`"},
	} {
		r := m.run(t, test.args...)
		out := r.stdout + r.stderr
		if r.code != test.code || !strings.Contains(out, "ask Villa for") || !strings.Contains(out, test.says) || !strings.Contains(out, "villapay pay qr 492500004632 --env sandbox") {
			t.Errorf("%v: exit %d, %s", test.args, r.code, out)
		}
	}
}
