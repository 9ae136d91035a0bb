package auth

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/villapay/villapay/internal/secret"
)

// Pool is one environment's user pool and the app client to use there.
type Pool struct {
	Env           string // the environment's name
	Region        string
	UserPoolID    string // REGION_NAME
	ClientID      string
	ClientSecret  secret.String // of a confidential app client; empty for a public one
	Domain        string        // the hosted UI's URL, for [Client.Browser]
	Endpoint      string        // a URL instead of AWS's own; "" otherwise
	CallbackPorts []int         // on 127.0.0.1, registered for the hosted UI, in the order to try them
}

// origin is where the pool's API and the issuer of its tokens stand.
func (p Pool) origin() string {
	if p.Endpoint != "" {
		return strings.TrimSuffix(p.Endpoint, "/")
	}
	return "https://cognito-idp." + p.Region + ".amazonaws.com"
}

// issuer is what the pool's tokens carry as `iss`.
func (p Pool) issuer() string { return p.origin() + "/" + p.UserPoolID }

// session names the pool's tokens in the store, so that a token is never used
// with another pool or client than the one that it came from.
func (p Pool) session() string { return p.Env + " " + p.issuer() + " " + p.ClientID }

// secretHash proves the client secret beside a username (AWS: "Computing secret
// hash values"). "" without a secret.
func (p Pool) secretHash(username string) string {
	if p.ClientSecret.Empty() {
		return ""
	}
	mac := hmac.New(sha256.New, []byte(p.ClientSecret.Reveal()))
	mac.Write([]byte(username + p.ClientID))
	return base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// Tokens are what a sign-in brings.
type Tokens struct {
	ID       secret.String // what the API takes
	Access   secret.String // what signing out everywhere takes; empty after [Client.Accept]
	Refresh  secret.String // empty after [Client.Accept]: such a session cannot be renewed
	Username string
	Device   string // the key of a remembered device; most pools have none

	ReceivedAt time.Time
	ExpiresAt  time.Time // of the ID token, by this machine's clock: receipt + lifetime, whatever the clock says
}

// Prompter asks the person at the terminal. Labels of lines and secrets are
// shown as they are ("User name: "). Its methods return ctx's error as soon as
// ctx ends.
type Prompter interface {
	Line(ctx context.Context, label string) (string, error)
	Secret(ctx context.Context, label string) (secret.String, error)
	Choose(ctx context.Context, label string, options []string) (int, error)
	Note(text string)
}

// Client talks to one user pool. It may be used by many goroutines.
type Client struct {
	pool   Pool
	http   *http.Client
	now    func() time.Time
	prompt Prompter
	warn   func(text string)

	mu   sync.Mutex
	skew time.Duration // the server's clock minus ours, where they differ by more than skewLimit
}

const (
	callLimit = 15 * time.Second // for one call to the pool
	keysLimit = 3 * time.Second  // for its public keys, which are optional
	skewLimit = 5 * time.Minute  // from here on the clocks are said to differ
	bodyLimit = 1 << 20          // bytes of an answer that are read
)

// NewClient makes a client of pool that calls through transport. prompt may be
// nil where nobody can be asked: challenges are errors then. warn shows one
// warning on stderr.
func NewClient(pool Pool, transport http.RoundTripper, now func() time.Time, prompt Prompter, warn func(text string)) *Client {
	c := &Client{pool: pool, now: now, prompt: prompt, warn: warn}
	c.http = &http.Client{
		Transport:     watch{transport, c},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return c
}

// watch bounds what is read from the pool and compares its clock with ours.
type watch struct {
	next   http.RoundTripper
	client *Client
}

func (w watch) RoundTrip(req *http.Request) (*http.Response, error) {
	res, err := w.next.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	if date, err := http.ParseTime(res.Header.Get("Date")); err == nil {
		w.client.compareClocks(date)
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

// serverNow is the time by the pool's clock, as far as it is known.
func (c *Client) serverNow() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now().Add(c.skew)
}

// ready checks that the settings which every sign-in needs are there.
func (c *Client) ready() error {
	for _, setting := range []struct{ name, value, example string }{
		{"auth.region", c.pool.Region + c.pool.Endpoint, "ap-southeast-1"},
		{"auth.user_pool_id", c.pool.UserPoolID, "USER_POOL_ID"},
		{"auth.client_id", c.pool.ClientID, "CLIENT_ID"},
	} {
		if setting.value == "" {
			return &Error{
				Kind:    Config,
				Message: fmt.Sprintf("environment %s has no %s: there is nowhere to sign in", c.pool.Env, setting.name),
				Hint:    c.setting("set it", setting.name+" "+setting.example),
			}
		}
	}
	return nil
}
