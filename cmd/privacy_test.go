package cmd

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/villapay/villapay/internal/ledger"
	"github.com/villapay/villapay/internal/order"
	"github.com/villapay/villapay/internal/secret"
	"github.com/villapay/villapay/internal/testpg"
)

// The SQL of docs/examples removes a customer's data from an order, and leaves
// what money needs.
func TestACustomersDataIsRemoved(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"sqlite", "postgres"} {
		text := readDoc(t, "../docs/examples/remove-customer."+name+".sql")
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url := "sqlite"
			if name == "postgres" {
				url = testpg.Schema(t)
			}
			removeCustomer(t, url, strings.Split(strings.TrimSuffix(text, ";\n"), ";\n"))
		})
	}
}

// customers are what nothing may be left of.
var customers = []string{"Somchai", "somchai@example.com", "0812345678"}

func removeCustomer(t *testing.T, ledgerURL string, statements []string) {
	t.Helper()
	const customer = `"description":"For Somchai","customer":{"email":"somchai@example.com"},"metadata":{"phone":"0812345678"},"note_from_Somchai":"x"`
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/checkstatus/") {
			fmt.Fprintf(w, `{"charges":[{"charge_id":"chrg_2","order_id":"order_1","amount":300.10,"currency":"THB","transaction_state":"Declined",%s}]}`, customer)
			return
		}
		fmt.Fprintf(w, `{"id":"order_1","object":"order","created":"%s","livemode":false,"amount":300.10,"currency":"THB",%s,"status":"success",`+
			`"reference_order":"ref-1","source_type":"qr","failure_code":null,"expire_time_seconds":3600}`, time.Now().UTC().Add(7*time.Hour).Format("20060102150405")+"000", customer)
	}))
	t.Cleanup(server.Close)
	m := newMachine(t, "VILLAPAY_BASE_URL="+server.URL, "VILLAPAY_LEDGER="+ledgerURL)
	book, err := ledger.Open(t.Context(), secret.New(ledgerURL), m.state(), "test", time.Now)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = book.Close() })
	amount, err := order.ParseAmount("300.10")
	if err != nil {
		t.Fatal(err)
	}
	for _, bankOrder := range []string{"order_1", "ref-1"} { // before the payment, and about it
		paid := order.Report{
			ChargeID: "chrg_1", BankOrderID: bankOrder, Amount: amount, Currency: "THB", Status: "success", TransactionState: "Authorized", From: order.FromWebhook,
			Raw: json.RawMessage(`{"id":"chrg_1","order_id":"` + bankOrder + `","amount":300.10,"currency":"THB","status":"success","transaction_state":"Authorized","checksum":"` + strings.Repeat("0", 64) + `",` + customer + `}`),
		}
		if _, err := book.RecordReport(t.Context(), server.URL, paid); err != nil {
			t.Fatal(err)
		}
		if r := m.run(t, "pay", "qr", "492500004632", "-o", "json"); r.code != 0 && r.code != 5 {
			t.Fatalf("exit %d, %s", r.code, r.stderr)
		}
	}
	for range 2 {
		m.run(t, "order", "status", "492500004632")
	}
	if err := book.Close(); err != nil {
		t.Fatal(err)
	}

	before := m.shown(t)
	if kept := m.kept(t, ledgerURL, nil); !strings.Contains(kept, customers[0]) {
		t.Fatal("there is nothing to remove")
	}
	kept := m.kept(t, ledgerURL, statements)
	after := m.shown(t)
	for _, text := range customers {
		if strings.Contains(kept+after, text) {
			t.Errorf("%s is left: %s", text, kept+after)
		}
	}
	if diff := cmp.Diff(withoutCustomer(t, before), withoutCustomer(t, after)); diff != "" || !strings.Contains(after, "300.10") || !strings.Contains(after, "chrg_1") {
		t.Errorf("%s\n%s", diff, after)
	}
}

// shown is what commands say about the payment.
func (m *machine) shown(t *testing.T) string {
	t.Helper()
	all := ""
	for _, args := range [][]string{{"order", "status", "492500004632", "--offline"}, {"order", "show", "492500004632"}, {"order", "list", "--limit", "0"}, {"webhook", "replay", "--since", "1h"}} {
		r := m.run(t, append(args, "-o", "json")...)
		if r.code != 0 || strings.Contains(r.stderr, "cannot be read") {
			t.Errorf("%v: exit %d, %s", args, r.code, r.stderr)
		}
		all += r.stdout
	}
	return all
}

// withoutCustomer are the JSON values of a text without the customer's fields, and
// what depends on the moment or on data that history had.
func withoutCustomer(t *testing.T, text string) (values []any) {
	t.Helper()
	var strip func(value any)
	strip = func(value any) {
		switch value := value.(type) {
		case map[string]any:
			for _, name := range []string{"description", "customer", "metadata", "note_from_Somchai", "expires_in", "data"} {
				delete(value, name)
			}
			for _, inner := range value {
				strip(inner)
			}
		case []any:
			for _, inner := range value {
				strip(inner)
			}
		}
	}
	for decoder := json.NewDecoder(strings.NewReader(text)); decoder.More(); {
		var value any
		if err := decoder.Decode(&value); err != nil {
			t.Fatal(err)
		}
		strip(value)
		values = append(values, value)
	}
	return values
}

// kept runs statements on the ledger's database, and returns all of its texts.
func (m *machine) kept(t *testing.T, ledgerURL string, statements []string) string {
	t.Helper()
	file := filepath.Join(m.state(), "ledger.db")
	driver, dsn := "pgx", ledgerURL
	if ledgerURL == "sqlite" {
		driver, dsn = "sqlite", file
	}
	db, err := sql.Open(driver, dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	conn, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for _, statement := range statements {
		if _, err := conn.ExecContext(context.Background(), statement); err != nil {
			t.Fatal(statement, err)
		}
	}
	all := ""
	for _, table := range []string{"payment", "report", "event"} {
		columns := map[string]string{"payment": "coalesce(order_json, '') || warnings || error", "report": "raw", "event": "note || data"}[table]
		rows, err := conn.QueryContext(context.Background(), "SELECT "+columns+" FROM villapay_"+table)
		if err != nil {
			t.Fatal(err)
		}
		for rows.Next() {
			var text string
			if err := rows.Scan(&text); err != nil {
				t.Fatal(err)
			}
			all += text + "\n"
		}
		if err := rows.Err(); err != nil {
			t.Fatal(err)
		}
	}
	if ledgerURL == "sqlite" { // also what it does not use any more
		for _, name := range []string{file, file + "-wal"} {
			bytes, err := os.ReadFile(name)
			if err == nil {
				all += string(bytes)
			}
		}
	}
	return all
}
