//go:build linux

package cmd

import (
	"bufio"
	"fmt"
	"net/http"
	"os"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/villapay/villapay/internal/sandbox"
)

// orderly checks what is true of every live view: it is drawn over itself, each
// frame at once, and no line runs over the edge.
func (x *terminal) orderly() {
	x.t.Helper()
	raw := x.raw.String()
	if strings.Count(raw, enterView) != 1 || strings.Count(raw, leaveView) != 1 {
		x.t.Error("the view is not entered and left once")
	}
	if strings.Contains(raw, "\x1b[2J") || x.screen.frames == 0 || strings.Count(raw, beginDraw) != x.screen.frames {
		x.t.Errorf("%d frames flicker", x.screen.frames)
	}
	if len(x.screen.wrapped) > 0 {
		x.t.Errorf("wrapped: %q", x.screen.wrapped)
	}
}

// referenced is a sandboxed machine whose bank draws no codes: they are the
// references of orders, as without the bank's key.
func referenced(t *testing.T, env ...string) *machine {
	t.Helper()
	m := sandboxed(t, env...)
	if r := m.run(t, "env", "set", "kbank.sof_qr", ""); r.code != 0 {
		t.Fatal(r.stderr)
	}
	return m
}

// Watching at a terminal: the code, the amount and a countdown that counts, and
// at the end the paid order as a table on the normal screen.
func TestWatchUntilPaid(t *testing.T) {
	t.Parallel()
	m := referenced(t)
	x := m.at(t, 80, 24, "pay", "qr", "4925", "--watch")
	countdown := func(v *vt) string {
		_, rest, _ := strings.Cut(v.text(), "order expires in ")
		count, _, _ := strings.Cut(rest, "\n")
		return count
	}
	x.see("order expires in 59:")
	if got, want := x.code(), m.bankID(t, "4925"); got != want {
		t.Errorf("the code says %q, want %q", got, want)
	}
	if text := x.text(); !strings.HasPrefix(text, "Order reference, not a payment code: 4925, ") || !strings.Contains(text, "Order 4925   THB ") || !strings.Contains(text, "Ctrl-C") {
		t.Errorf("the view:\n%s", text)
	}
	first := countdown(x.screen)
	x.until("a countdown that counts", func(v *vt) bool { return !v.drawing && countdown(v) != first && countdown(v) != "" })
	if r := m.run(t, "sandbox", "pay", "4925"); r.code != 0 {
		t.Fatal(r.stderr)
	}
	if code := x.exit(); code != 0 || !strings.Contains(x.text(), "PAID") || !strings.Contains(x.text(), "│ Order ") || x.code() != "" {
		t.Errorf("exit %d\n%s", code, x.text())
	}
	if pens := x.screen.pensOf("PAID"); len(pens) != 1 || pens[0] != "1;38;5;28" {
		t.Errorf("PAID is drawn in %q", pens)
	}
	if x.screen.bells != 1 {
		t.Errorf("the bell rang %d times", x.screen.bells)
	}
	x.orderly()
}

// A declined attempt leaves the code where it is, and says what the customer can
// do. --watch-for gives the terminal back.
func TestWatchDeclined(t *testing.T) {
	t.Parallel()
	m := referenced(t)
	x := m.at(t, 80, 24, "pay", "qr", "4925", "--watch")
	x.see("order expires in")
	if r := m.run(t, "sandbox", "pay", "4925", "--state", "Declined"); r.code != 0 {
		t.Fatal(r.stderr)
	}
	x.see("Declined: the customer can try again")
	if got, want := x.code(), m.bankID(t, "4925"); got != want {
		t.Errorf("the code says %q, want %q", got, want)
	}
	x.press("\x03")
	if code := x.exit(); code != 130 || x.screen.bells != 0 || strings.Count(x.text(), "interrupted") != 1 {
		t.Errorf("exit %d, %d bells\n%s", code, x.screen.bells, x.text())
	}
	x = m.at(t, 80, 24, "order", "status", "4925", "--watch-for", "5s")
	if code := x.exit(); code != 8 || !strings.Contains(x.text(), "order 4925 is not paid after 5s") {
		t.Errorf("exit %d\n%s", code, x.text())
	}
	x.orderly()
}

