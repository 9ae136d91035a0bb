package config

import (
	"cmp"
	"errors"
	"net/netip"
	"net/url"
	"path"
	"strconv"
	"strings"
)

// normalizeURL reads the address of a server and writes it in its one form:
// lower-case host without a trailing dot, no default port, cleaned path, no
// trailing slash. Two addresses of one API are then equal as text, which is
// what the ledger's scope and the live rule compare.
//
// It must be https, or http on 127.0.0.1, [::1] or localhost, without user,
// query and fragment. Errors never repeat the text: it may hold a password.
func normalizeURL(text string) (string, error) {
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return "", errors.New("it is not a URL")
	case u.Scheme != "https" && u.Scheme != "http":
		return "", errors.New("it must start with https://")
	case u.Opaque != "" || u.Host == "":
		return "", errors.New("it names no host")
	case u.User != nil:
		return "", errors.New("it must hold no user name and no password")
	case strings.ContainsAny(text, "?#"):
		return "", errors.New("it must hold no query and no fragment")
	}
	host, err := normalizeHost(u.Hostname())
	if err != nil {
		return "", err
	}
	if u.Scheme == "http" && host != "127.0.0.1" && host != "[::1]" && host != "localhost" {
		return "", errors.New("it must be https; http is for 127.0.0.1, [::1] and localhost only")
	}
	standard := map[string]uint64{"https": 443, "http": 80}[u.Scheme]
	port, err := strconv.ParseUint(cmp.Or(u.Port(), strconv.FormatUint(standard, 10)), 10, 16)
	if err != nil || port == 0 {
		return "", errors.New("its port must be 1 to 65535")
	}
	if port != standard {
		host += ":" + strconv.FormatUint(port, 10)
	}
	if u.RawPath != "" || strings.ContainsFunc(u.Path, unprintable) {
		return "", errors.New("its path holds characters or escapes that can be written in more than one way")
	}
	clean := strings.TrimSuffix(path.Clean("/"+u.Path), "/")
	return (&url.URL{Scheme: u.Scheme, Host: host, Path: clean}).String(), nil
}

func normalizeHost(host string) (string, error) {
	if strings.Contains(host, ":") {
		address, err := netip.ParseAddr(host)
		if err != nil || address.Zone() != "" {
			return "", errors.New("its host is not an IPv6 address")
		}
		return "[" + address.String() + "]", nil
	}
	host = strings.TrimSuffix(strings.ToLower(host), ".")
	if _, err := only(253, "-._", "")(host); err != nil || strings.Contains("."+host+".", "..") {
		return "", errors.New("its host is not a name: letters, digits, . and - are allowed")
	}
	return host, nil
}
