package payment

import (
	"cmp"
	"context"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/villapay/villapay/internal/backoff"
	"github.com/villapay/villapay/internal/order"
)

// Batch makes the payments of many orders concurrently.
type Batch struct {
	Service     *Service
	Concurrency int     // maximum number of concurrent API requests
	Rate        float64 // orders sent a second; 0 = no limit

	// Confirm is each order's Request.Confirm.
	Confirm func(context.Context) error

	// Done is called as each order completes, from one goroutine at a time. An error
	// stops the batch.
	Done func(Line, order.Payment, error) error
	// Stops reports whether an order's error stops the batch, such as a ledger that
	// cannot be written or a session that has ended.
	Stops func(error) bool
}

// grace is how long orders in flight may take after Ctrl-C.
const grace = 10 * time.Second

// Run makes every payment of the input. It returns the error that stopped it, ctx's
// if it was interrupted, or nil, even if single orders failed. When it stops, orders
// in flight get ten seconds to finish, and Done is called for each.
func (b *Batch) Run(ctx context.Context, in *Input) error {
	starting, stop := context.WithCancelCause(ctx) // once done, no order is started
	defer stop(nil)
	working, giveUp := withGrace(starting)
	defer giveUp()
	limiter := rate.NewLimiter(rate.Inf, 1)
	if b.Rate > 0 {
		limiter.SetLimit(rate.Limit(b.Rate))
	}

	lines := make(chan Line)
	// An order holds a slot until the API answers. As many again may be recording
	// their answers, so that the disk does not slow down the requests.
	slots := make(chan struct{}, b.Concurrency)
	var done sync.Mutex
	var workers sync.WaitGroup
	for range 2 * b.Concurrency {
		workers.Go(func() {
			for {
				slots <- struct{}{}
				releaseSlot := sync.OnceFunc(func() { <-slots })
				line, ok := <-lines
				if !ok {
					releaseSlot()
					return
				}
				answered := func(err error) {
					if err != nil && b.Stops(err) {
						stop(err)
					}
					releaseSlot()
				}
				req := Request{OrderID: line.OrderID, Source: line.Source, Confirm: b.Confirm, answered: answered}
				if err := b.waitTurn(starting, limiter, req); err != nil {
					stop(err) // of the ledger; nothing if it has stopped already
					releaseSlot()
					continue // stopped before the order was started
				}
				p, err := b.Service.Make(working, req)
				releaseSlot()
				done.Lock()
				if failed := b.Done(line, p, err); failed != nil {
					stop(failed)
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

// Sends reports whether any order of the input needs a request. The others are
// answered from the ledger.
func (b *Batch) Sends(ctx context.Context, in *Input) (sends bool, _ error) {
	var failed error
	err := in.each(func(line Line) bool {
		var replays bool
		replays, failed = b.Service.replays(ctx, Request{OrderID: line.OrderID, Source: line.Source})
		sends = !replays
		return replays && failed == nil && ctx.Err() == nil
	})
	return sends, cmp.Or(err, failed, ctx.Err())
}

// waitTurn applies the rate limit. Orders that are answered from the ledger skip it,
// so that continuing a stopped batch is fast.
func (b *Batch) waitTurn(ctx context.Context, limiter *rate.Limiter, req Request) error {
	if limiter.Limit() == rate.Inf {
		return ctx.Err()
	}
	if replays, err := b.Service.replays(ctx, req); replays || err != nil {
		return cmp.Or(err, ctx.Err())
	}
	return backoff.Sleep(ctx, limiter.Reserve().Delay()) // Wait would give up before a deadline
}

// replays reports whether the order is answered from the ledger. It is only an
// estimate: the ledger decides when the order is claimed.
func (s *Service) replays(ctx context.Context, req Request) (bool, error) {
	known, err := s.Ledger.Payments(ctx, s.Scope, req.OrderID)
	_, yes := replayed(known, req.Source, s.Now())
	return yes, err
}

// replayed picks the payment that is returned in place of another one; false if
// none is.
func replayed(known []order.Payment, source order.Source, now time.Time) (order.Payment, bool) {
	if p, _ := order.Answering(known); p.State == order.Paid {
		return p, true
	}
	for _, p := range known {
		if p.Source == source && p.HoldsPlace(now) {
			return p, true
		}
	}
	return order.Payment{}, false
}

// withGrace returns a context that outlives its parent by grace.
func withGrace(parent context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(parent))
	stop := context.AfterFunc(parent, func() {
		_ = backoff.Sleep(ctx, grace)
		cancel()
	})
	return ctx, func() {
		stop()
		cancel()
	}
}
