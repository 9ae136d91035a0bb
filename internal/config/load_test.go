package config

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/villapay/villapay/internal/order"
)

// world is a config directory and the variables around it.
type world struct {
	dir  string
	vars map[string]string
}

// newWorld makes a directory with that config.yaml, without one for "".
func newWorld(t *testing.T, text string, vars ...string) world {
	t.Helper()
	w := world{dir: t.TempDir(), vars: map[string]string{}}
	w.vars["VILLAPAY_CONFIG_DIR"] = w.dir
	w.vars["VILLAPAY_STATE_DIR"] = filepath.Join(w.dir, "state")
	for i := 0; i < len(vars); i += 2 {
		w.vars[vars[i]] = vars[i+1]
	}
	if text != "" {
		w.write(t, text, 0o600)
	}
	return w
}

func (w world) lookup(name string) (string, bool) { value, set := w.vars[name]; return value, set }
func (w world) path() string                      { return filepath.Join(w.dir, "config.yaml") }

func (w world) write(t *testing.T, text string, mode os.FileMode) {
	t.Helper()
	if err := os.WriteFile(w.path(), []byte(text), mode); err != nil {
		t.Fatal(err)
	}
}

func (w world) text(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(w.path())
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func (w world) load(t *testing.T, flags Flags) *Config {
	t.Helper()
	c, err := Load(w.lookup, flags)
	if err != nil {
		t.Fatalf("Load: %v", err)
	}
	return c
}

// wantError checks kind and texts of an *Error.
func wantError(t *testing.T, err error, kind Kind, parts ...string) {
	t.Helper()
	var fault *Error
	if !errors.As(err, &fault) {
		t.Fatalf("got %v, want an *Error", err)
	}
	if fault.Kind != kind {
		t.Errorf("%q has kind %d, want %d", fault.Message, fault.Kind, kind)
	}
	whole := fault.Message + "\nhint: " + fault.Hint
	for _, part := range parts {
		if !strings.Contains(whole, part) {
			t.Errorf("%q does not say %q", whole, part)
		}
	}
}

func find(t *testing.T, c *Config, key string) Value {
	t.Helper()
	for _, v := range c.Values() {
		if v.Key == key {
			return v
		}
	}
	t.Fatalf("no value %s", key)
	return Value{}
}

func TestFreshInstall(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	w.vars["VILLAPAY_CONFIG_DIR"] = filepath.Join(w.dir, "none")
	c := w.load(t, Flags{})
	want := Profile{
		Name: "dev", BaseURL: "https://shop.villamarket.com/api/payment3devapi", Source: order.QR, Timeout: 30 * time.Second,
		OrderPath: "/qrpayment", StatusPath: "/checkstatus/{orderid}", StatusPaid: []string{}, IdempotencyHeader: "Idempotency-Key", QRContent: "{{.id}}",
		Auth: Auth{Region: "ap-southeast-1", CallbackPorts: []int{8976, 8977, 8978}},
		KBank: KBank{
			APIURL: "https://dev-kpaymentgateway-services.kasikornbank.com", SofQR: "ThaiQR",
			ScriptURL: "https://dev-kpaymentgateway.kasikornbank.com/ui/v2/kpayment.min.js",
		},
	}
	if diff := cmp.Diff(want, c.Profile, cmp.AllowUnexported(Profile{})); diff != "" {
		t.Error(diff)
	}
	if c.Output.Value != "table" || c.Ledger.Reveal() != "sqlite" || c.File != filepath.Join(w.dir, "none", "config.yaml") {
		t.Errorf("output %v, ledger %s, file %s", c.Output, c.Ledger.Reveal(), c.File)
	}
	if _, err := os.Stat(filepath.Join(w.dir, "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("loading made the directory: %v", err)
	}
}

func TestBuiltIns(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	prod := w.load(t, Flags{Env: "prod"}).Profile
	if prod.Scope() != "https://shop.villamarket.com/api/payment3api" || !prod.Live || prod.Sandbox ||
		prod.KBank.ScriptURL != "https://kpaymentgateway.kasikornbank.com/ui/v2/kpayment.min.js" || prod.KBank.APIURL != "https://kpaymentgateway-services.kasikornbank.com" {
		t.Errorf("prod: %+v", prod)
	}
	c := w.load(t, Flags{Env: "sandbox"})
	if p := c.Profile; !p.Sandbox || p.Live || p.BaseURL != "" || p.KBank.ScriptURL != "" || p.KBank.APIURL != "" || p.Scope() != "sandbox:"+filepath.Join(w.dir, "state") {
		t.Errorf("sandbox: %+v, scope %s", p, p.Scope())
	}
	if got := find(t, c, "base_url"); got.Value != "(embedded)" {
		t.Errorf("sandbox's base_url is shown as %v", got)
	}
}

// TestPrecedence raises each value through every layer that it has.
func TestPrecedence(t *testing.T) {
	t.Parallel()
	const text = "env: a\noutput: json\nledger: none\nenvs:\n  a:\n    base_url: https://a.example\n    timeout: 10s\n  b:\n    base_url: https://b.example\n  c:\n    base_url: https://c.example\n"
	type layer struct {
		text, variable string
		flags          Flags
		value, origin  string
	}
	for key, layers := range map[string][]layer{
		"env":    {{value: "dev", origin: "built in"}, {text: text, value: "a", origin: "file"}, {text: text, variable: "VILLAPAY_ENV=b", value: "b", origin: "VILLAPAY_ENV"}, {text: text, variable: "VILLAPAY_ENV=b", flags: Flags{Env: "c"}, value: "c", origin: "--env flag"}},
		"output": {{value: "table", origin: "built in"}, {text: text, value: "json", origin: "file"}, {text: text, variable: "VILLAPAY_OUTPUT=yaml", value: "yaml", origin: "VILLAPAY_OUTPUT"}},
		"ledger": {{value: "sqlite", origin: "built in"}, {text: text, value: "none", origin: "file"}, {text: text, variable: "VILLAPAY_LEDGER=postgres://h/d", value: "postgres://h/d", origin: "VILLAPAY_LEDGER"}},
		"base_url": {
			{value: devURL, origin: "built in"},
			{text: text, value: "https://a.example", origin: "file"},
			{text: text, variable: "VILLAPAY_BASE_URL=https://X.example/", value: "https://x.example", origin: "VILLAPAY_BASE_URL"},
		},
		"source":            {{value: "qr", origin: "built in"}, {text: text, variable: "VILLAPAY_SOURCE=wechat", value: "wechat", origin: "VILLAPAY_SOURCE"}},
		"auth.region":       {{value: "ap-southeast-1", origin: "built in"}, {text: text, variable: "VILLAPAY_AUTH_REGION=us-east-1", value: "us-east-1", origin: "VILLAPAY_AUTH_REGION"}},
		"auth.user_pool_id": {{origin: "built in"}, {text: text, variable: "VILLAPAY_AUTH_USER_POOL_ID=00123", value: "00123", origin: "VILLAPAY_AUTH_USER_POOL_ID"}},
		"auth.client_id":    {{origin: "built in"}, {text: text, variable: "VILLAPAY_AUTH_CLIENT_ID=c", value: "c", origin: "VILLAPAY_AUTH_CLIENT_ID"}},
		"timeout":           {{value: "30s", origin: "built in"}, {text: text, value: "10s", origin: "file"}, {text: text, variable: "VILLAPAY_TIMEOUT=20s", value: "20s", origin: "VILLAPAY_TIMEOUT"}, {text: text, variable: "VILLAPAY_TIMEOUT=20s", flags: Flags{Timeout: 90 * time.Second}, value: "1m30s", origin: "--timeout flag"}},
	} {
		for _, l := range layers {
			w := newWorld(t, l.text)
			name, value, _ := strings.Cut(l.variable, "=")
			w.vars[name] = value
			c := w.load(t, l.flags)
			if got := find(t, c, key); got.Value != l.value || !strings.HasPrefix(got.Origin, l.origin) {
				t.Errorf("%s with %q: got %v, want %s from %s", key, l.variable, got, l.value, l.origin)
			}
			switch key {
			case "env":
				if c.Profile.Name != l.value {
					t.Errorf("profile %s, want %s", c.Profile.Name, l.value)
				}
			case "output":
				if c.Output.Value != l.value {
					t.Errorf("output %v, want %s", c.Output, l.value)
				}
			case "ledger":
				if c.Ledger.Reveal() != l.value {
					t.Errorf("ledger %s, want %s", c.Ledger.Reveal(), l.value)
				}
			case "base_url":
				if c.Profile.BaseURL != l.value {
					t.Errorf("base URL %s, want %s", c.Profile.BaseURL, l.value)
				}
			case "timeout":
				if want, _ := time.ParseDuration(l.value); c.Profile.Timeout != want {
					t.Errorf("timeout %s, want %s", c.Profile.Timeout, l.value)
				}
			}
		}
	}
}

// TestEmptyVariables: a variable that is set and empty is an error where its
// value is used, never the default.
func TestEmptyVariables(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		kind Kind
		use  func(*Config) error
	}{
		"VILLAPAY_ENV":               {kind: KindConfig},
		"VILLAPAY_BASE_URL":          {kind: KindConfig},
		"VILLAPAY_LEDGER":            {KindConfig, func(c *Config) error { return c.Require("ledger") }},
		"VILLAPAY_AUTH_REGION":       {KindConfig, func(c *Config) error { return c.Require("auth") }},
		"VILLAPAY_AUTH_USER_POOL_ID": {KindConfig, func(c *Config) error { return c.Require("auth") }},
		"VILLAPAY_AUTH_CLIENT_ID":    {KindConfig, func(c *Config) error { return c.Require("ledger", "auth.client_id") }},
		"VILLAPAY_TOKEN":             {KindSignIn, func(c *Config) error { _, err := c.Token(); return err }},
		"VILLAPAY_KBANK_SECRET":      {KindConfig, func(c *Config) error { _, err := c.KBankSecret(); return err }},
	} {
		for _, value := range []string{"", " \r\n"} {
			w := newWorld(t, "env: prod\n", name, value)
			if test.use == nil {
				_, err := Load(w.lookup, Flags{})
				wantError(t, err, test.kind, name+" is set, and empty")
				continue
			}
			c := w.load(t, Flags{})
			wantError(t, test.use(c), test.kind, name+" is set, and empty")
			delete(w.vars, name)
			if err := test.use(w.load(t, Flags{})); err != nil {
				t.Errorf("without %s: %v", name, err)
			}
		}
	}
	w := newWorld(t, "env: prod\n", "VILLAPAY_OUTPUT", "", "VILLAPAY_SOURCE", " ", "VILLAPAY_TIMEOUT", "\n", "VILLAPAY_ENV", "")
	if c := w.load(t, Flags{Env: "prod"}); c.Output.Value != "table" || c.Profile.Source != "qr" || c.Profile.Timeout != 30*time.Second {
		t.Errorf("got %+v", c.Profile)
	}
	w = newWorld(t, "", "VILLAPAY_BASE_URL", "", "VILLAPAY_LEDGER", "")
	if c := w.load(t, Flags{Env: "sandbox"}); find(t, c, "ledger") != (Value{"ledger", "", "VILLAPAY_LEDGER"}) || find(t, c, "base_url").Origin != "built in" {
		t.Errorf("got %v", c.Values())
	}
}

// TestVariablesAreTrimmed: line ends and blanks around a value are nobody's.
func TestVariablesAreTrimmed(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "", "VILLAPAY_ENV", " prod\n", "VILLAPAY_LEDGER", "postgres://h/d\r\n", "VILLAPAY_BASE_URL", "\thttps://x.example\n",
		"VILLAPAY_TOKEN", "abc\n", "VILLAPAY_KBANK_SECRET", " skey_1 \n", "VILLAPAY_PASSWORD", " pass \r\n", "VILLAPAY_CLIENT_SECRET", " secret ")
	c := w.load(t, Flags{})
	token, tokenErr := c.Token()
	key, keyErr := c.KBankSecret()
	if c.Profile.Name != "prod" || c.Ledger.Reveal() != "postgres://h/d" || c.Profile.BaseURL != "https://x.example" ||
		token.Reveal() != "abc" || tokenErr != nil || key.Reveal() != "skey_1" || keyErr != nil {
		t.Errorf("got %+v, ledger %s, token %s, %v, key %s, %v", c.Profile, c.Ledger.Reveal(), token.Reveal(), tokenErr, key.Reveal(), keyErr)
	}
	env := LookupEnv(w.lookup)
	if got := env.Get("VILLAPAY_PASSWORD"); got != " pass " {
		t.Errorf("the password became %q", got)
	}
	if got := env.Get("VILLAPAY_CLIENT_SECRET"); got != "secret" {
		t.Errorf("the client secret became %q", got)
	}
}

