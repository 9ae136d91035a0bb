package config

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/viper"

	"github.com/villapay/villapay/internal/order"
	"github.com/villapay/villapay/internal/secret"
)

// Load reads the file and the variables once. It fails with an [*Error].
func Load(env LookupEnv, flags Flags) (*Config, error) {
	var doc *document
	path, err := file(env)
	switch {
	case err == nil:
		doc, err = read(path)
	case errors.Is(err, errNoHome): // such as a container configured only by variables
		path = ""
		doc, err = newDocument("", "")
	}
	if err != nil {
		return nil, err
	}
	settings, invalid := doc.settings()
	if invalid != nil {
		return nil, invalid
	}
	return load(path, env, flags, settings)
}

// loader puts the layers into viper one after the other, lowest first, and
// remembers which came last for each key. Viper reads and never writes. It gets
// the variables from here: BindEnv would look them up in the process itself,
// unchecked, and could not say that one is set and empty. (Any option of viper's,
// such as another delimiter, would put 0.3 MB of its encoders into the binary.)
type loader struct {
	path     string
	env      LookupEnv
	flags    Flags
	settings settings
	viper    *viper.Viper
	origins  map[string]string
}

func load(path string, env LookupEnv, flags Flags, s settings) (*Config, error) {
	l := &loader{path: path, env: env, flags: flags, settings: s, viper: viper.New(), origins: map[string]string{}}
	name, err := l.layTop()
	if err != nil {
		return nil, err
	}
	if err := l.layEnv(name); err != nil {
		return nil, err
	}
	c := &Config{
		File: path, Profile: l.profile(name), env: env, settings: s,
		Output: l.value("output"), Ledger: secret.New(l.viper.GetString("ledger")),
	}
	for _, k := range slices.Concat(topKeys(), envKeys()) {
		c.values = append(c.values, l.value(k.name))
	}
	own := s.top["ledger"]
	if _, password := showLedger(own.text); password {
		c.Warnings = append(c.Warnings, fmt.Sprintf("%s, line %d: the ledger's URL holds a password; put it into VILLAPAY_LEDGER or ~/.pgpass", path, own.line))
	}
	if c.Profile.Sandbox {
		c.Profile.stateDir, err = StateDir(env)
	}
	return c, err
}

// layTop lays env, output and ledger, and returns the selected environment.
func (l *loader) layTop() (string, error) {
	if err := l.lay(topKeys(), l.settings.top); err != nil {
		return "", err
	}
	name, origin := l.viper.GetString("env"), l.origins["env"]
	if slices.Contains(l.settings.names(), name) {
		return name, nil
	}
	if name == "" {
		return "", emptyVariable(KindConfig, origin)
	}
	fault := usage(suggestion(name, l.settings.names(), "the environments are "), "%s: there is no environment %q", strings.TrimSuffix(origin, " flag"), name)
	if l.flags.Env == "" {
		fault.Kind = KindConfig
	}
	return "", fault
}

// layEnv lays the values of the selected environment.
func (l *loader) layEnv(name string) error {
	const variable = "VILLAPAY_BASE_URL"
	switch {
	case name == Sandbox && l.env.Get(variable) != "":
		return &Error{Kind: KindConfig, Message: variable + " is set, and the sandbox environment is embedded: it has no base_url", Hint: "unset the variable, or choose another environment"}
	case name != Sandbox && l.env.isEmpty(variable):
		return emptyVariable(KindConfig, variable)
	}
	if err := l.lay(envKeys(), l.settings.env(name).keys); err != nil {
		return err
	}
	own, live := l.settings.address(name)
	l.viper.SetDefault("base_url", own)
	l.viper.SetDefault("live", strconv.FormatBool(live))
	if twin := l.settings.liveEnv(l.viper.GetString("base_url"), ""); twin != "" && !live {
		live = true
		l.set("live", "true", "base_url of "+twin)
	}
	for _, key := range []string{"order_path", "status_path"} {
		twin, live := l.settings.livePath(l.viper.GetString("base_url"), l.viper.GetString(key))
		if name != Sandbox && twin != "" {
			return &Error{Kind: KindConfig, Message: fmt.Sprintf("environment %s: its base_url and %s lead below the base URL of %s, which is live", name, key, twin), Hint: "villapay env unset " + key + " -e " + name + "; villapay env set base_url " + live + " -e " + name}
		}
	}
	switch {
	case name == Sandbox:
		l.set("base_url", embedded, "built in") // whatever an empty variable says
		l.viper.SetDefault("kbank.api_url", "")
		l.viper.SetDefault("kbank.script_url", "")
	case live:
		l.viper.SetDefault("kbank.api_url", prodBank)
		l.viper.SetDefault("kbank.script_url", prodScript)
	}
	return l.checkBank(name, live)
}