// The bank's code fills a usual window but for the caption and two lines. Whatever
// there is to say of an order that can be paid, its code stays.
func TestWatchKeepsTheCode(t *testing.T) {
	t.Parallel()
	stand := serveSandbox(t, sandbox.Options{}, nil)
	for name, c := range map[string]struct {
		id   string
		real bool // real money
		says string
		want []string // the lines below the code, from their beginnings
	}{
		"nothing":             {"4925", false, "", []string{"Order 4925   THB ", "awaiting payment   order expires in 59:__"}},
		"declined":            {"4925", false, "Declined", []string{"Order 4925   THB ", "awaiting payment   order expires in 59:__  Declined: the customer can try again"}},
		"not asked":           {"check-unavailable", false, "", []string{"awaiting payment   order expires in 59:__", "cannot ask the API, trying again: "}},
		"not asked, declined": {"check-unavailable", false, "Declined", []string{"awaiting payment   order expires in 59:__  Declined: the customer can try again", "cannot ask the API, trying again: "}},
		"a warning":           {"live", false, "", []string{"awaiting payment   order expires in 59:__", "warning: this order is LIVE"}},
		"real money":          {"4925", true, "", []string{"awaiting payment   order expires in 59:__  LIVE: real money", "warning: this order is a test order"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := sandboxed(t)
			if c.real {
				m = sandboxed(t, "VILLAPAY_ENV=shop")
				m.with("VILLAPAY_ENV="+unset).run(t, "env", "add", "shop", "--base-url", stand.url, "--live")
				m.run(t, "env", "set", "qr_content", strings.Repeat("x", 100)) // as large as the bank's
			}
			x := m.at(t, 80, 24, "pay", "qr", c.id, "--watch", "--yes")
			x.see("order expires in 59:")
			if c.says != "" {
				if r := m.run(t, "sandbox", "pay", c.id, "--state", c.says); r.code != 0 {
					t.Fatal(r.stderr)
				}
			}
			code := m.codeText(t, c.id)
			seconds := regexp.MustCompile(`59:\d\d`)
			x.until("the code, and below it what there is to say", func(v *vt) bool {
				lines := strings.Split(strings.TrimRight(v.text(), "\n"), "\n")
				if v.drawing || len(lines) != 24 || v.scan(t, false) != code {
					return false
				}
				for i, want := range c.want {
					if !strings.HasPrefix(seconds.ReplaceAllString(lines[22+i], "59:__"), want) {
						return false
					}
				}
				return true
			})
			x.press("\x03")
			if code := x.exit(); code != 130 {
				t.Errorf("exit %d\n%s", code, x.text())
			}
		})
	}
}

// Several orders are watched in lines; each rings once when it is paid. JSON is one
// object a line at a terminal too.
func TestWatchSeveral(t *testing.T) {
	t.Parallel()
	m := sandboxed(t)
	for _, id := range []string{"1", "2"} {
		m.run(t, "pay", "qr", id)
	}
	x := m.at(t, 100, 40, "order", "status", "1", "2", "--watch")
	x.see("  1  awaiting payment")
	x.see("  2  awaiting payment")
	for _, id := range []string{"1", "2"} {
		m.run(t, "sandbox", "pay", id)
	}
	if code := x.exit(); code != 0 || x.screen.bells != 2 || strings.Count(x.text(), "PAID") != 2 || strings.Contains(x.raw.String(), enterView) {
		t.Errorf("exit %d, %d bells\n%s", code, x.screen.bells, x.text())
	}
	x = m.at(t, 5000, 40, "order", "status", "1", "--watch", "-o", "json")
	if code := x.exit(); code != 0 || !strings.HasPrefix(x.text(), `{"id":"order_test_`) || strings.Count(strings.TrimSpace(x.text()), "\n") != 0 {
		t.Errorf("exit %d\n%s", code, x.text())
	}
}

