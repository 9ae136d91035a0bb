package cmd

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// bank is a fast in-memory API: one order per idempotency key. It can lose answers
// and fail.
type bank struct {
	url   string
	conns atomic.Int64                         // ever opened
	gate  atomic.Pointer[func(orderID string)] // passed before anything else; may be nil

	mu     sync.Mutex
	random *rand.Rand                   // nil: nothing fails
	made   map[string]map[string]string // orders by Villa order and key
	posts  int
}

// serveBank starts a bank. faulty says whether a tenth of the requests meets a
// fault.
func serveBank(t *testing.T, faulty bool) *bank {
	t.Helper()
	b := &bank{made: map[string]map[string]string{}}
	if faulty {
		b.random = rand.New(rand.NewPCG(1, 2))
	}
	server := httptest.NewUnstartedServer(b)
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			b.conns.Add(1)
		}
	}
	server.Start()
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	b.url = server.URL
	return b
}

func (b *bank) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var asked struct{ OrderID, Source string }
	if err := json.NewDecoder(r.Body).Decode(&asked); err != nil || r.URL.Path != "/qrpayment" {
		http.Error(w, `{"message":"Missing Authentication Token"}`, http.StatusForbidden)
		return
	}
	if gate := b.gate.Load(); gate != nil {
		(*gate)(asked.OrderID)
	}
	fault := b.draw()
	if fault == "lost before" {
		panic(http.ErrAbortHandler)
	}
	if fault == "503" {
		http.Error(w, `{"message":"Service Unavailable"}`, http.StatusServiceUnavailable)
		return
	}
	order := b.make(asked.OrderID, asked.Source, r.Header.Get("Idempotency-Key"))
	switch fault {
	case "lost after":
		panic(http.ErrAbortHandler)
	case "504":
		http.Error(w, `{"message":"Endpoint request timed out"}`, http.StatusGatewayTimeout)
	case "cut":
		w.Header().Set("Content-Length", fmt.Sprint(len(order)))
		fmt.Fprint(w, order[:len(order)/2])
		panic(http.ErrAbortHandler)
	default:
		fmt.Fprint(w, order)
	}
}

// draw chooses the fault that one request meets.
func (b *bank) draw() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.posts++
	if b.random == nil {
		return ""
	}
	faults := []string{"lost before", "lost after", "cut", "503", "504"}
	if n := b.random.IntN(50); n < len(faults) {
		return faults[n]
	}
	return ""
}

func (b *bank) make(orderID, source, key string) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.made[orderID] == nil {
		b.made[orderID] = map[string]string{}
	}
	order, again := b.made[orderID][key]
	if !again {
		order = fmt.Sprintf(`{"id":"order_test_%s_%d","object":"order","created":"%s","livemode":false,"amount":300.0,"currency":"THB","status":"success","source_type":%q,"failure_code":null,"expire_time_seconds":3600}`,
			orderID, len(b.made[orderID]), time.Now().UTC().Add(7*time.Hour).Format("20060102150405")+"000", source)
		b.made[orderID][key] = order
	}
	return order
}

// orders counts the bank's orders: of how many Villa orders, and how many in all.
func (b *bank) orders() (villa, all int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, orders := range b.made {
		all += len(orders)
	}
	return len(b.made), all
}

// hold lets every request pass a gate first.
func (b *bank) hold(gate func(orderID string)) { b.gate.Store(&gate) }
