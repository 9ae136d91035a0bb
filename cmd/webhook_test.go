package cmd

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A mounted secret mostly ends in a line break, which is no part of the key,
// whichever way the key comes.
func TestTheSecretKeyIsOneLine(t *testing.T) {
	t.Parallel()
	m := newMachine(t, "VILLAPAY_ENV=sandbox")
	if r := m.run(t, "pay", "qr", "4925"); r.code != 0 {
		t.Fatal(r.stderr)
	}
	const key = "skey_test_1"
	file := filepath.Join(m.dir, "key")
	if err := os.WriteFile(file, []byte(key+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	notification := m.run(t, "webhook", "send", "4925", "--print", "--secret-file", file)
	if notification.code != 0 {
		t.Fatal(notification.stderr)
	}
	for value, code := range map[string]int{key: 0, key + "\n": 0, key + "\r\n": 0, " " + key + " ": 0, "skey test 1": 3, "\ufeff" + key: 3, "skey_test_2": 5} {
		c := m.with("VILLAPAY_WEBHOOK_SECRET="+value).command(t, "webhook", "verify", "-")
		c.Stdin = strings.NewReader(notification.stdout)
		if out, _ := c.CombinedOutput(); c.ProcessState.ExitCode() != code {
			t.Errorf("%q: %s", value, out)
		}
	}
	for _, value := range []string{"", "\n"} {
		r := m.with("VILLAPAY_WEBHOOK_SECRET="+value).run(t, "webhook", "send", "4925", "--print")
		if r.code != 3 || !strings.Contains(r.stderr, "there is no secret key for notifications") || !strings.Contains(r.stderr, "--secret-file FILE") {
			t.Errorf("%q: exit %d, %s", value, r.code, r.stderr)
		}
	}
}