// A watch ends when its reader is gone, even if there is nothing to write.
func TestWatchWithoutAReader(t *testing.T) {
	t.Parallel()
	m := sandboxed(t)
	m.run(t, "pay", "qr", "4925")
	c := m.command(t, "order", "status", "4925", "--watch", "-o", "json")
	var stderr strings.Builder
	c.Stderr = &stderr
	stdout, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := bufio.NewReader(stdout).ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	_ = stdout.Close()
	_ = c.Wait()
	if code := c.ProcessState.ExitCode(); code != 1 || stderr.String() != "" {
		t.Errorf("exit %d, %s", code, &stderr)
	}
}

// The view adapts to a resize at once: if the code no longer fits, the view shows the
// size it needs.
func TestWatchResized(t *testing.T) {
	t.Parallel()
	m := referenced(t)
	m.run(t, "pay", "qr", "4925")
	id := m.bankID(t, "4925")
	x := m.at(t, 33, 22, "order", "status", "4925", "--watch")
	x.until("the code in the smallest window", func(v *vt) bool { return !v.drawing && v.scan(t, false) == id })
	for _, size := range []struct {
		cols, rows int
		told       string // "" where the code fits
	}{
		{33, 21, "it needs 33 columns and 22 rows, and this terminal has 33 and 21; make the window larger"}, {100, 50, ""}, {40, 15, "this terminal has 40 and 15; make the window larger"}, {80, 24, ""}, {41, 40, ""}, {10, 5, "Order"}, {60, 20, ""},
	} {
		x.resize(size.cols, size.rows)
		x.until(fmt.Sprintf("the code or why not at %dx%d", size.cols, size.rows), func(v *vt) bool {
			if v.drawing || size.told == "" {
				return !v.drawing && v.scan(t, false) == id && strings.Contains(v.text(), "order")
			}
			return strings.Contains(strings.Join(strings.Fields(v.text()), " "), size.told)
		})
		x.forgive()
	}
	x.press("\x03")
	if code := x.exit(); code != 130 || !strings.Contains(x.text(), "interrupted") {
		t.Errorf("exit %d\n%s", code, x.text())
	}
	x.orderly()
}

// Watching ends by itself: expired is 8, failed 5, and a paid order needs none.
func TestWatchEnds(t *testing.T) {
	t.Parallel()
	for id, want := range map[string]struct {
		code int
		text string
	}{
		"short-expiry": {8, "expired, not paid"}, "failed-order": {5, "the bank rejected the order"}, "paid": {0, "PAID"},
	} {
		t.Run(id, func(t *testing.T) {
			t.Parallel()
			m := sandboxed(t)
			x := m.at(t, 100, 40, "pay", "qr", id, "--watch")
			if code := x.exit(); code != want.code || !strings.Contains(x.text(), want.text) || x.code() != "" {
				t.Errorf("exit %d\n%s", code, x.text())
			}
			x = m.at(t, 100, 40, "order", "status", id, "--watch")
			if code := x.exit(); code != want.code || !strings.Contains(x.text(), want.text) {
				t.Errorf("order status: exit %d\n%s", code, x.text())
			}
		})
	}
}

