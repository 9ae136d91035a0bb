package config

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
	"text/template/parse"
	"time"
	"unicode"

	"github.com/villapay/villapay/internal/api"
	"github.com/villapay/villapay/internal/pgurl"
)

// maxTimeout bounds one command's conversation with the API.
const maxTimeout = 10 * time.Minute

// control reports characters that are not printed, or change how what follows
// is printed (bidi and the like).
func control(r rune) bool {
	return unicode.Is(unicode.C, r) || r == '\u2028' || r == '\u2029' || r == unicode.ReplacementChar
}

// only reports whether text is made of ASCII letters, digits and the extra ones.
func only(text, extra string) bool {
	return !strings.ContainsFunc(text, func(r rune) bool {
		letter := 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9'
		return !letter && !strings.ContainsRune(extra, r)
	})
}

func checkName(text string) (string, error) {
	if text == "" || text[0] == '-' || len(text) > 64 || text != strings.ToLower(text) || !only(text, "-") {
		return "", fmt.Errorf("%q is not an environment's name: lower-case letters, digits and -, starting with a letter or digit", text)
	}
	return text, nil
}

func oneOf(words ...string) func(string) (string, error) {
	return func(text string) (string, error) {
		if slices.Contains(words, text) {
			return text, nil
		}
		quoted := make([]string, len(words))
		for i, word := range words {
			quoted[i] = word
			if word == "" {
				quoted[i] = `""`
			}
		}
		return "", fmt.Errorf("it is %q, not one of %s", text, strings.Join(quoted, ", "))
	}
}

func orEmpty(check func(string) (string, error)) func(string) (string, error) {
	return func(text string) (string, error) {
		if text == "" {
			return "", nil
		}
		return check(text)
	}
}

// split returns the items of a list; an empty text is an empty list.
func split(text string) []string {
	if text == "" {
		return []string{}
	}
	items := strings.Split(text, ",")
	for i := range items {
		items[i] = strings.TrimSpace(items[i])
	}
	return items
}

func each(check func(string) (string, error)) func(string) (string, error) {
	return func(text string) (string, error) {
		items := split(text)
		for i, item := range items {
			normal, err := check(item)
			if err != nil {
				return "", err
			}
			items[i] = normal
		}
		return strings.Join(items, ","), nil
	}
}

// checkBool takes true and false only: YAML's older yes and on are words now,
// and a live that is read as false would spend money unasked.
func checkBool(text string) (string, error) {
	if lower := strings.ToLower(text); lower == "true" || lower == "false" {
		return lower, nil
	}
	return "", fmt.Errorf("it is %q, not true or false", text)
}

func checkSource(text string) (string, error) { return oneOf(api.Sources()...)(text) }

func checkTimeout(text string) (string, error) {
	if _, err := strconv.ParseFloat(text, 64); err == nil {
		return "", fmt.Errorf("%s has no unit: write %ss for seconds", text, text)
	}
	timeout, err := time.ParseDuration(text)
	if err != nil {
		return "", fmt.Errorf("%q is not a duration such as 30s or 2m", text)
	}
	return text, checkDuration(timeout)
}

func checkDuration(timeout time.Duration) error {
	if timeout <= 0 || timeout > maxTimeout {
		return fmt.Errorf("%s is not more than 0 and at most %s", timeout, maxTimeout)
	}
	return nil
}

// checkStatusPath takes a path below base_url with {orderid} in it, or "" for
// an API without a status endpoint.
func checkStatusPath(text string) (string, error) {
	rest := strings.ReplaceAll(text, "{orderid}", "x")
	switch {
	case text == "":
		return "", nil
	case rest == text:
		return "", errors.New(`it must hold {orderid}, or be "" if the API has no status endpoint`)
	}
	plain, query, _ := strings.Cut(rest, "?")
	if _, err := checkOrderPath(plain); err != nil {
		return "", err
	}
	if !only(query, "-._~!$&'()*+,;=:@/?%") {
		return "", errors.New("its query holds characters that must be escaped")
	}
	return text, nil
}

// checkOrderPath takes a path below base_url that can be written in one way
// only: it has no escapes and no dot segments, and cannot lead to another host.
func checkOrderPath(text string) (string, error) {
	switch {
	case !strings.HasPrefix(text, "/") || strings.HasPrefix(text, "//"):
		return "", errors.New("it must start with one /")
	case path.Clean(text) != strings.TrimSuffix(text, "/") || !only(text, "-._~!$&'()*+,;=:@/"):
		return "", errors.New("it must be a plain path below base_url, without escapes, . and ..")
	}
	return text, nil
}

