package cmd

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/villapay/villapay/internal/sandbox"
	"github.com/villapay/villapay/internal/testpg"
)

// watchedBank is a served sandbox whose bank wants its key. It counts the bank's
// calls, fails the test if a secret goes to the wrong server, and can hold calls.
type watchedBank struct {
	*served
	mu    sync.Mutex
	calls []string // method and path below the bank's URL
	hold  func(call string, carryOut func())
}

func serveKeyedBank(t *testing.T) *watchedBank {
	t.Helper()
	b := &watchedBank{}
	b.served = serveSandbox(t, sandbox.Options{BankKey: testBankKey}, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			path, atBank := strings.CutPrefix(r.URL.Path, sandbox.BankPath)
			if atBank && r.Header.Get("Authorization") != "" || !atBank && r.Header.Get("X-Api-Key") != "" {
				t.Errorf("%s got the other server's secret", r.URL.Path)
			}
			carryOut := func() { next.ServeHTTP(w, r) }
			if !atBank {
				carryOut()
				return
			}
			call := r.Method + " " + path
			b.mu.Lock()
			b.calls = append(b.calls, call)
			hold := b.hold
			b.mu.Unlock()
			if hold == nil {
				carryOut()
				return
			}
			hold(call, carryOut)
		})
	})
	return b
}

// till is a machine with the bank's address and key.
func (b *watchedBank) till(t *testing.T, env ...string) *machine {
	t.Helper()
	m := newMachine(t, append([]string{"VILLAPAY_BASE_URL=" + b.url, "VILLAPAY_KBANK_SECRET=" + testBankKey}, env...)...)
	if r := m.run(t, "env", "set", "kbank.api_url", b.url+sandbox.BankPath, "--env", "dev"); r.code != 0 {
		t.Fatal(r.stderr)
	}
	return m
}

// count returns how many calls of the bank end so.
func (b *watchedBank) count(end string) (n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, call := range b.calls {
		if strings.HasSuffix(call, end) {
			n++
		}
	}
	return n
}

func (b *watchedBank) setHold(hold func(call string, carryOut func())) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.hold = hold
}

// bankObject is what these tests look at in a payment object.
type bankObject struct {
	ID       string
	Villapay struct {
		State    string
		ChargeID string `json:"charge_id"`
		QR       *struct{ Kind, Content string }
		Warnings []struct{ Code string }
	}
}

func (r result) bankObject(t *testing.T) (p bankObject) {
	t.Helper()
	if err := json.Unmarshal([]byte(r.stdout), &p); err != nil {
		t.Fatalf("exit %d, stdout %q, stderr %s: %v", r.code, r.stdout, r.stderr, err)
	}
	return p
}

// must is a run that ends with 0, and its payment object.
func (m *machine) must(t *testing.T, args ...string) bankObject {
	t.Helper()
	r := m.run(t, append(args, "-o", "json")...)
	if r.code != 0 {
		t.Fatalf("%v: exit %d, %s", args, r.code, r.stderr)
	}
	return r.bankObject(t)
}

// paid is a paid order of a machine, and its charge.
func (b *watchedBank) paid(t *testing.T, m *machine, orderID string) bankObject {
	t.Helper()
	m.must(t, "pay", "qr", orderID)
	if _, err := b.Pay(t.Context(), orderID, "Authorized"); err != nil {
		t.Fatal(err)
	}
	p := m.must(t, "order", "status", orderID)
	if p.Villapay.State != "paid" || p.Villapay.ChargeID == "" {
		t.Fatalf("%+v", p)
	}
	return p
}

// paidTwice pays order paid-twice by two charges, and returns the first one and the
// order as it is then.
func (b *watchedBank) paidTwice(t *testing.T, m *machine) (first string, now bankObject) {
	t.Helper()
	first = b.paid(t, m, "paid-twice").Villapay.ChargeID
	if _, err := b.Pay(t.Context(), "paid-twice", "Authorized"); err != nil {
		t.Fatal(err)
	}
	return first, m.must(t, "order", "status", "paid-twice")
}

