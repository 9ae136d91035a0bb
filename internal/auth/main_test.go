package auth

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/villapay/villapay/internal/backoff"
	"github.com/villapay/villapay/internal/sandbox/cognito"
	"github.com/villapay/villapay/internal/secret"
	"github.com/villapay/villapay/internal/testport"
)

func TestMain(m *testing.M) {
	if os.Getenv("VILLAPAY_TEST_KEYRING") == "" {
		// No test reaches the keyring of whoever runs it.
		_ = os.Setenv("DBUS_SESSION_BUS_ADDRESS", "unix:path=/nonexistent")
	}
	if os.Getenv(childJob) != "" {
		os.Exit(child())
	}
	os.Exit(m.Run())
}

const rightPassword = "Passw0rd!"

// clock is a clock that stands still until it is moved.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

// bench is a pool behind a server, a client of it, and what the two said.
type bench struct {
	pool   *cognito.Pool
	server *httptest.Server
	clock  *clock // of the pool and, unless it is changed, of the client
	calls  *calls
	warned *texts
	UserPool
}

// texts collects what is shown to the user.
type texts struct {
	mu  sync.Mutex
	all []string
}

func (t *texts) add(text string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.all = append(t.all, text)
}

func (t *texts) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.Join(t.all, "\n")
}

// calls records which calls reached the pool, by target and flow.
type calls struct {
	texts
	next  http.Handler
	delay time.Duration // of each answer
	fault *fault        // instead of the next answer
}

// fault is an error of the pool.
type fault struct {
	status        int
	kind, message string
}

var outageFault = fault{http.StatusServiceUnavailable, "ServiceUnavailableException", "Service Unavailable"}

func (c *calls) set(delay time.Duration, next *fault) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.delay, c.fault = delay, next
}

func (c *calls) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name := r.URL.Path
	if target := r.Header.Get("X-Amz-Target"); target != "" {
		name = target[strings.LastIndex(target, ".")+1:]
	}
	body, err := io.ReadAll(r.Body) // a server notices that its client left only once it has read all
	if err != nil {
		return
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	c.add(name)
	c.mu.Lock()
	delay, fault := c.delay, c.fault
	c.fault = nil
	c.mu.Unlock()
	switch {
	case backoff.Sleep(r.Context(), delay) != nil:
	case fault != nil:
		w.WriteHeader(fault.status)
		fmt.Fprintf(w, `{"__type":%q,"message":%q}`, fault.kind, fault.message)
	default:
		c.next.ServeHTTP(w, r)
	}
}

func (c *calls) count(name string) (n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, call := range c.all {
		if call == name {
			n++
		}
	}
	return n
}

// poolKey is a pool's state with its signing key, made once: it takes longer
// than most tests.
var poolKey = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "villapay-pool-*")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	pool, err := cognito.New(cognito.Options{Now: time.Now, Dir: dir})
	if err != nil {
		return nil, err
	}
	pool.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/"+cognito.PoolID+"/.well-known/jwks.json", http.NoBody))
	return os.ReadFile(filepath.Join(dir, "cognito.json"))
})

