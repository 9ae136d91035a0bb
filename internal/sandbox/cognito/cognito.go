// Package cognito is the sandbox's sign-in: an AWS Cognito user pool as an
// http.Handler, so that every Cognito client (AWS's SDKs, its JavaScript
// client, villapay itself) can sign in on loopback without an AWS account.
//
// It promises to reject what the real service rejects. SRP proofs, secret
// hashes, one-time codes, sessions, redirect URLs and PKCE verifiers are all
// checked, errors carry AWS's types and texts, and the authorizer answers as
// API Gateway does. Passwords and codes are public: `villapay help sandbox`
// prints them. Nothing here protects anything.
//
// Facts come from AWS's API reference, from the exchange that
// amazon-cognito-identity-js speaks, and, where those are silent, from answers
// that users of the real service have published.
package cognito

import (
	"net/http"
	"sync"
	"time"
)

const (
	// Region is the region that the pool pretends to be in.
	Region = "ap-southeast-1"
	// PoolID names the pool, as in user_pool_id.
	PoolID = Region + "_" + poolName
	// SMSCode is the code that every text message and email is said to hold.
	SMSCode = "123456"
	// ExpiredSMSCode is a code that came too late, whoever enters it.
	ExpiredSMSCode = "999999"

	// poolName is the half of the pool's ID that SRP hashes.
	poolName = "Sandbox01"
)

// Options configure a Pool. Only Now is required.
type Options struct {
	// Now is the pool's clock.
	Now func() time.Time
	// Issuer is the URL clients reach the pool at, without a trailing slash.
	// Tokens say iss = Issuer/PoolID. If empty, it is read off each request.
	Issuer string
	// Dir keeps the signing key and the refresh tokens, so that a restart
	// signs nobody out. If empty, they live as long as the Pool.
	Dir string
	// Lifetime of ID and access tokens, instead of the app client's own.
	Lifetime time.Duration
	// Callbacks are redirect URLs registered beside the built-in ones
	// (/callback on the ports 8976 to 8978 of 127.0.0.1 and localhost).
	Callbacks []string
}

// A Pool is one user pool. It is safe for concurrent use.
type Pool struct {
	opts Options
	mux  *http.ServeMux
	// accounts is fixed; what changes in an account is guarded by mu.
	accounts map[string]*account
	signer

	mu       sync.Mutex // guards all below
	keyKept  bool       // the key is in the file
	sessions map[string]*session
	codes    map[string]authCode
	grants   map[string]*grant // by origin_jti
}

// New returns a pool with the users that Users lists and with all app clients.
// It reads Options.Dir and fails if what is there is not a pool's.
func New(opts Options) (*Pool, error) {
	p := &Pool{
		opts:     opts,
		accounts: map[string]*account{},
		sessions: map[string]*session{},
		codes:    map[string]authCode{},
		grants:   map[string]*grant{},
	}
	for _, a := range seedAccounts() {
		p.accounts[a.username] = a
	}
	if err := p.load(); err != nil {
		return nil, err
	}
	p.mux = p.routes()
	return p, nil
}

func (p *Pool) routes() *http.ServeMux {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /{$}", p.serveCall)
	mux.HandleFunc("OPTIONS /{$}", allowBrowsers)
	mux.HandleFunc("GET /"+PoolID+"/.well-known/jwks.json", p.serveJWKS)
	mux.HandleFunc("GET /"+PoolID+"/.well-known/openid-configuration", p.serveDiscovery)
	mux.HandleFunc("GET /oauth2/authorize", p.serveAuthorize)
	mux.HandleFunc("POST /oauth2/token", p.serveToken)
	mux.HandleFunc("GET /login", p.serveLoginPage)
	mux.HandleFunc("POST /login", p.serveLogin)
	mux.HandleFunc("GET /error", p.serveErrorPage)
	return mux
}

// ServeHTTP answers the calls of the Cognito API, the hosted UI's pages, the
// token endpoint and the pool's published keys.
func (p *Pool) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Date", p.now().Format(http.TimeFormat))
	r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	p.mux.ServeHTTP(w, r)
}

// base is the URL of the pool's server as the client of r knows it.
func (p *Pool) base(r *http.Request) string {
	if p.opts.Issuer != "" {
		return p.opts.Issuer
	}
	if r.TLS != nil {
		return "https://" + r.Host
	}
	return "http://" + r.Host
}

func (p *Pool) now() time.Time { return p.opts.Now().UTC() }