// Twenty processes at two tills show one code, and no other one can be paid.
func TestTwentyProcessesShowOneCode(t *testing.T) {
	t.Parallel()
	b := serveKeyedBank(t)
	m := b.till(t)
	contents := make([]string, 20)
	var all sync.WaitGroup
	for i := range contents {
		all.Go(func() {
			if p := m.must(t, "pay", "qr", "4925"); p.Villapay.QR != nil {
				contents[i] = p.Villapay.QR.Content
			}
		})
	}
	all.Wait()
	if unique := slices.Compact(contents); len(unique) != 1 || !strings.HasPrefix(unique[0], "000201") {
		t.Errorf("%d codes are shown: %q", len(unique), unique)
	}
	stats, err := b.Stats(t.Context(), "4925")
	if err != nil || stats.OpenCodes != 1 || stats.Orders != 1 {
		t.Errorf("%+v, %v", stats, err)
	}
}

// kill -9 while the code is asked for, before and after the bank made it: the next
// run shows a code of the same order.
func TestKilledWhileTheCodeIsFetched(t *testing.T) {
	t.Parallel()
	for _, after := range []bool{false, true} {
		b := serveKeyedBank(t)
		m := b.till(t)
		b.killAt(t, m, "POST /qr/v2/qr", after, "pay", "qr", "4925")
		first := m.must(t, "order", "status", "4925", "--offline")
		p := m.must(t, "pay", "qr", "4925")
		if p.ID != first.ID || p.Villapay.QR == nil || p.Villapay.QR.Kind != "thai_qr" || first.Villapay.QR != nil && first.Villapay.QR.Kind == "thai_qr" {
			t.Errorf("after %t: %+v, then %+v", after, first, p)
		}
		if again := m.must(t, "order", "show", "4925", "--jq", ".[0]"); again.Villapay.QR == nil || again.Villapay.QR.Content != p.Villapay.QR.Content {
			t.Errorf("after %t: another code is shown: %+v", after, again)
		}
		b.counts(t, "4925", 1, 1)
	}
}

// An order that another process finds paid while its code is fetched is called paid,
// whether or not the bank then gives a code.
func TestPaidWhileTheCodeIsFetched(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{
		{"order", "checkout", "4925", "--no-browser"}, {"order", "show", "4925", "-o", "qr"}, {"pay", "qr", "4925", "-o", "qr"},
	} {
		for _, answers := range []bool{false, true} {
			b := serveKeyedBank(t)
			m := b.till(t)
			m.with("VILLAPAY_KBANK_SECRET="+unset).must(t, "pay", "qr", "4925")
			b.setHold(func(call string, carryOut func()) {
				if call != "POST /qr/v2/qr" {
					carryOut()
					return
				}
				if _, err := b.Pay(t.Context(), "4925", "Authorized"); err != nil {
					t.Error(err)
				}
				m.must(t, "order", "status", "4925")
				if answers {
					carryOut()
				} // else an answer that cannot be read
			})
			if r := m.run(t, args...); r.code != 5 || r.stdout != "" || !strings.Contains(r.stderr, "order 4925") || !strings.Contains(r.stderr, ": it is already paid") {
				t.Errorf("%v, answers %t: exit %d, %s%s", args, answers, r.code, r.stdout, r.stderr)
			}
		}
	}
}

// killAt runs a command and kills it when a call arrives at the bank, or after the
// bank has carried it out.
func (b *watchedBank) killAt(t *testing.T, m *machine, call string, after bool, args ...string) {
	t.Helper()
	arrived, killed := make(chan struct{}), make(chan struct{})
	b.setHold(func(got string, carryOut func()) {
		if !strings.HasPrefix(got, call) {
			carryOut()
			return
		}
		if after { // the answer waits in the server's buffer, which goes with the connection
			carryOut()
		}
		close(arrived)
		<-killed
		panic(http.ErrAbortHandler)
	})
	c := m.command(t, args...)
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	<-arrived
	_ = c.Process.Kill()
	_ = c.Wait()
	b.setHold(nil)
	close(killed)
}

