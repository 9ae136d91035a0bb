package config

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/villapay/villapay/internal/order"
	"github.com/villapay/villapay/internal/pgurl"
)

// check returns a value in its one form, or why it is invalid.
type check func(text string) (normal string, err error)

// only takes ASCII letters, digits and the extra characters.
func only(longest int, extra, what string) check {
	return func(text string) (string, error) {
		if len(text) > longest || strings.ContainsFunc(text, func(r rune) bool {
			letter := 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9'
			return !letter && !strings.ContainsRune(extra, r)
		}) {
			return "", fmt.Errorf("%q is not %s", text, what)
		}
		return text, nil
	}
}

func oneOf(words ...string) check {
	return func(text string) (string, error) {
		if slices.Contains(words, text) {
			return text, nil
		}
		return "", &wordError{text, words}
	}
}

// wordError is a setting that is not one of its words.
type wordError struct {
	text  string
	words []string
}

func (e *wordError) Error() string {
	words := slices.Clone(e.words)
	for i, word := range words {
		if word == "" {
			words[i] = "empty"
		}
	}
	last := len(words) - 1
	return fmt.Sprintf("must be %s or %s, not %q", strings.Join(words[:last], ", "), words[last], e.text)
}

// invalid says of which setting or variable a check's error is.
func invalid(name string, err error) string {
	if _, ok := errors.AsType[*wordError](err); ok {
		return name + " " + err.Error()
	}
	return name + ": " + err.Error()
}

func orEmpty(check check) check {
	return func(text string) (string, error) {
		if text == "" {
			return "", nil
		}
		return check(text)
	}
}

func each(check check) check {
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

func checkName(text string) (string, error) {
	_, err := only(64, "-", "")(text)
	if err != nil || text == "" || text[0] == '-' || text != strings.ToLower(text) {
		return "", fmt.Errorf("%q is not an environment's name: lower-case letters, digits and -, starting with a letter or digit", text)
	}
	return text, nil
}

// checkBool takes true and false only: YAML's older yes and on are words now,
// and a live that is read as false would spend money unasked.
func checkBool(text string) (string, error) { return oneOf("true", "false")(strings.ToLower(text)) }

// checkWord takes letters of any script.
func checkWord(text string) (string, error) {
	if text == "" || strings.ContainsFunc(text, func(r rune) bool {
		return !unicode.In(r, unicode.L, unicode.M, unicode.Nd) && !strings.ContainsRune("_-.", r)
	}) {
		return "", fmt.Errorf("%q is not a bare word", text)
	}
	return text, nil
}

// checkRegion takes what can be a part of a host name.
func checkRegion(text string) (string, error) {
	parts := strings.Split(text, "-")
	if _, err := checkName(text); err != nil || len(parts) < 3 || slices.Contains(parts, "") {
		return "", fmt.Errorf("%q is not a region such as ap-southeast-1", text)
	}
	return text, nil
}

// maxTimeout bounds one command's conversation with the API.
const maxTimeout = 10 * time.Minute

func checkTimeout(text string) (string, error) {
	timeout, err := time.ParseDuration(text)
	if err != nil {
		return "", fmt.Errorf("%q is not a duration such as 30s or 2m", text)
	}
	if timeout <= 0 || timeout > maxTimeout {
		return "", fmt.Errorf("%s is out of range: more than 0, at most %s", text, maxTimeout)
	}
	return text, nil
}

// checkOrderPath takes a path below base_url that can be written in one way
// only: it has no escapes and no dot segments, and cannot lead to another host.
func checkOrderPath(text string) (string, error) {
	if !strings.HasPrefix(text, "/") || path.Clean(text) != strings.TrimSuffix(text, "/") {
		return "", errors.New("it must be a path that starts with one /, without . and .. in it")
	}
	return only(1000, "-._~!$&'()*+,;=:@/", "a plain path below base_url, without escapes")(text)
}

// checkStatusPath takes a path below base_url with {orderid} in it, or "" for
// an API without a status endpoint.
func checkStatusPath(text string) (string, error) {
	if text == "" {
		return "", nil
	}
	plain, query, _ := strings.Cut(strings.ReplaceAll(text, "{orderid}", "x"), "?")
	if !strings.Contains(text, "{orderid}") {
		return "", errors.New(`it must contain {orderid}, or be "" if the API has no status endpoint`)
	}
	if _, err := checkOrderPath(plain); err != nil {
		return "", err
	}
	_, err := only(1000, "-._~!$&'()*+,;=:@/?%", "a query in which everything special is escaped")(query)
	return text, err
}

// checkHeader takes a header name (RFC 9110 token) which the HTTP client and
// the API do not need for something else.
func checkHeader(text string) (string, error) {
	taken := strings.Fields("accept accept-encoding authorization connection content-encoding content-length content-type cookie expect " +
		"host keep-alive proxy-authorization proxy-connection te trailer transfer-encoding upgrade user-agent")
	if text == "" || slices.Contains(taken, strings.ToLower(text)) {
		return "", fmt.Errorf("%q is not a header name, or is reserved", text)
	}
	return only(64, "!#$%&'*+-.^_`|~", "the name of a header")(text)
}

// checkContent takes what a code can be made of.
func checkContent(text string) (string, error) {
	_, err := order.ParseContent(text)
	return text, err
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

// checkPublicKey rejects the bank's secret keys (skey_…) without repeating them.
func checkPublicKey(text string) (string, error) {
	if strings.HasPrefix(strings.ToLower(strings.TrimSpace(text)), "skey") {
		return "", errors.New("this is a secret key, which is never stored in this file; the public one starts with pkey_")
	}
	return only(256, "_-.", "a public key: letters, digits, _ - and . are allowed")(text)
}

func checkShopName(text string) (string, error) {
	if len(text) > 200 || strings.ContainsFunc(text, unprintable) {
		return "", errors.New("it is longer than 200 bytes or holds unprintable characters")
	}
	return text, nil
}

func unprintable(r rune) bool { return !unicode.IsPrint(r) || r == unicode.ReplacementChar }

func checkLedger(text string) (string, error) {
	if text == "sqlite" || text == "none" {
		return text, nil
	}
	if !strings.HasPrefix(text, "postgres") {
		return "", errors.New("it is not sqlite, none or a postgres:// URL")
	}
	_, err := pgurl.Parse(text)
	return text, err
}

// showLedger is a ledger setting without passwords.
func showLedger(text string) (shown string, password bool) {
	u, err := pgurl.Parse(text)
	if err != nil { // sqlite, none, or nothing
		return text, false
	}
	return u.String(), u.Password
}
