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

// Batch makes the payments of many orders at once.
type Batch struct {
	Service     *Service
	Concurrency int     // orders that the API is asked for at once, at most
	Rate        float64 // orders sent a second; 0 = no limit

	// Confirm is each order's Request.Confirm.
	Confirm func(context.Context) error

	// Done is called for each order as it completes, from one goroutine at a time.
	// Its error stops the batch.
	Done func(Line, order.Payment, error) error
	// Stops reports whether an order's error ends the whole batch: the ledger is
	// gone, the sign-in has ended.
	Stops func(error) bool
}

// grace is how long orders in flight may take after Ctrl-C.
const grace = 10 * time.Second

// Run makes every payment of the input. It returns the error that stopped it,
// ctx's if it was interrupted, nil if it went through, whatever became of
// the single orders. However it ends, orders that were begun are finished, or
// given up after ten seconds, and Done is called for each.
func (b *Batch) Run(ctx context.Context, in *Input) error {
	starting, stop := context.WithCancelCause(ctx) // ends: no new orders
	defer stop(nil)
	working, giveUp := graced(starting)
	defer giveUp()
	pace := rate.NewLimiter(rate.Inf, 1)
	if b.Rate > 0 {
		pace.SetLimit(rate.Limit(b.Rate))
	}

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
					if err != nil && b.Stops(err) {
						stop(err)
					}
					leave()
				}
				req := Request{OrderID: line.OrderID, Source: line.Source, Confirm: b.Confirm, answered: answered}
				if b.await(starting, pace, req) != nil {
					leave()
					continue // stopped: the order is left as it was
				}
				p, err := b.Service.Make(working, req)
				leave()
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

// Sends reports whether any order of the input would be sent. The ledger answers
// the others alone.
func (b *Batch) Sends(ctx context.Context, in *Input) (sends bool, _ error) {
	err := in.each(func(line Line) bool {
		sends = !b.Service.replays(ctx, Request{OrderID: line.OrderID, Source: line.Source})
		return !sends && ctx.Err() == nil
	})
	return sends, cmp.Or(err, ctx.Err())
}

// await waits until an order may be sent. One that the ledger answers alone
// costs the API nothing, so that going on after a batch was stopped is quick.
func (b *Batch) await(ctx context.Context, pace *rate.Limiter, req Request) error {
	if pace.Limit() == rate.Inf || b.Service.replays(ctx, req) {
		return ctx.Err()
	}
	return backoff.Sleep(ctx, pace.Reserve().Delay()) // Wait would give up before a deadline
}

// replays reports whether the order is paid, or open from the source that is asked
// for. Whether it really is replayed, the ledger decides when it is claimed.
func (s *Service) replays(ctx context.Context, req Request) bool {
	known, err := s.Ledger.Payments(ctx, s.Scope, req.OrderID)
	if err != nil {
		return false // the claim will fail too, and say so
	}
	_, yes := replayed(known, req.Source)
	return yes
}

// replayed picks the payment that is returned in place of another one; false if
// none is.
func replayed(known []order.Payment, source order.Source) (order.Payment, bool) {
	for _, p := range known {
		if p.State == order.Paid || p.State == order.Awaiting && p.Source == source && p.ReplacedBy == "" {
			return p, true
		}
	}
	return order.Payment{}, false
}

// graced is a context that outlives its parent by the grace that orders in
// flight are given.
func graced(parent context.Context) (context.Context, context.CancelFunc) {
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
