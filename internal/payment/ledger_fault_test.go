package payment

import (
	"database/sql"
	"errors"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/villapay/villapay/internal/api"
	"github.com/villapay/villapay/internal/kbank"
	"github.com/villapay/villapay/internal/ledger"
	"github.com/villapay/villapay/internal/order"
	"github.com/villapay/villapay/internal/sandbox"
)

// A ledger that fails once the bank or the API was asked, or asked to cancel a code, is
// told apart from one that fails before anything is sent.
func TestALedgerThatFailsAfterAsking(t *testing.T) {
	t.Parallel()
	status := func(t *testing.T, p *process) error {
		_, err := p.Status(t.Context(), "4925", true)
		return err
	}
	several := func(t *testing.T, p *process) error {
		ids := []string{"4925"}
		for n := range 4 * maxParallelAsks { // those asked last find the ledger broken before they send anything
			ids = append(ids, strconv.Itoa(n))
		}
		_, err := p.Statuses(t.Context(), ids, true)
		return err
	}
	watch := func(t *testing.T, p *process) error {
		_, err := p.Watch(t.Context(), "4925", order.Payment{}, func(Report) error { return nil })
		return err
	}
	another := func(t *testing.T, p *process) error {
		_, err := p.make(t, Request{OrderID: "4925", New: true})
		return err
	}
	for name, test := range map[string]struct {
		do      func(*testing.T, *process) error
		bank    bool
		request string // at the first request with this in its path, the table is lost; "" = before all
		table   string
		sent    bool
		down    bool // no server can be reached
	}{
		"status, the API's answer":             {status, false, "/checkstatus/", "villapay_event", true, false},
		"status, the bank's answer":            {status, true, "/order_test_", "villapay_event", true, false},
		"status, the ledger after the API":     {status, false, "/checkstatus/", "villapay_payment", true, false},
		"statuses, the ledger between two":     {several, true, "/checkstatus/", "villapay_payment", true, false},
		"status, nothing sent":                 {status, true, "", "villapay_payment", false, false},
		"status, nothing reached":              {status, false, "/checkstatus/", "villapay_payment", false, true},
		"status, neither server reached":       {status, true, "/order_test_", "villapay_payment", false, true},
		"watch, nothing reached":               {watch, false, "/checkstatus/", "villapay_payment", false, true},
		"--new, nothing reached":               {another, false, "/checkstatus/", "villapay_payment", false, true},
		"--new, neither server reached":        {another, true, "/cancel", "villapay_payment", false, true},
		"watch, the API's answer":              {watch, false, "/checkstatus/", "villapay_event", true, false},
		"watch, nothing sent":                  {watch, true, "", "villapay_payment", false, false},
		"--new, the bank canceled":             {another, true, "/cancel", "villapay_event", true, false},
		"--new, the bank canceled, no reading": {another, true, "/cancel", "villapay_payment", true, false},
		"--new, the bank's answer":             {another, true, "/order_test_", "villapay_event", true, false},
		"--new, the API's answer":              {another, false, "/checkstatus/", "villapay_event", true, false},
		"--new, the claim after the API":       {another, false, "/checkstatus/", "villapay_payment", true, false},
		"--new, nothing sent":                  {another, true, "", "villapay_payment", false, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inWorld(t, sandbox.Options{}, func(t *testing.T, w *world, p *process) {
				if test.bank {
					p.Bank = &kbank.Client{HTTP: &api.Client{Name: "the bank", BaseURL: scope + sandbox.BankPath, Transport: w}, Sof: map[order.Source]string{order.QR: "ThaiQR"}}
				}
				if _, err := p.Code(t.Context(), p.mustMake(t, Request{})); err != nil {
					t.Fatal(err)
				}
				reached := test.request == ""
				if reached {
					w.loseTable(t, test.table)
				}
				posted := false
				var one sync.Mutex
				w.between(func(req *http.Request, next http.RoundTripper) (*http.Response, error) {
					one.Lock()
					defer one.Unlock()
					posted = posted || strings.HasSuffix(req.URL.Path, "/qrpayment")
					resp, err := (*http.Response)(nil), errors.New("no route")
					if !test.down {
						resp, err = next.RoundTrip(req)
					}
					if !reached && strings.Contains(req.URL.Path, test.request) {
						reached = true
						w.loseTable(t, test.table)
					}
					return resp, err
				})
				err := test.do(t, p)
				notRecorded, sent := errors.AsType[*NotRecordedError](err)
				if _, stored := errors.AsType[*ledger.Error](err); !reached || !stored || sent != test.sent || posted || sent && notRecorded.Key != "" {
					t.Errorf("sent %t, reached %t, another order %t: %v", sent, reached, posted, err)
				}
			})
		})
	}
}

// loseTable makes every statement fail that uses a table of the ledger.
func (w *world) loseTable(t *testing.T, table string) {
	t.Helper()
	db, err := sql.Open("sqlite", filepath.Join(w.dir, "ledger.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.ExecContext(t.Context(), "ALTER TABLE "+table+" RENAME TO away"); err != nil {
		t.Error(err)
	}
}
