package checkout

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"
	"html/template"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/villapay/villapay/internal/httpserver"
	"github.com/villapay/villapay/internal/order"
)

// Linger is how long to go on serving after the last state was shown, so that
// every open page has asked for it: pages ask every second.
const Linger = 3 * time.Second

// Page is what a payer sees. The order, its amount and its expiry are those of
// the payment that is open when the page is made. If that has a code of the bank's,
// the page shows it, and whatever code it has later, instead of the widget.
type Page struct {
	Payment  order.Payment
	ShopName string // may be empty

	// The bank's widget: the address of kpayment.min.js and the merchant's
	// public key.
	ScriptURL, PublicKey string

	// Pay, if it is set, makes a payment: the page has a button that calls it. For
	// the sandbox only.
	Pay func(ctx context.Context) error

	Now func() time.Time
	Log *slog.Logger // gets what was rejected, and why
}

// Server serves one page at an address that nobody can guess. It is safe for
// concurrent use.
type Server struct {
	page   Page
	hosts  []string // that requests may name
	path   string   // of the page, /TOKEN/
	form   string   // proves that the page itself posts
	codes  bool     // it shows codes of the bank's, and no widget
	bank   string   // origin of the widget's script, "" without a widget
	amount string   // with two decimals, as the widget takes it
	html   *template.Template

	rejects httpserver.Rejections

	mu   sync.Mutex
	last order.Payment
}

// New makes the server of one page, to be reached under the given hosts
// (host:port, the best one first; see [Hosts]). It fails if the payment has
// no order to pay, or the widget's settings cannot be used.
func New(page Page, hosts []string) (*Server, error) {
	s := &Server{page: page, hosts: hosts, path: "/" + rand.Text() + "/", form: rand.Text(), last: page.Payment}
	p := page.Payment
	if p.BankOrderID == "" || !p.Amount.Known() || len(hosts) == 0 {
		return nil, fmt.Errorf("serve checkout: order %s has no bank order to pay", p.OrderID)
	}
	var err error
	if s.amount, err = p.Amount.Fixed(2); err != nil {
		return nil, fmt.Errorf("serve checkout: the bank's widget takes two decimals: %w", err)
	}
	s.codes = p.LivingCode(page.Now()) != nil
	if page.Pay == nil && !s.codes {
		if s.bank, err = origin(page.ScriptURL); err != nil {
			return nil, fmt.Errorf("serve checkout: %w", err)
		}
		if page.PublicKey == "" || strings.HasPrefix(strings.ToLower(page.PublicKey), "skey") {
			return nil, errors.New("serve checkout: the bank's widget needs the merchant's public key (pkey_…)")
		}
	}
	if s.html, err = template.New("page").Parse(source); err != nil {
		return nil, fmt.Errorf("serve checkout: %w", err)
	}
	return s, nil
}

// origin is the scheme and host of a script's address: https, or http on
// loopback. It goes into the Content-Security-Policy, so nothing else may.
func origin(script string) (string, error) {
	u, err := url.Parse(script)
	if err != nil {
		return "", fmt.Errorf("the script's address: %w", err)
	}
	ip := net.ParseIP(u.Hostname())
	local := u.Hostname() == "localhost" || ip != nil && ip.IsLoopback()
	if u.Host == "" || u.User != nil || strings.ContainsAny(u.Host, " ;,'\"") || u.Scheme != "https" && (u.Scheme != "http" || !local) {
		return "", fmt.Errorf("%q is not an https address of a script", script)
	}
	return u.Scheme + "://" + u.Host, nil
}

// Hosts are the names under which a listener's address can be reached, the best
// one for another device first.
func Hosts(addr net.Addr) ([]string, error) {
	host, port, err := net.SplitHostPort(addr.String())
	if err != nil {
		return nil, err
	}
	ip := net.ParseIP(host)
	ips := []net.IP{ip}
	if ip == nil || ip.IsUnspecified() {
		if ips, err = ownAddresses(); err != nil {
			return nil, err
		}
	}
	var hosts []string
	loopback := false
	for _, ip := range ips {
		loopback = loopback || ip.IsLoopback()
		hosts = append(hosts, net.JoinHostPort(ip.String(), port))
	}
	if loopback {
		hosts = append(hosts, net.JoinHostPort("localhost", port))
	}
	return hosts, nil
}

