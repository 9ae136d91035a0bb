package cmd

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// orderFile writes a file of order IDs, one a line.
func (m *machine) orderFile(t *testing.T, n int) (name string) {
	t.Helper()
	var ids bytes.Buffer
	for i := range n {
		fmt.Fprintf(&ids, "4925%06d\n", i)
	}
	name = filepath.Join(m.dir, "orders.txt")
	if err := os.WriteFile(name, ids.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// shownOrders remembers which bank orders were ever shown for each Villa order.
type shownOrders map[string]map[string]bool

// see reads what a batch wrote with -o json, of which a last line may be cut.
func (s shownOrders) see(t *testing.T, stdout []byte) {
	t.Helper()
	for line := range bytes.Lines(stdout) {
		var p paymentObject
		if err := json.Unmarshal(line, &p); err != nil {
			if bytes.HasSuffix(line, []byte("\n")) {
				t.Errorf("a broken line: %s", line)
			}
			continue
		}
		if p.ID == "" {
			continue
		}
		if s[p.Villapay.OrderID] == nil {
			s[p.Villapay.OrderID] = map[string]bool{}
		}
		s[p.Villapay.OrderID][p.ID] = true
	}
}

// check sees to it that of each order one bank order was shown, and one made.
func (s shownOrders) check(t *testing.T, b *bank, n int) {
	t.Helper()
	if villa, all := b.orders(); villa != n || all != n {
		t.Errorf("the bank has %d orders for %d Villa orders, want %d", all, villa, n)
	}
	if len(s) != n {
		t.Errorf("%d orders were shown, want %d", len(s), n)
	}
	for id, orders := range s {
		if len(orders) != 1 {
			t.Errorf("order %s was shown as %v", id, orders)
		}
	}
}

// kill -9 at random moments over a batch against a server that loses answers and
// fails: taken up again to its end, no order is lost and none is made twice.
func TestBatchKilledAtRandomMoments(t *testing.T) {
	t.Parallel()
	orders, kills := 2_000, 12
	if os.Getenv("VILLAPAY_TEST_LONG") != "" {
		orders, kills = 10_000, 50
	}
	b := serveBank(t, true)
	m := newMachine(t, "VILLAPAY_BASE_URL="+b.url)
	args := []string{"pay", "batch", m.orderFile(t, orders), "--rate", "0", "--concurrency", "64", "-o", "json"}
	random := rand.New(rand.NewPCG(3, 4))
	shown := shownOrders{}
	for i := range kills {
		c := m.command(t, args...)
		var out bytes.Buffer
		c.Stdout = &out
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		kill := func() { _ = c.Process.Kill() } // nothing, if it has ended
		requests, last := new(atomic.Int64), random.Int64N(400)
		b.hold(func(string) {
			if requests.Add(1) > last {
				kill()
			}
		})
		if i%4 == 0 { // perhaps before it pays
			time.AfterFunc(time.Duration(random.IntN(200))*time.Millisecond, kill)
		}
		_ = c.Wait()
		shown.see(t, out.Bytes())
	}
	b.hold(func(string) {})
	begun, _ := b.orders()
	for range 10 {
		r := m.run(t, args...)
		shown.see(t, []byte(r.stdout))
		if r.code == 0 {
			break
		}
		if r.code != 6 { // an order can lose five answers in a row
			t.Fatalf("exit %d: %s", r.code, r.stderr)
		}
	}
	if begun == 0 {
		t.Error("no order was begun before the last kill")
	}
	shown.check(t, b, orders)
}

// What was checked is what is paid, whatever becomes of the file meanwhile.
func TestBatchFileChangesUnderTheRun(t *testing.T) {
	t.Parallel()
	b := serveBank(t, false)
	arrived, opened := make(chan struct{}, 100), make(chan struct{})
	b.hold(func(string) {
		arrived <- struct{}{}
		select {
		case <-opened:
		case <-t.Context().Done(): // the test has failed
		}
	})
	m := newMachine(t, "VILLAPAY_BASE_URL="+b.url)
	name := m.orderFile(t, 50)
	c := m.command(t, "pay", "batch", name, "--rate", "0", "--concurrency", "2", "-o", "json")
	var out bytes.Buffer
	c.Stdout = &out
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	<-arrived
	if err := os.WriteFile(name, []byte(strings.Repeat("other\n", 100)), 0o600); err != nil {
		t.Fatal(err)
	}
	close(opened)
	if err := c.Wait(); err != nil {
		t.Error(err)
	}
	shown := shownOrders{}
	shown.see(t, out.Bytes())
	shown.check(t, b, 50)
	if len(shown["other"]) > 0 {
		t.Error("an order was paid that nobody had checked")
	}
}

// Orders share connections. A new one is dialed also when one is about to be idle again.
func TestBatchKeepsItsConnections(t *testing.T) {
	t.Parallel()
	b := serveBank(t, false)
	m := newMachine(t, "VILLAPAY_BASE_URL="+b.url)
	r := m.run(t, "pay", "batch", m.orderFile(t, 500), "--rate", "0", "--concurrency", "8")
	if conns := b.conns.Load(); r.code != 0 || conns > 40 {
		t.Errorf("exit %d, %d connections", r.code, conns)
	}
	if want := "500 of 500 orders: 500 made, 0 already open or paid, 0 failed, 0 unknown\n"; r.stdout != want {
		t.Errorf("stdout %q", r.stdout)
	}
}
