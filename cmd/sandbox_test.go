package cmd

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/villapay/villapay/internal/sandbox"
)

// sandbox serve has a bank for the orders that --env sandbox made. Only with
// --require-auth does it want the bank's key.
func TestSandboxServesItsBank(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		args   []string
		key    string
		status int
	}{
		{nil, "", 200},
		{[]string{"--require-auth"}, sandbox.BankKey, 200},
		{[]string{"--require-auth"}, "", 401},
	} {
		t.Run(fmt.Sprint(test.args, test.status), func(t *testing.T) {
			t.Parallel()
			m := newMachine(t)
			order := m.run(t, "pay", "qr", "492500004632", "--env", "sandbox", "-o", "json").object(t).ID

			serve := m.command(t, append([]string{"sandbox", "serve"}, test.args...)...)
			stdout, err := serve.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := serve.Start(); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				_ = serve.Process.Kill()
				_ = serve.Wait()
			})
			url, err := bufio.NewReader(stdout).ReadString('\n')
			if err != nil {
				t.Fatal(err)
			}
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, strings.TrimSpace(url)+sandbox.BankPath+"/qr/v2/order/"+order, nil)
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("x-api-key", test.key)
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			body, err := io.ReadAll(resp.Body)
			if err != nil || resp.StatusCode != test.status || strings.Contains(string(body), order) != (test.status == 200) {
				t.Errorf("%d %s (%v), want %d", resp.StatusCode, body, err, test.status)
			}
		})
	}
}
