package auth

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/villapay/villapay/internal/secret"
)

// UserPool is one environment's user pool and the app client to use there. Signing in
// needs Region (or Endpoint), UserPoolID and ClientID.
type UserPool struct {
	Env           string // the environment's name
	Region        string
	UserPoolID    string // REGION_NAME
	ClientID      string
	ClientSecret  secret.String // of a confidential app client; empty for a public one
	Domain        string        // URL of the hosted UI, for [Client.Browser]
	Endpoint      string        // a URL instead of AWS's own, or ""
	CallbackPorts []int         // on 127.0.0.1, registered for the hosted UI, in the order to try them
}

// origin is the URL of the pool's API and of the issuer of its tokens.
func (p UserPool) origin() string {
	if p.Endpoint != "" {
		return strings.TrimSuffix(p.Endpoint, "/")
	}
	return "https://cognito-idp." + p.Region + ".amazonaws.com"
}

// issuer is the pool's `iss`.
func (p UserPool) issuer() string { return p.origin() + "/" + p.UserPoolID }

// session names the pool's tokens in the store, so that a token is used with the
// pool and client that it came from, and no other.
func (p UserPool) session() string { return p.Env + " " + p.issuer() + " " + p.ClientID }

// secretHash proves the client secret for a username (AWS: "Computing secret
// hash values"); "" without a secret.
func (p UserPool) secretHash(username string) string {
	if p.ClientSecret.Empty() {
		return ""
	}
	mac := hmac.New(sha256.New, []byte(p.ClientSecret.Reveal()))
	mac.Write([]byte(username + p.ClientID))
	return base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// Tokens are the result of a sign-in.
type Tokens struct {
	ID       secret.String // what the API takes
	Access   secret.String // what signing out everywhere takes; empty after [Client.Accept]
	Refresh  secret.String // empty after [Client.Accept]: such a session cannot be refreshed
	Username string
	Device   string // key of this device, confirmed; "" in pools that remember none

	ReceivedAt time.Time
	ExpiresAt  time.Time // of the ID token, by this machine's clock: receipt + lifetime
}

// Prompter asks the person at the terminal. Labels are shown as they are
// ("User name: "). Its methods return ctx's error as soon as ctx ends.
type Prompter interface {
	Line(ctx context.Context, label string) (string, error)
	Secret(ctx context.Context, label string) (secret.String, error)
	Choose(ctx context.Context, label string, options []string) (int, error) // an index of options
	Note(text string)
}

// Client talks to one user pool. It may be used by many goroutines.
type Client struct {
	pool   UserPool
	http   *http.Client
	now    func() time.Time
	prompt Prompter
	warn   func(text string)

	mu      sync.Mutex
	skew    time.Duration   // the server's clock minus ours, where they differ by more than skewLimit
	secrets []secret.String // that a server may repeat in any answer from now on
}

const (
	callTimeout = 15 * time.Second // for one call to the pool
	keysTimeout = 3 * time.Second  // for its public keys, which are optional
	skewLimit   = 5 * time.Minute  // a larger difference between the clocks is a warning
	bodyLimit   = 1 << 20          // bytes of a response that are read
)

// NewClient makes a client of pool that calls through transport. prompt is nil
// if nobody can be asked: challenges are errors then. warn shows one warning on
// stderr.
func NewClient(pool UserPool, transport http.RoundTripper, now func() time.Time, prompt Prompter, warn func(text string)) *Client {
	c := &Client{pool: pool, now: now, prompt: prompt, secrets: []secret.String{pool.ClientSecret}}
	c.warn = func(text string) { warn(c.Redact(text)) }
	c.http = &http.Client{
		Transport:     limitTransport{transport, c},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return c
}

// hide adds secrets to those that no error or warning repeats.
func (c *Client) hide(secrets ...secret.String) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.secrets = append(c.secrets, secrets...)
}

func (c *Client) hidden() []secret.String {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.secrets)
}

// Redact hides in text whatever secrets were sent to the pool so far.
func (c *Client) Redact(text string) string { return secret.Redact(text, c.hidden()...) }

// redact hides the secrets in what err says: it may quote any part of an answer, also
// of one that net/http could not read. Every exported method that calls the pool
// defers it.
func (c *Client) redact(err *error) {
	hidden := c.hidden()
	if e, ok := errors.AsType[*Error](*err); ok {
		e.Message = secret.Redact(e.Message, hidden...)
		e.Err = secret.RedactError(e.Err, hidden...)
	}
	*err = secret.RedactError(*err, hidden...)
}

// limitTransport bounds what is read from the pool and compares its clock with
// ours.
type limitTransport struct {
	next   http.RoundTripper
	client *Client
}

func (t limitTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	res, err := t.next.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	if date, err := http.ParseTime(res.Header.Get("Date")); err == nil {
		t.client.compareClocks(date)
	}
	res.Body = struct {
		io.Reader
		io.Closer
	}{io.LimitReader(res.Body, bodyLimit), res.Body}
	return res, nil
}

func (c *Client) compareClocks(theirs time.Time) {
	skew := theirs.Sub(c.now())
	if skew.Abs() <= skewLimit {
		skew = 0
	}
	c.mu.Lock()
	first := c.skew == 0 && skew != 0
	c.skew = skew
	c.mu.Unlock()
	if first {
		direction := "behind"
		if skew < 0 {
			direction = "ahead of"
		}
		c.warn(fmt.Sprintf("this machine's clock is %s %s that of %s: set it right", skew.Abs().Round(time.Minute), direction, c.host()))
	}
}

// serverNow is the time by the pool's clock, if it is known, else by ours.
func (c *Client) serverNow() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now().Add(c.skew)
}
