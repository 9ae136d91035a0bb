//go:build linux

package cmd

import (
	"fmt"
	"strings"
	"testing"

	"github.com/villapay/villapay/internal/sandbox"
)

// sandboxed is a machine whose environment is the embedded sandbox, with a
// terminal of the usual kind.
func sandboxed(t *testing.T, env ...string) *machine {
	t.Helper()
	usual := []string{"VILLAPAY_ENV=sandbox", "TERM=xterm-256color", "LANG=C.UTF-8", "LC_ALL=", "LC_CTYPE="}
	return newMachine(t, append(usual, env...)...)
}

// bankID is the bank order of a recorded order: what its code holds.
func (m *machine) bankID(t *testing.T, orderID string) string {
	t.Helper()
	return strings.TrimSpace(m.run(t, "order", "status", orderID, "--offline", "--jq", ".id").stdout)
}

// codeText is what the code of a recorded order holds.
func (m *machine) codeText(t *testing.T, orderID string) string {
	t.Helper()
	return strings.TrimSpace(m.run(t, "order", "status", orderID, "--offline", "--jq", ".villapay.qr.content").stdout)
}

// On a terminal pay qr shows the table and under it the whole code, the best that
// fits, which stays on the screen beside the prompt. What does not fit is not
// drawn, and the reason is given.
func TestCodesAtTerminals(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		cols, rows int
		env, args  string
		light      bool   // the theme on which it scans
		told       string // why there is none
	}{
		"usual":                    {cols: 80, rows: 24},
		"large":                    {cols: 120, rows: 50},
		"room for M and its white": {cols: 41, rows: 22},
		"a column less":            {cols: 40, rows: 22},
		"room for L and its white": {cols: 37, rows: 20},
		"a row less":               {cols: 37, rows: 19},
		"the smallest":             {cols: 33, rows: 18},
		"a column too few":         {cols: 32, rows: 18, told: "needs 33 columns and 18 rows, and this terminal has 32 and 18; make the window larger, or add --qr-file code.png"},
		"a row too few":            {cols: 33, rows: 17, told: "needs 33 columns and 18 rows, and this terminal has 33 and 17; make the window larger, or add --qr-file code.png"},
		"full":                     {cols: 100, rows: 60, args: "--qr-style full"},
		"full, the smallest":       {cols: 66, rows: 34, args: "--qr-style full"},
		"full, too few rows":       {cols: 80, rows: 24, args: "--qr-style full", told: "needs 66 columns and 34 rows, and this terminal has 80 and 24"},
		"no UTF-8":                 {cols: 80, rows: 45, env: "LANG=C"},
		"no UTF-8, too few rows":   {cols: 80, rows: 24, env: "LANG=C", told: "needs 66 columns and 34 rows, and this terminal has 80 and 24"},
		"LC_ALL beats LANG":        {cols: 80, rows: 24, env: "LC_ALL=C", told: "needs 66 columns and 34 rows"},
		"no colors":                {cols: 80, rows: 24, env: "NO_COLOR=1"},
		"no colors, by flag":       {cols: 80, rows: 24, args: "--color never"},
		"plain":                    {cols: 80, rows: 24, args: "--qr-style plain"},
		"plain-invert":             {cols: 80, rows: 24, args: "--qr-style plain-invert", light: true},
		"colors in spite of all":   {cols: 80, rows: 24, env: "NO_COLOR=1", args: "--color always", light: true},
		"neither colors nor UTF-8": {cols: 80, rows: 45, env: "LANG=C NO_COLOR=1", told: "without colors it needs a UTF-8 locale; add --qr-file code.png"},
		"dumb":                     {cols: 80, rows: 24, env: "TERM=dumb", told: "a TERM=dumb terminal cannot show a code that scans"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := sandboxed(t, strings.Fields(c.env)...)
			m.run(t, "env", "set", "kbank.sof_qr", "", "-e", "sandbox") // a code of a known size
			x := m.at(t, c.cols, c.rows, append([]string{"pay", "qr", "4925"}, strings.Fields(c.args)...)...)
			if code := x.exit(); code != 0 {
				t.Errorf("exit %d", code)
			}
			want := m.bankID(t, "4925")
			if c.told != "" {
				want = ""
				shown := strings.Join(strings.Fields(x.text()), "") // wherever it is wrapped
				if !strings.Contains(shown, strings.Join(strings.Fields(c.told), "")) {
					t.Errorf("not told: %s", c.told)
				}
			}
			if got := x.screen.scan(t, c.light); got != want {
				t.Errorf("the code says %q, want %q", got, want)
			}
			if strings.Contains(c.env, "LANG=C") && strings.ContainsFunc(x.raw.String(), func(r rune) bool { return r > '~' }) {
				t.Error("more than ASCII")
			}
			if t.Failed() {
				t.Logf("\n%s", x.text())
			}
		})
	}
}

