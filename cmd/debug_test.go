package cmd

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// Wherever a server repeats what it was sent, neither an error, nor `api -i`, nor
// --debug, nor any file shows it.
func TestServersThatRepeatSecrets(t *testing.T) {
	t.Parallel()
	const hidden, token = "hunter2hunter2", "eyJhbGciOiJub25lIn0.e30.hunter2hunter2"
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if strings.Contains(string(body), "USER_SRP_AUTH") {
			w.WriteHeader(http.StatusBadRequest)
			_, _ = io.WriteString(w, `{"__type":"InvalidParameterException","message":"USER_SRP_AUTH is not enabled for the client."}`)
			return
		}
		conn, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			panic(err)
		}
		echo := token
		if len(body) > 0 {
			echo = hidden
		}
		how := map[string]string{
			"/reason": "HTTP/1.1 400 %s\r\nContent-Length: 0\r\n\r\n",
			"/name":   "HTTP/1.1 400 Bad\r\nX-%s: 1\r\nContent-Length: 0\r\n\r\n",
			"/value":  "HTTP/1.1 400 Bad\r\nX-Echo: %s\r\nContent-Length: 0\r\n\r\n",
			"/status": "HTTP/1.1 %s x\r\n\r\n",
		}[strings.TrimSuffix(r.URL.Path, "/")]
		if how != "" {
			_, _ = fmt.Fprintf(conn, how, echo)
		}
		_ = conn.Close()
	}))
	t.Cleanup(server.Close)
	m := newMachine(t, "VILLAPAY_ENV=dev", "VILLAPAY_BASE_URL="+server.URL, "VILLAPAY_TOKEN="+token,
		"VILLAPAY_AUTH_USER_POOL_ID=ap-southeast-1_x", "VILLAPAY_AUTH_CLIENT_ID=c", "VILLAPAY_USERNAME=ann", "VILLAPAY_PASSWORD="+hidden)
	check := func(what string, r result) {
		t.Helper()
		if r.code == 0 || r.code == 2 || strings.Contains(strings.ToLower(r.stdout+r.stderr), hidden) {
			t.Errorf("%s: exit %d, %s%s", what, r.code, r.stdout, r.stderr)
		}
	}
	for _, path := range []string{"/reason", "/name", "/value", "/status"} {
		check("api "+path, m.run(t, "api", path, "-X", "POST", "-i", "--debug"))
		if r := m.run(t, "env", "set", "auth.endpoint", server.URL+path); r.code != 0 {
			t.Fatal(r.stderr)
		}
		check("login "+path, m.run(t, "login", "--debug"))
	}
	noSecrets(t, m, hidden)
}
