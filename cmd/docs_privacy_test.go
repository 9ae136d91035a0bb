package cmd

import (
	"bytes"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestDocForgetsCustomers runs the SQL of docs/operations.md that removes
// customers' data, and looks at what is left.
func TestDocForgetsCustomers(t *testing.T) {
	t.Parallel()
	var statements []string
	for _, block := range docBlocks(t, "../docs/operations.md") {
		if block.language == "sql" {
			statements = append(statements, strings.Join(block.lines, "\n"))
		}
	}
	if len(statements) != 2 {
		t.Fatalf("docs/operations.md has %d blocks of SQL, not one for each database", len(statements))
	}
	t.Run("SQLite", func(t *testing.T) {
		t.Parallel()
		m := newMachine(t, "VILLAPAY_ENV=sandbox")
		file := filepath.Join(m.state(), "ledger.db")
		forgetCustomers(t, m, "sqlite", "file:"+filepath.ToSlash(file), statements[0])
		data, err := os.ReadFile(file)
		if err != nil || bytes.Contains(data, []byte("Somchai")) {
			t.Errorf("the file still holds the name, %v", err)
		}
	})
	t.Run("PostgreSQL", func(t *testing.T) {
		t.Parallel()
		url := sharedLedger(t)
		forgetCustomers(t, newMachine(t, "VILLAPAY_ENV=sandbox", "VILLAPAY_LEDGER="+url), "pgx", url, statements[1])
	})
}

// forgetCustomers makes a paid payment of long ago whose order, report and events
// name a customer, and forgets that.
func forgetCustomers(t *testing.T, m *machine, driver, dsn, forget string) {
	t.Helper()
	villapay := func(args ...string) string {
		r := m.run(t, args...)
		if r.code != 0 {
			t.Fatalf("%v: %s", args, r.stderr)
		}
		return r.stdout
	}
	show := []string{"order", "show", "492500004632", "--jq", ".[0] | .amount, .description, .customer, .villapay.state, .villapay.paid_at"}
	villapay("pay", "qr", "492500004632")
	villapay("sandbox", "pay", "492500004632")
	villapay("order", "status", "492500004632")
	before := villapay(show...)
	db, err := sql.Open(driver, dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	ago := 100 * 24 * time.Hour.Milliseconds()
	execEach(t, db, fmt.Sprintf(`UPDATE villapay_payment SET recorded_at = recorded_at - %[1]d, order_json = replace(order_json, '"customer":null', '"customer":{"name":"Somchai"}');
UPDATE villapay_report SET received_at = received_at - %[1]d, raw = '{"description":"Somchai"}';
UPDATE villapay_event SET at = at - %[1]d, data = '{"description":"Somchai"}'`, ago))
	if got := villapay(show...); !strings.Contains(got, "Somchai") {
		t.Fatalf("the customer is not there to be forgotten: %s", got)
	}
	execEach(t, db, forget)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	want := strings.Replace(before, "Order 492500004632", "null", 1)
	if got := villapay(show...); got != want || !strings.HasPrefix(got, "300.0\nnull\nnull\npaid\n") {
		t.Errorf("is left: %q, want %q", got, want)
	}
	if whole := villapay("order", "show", "492500004632", "-o", "json"); strings.Contains(whole, "Somchai") {
		t.Errorf("still names the customer: %s", whole)
	}
	villapay("doctor")
	villapay("order", "status", "492500004632", "--exit-status")
}

func execEach(t *testing.T, db *sql.DB, statements string) {
	t.Helper()
	for statement := range strings.SplitSeq(statements, ";\n") {
		if _, err := db.Exec(strings.TrimSuffix(statement, ";")); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
}