// kill -9 while a code is canceled or a charge voided: the next run finishes it, and
// the charge is voided by one call.
func TestKilledWhileTheBankChanges(t *testing.T) {
	t.Parallel()
	for _, after := range []bool{false, true} {
		b := serveKeyedBank(t)
		m := b.till(t)
		m.must(t, "pay", "qr", "4925")
		b.killAt(t, m, "POST /qr/v2/qr/qr_", after, "order", "cancel", "4925")
		if p := m.must(t, "order", "cancel", "4925"); p.Villapay.State != "cancelled" {
			t.Errorf("cancel, after %t: %+v", after, p)
		}
		b.paid(t, m, "4926")
		b.killAt(t, m, "POST /qr/v2/qr/chrg_", after, "order", "void", "4926")
		if p := m.must(t, "order", "status", "4926", "--offline"); p.Villapay.State != "paid" {
			t.Errorf("void, after %t: it is %s before the bank said so", after, p.Villapay.State)
		}
		r := m.run(t, "order", "void", "4926", "-o", "json")
		if p := r.bankObject(t); r.code != 0 || p.Villapay.State != "cancelled" || !strings.Contains(r.stderr, "finished first") {
			t.Errorf("void, after %t: exit %d, %+v, %s", after, r.code, p, r.stderr)
		}
		if want := map[bool]int{false: 2, true: 1}[after]; b.count("/void") != want {
			t.Errorf("after %t: %d calls to void, want %d", after, b.count("/void"), want)
		}
	}
}

// Two people void at once: one call at the bank, and both see that it is done.
func TestTwoPeopleVoidAtOnce(t *testing.T) {
	t.Parallel()
	b := serveKeyedBank(t)
	m := b.till(t)
	b.paid(t, m, "4925")
	arrived, open := make(chan struct{}), make(chan struct{})
	b.setHold(func(call string, carryOut func()) {
		if strings.HasSuffix(call, "/void") {
			close(arrived) // a second call would panic
			<-open
		}
		carryOut()
	})
	results := make([]result, 2)
	var both sync.WaitGroup
	both.Go(func() { results[0] = m.run(t, "order", "void", "4925", "-o", "json") })
	<-arrived
	second := m.command(t, "order", "void", "4925", "-o", "json")
	var stdout, stderr bytes.Buffer
	waits := make(chan struct{})
	second.Stdout, second.Stderr = &stdout, writer(func(p []byte) {
		if stderr.Write(p); strings.Contains(stderr.String(), "waiting for it") {
			select {
			case <-waits:
			default:
				close(waits)
			}
		}
	})
	if err := second.Start(); err != nil {
		t.Fatal(err)
	}
	<-waits
	close(open)
	_ = second.Wait()
	both.Wait()
	results[1] = result{second.ProcessState.ExitCode(), stdout.String(), stderr.String()}
	for _, r := range results {
		if r.code != 0 || r.bankObject(t).Villapay.State != "cancelled" {
			t.Errorf("exit %d, %s%s", r.code, r.stdout, r.stderr)
		}
	}
	if n := b.count("/void"); n != 1 {
		t.Errorf("%d calls", n)
	}
}

// Another code that is drawn while order cancel asks the bank is named, and the next run
// cancels it.
func TestACodeDrawnWhileTheOrderIsCanceled(t *testing.T) {
	t.Parallel()
	b := serveKeyedBank(t)
	m := b.till(t)
	m.must(t, "pay", "qr", "4925")
	var once sync.Once
	b.setHold(func(call string, carryOut func()) {
		if strings.HasPrefix(call, "GET ") { // whether it was paid: the code is canceled by now
			draw := false
			once.Do(func() { draw = true })
			if draw {
				m.must(t, "pay", "qr", "4925")
			}
		}
		carryOut()
	})
	r := m.run(t, "order", "cancel", "4925", "-o", "json")
	if p := r.bankObject(t); r.code != 5 || p.Villapay.State != "awaiting" || !strings.Contains(r.stderr, "another code was drawn meanwhile") || !strings.Contains(r.stderr, "villapay order cancel 4925") {
		t.Errorf("exit %d, %+v, %s", r.code, p, r.stderr)
	}
	if p := m.must(t, "order", "cancel", "4925"); p.Villapay.State != "cancelled" {
		t.Errorf("again: %+v", p)
	}
}

type writer func(p []byte)

func (w writer) Write(p []byte) (int, error) {
	w(p)
	return len(p), nil
}

