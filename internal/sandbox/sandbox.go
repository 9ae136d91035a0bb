// Package sandbox is a stand-in for the Villa Payment API and for the bank's
// merchant API: one http.Handler that follows their contracts, remembers what it
// made, and can fail in every way that a real service fails.
//
// It promises that its answers follow from those contracts and not from the
// client's code: it shares no type with the clients, so a mistake in the wire
// format is not made twice. Its codes move no money. Its state is one SQLite
// file that many processes can use at once. A process killed at any moment loses
// nothing that was answered.
package sandbox

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/google/uuid"
)

// silenceLimit is the longest time that a silent server keeps a client waiting.
const silenceLimit = 2 * time.Minute

// Authorizer checks the Authorization header as API Gateway's authorizer does.
// A request passes with status 0; any other status is answered with the message.
type Authorizer interface {
	Check(authorization string) (status int, message string)
}

// Options configure a sandbox. Only Now is required.
type Options struct {
	Dir        string           // directory of the state; "" keeps it in memory
	Now        func() time.Time // clock of every timestamp and expiry
	Authorizer Authorizer       // nil: no token is needed
	SignIn     http.Handler     // serves the sign-in paths; nil: there are none
	Latency    time.Duration    // added to every answer
	Fail       Fail             // random faults
	IgnoreKeys bool             // no idempotency: every POST makes another order
	BankKey    string           // the x-api-key that the bank requires; "" requires none
}

// Sandbox is the stand-in. It opens its state on the first request.
type Sandbox struct {
	opts    Options
	store   *store
	bankAPI http.Handler // the bank's merchant API
	server  *http.Server // of Transport
}

// New makes a sandbox. It does not touch the disk.
func New(o Options) *Sandbox {
	s := &Sandbox{opts: o, store: &store{dir: o.Dir}}
	s.bankAPI = s.bankRoutes()
	s.server = &http.Server{Handler: s} //nolint:gosec // no network, so no slow clients
	return s
}

// Check returns the error of a state that cannot be opened, before any request.
func (s *Sandbox) Check() error {
	_, err := s.store.prepare()
	return err
}

// Close ends the requests of Transport and closes the state. A sandbox in
// memory forgets it.
func (s *Sandbox) Close() error { return errors.Join(s.server.Close(), s.store.close()) }

// ServeHTTP serves POST /qrpayment, GET /checkstatus/{orderid}, the bank's API
// below BankPath and, with a SignIn handler, the sign-in paths. Everything else
// gets API Gateway's response to an unknown route.
func (s *Sandbox) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Date", s.opts.Now().UTC().Format(http.TimeFormat))
	if s.opts.SignIn != nil && signInPath(r.URL.Path) {
		s.opts.SignIn.ServeHTTP(w, r)
		return
	}
	if strings.HasPrefix(r.URL.Path, BankPath+"/") {
		s.bankAPI.ServeHTTP(w, r)
		return
	}
	// API Gateway sets these two on every response.
	w.Header().Set("X-Amzn-RequestId", uuid.NewString())
	w.Header().Set("X-Amz-Apigw-Id", base64.StdEncoding.EncodeToString([]byte(rand.Text()[:11])))

	orderID, isCheck := strings.CutPrefix(r.URL.Path, "/checkstatus/")
	isCheck = isCheck && orderID != "" && !strings.Contains(orderID, "/") && r.Method == http.MethodGet
	isPayment := r.URL.Path == "/qrpayment" && r.Method == http.MethodPost
	if !isCheck && !isPayment {
		noRoute(r.Header.Get("Authorization")).write(w)
		return
	}
	if s.opts.Authorizer != nil {
		if status, message := s.opts.Authorizer.Check(r.Header.Get("Authorization")); status != 0 {
			gateway(status, message).write(w)
			return
		}
	}
	if isCheck {
		s.checkStatus(w, r, orderID)
		return
	}
	s.qrPayment(w, r)
}

// signInPath reports whether a path belongs to sign-in: the service's calls at
// /, the hosted pages, and the pool's published keys.
func signInPath(path string) bool {
	return path == "/" || path == "/login" || path == "/error" ||
		strings.HasPrefix(path, "/oauth2/") || strings.Contains(path, "/.well-known/")
}

// pause waits for d, silenceLimit at most, or until the client disconnects.
func pause(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	timer := time.NewTimer(min(d, silenceLimit))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// qrPayment serves POST /qrpayment.
func (s *Sandbox) qrPayment(w http.ResponseWriter, r *http.Request) {
	req, rejected := readRequest(w, r)
	if rejected != nil {
		rejected.write(w)
		return
	}
	out := outcomeOf(req.orderID, r.Header.Get("Authorization"))
	if fault := s.opts.Fail.draw(); fault != nil {
		out.times, out.reject, out.respond = 0, fault.reject, fault.respond
	}
	created, err := s.create(r.Context(), req, out)
	switch {
	case err != nil:
		internalError(err).write(w)
	case created.rejected != nil:
		created.rejected.write(w)
	case out.respond != nil && out.applies(created.posts):
		out.respond(w, r, created.order)
	default:
		response{status: http.StatusOK, body: created.order}.write(w)
	}
}

// send sends the response of a call, unless a random fault changes it.
func (s *Sandbox) send(w http.ResponseWriter, r *http.Request, res response, err error, fault *outcome) {
	pause(r.Context(), s.opts.Latency)
	switch {
	case err != nil:
		internalError(err).write(w)
	case fault != nil && fault.reject != nil:
		fault.reject.write(w)
	case fault != nil:
		fault.respond(w, r, res.body)
	default:
		res.write(w)
	}
}

// internalError is the response if the sandbox itself fails, say on a full disk.
func internalError(err error) response {
	return apiError(http.StatusInternalServerError, "sandbox_broken", err.Error())
}
