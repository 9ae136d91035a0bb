package cmd

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"github.com/villapay/villapay/internal/sandbox/cognito"
)

// exampleNotRun says why an example is not run by TestExamplesRun.
func exampleNotRun() map[string]string {
	return map[string]string{
		"villapay login --env dev --web": "needs a browser; TestSignInWithABrowser has one",
	}
}

// Every command has examples, and every example does what it shows: on a new
// machine, against the sandbox and its sign-in, through a shell.
func TestExamplesRun(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("sh"); err != nil || runtime.GOOS == "windows" {
		t.Skip("examples are for a POSIX shell")
	}
	fresh := newExampleMachine(t)
	var visit func(c *cobra.Command)
	visit = func(c *cobra.Command) {
		if !c.IsAdditionalHelpTopicCommand() {
			t.Run(c.CommandPath(), func(t *testing.T) {
				t.Parallel()
				runExamples(t, fresh.copy(t), c)
			})
		}
		for _, sub := range c.Commands() {
			visit(sub)
		}
	}
	root := newApp(&Program{}, nil).root()
	root.InitDefaultHelpCmd()
	visit(root)
}

func runExamples(t *testing.T, e *exampleMachine, c *cobra.Command) {
	t.Helper()
	ran := 0
	for line := range strings.Lines(c.Example) {
		line = strings.TrimSpace(line)
		if !strings.HasPrefix(line, "villapay") {
			continue // of another program, or in the shell that it is meant for
		}
		ran++
		if why := exampleNotRun()[line]; why != "" {
			t.Logf("not run: %s: %s", line, why)
			continue
		}
		e.run(t, line)
	}
	if ran == 0 {
		t.Errorf("%s has no example", c.CommandPath())
	}
}

// exampleMachine is signed in to a stand-in for dev and has the files that examples
// name; a copy has an open order in the sandbox, too.
type exampleMachine struct {
	*machine
	listener string // takes notifications
}

func newExampleMachine(t *testing.T) *exampleMachine {
	t.Helper()
	m := signInMachine(t, cognito.ClientID)
	file := filepath.Join(m.dir, "config", "config.yaml")
	config, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	listener := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	t.Cleanup(listener.Close)
	e := &exampleMachine{m.with("VILLAPAY_ENV="+unset, "VILLAPAY_USERNAME=ann", "VILLAPAY_PASSWORD="+password, "VILLAPAY_WEBHOOK_SECRET=skey_test_1"), listener.URL}
	for name, text := range map[string]string{
		"config/config.yaml":             strings.Replace(string(config), "  shop:", "  dev:", 1),
		"orders.csv":                     "orderid,source\n492500004633,qr\n492500004634,wechat\n",
		"webhook.key":                    "skey_test_1\n",
		"kbank.key":                      "skey_test_1\n",
		".config/fish/completions/.keep": "",
	} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(m.dir, name)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(m.dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	e.run(t, "villapay login --env dev && villapay token --env dev > id-token.txt")
	return e
}

// copy is the same machine with files of its own, for one command's examples.
func (e *exampleMachine) copy(t *testing.T) *exampleMachine {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "machine")
	if out, err := exec.Command("cp", "-Rp", e.dir, dir).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	env := slices.Clone(e.env)
	for i, entry := range env {
		env[i] = strings.ReplaceAll(entry, e.dir, dir)
	}
	made := &exampleMachine{&machine{dir: dir, env: env}, e.listener}
	made.run(t, "villapay pay qr 492500004632 --env sandbox")
	return made
}

// run runs a line in a shell; it must end with 0, within a time that shows it
// does not wait for anybody.
func (e *exampleMachine) run(t *testing.T, line string) {
	t.Helper()
	for _, server := range []string{"villapay sandbox serve", "villapay webhook listen", "villapay order checkout"} {
		if strings.HasPrefix(line, server) {
			e.runServer(t, line)
			return
		}
	}
	if strings.HasPrefix(line, "villapay webhook send") && !strings.Contains(line, "--print") {
		line += " --to " + e.listener
	}
	var stdout, stderr bytes.Buffer
	c := e.shell(t, line)
	c.Stdout, c.Stderr = &stdout, &stderr
	if err := c.Run(); err != nil {
		t.Errorf("%s: %v\n%s%s", line, err, &stdout, &stderr)
	}
}

func (e *exampleMachine) shell(t *testing.T, line string) *exec.Cmd {
	t.Helper()
	c := exec.CommandContext(t.Context(), "sh", "-c", line)
	c.Env, c.Dir = e.env, e.dir
	return c
}

// runServer runs a command that goes on until Ctrl-C, or until the order is
// paid, on a free port. It must end with 0.
func (e *exampleMachine) runServer(t *testing.T, line string) {
	t.Helper()
	line, _, _ = strings.Cut(line, " | ")
	line = strings.ReplaceAll(line, " --addr 127.0.0.1:8080", "") + " --addr 127.0.0.1:0"
	c := e.shell(t, "exec "+line)
	stderr, err := c.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	stuck := time.AfterFunc(time.Minute, func() { _ = c.Process.Kill() })
	defer stuck.Stop()
	said, ready := bufio.NewScanner(stderr), false
	for !ready && said.Scan() {
		ready = strings.Contains(said.Text(), "Ctrl-C")
	}
	if !ready {
		t.Errorf("%s: never says that it is ready", line)
	}
	if strings.Contains(line, "checkout") {
		e.run(t, "villapay sandbox pay 492500004632")
	} else if err := c.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	rest, _ := io.ReadAll(stderr)
	if err := c.Wait(); err != nil {
		t.Errorf("%s: %v: %s", line, err, rest)
	}
}

// Help fits a terminal of 80 columns, in characters that every terminal shows,
// and its examples name the command they are of.
func TestHelpFits(t *testing.T) {
	t.Parallel()
	var visit func(c *cobra.Command)
	visit = func(c *cobra.Command) {
		text := c.Short + "\n" + c.Long
		if c.Name() == "sandbox" {
			text += sandboxPage()
		}
		for line := range strings.Lines(text) {
			if line = strings.TrimSuffix(line, "\n"); len(line) > 81 {
				t.Errorf("%s: %d columns: %s", c.CommandPath(), len(line), line)
			}
		}
		if strings.ContainsFunc(text+c.Example+c.Flags().FlagUsages(), func(r rune) bool { return r > '~' }) {
			t.Errorf("%s: more than ASCII", c.CommandPath())
		}
		if strings.HasSuffix(c.Short, ".") || c.Short == "" || len(c.Short) > 66 {
			t.Errorf("%s: %q", c.CommandPath(), c.Short)
		}
		if name := strings.Fields(c.CommandPath()); !c.IsAdditionalHelpTopicCommand() && !strings.Contains(c.Example, strings.Join(name, " ")) {
			t.Errorf("%s: no example of itself", c.CommandPath())
		}
		for _, sub := range c.Commands() {
			visit(sub)
		}
	}
	visit(newApp(&Program{}, nil).root())
}
