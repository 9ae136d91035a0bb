package api

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/villapay/villapay/internal/secret"
)

// A proxy that net/http would go around is an error, which repeats no password.
func TestCheckProxy(t *testing.T) {
	t.Parallel()
	for text, good := range map[string]bool{
		"": true, "proxy:3128": true, "http://proxy:3128": true, "https://ann:secret@proxy": true, "socks5://127.0.0.1:1080": true,
		"proxy:port": false, "http://proxy:port": false, "http://": false, "ftp://proxy": false, "http://ann:sec ret@proxy:1": false,
		"http://proxy:3128\n": false, "http://[::1": false,
	} {
		err := checkProxy(text)
		if (err == nil) != good || err != nil && strings.Contains(err.Error(), "sec") {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// What a proxy says is the proxy's, and no answer of the API's.
func TestProxyAnswers(t *testing.T) {
	t.Parallel()
	closed, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = closed.Close()
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Proxy-Authorization") == "" {
			w.WriteHeader(http.StatusProxyAuthRequired)
			return
		}
		w.WriteHeader(http.StatusForbidden)
	}))
	t.Cleanup(proxy.Close)
	for name, test := range map[string]struct {
		proxy, says string
		again       bool
	}{
		"it wants a password": {proxy.URL, "answered 407 Proxy Authentication Required", false},
		"it does not allow":   {strings.Replace(proxy.URL, "http://", "http://ann:secret@", 1), "answered 403 Forbidden", false},
		"it is down":          {"http://" + closed.Addr().String(), "the proxy cannot be reached: ", true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			transport, err := NewTransport(1)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(transport.CloseIdleConnections)
			transport.Proxy = func(*http.Request) (*url.URL, error) { return url.Parse(test.proxy) }
			client := &Client{BaseURL: "https://api.invalid", IdempotencyHeader: "Idempotency-Key", Transport: transport}
			_, _, err = client.CreateOrder(t.Context(), "1", "qr", "k")
			var failure *Error
			var answer *ProxyError
			if !errors.As(err, &failure) || failure.Kind != Unavailable || failure.Code != "proxy" || failure.Again != test.again || !errors.As(err, &answer) {
				t.Fatalf("%+v", err)
			}
			if !strings.HasPrefix(err.Error(), "cannot reach api.invalid: the proxy ") || !strings.Contains(err.Error(), test.says) || strings.Contains(err.Error(), "secret") {
				t.Errorf("%s", err)
			}
		})
	}
}

// A certificate of an unknown authority is found out before anything is sent.
func TestUnknownAuthority(t *testing.T) {
	t.Parallel()
	server := httptest.NewUnstartedServer(http.NotFoundHandler())
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	t.Cleanup(server.Close)
	transport, err := NewTransport(1)
	if err != nil {
		t.Fatal(err)
	}
	client := &Client{BaseURL: server.URL, IdempotencyHeader: "Idempotency-Key", Transport: transport}
	_, _, err = client.CreateOrder(t.Context(), "1", "qr", "k")
	var failure *Error
	var verification *tls.CertificateVerificationError
	if !errors.As(err, &failure) || failure.Kind != Unavailable || !errors.As(err, &verification) {
		t.Errorf("%+v", err)
	}
}

// Go ignores an SSL_CERT_FILE that it cannot read.
func TestCertFileMissing(t *testing.T) {
	t.Parallel()
	empty := filepath.Join(t.TempDir(), "empty.pem")
	if err := os.WriteFile(empty, []byte("\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, system := range []string{"linux", "darwin", "windows"} {
		for _, file := range []string{empty, empty + ".missing"} {
			if _, err := extraRoots(system, file); err == nil || !strings.Contains(err.Error(), "SSL_CERT_FILE") {
				t.Errorf("%s, %s: %v", system, file, err)
			}
		}
	}
}

// API Gateway's answers for a path that it does not have: each text with its type,
// without it, and the type alone.
func TestNoSuchRoute(t *testing.T) {
	t.Parallel()
	answers := map[string]string{
		"Missing Authentication Token": "MissingAuthenticationTokenException",
		"'[redacted]' not a valid key=value pair (missing equal-sign) in Authorization header: '[redacted]'.":                                 "IncompleteSignatureException",
		"Invalid key=value pair (missing equal-sign) in Authorization header (hashed with SHA-256 and encoded with Base64): 'abc='.":          "IncompleteSignatureException",
		"Authorization header requires 'Credential' parameter. Authorization header requires 'Signature' parameter. Authorization=[redacted]": "IncompleteSignatureException:http://internal.amazon.com/coral/com.amazon.coral.service/",
	}
	says := func(kind, message string, status int) bool {
		header := http.Header{}
		header.Set("X-Amzn-Errortype", kind)
		failure := statusError(status, header, []byte(`{"message":"`+message+`"}`))
		return errors.Is(failure, ErrNoRoute) && failure.Code == "no_such_route"
	}
	for message, kind := range answers {
		if !says(kind, message, 403) || !says("", message, 403) || !says(kind, "odd", 403) {
			t.Errorf("%q is not taken for a missing route", message)
		}
		if says(kind, message, 401) {
			t.Errorf("a 401 with %q is taken for a missing route", message)
		}
	}
	if says("", "User is not authorized to access this resource", 403) || says("AccessDeniedException", "no", 403) {
		t.Error("a denial is taken for a missing route")
	}
}

// renewing renews every token.
type renewing struct{}

func (renewing) Token(context.Context) (secret.String, error) { return secret.New("old"), nil }

func (renewing) Refresh(context.Context, secret.String) (secret.String, error) {
	return secret.New("new"), nil
}

// A token that was renewed a moment ago and is rejected again is a case of its own.
func TestRejectedAfterARefresh(t *testing.T) {
	t.Parallel()
	sent := 0
	client := &Client{Tokens: renewing{}}
	_, err := client.Retry(t.Context(), func(context.Context) error {
		sent++
		return &Error{Kind: Denied, Status: 401}
	})
	if !errors.Is(err, ErrFreshToken) || sent != 2 {
		t.Errorf("sent %d times: %v", sent, err)
	}
}
