package auth

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/villapay/villapay/internal/sandbox/cognito"
	"github.com/villapay/villapay/internal/secret"
	"github.com/villapay/villapay/internal/testport"
)

// webBench is a bench with one free callback port, registered or not.
func webBench(t *testing.T, registered bool) *bench {
	t.Helper()
	port := testport.Free(t)
	options := cognito.Options{}
	if registered {
		options.Callbacks = []string{callbackURL(port)}
	}
	b := newBench(t, options)
	b.CallbackPorts = []int{port}
	return b
}

// browse signs in at the hosted page as ann and follows the redirect, or
// returns its address where follow is not set.
func browse(t *testing.T, address string, follow bool) (ended, body string) {
	t.Helper()
	client := &http.Client{CheckRedirect: func(req *http.Request, _ []*http.Request) error {
		if !follow && strings.HasSuffix(req.URL.Path, "/callback") {
			return http.ErrUseLastResponse
		}
		return nil
	}}
	res, err := client.Get(address)
	if err != nil {
		t.Error(err)
		return "", ""
	}
	_ = res.Body.Close()
	res, err = client.PostForm(res.Request.URL.String(), url.Values{"username": {"ann"}, "password": {rightPassword}})
	if err != nil {
		t.Error(err)
		return "", ""
	}
	defer res.Body.Close()
	text, _ := io.ReadAll(res.Body)
	if to, err := res.Location(); err == nil {
		return to.String(), string(text)
	}
	return res.Request.URL.String(), string(text)
}

// get asks the listener as some other page would.
func get(t *testing.T, address string) (status int, body string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, http.NoBody)
	if err != nil {
		t.Error(err)
		return 0, ""
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Error(err)
		return 0, ""
	}
	defer res.Body.Close()
	text, _ := io.ReadAll(res.Body)
	return res.StatusCode, string(text)
}

func TestBrowser(t *testing.T) {
	t.Parallel()
	for _, client := range []string{cognito.ClientID, cognito.ConfidentialID} {
		b := webBench(t, true)
		b.ClientID = client
		if client == cognito.ConfidentialID {
			b.ClientSecret = secret.New(cognito.ConfidentialSecret)
		}
		p := &answers{}
		pages := make(chan string, 1)
		tokens, err := b.client(p).Browser(t.Context(), func(address string) error {
			query := mustQuery(t, address)
			if query.Get("code_challenge_method") != "S256" || query.Get("nonce") == "" || query.Get("state") == "" || query.Get("scope") != "openid" {
				t.Errorf("the page is asked with %v", query)
			}
			go func() { _, body := browse(t, address, true); pages <- body }()
			return nil
		}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if status, words := b.pool.Check(tokens.ID.Reveal()); status != 0 || tokens.Username != "ann" || tokens.Refresh.Empty() {
			t.Errorf("the API says %d %s of %+v", status, words, tokens)
		}
		if body := <-pages; !strings.Contains(body, "You are signed in") || strings.Contains(body, "src=") || strings.Contains(body, "href=") {
			t.Errorf("the page says %s", body)
		}
		b.clock.add(2 * time.Hour)
		if _, err := b.client(nil).Refresh(t.Context(), tokens); err != nil {
			t.Errorf("renew: %v", err)
		}
		err = b.client(nil).SignOutEverywhere(t.Context(), tokens)
		wantError(t, err, Denied, "a session made in the browser may not do this")
	}
}

func mustQuery(t *testing.T, address string) url.Values {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Error(err)
		return nil
	}
	return u.Query()
}

// Requests that do not belong to the sign-in change nothing.
func TestBrowserIgnoresStrangers(t *testing.T) {
	t.Parallel()
	b := webBench(t, true)
	callback := callbackURL(b.CallbackPorts[0])
	tokens, err := b.client(nil).Browser(t.Context(), func(address string) error {
		state := mustQuery(t, address).Get("state")
		for _, request := range []string{
			"?code=stolen&state=wrong", "?code=stolen", "?error=access_denied", "?error=redirect_mismatch", "", "?state=" + state,
		} {
			if status, body := get(t, callback+request); status != http.StatusBadRequest || !strings.Contains(body, "Not this sign-in") {
				t.Errorf("%s: %d %s", request, status, body)
			}
		}
		if status, _ := get(t, strings.TrimSuffix(callback, "callback")+"favicon.ico"); status != http.StatusNotFound {
			t.Errorf("favicon: %d", status)
		}
		go browse(t, address, true)
		return nil
	}, nil)
	if err != nil || tokens.Username != "ann" {
		t.Errorf("got %v, %v", tokens, err)
	}
}