// Of an order that was paid twice one charge is given back, the one that is named.
func TestOneOfTwoChargesIsVoided(t *testing.T) {
	t.Parallel()
	b := serveKeyedBank(t)
	m := b.till(t)
	first, p := b.paidTwice(t, m)
	if len(p.Villapay.Warnings) != 1 || p.Villapay.Warnings[0].Code != "paid_twice" {
		t.Errorf("%+v", p)
	}
	if r := m.run(t, "order", "void", "paid-twice"); r.code != 2 || b.count("/void") != 0 {
		t.Errorf("without --charge: exit %d, %s", r.code, r.stderr)
	}
	for range 2 { // the second time it was already given back
		p := m.must(t, "order", "void", "paid-twice", "--charge", first)
		if p.Villapay.State != "paid" || p.Villapay.ChargeID == first || len(p.Villapay.Warnings) != 1 || p.Villapay.Warnings[0].Code != "paid_twice_returned" {
			t.Errorf("%+v", p)
		}
	}
	if n := b.count("/void"); n != 1 || b.count(first+"/void") != 1 {
		t.Errorf("%d calls to void", n)
	}
	other := m.must(t, "order", "status", "paid-twice").Villapay.ChargeID
	if r := m.run(t, "order", "void", "paid-twice"); r.code != 2 || !strings.Contains(r.stderr, "still paid by "+other) || b.count("/void") != 1 {
		t.Errorf("the only one left, without --charge: exit %d, %s", r.code, r.stderr)
	}
	r := m.run(t, "order", "void", "paid-twice", "--charge", other, "-o", "json")
	if p := r.bankObject(t); p.Villapay.State != "cancelled" || b.count("/void") != 2 || !strings.Contains(r.stderr, "is not paid any more") {
		t.Errorf("the other one: %+v, %s", p, r.stderr)
	}
}

// A void without an answer is not finished by itself once another charge was given back
// elsewhere: somebody has to say that this one is to go, too. One that the bank is known
// to have carried out gives nothing back any more, so it is finished without --charge.
func TestAnUnansweredVoidBesideAReturnedCharge(t *testing.T) {
	t.Parallel()
	for _, carriedOut := range []bool{false, true} {
		b := serveKeyedBank(t)
		m := b.till(t)
		first, _ := b.paidTwice(t, m)
		b.setHold(func(call string, carryOut func()) {
			void := strings.HasSuffix(call, "/void")
			if !void || carriedOut {
				carryOut()
			}
			if void && carriedOut {
				panic(http.ErrAbortHandler)
			} // else the answer cannot be read
		})
		if r := m.run(t, "order", "void", "paid-twice", "--charge", first); r.code != 6 {
			t.Errorf("exit %d, %s", r.code, r.stderr)
		}
		b.setHold(nil)
		if _, err := b.Pay(t.Context(), "paid-twice", "Voided"); err != nil { // the last charge, in the bank's portal
			t.Fatal(err)
		}
		m.must(t, "order", "status", "paid-twice")
		calls := b.count("/void")
		r := m.run(t, "order", "void", "paid-twice")
		if b.count("/void") != calls {
			t.Errorf("carried out %t: %d calls to void, then %d", carriedOut, calls, b.count("/void"))
		}
		if carriedOut {
			if r.code != 0 {
				t.Errorf("exit %d, %s", r.code, r.stderr)
			}
			continue
		}
		if r.code != 2 || !strings.Contains(r.stderr, "--charge "+first) {
			t.Errorf("exit %d, %s", r.code, r.stderr)
		}
		r = m.run(t, "order", "void", "paid-twice", "--charge", first, "-o", "json")
		if r.code != 0 || r.bankObject(t).Villapay.State != "cancelled" || !strings.Contains(r.stderr, "was given back before") {
			t.Errorf("exit %d, %s%s", r.code, r.stdout, r.stderr)
		}
	}
}