// doctor says whether a code will scan here, and what to do where it will not.
func TestDoctorLooksAtTheTerminal(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		cols, rows int
		env, want  string
	}{
		"usual":     {80, 24, "", "80x24, colors; a code will scan"},
		"small":     {32, 18, "", "make the window larger, or add --qr-file FILE.png"},
		"dumb":      {80, 24, "TERM=dumb", "no code is drawn: a TERM=dumb terminal"},
		"no UTF-8":  {80, 24, "LANG=C", "80x24, not UTF-8: a code needs 66x34 then"},
		"large":     {80, 40, "LANG=C", "80x40, colors, no UTF-8; a code will scan"},
		"no colors": {80, 24, "NO_COLOR=1", "a code will scan only on a dark theme"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			x := referenced(t, c.env).at(t, c.cols, c.rows, "doctor")
			code := x.exit()
			shown := strings.NewReplacer("│", "", "|", "", " ", "", "\n", "").Replace(x.text()) // wherever it is wrapped
			if code != 0 || !strings.Contains(shown, strings.ReplaceAll(c.want, " ", "")) {
				t.Errorf("exit %d\n%s", code, x.text())
			}
		})
	}
}

// -o qr draws the code alone; where none fits it is exit 5.
func TestTheCodeAlone(t *testing.T) {
	t.Parallel()
	m := sandboxed(t)
	x := m.at(t, 80, 24, "pay", "qr", "4925", "-o", "qr")
	if code := x.exit(); code != 0 || x.code() != m.codeText(t, "4925") || strings.Contains(x.text(), "awaiting") {
		t.Errorf("exit %d\n%s", code, x.text())
	}
	x = m.at(t, 30, 10, "order", "show", "4925", "-o", "qr")
	if code := x.exit(); code != 5 || !strings.Contains(x.raw.String(), "hint: make the window larger, or add --qr-file code.png") {
		t.Errorf("exit %d\n%s", code, x.text())
	}
}

// Live money moves only after a person has said yes.
func TestLiveConfirmation(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		keys, args, env string
		code, posts     int
	}{
		"yes":               {keys: "y\r", code: 0, posts: 1},
		"YES":               {keys: "YES\r", code: 0, posts: 1},
		"no":                {keys: "n\r", code: 2},
		"Return":            {keys: "\r", code: 2},
		"anything else":     {keys: "yesterday\r", code: 2},
		"Ctrl-D":            {keys: "\x04", code: 2},
		"Ctrl-C":            {keys: "\x03", code: 130},
		"--yes":             {args: "--yes", code: 0, posts: 1},
		"--no-input":        {args: "--no-input", code: 2},
		"CI":                {env: "CI=true", code: 2},
		"VILLAPAY_NO_INPUT": {env: "VILLAPAY_NO_INPUT=1", code: 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			stand := serveSandbox(t, sandbox.Options{}, nil)
			m := sandboxed(t, "VILLAPAY_ENV=shop", c.env)
			m.with("VILLAPAY_ENV="+unset).run(t, "env", "add", "shop", "--base-url", stand.url, "--live")
			x := m.at(t, 100, 40, append([]string{"pay", "qr", "4925"}, strings.Fields(c.args)...)...)
			if c.keys != "" {
				x.see("Make a LIVE payment order for 4925 (qr) in shop? [y/N]")
				x.press(c.keys)
			}
			if code := x.exit(); code != c.code {
				t.Errorf("exit %d, want %d\n%s", code, c.code, x.text())
			}
			if asked := strings.Contains(x.raw.String(), "[y/N]"); asked != (c.keys != "") {
				t.Errorf("asked: %t\n%s", asked, x.text())
			}
			stand.counts(t, "4925", c.posts, c.posts)
		})
	}
}

