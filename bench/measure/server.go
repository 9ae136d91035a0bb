//go:build unix

package main

import (
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/villapay/villapay/internal/order"
)

// serve answers POST /DELAY/qrpayment with an order like the API's, DELAY after
// the request has come, POST /bank/qr/v2/qr with a code like the bank's, and every
// other POST with an empty 200. It does so over HTTP and over TLS, and writes both
// URLs to out. bundle gets the system's certificates and the server's own.
func serve(out io.Writer, bundle string) error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	var made atomic.Int64
	mux := http.NewServeMux()
	mux.HandleFunc("POST /{delay}/qrpayment", func(w http.ResponseWriter, r *http.Request) {
		delay, err := time.ParseDuration(r.PathValue("delay"))
		if err != nil {
			http.Error(w, err.Error(), http.StatusNotFound)
			return
		}
		_, _ = io.Copy(io.Discard, r.Body)
		time.Sleep(delay)
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, sample(made.Add(1), time.Now()))
	})
	mux.HandleFunc("POST /bank/qr/v2/qr", func(w http.ResponseWriter, r *http.Request) {
		var asked struct {
			OrderID string `json:"order_id"`
		}
		if err := json.NewDecoder(r.Body).Decode(&asked); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, sampleCode(made.Add(1), asked.OrderID, time.Now()))
	})
	mux.HandleFunc("POST /", func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) })
	secure := httptest.NewUnstartedServer(mux)
	secure.EnableHTTP2 = true
	secure.StartTLS()
	defer secure.Close()
	if err := writeBundle(bundle, secure.Certificate()); err != nil {
		return err
	}
	fmt.Fprintf(out, "http://%s %s\n", listener.Addr(), secure.URL)
	server := http.Server{Handler: mux, ReadHeaderTimeout: time.Minute}
	return server.Serve(listener)
}

// writeBundle writes the certificates that curl trusts on most systems, and one
// more: reading them all is what a call over TLS begins with.
func writeBundle(name string, one *x509.Certificate) error {
	var all []byte
	for _, system := range []string{"/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"} {
		text, err := os.ReadFile(system)
		if err == nil {
			all = text
			break
		}
	}
	all = append(all, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: one.Raw})...)
	return os.WriteFile(name, all, 0o600)
}

// sample is the order of the API's documentation, with ids of its own.
func sample(n int64, at time.Time) string { return fmt.Sprintf(sampleFormat, n, created(at), n) }

const sampleFormat = `{"id":"order_test_%037d","object":"order","created":"%s","livemode":false,"amount":300.0,"currency":"THB",` +
	`"customer":null,"description":"Order 492500004632","metadata":null,"status":"success","reference_order":"4925000046321748613417.%d","source_type":"qr",` +
	`"additional_data":{"term":null,"mid":null,"tid":null,"smartpay_id":null,"campaign_id":null},"failure_code":null,"failure_message":null,"expire_time_seconds":3600}`

// sampleCode is the bank's code for an order of sample.
func sampleCode(n int64, orderID string, at time.Time) string {
	return fmt.Sprintf(`{"id":"qr_test_%d","object":"qr","order_id":%q,"paint_text":%q,"status":"success","created":%q,"livemode":false,"failure_code":null,"failure_message":null,"expire_time_seconds":600}`,
		n, orderID, samplePayload, created(at))
}

// samplePayload is a Thai QR payload over THB 300.00.
const samplePayload = "00020101021230630016A00000067701011201150000000000000000220BB11E4F57CBA09091D2A53037645406300.005802TH62110707SANDBOX6304ED82"

// created is how the API writes a moment: Bangkok time to the millisecond.
func created(at time.Time) string {
	return strings.Replace(at.In(order.Bangkok).Format("20060102150405.000"), ".", "", 1)
}
