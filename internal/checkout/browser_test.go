package checkout

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/villapay/villapay/internal/order"
	"github.com/villapay/villapay/internal/testchrome"
	"github.com/villapay/villapay/internal/testport"
)

// serveIt puts a page on a loopback port.
func serveIt(t *testing.T, page Page) *Server {
	t.Helper()
	server := httptest.NewUnstartedServer(nil)
	hosts, err := Hosts(server.Listener.Addr())
	if err != nil {
		t.Fatal(err)
	}
	s, err := New(page, hosts)
	if err != nil {
		t.Fatal(err)
	}
	server.Config.Handler = s
	server.Start()
	t.Cleanup(server.Close)
	return s
}

// phone and counter are the screens that the page is made for.
var (
	phone   = testchrome.View{Width: 390, Height: 844, Mobile: true, Language: "th"}
	counter = testchrome.View{Width: 1920, Height: 1080, Dark: true, Language: "en"}
)

func TestAPayerClicksThroughToPaid(t *testing.T) {
	t.Parallel()
	browser := testchrome.Launch(t)
	var s *Server
	s = serveIt(t, sandboxPage(t, func(context.Context) error {
		p := open(t)
		p.State, p.PaidAt = order.Paid, noon
		s.Show(p)
		return nil
	}))
	display := browser.Open(s.URL(), counter)
	payer := browser.Open(s.URL(), phone)
	payer.WaitFor("#state", "รอการชำระเงิน")
	payer.WaitFor("#countdown", "59:5") // by the server's clock, which is years behind
	if shown := payer.Text("#amount") + payer.Text("#order"); shown != "1,300.00 THB492500004632" {
		t.Errorf("the page shows %q", shown)
	}
	display.WaitFor("#state", "Waiting for payment")

	payer.Click("#pay button")
	payer.WaitFor("#state", "ชำระเงินเรียบร้อยแล้ว")
	display.WaitFor("#state", "Paid. Thank you.") // it was not touched
	if payer.Visible("#pay") || display.Visible("#pay") || display.Visible("#countdown") {
		t.Error("a paid page can still be paid")
	}
	for _, page := range []*testchrome.Page{payer, display} {
		if problems := page.Problems(); len(problems) != 0 {
			t.Errorf("the console says %q", problems)
		}
		if foreign := without(page.Requests(), s.URL(), "data:"); len(foreign) != 0 {
			t.Errorf("the page asked elsewhere: %q", foreign)
		}
	}
	payer.Click("header a")
	payer.WaitFor("html[lang=en] #state", "Paid. Thank you.")
}

// without leaves out the addresses that start with one of the prefixes.
func without(addresses []string, prefixes ...string) []string {
	return slices.DeleteFunc(addresses, func(address string) bool {
		return slices.ContainsFunc(prefixes, func(prefix string) bool { return strings.HasPrefix(address, prefix) })
	})
}

// fakeBank is a host that serves what the bank's does: a script that reads its
// own attributes, adds a button, opens a frame of its own host over the page
// and posts the form that it stands in. This one also tries another host.
func fakeBank(t *testing.T, other string) *httptest.Server {
	t.Helper()
	bank := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/ui/v2/kpayment.min.js" {
			fmt.Fprint(w, "<!DOCTYPE html><title>pay</title><p>QR")
			return
		}
		w.Header().Set("Content-Type", "text/javascript")
		fmt.Fprintf(w, `(function () {
			var me = document.currentScript, form = me.parentElement, button = document.createElement("button");
			button.type = "button"; button.id = "bank"; button.setAttribute("style", "padding: 7px");
			button.textContent = Object.entries(me.dataset).map(([k, v]) => k + "=" + v).join(" ");
			button.onclick = function () {
				var frame = document.createElement("iframe"); frame.id = "popup";
				frame.src = new URL("/ui/v2/index.html", me.src); document.body.append(frame);
			};
			form.append(button);
			window.finish = function () { form.submit(); };
			fetch(%q, {mode: "no-cors"}).catch(function () {});
		})();`, other)
	}))
	t.Cleanup(bank.Close)
	return bank
}

