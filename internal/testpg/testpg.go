// Package testpg gives tests a PostgreSQL ledger of their own, on the server that
// VILLAPAY_TEST_POSTGRES names; without it tests are skipped. Only tests import it.
package testpg

import (
	"database/sql"
	"fmt"
	"net/url"
	"os"
	"sync/atomic"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"
)

// made numbers the schemas of this process.
var made atomic.Int64 //nolint:gochecknoglobals // a counter

// Server returns the URL of the server, or skips the test.
func Server(t testing.TB) string {
	t.Helper()
	server := os.Getenv("VILLAPAY_TEST_POSTGRES")
	if server == "" {
		t.Skip("VILLAPAY_TEST_POSTGRES names no PostgreSQL server")
	}
	return server
}

// Schema makes an empty schema that lasts as long as the test, and returns the URL
// that leads there.
func Schema(t testing.TB) string {
	t.Helper()
	u, err := url.Parse(Server(t))
	if err != nil {
		t.Fatal(err)
	}
	admin, err := sql.Open("pgx", u.String())
	if err != nil {
		t.Fatal(err)
	}
	schema := fmt.Sprintf("villapay_test_%d_%d_%d", os.Getpid(), time.Now().UnixNano(), made.Add(1))
	if _, err := admin.ExecContext(t.Context(), "CREATE SCHEMA "+schema); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_, _ = admin.Exec("DROP SCHEMA " + schema + " CASCADE") //nolint:noctx // the test's has ended
		_ = admin.Close()
	})
	query := u.Query()
	query.Set("search_path", schema)
	u.RawQuery = query.Encode()
	return u.String()
}
