package payment

import (
	"context"
	"errors"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/villapay/villapay/internal/api"
	"github.com/villapay/villapay/internal/ledger"
)

// Batch makes the payments of many orders at once.
type Batch struct {
	Service     *Service
	Concurrency int     // orders in flight at most
	Rate        float64 // orders started a second; 0 = no limit

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
// the single orders.
func (b *Batch) Run(ctx context.Context, in *Input) error {
	starting, stop := context.WithCancelCause(ctx) // ends: no new orders
	defer stop(nil)
	working, giveUp := graced(starting)
	defer giveUp()
	pace := newPace(b.Rate)
	b.Service.API.Waits = pace.heed

	lines := make(chan Line)
	var done sync.Mutex
	var workers sync.WaitGroup
	for range b.Concurrency {
		workers.Go(func() {
			for line := range lines {
				p, err := b.Service.Make(working, Request{OrderID: line.OrderID, Source: line.Source})
				pace.answered(err)
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
		if pace.wait(starting) != nil {
			return false
		}
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

// graced is a context that outlives its parent by the grace that orders in
// flight are given.
func graced(parent context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(parent))
	stop := context.AfterFunc(parent, func() {
		time.AfterFunc(grace, cancel)
	})
	return ctx, func() {
		stop()
		cancel()
	}
}

// pace starts orders evenly at a rate, slows down as a whole when the server
// says so (429, Retry-After), and recovers with every answer that goes well.
type pace struct {
	limiter *rate.Limiter
	top     rate.Limit

	mu    sync.Mutex
	until time.Time // nobody starts before
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
	unlimited  = rate.Limit(200) // what "no limit" falls to at the first 429
	recovering = 1.05            // by which each good answer raises the rate
)

// heed is told of every pause of the client.
func (p *pace) heed(w api.Wait) {
	if w.Err.Status != 429 && w.Err.RetryAfter == 0 {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	if p.until.After(now) {
		return // this slow-down is already being heeded
	}
	p.until = now.Add(w.For)
	p.limiter.SetLimit(max(slowest, min(p.limiter.Limit(), unlimited)/2))
}

// answered raises the rate again after a good answer.
func (p *pace) answered(err error) {
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

// wait blocks until another order may start.
func (p *pace) wait(ctx context.Context) error {
	for {
		p.mu.Lock()
		pause := time.Until(p.until)
		p.mu.Unlock()
		if pause <= 0 {
			break
		}
		if err := api.Sleep(ctx, pause); err != nil {
			return err
		}
	}
	err := p.limiter.Wait(ctx)
	if err != nil && ctx.Err() == nil {
		return errors.Join(err, context.DeadlineExceeded)
	}
	return err
}