func newBench(t *testing.T, options cognito.Options) *bench {
	t.Helper()
	b := &bench{clock: &clock{t: time.Now().UTC().Truncate(time.Second)}, warned: &texts{}}
	if options.Now == nil {
		options.Now = b.clock.now
	}
	if options.Dir == "" {
		options.Dir = t.TempDir()
		key, err := poolKey()
		if err == nil {
			err = os.WriteFile(filepath.Join(options.Dir, "cognito.json"), key, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	pool, err := cognito.New(options)
	if err != nil {
		t.Fatal(err)
	}
	b.pool, b.calls = pool, &calls{next: pool}
	b.server = &httptest.Server{Listener: testport.Listen(t), Config: &http.Server{Handler: b.calls}}
	b.server.Start()
	t.Cleanup(b.server.Close)
	b.UserPool = UserPool{Env: "dev", Region: cognito.Region, UserPoolID: cognito.PoolID, ClientID: cognito.ClientID, Endpoint: b.server.URL + "/", Domain: b.server.URL}
	return b
}

// says lets the pool say one text in place of another from now on.
func (b *bench) says(text, instead string) {
	next := b.calls.next
	b.calls.next = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer := httptest.NewRecorder()
		next.ServeHTTP(answer, r)
		maps.Copy(w.Header(), answer.Header())
		w.Header().Del("Content-Length")
		w.WriteHeader(answer.Code)
		_, _ = w.Write(bytes.ReplaceAll(answer.Body.Bytes(), []byte(text), []byte(instead)))
	})
}

// client makes a client of the bench's pool; nobody can be asked where p is nil.
func (b *bench) client(p Prompter) *Client {
	return NewClient(b.UserPool, http.DefaultTransport, b.clock.now, p, b.warned.add)
}

func (b *bench) signIn(t *testing.T) Tokens {
	t.Helper()
	tokens, err := b.client(nil).Password(t.Context(), "ann", secret.New(rightPassword))
	if err != nil {
		t.Fatalf("sign in: %v", err)
	}
	return tokens
}

// session makes a session of b's environment, kept in dir.
func (b *bench) session(dir string, ring Keyring) *Session {
	return NewSession(b.client(nil), OpenStore(dir, ring, b.warned.add), secret.String{})
}

// answers is a prompter that types answers in turn.
type answers struct {
	typed []string
	asked texts
}

func (a *answers) next(label string) (string, error) {
	a.asked.add(label)
	if len(a.typed) == 0 {
		return "", errors.New("nothing more to type at " + label)
	}
	text := a.typed[0]
	a.typed = a.typed[1:]
	return text, nil
}

func (a *answers) Line(_ context.Context, label string) (string, error) { return a.next(label) }

func (a *answers) Secret(_ context.Context, label string) (secret.String, error) {
	text, err := a.next("(hidden) " + label)
	return secret.New(text), err
}

func (a *answers) Choose(_ context.Context, label string, options []string) (int, error) {
	text, err := a.next(label + ": " + strings.Join(options, ", "))
	if err != nil {
		return 0, err
	}
	var n int
	_, err = fmt.Sscan(text, &n)
	return n, err
}

func (a *answers) Note(text string) { a.asked.add("note: " + text) }

// ring is a keyring in memory.
type ring struct {
	mu   sync.Mutex
	keys map[string]string
	gets int
	err  error // instead of any answer
}

func newRing() *ring { return &ring{keys: map[string]string{}} }

func (r *ring) Get(account string) (string, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.gets++
	value, found := r.keys[account]
	switch {
	case r.err != nil:
		return "", r.err
	case !found:
		return "", ErrNoKey
	}
	return value, nil
}

func (r *ring) Set(account, value string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err == nil {
		r.keys[account] = value
	}
	return r.err
}

func (r *ring) Delete(account string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.keys, account)
	return r.err
}

// wantError checks an error's kind and that its texts say what they should.
func wantError(t *testing.T, err error, kind Kind, parts ...string) {
	t.Helper()
	var e *Error
	if !errors.As(err, &e) {
		t.Fatalf("got %v, want an *Error", err)
	}
	if e.Kind != kind {
		t.Errorf("kind %d, want %d, of %q", e.Kind, kind, e.Message)
	}
	text := e.Message + " | hint: " + e.Hint
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Errorf("%q does not say %q", text, part)
		}
	}
}

// unsigned makes a token with these claims and no valid signature.
func unsigned(t *testing.T, claims map[string]any) secret.String {
	t.Helper()
	body, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	encode := base64.RawURLEncoding.EncodeToString
	return secret.New(encode([]byte(`{"alg":"RS256","kid":"k"}`)) + "." + encode(body) + "." + encode([]byte("signature")))
}

// idClaims are those of a good ID token of p, with changes.
func idClaims(p UserPool, now time.Time, changes map[string]any) map[string]any {
	claims := map[string]any{
		"iss": p.issuer(), "aud": p.ClientID, "token_use": "id", "cognito:username": "ann",
		"iat": now.Unix(), "exp": now.Add(time.Hour).Unix(),
	}
	maps.Copy(claims, changes)
	return claims
}