// What must be known stands above and below the code, and what is wrong is told
// instead of it.
func TestWatchTells(t *testing.T) {
	t.Parallel()
	m := sandboxed(t)
	for id, want := range map[string]string{
		"live":              "warning: this order is LIVE",
		"check-unavailable": "cannot ask the API, trying again",
		"check-no-route":    "the API has no status endpoint",
		"no-expiry":         "awaiting payment",
	} {
		t.Run(id, func(t *testing.T) {
			t.Parallel()
			x := m.at(t, 120, 40, "pay", "qr", id, "--watch")
			x.see(want)
			x.press("\x03")
			if code := x.exit(); code != 130 {
				t.Errorf("exit %d\n%s", code, x.text())
			}
			x.orderly()
		})
	}
	t.Run("real money", func(t *testing.T) {
		t.Parallel()
		stand := serveSandbox(t, sandbox.Options{}, nil)
		m := sandboxed(t, "VILLAPAY_ENV=shop")
		m.with("VILLAPAY_ENV="+unset).run(t, "env", "add", "shop", "--base-url", stand.url, "--live")
		x := m.at(t, 80, 24, "pay", "qr", "4925", "--watch", "--yes")
		x.see("LIVE: real money")
		x.see("warning: this order is a test order")
		x.press("\x03")
		x.exit()
	})
	t.Run("a payload that is wrong", func(t *testing.T) {
		t.Parallel()
		m := referenced(t)
		m.run(t, "env", "set", "qr_content", "{{.qr_payload}}", "--env", "sandbox")
		x := m.at(t, 120, 40, "pay", "qr", "emvco-bad-crc", "--watch")
		x.see("payload is wrong")
		x.see("order expires in")
		x.press("\x03")
		x.exit()
	})
}

// Where the terminal can only write lines, or they go to a pipe, watching writes
// one line a change.
func TestWatchInLines(t *testing.T) {
	t.Parallel()
	m := sandboxed(t, "TERM=dumb")
	x := m.at(t, 100, 40, "pay", "qr", "4925", "--watch")
	x.see("awaiting payment")
	m.run(t, "sandbox", "pay", "4925")
	if code := x.exit(); code != 0 || !strings.Contains(x.text(), "4925  PAID  THB") || strings.Contains(x.raw.String(), "\x1b") {
		t.Errorf("exit %d\n%s", code, x.text())
	}
	x = m.at(t, 100, 40, "pay", "qr", "check-unavailable", "--watch")
	x.see("villapay: warning: order check-unavailable: cannot ask the API, trying again")
	x.press("\x03")
	if code := x.exit(); code != 130 {
		t.Errorf("exit %d\n%s", code, x.text())
	}
	for format, want := range map[string][]string{
		"table": {"4926-table  awaiting payment  THB ", "4926-table  PAID  THB "},
		"json":  {`"state":"awaiting"`, `"state":"paid"`},
		"csv":   {"orderid,source,state,", "4926-csv,qr,awaiting,", "4926-csv,qr,paid,"},
	} {
		t.Run(format, func(t *testing.T) {
			t.Parallel()
			id := "4926-" + format
			m.run(t, "pay", "qr", id)
			c := m.command(t, "order", "status", id, "--watch", "-o", format)
			stdout, err := c.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := c.Start(); err != nil {
				t.Fatal(err)
			}
			lines := bufio.NewScanner(stdout)
			for i, text := range want {
				if !lines.Scan() || !strings.Contains(lines.Text(), text) {
					t.Errorf("%q, want %q", lines.Text(), text)
				}
				if i == len(want)-2 {
					m.run(t, "sandbox", "pay", id)
				}
			}
			if lines.Scan() {
				t.Errorf("also %q", lines.Text())
			}
			if err := c.Wait(); err != nil {
				t.Error(err)
			}
		})
	}
}

// Ctrl-Z gives the terminal back until the shell goes on with the command.
func TestWatchSteppedAside(t *testing.T) {
	t.Parallel()
	m := sandboxed(t)
	x := m.at(t, 80, 24, "pay", "qr", "4925", "--watch")
	x.see("order expires in")
	x.press("\x1a")
	x.until("the normal screen", func(v *vt) bool { return v.normal == nil && !v.hidden })
	for state := ""; state != "T"; { // stopped, as its shell would be told
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", x.pid()))
		if err != nil {
			t.Fatal(err)
		}
		state = strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))[0]
	}
	if err := syscall.Kill(x.pid(), syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	x.see("order expires in")
	x.press("\x03")
	if code := x.exit(); code != 130 {
		t.Errorf("exit %d\n%s", code, x.text())
	}
}

