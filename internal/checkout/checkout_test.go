package checkout

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/villapay/villapay/internal/httpserver"
	"github.com/villapay/villapay/internal/order"
)

var noon = time.Date(2025, 5, 30, 12, 0, 0, 0, order.Bangkok)

// open is a payment that can be paid until an hour after noon.
func open(t *testing.T) order.Payment {
	t.Helper()
	amount, err := order.ParseAmount("1300.0")
	if err != nil {
		t.Fatal(err)
	}
	return order.Payment{
		OrderID: "492500004632", BankOrderID: "order_test_1", Amount: amount, Currency: "THB", Source: order.QR,
		State: order.Awaiting, ExpiresAt: noon.Add(time.Hour),
	}
}

// bankPage is a page with the bank's widget.
func bankPage(t *testing.T) Page {
	t.Helper()
	return Page{
		Payment: open(t), ShopName: "Villa", ScriptURL: "https://bank.example/ui/v2/kpayment.min.js", PublicKey: "pkey_test_1",
		Now: func() time.Time { return noon }, Log: slog.New(slog.DiscardHandler),
	}
}

// sandboxPage is a page with the sandbox's pay button.
func sandboxPage(t *testing.T, pay func(context.Context) error) Page {
	t.Helper()
	page := bankPage(t)
	page.ScriptURL, page.PublicKey, page.Pay = "", "", pay
	return page
}

func newServer(t *testing.T, page Page) *Server {
	t.Helper()
	s, err := New(page, []string{"127.0.0.1:8976", "localhost:8976"})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// ask sends one request as a browser at the page's own host does.
func ask(s *Server, method, path string, form url.Values, header ...string) *http.Response {
	req := httptest.NewRequest(method, path, strings.NewReader(form.Encode()))
	req.Host = "127.0.0.1:8976"
	if form != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for i := 0; i+1 < len(header); i += 2 {
		if header[i] == "Host" {
			req.Host = header[i+1]
		}
		req.Header.Set(header[i], header[i+1])
	}
	answer := httptest.NewRecorder()
	s.ServeHTTP(answer, req)
	return answer.Result()
}

func text(t *testing.T, resp *http.Response) string {
	t.Helper()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

// What strangers ask for is summed up, once a minute at most.
func TestRejectionsAreSummedUp(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	now := noon
	page := bankPage(t)
	page.Now = func() time.Time { return now }
	page.Log = slog.New(slog.NewTextHandler(&log, nil))
	s := newServer(t, page)
	for range 2 {
		for range 100 {
			ask(s, "GET", s.path, nil, "Host", strings.Repeat("y", 10_000))
		}
		now = now.Add(httpserver.SummaryInterval)
	}
	if log.Len() > 2000 || strings.Count(log.String(), "\n") != 2 || !strings.Contains(log.String(), "checkout rejected 100 requests, the last one: 421 GET yyy") || strings.Contains(log.String(), s.path) {
		t.Errorf("%d bytes: %.600s", log.Len(), &log)
	}
}

func TestOnlyTheOwnAddressIsAnswered(t *testing.T) {
	t.Parallel()
	bank, stand := newServer(t, bankPage(t)), newServer(t, sandboxPage(t, func(context.Context) error { return nil }))
	if bank.path == stand.path || len(bank.path) < 2+26 {
		t.Fatalf("paths %s and %s can be guessed", bank.path, stand.path)
	}
	for name, test := range map[string]struct {
		server       *Server
		method, path string
		host         string
		status       int
	}{
		"the page":                     {bank, "GET", bank.path, "127.0.0.1:8976", 200},
		"the page by another name":     {bank, "GET", bank.path, "localhost:8976", 200},
		"its state":                    {bank, "GET", bank.path + "state", "127.0.0.1:8976", 200},
		"back from the bank":           {bank, "POST", bank.path + "return", "127.0.0.1:8976", 303},
		"the root":                     {bank, "GET", "/", "127.0.0.1:8976", 404},
		"no slash":                     {bank, "GET", strings.TrimSuffix(bank.path, "/"), "127.0.0.1:8976", 404},
		"another page's path":          {bank, "GET", stand.path, "127.0.0.1:8976", 404},
		"another page's state":         {bank, "GET", stand.path + "state", "127.0.0.1:8976", 404},
		"one letter off":               {bank, "GET", bank.path[:9] + "0" + bank.path[10:], "127.0.0.1:8976", 404},
		"nothing below":                {bank, "GET", bank.path + "x", "127.0.0.1:8976", 404},
		"no dots":                      {bank, "GET", bank.path + "../" + bank.path + "state", "127.0.0.1:8976", 404},
		"no pay button outside":        {bank, "POST", bank.path + "pay", "127.0.0.1:8976", 404},
		"a rebound name":               {bank, "GET", bank.path, "evil.example:8976", 421},
		"another port":                 {bank, "GET", bank.path, "127.0.0.1:9999", 421},
		"no port":                      {bank, "GET", bank.path, "127.0.0.1", 421},
		"no host":                      {bank, "GET", bank.path, "", 421},
		"a posted page":                {bank, "POST", bank.path, "127.0.0.1:8976", 405},
		"a posted state":               {bank, "POST", bank.path + "state", "127.0.0.1:8976", 405},
		"a deleted page":               {bank, "DELETE", bank.path, "127.0.0.1:8976", 405},
		"paying by a link":             {stand, "GET", stand.path + "pay", "127.0.0.1:8976", 405},
		"paying without the page":      {stand, "POST", stand.path + "pay", "127.0.0.1:8976", 403},
		"a wrong method, a wrong path": {bank, "POST", "/", "127.0.0.1:8976", 404},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			resp := ask(test.server, test.method, test.path, nil, "Host", test.host)
			if resp.StatusCode != test.status {
				t.Errorf("%s %s at %q: %s", test.method, test.path, test.host, resp.Status)
			}
			if body := text(t, resp); resp.StatusCode >= 400 && (strings.Contains(body, "492500004632") || strings.Contains(body, test.server.path)) {
				t.Errorf("a refusal tells of the page: %s", body)
			}
			for header, want := range map[string]string{"Cache-Control": "no-store", "Referrer-Policy": "no-referrer", "X-Frame-Options": "DENY", "X-Content-Type-Options": "nosniff"} {
				if got := resp.Header.Get(header); got != want {
					t.Errorf("%s: %q", header, got)
				}
			}
			if !strings.HasPrefix(resp.Header.Get("Content-Security-Policy"), "default-src 'none'; ") {
				t.Error("no strict policy")
			}
		})
	}
}