// A code that could not be canceled when its order was replaced is canceled as soon as
// the bank can be asked: by order cancel, and before another order is made.
func TestAReplacedCodeIsCanceledLater(t *testing.T) {
	t.Parallel()
	for _, cancels := range []bool{true, false} {
		b := serveKeyedBank(t)
		m := b.till(t)
		m.must(t, "pay", "qr", "4925")
		canceled := map[string]bool{}
		var mu sync.Mutex
		refuse := func(broken func(call string) bool) {
			b.setHold(func(call string, carryOut func()) {
				if strings.HasSuffix(call, "/cancel") && broken(call) {
					return // an answer that cannot be read
				}
				if strings.HasSuffix(call, "/cancel") {
					mu.Lock()
					canceled[call] = true
					mu.Unlock()
				}
				carryOut()
			})
		}
		refuse(func(string) bool { return true })
		if r := m.run(t, "pay", "qr", "4925", "--new"); !strings.Contains(r.stderr, "could not be canceled") {
			t.Errorf("exit %d, %s", r.code, r.stderr)
		}
		if cancels {
			refuse(func(string) bool { return false })
		} else {
			code := b.calls[slices.IndexFunc(b.calls, func(call string) bool { return strings.HasSuffix(call, "/cancel") })]
			refuse(func(call string) bool { return call == code })
			if r := m.run(t, "order", "cancel", "4925"); r.code != 6 {
				t.Errorf("one of two: exit %d, %s", r.code, r.stderr)
			}
			refuse(func(string) bool { return false })
			m.run(t, "pay", "qr", "4925", "--new")
		}
		m.run(t, "order", "cancel", "4925")
		if want := map[bool]int{true: 2, false: 3}[cancels]; len(canceled) != want {
			t.Errorf("%d codes were canceled, want %d", len(canceled), want)
		}
		if r := m.run(t, "pay", "qr", "4925"); r.code != 0 || strings.Contains(r.stderr, "could be paid") {
			t.Errorf("exit %d, %s", r.code, r.stderr)
		}
	}
}

// A key that the bank does not take: the order stands, and nothing is canceled.
func TestAWrongBankKey(t *testing.T) {
	t.Parallel()
	b := serveKeyedBank(t)
	m := b.till(t)
	m.must(t, "pay", "qr", "4925")
	other := m.with("VILLAPAY_KBANK_SECRET=skey_test_33322wrong")
	if r := other.run(t, "pay", "qr", "4927"); r.code != 0 || !strings.Contains(r.stderr, "belongs to another merchant than the bank's secret key") || strings.Contains(r.stderr, "33322wrong") {
		t.Errorf("another merchant's key: exit %d, %s", r.code, r.stderr)
	}
	wrong := m.with("VILLAPAY_KBANK_SECRET=skey_test_22211wrong")
	if p := wrong.must(t, "pay", "qr", "4926"); p.Villapay.State != "awaiting" || p.Villapay.QR != nil || len(p.Villapay.Warnings) != 1 || p.Villapay.Warnings[0].Code != "bank_code" {
		t.Errorf("%+v", p)
	}
	for _, test := range []struct {
		code int
		args []string
	}{
		{6, []string{"pay", "qr", "4926", "-o", "qr"}},
		{6, []string{"order", "show", "4926", "-o", "qr"}},
		{4, []string{"order", "cancel", "4925"}},
		{0, []string{"order", "show", "4925", "-o", "qr"}}, // its code is recorded
	} {
		r := wrong.run(t, test.args...)
		if test.code == 6 && !strings.Contains(r.stderr, "hint: set VILLAPAY_KBANK_SECRET to the right one") {
			t.Errorf("hint: %s", r.stderr)
		}
		if r.code != test.code || (r.stdout == "") != (test.code != 0) || test.code != 0 && !strings.Contains(r.stderr, "HTTP 401") || strings.Contains(r.stderr, "22211wrong") {
			t.Errorf("%v: exit %d, %s", test.args, r.code, r.stderr)
		}
		if test.code == 4 && !strings.Contains(r.stderr, "the bank does not accept the secret key") {
			t.Errorf("hint: %s", r.stderr)
		}
	}
}

