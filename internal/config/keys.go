package config

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/villapay/villapay/internal/order"
)

// The names of the built-in environments.
const (
	Dev     = "dev"
	Prod    = "prod"    // live
	Sandbox = "sandbox" // embedded: no network, no sign-in
)

// Villa's two base URLs, the bank's two merchant APIs and its two payment widgets.
const (
	devURL     = "https://shop.villamarket.com/api/payment3devapi"
	prodURL    = "https://shop.villamarket.com/api/payment3api"
	devBank    = "https://dev-kpaymentgateway-services.kasikornbank.com"
	prodBank   = "https://kpaymentgateway-services.kasikornbank.com"
	devScript  = "https://dev-kpaymentgateway.kasikornbank.com/ui/v2/kpayment.min.js"
	prodScript = "https://kpaymentgateway.kasikornbank.com/ui/v2/kpayment.min.js"
)

// embedded is shown as the sandbox's base_url.
const embedded = "(embedded)"

// key is one key of the file: of an environment, or at the top.
type key struct {
	name     string // with dots for nested ones: auth.region
	builtIn  string
	tag      string // the YAML type it is written with
	list     bool   // its text holds the items separated by commas
	check    check
	variable string // VILLAPAY_…, or ""
	required bool   // set and empty, the variable is an error; otherwise it is as if not set
}

// topKeys are the keys at the top of the file that hold a value.
func topKeys() []key {
	return []key{
		{name: "env", builtIn: Dev, check: checkName, variable: "VILLAPAY_ENV", required: true},
		{name: "output", builtIn: string(FormatTable), check: oneOf(Formats()...), variable: "VILLAPAY_OUTPUT"},
		{name: "ledger", builtIn: "sqlite", check: checkLedger, variable: "VILLAPAY_LEDGER", required: true},
	}
}

// envKeys are the keys of an environment, in the order in which they are shown.
func envKeys() []key {
	id := only(128, "_+-", "an ID: letters, digits, _ + and - are allowed")
	sof := only(64, "_-", "one of the bank's codes, such as ThaiQR")
	return []key{
		{name: "base_url", check: normalizeURL, variable: "VILLAPAY_BASE_URL", required: true},
		{name: "live", builtIn: "false", tag: "!!bool", check: checkBool},
		{name: "source", builtIn: "qr", check: oneOf(order.Sources()...), variable: "VILLAPAY_SOURCE"},
		{name: "timeout", builtIn: "30s", check: checkTimeout, variable: "VILLAPAY_TIMEOUT"},
		{name: "order_path", builtIn: "/qrpayment", check: checkOrderPath},
		{name: "status_path", builtIn: "/checkstatus/{orderid}", check: checkStatusPath},
		{name: "status_paid", list: true, check: each(checkWord)},
		{name: "idempotency_header", builtIn: "Idempotency-Key", check: checkHeader},
		{name: "qr_content", builtIn: "{{.id}}", check: checkContent},
		{name: "auth.scheme", check: oneOf("", "Bearer")},
		{name: "auth.region", builtIn: "ap-southeast-1", check: checkRegion, variable: "VILLAPAY_AUTH_REGION", required: true},
		{name: "auth.user_pool_id", check: id, variable: "VILLAPAY_AUTH_USER_POOL_ID", required: true},
		{name: "auth.client_id", check: id, variable: "VILLAPAY_AUTH_CLIENT_ID", required: true},
		{name: "auth.domain", check: orEmpty(normalizeURL)},
		{name: "auth.callback_ports", builtIn: "8976,8977,8978", tag: "!!int", list: true, check: checkPorts},
		{name: "auth.endpoint", check: orEmpty(normalizeURL)},
		{name: "kbank.api_url", builtIn: devBank, check: orEmpty(normalizeURL)},
		{name: "kbank.sof_qr", builtIn: "ThaiQR", check: sof},
		{name: "kbank.sof_wechat", check: sof},
		{name: "kbank.script_url", builtIn: devScript, check: orEmpty(normalizeURL)},
		{name: "kbank.public_key", check: checkPublicKey},
		{name: "kbank.shop_name", check: checkShopName},
	}
}

// Keys lists what [Set] takes: the keys of an environment, then output and
// ledger, which stand at the top of the file and hold for all of them.
func Keys() []string { return append(names(envKeys()), "output", "ledger") }

func names(keys []key) []string {
	list := make([]string, len(keys))
	for i, k := range keys {
		list[i] = k.name
	}
	return list
}

func lookup(keys []key, name string) (key, bool) {
	i := slices.IndexFunc(keys, func(k key) bool { return k.name == name })
	if i < 0 {
		return key{}, false
	}
	return keys[i], true
}

// fixed says why a key cannot be set on an environment, or "".
func fixed(env, name string) string {
	if env == Sandbox && slices.Contains([]string{"base_url", "live", "kbank.api_url"}, name) {
		return fmt.Sprintf("the sandbox is embedded and never live: it has no %s to set", name)
	}
	return ""
}

// secretVariable names the variable for a secret that somebody wants to keep in
// the file, or returns "" if the key's name is not that of a secret.
func secretVariable(name string) string {
	for _, secret := range [][2]string{
		{`(webhook|checksum).*(secret|key)`, "VILLAPAY_WEBHOOK_SECRET"},
		{`secret_?key|skey|api_?key|bank.*secret`, "VILLAPAY_KBANK_SECRET"},
		{`secret`, "VILLAPAY_CLIENT_SECRET"},
		{`passw|passphrase`, "VILLAPAY_PASSWORD"},
		{`token`, "VILLAPAY_TOKEN"},
	} {
		if regexp.MustCompile(`(?i)` + secret[0]).MatchString(name) {
			return secret[1]
		}
	}
	return ""
}

// unknown describes a key that does not belong at path.
func unknown(path ...string) (message, hint string) {
	inner, remove := path[0], "villapay env unset "+path[0]
	candidates := append(names(topKeys()), "envs")
	if len(path) > 1 {
		inner = strings.Join(path[2:], ".")
		remove = fmt.Sprintf("villapay env unset %s -e %s", inner, path[1])
		candidates = names(envKeys())
	}
	full, name := strings.Join(path, "."), path[len(path)-1]
	message = fmt.Sprintf("unknown key %q", full)
	group, rest, dotted := strings.Cut(name, ".")
	_, ofEnv := lookup(envKeys(), inner)
	_, ofTop := lookup(topKeys(), inner)
	variable, near := secretVariable(name), Suggest(inner, candidates)
	switch {
	case variable != "":
		return fmt.Sprintf("%q: secrets are never stored in this file", full), fmt.Sprintf("use the variable %s, and run `%s`", variable, remove)
	case dotted:
		return message, fmt.Sprintf("write %q on a line of its own below %q", rest, group)
	case len(path) == 1 && ofEnv:
		return message, "move it into an environment: envs, then its name, then " + name
	case len(path) > 1 && ofTop:
		return message, "move it to the top of the file"
	case near != "":
		return message, fmt.Sprintf("did you mean %q?", near)
	}
	return message, fmt.Sprintf("run `%s`, or update villapay: it may be older than the file", remove)
}

// Format is an output format.
type Format string

// The output formats.
const (
	FormatTable Format = "table"
	FormatJSON  Format = "json"
	FormatYAML  Format = "yaml"
	FormatCSV   Format = "csv"
	FormatQR    Format = "qr"
)

// Formats lists the output formats, in the order in which help shows them.
func Formats() []string {
	return []string{string(FormatTable), string(FormatJSON), string(FormatYAML), string(FormatCSV), string(FormatQR)}
}