// asked puts something in the place of the status endpoint.
func asked(status http.HandlerFunc) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodGet {
				status(w, r)
				return
			}
			next.ServeHTTP(w, r)
		})
	}
}

// Without a ledger the order that was made is watched until it expires, whatever
// becomes of asking; nobody is told that nothing was made.
func TestWatchWithoutALedger(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		status int
		body   string
		told   string
	}{
		"the status endpoint is down": {503, `{}`, "warning: order short-expiry: cannot ask the API, trying again"},
		"there is none":               {403, `{"message":"Missing Authentication Token"}`, "no ledger for notifications"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			stand := serveSandbox(t, sandbox.Options{}, asked(func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(test.status)
				fmt.Fprint(w, test.body)
			}))
			m := newMachine(t, "VILLAPAY_BASE_URL="+stand.url, "VILLAPAY_LEDGER=none")
			r := m.run(t, "pay", "qr", "short-expiry", "--watch", "--jq", ".villapay.state")
			if r.code != 8 || r.stdout != "awaiting\nexpired\n" || !strings.Contains(r.stderr, test.told) || strings.Contains(r.stderr, "was made") {
				t.Errorf("exit %d, stdout %q, stderr %q", r.code, r.stdout, r.stderr)
			}
			stand.counts(t, "short-expiry", 1, 1)
		})
	}
}

// The code is there at once, however long the status endpoint takes to answer,
// and Ctrl-C does not wait for it.
func TestWatchingASilentAPI(t *testing.T) {
	t.Parallel()
	released := make(chan struct{})
	stand := serveSandbox(t, sandbox.Options{}, asked(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-r.Context().Done():
		case <-released:
		}
	}))
	t.Cleanup(func() { close(released) })
	m := sandboxed(t, "VILLAPAY_ENV="+unset, "VILLAPAY_BASE_URL="+stand.url)
	x := m.at(t, 80, 24, "pay", "qr", "4925", "--watch", "--timeout", "10m")
	x.see("order expires in 59:")
	if got, want := x.code(), m.bankID(t, "4925"); got != want {
		t.Errorf("the code says %q, want %q", got, want)
	}
	x.press("\x03")
	if code := x.exit(); code != 130 {
		t.Errorf("exit %d\n%s", code, x.text())
	}
	x.orderly()
}

// What is shown is what is watched: another source's payment does not take its
// place, and where --new does, that is said and no code is drawn.
func TestWatchReplaced(t *testing.T) {
	t.Parallel()
	m := sandboxed(t)
	x := m.at(t, 120, 40, "pay", "qr", "4925", "--watch")
	x.see("order expires in")
	own := m.bankID(t, "4925")
	dumb := m.with("TERM=dumb").at(t, 120, 40, "pay", "qr", "4925", "--watch")
	dumb.see("awaiting payment")
	page := m.at(t, 120, 40, "order", "checkout", "4925", "--no-browser")
	page.see("Ctrl-C closes it")
	for _, args := range [][]string{{"--source", "wechat"}, {"--new"}} {
		if r := m.run(t, append([]string{"pay", "qr", "4925"}, args...)...); r.code != 0 {
			t.Fatal(r.stderr)
		}
	}
	for name, x := range map[string]*terminal{"view": x, "lines": dumb, "page": page} {
		if code := x.exit(); code != 8 || !strings.Contains(x.text(), "a newer payment replaced the watched one") || strings.Contains(x.text(), "wechat") {
			t.Errorf("%s: exit %d\n%s", name, code, x.text())
		}
	}
	if !strings.Contains(x.text(), own) || x.code() != "" {
		t.Errorf("the view leaves behind:\n%s", x.text())
	}
	x.orderly()
}