// Without the key the bank is never asked.
func TestWithoutTheBankKey(t *testing.T) {
	t.Parallel()
	b := serveKeyedBank(t)
	m := b.till(t, "VILLAPAY_KBANK_SECRET="+unset)
	p := m.must(t, "pay", "qr", "4925")
	if p.Villapay.QR == nil || p.Villapay.QR.Kind != "reference" || p.Villapay.QR.Content != p.ID || len(p.Villapay.Warnings) != 0 {
		t.Errorf("%+v", p)
	}
	for _, args := range [][]string{{"pay", "qr", "4925", "--new"}, {"order", "status", "4925"}, {"order", "show", "4925", "-o", "qr"}, {"order", "list"}, {"doctor"}} {
		m.run(t, args...)
	}
	for _, args := range [][]string{{"order", "cancel", "4925"}, {"order", "void", "4925"}} {
		if r := m.run(t, args...); r.code != 3 {
			t.Errorf("%v: exit %d, %s", args, r.code, r.stderr)
		}
	}
	if len(b.calls) != 0 {
		t.Errorf("the bank is asked: %v", b.calls)
	}
}

// Two machines share a ledger, and one has no key: it draws the code that the other
// one got, and none of its own.
func TestASharedLedgerAndOneKey(t *testing.T) {
	t.Parallel()
	shared := testpg.Schema(t)
	b := serveKeyedBank(t)
	desk := b.till(t, "VILLAPAY_LEDGER="+shared)
	till := b.till(t, "VILLAPAY_LEDGER="+shared, "VILLAPAY_KBANK_SECRET="+unset)
	p := desk.must(t, "pay", "qr", "4925")
	for _, args := range [][]string{{"pay", "qr", "4925"}, {"order", "show", "4925", "--jq", ".[0]"}} {
		if drawn := till.must(t, args...); drawn.ID != p.ID || drawn.Villapay.QR == nil || *drawn.Villapay.QR != *p.Villapay.QR {
			t.Errorf("%v: %+v, want %+v", args, drawn.Villapay.QR, p.Villapay.QR)
		}
	}
	if r := till.run(t, "order", "show", "4925", "-o", "qr"); r.code != 0 || !strings.Contains(r.stderr, "Scan with a bank app") {
		t.Errorf("exit %d, %s", r.code, r.stderr)
	}
	if n := b.count("POST /qr/v2/qr"); n != 1 {
		t.Errorf("%d codes", n)
	}
	if r := till.run(t, "order", "cancel", "4925"); r.code != 3 {
		t.Errorf("exit %d, %s", r.code, r.stderr)
	}
	// The desk cancels it, and the till draws it no more.
	if p := desk.must(t, "order", "cancel", "4925"); p.Villapay.State != "cancelled" {
		t.Errorf("%+v", p)
	}
	if r := till.run(t, "order", "show", "4925", "-o", "qr"); r.code != 5 || r.stdout != "" {
		t.Errorf("exit %d, %s", r.code, r.stderr)
	}
	// Two people at two machines void at once.
	b.paid(t, desk, "4926")
	other := b.till(t, "VILLAPAY_LEDGER="+shared)
	var both sync.WaitGroup
	for _, m := range []*machine{desk, other} {
		both.Go(func() {
			if p := m.must(t, "order", "void", "4926"); p.Villapay.State != "cancelled" {
				t.Errorf("%+v", p)
			}
		})
	}
	both.Wait()
	if n := b.count("/void"); n != 1 {
		t.Errorf("%d calls to void", n)
	}
}

// Another machine voids a charge while this one looks which to void, or has just
// looked: one call to the bank, and the order is shown as it ended. Another charge of
// the order is given back only by somebody who knows of the first.
func TestVoidedMeanwhile(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, orderID string
		sent          string // what the ledger is sent when the other one voids
		code          int
		says          string
	}{
		{"looking", "4926", "c.state = 'done' FROM villapay_change", 0, "was already given back"},
		{"having looked", "4926", "c.lease FROM villapay_change", 0, "has voided charge"},
		{"another charge", "paid-twice", "c.lease FROM villapay_change", 5, "voided_meanwhile"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			shared := testpg.Schema(t)
			w := newWire(t, shared)
			b := serveKeyedBank(t)
			desk := b.till(t, "VILLAPAY_LEDGER="+shared)
			till := b.till(t, "VILLAPAY_LEDGER="+w.url)
			charge := b.paid(t, desk, test.orderID).Villapay.ChargeID
			args := []string{"order", "void", test.orderID, "-o", "json"}
			if test.code != 0 {
				second, err := b.Pay(t.Context(), test.orderID, "Authorized")
				if err != nil {
					t.Fatal(err)
				}
				desk.must(t, "order", "status", test.orderID)
				args = append(args, "--charge", second.ID)
			}
			var once sync.Once
			w.look(func(sent []byte) bool {
				if bytes.Contains(sent, []byte(test.sent)) {
					once.Do(func() {
						if r := desk.run(t, "order", "void", test.orderID, "--charge", charge); r.code != 0 {
							t.Errorf("exit %d, %s", r.code, r.stderr)
						}
					})
				}
				return true
			})
			r := till.run(t, args...)
			if r.code != test.code || !strings.Contains(r.stderr, test.says) || r.code == 0 && r.bankObject(t).Villapay.State != "cancelled" {
				t.Errorf("exit %d, %s%s", r.code, r.stdout, r.stderr)
			}
			if n := b.count("/void"); n != 1 {
				t.Errorf("%d calls to void", n)
			}
		})
	}
}

