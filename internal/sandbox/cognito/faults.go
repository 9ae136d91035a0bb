package cognito

import (
	"cmp"
	"net/http"
	"time"
)

// A Fault is an answer given instead of the right one. The zero Fault is a
// 503 of the type ServiceUnavailableException.
type Fault struct {
	Status        int
	Type, Message string
}

type faults struct {
	delay time.Duration
	left  int
	fault Fault
}

// SetDelay holds back every answer from now on by d.
func (p *Pool) SetDelay(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.faults.delay = d
}

// FailNext answers the next n requests with f.
func (p *Pool) FailNext(n int, f Fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.faults.left, p.faults.fault = n, f
}

// injectFault applies the delay and the fault, and reports whether the request is
// still to be answered.
func (p *Pool) injectFault(w http.ResponseWriter, r *http.Request) bool {
	p.mu.Lock()
	f := p.faults
	if f.left > 0 {
		p.faults.left--
	}
	p.mu.Unlock()

	if f.delay > 0 {
		timer := time.NewTimer(f.delay)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-r.Context().Done():
			return false
		}
	}
	w.Header().Set("Date", p.now().Format(http.TimeFormat))
	if f.left == 0 {
		return true
	}
	writeError(w, cmp.Or(apiError{f.fault.Status, f.fault.Type, f.fault.Message},
		apiError{http.StatusServiceUnavailable, "ServiceUnavailableException", "Service Unavailable"}))
	return false
}