// Nobody is asked who cannot answer: a pipe is no person.
func TestNoPromptWithoutATerminal(t *testing.T) {
	t.Parallel()
	stand := serveSandbox(t, sandbox.Options{}, nil)
	m := sandboxed(t, "VILLAPAY_ENV=shop")
	m.with("VILLAPAY_ENV="+unset).run(t, "env", "add", "shop", "--base-url", stand.url, "--live")
	c := m.with(sessionVariable+"=1").command(t, "pay", "qr", "4925")
	c.Stdin = strings.NewReader("y\n")
	x := startAt(t, 100, 40, c)
	if code := x.exit(); code != 2 || strings.Contains(x.text(), "[y/N]") || !strings.Contains(x.text(), "--yes") {
		t.Errorf("exit %d\n%s", code, x.text())
	}
	stand.counts(t, "4925", 0, 0)
}

// A long wait is reported on stderr at a terminal, except with --quiet. Ctrl-C while
// waiting exits 130.
func TestWaitingIsTold(t *testing.T) {
	t.Parallel()
	m := sandboxed(t)
	for args, told := range map[string]bool{"slow.1": true, "slow.2 --quiet": false, "slow.3 -o json": true} {
		t.Run(args, func(t *testing.T) {
			t.Parallel()
			x := m.at(t, 100, 70, append([]string{"pay", "qr"}, strings.Fields(args)...)...)
			code := x.exit()
			if got := strings.Contains(x.raw.String(), "villapay: waiting for the API"); code != 0 || got != told || strings.Contains(x.text(), "waiting for the API") {
				t.Errorf("exit %d, told %t\n%s", code, got, x.text())
			}
		})
	}
	t.Run("piped", func(t *testing.T) {
		t.Parallel()
		if r := m.run(t, "pay", "qr", "slow.4"); r.code != 0 || r.stderr != "" {
			t.Errorf("exit %d, %q", r.code, r.stderr)
		}
	})
	t.Run("Ctrl-C", func(t *testing.T) {
		t.Parallel()
		x := m.at(t, 100, 50, "pay", "qr", "silent")
		x.see("waiting for the API")
		x.press("\x03")
		if code := x.exit(); code != 130 || !strings.Contains(x.text(), "interrupted") {
			t.Errorf("exit %d\n%s", code, x.text())
		}
		if state := m.run(t, "order", "status", "silent", "--offline", "--jq", ".villapay.state").stdout; state != "unknown\n" {
			t.Errorf("recorded as %s", state)
		}
	})
}

// However often it asks again, that is one line, which gives way to the result. A
// terminal that cannot rewrite a line gets several.
func TestRetriesAreOneLine(t *testing.T) {
	t.Parallel()
	m := sandboxed(t)
	x := m.at(t, 100, 50, "pay", "qr", "unavailable")
	x.see("retrying in ")
	if code := x.exit(); code != 0 || strings.Contains(x.text(), "retrying in ") || strings.Count(x.raw.String(), "retrying in ") != 3 {
		t.Errorf("exit %d\n%s", code, x.text())
	}
	x = m.with("TERM=dumb").at(t, 100, 50, "pay", "qr", "unavailable.2")
	if code := x.exit(); code != 0 || strings.Count(x.text(), "retrying in ") != 3 {
		t.Errorf("dumb: exit %d\n%s", code, x.text())
	}
	x = m.at(t, 20, 50, "pay", "qr", "throttled-always")
	if code := x.exit(); code != 7 || !strings.Contains(x.raw.String(), eraseLine+"villapay: retrying") || strings.Contains(x.text(), "…") {
		t.Errorf("narrow: exit %d\n%s", code, x.text())
	}
}

