package cognito

import (
	"bufio"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"testing"
	"time"

	"golang.org/x/oauth2"
)

// tab drives one page of a real browser over its debugging pipe.
type tab struct {
	t       *testing.T
	in      *os.File
	out     *bufio.Reader
	session string
	id      int
}

// openTab starts the browser that VILLAPAY_TEST_CHROMIUM names.
func openTab(t *testing.T) *tab {
	t.Helper()
	binary := os.Getenv("VILLAPAY_TEST_CHROMIUM")
	if binary == "" {
		t.Skip("VILLAPAY_TEST_CHROMIUM names no browser")
	}
	theirIn, ourOut, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	ourIn, theirOut, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "villapay-browser-") //nolint:usetesting // not t.TempDir: the browser's children may outlive it and write on
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), binary, "--headless", "--no-sandbox", "--disable-gpu",
		"--remote-debugging-pipe", "--user-data-dir="+dir)
	cmd.ExtraFiles = []*os.File{theirIn, theirOut} // 3 and 4
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	theirIn.Close()
	theirOut.Close()
	b := &tab{t: t, in: ourOut, out: bufio.NewReader(ourIn)}
	t.Cleanup(func() {
		b.session = ""
		b.send("Browser.close", nil)
		b.in.Close()
		_ = cmd.Wait()
		ourIn.Close()
		for range 100 {
			if os.RemoveAll(dir) == nil {
				return
			}
			time.Sleep(20 * time.Millisecond)
		}
	})
	target := b.send("Target.createTarget", map[string]any{"url": "about:blank"})
	b.session, _ = b.send("Target.attachToTarget", map[string]any{"targetId": target["targetId"], "flatten": true})["sessionId"].(string)
	return b
}

func (b *tab) send(method string, params map[string]any) map[string]any {
	b.t.Helper()
	b.id++
	message := map[string]any{"id": b.id, "method": method, "params": params}
	if b.session != "" {
		message["sessionId"] = b.session
	}
	text, err := json.Marshal(message)
	if err != nil {
		b.t.Fatal(err)
	}
	if _, err := b.in.Write(append(text, 0)); err != nil {
		b.t.Fatal(err)
	}
	for {
		text, err := b.out.ReadBytes(0)
		if err != nil {
			b.t.Fatal(err)
		}
		var reply struct {
			ID     int
			Result map[string]any
			Error  any
		}
		if err := json.Unmarshal(text[:len(text)-1], &reply); err != nil {
			b.t.Fatal(err)
		}
		if reply.ID != b.id {
			continue // an event
		}
		if reply.Error != nil {
			b.t.Fatalf("%s: %v", method, reply.Error)
		}
		return reply.Result
	}
}

// eval is the value of a JavaScript expression in the page.
func (b *tab) eval(expression string) any {
	b.t.Helper()
	result, _ := b.send("Runtime.evaluate", map[string]any{"expression": expression, "returnByValue": true})["result"].(map[string]any)
	return result["value"]
}

func (b *tab) waitFor(expression string) {
	b.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); b.eval(expression) != true; {
		if time.Now().After(deadline) {
			b.t.Fatalf("never came true: %s; the page: %v", expression, b.eval("document.documentElement.outerHTML"))
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// The pages work in a real browser, which holds them to their own policy: the
// style applies, and the form may lead to the application.
func TestBrowser(t *testing.T) {
	t.Parallel()
	b := openTab(t)
	came := make(chan url.Values, 1)
	application := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/callback" {
			came <- r.URL.Query()
		}
	}))
	defer application.Close()
	p, _ := newPool(t, Options{Now: time.Now, Callbacks: []string{application.URL + "/callback"}})
	server := httptest.NewServer(p)
	defer server.Close()
	conf := oauth2.Config{
		ClientID: ClientID, RedirectURL: application.URL + "/callback", Scopes: []string{"openid"},
		Endpoint: oauth2.Endpoint{AuthURL: server.URL + "/oauth2/authorize", TokenURL: server.URL + "/oauth2/token"},
	}
	verifier := oauth2.GenerateVerifier()
	fill := func(password string) {
		b.eval(`username.value = 'ann'; document.getElementById('password').value = '` + password + `'; signin.click()`)
	}
	b.send("Page.navigate", map[string]any{"url": conf.AuthCodeURL("some state", oauth2.S256ChallengeOption(verifier))})
	b.waitFor(`document.readyState === 'complete' && !!document.getElementById('signin')`)
	if color := b.eval(`getComputedStyle(signin).backgroundColor`); color != "rgb(11, 90, 42)" {
		t.Errorf("the style does not apply: the button is %v", color)
	}
	fill("wrong")
	b.waitFor(`document.readyState === 'complete' && !!document.getElementById('error')`)
	fill(password)
	select {
	case q := <-came:
		if q.Get("state") != "some state" {
			t.Errorf("the browser came back with %v", q)
		}
		if _, err := conf.Exchange(t.Context(), q.Get("code"), oauth2.VerifierOption(verifier)); err != nil {
			t.Error(err)
		}
	case <-time.After(20 * time.Second):
		t.Fatalf("the browser never came back: %v", b.eval("document.documentElement.outerHTML"))
	}

	q := url.Values{"client_id": {ClientID}, "redirect_uri": {"http://127.0.0.1:1/callback"}}
	b.send("Page.navigate", map[string]any{"url": server.URL + "/oauth2/authorize?" + q.Encode()})
	b.waitFor(`document.readyState === 'complete' && document.getElementById('error')?.textContent === 'redirect_mismatch'`)
}