func TestBrowserDeclined(t *testing.T) {
	t.Parallel()
	for answer, test := range map[string]struct {
		kind Kind
		says string
	}{
		"error=access_denied":                            {Denied, "was denied"},
		"error=server_error":                             {Unreachable, "server_error"},
		"error=invalid_request&error_description=odd+so": {Config, "invalid_request: odd so"},
		"code=wrong":                                     {Denied, "expired or was used already"},
	} {
		b := webBench(t, true)
		pages := make(chan string, 1)
		_, err := b.client(nil).Browser(t.Context(), func(address string) error {
			go func() {
				_, body := get(t, callbackURL(b.CallbackPorts[0])+"?"+answer+"&state="+mustQuery(t, address).Get("state"))
				pages <- body
			}()
			return nil
		}, nil)
		wantError(t, err, test.kind, test.says)
		if body := <-pages; !strings.Contains(body, "Not signed in") {
			t.Errorf("%s: the page says %s", answer, body)
		}
	}
}

func TestBrowserPortTaken(t *testing.T) {
	t.Parallel()
	b := webBench(t, true)
	taken, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	port := taken.Addr().(*net.TCPAddr).Port
	free := b.CallbackPorts[0]
	b.CallbackPorts = []int{port, free}
	tokens, err := b.client(nil).Browser(t.Context(), func(address string) error { go browse(t, address, true); return nil }, nil)
	if err != nil || tokens.Username != "ann" {
		t.Errorf("with a spare port: %v", err)
	}
	b.CallbackPorts = []int{port}
	_, err = b.client(nil).Browser(t.Context(), func(string) error { t.Error("a browser was opened"); return nil }, nil)
	wantError(t, err, Config, "address already in use", "register", callbackURL(port), "auth.callback_ports")
}

// Cognito shows this error in the browser only; we ask before one is opened.
func TestBrowserRedirectMismatch(t *testing.T) {
	t.Parallel()
	b := webBench(t, false)
	never := func(string) error { t.Error("a browser was opened"); return nil }
	_, err := b.client(nil).Browser(t.Context(), never, nil)
	wantError(t, err, Config, "does not have this callback URL: "+callbackURL(b.CallbackPorts[0]), "register each of these")
	_, err = b.client(nil).Browser(t.Context(), nil, func(context.Context) (string, error) { t.Error("asked to paste"); return "", nil })
	wantError(t, err, Config, callbackURL(b.CallbackPorts[0]))
	b.ClientID = "nosuchclient"
	_, err = b.client(nil).Browser(t.Context(), never, nil)
	wantError(t, err, Config, "invalid_request", "auth.client_id")
}

func TestBrowserPageUnreachable(t *testing.T) {
	t.Parallel()
	b := webBench(t, true)
	never := func(string) error { t.Error("a browser was opened"); return nil }
	b.calls.set(0, &outageFault)
	_, err := b.client(nil).Browser(t.Context(), never, nil)
	wantError(t, err, Unreachable, "cannot reach the sign-in page at "+b.server.URL, "HTTP 503")
	b.server.Close()
	_, err = b.client(nil).Browser(t.Context(), never, nil)
	wantError(t, err, Unreachable, "cannot reach the sign-in page", ": connect: connection refused", "check auth.domain: run `villapay env show`")
	if strings.Contains(err.Error(), "code_challenge") || strings.Contains(err.Error(), "dial") {
		t.Errorf("%q shows the address", err)
	}
}

func TestBrowserWrongClientSecret(t *testing.T) {
	t.Parallel()
	b := webBench(t, true)
	b.ClientID, b.ClientSecret = cognito.ConfidentialID, secret.New("wrong-client-secret")
	_, err := b.client(nil).Browser(t.Context(), func(address string) error { go browse(t, address, true); return nil }, nil)
	wantError(t, err, Config, "invalid_client", "VILLAPAY_CLIENT_SECRET")
	if strings.Contains(err.Error(), "wrong-client-secret") {
		t.Errorf("%q shows the secret", err)
	}
}

