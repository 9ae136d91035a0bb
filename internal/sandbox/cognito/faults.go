package cognito

import (
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
	skew  time.Duration
	left  int
	fault Fault
	echo  bool
}

// SetDelay holds back every answer from now on by d.
func (p *Pool) SetDelay(d time.Duration) { p.setFaults(func(f *faults) { f.delay = d }) }

// SetClockSkew shifts the Date header, and nothing else, by d.
func (p *Pool) SetClockSkew(d time.Duration) { p.setFaults(func(f *faults) { f.skew = d }) }

// FailNext answers the next n requests with f.
func (p *Pool) FailNext(n int, f Fault) {
	p.setFaults(func(all *faults) { all.left, all.fault = n, f })
}

// EchoToken makes Check return the 403 in which API Gateway repeats the
// Authorization header, token included.
func (p *Pool) EchoToken(on bool) { p.setFaults(func(f *faults) { f.echo = on }) }

func (p *Pool) setFaults(change func(*faults)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change(&p.faults)
}

// injectFault applies the delay, the clock skew and the faults, and reports whether
// the request is still to be answered.
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
	w.Header().Set("Date", p.now().Add(f.skew).Format(http.TimeFormat))
	if f.left == 0 {
		return true
	}
	fail := apiError{f.fault.Status, f.fault.Type, f.fault.Message}
	if fail == (apiError{}) {
		fail = apiError{http.StatusServiceUnavailable, "ServiceUnavailableException", "Service Unavailable"}
	}
	writeError(w, fail)
	return false
}