func checkWord(text string) (string, error) {
	bad := func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsMark(r) && !unicode.IsDigit(r) && r != '_' && r != '-' && r != '.'
	}
	if text == "" || strings.ContainsFunc(text, bad) {
		return "", fmt.Errorf("%q is not a bare word", text)
	}
	return text, nil
}

// checkHeader takes a header name (RFC 9110 token) which the HTTP client and
// the API do not need for something else.
func checkHeader(text string) (string, error) {
	if text == "" || !only(text, "!#$%&'*+-.^_`|~") {
		return "", fmt.Errorf("%q is not the name of a header", text)
	}
	taken := []string{
		"accept", "accept-encoding", "authorization", "connection", "content-encoding", "content-length", "content-type", "cookie", "expect",
		"host", "keep-alive", "proxy-authorization", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade", "user-agent",
	}
	if slices.Contains(taken, strings.ToLower(text)) {
		return "", fmt.Errorf("%s is a header with a meaning of its own", text)
	}
	return text, nil
}

// checkTemplate parses a text/template with the functions every template has;
// it is executed over the order's JSON where the code is drawn.
func checkTemplate(text string) (string, error) {
	functions := map[string]any{}
	for name := range strings.FieldsSeq("and call html index slice js len not or print printf println urlquery eq ge gt le lt ne") {
		functions[name] = true
	}
	if strings.TrimSpace(text) == "" {
		return "", errors.New("it is empty: there would be no code to draw")
	}
	trees, err := parse.Parse("qr_content", text, "", "", functions)
	if err != nil {
		return "", fmt.Errorf("it is not a template: %s", strings.TrimPrefix(err.Error(), "template: "))
	}
	if trees["qr_content"] == nil || parse.IsEmptyTree(trees["qr_content"].Root) {
		return "", errors.New("it is empty: there would be no code to draw")
	}
	return text, nil
}

// checkRegion takes letters, digits and hyphens only: the region becomes part
// of a host name.
func checkRegion(text string) (string, error) {
	parts := strings.Split(text, "-")
	if len(text) > 32 || len(parts) < 3 || text != strings.ToLower(text) || !only(text, "-") || slices.Contains(parts, "") {
		return "", fmt.Errorf("%q is not a region such as ap-southeast-1", text)
	}
	return text, nil
}

// checkID takes what Cognito calls user pools and app clients.
func checkID(text string) (string, error) {
	if len(text) > 128 || !only(text, "_+-") {
		return "", fmt.Errorf("%q is not an ID: letters, digits, _ + and - are allowed", text)
	}
	return text, nil
}

func checkPorts(text string) (string, error) {
	if text == "" {
		return "", errors.New("it names no port")
	}
	return each(func(item string) (string, error) {
		port, err := strconv.ParseUint(item, 10, 16)
		if err != nil || port < 1024 || strconv.FormatUint(port, 10) != item {
			return "", fmt.Errorf("%q is not a port from 1024 to 65535", item)
		}
		return item, nil
	})(text)
}

// checkSof takes the bank's name for a source of funds, or "".
func checkSof(text string) (string, error) {
	if len(text) > 64 || !only(text, "_-") {
		return "", fmt.Errorf("%q is not one of the bank's codes, such as ThaiQR", text)
	}
	return text, nil
}

// checkPublicKey rejects the bank's secret keys (skey_…) without repeating them.
func checkPublicKey(text string) (string, error) {
	switch {
	case strings.HasPrefix(strings.ToLower(strings.TrimSpace(text)), "skey"):
		return "", errors.New("this is a secret key: it never stands in this file; the public one starts with pkey_")
	case len(text) > 256 || !only(text, "_-."):
		return "", errors.New("it is not a public key: letters, digits, _ - and . are allowed")
	}
	return text, nil
}

func checkShopName(text string) (string, error) {
	if len(text) > 200 || strings.ContainsFunc(text, control) {
		return "", errors.New("it is longer than 200 bytes or holds unprintable characters")
	}
	return text, nil
}

func checkLedger(text string) (string, error) {
	if text == "sqlite" || text == "none" {
		return text, nil
	}
	if _, err := pgurl.Parse(text); err != nil {
		return "", fmt.Errorf("it must be sqlite, none or a postgres:// URL: %w", err)
	}
	return text, nil
}

// showLedger is a ledger setting without passwords.
func showLedger(text string) (shown string, password bool) {
	u, err := pgurl.Parse(text)
	if err != nil { // sqlite, none, or nothing
		return text, false
	}
	return u.String(), u.Password
}
