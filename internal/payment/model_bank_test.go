package payment_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptrace"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/villapay/villapay/internal/api"
	"github.com/villapay/villapay/internal/kbank"
	"github.com/villapay/villapay/internal/ledger"
	"github.com/villapay/villapay/internal/order"
	"github.com/villapay/villapay/internal/payment"
	"github.com/villapay/villapay/internal/secret"
)

const (
	shopURL = "http://shop.invalid"
	bankURL = "http://bank.invalid"
)

// town is a shop's API and a bank, as small as they can be: the truth about orders,
// codes and charges. Its codes are WeChat's, whose text is taken as it comes.
type town struct {
	codeLife time.Duration
	// fate decides about each call before it is carried out; nil is fine.
	fate  func(r *http.Request) fate
	ahead time.Duration // of its Date header
	// grumbles makes the bank reject what is done already, as some do.
	grumbles bool

	mu      sync.Mutex
	n       int
	orders  map[string]*bankOrder // by the idempotency key
	codes   map[string]*bankCode
	charges map[string]*bankCharge
	calls   map[string]int // by method and last part of the path
}

// fate is what becomes of a call.
type fate int

const (
	fine        fate = iota
	lostBefore       // the connection breaks, nothing was done
	lostAfter        // it was done, and the answer is lost
	unavailable      // 503, nothing was done
	unreachable      // there is no connection
	silent           // nothing comes until the client gives up
	page             // a web page with 200, nothing was done
	diesBefore       // the process is killed as it sends
	diesAfter        // it is killed before the answer arrives
)

type bankOrder struct {
	id, villa string
	created   time.Time
}

type bankCode struct {
	id      string
	order   *bankOrder
	ends    time.Time
	state   string // open, canceled or used
	created time.Time
}

type bankCharge struct {
	id      string
	order   *bankOrder
	state   string
	created time.Time
}

func newTown() *town {
	return &town{codeLife: 10 * time.Minute, orders: map[string]*bankOrder{}, codes: map[string]*bankCode{}, charges: map[string]*bankCharge{}, calls: map[string]int{}}
}

func (w *town) RoundTrip(r *http.Request) (*http.Response, error) {
	fate := fine
	if w.fate != nil {
		fate = w.fate(r)
	}
	if trace := httptrace.ContextClientTrace(r.Context()); fate != unreachable && trace != nil && trace.GotConn != nil {
		trace.GotConn(httptrace.GotConnInfo{})
	}
	switch fate { //nolint:exhaustive // the others are served
	case lostBefore:
		return nil, io.ErrUnexpectedEOF
	case unreachable:
		return nil, errors.New("no route to host")
	case silent:
		<-r.Context().Done()
		return nil, r.Context().Err()
	case unavailable:
		return w.reply(r, 503, "", nil), nil
	case page:
		return w.reply(r, 200, "<html>Welcome to the hotel</html>", nil), nil
	case diesBefore:
		runtime.Goexit()
	}
	if key := r.Header.Get("X-Api-Key"); (r.URL.Host == "bank.invalid") != (key == testKey) || (r.URL.Host == "shop.invalid") != (r.Header.Get("Authorization") == testToken) {
		panic("a secret went to the wrong server: " + r.URL.String())
	}
	status, body := w.serve(r)
	switch fate { //nolint:exhaustive // as above
	case lostAfter:
		return nil, io.ErrUnexpectedEOF
	case diesAfter:
		runtime.Goexit()
	}
	return w.reply(r, status, "", body), nil
}

func (w *town) reply(r *http.Request, status int, text string, body any) *http.Response {
	if body != nil {
		data, err := json.Marshal(body)
		if err != nil {
			panic(err)
		}
		text = string(data)
	}
	header := http.Header{"Date": {time.Now().Add(w.ahead).UTC().Format(http.TimeFormat)}, "X-Request-Id": {"req-" + r.URL.Path}}
	return &http.Response{StatusCode: status, Header: header, Body: io.NopCloser(strings.NewReader(text)), Request: r}
}

type fields map[string]any

func bankError(code string) (int, any) {
	return 400, fields{"object": "error", "code": code, "message": "No: " + code + "."}
}

func notFound(code string) (int, any) {
	return 404, fields{"object": "error", "code": code, "message": "Not found."}
}

