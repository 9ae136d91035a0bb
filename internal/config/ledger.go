package config

import (
	"errors"
	"net/url"
	"strings"

	"github.com/villapay/villapay/internal/secret"
)

// checkLedger takes sqlite, none and PostgreSQL URLs. The URL itself is read by
// the database driver, which knows forms that net/url does not (many hosts); an
// error never repeats the text, which may hold a password.
func checkLedger(text string) (string, error) {
	if text == "sqlite" || text == "none" {
		return text, nil
	}
	rest, ok := postgres(text)
	if !ok {
		return "", errors.New("it must be sqlite, none or a postgres:// URL")
	}
	if rest == "" || strings.ContainsFunc(rest, control) || strings.Contains(rest, " ") {
		return "", errors.New("it is not a postgres:// URL")
	}
	return text, nil
}

// postgres cuts the scheme off a PostgreSQL URL.
func postgres(text string) (rest string, ok bool) {
	if rest, ok = strings.CutPrefix(text, "postgresql://"); ok {
		return rest, true
	}
	return strings.CutPrefix(text, "postgres://")
}

// hideLedger replaces the passwords in a ledger URL, where one stands between
// the user's colon and the @ and where it stands in the query. In doubt it
// hides too much.
func hideLedger(text string) string {
	rest, ok := postgres(text)
	if !ok {
		return text
	}
	scheme := text[:len(text)-len(rest)]
	// The user's @ is the last one before the query, which may hold others as
	// they are; or the last of all, where the ? is rather one of the password's.
	before, _, _ := strings.Cut(rest, "?")
	inPassword := strings.Contains(before, ":") && !strings.ContainsAny(before, "@/")
	if !inPassword {
		rest = hideQuery(rest)
	}
	before, query, _ := strings.Cut(rest, "?")
	i := strings.IndexAny(query, "=&@")
	if _, err := url.Parse(scheme + rest); err != nil || inPassword || i >= 0 && query[i] == '@' {
		before = rest
	}
	at := strings.LastIndexByte(before, '@')
	if at < 0 {
		return scheme + hideQuery(rest)
	}
	user, password, _ := strings.Cut(rest[:at], ":")
	if password != "" {
		user += ":" + secret.Redacted
	}
	return scheme + user + hideQuery(hidePairs(rest[at:]))
}

// hideQuery replaces the passwords in the query of what stands behind a scheme.
func hideQuery(rest string) string {
	address, query, asked := strings.Cut(rest, "?")
	if !asked {
		return rest
	}
	return address + "?" + hidePairs(query)
}

// hidePairs replaces the passwords among a query's pairs.
func hidePairs(query string) string {
	pairs := strings.Split(query, "&")
	for i, pair := range pairs {
		name, value, _ := strings.Cut(pair, "=")
		plain, err := url.QueryUnescape(name)
		if value != "" && (err != nil || strings.Contains(strings.ToLower(plain), "password")) {
			pairs[i] = name + "=" + secret.Redacted
		}
	}
	return strings.Join(pairs, "&")
}