// ownAddresses are this machine's addresses: IPv4 before IPv6, since it makes
// the shorter code, and loopback last.
func ownAddresses() ([]net.IP, error) {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return nil, err
	}
	var ips []net.IP
	for _, addr := range addrs {
		if network, ok := addr.(*net.IPNet); ok && !network.IP.IsLinkLocalUnicast() {
			ips = append(ips, network.IP)
		}
	}
	rank := func(ip net.IP) int {
		switch {
		case ip.IsLoopback():
			return 2
		case ip.To4() == nil:
			return 1
		}
		return 0
	}
	slices.SortStableFunc(ips, func(a, b net.IP) int { return rank(a) - rank(b) })
	return ips, nil
}

// URL is the page's address under its best host.
func (s *Server) URL() string { return "http://" + s.hosts[0] + s.path }

// Show gives every open page what is known of the order now. If p is another
// payment of the order than the page's, it counts if it is paid, or if it is of
// the same source: then a newer one stands in this one's place, and the page
// must not be paid any more. Of another source, both can be paid.
func (s *Server) Show(p order.Payment) {
	own := s.page.Payment
	if p.BankOrderID != own.BankOrderID && p.Source != own.Source && p.State != order.Paid {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last = p
}

// known is the payment as it was last shown, and the state that its payer sees.
func (s *Server) known() (order.Payment, order.State) {
	s.mu.Lock()
	p := s.last
	s.mu.Unlock()
	if p.BankOrderID != s.page.Payment.BankOrderID && p.State != order.Paid || p.ReplacedBy != "" && p.State == order.Awaiting {
		return p, replaced
	}
	// The ledger shows an expiry when it is next read; the page must not
	// wait for that.
	if p.State == order.Awaiting && !p.ExpiresAt.IsZero() && !s.page.Now().Before(p.ExpiresAt) {
		return p, order.Expired
	}
	return p, p.State
}

// ServeHTTP answers the page's own paths, under its own hosts, and nothing else.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	protect(w.Header())
	if !slices.Contains(s.hosts, withPort(r.Host)) {
		s.reject(w, r, http.StatusMisdirectedRequest)
		return
	}
	rest, ok := s.under(r.URL.Path)
	handler := s.routes()[rest]
	if !ok || handler == nil {
		s.reject(w, r, http.StatusNotFound)
		return
	}
	handler(w, r)
}

// withPort writes the port that browsers leave out.
func withPort(host string) string {
	if _, _, err := net.SplitHostPort(host); err == nil {
		return host
	}
	return net.JoinHostPort(strings.Trim(host, "[]"), "80")
}

// under cuts the page's secret path off, in constant time.
func (s *Server) under(path string) (string, bool) {
	if len(path) < len(s.path) || subtle.ConstantTimeCompare([]byte(path[:len(s.path)]), []byte(s.path)) != 1 {
		return "", false
	}
	return path[len(s.path):], true
}

// protect sets what every answer carries.
func protect(header http.Header) {
	header.Set("Cache-Control", "no-store")
	header.Set("Referrer-Policy", "no-referrer") // the address is the key to the page
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("X-Frame-Options", "DENY")
	header.Set("Cross-Origin-Resource-Policy", "same-origin")
	header.Set("Cross-Origin-Opener-Policy", "same-origin-allow-popups")
	header.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
}

func (s *Server) reject(w http.ResponseWriter, r *http.Request, status int) {
	what := fmt.Sprintf("%d %s %s from %s", status, httpserver.Truncate(r.Method), httpserver.Truncate(r.Host), r.RemoteAddr) // not the path, which may be the page's
	if summary := s.rejects.Add(s.page.Now(), what); summary != "" {
		s.page.Log.Warn("checkout " + summary)
	}
	http.Error(w, http.StatusText(status), status)
}