var nonces = regexp.MustCompile(`nonce-([A-Z0-9]+)|nonce="([A-Z0-9]+)"`)

func TestThePolicyAdmitsTheBankAlone(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		page Page
		want string
	}{
		"bank": {
			bankPage(t), "default-src 'none'; script-src 'nonce-N' https://bank.example; style-src 'unsafe-inline' https://bank.example; " +
				"img-src data: https://bank.example; font-src data: https://bank.example; connect-src 'self' https://bank.example; " +
				"frame-src https://bank.example; form-action 'self' https://bank.example; base-uri 'none'; frame-ancestors 'none'",
		},
		"sandbox": {
			sandboxPage(t, func(context.Context) error { return nil }), "default-src 'none'; script-src 'nonce-N'; style-src 'nonce-N'; img-src data:; " +
				"connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t, test.page)
			resp := ask(s, "GET", s.path, nil)
			policy, body := resp.Header.Get("Content-Security-Policy"), text(t, resp)
			found := nonces.FindAllStringSubmatch(policy+body, -1)
			if len(found) < 3 || slices.ContainsFunc(found, func(n []string) bool { return n[1]+n[2] != found[0][1] }) {
				t.Errorf("nonces %q", found)
			}
			if diff := cmp.Diff(test.want, nonces.ReplaceAllString(policy, "nonce-N")); diff != "" {
				t.Error(diff)
			}
			if again := ask(s, "GET", s.path, nil).Header.Get("Content-Security-Policy"); again == policy {
				t.Error("a nonce is used twice")
			}
		})
	}
}

func TestThePageHoldsTheWidgetAndEscapesEverything(t *testing.T) {
	t.Parallel()
	page := bankPage(t)
	page.ShopName = `"><script>alert(1)</script>`
	page.Payment.BankOrderID = `order_"onload="x`
	page.Payment.Source = order.WeChat
	s := newServer(t, page)
	body := text(t, ask(s, "GET", s.path, nil))
	for _, want := range []string{
		`<script src="https://bank.example/ui/v2/kpayment.min.js" data-apikey="pkey_test_1" data-amount="1300.00" data-currency="THB" ` +
			`data-payment-methods="wechat" data-order-id="order_&#34;onload=&#34;x" data-name="&#34;&gt;&lt;script&gt;alert(1)&lt;/script&gt;"></script>`,
		`1,300.00 <small>THB</small>`, `492500004632`, `รอการชำระเงิน`, `Waiting for payment`,
	} {
		if !strings.Contains(body, want) {
			t.Errorf("no %s in %s", want, body)
		}
	}
	if strings.Contains(body, "<script>alert") || strings.Contains(body, "sandbox") || strings.Contains(body, `action="pay"`) {
		t.Errorf("the page holds what it must not: %s", body)
	}
}

