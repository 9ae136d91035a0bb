package config

import (
	neturl "net/url"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/villapay/villapay/internal/order"
	"github.com/villapay/villapay/internal/secret"
)

// Flags are the flags that decide values; a zero field is a flag not given.
type Flags struct {
	Env     string
	Timeout time.Duration
}

// Config is what a command works with. It does not change once loaded.
type Config struct {
	File    string // the path of config.yaml, which need not exist; "" if no directory for it is known
	Profile Profile
	Output  Value         // the output format and where it was asked for
	Ledger  secret.String // sqlite, none or a PostgreSQL URL, which may hold a password; see Require

	// Warnings name what works and should be changed.
	Warnings []string

	env      LookupEnv
	settings settings
	values   []Value
}

// Profile is the selected environment.
type Profile struct {
	Name string

	BaseURL string // normalized; "" in the sandbox, which has none
	Live    bool   // payments are real money
	Sandbox bool   // the embedded stand-in

	Source            order.Source  // unless the command names one
	Timeout           time.Duration // of one command's whole conversation with API and bank, and of opening the ledger
	OrderPath         string        // below BaseURL
	StatusPath        string        // below BaseURL, with {orderid}; "" = there is no such endpoint
	StatusPaid        []string      // that endpoint's words that mean paid
	IdempotencyHeader string
	QRContent         string // as order.ParseContent reads it

	Auth  Auth
	KBank KBank

	stateDir string
}

// Auth describes the user pool to sign in to. Empty fields are not known.
type Auth struct {
	Scheme        string // "" = the raw token, or Bearer
	Region        string
	UserPoolID    string
	ClientID      string
	Domain        string // the hosted UI, for signing in with a browser
	Endpoint      string // instead of AWS's own
	CallbackPorts []int
}

// KBank describes the bank's merchant API and its payment widget. The secret key
// is not part of it.
type KBank struct {
	APIURL    string // "" = the bank is never asked
	SofQR     string // the bank's `sof` for source qr; "" = it draws no code for it
	SofWeChat string // for source wechat

	ScriptURL string // of the widget
	PublicKey string
	ShopName  string
}

// Scope is what payments are kept under: the normalized base URL, for the
// sandbox its state directory. The environment's name is only a label.
func (p Profile) Scope() string {
	if p.Sandbox {
		return "sandbox:" + p.stateDir
	}
	return p.BaseURL
}

// Value is one effective value for people to read: without passwords, a list's
// items separated by commas. Its JSON is that of `env show`.
type Value struct {
	Key    string `json:"key"`
	Value  string `json:"value"`
	Origin string `json:"from"` // "built in", "file PATH:LINE", "VILLAPAY_…", "--… flag", or "base_url of ENV" for live
}

// LiveAt names the live environment to which a path below the selected one's base URL
// leads: the selected one, if it is live, or one with a longer base URL. "" is none.
func (c *Config) LiveAt(path string) string {
	if c.Profile.Live {
		return c.Profile.Name
	}
	env, _ := c.settings.livePath(c.Profile.BaseURL, path)
	return env
}

// Summary describes an environment in a list of them. Its JSON is that of
// `env list`.
type Summary struct {
	Name     string `json:"name"`
	BaseURL  string `json:"base_url"`
	Live     bool   `json:"live"`
	BuiltIn  bool   `json:"built_in"`
	Selected bool   `json:"selected"`
}

// Values returns every effective value and its origin: the environment, output
// and ledger, then what the environment holds in the order of [Keys].
func (c *Config) Values() []Value { return slices.Clone(c.values) }

// Envs describes every environment, the built-in ones first; the selected one as
// variables change it.
func (c *Config) Envs() []Summary {
	var list []Summary
	for _, name := range c.settings.names() {
		url, live := c.settings.address(name)
		summary := Summary{Name: name, BaseURL: url, Live: live || c.settings.liveEnv(url, "") != "", BuiltIn: builtIn(name)}
		if name == c.Profile.Name {
			summary.Selected, summary.Live = true, c.Profile.Live
			if !c.Profile.Sandbox {
				summary.BaseURL = c.Profile.BaseURL
			}
		}
		list = append(list, summary)
	}
	return list
}

// address returns the base URL of an environment and its own `live`, as the file
// has them.
func (s settings) address(name string) (url string, live bool) {
	url = map[string]string{Dev: devURL, Prod: prodURL, Sandbox: embedded}[name]
	env := s.env(name)
	if own, ok := env.keys["base_url"]; ok {
		url = own.text
	}
	if own, ok := env.keys["live"]; ok {
		return url, own.text == "true"
	}
	return url, name == Prod
}

// livePath names the live environment, and its base URL, to which a path below
// another base URL leads, or returns "". Its payments would be made without its
// question, and kept apart from its own. The path is judged as a server may read it:
// without escapes and dot segments.
func (s settings) livePath(base, below string) (env, url string) {
	below, _, _ = strings.Cut(below, "?")
	if plain, err := neturl.PathUnescape(below); err == nil {
		below = plain
	}
	full := base + (&neturl.URL{Path: path.Clean("/" + below)}).EscapedPath() + "/"
	leads := func(own string) bool { return own != base && strings.HasPrefix(full, own+"/") }
	if leads(prodURL) {
		return Prod, prodURL
	}
	for _, name := range s.names() {
		if own, live := s.address(name); live && leads(own) {
			return name, own
		}
	}
	return "", ""
}

// liveEnv names the live environment, other than one, that has this base URL, or
// returns "". The built-in address of prod is live whatever the file says about prod.
func (s settings) liveEnv(url, other string) string {
	if url == prodURL {
		return Prod
	}
	for _, name := range s.names() {
		if own, live := s.address(name); live && own == url && name != other {
			return name
		}
	}
	return ""
}
