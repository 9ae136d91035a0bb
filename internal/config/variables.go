package config

import (
	"errors"
	"slices"
	"strings"
	"unicode"

	"github.com/villapay/villapay/internal/secret"
)

// LookupEnv looks a variable up: os.LookupEnv outside tests.
type LookupEnv func(name string) (value string, set bool)

// Get returns a variable without the blanks and line ends around it, "" if it is
// not set. A password loses a final line end only.
func (e LookupEnv) Get(name string) string {
	value, _ := e(name)
	if name == "VILLAPAY_PASSWORD" {
		return strings.TrimSuffix(strings.TrimSuffix(value, "\n"), "\r")
	}
	return strings.TrimSpace(value)
}

// isEmpty reports whether a variable is set to nothing, as a CI system does with
// a secret that it does not have.
func (e LookupEnv) isEmpty(name string) bool {
	_, set := e(name)
	return set && e.Get(name) == ""
}

func emptyVariable(kind Kind, name string) *Error {
	return &Error{Kind: kind, Message: name + " is set, and empty", Hint: "check the secret or variable that it is set from, or unset it"}
}

// Require returns an error if one of the keys, or of the keys below them, takes
// its value from a variable that is set and empty. Whoever uses such a value asks
// first, so that the default never takes the place of a missing CI secret.
func (c *Config) Require(keys ...string) error {
	for _, v := range c.values {
		group, _, _ := strings.Cut(v.Key, ".")
		used := slices.Contains(keys, v.Key) || slices.Contains(keys, group)
		if used && v.Value == "" && strings.HasPrefix(v.Origin, "VILLAPAY_") {
			return emptyVariable(KindConfig, v.Origin)
		}
	}
	return nil
}

// Token returns VILLAPAY_TOKEN, the zero String if it is not set.
func (c *Config) Token() (secret.String, error) {
	const name = "VILLAPAY_TOKEN"
	if c.env.isEmpty(name) {
		return secret.String{}, emptyVariable(KindSignIn, name)
	}
	return secret.New(c.env.Get(name)), nil
}

// KBankSecret returns VILLAPAY_KBANK_SECRET, the zero String if it is not set.
func (c *Config) KBankSecret() (secret.String, error) {
	const name = "VILLAPAY_KBANK_SECRET"
	text := c.env.Get(name)
	switch {
	case c.env.isEmpty(name):
		return secret.String{}, emptyVariable(KindConfig, name)
	case text == "":
		return secret.String{}, nil
	}
	key, err := ParseSecretKey(text)
	if err == nil {
		err = c.Profile.CheckSecretKey(key)
	}
	if err != nil {
		return secret.String{}, &Error{Kind: KindConfig, Message: name + ": " + err.Error(), Err: err}
	}
	return key, nil
}

// ParseSecretKey reads a merchant's secret key from the text of a variable, a
// file or stdin. Blanks and line ends around it are not part of it.
func ParseSecretKey(text string) (secret.String, error) {
	text = strings.TrimSpace(text)
	switch {
	case text == "":
		return secret.String{}, errors.New("the secret key is empty")
	case strings.ContainsAny(text, "\x00\ufeff\ufffd"): // U+FFFD is also what is not UTF-8
		return secret.String{}, errors.New("the secret key holds a byte order mark, NUL or UTF-16: save it as plain text")
	case strings.ContainsFunc(text, func(r rune) bool { return unicode.IsSpace(r) || !unicode.IsPrint(r) }):
		return secret.String{}, errors.New("the secret key holds blanks or unprintable characters")
	}
	return secret.New(text), nil
}

// CheckSecretKey returns an error if the bank's secret key is for test payments
// and the environment is live, or the reverse, or if it is a public key.
func (p Profile) CheckSecretKey(key secret.String) error {
	text := strings.ToLower(key.Reveal())
	switch {
	case strings.HasPrefix(text, "pkey_"):
		return errors.New("it is a public key, and the bank's API needs the secret key")
	case p.Live && otherKind(text, p.Live):
		return errors.New("the secret key is one for tests, and environment " + p.Name + " is live")
	case otherKind(text, p.Live):
		return errors.New("the secret key is a live one, and environment " + p.Name + " is not live")
	}
	return nil
}

// otherKind reports whether a key of the bank's is for test payments where payments
// are live, or the reverse.
func otherKind(key string, live bool) bool {
	key = strings.ToLower(key)
	if live {
		return strings.Contains(key, "_test_")
	}
	return strings.Contains(key, "_prod_") || strings.Contains(key, "_live_")
}

// UnknownVariables returns the names among variables, as os.Environ lists them,
// that look like ours and mean nothing.
func UnknownVariables(variables []string) []string {
	known := []string{
		"VILLAPAY_TOKEN", "VILLAPAY_CONFIG_DIR", "VILLAPAY_STATE_DIR", "VILLAPAY_USERNAME", "VILLAPAY_PASSWORD",
		"VILLAPAY_CLIENT_SECRET", "VILLAPAY_KBANK_SECRET", "VILLAPAY_WEBHOOK_SECRET", "VILLAPAY_NO_INPUT", "VILLAPAY_DEBUG",
		"VILLAPAY_ACTIVE_HELP", "VILLAPAY_COMPLETION_DESCRIPTIONS", // cobra's own
	}
	for _, k := range slices.Concat(topKeys(), envKeys()) {
		known = append(known, k.variable)
	}
	var unknown []string
	for _, variable := range variables {
		name, _, _ := strings.Cut(variable, "=")
		if strings.HasPrefix(strings.ToUpper(name), "VILLAPAY_") && !slices.Contains(known, name) {
			unknown = append(unknown, name)
		}
	}
	slices.Sort(unknown)
	return unknown
}