func TestNewRefuses(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(*Page){
		"no order":           func(p *Page) { p.Payment.BankOrderID = "" },
		"no amount":          func(p *Page) { p.Payment.Amount = order.Amount{} },
		"too many decimals":  func(p *Page) { p.Payment.Amount, _ = order.ParseAmount("1.001") },
		"no script":          func(p *Page) { p.ScriptURL = "" },
		"script over http":   func(p *Page) { p.ScriptURL = "http://bank.example/k.js" },
		"script with a user": func(p *Page) { p.ScriptURL = "https://127.0.0.1@bank.example/k.js" },
		"script is no URL":   func(p *Page) { p.ScriptURL = "javascript:alert(1)" },
		"policy injection":   func(p *Page) { p.ScriptURL = "https://bank.example;script-src'/k.js" },
		"no public key":      func(p *Page) { p.PublicKey = "" },
		"the secret key":     func(p *Page) { p.PublicKey = "sKey_test_1" },
	} {
		page := bankPage(t)
		spoil(&page)
		if _, err := New(page, []string{"127.0.0.1:1"}); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
	page := bankPage(t)
	page.ScriptURL = "http://[::1]:9/k.js"
	if _, err := New(page, []string{"127.0.0.1:1"}); err != nil {
		t.Error(err)
	}
}

func TestStatesAsAPayerSeesThem(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		change func(*order.Payment)
		after  time.Duration
		state  order.State
		final  bool
	}{
		"awaiting":              {func(*order.Payment) {}, 0, "awaiting", false},
		"just before expiry":    {func(*order.Payment) {}, time.Hour - 1, "awaiting", false},
		"expired by the clock":  {func(*order.Payment) {}, time.Hour, "expired", true},
		"never expires":         {func(p *order.Payment) { p.ExpiresAt = time.Time{} }, 9999 * time.Hour, "awaiting", false},
		"paid":                  {func(p *order.Payment) { p.State = order.Paid }, 0, "paid", true},
		"paid after expiry":     {func(p *order.Payment) { p.State = order.Paid }, 2 * time.Hour, "paid", true},
		"another order is paid": {func(p *order.Payment) { p.State, p.BankOrderID = order.Paid, "order_test_2" }, 0, "paid", true},
		"another order is open": {func(p *order.Payment) { p.BankOrderID = "order_test_2" }, 0, "replaced", true},
		"of another source":     {func(p *order.Payment) { p.BankOrderID, p.Source = "order_test_2", order.WeChat }, 0, "awaiting", false},
		"expired, of another":   {func(p *order.Payment) { p.BankOrderID, p.Source, p.State = "order_test_2", order.WeChat, order.Expired }, 0, "awaiting", false},
		"paid, of another":      {func(p *order.Payment) { p.BankOrderID, p.Source, p.State = "order_test_2", order.WeChat, order.Paid }, 0, "paid", true},
		"one is being made":     {func(p *order.Payment) { p.BankOrderID, p.State = "", order.Sending }, 0, "replaced", true},
		"replaced":              {func(p *order.Payment) { p.ReplacedBy = "key" }, 0, "replaced", true},
		"replaced, yet paid":    {func(p *order.Payment) { p.ReplacedBy, p.State = "key", order.Paid }, 0, "paid", true},
		"cancelled":             {func(p *order.Payment) { p.State = order.Cancelled }, 0, "cancelled", true},
		"refunded":              {func(p *order.Payment) { p.State = order.Refunded }, 0, "refunded", true},
		"failed":                {func(p *order.Payment) { p.State = order.Failed }, 0, "failed", true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			page := bankPage(t)
			page.Now = func() time.Time { return noon.Add(test.after) }
			s := newServer(t, page)
			p := open(t)
			test.change(&p)
			s.Show(p)
			var got struct {
				State       order.State
				Th, En, Now string
				Final       bool
			}
			if err := json.Unmarshal([]byte(text(t, ask(s, "GET", s.path+"state", nil))), &got); err != nil {
				t.Fatal(err)
			}
			if got.State != test.state || got.Final != test.final || got.Th == "" || got.En == "" || got.Now == "" {
				t.Errorf("%+v", got)
			}
			if body := text(t, ask(s, "GET", s.path, nil)); strings.Contains(body, "pkey_test_1") == test.final {
				t.Errorf("final %t, and the widget is there: %t", test.final, !test.final)
			}
		})
	}
	for _, s := range order.States() {
		if w := wordsFor(s); w == wordsFor(replaced) || w.thai == "" {
			t.Errorf("no words for %s", s)
		}
	}
}