// Colours are for people who want them; JSON has none and is indented for them.
func TestColoursAtATerminal(t *testing.T) {
	t.Parallel()
	m := sandboxed(t)
	m.run(t, "pay", "qr", "paid")
	m.run(t, "order", "status", "paid")
	for name, c := range map[string]struct {
		env, args string
		colored   bool
	}{
		"auto": {"", "", true}, "NO_COLOR": {"NO_COLOR=1", "", false}, "dumb": {"TERM=dumb", "", false}, "never": {"", "--color never", false},
		"always": {"NO_COLOR=1", "--color always", true}, "json": {"", "-o json --color always", false}, "jq": {"", "--jq .villapay --color always", false},
		"yaml": {"", "-o yaml", false}, "csv": {"", "-o csv", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			x := m.with(c.env).at(t, 100, 60, append([]string{"order", "status", "paid", "--offline"}, strings.Fields(c.args)...)...)
			if code := x.exit(); code != 0 || strings.Contains(x.raw.String(), "\x1b") != c.colored {
				t.Errorf("exit %d, %q", code, x.raw.String())
			}
			if strings.HasPrefix(name, "j") && !strings.Contains(x.text(), "\n  \"") {
				t.Errorf("not indented:\n%s", x.text())
			}
		})
	}
}

// A list from stdin is not read from a terminal; the hint repeats the flags.
func TestAListIsNotTyped(t *testing.T) {
	t.Parallel()
	m := sandboxed(t)
	for _, args := range [][]string{
		{"pay", "batch", "-", "--source", "wechat", "-e", "sandbox"},
		{"order", "reconcile", "-", "--since", "2026-01-01 08:00", "--until", "today"},
	} {
		x := m.at(t, 120, 24, args...)
		want := "hint: villapay " + strings.ReplaceAll(strings.Join(args, " "), "2026-01-01 08:00", "'2026-01-01 08:00'") + " < "
		if code := x.exit(); code != 2 || !strings.Contains(x.text(), want) {
			t.Errorf("exit %d, want %q\n%s", code, want, x.text())
		}
	}
}

// Live money is asked about at a terminal, and a no leaves nothing behind.
func TestLiveMoneyIsConfirmed(t *testing.T) {
	t.Parallel()
	stand := serveSandbox(t, sandbox.Options{}, nil)
	m := sandboxed(t, "VILLAPAY_ENV=shop")
	if r := m.with("VILLAPAY_ENV="+unset).run(t, "env", "add", "shop", "--base-url", stand.url, "--live"); r.code != 0 {
		t.Fatal(r.stderr)
	}
	const question = "Make a LIVE payment order for 4925 (qr) in shop? [y/N]"
	for _, test := range []struct {
		keys          string
		code          int
		says          string
		posts, listed int
	}{
		{"n\r", 2, "not confirmed", 0, 0},
		{"\r", 2, "not confirmed", 0, 0},
		{"\x03", 130, "interrupted", 0, 0},
		{"y\r", 0, "awaiting payment", 1, 1},
	} {
		x := m.at(t, 100, 40, "pay", "qr", "4925")
		x.see(question)
		x.press(test.keys)
		if code := x.exit(); code != test.code || !strings.Contains(x.text(), test.says) {
			t.Errorf("%q: exit %d\n%s", test.keys, code, x.text())
		}
		if strings.Count(x.text(), "interrupted") > 1 {
			t.Errorf("interrupted is said twice:\n%s", x.text())
		}
		stand.counts(t, "4925", test.posts, test.posts)
		if r := m.run(t, "order", "list", "--jq", "length"); strings.TrimSpace(r.stdout) != fmt.Sprint(test.listed) {
			t.Errorf("%q: %s payments are recorded", test.keys, r.stdout)
		}
	}
	x := m.at(t, 100, 40, "pay", "qr", "4925")
	if code := x.exit(); code != 0 || strings.Contains(x.text(), question) {
		t.Errorf("the open order again: exit %d\n%s", code, x.text())
	}
	x = m.at(t, 120, 40, "pay", "qr", "4925", "--new")
	x.see("Make a LIVE payment order for 4925 (qr) in shop, beside any that is open? [y/N]")
	x.press("n\r")
	if code := x.exit(); code != 2 {
		t.Errorf("another order: exit %d\n%s", code, x.text())
	}
}
