package config

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/viper"

	"github.com/villapay/villapay/internal/api"
	"github.com/villapay/villapay/internal/secret"
)

// Load reads the file and the variables once. getenv is os.Getenv outside tests;
// an empty variable counts as not set. It fails with an [*Error].
func Load(getenv func(string) string, flags Flags) (*Config, error) {
	path, err := file(getenv)
	if err != nil {
		return nil, err
	}
	doc, err := read(path)
	if err != nil {
		return nil, err
	}
	settings, err := doc.valid()
	if err != nil {
		return nil, err
	}
	return newLoader(path, getenv, flags, settings).load()
}

// loader puts the layers into viper one after the other, lowest first, and
// remembers which came last for each key. Viper reads and never writes; it is
// given the variables because it would look them up in the process itself.
type loader struct {
	path     string
	getenv   func(string) string
	flags    Flags
	settings settings
	viper    *viper.Viper
	origins  map[string]string
}

// newLoader makes a loader. Viper takes dotted keys apart, which changes nothing
// here: no key is the parent of another. (Any of its options, such as another
// delimiter, would put 0.3 MB of its encoders into the binary.)
func newLoader(path string, getenv func(string) string, flags Flags, s settings) *loader {
	return &loader{path: path, getenv: getenv, flags: flags, settings: s, viper: viper.New(), origins: map[string]string{}}
}

func (l *loader) load() (*Config, error) {
	name, err := l.top()
	if err != nil {
		return nil, err
	}
	if err := l.env(name); err != nil {
		return nil, err
	}
	c := &Config{
		File: l.path, Profile: l.profile(name), settings: l.settings,
		Output: l.value("output"), Ledger: secret.New(l.viper.GetString("ledger")),
	}
	for _, k := range append(topKeys(), envKeys()...) {
		c.values = append(c.values, l.value(k.name))
	}
	if own, ok := l.settings.top["ledger"]; ok && hideLedger(own.text) != own.text {
		c.Warnings = append(c.Warnings, fmt.Sprintf("%s, line %d: a password stands in the ledger's URL; VILLAPAY_LEDGER or ~/.pgpass is the place for it", l.path, own.line))
	}
	if c.Profile.Sandbox {
		c.Profile.stateDir, err = StateDir(l.getenv)
	}
	return c, err
}

// top lays env, output and ledger, and returns the selected environment.
func (l *loader) top() (string, error) {
	l.layFile(topKeys(), l.settings.top)
	for _, v := range []struct{ key, variable, flag string }{
		{"env", "VILLAPAY_ENV", l.flags.Env},
		{"output", "VILLAPAY_OUTPUT", l.flags.Output},
		{"ledger", "VILLAPAY_LEDGER", ""},
	} {
		k, _ := lookup(topKeys(), v.key)
		if err := l.layVariable(k, v.variable); err != nil {
			return "", err
		}
		if v.flag == "" {
			continue
		}
		if _, err := k.check(v.flag); err != nil && v.key != "env" {
			return "", usage("", "--%s: %s", v.key, err)
		}
		l.override(k, v.flag, "--"+v.key+" flag")
	}
	name := l.viper.GetString("env")
	if slices.Contains(l.settings.names(), name) {
		return name, nil
	}
	fault := usage(meant(name, l.settings.names(), "the environments are "), "%s: there is no environment %q", strings.TrimSuffix(l.origins["env"], " flag"), name)
	if l.flags.Env == "" {
		fault.Kind = KindConfig
	}
	return "", fault
}

// env lays the values of the selected environment.
func (l *loader) env(name string) error {
	l.layFile(envKeys(), l.settings.env(name).keys)
	url, live := l.settings.address(name)
	l.viper.SetDefault("base_url", url)
	l.viper.SetDefault("live", strconv.FormatBool(live))
	baseURL, _ := lookup(envKeys(), "base_url")
	if name == Sandbox && l.getenv("VILLAPAY_BASE_URL") != "" {
		return &Error{Kind: KindConfig, Message: "VILLAPAY_BASE_URL is set, and the sandbox environment is embedded: it has no base_url", Hint: "unset the variable, or choose another environment"}
	}
	if err := l.layVariable(baseURL, "VILLAPAY_BASE_URL"); err != nil {
		return err
	}
	if twin := l.settings.liveEnv(l.viper.GetString("base_url")); twin != "" && !live {
		live = true
		l.viper.Set("live", "true")
		l.origins["live"] = "base_url of " + twin
	}
	switch {
	case name == Sandbox:
		l.viper.SetDefault("kbank.api_url", "")
		l.viper.SetDefault("kbank.script_url", "")
	case live:
		l.viper.SetDefault("kbank.api_url", prodBank)
		l.viper.SetDefault("kbank.script_url", prodScript)
	}
	if err := checkBank(name, l.viper.GetString("kbank.api_url"), l.viper.GetBool("live")); err != nil {
		return err
	}
	if l.flags.Timeout != 0 {
		if err := checkDuration(l.flags.Timeout); err != nil {
			return usage("", "--timeout: %s", err)
		}
		timeout, _ := lookup(envKeys(), "timeout")
		l.override(timeout, l.flags.Timeout.String(), "--timeout flag")
	}
	return nil
}