func TestTheSandboxPaysOnlyFromThePage(t *testing.T) {
	t.Parallel()
	paid := 0
	var failure error
	s := newServer(t, sandboxPage(t, func(context.Context) error { paid++; return failure }))
	form := regexp.MustCompile(`name="form" value="([^"]+)"`).FindStringSubmatch(text(t, ask(s, "GET", s.path, nil)))
	if len(form) != 2 {
		t.Fatal("no pay form")
	}
	good := url.Values{"form": {form[1]}}
	for _, bad := range []url.Values{nil, {}, {"form": {""}}, {"form": {s.path}}, {"form": {strings.Repeat("x", 1<<20)}}} {
		if resp := ask(s, "POST", s.path+"pay", bad); resp.StatusCode != 403 {
			t.Errorf("%s", resp.Status)
		}
	}
	if resp := ask(s, "POST", s.path+"pay?form="+form[1], url.Values{}); resp.StatusCode != 403 || paid != 0 {
		t.Errorf("paid by a link: %s", resp.Status)
	}
	failure = errors.New("no order in /home/cashier/state")
	if resp := ask(s, "POST", s.path+"pay", good); resp.StatusCode != 502 || strings.Contains(text(t, resp), "cashier") {
		t.Errorf("%s", resp.Status)
	}
	failure = nil
	resp := ask(s, "POST", s.path+"pay", good)
	if resp.StatusCode != 303 || resp.Header.Get("Location") != s.path || paid != 2 {
		t.Errorf("%s, %d payments", resp.Status, paid)
	}
	p := open(t)
	p.State = order.Paid
	s.Show(p)
	if resp := ask(s, "POST", s.path+"pay", good); resp.StatusCode != 303 || paid != 2 {
		t.Errorf("%s: paid twice", resp.Status)
	}
}

func TestTheReadersLanguageComesFirst(t *testing.T) {
	t.Parallel()
	s := newServer(t, bankPage(t))
	for _, test := range []struct{ query, accept, lang string }{
		{"", "", "th"},
		{"", "en-US,en;q=0.9", "en"},
		{"", "th-TH,th;q=0.9,en;q=0.8", "th"},
		{"", "en;q=0.5, th;q=0.4", "en"},
		{"", "de, ja", "th"},
		{"", "en;q=x", "th"},
		{"?lang=en", "th", "en"},
		{"?lang=th", "en", "th"},
		{"?lang=xx", "en", "th"},
	} {
		body := text(t, ask(s, "GET", s.path+test.query, nil, "Accept-Language", test.accept))
		if !strings.Contains(body, `<html lang="`+test.lang+`">`) {
			t.Errorf("%+v", test)
		}
	}
}

func TestHosts(t *testing.T) {
	t.Parallel()
	for addr, want := range map[string][]string{
		"127.0.0.1:80":     {"127.0.0.1:80", "localhost:80"},
		"[::1]:9000":       {"[::1]:9000", "localhost:9000"},
		"192.168.1.4:9000": {"192.168.1.4:9000"},
	} {
		tcp, err := net.ResolveTCPAddr("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := Hosts(tcp); err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: %q, %v", addr, got, err)
		}
	}
	all, err := Hosts(&net.TCPAddr{IP: net.IPv4zero, Port: 9000})
	if err != nil || !slices.Contains(all, "127.0.0.1:9000") || all[len(all)-1] != "localhost:9000" {
		t.Errorf("%q, %v", all, err)
	}
	if withPort("192.168.1.4") != "192.168.1.4:80" || withPort("[::1]") != "[::1]:80" || withPort("h:1") != "h:1" {
		t.Error("browsers leave port 80 out")
	}
}