// The page was answered, and then the token endpoint fails.
func TestBrowserTokensUnreachable(t *testing.T) {
	t.Parallel()
	for _, test := range map[string]struct {
		answer http.HandlerFunc
		kind   Kind
		says   string
	}{
		"gateway": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) }, Unreachable, "HTTP 502"},
		"cut":     {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, Unreachable, "cannot reach the sign-in page"},
		"echo": {func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusBadRequest)
			fmt.Fprintf(w, `{"error":"invalid_grant","error_description":"no %s"}`, r.PostFormValue("code"))
		}, Denied, "expired or was used already"},
		"echo of another kind": {func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusBadRequest)
			fmt.Fprintf(w, `{"error":"odd","error_description":"no %s"}`, r.PostFormValue("code"))
		}, Denied, "odd: no [redacted]"},
		"echo in an answer that cannot be read": {func(w http.ResponseWriter, r *http.Request) {
			conn, _, err := w.(http.Hijacker).Hijack()
			if err != nil {
				panic(err)
			}
			_, _ = fmt.Fprintf(conn, "HTTP/1.1 %s x\r\n\r\n", r.PostFormValue("code"))
			_ = conn.Close()
		}, Unreachable, "[redacted]"},
	} {
		b := webBench(t, true)
		b.calls.next = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/oauth2/token" {
				test.answer(w, r)
				return
			}
			b.pool.ServeHTTP(w, r)
		})
		_, err := b.client(nil).Browser(t.Context(), func(address string) error { go browse(t, address, true); return nil }, nil)
		wantError(t, err, test.kind, test.says)

	}
}

// The browser was closed, or never opened: five minutes, then an end that says
// what may have been wrong.
func TestBrowserClosed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		page := roundTrip(func(*http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: http.StatusFound, Header: http.Header{"Location": {"/login"}}, Body: http.NoBody}, nil
		})
		pool := UserPool{Env: "dev", Region: "r", UserPoolID: "r_p", ClientID: "c", Domain: "https://d.invalid", CallbackPorts: []int{8976}}
		p := &answers{}
		f := NewClient(pool, page, time.Now, p, func(string) {})
		start := time.Now()
		_, err := f.Browser(t.Context(), nil, func(ctx context.Context) (string, error) { <-ctx.Done(); return "", ctx.Err() })
		wantError(t, err, NotSignedIn, "within 5 minutes", "redirect_mismatch", "http://127.0.0.1:8976/callback")
		if waited := time.Since(start); waited != browserTimeout {
			t.Errorf("waited %s", waited)
		}
	})
}

func TestBrowserInterrupted(t *testing.T) {
	t.Parallel()
	b := webBench(t, true)
	ctx, cancel := context.WithCancel(t.Context())
	_, err := b.client(nil).Browser(ctx, func(string) error { cancel(); return errors.New("no browser here") }, nil)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if !strings.Contains(b.warned.String(), "the browser did not open: no browser here; open the address above") {
		t.Errorf("said %q", b.warned)
	}
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp4", fmt.Sprintf("127.0.0.1:%d", b.CallbackPorts[0]))
	if err != nil {
		t.Fatalf("the port is still taken: %v", err)
	}
	_ = listener.Close()
}

func TestPastedRedirect(t *testing.T) {
	t.Parallel()
	b := webBench(t, true)
	p := &answers{}
	var pasted []string
	paste := func(context.Context) (string, error) {
		address := p.asked.all[0]
		address = address[strings.Index(address, "http"):strings.Index(address, "\n\nthen copy")]
		ended, _ := browse(t, address, false)
		pasted = append(pasted, "://", callbackURL(b.CallbackPorts[0])+"?code=x&state=wrong", " "+ended+"\n")
		next := pasted[0]
		pasted = pasted[1:]
		return next, nil
	}
	once := func(ctx context.Context) (string, error) {
		if len(pasted) == 0 {
			return paste(ctx)
		}
		next := pasted[0]
		pasted = pasted[1:]
		return next, nil
	}
	tokens, err := b.client(p).Browser(t.Context(), nil, once)
	if err != nil || tokens.Username != "ann" {
		t.Fatalf("got %v, %v; said %s", tokens, err, p.asked.String())
	}
	for _, says := range []string{"not an address: paste it again", "wrong state): paste it again"} {
		if !strings.Contains(p.asked.String(), says) {
			t.Errorf("%q does not say %q", p.asked.String(), says)
		}
	}
}

func TestPastedNonsense(t *testing.T) {
	t.Parallel()
	for text, test := range map[string]struct {
		kind Kind
		says string
	}{
		"hello": {Denied, "wrong state"},
		"https://d/error?error=redirect_mismatch&client_id=x": {Config, "does not have this callback URL"},
	} {
		b := webBench(t, true)
		_, err := b.client(&answers{}).Browser(t.Context(), nil, func(context.Context) (string, error) { return text, nil })
		wantError(t, err, test.kind, test.says)
	}
	b := webBench(t, true)
	gone := errors.New("the prompt was closed")
	_, err := b.client(&answers{}).Browser(t.Context(), nil, func(context.Context) (string, error) { return "", gone })
	if !errors.Is(err, gone) {
		t.Errorf("got %v", err)
	}
}
