package api

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/villapay/villapay/internal/backoff"
)

// The limits of asking again.
const (
	maxAttempts  = 5
	firstBackoff = 250 * time.Millisecond
	maxBackoff   = 8 * time.Second
)

// Wait is a pause before asking again.
type Wait struct {
	For     time.Duration
	Attempt int // the attempt that failed, from 1
	Err     *Error
}

// Attempts says how a series of attempts went.
type Attempts struct {
	Sent      int  // requests sent
	Ambiguous bool // at least one of them may have been carried out
}

// Retry calls ask until it succeeds or asking again cannot help: at most five
// times, with exponential backoff and full jitter, Retry-After honored, all
// within ctx. After a 401 it refreshes the sign-in once; if that fails for
// good, the error wraps the reason. Once an attempt was ambiguous, every failure
// ends as Unknown: only an answer resolves it. ask must send the same bytes with
// the same key each time.
func (c *Client) Retry(ctx context.Context, ask func(context.Context) error) (Attempts, error) {
	return c.asking(ctx, ask, true)
}

// Once is Retry for a request that must not be repeated: it is sent again only
// after a 401, which no backend has seen.
func (c *Client) Once(ctx context.Context, ask func(context.Context) error) error {
	_, err := c.asking(ctx, ask, false)
	return err
}

func (c *Client) asking(ctx context.Context, ask func(context.Context) error, again bool) (Attempts, error) {
	var made Attempts
	refreshed := false
	for {
		err := ask(ctx)
		var failure *Error
		if err != nil && !errors.As(err, &failure) {
			return made, made.settle(err) // from Tokens or the context: nothing was sent this time
		}
		made.Sent++
		if err == nil {
			return made, nil
		}
		made.Ambiguous = made.Ambiguous || failure.Kind == Unknown
		switch {
		case failure.Status == 401 && c.Tokens != nil && !refreshed && made.Sent < maxAttempts:
			refreshed = true
			if _, err := c.Tokens.Refresh(ctx, failure.token); isTransient(err) {
				return made, made.settle(err)
			} else if err != nil {
				denied := *failure
				denied.Message += "; " + err.Error()
				denied.Err = err
				return made, made.settle(&denied)
			}
		case failure.Status == 401 && refreshed:
			failure.Err = ErrFreshToken
			return made, made.settle(failure)
		case !again || !failure.Again || made.Sent >= maxAttempts || !c.pause(ctx, made.Sent, failure):
			return made, made.settle(failure)
		}
	}
}

// isTransient reports whether a failed refresh may work later: then the 401 is
// not the last word.
func isTransient(err error) bool {
	var later interface{ Transient() bool }
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) || errors.As(err, &later) && later.Transient()
}

// settle turns a last failure into Unknown where an earlier attempt may have
// been carried out.
func (a Attempts) settle(err error) error {
	if !a.Ambiguous {
		return err
	}
	settled := &Error{Kind: Unknown, Code: "outcome_unknown", Message: err.Error(), Err: err}
	if errors.Is(err, context.DeadlineExceeded) {
		settled.Message = "no time was left to ask again"
	}
	if failure, ok := errors.AsType[*Error](err); ok {
		*settled = *failure
		settled.Kind = Unknown
	}
	return settled
}

// pause waits before the next attempt. It returns false if the time left
// does not allow it.
func (c *Client) pause(ctx context.Context, attempt int, failure *Error) bool {
	wait := max(c.delay(attempt), failure.RetryAfter)
	if ctx.Err() != nil {
		return false
	}
	if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) <= wait {
		return false
	}
	if c.OnRetry != nil {
		c.OnRetry(Wait{For: wait, Attempt: attempt, Err: failure})
	}
	return backoff.Sleep(ctx, wait) == nil
}

// delay is exponential with full jitter: anything up to the bound.
func (c *Client) delay(attempt int) time.Duration {
	jitter := rand.Float64
	if c.jitter != nil {
		jitter = c.jitter
	}
	bound := min(firstBackoff<<(attempt-1), maxBackoff)
	return time.Duration(jitter() * float64(bound))
}
