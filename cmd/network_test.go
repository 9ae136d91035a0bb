package cmd

import (
	"bufio"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/villapay/villapay/internal/sandbox/cognito"
)

// What this machine's network prevents is named as such, with what to do.
func TestNetworkTrouble(t *testing.T) {
	t.Parallel()
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusProxyAuthRequired) }))
	t.Cleanup(proxy.Close)
	unknown := httptest.NewUnstartedServer(http.NotFoundHandler())
	unknown.Config.ErrorLog = log.New(io.Discard, "", 0)
	unknown.StartTLS()
	t.Cleanup(unknown.Close)
	silent, err := net.Listen("tcp", "127.0.0.1:0") // nobody accepts
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = silent.Close() })
	m := newMachine(t, "VILLAPAY_LEDGER=none", "VILLAPAY_BASE_URL=https://api.invalid", "VILLAPAY_TIMEOUT=20s")
	for name, test := range map[string]struct {
		env        string
		code       int
		says, hint string
	}{
		"a proxy that is no URL":   {"HTTPS_PROXY=http://ann:secret@proxy:port", 3, "HTTPS_PROXY is not a proxy URL", ""},
		"a proxy with a password":  {"HTTPS_PROXY=" + proxy.URL, 7, "cannot reach api.invalid: the proxy 127.0.0.1:", "hint: nothing was made; check HTTPS_PROXY"},
		"a proxy that is silent":   {"HTTPS_PROXY=http://" + silent.Addr().String() + " VILLAPAY_TIMEOUT=5s", 7, "cannot reach api.invalid: timed out", "hint: nothing was made; check HTTPS_PROXY"},
		"no such certificate file": {"SSL_CERT_FILE=" + filepath.Join(m.dir, "none.pem"), 3, "read SSL_CERT_FILE", ""},
		"an authority of its own":  {"VILLAPAY_BASE_URL=" + unknown.URL, 7, "certificate signed by unknown authority", "set SSL_CERT_FILE"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := m.with(strings.Fields(test.env)...).run(t, "pay", "qr", "4925")
			if r.code != test.code || !strings.Contains(r.stderr, test.says) || !strings.Contains(r.stderr, test.hint) || strings.Contains(r.stderr, "secret") {
				t.Errorf("exit %d, %s", r.code, r.stderr)
			}
		})
	}
}

// A token that the API rejects right after it was renewed says that the scheme may
// be wrong.
func TestRejectedFreshToken(t *testing.T) {
	t.Parallel()
	m := signInMachine(t, cognito.RotatingID)
	if r := m.with("VILLAPAY_USERNAME=ann", "VILLAPAY_PASSWORD="+password).run(t, "login"); r.code != 0 {
		t.Fatal(r.stderr)
	}
	if r := m.run(t, "pay", "qr", "unauthorized"); r.code != 4 || !strings.Contains(r.stderr, "check auth.scheme") {
		t.Errorf("exit %d, %s", r.code, r.stderr)
	}
	if r := m.with("VILLAPAY_TOKEN=eyJhbGciOiJub25lIn0.e30.x").run(t, "pay", "qr", "unauthorized.2"); r.code != 4 || !strings.Contains(r.stderr, "check auth.scheme") {
		t.Errorf("exit %d, %s", r.code, r.stderr)
	}
}

// API Gateway's answer for a path it does not have is no denial: the settings are
// wrong, or there is no status endpoint.
func TestNoSuchRouteIsTheSettings(t *testing.T) {
	t.Parallel()
	m := newMachine(t, "VILLAPAY_ENV=sandbox")
	if r := m.run(t, "pay", "qr", "no-route"); r.code != 4 || !strings.Contains(r.stderr, "no_such_route") || !strings.Contains(r.stderr, "check base_url") {
		t.Errorf("exit %d, %s", r.code, r.stderr)
	}
	for name, body := range map[string]string{
		"older": `{"message":"'eyJ' not a valid key=value pair (missing equal-sign) in Authorization header: 'eyJ'."}`,
		"newer": `{"message":"Invalid key=value pair (missing equal-sign) in Authorization header (hashed with SHA-256 and encoded with Base64): 'x='."}`,
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusForbidden)
			fmt.Fprint(w, body)
		}))
		t.Cleanup(server.Close)
		with := m.with("VILLAPAY_ENV="+unset, "VILLAPAY_BASE_URL="+server.URL)
		if r := with.run(t, "order", "status", "4925"); r.code != 5 || !strings.Contains(r.stderr, "no payment of order 4925") {
			t.Errorf("%s: exit %d, %s", name, r.code, r.stderr)
		}
	}
}

// A server that writes to a connection unasked puts nothing on stderr.
func TestUnsolicitedAnswers(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				req, err := http.ReadRequest(bufio.NewReader(conn))
				if err != nil {
					return
				}
				_, _ = io.Copy(io.Discard, req.Body)
				const body = `{"status":"pending"}`
				fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%sHTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n", len(body), body)
			}()
		}
	}()
	m := newMachine(t, "VILLAPAY_BASE_URL=http://"+listener.Addr().String())
	r := m.run(t, "order", "status", "1", "2", "3", "4", "5", "6")
	if r.code != 5 || strings.Contains(r.stderr, "Unsolicited") {
		t.Errorf("exit %d, %s", r.code, r.stderr)
	}
}
