// Package sandbox is a stand-in for the whole Villa Payment API: one
// http.Handler that answers as the vendor's document says, remembers what it
// made, and can be told to fail in every way a real service fails.
//
// It promises that whatever it answers follows from the vendor's contract and
// not from the client's code: it shares no type with internal/api, so that two
// hands that write the wire format catch each other's mistakes. Its state lives
// in one SQLite file that many processes may use at once; a process killed at
// any moment loses no order that was answered.
package sandbox

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"net/http"
	"strings"
	"time"
)

// patience is how long a silent server keeps a client waiting at most.
const patience = 2 * time.Minute

// Authorizer checks the Authorization header as API Gateway's authorizer does.
// A status of 0 lets the request pass; any other is answered with the message.
type Authorizer interface {
	Check(authorization string) (status int, message string)
}

// Options say how a sandbox behaves. Now is required; everything else may be
// left at its zero value.
type Options struct {
	Dir         string           // where the state lives; "" keeps it in memory
	Now         func() time.Time // the clock of every timestamp and expiry
	RequireAuth bool             // refuse requests without a token that passes
	Authorizer  Authorizer       // nil: any token passes
	SignIn      http.Handler     // answers the sign-in paths; nil: there are none
	Latency     time.Duration    // added to every answer of the API
	Fail        Fail             // the faults drawn at random
	Seed        uint64           // makes those faults repeatable; 0: they are not
	IgnoreKeys  bool             // no idempotency: every POST makes another order
}

// Sandbox is the stand-in. It opens its state at the first request.
type Sandbox struct {
	opts   Options
	faults *faults
	store  *store
	server *http.Server // of Transport
}

// New makes a sandbox; it touches no disk.
func New(o Options) *Sandbox {
	s := &Sandbox{opts: o, faults: newFaults(o.Fail, o.Seed), store: &store{dir: o.Dir}}
	s.server = &http.Server{Handler: s} //nolint:gosec // no network, so no slow clients
	return s
}

// Close ends the requests of Transport and closes the state. A sandbox in
// memory forgets it.
func (s *Sandbox) Close() error { return errors.Join(s.server.Close(), s.store.close()) }

// ServeHTTP answers POST /qrpayment, GET /checkstatus/{orderid} and, where
// there is a SignIn handler, the sign-in paths. Anything else gets API
// Gateway's answer for a route that does not exist.
func (s *Sandbox) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Date", s.opts.Now().UTC().Format(http.TimeFormat))
	if s.opts.SignIn != nil && signInPath(r.URL.Path) {
		s.opts.SignIn.ServeHTTP(w, r)
		return
	}
	// API Gateway marks each of its answers with these two; support asks for them.
	w.Header().Set("X-Amzn-RequestId", uuid())
	w.Header().Set("X-Amz-Apigw-Id", base64.StdEncoding.EncodeToString([]byte(rand.Text()[:11])))

	orderID, isCheck := strings.CutPrefix(r.URL.Path, "/checkstatus/")
	isCheck = isCheck && orderID != "" && !strings.Contains(orderID, "/") && r.Method == http.MethodGet
	isPayment := r.URL.Path == "/qrpayment" && r.Method == http.MethodPost
	if !isCheck && !isPayment {
		noRoute().write(w)
		return
	}
	if status, message := s.authorize(r); status != 0 {
		gateway(status, message).write(w)
		return
	}
	if isCheck {
		s.checkStatus(w, r, orderID)
		return
	}
	s.qrPayment(w, r)
}

// signInPath tells whether a path belongs to sign-in: the service's calls at /,
// the hosted pages, and the pool's published keys.
func signInPath(path string) bool {
	return path == "/" || path == "/login" || path == "/logout" ||
		strings.HasPrefix(path, "/oauth2/") || strings.Contains(path, "/.well-known/")
}

// authorize answers what API Gateway says about the token, 0 where it passes.
func (s *Sandbox) authorize(r *http.Request) (status int, message string) {
	token := r.Header.Get("Authorization")
	switch {
	case !s.opts.RequireAuth:
		return 0, ""
	case strings.TrimSpace(strings.TrimPrefix(token, "Bearer")) == "":
		return http.StatusUnauthorized, "Unauthorized"
	case s.opts.Authorizer != nil:
		return s.opts.Authorizer.Check(token)
	}
	return 0, ""
}

// pause waits for d, at most as long as a silent server would, or until the
// client has gone away.
func pause(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	timer := time.NewTimer(min(d, patience))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// qrPayment answers POST /qrpayment.
func (s *Sandbox) qrPayment(w http.ResponseWriter, r *http.Request) {
	req, refused := readRequest(w, r)
	if refused != nil {
		refused.write(w)
		return
	}
	out := outcomeOf(req.orderID)
	if fault := s.faults.draw(); fault != nil {
		out.times, out.refuse, out.answer = 0, fault.refuse, fault.answer
	}
	done, err := s.book(r.Context(), req, out)
	switch {
	case err != nil:
		broken(err).write(w)
	case done.refused != nil && out.echo:
		echoed(r.Header.Get("Authorization")).write(w)
	case done.refused != nil:
		done.refused.write(w)
	case out.answer != nil && out.applies(done.posts):
		out.answer(w, r, done.answer)
	default:
		reply{status: http.StatusOK, body: done.answer}.write(w)
	}
}

// broken is the answer where the sandbox itself cannot work, say on a full disk.
func broken(err error) reply {
	return refusal(http.StatusInternalServerError, "sandbox_broken", err.Error())
}
