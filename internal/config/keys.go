package config

import (
	"fmt"
	"slices"
	"strings"
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

// Embedded is what stands for the sandbox's base_url where it is shown.
const Embedded = "(embedded)"

// key is one key of the file: below an environment, or at the top.
type key struct {
	name    string // with dots for nested ones: auth.region
	builtIn string
	tag     string // the YAML type it is written with
	list    bool   // its text holds the items separated by commas
	check   func(text string) (normal string, err error)
}

// topKeys are the keys at the top of the file that hold a value.
func topKeys() []key {
	return []key{
		{name: "env", builtIn: Dev, check: checkName},
		{name: "output", builtIn: string(FormatTable), check: oneOf(Formats()...)},
		{name: "ledger", builtIn: "sqlite", check: checkLedger},
	}
}

// envKeys are the keys of an environment, in the order in which they are shown.
func envKeys() []key {
	return []key{
		{name: "base_url", check: normaliseURL},
		{name: "live", builtIn: "false", tag: "!!bool", check: checkBool},
		{name: "source", builtIn: "qr", check: checkSource},
		{name: "timeout", builtIn: "30s", check: checkTimeout},
		{name: "order_path", builtIn: "/qrpayment", check: checkOrderPath},
		{name: "status_path", builtIn: "/checkstatus/{orderid}", check: checkStatusPath},
		{name: "status_paid", list: true, check: each(checkWord)},
		{name: "idempotency_header", builtIn: "Idempotency-Key", check: checkHeader},
		{name: "qr_content", builtIn: "{{.id}}", check: checkTemplate},
		{name: "auth.scheme", check: oneOf("", "Bearer")},
		{name: "auth.region", builtIn: "ap-southeast-1", check: checkRegion},
		{name: "auth.user_pool_id", check: checkID},
		{name: "auth.client_id", check: checkID},
		{name: "auth.domain", check: orEmpty(normaliseURL)},
		{name: "auth.callback_ports", builtIn: "8976,8977,8978", tag: "!!int", list: true, check: checkPorts},
		{name: "auth.endpoint", check: orEmpty(normaliseURL)},
		{name: "kbank.api_url", builtIn: devBank, check: orEmpty(normaliseURL)},
		{name: "kbank.sof_qr", builtIn: "ThaiQR", check: checkSof},
		{name: "kbank.sof_wechat", check: checkSof},
		{name: "kbank.script_url", builtIn: devScript, check: orEmpty(normaliseURL)},
		{name: "kbank.public_key", check: checkPublicKey},
		{name: "kbank.shop_name", check: checkShopName},
	}
}

// Keys lists what [Set] takes: the keys of an environment, then output and
// ledger, which stand at the top of the file and hold for all of them.
func Keys() []string { return append(names(envKeys()), "output", "ledger") }

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

// BuiltIns lists the built-in environments.
func BuiltIns() []string { return []string{Dev, Prod, Sandbox} }

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

// secretVariable names the variable that carries a secret somebody wants to
// keep in the file, or "" where the key's name is not that of a secret.
func secretVariable(name string) string {
	name = strings.ToLower(name)
	has := func(words ...string) bool {
		return slices.ContainsFunc(words, func(w string) bool { return strings.Contains(name, w) })
	}
	switch {
	case has("webhook", "checksum") && has("secret", "key"):
		return "VILLAPAY_WEBHOOK_SECRET"
	case has("secret_key", "secretkey", "skey", "api_key", "apikey"), has("kbank", "bank") && has("secret"):
		return "VILLAPAY_KBANK_SECRET"
	case has("secret"):
		return "VILLAPAY_CLIENT_SECRET"
	case has("password", "passwd", "passphrase"):
		return "VILLAPAY_PASSWORD"
	case has("token"):
		return "VILLAPAY_TOKEN"
	}
	return ""
}

// unknown describes a key that does not belong where it stands; where is the
// mapping it stands in, "" at the top and envs.NAME… below.
func unknown(where, name string) (message, hint string) {
	full := strings.TrimPrefix(where+"."+name, ".")
	inner, remove := name, "villapay env unset "+name
	if parts := strings.SplitN(where, ".", 3); where != "" {
		inner = strings.Join(append(parts[2:], name), ".")
		remove = fmt.Sprintf("villapay env unset %s -e %s", inner, parts[1])
	}
	message = fmt.Sprintf("unknown key %q", full)
	group, rest, dotted := strings.Cut(name, ".")
	_, ofEnv := lookup(envKeys(), inner)
	_, ofTop := lookup(topKeys(), inner)
	candidates := names(envKeys())
	if where == "" {
		candidates = append(names(topKeys()), "envs")
	}
	near := Nearest(inner, candidates)
	switch {
	case secretVariable(name) != "":
		return fmt.Sprintf("%q: secrets never stand in this file", full), fmt.Sprintf("use the variable %s, and take the key out: %q", secretVariable(name), remove)
	case dotted:
		return message, fmt.Sprintf("write %q on a line of its own below %q", rest, group)
	case where == "" && ofEnv:
		return message, name + " belongs to an environment: envs, then its name, then " + name
	case where != "" && ofTop:
		return message, name + " belongs at the top of the file"
	case near != "":
		return message, fmt.Sprintf("did you mean %q?", near)
	}
	return message, fmt.Sprintf("this villapay may be older than the file; to take the key out: %q", remove)
}