// serve carries a call out.
func (w *town) serve(r *http.Request) (status int, body any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var asked struct{ OrderID, Order_ID string } //nolint:revive // as the wire has it
	if r.Body != nil {
		data, _ := io.ReadAll(r.Body)
		_ = json.Unmarshal(bytes.TrimSpace(data), &asked)
	}
	path := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	w.calls[r.Method+" "+path[len(path)-1]]++
	switch {
	case r.URL.Path == "/qrpayment":
		return 200, w.makeOrder(asked.OrderID, r.Header.Get("Idempotency-Key"))
	case r.URL.Path == "/qr/v2/qr":
		return w.makeCode(asked.Order_ID)
	case r.Method == http.MethodGet:
		return w.inquire(path[3])
	case path[4] == "cancel":
		return w.cancel(path[3])
	}
	return w.void(path[3])
}

func (w *town) next(kind string) string {
	w.n++
	return fmt.Sprintf("%s_test_%d", kind, w.n)
}

func (w *town) makeOrder(villa, key string) any {
	o := w.orders[key]
	if o == nil {
		o = &bankOrder{w.next("order"), villa, time.Now()}
		w.orders[key] = o
	}
	return fields{"id": o.id, "object": "order", "created": stamp(o.created), "amount": 300.5, "currency": "THB", "status": "success", "reference_order": "ref-" + o.id, "livemode": false, "expire_time_seconds": 3600}
}

func stamp(at time.Time) string {
	at = at.In(order.Bangkok)
	return at.Format("20060102150405") + fmt.Sprintf("%03d", at.Nanosecond()/1e6)
}

func (w *town) makeCode(orderID string) (int, any) {
	for _, o := range w.orders {
		if o.id == orderID {
			c := &bankCode{w.next("qr"), o, time.Now().Add(w.codeLife), "open", time.Now()}
			w.codes[c.id] = c
			return 200, fields{"id": c.id, "object": "qr", "order_id": o.id, "paint_text": "weixin://pay/" + c.id, "status": "success", "created": stamp(c.created), "livemode": false, "expire_time_seconds": w.codeLife.Seconds()}
		}
	}
	return notFound("order_not_found")
}

func (w *town) inquire(id string) (int, any) {
	var last *bankCharge
	for _, c := range w.charges {
		if (c.id == id || c.order.id == id) && (last == nil || c.created.After(last.created)) {
			last = c
		}
	}
	if last == nil {
		return notFound("charge_not_found")
	}
	return 200, last.fields()
}

func (c *bankCharge) fields() fields {
	return fields{"id": c.id, "object": "charge", "order_id": c.order.id, "amount": 300.5, "currency": "THB", "status": "success", "transaction_state": c.state, "reference_order": "ref-" + c.order.id, "created": stamp(c.created), "livemode": false}
}

func (w *town) cancel(id string) (int, any) {
	c := w.codes[id]
	switch {
	case c == nil:
		return notFound("code_not_found")
	case c.state == "used":
		return bankError("already_paid")
	case w.grumbles && (c.state == "canceled" || !time.Now().Before(c.ends)):
		return bankError("not_open")
	}
	c.state = "canceled"
	return 200, fields{"id": id, "object": "qr", "status": "success"}
}

func (w *town) void(id string) (int, any) {
	c := w.charges[id]
	switch {
	case c == nil:
		return notFound("charge_not_found")
	case w.grumbles && c.state != "Authorized":
		return bankError("invalid_state")
	}
	c.state = "Voided"
	return 200, c.fields()
}

// scan is a customer who pays with a code, if that is possible.
func (w *town) scan(codeID string) *bankCharge {
	w.mu.Lock()
	defer w.mu.Unlock()
	c := w.codes[codeID]
	if c == nil || !c.payable() {
		return nil
	}
	c.state = "used"
	charge := &bankCharge{w.next("chrg"), c.order, "Authorized", time.Now()}
	w.charges[charge.id] = charge
	return charge
}

func (c *bankCode) payable() bool { return c.state == "open" && time.Now().Before(c.ends) }