// checkBank rejects the bank's live API in an environment that is not live, and
// its test API in one that is.
func checkBank(env, apiURL string, live bool) error {
	other, what := prodBank, "kbank.api_url is the bank's live API, and environment %s is not live"
	if live {
		other, what = devBank, "kbank.api_url is the bank's test API, and environment %s is live"
	}
	api, err := url.Parse(apiURL)
	if err != nil || api.Hostname() != strings.TrimPrefix(other, "https://") {
		return nil //nolint:nilerr // apiURL was checked before
	}
	return &Error{Kind: KindConfig, Message: fmt.Sprintf(what, env), Hint: "villapay env unset kbank.api_url -e " + env}
}

// layFile lays the built-in values and over them the file's.
func (l *loader) layFile(keys []key, own map[string]setting) {
	values := map[string]any{}
	for _, k := range keys {
		l.viper.SetDefault(k.name, k.value(k.builtIn))
		l.origins[k.name] = "built in"
		if s, ok := own[k.name]; ok {
			values[k.name] = k.value(s.text)
			l.origins[k.name] = fmt.Sprintf("file %s:%d", l.path, s.line)
		}
	}
	_ = l.viper.MergeConfigMap(values) // it has no way to fail
}

// layVariable lays a variable that is set, after checking it.
func (l *loader) layVariable(k key, variable string) error {
	text := l.getenv(variable)
	if text == "" {
		return nil
	}
	normal := text
	if k.name != "env" { // which is looked up in the list of environments
		var err error
		if normal, err = k.check(text); err != nil {
			return &Error{Kind: KindConfig, Message: fmt.Sprintf("%s: %s", variable, err)}
		}
	}
	l.override(k, normal, variable)
	return nil
}

func (l *loader) override(k key, text, origin string) {
	l.viper.Set(k.name, k.value(text))
	l.origins[k.name] = origin
}

// value is the form in which viper holds a text.
func (k key) value(text string) any {
	if k.list {
		return split(text)
	}
	return text
}

func (l *loader) value(name string) Value {
	text := strings.Join(l.viper.GetStringSlice(name), ",")
	if k, _ := lookup(envKeys(), name); !k.list {
		text = l.viper.GetString(name)
	}
	if name == "ledger" {
		text = hideLedger(text)
	}
	return Value{Key: name, Value: text, Origin: l.origins[name]}
}

func (l *loader) profile(name string) Profile {
	v := l.viper
	p := Profile{
		Name: name, BaseURL: v.GetString("base_url"), Live: v.GetBool("live"), Sandbox: name == Sandbox,
		Source: api.Source(v.GetString("source")), Timeout: v.GetDuration("timeout"),
		OrderPath: v.GetString("order_path"), StatusPath: v.GetString("status_path"), StatusPaid: v.GetStringSlice("status_paid"),
		IdempotencyHeader: v.GetString("idempotency_header"), QRContent: v.GetString("qr_content"),
		Auth: Auth{
			Scheme: v.GetString("auth.scheme"), Region: v.GetString("auth.region"), UserPoolID: v.GetString("auth.user_pool_id"),
			ClientID: v.GetString("auth.client_id"), Domain: v.GetString("auth.domain"), Endpoint: v.GetString("auth.endpoint"),
			CallbackPorts: v.GetIntSlice("auth.callback_ports"),
		},
		KBank: KBank{
			APIURL: v.GetString("kbank.api_url"), SofQR: v.GetString("kbank.sof_qr"), SofWeChat: v.GetString("kbank.sof_wechat"),
			ScriptURL: v.GetString("kbank.script_url"), PublicKey: v.GetString("kbank.public_key"), ShopName: v.GetString("kbank.shop_name"),
		},
	}
	if p.Sandbox {
		p.BaseURL = ""
	}
	return p
}