func TestTheBanksWidgetWorksAndStaysAlone(t *testing.T) {
	t.Parallel()
	browser := testchrome.Launch(t)
	asked := make(chan string, 9)
	other := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { asked <- r.URL.Path }))
	t.Cleanup(other.Close)
	bank := fakeBank(t, other.URL+"/spy")
	page := bankPage(t)
	page.ScriptURL = bank.URL + "/ui/v2/kpayment.min.js"
	s := serveIt(t, page)

	payer := browser.Open(s.URL(), phone)
	payer.WaitFor("#bank", "apikey=pkey_test_1 amount=1300.00 currency=THB paymentMethods=qr orderId=order_test_1 name=Villa")
	if padding := payer.Eval(`getComputedStyle(document.querySelector("#bank")).paddingTop`); padding != "7px" {
		t.Errorf("the widget's own style does not apply: %s", padding)
	}
	payer.Click("#bank")
	payer.WaitFor("#popup", "")
	payer.Eval("finish()") // the widget posts its form when the payer is done
	payer.WaitFor("#state", "รอการชำระเงิน")
	if payer.URL() != s.URL() {
		t.Errorf("the widget led to %s", payer.URL())
	}
	payer.WaitFor("#bank", "")
	payer.Click("#bank")
	payer.WaitFor("#popup", "")
	p := open(t)
	p.State = order.Paid
	s.Show(p)
	payer.WaitFor("#state", "ชำระเงินเรียบร้อยแล้ว")
	if payer.Visible("#bank") || payer.Visible("#popup") {
		t.Error("a paid page can still be paid")
	}
	if foreign := without(payer.Requests(), s.URL(), bank.URL, "data:", other.URL); len(foreign) != 0 {
		t.Errorf("the page asked elsewhere: %q", foreign)
	}
	select {
	case path := <-asked:
		t.Errorf("a third party was asked for %s", path)
	default:
	}
}

func TestThePageSaysWhatIsBroken(t *testing.T) {
	t.Parallel()
	browser := testchrome.Launch(t)
	page := bankPage(t)
	bank := httptest.NewServer(http.NotFoundHandler())
	page.ScriptURL = bank.URL + "/ui/v2/kpayment.min.js"
	bank.Close()
	server := &httptest.Server{Listener: testport.Listen(t), Config: &http.Server{}}
	hosts, err := Hosts(server.Listener.Addr())
	if err != nil {
		t.Fatal(err)
	}
	s, err := New(page, hosts)
	if err != nil {
		t.Fatal(err)
	}
	server.Config.Handler = s
	server.Start()

	payer := browser.Open(s.URL(), phone)
	payer.WaitFor("#broken", "เปิดแบบฟอร์มของธนาคารไม่ได้")
	if payer.Visible("#lost") {
		t.Error("the connection is there")
	}
	server.Close()
	payer.WaitFor("#lost", "ขาดการเชื่อมต่อ")
}

func TestThePageFitsEveryScreen(t *testing.T) {
	t.Parallel()
	browser := testchrome.Launch(t)
	page := sandboxPage(t, func(context.Context) error { return nil })
	page.ShopName = strings.Repeat("Villa", 9)
	page.Payment.OrderID = strings.Repeat("4925000046", 6)
	page.Payment.BankOrderID = "order_prod_" + strings.Repeat("0123456789abcdef", 3)
	s := serveIt(t, page)
	for _, view := range []testchrome.View{phone, counter, {Width: 360, Height: 640, Mobile: true}, {Width: 1024, Height: 768}, {Width: 3840, Height: 2160}} {
		tab := browser.Open(s.URL(), view)
		tab.WaitFor("#state", "")
		if fits := tab.Eval(`document.documentElement.scrollWidth <= innerWidth`); fits != "true" {
			t.Errorf("%dx%d: the page is %s wide", view.Width, view.Height, tab.Eval(`document.documentElement.scrollWidth`))
		}
		if fits := tab.Eval(`document.documentElement.scrollHeight <= innerHeight`); fits != "true" && view.Width >= 1024 {
			t.Errorf("%dx%d: the page is %s high", view.Width, view.Height, tab.Eval(`document.documentElement.scrollHeight`))
		}
	}
}