// payable returns the codes that a customer could pay with.
func (w *town) payable() (ids []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for id, c := range w.codes {
		if c.payable() {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

func (w *town) code(id string) bankCode {
	w.mu.Lock()
	defer w.mu.Unlock()
	return *w.codes[id]
}

// charge picks one of the charges in a state; nil if there is none.
func (w *town) charge(pick func(int) int, states ...string) *bankCharge {
	w.mu.Lock()
	defer w.mu.Unlock()
	var all []*bankCharge
	for _, id := range slices.Sorted(maps.Keys(w.charges)) {
		if c := w.charges[id]; slices.Contains(states, c.state) {
			all = append(all, c)
		}
	}
	if len(all) == 0 {
		return nil
	}
	return all[pick(len(all))]
}

func (w *town) called(call string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.calls[call]
}

const (
	testKey   = "skey_test_22211abcdef"
	testToken = "token-of-a-till"
	villa     = "492500004632"
)

type token struct{}

func (token) Token(context.Context) (secret.String, error) { return secret.New(testToken), nil }

func (token) Refresh(context.Context, secret.String) (secret.String, error) {
	return secret.New(testToken), nil
}

// till is a process of villapay at one till.
type till struct {
	*payment.Service
	t *testing.T

	mu       sync.Mutex
	warnings []string
}

var keysMade struct {
	sync.Mutex
	n int
}

// till opens a till on a ledger.
func (w *town) till(t *testing.T, l *ledger.Ledger) *till {
	t.Helper()
	s := &till{t: t}
	s.Service = &payment.Service{
		API:    &api.Client{BaseURL: shopURL, IdempotencyHeader: "Idempotency-Key", Transport: w, Tokens: token{}},
		Bank:   &kbank.Client{HTTP: &api.Client{Name: "the bank", BaseURL: bankURL, Key: secret.New(testKey), Transport: w}, Sof: map[order.Source]string{order.WeChat: "WeChat"}},
		Ledger: l, Env: "dev", Scope: shopURL, Timeout: 30 * time.Second, Now: time.Now,
		NewKey: func() string {
			keysMade.Lock()
			defer keysMade.Unlock()
			keysMade.n++
			return fmt.Sprintf("key-%d", keysMade.n)
		},
		Warn: func(text string) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.warnings = append(s.warnings, text)
		},
	}
	return s
}

// memory is a ledger that several tills of a test share.
func memory(t *testing.T) *ledger.Ledger {
	t.Helper()
	l, err := ledger.Open(t.Context(), secret.New("none"), "", "tester@host pid 1", time.Now)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	if err := l.Writable(t.Context()); err != nil {
		t.Fatal(err)
	}
	return l
}

// warned returns the warnings since it was last asked, as one text.
func (s *till) warned() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	text := strings.Join(s.warnings, "\n")
	s.warnings = nil
	return text
}

// pay makes or replays the order's payment, and gets its code.
func (s *till) pay(fresh bool) (order.Payment, error) {
	p, err := s.Make(context.Background(), payment.Request{OrderID: villa, Source: order.WeChat, New: fresh})
	if err != nil {
		return p, err
	}
	return s.Code(context.Background(), p)
}

// mustPay pays, and returns the payment with its living code.
func (s *till) mustPay(fresh bool) order.Payment {
	s.t.Helper()
	p, err := s.pay(fresh)
	if err != nil {
		s.t.Fatal(err)
	}
	if p.LivingCode(time.Now()) == nil {
		s.t.Fatalf("it has no living code: %+v", p)
	}
	return p
}

func (s *till) known() []order.Payment {
	s.t.Helper()
	all, err := s.Ledger.Payments(context.Background(), shopURL, villa)
	if err != nil {
		s.t.Fatal(err)
	}
	return all
}

// now is a payment as the ledger has it now.
func (s *till) now(p order.Payment) order.Payment {
	s.t.Helper()
	for _, now := range s.known() {
		if now.ID == p.ID {
			return now
		}
	}
	s.t.Fatal("it is not in the ledger")
	return p
}

func (s *till) events(p order.Payment) (kinds []string) {
	s.t.Helper()
	all, err := s.Ledger.Events(context.Background(), p.ID)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, e := range all {
		kinds = append(kinds, e.Kind)
	}
	return kinds
}

// kind is what an error of a call says may have been done; 0 for others.
func kind(err error) api.Kind {
	if failure, ok := errors.AsType[*api.Error](err); ok {
		return failure.Kind
	}
	return 0
}

// on lets the calls whose path ends so have a fate, and all others none.
func on(end string, what fate) func(*http.Request) fate {
	return func(r *http.Request) fate {
		if strings.HasSuffix(r.URL.Path, end) && (r.Method != http.MethodGet || end == "") {
			return what
		}
		return fine
	}
}
