package cmd

import (
	"crypto/x509"
	"fmt"
	"strings"
	"testing"
)

// Running it again later does not help against a wrong or expired certificate.
func TestWrongCertificateHint(t *testing.T) {
	t.Parallel()
	for _, err := range []error{
		x509.HostnameError{Certificate: &x509.Certificate{}, Host: "shop.example"},
		x509.CertificateInvalidError{Cert: &x509.Certificate{}, Reason: x509.Expired},
	} {
		if hint := networkHint(fmt.Errorf("tls: %w", err)); !strings.Contains(hint, "clock") {
			t.Errorf("%T: hint %q", err, hint)
		}
	}
}
