package api

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
)

// tlsServer starts a TLS server and a client that trusts it.
func tlsServer(t *testing.T, newest uint16) (*Client, *int) {
	t.Helper()
	major := 0
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		major = r.ProtoMajor
		_, _ = io.WriteString(w, seedOrder)
	}))
	server.EnableHTTP2 = true
	server.TLS = &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: newest}
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	t.Cleanup(server.Close)
	transport, err := NewTransport(1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(transport.CloseIdleConnections)
	transport.TLSClientConfig.RootCAs = x509.NewCertPool()
	transport.TLSClientConfig.RootCAs.AddCert(server.Certificate())
	return &Client{BaseURL: server.URL, IdempotencyHeader: "Idempotency-Key", Transport: transport}, &major
}

func TestHTTP2IsUsedWhereOffered(t *testing.T) {
	t.Parallel()
	client, major := tlsServer(t, tls.VersionTLS13)
	if err := create(client)(t.Context()); err != nil || *major != 2 {
		t.Errorf("HTTP/%d: %v", *major, err)
	}
}

func TestOldTLSIsRejected(t *testing.T) {
	t.Parallel()
	client, major := tlsServer(t, tls.VersionTLS11)
	if got := failure(create(client)(t.Context())); got.Kind != Unavailable || *major != 0 {
		t.Errorf("HTTP/%d: %v", *major, &got)
	}
}

// Go reads SSL_CERT_FILE by itself on Linux; on macOS and Windows it is read here.
func TestExtraRoots(t *testing.T) {
	t.Parallel()
	server := httptest.NewTLSServer(http.NotFoundHandler())
	defer server.Close()
	dir := t.TempDir()
	good, bad := filepath.Join(dir, "good.pem"), filepath.Join(dir, "bad.pem")
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	if err := errors.Join(os.WriteFile(good, certificate, 0o600), os.WriteFile(bad, []byte("x"), 0o600)); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		system, file string
		roots, fails bool
	}{
		{"linux", good, false, false},
		{"darwin", "", false, false},
		{"darwin", good, true, false},
		{"windows", good, true, false},
		{"windows", bad, false, true},
		{"darwin", filepath.Join(dir, "missing"), false, true},
	} {
		roots, err := extraRoots(test.system, test.file)
		if (roots != nil) != test.roots || (err != nil) != test.fails {
			t.Errorf("%s, %q: %v, %v", test.system, test.file, roots, err)
		}
	}
}
