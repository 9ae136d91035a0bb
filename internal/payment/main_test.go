package payment

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/villapay/villapay/internal/api"
	"github.com/villapay/villapay/internal/ledger"
	"github.com/villapay/villapay/internal/order"
	"github.com/villapay/villapay/internal/sandbox"
	"github.com/villapay/villapay/internal/secret"
)

// world is an API, and one machine's state directory.
type world struct {
	sandbox *sandbox.Sandbox
	api     http.RoundTripper // to the sandbox
	dir     string
	keys    atomic.Int64

	mu     sync.Mutex
	around around // nil: nothing is in the way
}

// around is something between the clients and the API, which is next.
type around func(req *http.Request, next http.RoundTripper) (*http.Response, error)

func newWorld(t *testing.T, options sandbox.Options) *world {
	t.Helper()
	if options.Now == nil {
		options.Now = time.Now
	}
	w := &world{sandbox: sandbox.New(options), dir: t.TempDir()}
	w.api = w.sandbox.Transport()
	t.Cleanup(func() { _ = w.sandbox.Close() })
	return w
}

// inWorld runs a test with a world and a process in synthetic time.
func inWorld(t *testing.T, options sandbox.Options, test func(*testing.T, *world, *process)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, options)
		test(t, w, w.start(t, 0))
	})
}

func (w *world) between(around around) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.around = around
}

func (w *world) RoundTrip(req *http.Request) (*http.Response, error) {
	w.mu.Lock()
	around := w.around
	w.mu.Unlock()
	if around == nil {
		return w.api.RoundTrip(req)
	}
	return around(req, w.api)
}

const scope = "http://sandbox.invalid"

// process is a service with a ledger handle and a lock of its own, as another
// process would have.
type process struct {
	*Service
	mu              sync.Mutex
	notes, warnings []string
}

func (p *process) keep(texts *[]string) func(string) {
	return func(text string) {
		p.mu.Lock()
		defer p.mu.Unlock()
		*texts = append(*texts, text)
	}
}

// start makes a process whose clock is ahead of the others'.
func (w *world) start(t *testing.T, ahead time.Duration) *process {
	t.Helper()
	return w.startOn(t, "sqlite", ahead)
}

// startOn is start with another ledger, such as none.
func (w *world) startOn(t *testing.T, dsn string, ahead time.Duration) *process {
	t.Helper()
	now := func() time.Time { return time.Now().Add(ahead) }
	opened, err := ledger.Open(t.Context(), secret.New(dsn), w.dir, "tester@host pid 1", now)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = opened.Close() })
	// Opened for good before the test begins: SQLite's waiting for a lock is
	// virtual time in a synctest bubble, which waiting for a mutex holds up.
	if _, err := opened.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	p := &process{}
	p.Service = &Service{
		API:    &api.Client{BaseURL: scope, IdempotencyHeader: "Idempotency-Key", UserAgent: "villapay/test", Transport: w},
		Ledger: opened, Env: "dev", Scope: scope, Timeout: 30 * time.Second, StatusPath: "/checkstatus/{orderid}",
		Now:    now,
		NewKey: func() string { return fmt.Sprintf("key-%d", w.keys.Add(1)) },
		Note:   p.keep(&p.notes),
		Warn:   p.keep(&p.warnings),
	}
	return p
}

// make asks for an order, by qr unless the request says otherwise.
func (p *process) make(t *testing.T, req Request) (order.Payment, error) {
	t.Helper()
	req.Source = cmp.Or(req.Source, order.QR)
	return p.Make(t.Context(), req)
}

// mustMake makes order 4925 unless the request says otherwise.
func (p *process) mustMake(t *testing.T, req Request) order.Payment {
	t.Helper()
	req.OrderID = cmp.Or(req.OrderID, "4925")
	made, err := p.make(t, req)
	if err != nil {
		t.Fatalf("order %s: %v", req.OrderID, err)
	}
	return made
}

// status asks what became of order 4925.
func (p *process) status(t *testing.T) Report {
	t.Helper()
	report, err := p.Status(t.Context(), "4925", true)
	if err != nil {
		t.Fatal(err)
	}
	return report
}

// pay records the notification that pays a payment.
func (p *process) pay(t *testing.T, paid order.Payment) {
	t.Helper()
	p.notify(t, "chrg_"+paid.BankOrderID, paid, "Authorized")
}

// notify records a notification about a payment's bank order.
func (p *process) notify(t *testing.T, chargeID string, about order.Payment, state string) {
	t.Helper()
	_, err := p.Ledger.RecordReport(t.Context(), scope, order.Report{
		ChargeID: chargeID, BankOrderID: about.BankOrderID, Amount: about.Amount, Currency: about.Currency,
		Status: "success", TransactionState: state, From: order.FromWebhook,
	})
	if err != nil {
		t.Error(err)
	}
}

// stored is what the ledger knows of an order, newest first.
func (p *process) stored(t *testing.T, orderID string) []order.Payment {
	t.Helper()
	all, err := p.Ledger.Payments(t.Context(), scope, orderID)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// counts checks how many requests and orders the API saw for an order; -1 posts
// stands for any number.
func (w *world) counts(t *testing.T, orderID string, posts, orders int) {
	t.Helper()
	got, err := w.sandbox.Stats(context.Background(), orderID)
	if err != nil {
		t.Fatal(err)
	}
	if posts >= 0 && got.Posts != posts || got.Orders != orders {
		t.Errorf("order %s: %d requests and %d orders, want %d and %d", orderID, got.Posts, got.Orders, posts, orders)
	}
}

// kind is what an error says may have happened; 0 for errors of another type.
func kind(err error) api.Kind {
	if failure, ok := errors.AsType[*api.Error](err); ok {
		return failure.Kind
	}
	return 0
}

// codes are the codes of warnings, joined.
func codes(warnings []order.Warning) string {
	var all []string
	for _, w := range warnings {
		all = append(all, w.Code)
	}
	return strings.Join(all, " ")
}

// What answer gives instead of an HTTP status.
const (
	lost        = 0  // the connection breaks after the request was sent
	unreachable = -1 // it breaks before
)

// answers makes the API answer in turn with these statuses; afterwards it works.
func (w *world) answers(statuses ...int) {
	var n atomic.Int64
	w.between(func(req *http.Request, next http.RoundTripper) (*http.Response, error) {
		i := int(n.Add(1)) - 1
		if i >= len(statuses) {
			return next.RoundTrip(req)
		}
		return answer(req, statuses[i], "")
	})
}

// says makes the status endpoint answer this, or never with status 0, and
// everything else work.
func (w *world) says(status int, body string) {
	w.between(func(req *http.Request, next http.RoundTripper) (*http.Response, error) {
		if req.Method == http.MethodPost {
			return next.RoundTrip(req)
		}
		time.Sleep(time.Millisecond) // virtual: whatever else goes on now comes first
		if status == 0 {
			return silent(req, next)
		}
		return answer(req, status, body)
	})
}

func answer(req *http.Request, status int, body string) (*http.Response, error) {
	if status == unreachable {
		return nil, errors.New("no route to host")
	}
	if trace := httptrace.ContextClientTrace(req.Context()); trace != nil && trace.GotConn != nil {
		trace.GotConn(httptrace.GotConnInfo{})
	}
	if status == lost {
		return nil, errors.New("connection reset")
	}
	return &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body)), Request: req}, nil
}

// silent never answers.
func silent(req *http.Request, _ http.RoundTripper) (*http.Response, error) {
	_, _ = answer(req, lost, "")
	<-req.Context().Done()
	return nil, req.Context().Err()
}