// An order that another process makes while this one cancels is not called canceled.
func TestAnotherOrderWhileCanceling(t *testing.T) {
	t.Parallel()
	b := serveKeyedBank(t)
	m := b.till(t)
	canceled := m.must(t, "pay", "qr", "4925")
	var once sync.Once
	b.setHold(func(call string, carryOut func()) {
		if strings.HasPrefix(call, "GET") { // the code is canceled by now
			once.Do(func() {
				if r := m.run(t, "pay", "qr", "4925", "--new"); r.code != 0 {
					t.Errorf("exit %d, %s", r.code, r.stderr)
				}
			})
		}
		carryOut()
	})
	r := m.run(t, "order", "cancel", "4925", "-o", "json")
	if p := r.bankObject(t); r.code != 5 || p.ID == canceled.ID || p.Villapay.State != "awaiting" || !strings.Contains(r.stderr, "made meanwhile") {
		t.Errorf("exit %d, %+v, %s", r.code, p, r.stderr)
	}
	if p := m.must(t, "order", "cancel", "4925"); p.Villapay.State != "cancelled" || p.ID == canceled.ID {
		t.Errorf("%+v", p)
	}
}

// After a whole session the key stands in no output and in no file, also if the bank
// repeats it in every answer.
func TestTheBankKeyIsShownNowhere(t *testing.T) {
	t.Parallel()
	b := serveKeyedBank(t)
	m := b.till(t)
	echo := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		key := r.Header.Get("X-Api-Key")
		w.Header().Set("X-Request-Id", key)
		w.Header().Set("X-Echo", key)
		w.WriteHeader(http.StatusBadRequest)
		_ = json.NewEncoder(w).Encode(map[string]string{"object": "error", "code": key, "message": "Your key is " + key})
	}))
	t.Cleanup(echo.Close)
	var said strings.Builder
	session := func(m *machine, args ...string) {
		r := m.run(t, append(args, "--debug")...)
		said.WriteString(r.stdout + r.stderr)
	}
	session(m, "pay", "qr", "4925", "-o", "qr")
	session(m, "pay", "qr", "4925", "--new", "-o", "json")
	session(m, "pay", "qr", "code-rejected", "-o", "qr")
	session(m, "order", "cancel", "4925")
	b.paid(t, m, "4926")
	session(m, "order", "status", "4926")
	session(m, "order", "void", "4926", "-o", "json")
	session(m, "order", "show", "4926", "-o", "json")
	session(m, "pay", "qr", "void-rejected")
	session(m, "whoami")
	session(m, "env", "show")
	session(m, "doctor")
	echoed := m.with("VILLAPAY_BASE_URL=" + b.url)
	if r := echoed.run(t, "env", "set", "kbank.api_url", echo.URL, "--env", "dev"); r.code != 0 {
		t.Fatal(r.stderr)
	}
	session(echoed, "pay", "qr", "4930", "-o", "qr")
	session(echoed, "pay", "qr", "4930", "-o", "json")
	session(echoed, "order", "status", "4930", "-o", "json")
	session(echoed, "order", "show", "4930")
	session(echoed, "order", "cancel", "4930")
	session(echoed, "doctor")
	if text := said.String(); !strings.Contains(text, "Your key is [redacted]") || strings.Contains(text, testBankKey) {
		t.Errorf("it shows the key, or the bank was not asked:\n%s", text)
	}
	noSecrets(t, m, testBankKey)
}
