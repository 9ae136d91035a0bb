// Package backoff has the pauses of everything that tries again: they end with
// their context, and are spread so that many processes do not fall into step.
package backoff

import (
	"context"
	"math/rand/v2"
	"time"
)

// Sleep waits for d or until ctx ends, whose error it then returns.
func Sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Jitter spreads a polling interval over 80 to 120 % of d.
func Jitter(d time.Duration) time.Duration {
	return d*4/5 + time.Duration(rand.Float64()*float64(d)*2/5) //nolint:gosec // not a secret
}