// checkBank rejects what is the bank's for live payments in an environment that is
// not live, and what is for tests in one that is.
func (l *loader) checkBank(env string, live bool) error {
	hosts := map[bool][]string{true: {devBank, devScript}, false: {prodBank, prodScript}}[live]
	for _, key := range []string{"kbank.api_url", "kbank.script_url", "kbank.public_key"} {
		value := l.viper.GetString(key)
		sameHost := func(address string) bool { return hostname(value) == hostname(address) }
		if slices.ContainsFunc(hosts, sameHost) || key == "kbank.public_key" && otherKind(value, live) {
			return &Error{Kind: KindConfig, Message: fmt.Sprintf("environment %s has live: %t, and its %s is %s", env, live, key, value), Hint: "villapay env unset " + key + " -e " + env}
		}
	}
	return nil
}

// hostname is the host of a URL that was checked before, without its port.
func hostname(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	return u.Hostname()
}

// lay lays the built-in values, the file's, and those of variables and flags.
func (l *loader) lay(keys []key, own map[string]setting) error {
	inFile := map[string]any{}
	for _, k := range keys {
		l.viper.SetDefault(k.name, k.value(k.builtIn))
		l.origins[k.name] = "built in"
		if s, ok := own[k.name]; ok {
			inFile[k.name] = k.value(s.text)
			l.origins[k.name] = fmt.Sprintf("file %s:%d", l.path, s.line)
		}
		if err := l.override(k); err != nil {
			return err
		}
	}
	return l.viper.MergeConfigMap(inFile)
}

// override lays the value of a key's flag or variable, if there is one.
func (l *loader) override(k key) error {
	text := l.env.Get(k.variable)
	switch {
	case k.name == "env" && l.flags.Env != "":
		l.set(k.name, l.flags.Env, "--env flag")
	case k.name == "env" && text != "": // which is looked up among the environments
		l.set(k.name, text, k.variable)
	case text != "":
		normal, err := k.check(text)
		if err != nil {
			return &Error{Kind: KindConfig, Message: invalid(k.variable, err)}
		}
		l.set(k.name, normal, k.variable)
	case k.required && l.env.isEmpty(k.variable):
		l.set(k.name, "", k.variable)
	}
	if k.name == "timeout" && l.flags.Timeout != 0 {
		text, err := k.check(l.flags.Timeout.String())
		if err != nil {
			return usage("", "--timeout: %s", err)
		}
		l.set(k.name, text, "--timeout flag")
	}
	return nil
}

func (l *loader) set(name, text, origin string) {
	l.viper.Set(name, text)
	l.origins[name] = origin
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
		text, _ = showLedger(text)
	}
	return Value{Key: name, Value: text, Origin: l.origins[name]}
}

func (l *loader) profile(name string) Profile {
	v := l.viper
	p := Profile{
		Name: name, BaseURL: v.GetString("base_url"), Live: v.GetBool("live"), Sandbox: name == Sandbox,
		Source: order.Source(v.GetString("source")), Timeout: v.GetDuration("timeout"),
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
