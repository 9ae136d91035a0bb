package payment

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptrace"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/villapay/villapay/internal/api"
	"github.com/villapay/villapay/internal/ledger"
	"github.com/villapay/villapay/internal/order"
	"github.com/villapay/villapay/internal/payment"
	"github.com/villapay/villapay/internal/sandbox"
	"github.com/villapay/villapay/internal/secret"
)

// world is an API, and one machine's state directory.
type world struct {
	stand *sandbox.Sandbox
	dir   string
	keys  atomic.Int64

	mu     sync.Mutex
	around func(*http.Request, http.RoundTripper) (*http.Response, error) // nil: nothing is in the way
}

func newWorld(t *testing.T, options sandbox.Options) *world {
	t.Helper()
	options.Now = time.Now
	w := &world{stand: sandbox.New(options), dir: t.TempDir()}
	t.Cleanup(func() { _ = w.stand.Close() })
	return w
}

// between puts something between the clients and the API.
func (w *world) between(around func(*http.Request, http.RoundTripper) (*http.Response, error)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.around = around
}

func (w *world) RoundTrip(req *http.Request) (*http.Response, error) {
	w.mu.Lock()
	around := w.around
	w.mu.Unlock()
	if around == nil {
		return w.stand.Transport().RoundTrip(req)
	}
	return around(req, w.stand.Transport())
}

const scope = "http://sandbox.invalid"

// process is a service with a ledger handle and a lock of its own, as another
// process would have.
type process struct {
	*Service
	notes []string
}

// start makes a process whose clock is ahead of the others'.
func (w *world) start(t *testing.T, ahead time.Duration) *process {
	t.Helper()
	now := func() time.Time { return time.Now().Add(ahead) }
	opened, err := ledger.Open(t.Context(), secret.New("sqlite"), w.dir, "tester@host pid 1", now)
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
		Note:   func(text string) { p.notes = append(p.notes, text) },
		Warn:   func(text string) { p.notes = append(p.notes, text) },
	}
	return p
}

// make pays an order by qr.
func (p *process) make(t *testing.T, orderID string) (order.Payment, error) {
	t.Helper()
	return p.Make(t.Context(), Request{OrderID: orderID, Source: order.QR})
}

func (p *process) mustMake(t *testing.T, req Request) order.Payment {
	t.Helper()
	if req.Source == "" {
		req.Source = order.QR
	}
	made, err := p.Make(t.Context(), req)
	if err != nil {
		t.Fatalf("order %s: %v", req.OrderID, err)
	}
	return made
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

func (p *process) events(t *testing.T, payment order.Payment) (kinds []string) {
	t.Helper()
	all, err := p.Ledger.Events(t.Context(), payment.ID)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range all {
		kinds = append(kinds, e.Kind)
	}
	return kinds
}

// counts checks how many requests and orders the API saw for an order; -1 posts
// stands for any number.
func (w *world) counts(t *testing.T, orderID string, posts, orders int) {
	t.Helper()
	got, err := w.stand.Stats(context.Background(), orderID)
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

// answers makes the API answer POSTs in turn with these statuses, 0 being a
// connection that breaks; afterwards it works.
func (w *world) answers(statuses ...int) {
	var n atomic.Int64
	w.between(func(req *http.Request, next http.RoundTripper) (*http.Response, error) {
		i := int(n.Add(1)) - 1
		if i >= len(statuses) {
			return next.RoundTrip(req)
		}
		return answer(req, statuses[i])
	})
}

// answer is an answer without a body; status 0 breaks the connection after the
// request was sent, -1 before.
func answer(req *http.Request, status int) (*http.Response, error) {
	switch status {
	case -1:
		return nil, errors.New("no route to host")
	case 0:
		gotConn(req)
		return nil, errors.New("connection reset")
	}
	gotConn(req)
	return &http.Response{StatusCode: status, Header: http.Header{}, Body: http.NoBody, Request: req}, nil
}

// silent never answers.
func silent(req *http.Request) (*http.Response, error) {
	gotConn(req)
	<-req.Context().Done()
	return nil, req.Context().Err()
}

// contextFor is a context that ends after d.
func contextFor(t *testing.T, d time.Duration) (context.Context, context.CancelFunc) {
	t.Helper()
	return context.WithTimeout(t.Context(), d)
}

// gotConn tells the client that its request had a connection to go out on.
func gotConn(req *http.Request) {
	if trace := httptrace.ContextClientTrace(req.Context()); trace != nil && trace.GotConn != nil {
		trace.GotConn(httptrace.GotConnInfo{})
	}
}