func TestSecretKeys(t *testing.T) {
	t.Parallel()
	for text, says := range map[string]string{
		" skey_test_1\n":         "",
		"กุญแจ":                  "",
		"":                       "empty",
		" \n":                    "empty",
		"\ufeffskey_test_1":      "byte order mark",
		"skey_test_1\x00":        "byte order mark",
		"\xff\xfes\x00k\x00":     "byte order mark",
		"skey_test 1":            "blanks",
		"skey_test_1\nskey_two":  "blanks",
		"skey\u200b_test_hunter": "unprintable",
	} {
		key, err := ParseSecretKey(text)
		if says == "" && (err != nil || key.Reveal() != strings.TrimSpace(text)) || says != "" && (err == nil || !strings.Contains(err.Error(), says) || strings.Contains(err.Error(), "hunter")) {
			t.Errorf("%q is %s, %v", text, key.Reveal(), err)
		}
	}
	for _, test := range []struct {
		env, key string
		says     string
	}{
		{"dev", "skey_test_22211", ""},
		{"prod", "skey_prod_22211", ""},
		{"prod", "other", ""},
		{"dev", "other", ""},
		{"dev", "SKEY_PROD_22211", "environment dev is not live"},
		{"prod", "skey_test_22211", "environment prod is live"},
		{"dev", "skey_live_22211", "environment dev is not live"},
		{"dev", "pkey_test_1", "public key"},
		{"prod", "pkey_prod_1", "public key"},
		{"dev", "skey 1", "blanks"},
	} {
		_, err := newWorld(t, "", "VILLAPAY_KBANK_SECRET", test.key).load(t, Flags{Env: test.env}).KBankSecret()
		if test.says == "" {
			if err != nil {
				t.Errorf("%s in %s: %v", test.key, test.env, err)
			}
			continue
		}
		wantError(t, err, KindConfig, "VILLAPAY_KBANK_SECRET: ", test.says)
		if strings.Contains(err.Error(), test.key) {
			t.Errorf("%q shows the key", err)
		}
	}
}

