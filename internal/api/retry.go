package api

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/villapay/villapay/internal/backoff"
)

const (
	maxAttempts  = 5
	firstBackoff = 250 * time.Millisecond
	maxBackoff   = 8 * time.Second
)

// Wait is a pause before a retry.
type Wait struct {
	For     time.Duration
	Attempt int // the attempt that failed, from 1
	Err     *Error
}

// Attempts summarizes the attempts of a call.
type Attempts struct {
	Sent      int  // requests sent
	Ambiguous bool // at least one of them may have succeeded
}

// Retry calls ask until it succeeds or a retry cannot help: at most five times, with
// exponential backoff, full jitter and Retry-After. After a 401 it refreshes the
// token once; if that fails permanently, the error wraps the reason. After an
// ambiguous attempt every failure is Unknown. ask must send the same bytes with the
// same key each time.
func (c *Client) Retry(ctx context.Context, ask func(context.Context) error) (Attempts, error) {
	return c.retry(ctx, ask, true)
}

// Once is Retry for a request that must not be repeated. It is sent again only after
// a 401, which never reaches the backend.
func (c *Client) Once(ctx context.Context, ask func(context.Context) error) error {
	_, err := c.retry(ctx, ask, false)
	return err
}

func (c *Client) retry(ctx context.Context, ask func(context.Context) error, again bool) (Attempts, error) {
	var made Attempts
	refreshed := false
	for {
		err := ask(ctx)
		var failure *Error
		if err != nil && !errors.As(err, &failure) {
			return made, made.settle(err) // from Tokens or the context: this attempt was not sent
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

// isTransient reports whether a failed refresh may succeed later.
func isTransient(err error) bool {
	var later interface{ Transient() bool }
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) || errors.As(err, &later) && later.Transient()
}

// settle turns the last failure into Unknown if an earlier attempt may have
// succeeded.
func (a Attempts) settle(err error) error {
	if !a.Ambiguous {
		return err
	}
	settled := &Error{Kind: Unknown, Code: "outcome_unknown", Message: err.Error(), Err: err}
	if errors.Is(err, context.DeadlineExceeded) {
		settled.Message = "no time was left for a retry"
	}
	if failure, ok := errors.AsType[*Error](err); ok {
		*settled = *failure
		settled.Kind = Unknown
	}
	return settled
}

// pause waits before the next attempt. It returns false if ctx does not leave enough
// time.
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

// delay returns an exponential backoff with full jitter.
func (c *Client) delay(attempt int) time.Duration {
	jitter := rand.Float64
	if c.jitter != nil {
		jitter = c.jitter
	}
	bound := min(firstBackoff<<(attempt-1), maxBackoff)
	return time.Duration(jitter() * float64(bound))
}
