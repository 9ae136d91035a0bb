package api

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/villapay/villapay/internal/secret"
)

// NewTransport returns a transport with TLS 1.2 or newer, HTTP/2, proxies and CA files
// from the environment, and up to idle idle connections.
func NewTransport(idle int) (*http.Transport, error) {
	roots, err := extraRoots(runtime.GOOS, os.Getenv("SSL_CERT_FILE"))
	if err != nil {
		return nil, err
	}
	if err := checkProxy(cmp.Or(os.Getenv("HTTPS_PROXY"), os.Getenv("https_proxy"))); err != nil {
		return nil, err
	}
	dialer := &net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}
	return &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		OnProxyConnectResponse: proxyAnswer,
		DialContext:            dialer.DialContext,
		ForceAttemptHTTP2:      true,
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots},
		TLSHandshakeTimeout:    10 * time.Second,
		MaxResponseHeaderBytes: 64 << 10,
		MaxIdleConns:           idle,
		MaxIdleConnsPerHost:    idle,
		IdleConnTimeout:        30 * time.Second,
	}, nil
}

// checkProxy returns an error for a proxy that net/http would silently bypass. The
// error does not contain the URL, which may have a password.
func checkProxy(text string) error {
	if text == "" {
		return nil
	}
	if !strings.Contains(text, "://") {
		text = "http://" + text
	}
	proxy, err := url.Parse(text)
	if err != nil || proxy.Hostname() == "" || !slices.Contains([]string{"http", "https", "socks5", "socks5h"}, proxy.Scheme) {
		return errors.New("HTTPS_PROXY is not a proxy URL, such as http://proxy.example:3128")
	}
	return nil
}

// ProxyError means that the proxy in HTTPS_PROXY failed or rejected the connection.
type ProxyError struct {
	Proxy  string // host and port
	Answer string // such as 407 Proxy Authentication Required; "" if not reached
	Err    error  // why it could not be reached
}

func (e *ProxyError) Error() string {
	if e.Err != nil {
		return "the proxy cannot be reached: " + reason(e.Err)
	}
	return "the proxy " + e.Proxy + " answered " + e.Answer
}

func proxyAnswer(_ context.Context, proxy *url.URL, _ *http.Request, answer *http.Response) error {
	if answer.StatusCode == http.StatusOK {
		return nil
	}
	return &ProxyError{Proxy: proxy.Host, Answer: describe(answer.StatusCode)}
}

// extraRoots loads SSL_CERT_FILE on systems where Go does not (macOS, Windows), and
// checks it on all, since Go ignores an unreadable file. nil means the system's roots.
func extraRoots(system, file string) (*x509.CertPool, error) {
	if file == "" {
		return nil, nil //nolint:nilnil // nil means the system's roots to tls.Config
	}
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read SSL_CERT_FILE: %w", err)
	}
	if !bytes.Contains(pem, []byte("-----BEGIN CERTIFICATE-----")) {
		return nil, fmt.Errorf("SSL_CERT_FILE %s contains no certificate", file)
	}
	if system != "darwin" && system != "windows" {
		return nil, nil //nolint:nilnil // as above
	}
	roots, err := x509.SystemCertPool()
	if err != nil {
		return nil, fmt.Errorf("load the system's CA certificates: %w", err)
	}
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("SSL_CERT_FILE %s contains no certificate", file)
	}
	return roots, nil
}

// progress records whether a request got a connection: without one, its failure
// cannot have done anything.
type progress struct{ connected atomic.Bool }

func (p *progress) watch(req *http.Request) *http.Request {
	trace := &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { p.connected.Store(true) }}
	return req.WithContext(httptrace.WithClientTrace(req.Context(), trace))
}

// The codes of failures before a request got a connection.
const (
	codeUnreachable = "unreachable"
	codeProxy       = "proxy"
)

// failure classifies a transport error, whose text may quote the server's malformed
// answer, and so the token.
func (p *progress) failure(req *http.Request, err error, token secret.String) *Error {
	if wrapped, ok := errors.AsType[*url.Error](err); ok {
		err = wrapped.Err // without the method and URL
	}
	e := &Error{Kind: Unknown, Again: true, Code: "connection_lost", Err: err}
	e.Message = "lost the connection to " + req.URL.Host + " before its answer was complete: " + reason(err)
	var proxy *ProxyError
	var dial *net.OpError
	if errors.As(err, &dial) && dial.Op == "proxyconnect" {
		proxy = &ProxyError{Err: dial.Err}
		e.Err = proxy
	}
	switch {
	case !p.connected.Load():
		e.Kind, e.Code = Unavailable, codeUnreachable
		e.Message = "cannot reach " + req.URL.Host + ": " + reason(err)
		if proxy != nil || errors.As(err, &proxy) {
			e.Code, e.Again, e.Message = codeProxy, proxy.Err != nil, "cannot reach "+req.URL.Host+": "+proxy.Error()
		} else if through, _ := http.ProxyFromEnvironment(req); through != nil && errors.Is(err, context.DeadlineExceeded) {
			e.Err = &ProxyError{Proxy: through.Host, Err: err} // it, or the server behind it
		}
	case errors.Is(err, context.DeadlineExceeded):
		e.Code, e.Message = "timeout", req.URL.Host+" did not answer in time"
	case errors.Is(req.Context().Err(), context.Canceled):
		by := "interrupted"
		if cause := context.Cause(req.Context()); !errors.Is(cause, context.Canceled) {
			by = cause.Error()
		}
		e.Code, e.Message = "interrupted", by+" before "+req.URL.Host+" answered"
	}
	e.Message, e.Err = secret.Redact(e.Message, token), secret.RedactError(e.Err, token)
	return e
}

func reason(err error) string {
	var dns *net.DNSError
	var op *net.OpError
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return "timed out"
	case errors.As(err, &dns):
		return dns.Err
	case errors.As(err, &op) && op.Err != nil:
		return op.Err.Error()
	}
	return err.Error()
}