// TestStrays: what looks like ours and is not read is found.
func TestStrays(t *testing.T) {
	t.Parallel()
	got := UnknownVariables([]string{"VILLAPAY_TOEKN=hunter22", "PATH=/", "VILLAPAY_ENV=dev", "VILLAPAY_AUTH_REGION=", "VILLAPAY_ACTIVE_HELP=0", "VILLAPAY_KBANK_SECRET=x", "VILLAPAY_APIKEY=a=b", "XVILLAPAY_A=b"})
	if diff := cmp.Diff([]string{"VILLAPAY_APIKEY", "VILLAPAY_TOEKN"}, got); diff != "" {
		t.Error(diff)
	}
	w := newWorld(t, "env: dev\n")
	if got := w.load(t, Flags{}).UnreadFiles(); len(got) != 0 {
		t.Errorf("found %v", got)
	}
	for _, name := range []string{"config.yml", "config.json", "other.yml"} {
		if err := os.WriteFile(filepath.Join(w.dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff([]string{filepath.Join(w.dir, "config.yml"), filepath.Join(w.dir, "config.json")}, w.load(t, Flags{}).UnreadFiles()); diff != "" {
		t.Error(diff)
	}
}

// TestNoHome: where nothing names a directory there is no file, and variables
// are enough.
func TestNoHome(t *testing.T) {
	t.Parallel()
	vars := map[string]string{"VILLAPAY_LEDGER": "none", "VILLAPAY_SOURCE": "wechat", "VILLAPAY_TIMEOUT": "5s", "VILLAPAY_AUTH_USER_POOL_ID": "p", "VILLAPAY_AUTH_CLIENT_ID": "c", "VILLAPAY_AUTH_REGION": "us-east-1"}
	lookup := func(name string) (string, bool) { value, set := vars[name]; return value, set }
	c, err := Load(lookup, Flags{})
	if err != nil {
		t.Fatal(err)
	}
	if p := c.Profile; c.File != "" || p.Name != "dev" || c.Ledger.Reveal() != "none" || p.Source != order.WeChat || p.Timeout != 5*time.Second ||
		p.Auth.UserPoolID != "p" || p.Auth.ClientID != "c" || p.Auth.Region != "us-east-1" || len(c.UnreadFiles()) != 0 {
		t.Errorf("file %q, %+v", c.File, p)
	}
	_, err = Load(lookup, Flags{Env: "sandbox"})
	wantError(t, err, KindConfig, "find the user's directories", "VILLAPAY_STATE_DIR")
	wantError(t, Use(t.Context(), lookup, "prod"), KindConfig, "find the user's directories")
}

const everyKey = `env: staging
output: yaml
ledger: "postgres://ann:hunter22@db.example,db2.example:6432/pay?sslmode=require&password=hunter33"
envs:
  staging:
    base_url: HTTPS://Staging.Example.:443//api/./v1/
    live: True
    source: wechat
    timeout: 1m
    order_path: /kbank/order
    status_path: ""
    status_paid: [PAID, จ่ายแล้ว]
    idempotency_header: X-Key
    qr_content: |-
      https://pay.example/?o={{.id}}
    auth:
      scheme: Bearer
      region: us-gov-west-1
      user_pool_id: 00123
      client_id: 1.5e3x
      domain: https://login.example
      callback_ports: [1024, 65535]
      endpoint: http://localhost:9229/
    kbank:
      api_url: https://BANK.example/
      sof_qr: ""
      sof_wechat: WeChat
      script_url: http://[::1]:80/k.js
      public_key: pkey_prod_1
      shop_name: 0x10
`

func TestEveryKey(t *testing.T) {
	t.Parallel()
	w := newWorld(t, strings.Replace(everyKey, "1.5e3x", "1_500", 1))
	c := w.load(t, Flags{})
	want := Profile{
		Name: "staging", BaseURL: "https://staging.example/api/v1", Live: true, Source: order.WeChat, Timeout: time.Minute,
		OrderPath: "/kbank/order", StatusPath: "", StatusPaid: []string{"PAID", "จ่ายแล้ว"}, IdempotencyHeader: "X-Key", QRContent: "https://pay.example/?o={{.id}}",
		Auth:  Auth{Scheme: "Bearer", Region: "us-gov-west-1", UserPoolID: "00123", ClientID: "1_500", Domain: "https://login.example", Endpoint: "http://localhost:9229", CallbackPorts: []int{1024, 65535}},
		KBank: KBank{APIURL: "https://bank.example", SofWeChat: "WeChat", ScriptURL: "http://[::1]/k.js", PublicKey: "pkey_prod_1", ShopName: "0x10"},
	}
	if diff := cmp.Diff(want, c.Profile, cmp.AllowUnexported(Profile{})); diff != "" {
		t.Error(diff)
	}
	var keys []string
	for _, v := range c.Values() {
		keys = append(keys, v.Key)
		if v.Key != "env" && !strings.HasPrefix(v.Origin, "file "+w.path()+":") {
			t.Errorf("%v does not come from the file", v)
		}
	}
	if diff := cmp.Diff(append([]string{"env", "output", "ledger"}, Keys()[:len(Keys())-2]...), keys); diff != "" {
		t.Errorf("Values and Keys differ: %s", diff)
	}
	if got := find(t, c, "auth.user_pool_id"); got.Origin != "file "+w.path()+":19" || got.Value != "00123" {
		t.Errorf("got %v", got)
	}
	if got := find(t, c, "auth.callback_ports"); got.Value != "1024,65535" {
		t.Errorf("got %v", got)
	}
}

// TestLedgerPassword: it is used, named as misplaced, and never shown.
func TestLedgerPassword(t *testing.T) {
	t.Parallel()
	w := newWorld(t, everyKey[:strings.Index(everyKey, "envs:")])
	w.vars["VILLAPAY_ENV"] = "dev"
	wantError(t, func() error { _, err := Load(w.lookup, Flags{}); return err }(), KindConfig, `no environment "staging"`)
	w.write(t, strings.Replace(everyKey[:strings.Index(everyKey, "envs:")], "staging", "dev", 1), 0o600)
	c := w.load(t, Flags{})
	if !strings.Contains(c.Ledger.Reveal(), "hunter22") {
		t.Error("the ledger's URL lost its password")
	}
	if got := find(t, c, "ledger").Value; got != "postgres://ann@db.example,db2.example:6432/pay" {
		t.Errorf("shown as %s", got)
	}
	if len(c.Warnings) != 1 || !strings.Contains(c.Warnings[0], "line 3") || strings.Contains(c.Warnings[0], "hunter") {
		t.Errorf("warnings %q", c.Warnings)
	}
}

// TestLiveByAddress: an address of real money is live under any name.
func TestLiveByAddress(t *testing.T) {
	t.Parallel()
	const shop = "envs:\n  shop: {base_url: https://shop.example/pay, live: true}\n"
	for name, test := range map[string]struct {
		text, env, url string
		live           bool
		origin         string
	}{
		"dev":                         {env: "dev", origin: "built in"},
		"prod's address in dev":       {env: "dev", url: "https://SHOP.villamarket.com:443/api//payment3api/", live: true, origin: "base_url of prod"},
		"prod's address by file":      {text: "envs:\n  mine: {base_url: https://shop.villamarket.com./api/payment3api, live: false}\n", env: "mine", live: true, origin: "base_url of prod"},
		"prod called not live":        {text: "envs:\n  prod: {live: false}\n", env: "prod", live: true, origin: "base_url of prod"},
		"prod moved and not live":     {text: "envs:\n  prod: {live: false, base_url: https://x.example}\n", env: "prod", origin: "file"},
		"prod moved, dev goes there":  {text: "envs:\n  prod: {base_url: https://x.example}\n", env: "dev", url: "https://x.example", live: true, origin: "base_url of prod"},
		"prod moved, its old address": {text: "envs:\n  prod: {base_url: https://x.example}\n", env: "dev", url: prodURL, live: true, origin: "base_url of prod"},
		"a live one of the file":      {text: shop, env: "dev", url: "https://shop.example/pay", live: true, origin: "base_url of shop"},
		"another path":                {text: shop, env: "dev", url: "https://shop.example/Pay", origin: "built in"},
		"live with another address":   {text: shop, env: "shop", url: "http://localhost:1", live: true, origin: "file"},
		"sandbox":                     {text: shop, env: "sandbox", origin: "built in"},
	} {
		w := newWorld(t, test.text)
		if test.url != "" {
			w.vars["VILLAPAY_BASE_URL"] = test.url
		}
		c := w.load(t, Flags{Env: test.env})
		if got := find(t, c, "live"); c.Profile.Live != test.live || !strings.HasPrefix(got.Origin, test.origin) {
			t.Errorf("%s: live is %t from %q, want %t from %s", name, c.Profile.Live, got.Origin, test.live, test.origin)
		}
		for _, env := range c.Envs() {
			if env.Name == test.env && (env.Live != test.live || !env.Selected) {
				t.Errorf("%s: listed as %+v", name, env)
			}
		}
	}
}

// TestLiveByPath: no environment makes orders, or asks about them, below a live base
// URL that is not its own, whichever of base_url and path leads there.
func TestLiveByPath(t *testing.T) {
	t.Parallel()
	const shop = "  shop: {base_url: 'https://shop.example/pay', live: true}\n"
	for text, twin := range map[string]string{
		"{base_url: 'https://shop.villamarket.com/api', order_path: /payment3api/qrpayment}":          "prod",
		"{base_url: 'https://shop.villamarket.com', order_path: /api/payment3api/create-order}":       "prod",
		"{base_url: 'https://shop.villamarket.com/api/payment3api/v2'}":                               "prod",
		"{base_url: 'https://shop.example', order_path: /pay/x}":                                      "shop",
		"{base_url: 'https://shop.villamarket.com/api', status_path: '/payment3api/s/{orderid}?a=b'}": "prod",
		"{base_url: 'https://shop.example', status_path: '/pay/{orderid}'}":                           "shop",
		"{base_url: 'https://shop.example', status_path: ''}":                                         "",
		"{base_url: 'https://shop.example', order_path: /payments}":                                   "",
		"{base_url: 'https://shop.villamarket.com/api/payment3api', order_path: /v2/x, live: true}":   "",
		"{base_url: 'https://shop.villamarket.com/api', order_path: /payment3devapi/create-order}":    "",
	} {
		w := newWorld(t, "envs:\n"+shop+"  mine: "+text+"\n")
		_, err := Load(w.lookup, Flags{Env: "mine"})
		if twin == "" && err != nil {
			t.Errorf("%s: %v", text, err)
		}
		if twin != "" {
			wantError(t, err, KindConfig, "below the base URL of "+twin+", which is live")
		}
	}
}

// TestBankByLive: nothing of the bank's for live payments is used in an environment
// that is not live, nor what is for tests in one that is.
func TestBankByLive(t *testing.T) {
	t.Parallel()
	const test, live = "https://dev-kpaymentgateway-services.kasikornbank.com", "https://KPaymentGateway-Services.kasikornbank.com:443/"
	for name, c := range map[string]struct {
		text, env, url string
		says           string
		key            string // "" = api_url
	}{
		"live API, not live":              {text: "envs:\n  dev: {kbank: {api_url: '" + live + "'}}\n", env: "dev", says: "environment dev has live: false"},
		"live API below a path":           {text: "envs:\n  dev: {kbank: {api_url: '" + live + "v2'}}\n", env: "dev", says: "environment dev has live: false"},
		"test API, live":                  {text: "envs:\n  prod: {kbank: {api_url: '" + test + "'}}\n", env: "prod", says: "environment prod has live: true"},
		"test API, live by its address":   {text: "envs:\n  dev: {kbank: {api_url: '" + test + "'}}\n", env: "dev", url: prodURL, says: "environment dev has live: true"},
		"live widget, not live":           {text: "envs:\n  dev: {kbank: {script_url: '" + prodScript + "'}}\n", env: "dev", says: "environment dev has live: false", key: "script_url"},
		"test widget, live":               {text: "envs:\n  prod: {kbank: {script_url: '" + devScript + "'}}\n", env: "prod", says: "environment prod has live: true", key: "script_url"},
		"live public key, not live":       {text: "envs:\n  dev: {kbank: {public_key: PKEY_prod_1}}\n", env: "dev", says: "environment dev has live: false", key: "public_key"},
		"test public key, live":           {text: "envs:\n  dev: {kbank: {public_key: pkey_test_1}}\n", env: "dev", url: prodURL, says: "environment dev has live: true", key: "public_key"},
		"the right ones":                  {text: "envs:\n  dev: {kbank: {public_key: pkey_test_1, script_url: '" + devScript + "'}}\n  prod: {kbank: {public_key: pkey_prod_1}}\n", env: "prod"},
		"keys of no kind":                 {text: "envs:\n  dev: {kbank: {public_key: pkey_1, script_url: ''}}\n", env: "dev"},
		"the default follows the address": {env: "dev", url: prodURL},
		"another environment's":           {text: "envs:\n  prod: {kbank: {api_url: '" + test + "'}}\n", env: "dev"},
		"nobody":                          {text: "envs:\n  prod: {kbank: {api_url: ''}}\n", env: "prod"},
		"somebody else":                   {text: "envs:\n  prod: {kbank: {api_url: 'https://dev-bank.example'}}\n", env: "prod"},
	} {
		w := newWorld(t, c.text)
		if c.url != "" {
			w.vars["VILLAPAY_BASE_URL"] = c.url
		}
		if c.key == "" {
			c.key = "api_url"
		}
		_, err := Load(w.lookup, Flags{Env: c.env})
		if c.says == "" {
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		wantError(t, err, KindConfig, c.says, "villapay env unset kbank."+c.key+" -e "+c.env)
	}
}

func TestEnvs(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "envs:\n  zoo: {base_url: https://Z.example}\n  dev: {source: wechat}\n  alt: {base_url: https://z.example/, live: true}\n")
	c := w.load(t, Flags{Env: "alt"})
	want := []Summary{
		{Name: "dev", BaseURL: devURL, BuiltIn: true},
		{Name: "prod", BaseURL: prodURL, Live: true, BuiltIn: true},
		{Name: "sandbox", BaseURL: "(embedded)", BuiltIn: true},
		{Name: "zoo", BaseURL: "https://z.example", Live: true},
		{Name: "alt", BaseURL: "https://z.example", Live: true, Selected: true},
	}
	if diff := cmp.Diff(want, c.Envs()); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"dev", "prod", "sandbox", "zoo", "alt"}, c.settings.names()); diff != "" {
		t.Error(diff)
	}
}

func TestBadFlagsAndVariables(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		variable string
		flags    Flags
		kind     Kind
		says     []string
	}{
		"flag names no environment":     {flags: Flags{Env: "prd"}, kind: KindUsage, says: []string{`--env: there is no environment "prd"`, `did you mean "prod"?`}},
		"nothing like it":               {flags: Flags{Env: "qqqqqqq"}, kind: KindUsage, says: []string{"dev, prod, sandbox"}},
		"variable names no environment": {variable: "VILLAPAY_ENV=PROD", kind: KindConfig, says: []string{`VILLAPAY_ENV: there is no environment "PROD"`, `"prod"?`}},
		"flag over a wrong variable":    {variable: "VILLAPAY_ENV=nosuch", flags: Flags{Env: "nono"}, kind: KindUsage, says: []string{`"nono"`}},
		"variable's format":             {variable: "VILLAPAY_OUTPUT=JSON", kind: KindConfig, says: []string{"VILLAPAY_OUTPUT", `"JSON"`, `must be table, json`}},
		"variable's source":             {variable: "VILLAPAY_SOURCE=card", kind: KindConfig, says: []string{"VILLAPAY_SOURCE", `must be qr or wechat`}},
		"variable's timeout":            {variable: "VILLAPAY_TIMEOUT=30", kind: KindConfig, says: []string{"VILLAPAY_TIMEOUT", "such as 30s"}},
		"variable's pool":               {variable: "VILLAPAY_AUTH_USER_POOL_ID=a/b", kind: KindConfig, says: []string{"VILLAPAY_AUTH_USER_POOL_ID"}},
		"a password with an @":          {variable: "VILLAPAY_LEDGER=postgres://u:hunter22@x@h/d", kind: KindConfig, says: []string{"VILLAPAY_LEDGER", "percent-encoded"}},
		"variable's ledger":             {variable: "VILLAPAY_LEDGER=mysql://u:hunter22@h/d", kind: KindConfig, says: []string{"VILLAPAY_LEDGER"}},
		"variable's address":            {variable: "VILLAPAY_BASE_URL=http://evil.example", kind: KindConfig, says: []string{"VILLAPAY_BASE_URL", "https"}},
		"address with a password":       {variable: "VILLAPAY_BASE_URL=https://u:hunter22@h.example", kind: KindConfig, says: []string{"no password"}},
		"address of the sandbox":        {variable: "VILLAPAY_BASE_URL=https://h.example", flags: Flags{Env: "sandbox"}, kind: KindConfig, says: []string{"embedded"}},
		"negative timeout":              {flags: Flags{Timeout: -1}, kind: KindUsage, says: []string{"--timeout"}},
		"endless timeout":               {flags: Flags{Timeout: time.Hour}, kind: KindUsage, says: []string{"10m0s"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, "")
			key, value, _ := strings.Cut(test.variable, "=")
			w.vars[key] = value
			_, err := Load(w.lookup, test.flags)
			wantError(t, err, test.kind, test.says...)
			if strings.Contains(err.Error(), "hunter22") {
				t.Errorf("%q shows a password", err)
			}
		})
	}
	w := newWorld(t, "", "VILLAPAY_ENV", "nosuch")
	if c := w.load(t, Flags{Env: "dev"}); c.Profile.Name != "dev" {
		t.Error("a flag does not win over a wrong variable")
	}
}

// TestDocumentedDefaults: the config file in the operations guide has every key,
// with its default.
func TestDocumentedDefaults(t *testing.T) {
	t.Parallel()
	guide, err := os.ReadFile(filepath.Join("..", "..", "docs", "operations.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, text, _ := strings.Cut(string(guide), "```yaml\nenv:")
	text, _, _ = strings.Cut(text, "```")
	documented, defaults := newWorld(t, "env:"+text).load(t, Flags{}), newWorld(t, "").load(t, Flags{})
	for _, v := range documented.Values() {
		if want := find(t, defaults, v.Key); v.Value != want.Value || !strings.HasPrefix(v.Origin, "file ") {
			t.Errorf("%s is %q from %s, want %q", v.Key, v.Value, v.Origin, want.Value)
		}
	}
}
