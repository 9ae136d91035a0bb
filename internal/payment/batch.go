package payment

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/villapay/villapay/internal/api"
	"github.com/villapay/villapay/internal/ledger"
)

// Batch makes the payments of many orders at once.
type Batch struct {
	Service     *Service
	Concurrency int     // orders that the API is asked for at once, at most
	Rate        float64 // orders sent a second; 0 = no limit

	// Done is told of each order as it completes, from one goroutine at a time.
	// Its error stops the batch.
	Done func(Line, ledger.Payment, error) error
	// Stops tells whether an error of an order ends the whole batch: the ledger
	// is gone, the sign-in has ended.
	Stops func(error) bool
}

// grace is how long orders in flight may take after Ctrl-C.
const grace = 10 * time.Second

// Run makes every payment of the input. It returns the error that stopped it,
// ctx's where it was interrupted, nil where it went through, whatever became of
// the single orders. However it ends, orders that were begun are finished, or
// given up after ten seconds, and Done is told of each.
func (b *Batch) Run(ctx context.Context, in *Input) error {
	starting, stop := context.WithCancelCause(ctx) // ends: no new orders
	defer stop(nil)
	working, giveUp := graced(starting)
	defer giveUp()
	pace := newPace(b.Rate)
	b.Service.API.Waits, b.Service.turn = pace.heed, pace.wait

	lines := make(chan Line)
	// An order in flight holds a place until it is answered. As many again may
	// be recording their answers, which makes the API wait for no disk.
	places := make(chan struct{}, b.Concurrency)
	var done sync.Mutex
	var workers sync.WaitGroup
	for range 2 * b.Concurrency {
		workers.Go(func() {
			for {
				places <- struct{}{}
				leave := sync.OnceFunc(func() { <-places })
				line, ok := <-lines
				if !ok {
					leave()
					return
				}
				answered := func(err error) {
					pace.answered(err)
					if err != nil && b.Stops(err) {
						stop(err)
					}
					leave()
				}
				req := Request{OrderID: line.OrderID, Source: line.Source, answered: answered}
				if b.await(starting, pace, req) != nil {
					leave()
					continue // stopped: the order is left as it was
				}
				p, err := b.Service.Make(working, req)
				leave()
				done.Lock()
				if told := b.Done(line, p, err); told != nil {
					stop(told)
				} else if err != nil && b.Stops(err) {
					stop(err)
				}
				done.Unlock()
			}
		})
	}
	err := in.each(func(line Line) bool {
		select {
		case lines <- line:
			return true
		case <-starting.Done():
			return false
		}
	})
	close(lines)
	workers.Wait()
	if cause := context.Cause(starting); cause != nil {
		return cause
	}
	return err
}

// await waits until an order may be sent. One that the ledger answers alone
// costs the API nothing, so that going on after a batch was stopped is quick.
func (b *Batch) await(ctx context.Context, pace *pace, req Request) error {
	if pace.free() || b.Service.replays(ctx, req) {
		return ctx.Err()
	}
	return pace.wait(ctx)
}

// replays tells whether the order is paid, or open from the source that is
// asked for. Whether it really is replayed, the ledger decides when it is
// claimed.
func (s *Service) replays(ctx context.Context, req Request) bool {
	known, err := s.Ledger.Payments(ctx, s.Scope, req.OrderID)
	if err != nil {
		return false // the claim will meet it too, and tell
	}
	for _, p := range known {
		if p.State == ledger.Paid || p.State == ledger.Awaiting && p.Source == req.Source && p.ReplacedBy == "" {
			return true
		}
	}
	return false
}

// graced is a context that outlives its parent by the grace that orders in
// flight are given.
func graced(parent context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(parent))
	stop := context.AfterFunc(parent, func() {
		_ = api.Sleep(ctx, grace)
		cancel()
	})
	return ctx, func() {
		stop()
		cancel()
	}
}

// pace lets orders, and their repeats, go evenly at a rate, slows down as a whole when the server
// says so (429, Retry-After), and recovers with every answer that goes well.
type pace struct {
	limiter *rate.Limiter
	top     rate.Limit

	mu     sync.Mutex
	until  time.Time // nobody starts before
	slowed time.Time // when the rate was lowered last
}

func newPace(perSecond float64) *pace {
	top := rate.Limit(perSecond)
	if perSecond <= 0 {
		top = rate.Inf
	}
	return &pace{limiter: rate.NewLimiter(top, 1), top: top}
}

// The bounds of slowing down.
const (
	slowest    = rate.Limit(0.5) // orders a second
	unlimited  = rate.Limit(200) // what "no limit" falls to at first
	recovering = 1.05            // by which each good answer raises the rate
	slowEvery  = time.Second     // orders in flight are all refused at once: that counts once
	longest    = time.Minute     // pause: then it looks whether the server has changed its mind
)

// heed is told of every pause of the client.
func (p *pace) heed(w api.Wait) {
	if throttled(w.Err) {
		p.slow(w.For)
	}
}

// throttled tells whether a failure is the server's way to ask for fewer calls.
func throttled(failure *api.Error) bool {
	return failure.Status == http.StatusTooManyRequests || failure.RetryAfter > 0
}

// slow halves the rate, after a pause in which nothing is sent.
func (p *pace) slow(pause time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	if until := now.Add(min(max(pause, slowEvery), longest)); until.After(p.until) {
		p.until = until
	}
	if now.Sub(p.slowed) >= slowEvery {
		p.slowed = now
		p.limiter.SetLimit(max(slowest, min(p.limiter.Limit(), unlimited)/2))
	}
}

// answered is told how an order ended. A good answer raises the rate again; an
// order that was given up because of throttling lowers it.
func (p *pace) answered(err error) {
	var failure *api.Error
	if errors.As(err, &failure) && throttled(failure) {
		p.slow(failure.RetryAfter)
	}
	if err != nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	switch limit := p.limiter.Limit(); {
	case limit == p.top:
	case limit*recovering >= min(p.top, unlimited):
		p.limiter.SetLimit(p.top)
	default:
		p.limiter.SetLimit(limit * recovering)
	}
}

// free tells whether there is nothing to wait for.
func (p *pace) free() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.limiter.Limit() == rate.Inf && !p.until.After(time.Now())
}

// wait blocks until another order may be sent, or ctx ends, whose error it then
// returns.
func (p *pace) wait(ctx context.Context) error {
	for {
		if err := api.Sleep(ctx, p.limiter.Reserve().Delay()); err != nil {
			return err
		}
		p.mu.Lock()
		pause := time.Until(p.until)
		p.mu.Unlock()
		if pause <= 0 {
			return nil
		}
		if err := api.Sleep(ctx, pause); err != nil {
			return err
		}
	}
}
