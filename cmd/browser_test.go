package cmd

import (
	"bufio"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/villapay/villapay/internal/sandbox/cognito"
	"github.com/villapay/villapay/internal/testchrome"
)

// A customer pays on the payer's page, in a real browser: the page, the ledger
// and the command all see it, and the command ends with 0.
func TestCheckoutIsPaidInABrowser(t *testing.T) {
	t.Parallel()
	browser := testchrome.Launch(t)
	m := newMachine(t, "VILLAPAY_ENV=sandbox")
	if r := m.run(t, "pay", "qr", "4925"); r.code != 0 {
		t.Fatal(r.stderr)
	}
	c := m.command(t, "order", "checkout", "4925", "--no-browser")
	stdout, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	url, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	page := browser.Open(strings.TrimSpace(url), testchrome.View{Width: 390, Height: 844, Mobile: true, Language: "th"})
	page.WaitFor("#order", "4925")
	page.Click("#pay button")
	page.WaitFor("#english", "aid") // Paid, whatever its case
	if problems := page.Problems(); len(problems) > 0 {
		t.Errorf("the browser complains: %v", problems)
	}
	_, _ = io.Copy(io.Discard, stdout)
	if err := c.Wait(); err != nil {
		t.Errorf("checkout: %v", err)
	}
	if r := m.run(t, "order", "status", "4925", "--offline", "--exit-status"); r.code != 0 {
		t.Errorf("status: exit %d, %s", r.code, r.stdout)
	}
}

// An operator signs in with a browser at the pool's hosted pages.
func TestSignInWithABrowser(t *testing.T) {
	t.Parallel()
	browser := testchrome.Launch(t)
	m := signInMachine(t, cognito.ClientID)
	// The system's opener is one that hands the address to this test.
	bin := t.TempDir()
	shown := filepath.Join(bin, "shown")
	opener := "#!/bin/sh\nprintf '%s\\n' \"$1\" > '" + shown + ".part' && mv '" + shown + ".part' '" + shown + "'\n"
	if err := os.WriteFile(filepath.Join(bin, "xdg-open"), []byte(opener), 0o700); err != nil {
		t.Fatal(err)
	}
	m = m.with("PATH="+bin+":"+os.Getenv("PATH"), "DISPLAY=:test")
	c := m.command(t, "login", "--web")
	stderr, err := c.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	said := bufio.NewScanner(stderr)
	var url string
	for url == "" && said.Scan() {
		if i := strings.Index(said.Text(), "http"); i >= 0 && strings.Contains(said.Text(), "/oauth2/authorize") {
			url = strings.Fields(said.Text()[i:])[0]
		}
	}
	if url == "" {
		t.Fatalf("no address was shown: %v", c.Wait())
	}
	page := browser.Open(url, testchrome.View{})
	page.Type("#username", "ann")
	page.Type("#password", password)
	page.Click("#signin")
	page.WaitFor("h1", "igned in") // the page says it once villapay has the tokens
	for said.Scan() {
		t.Log(said.Text())
	}
	if err := c.Wait(); err != nil {
		t.Errorf("login: %v", err)
	}
	if data, err := os.ReadFile(shown); err != nil || strings.TrimSpace(string(data)) != url {
		t.Errorf("the browser was opened with %q: %v", data, err)
	}
	if r := m.run(t, "whoami", "--jq", ".username"); r.stdout != "ann\n" {
		t.Errorf("signed in as %q: %s", r.stdout, r.stderr)
	}
	if r := m.run(t, "pay", "qr", "4925"); r.code != 0 {
		t.Errorf("pay: exit %d, %s", r.code, r.stderr)
	}
}
