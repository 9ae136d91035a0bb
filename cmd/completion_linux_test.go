package cmd

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// shells are those whose TAB key is pressed, and how each is made ready.
func shells(t *testing.T) map[string]struct{ command, prepare string } {
	t.Helper()
	scripts, err := filepath.Abs("../completions")
	if err != nil {
		t.Fatal(err)
	}
	const bash = "bash --norc --noprofile -i"
	source := "source " + filepath.Join(scripts, "villapay.bash")
	return map[string]struct{ command, prepare string }{
		"bash":         {bash, source},
		"bash-package": {bash, "source /usr/share/bash-completion/bash_completion; " + source},
		"zsh":          {"zsh -f -i", "fpath=(" + scripts + " $fpath); autoload -U compinit; compinit -D -u"},
		"fish":         {"fish --no-config -i", "set -g fish_autosuggestion_enabled 0; source " + filepath.Join(scripts, "villapay.fish")},
	}
}

// TestTabs presses TAB in real shells.
func TestTabs(t *testing.T) {
	t.Parallel()
	for name, shell := range shells(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			program, _, _ := strings.Cut(shell.command, " ")
			if _, err := exec.LookPath(program); err != nil {
				t.Skip(program + " is not installed")
			}
			if _, err := os.Stat("/usr/share/bash-completion/bash_completion"); err != nil && name == "bash-package" {
				t.Skip("bash-completion is not installed")
			}
			x := startShell(t, shell.command, shell.prepare)
			x.completes()
			x.lists()
			if text := x.text(); strings.Contains(text, "not found") {
				t.Errorf("the shell complains:\n%s", text)
			}
		})
	}
}

type typist struct {
	*terminal
	typed int
}

// startShell starts a shell on a machine with two orders in the sandbox, in a
// directory with one file.
func startShell(t *testing.T, command, prepare string) *typist {
	t.Helper()
	m := newMachine(t, "VILLAPAY_ENV=sandbox", "VILLAPAY_TIMEOUT="+unset, "TERM=xterm", "PS1=", "INPUTRC=/dev/null", "XDG_CONFIG_HOME=", "XDG_DATA_HOME=")
	for _, order := range []string{"492500004632", "592500004633"} {
		if r := m.run(t, "pay", "qr", order); r.code != 0 {
			t.Fatal(r.stderr)
		}
	}
	if err := os.WriteFile(filepath.Join(m.dir, "orders.csv"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	words := strings.Fields(command)
	c := exec.CommandContext(t.Context(), words[0], words[1:]...)
	c.Env, c.Dir = m.env, m.dir
	x := &typist{terminal: startAt(t, 120, 50, c)}
	x.press(prepare + "; echo rea\"\"dy\r")
	x.find(`ready`)
	return x
}

// text is all that the shell wrote.
func (x *typist) text() string {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.raw.String()
}

// find waits for a text that a pattern finds and returns its first group.
func (x *typist) find(pattern string) string {
	x.t.Helper()
	re := regexp.MustCompile(pattern)
	var found []string
	x.until(pattern, func(*vt) bool {
		found = re.FindStringSubmatch(x.raw.String())
		return found != nil
	})
	return found[len(found)-1]
}

// completes checks what one TAB makes of a line: the shell prints its words.
func (x *typist) completes() {
	x.t.Helper()
	for _, c := range [][2]string{
		{"villapay versi", "villapay version"},
		{"villapay order list --sta", "villapay order list --state"},
		{"villapay order list --state awaiting,pai", "villapay order list --state awaiting,paid"},
		{"villapay order list --state=awaiting,pai", "villapay order list --state=awaiting,paid"},
		{"villapay --env=sand", "villapay --env=sandbox"},
		{"villapay env set ledger post", "villapay env set ledger postgres://"},
		{"villapay sandbox pay 1 --state Refund", "villapay sandbox pay 1 --state Refund~Sent"},
		{"villapay env set liv", "villapay env set live"},
		{"villapay env set live tr", "villapay env set live true"},
		{"villapay env set timeout ", "villapay env set timeout 30s"},
		{"villapay order show 4925", "villapay order show 492500004632"},
		{"villapay order status 492500004632 59", "villapay order status 492500004632 592500004633"},
		{"villapay pay batch ord", "villapay pay batch orders.csv"},
		{"villapay webhook verify --secret-file ord", "villapay webhook verify --secret-file orders.csv"},
		{"villapay version ord", "villapay version ord"},
		{"villapay pay qr ord", "villapay pay qr ord"},
		{"villapay pay qr --idempotency-key ord", "villapay pay qr --idempotency-key ord"},
		{"villapay help __", "villapay help __"},
		{"villapay __", "villapay __"},
	} {
		x.typed++
		x.press(c[0] + "\t END" + "\x01" + fmt.Sprintf("printf '%%s|' LINE%d ", x.typed) + "\r")
		got := x.find(fmt.Sprintf(`LINE%d\|([^\r\n]*)\|END\|`, x.typed))
		if want := strings.NewReplacer(" ", "|", "~", " ").Replace(c[1]); got != want {
			x.t.Errorf("%q is completed to %s, want %s", c[0], got, want)
		}
	}
}

// lists checks what is shown where there are several ways to go on.
func (x *typist) lists() {
	x.t.Helper()
	for _, c := range [][2]string{
		{"villapay env use ", `prod +(?:-- |\()LIVE https`},
		{"villapay order show ", `592500004633 +(?:-- |\()awaiting payment, THB`},
	} {
		from := len(x.text())
		x.press(c[0] + "\t\t")
		x.until(c[1], func(*vt) bool { return regexp.MustCompile(c[1]).MatchString(x.raw.String()[from:]) })
		x.press("\x15") // Ctrl-U
	}
}
