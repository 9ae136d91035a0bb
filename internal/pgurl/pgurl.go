// Package pgurl checks PostgreSQL URLs and shows them without anything secret.
//
// It promises that what it shows is made of user, hosts, ports and database
// alone, and that its errors repeat nothing of a URL.
package pgurl

import (
	"errors"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// URL is what may be shown of a PostgreSQL URL.
type URL struct {
	User     string
	Hosts    []string // as hostPort joins them
	Database string
	Password bool // there is one, before the host or in the query
	SSLMode  string
}

// String is the URL of these parts.
func (u URL) String() string {
	user := ""
	if u.User != "" {
		user = url.User(u.User).String() + "@"
	}
	return "postgres://" + user + strings.Join(u.Hosts, ",") + "/" + escape(u.Database)
}

func escape(text string) string { return strings.ReplaceAll(url.PathEscape(text), "@", "%40") }

// hostPort joins a host, or the directory of a socket, and a port, "" for the
// default.
func hostPort(host, port string) string {
	switch {
	case port == "" && strings.Contains(host, ":"):
		return "[" + escape(host) + "]"
	case port == "" || strings.HasPrefix(host, "/"):
		return escape(host)
	}
	return net.JoinHostPort(escape(host), port)
}

// Parse reads a URL as libpq and pgx do, and rejects every one in which a part
// of an unescaped password could be taken for a host.
func Parse(text string) (URL, error) {
	rest, ok := strings.CutPrefix(text, "postgres://")
	if !ok {
		rest, ok = strings.CutPrefix(text, "postgresql://")
	}
	switch {
	case !ok || rest == "":
		return URL{}, errors.New("it is not a postgres:// URL")
	case strings.ContainsFunc(rest, func(r rune) bool { return !unicode.IsGraphic(r) || unicode.IsSpace(r) || r == unicode.ReplacementChar }):
		return URL{}, errors.New("it is not a postgres:// URL: blanks and unprintable characters must be percent-encoded")
	}
	settings, err := parse(rest)
	if err != nil {
		return URL{}, err
	}
	u := URL{User: settings["user"], Database: settings["dbname"], SSLMode: settings["sslmode"]}
	for name, value := range settings {
		u.Password = u.Password || value != "" && secretName(name)
	}
	hosts, ports := strings.Split(settings["host"], ","), strings.Split(settings["port"], ",")
	if len(ports) > 1 && len(ports) != len(hosts) {
		return URL{}, errors.New("it has neither one port nor one for each host")
	}
	for i, host := range hosts {
		port := ports[min(i, len(ports)-1)]
		if number, err := strconv.ParseUint(port, 10, 16); port != "" && (err != nil || number == 0) {
			return URL{}, errors.New("its port is not a number from 1 to 65535")
		}
		u.Hosts = append(u.Hosts, hostPort(host, port))
	}
	modes := []string{"", "disable", "allow", "prefer", "require", "verify-ca", "verify-full"}
	if !slices.Contains(modes, settings["sslmode"]) {
		return URL{}, errors.New("its sslmode is not one of " + strings.Join(modes[1:], ", "))
	}
	return u, nil
}

// parse returns what a URL without its scheme sets, under libpq's names. Several
// hosts, and their ports, are separated by commas.
func parse(rest string) (map[string]string, error) {
	errEscape := errors.New("in user name, password and parameters @ / ? and % must be percent-encoded: %40 %2F %3F %25")
	rest, query, _ := strings.Cut(rest, "?")
	address, database, _ := strings.Cut(rest, "/")
	credentials, hosts, ok := strings.Cut(address, "@")
	if !ok {
		credentials, hosts = "", address
	}
	if strings.Contains(hosts+database+query, "@") {
		return nil, errEscape
	}
	settings := map[string]string{"dbname": database}
	settings["user"], settings["password"], _ = strings.Cut(credentials, ":")
	for i, host := range strings.Split(hosts, ",") {
		name, port, _ := strings.Cut(host, ":")
		if strings.HasPrefix(host, "[") {
			name, port, ok = strings.Cut(host[1:], "]")
			if !ok || port != "" && port[0] != ':' {
				return nil, errors.New("its IPv6 address is not written like [::1]:5432")
			}
			port = strings.TrimPrefix(port, ":")
		}
		if i > 0 {
			name, port = ","+name, ","+port
		}
		settings["host"] += name
		settings["port"] += port
	}
	for pair := range strings.SplitSeq(query, "&") {
		name, value, ok := strings.Cut(pair, "=")
		if query != "" && (!ok || strings.Contains(value, "=")) {
			return nil, errors.New("its query is not made of name=value, separated by &")
		}
		if name == "database" {
			name = "dbname"
		}
		settings[name] = value
	}
	for name, value := range settings {
		plain, err := url.PathUnescape(value)
		if err != nil {
			return nil, errEscape
		}
		settings[name] = plain
	}
	return settings, nil
}

// secretName reports whether a parameter holds a secret. A passfile is a path.
func secretName(name string) bool {
	name = strings.ToLower(name)
	return name != "passfile" && (strings.Contains(name, "pass") || strings.Contains(name, "pwd") || strings.Contains(name, "secret"))
}
