package ledger

import (
	"context"
	"sync"
	"time"
)

// leaseFor is how long a claim is good without being renewed.
const leaseFor = 10 * time.Second

// RenewEvery is how often the holder of a claim should renew it: often enough
// that two lost renewals do not lose the claim.
const RenewEvery = 3 * time.Second

// Renew extends a claim's lease. It returns ErrClaimLost if another process
// has taken the claim over, or its answer is recorded.
func (l *Ledger) Renew(ctx context.Context, c Claim) error {
	return l.renew(ctx, `UPDATE villapay_payment SET lease = ? WHERE id = ? AND claim = ? AND state = 'sending' AND order_json IS NULL`, c.Payment.ID, c.Number)
}

// renew runs an update whose first argument is the new end of a lease.
func (l *Ledger) renew(ctx context.Context, update string, args ...any) error {
	kept := false
	err := l.store.write(ctx, opening{why: recordTx}, func(t *txn) error {
		changed, err := scalar[int64](t.query(update+` RETURNING id`, append([]any{toMillis(t.now.Add(leaseFor))}, args...)...))
		kept = changed > 0
		return err
	})
	if err == nil && !kept {
		return ErrClaimLost
	}
	return l.wrap(err, "renew a claim")
}

// alive reports whether somebody may still be sending under a payment's claim. A
// clock that was set back makes a lease look longer than any lease is; the
// sightings end it then.
func (l *Ledger) alive(r *row, now time.Time) bool {
	if r.lease == 0 || l.lock.died(r.owner) || l.sightings.silent(r) {
		return false
	}
	return now.UnixMilli() < r.lease
}

// sightings remember since when a claim has not been renewed, by this process's
// own monotonic clock. They end claims whose leases no clock can be trusted with.
type sightings struct {
	now func() time.Time

	mu   sync.Mutex
	seen map[int64]sighting // by payment
}

type sighting struct {
	claim, lease int64
	since        time.Time
}

// silent reports whether this process has seen the claim unrenewed for longer than
// a lease.
func (w *sightings) silent(r *row) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := w.now()
	last, ok := w.seen[r.ID]
	if !ok || last.claim != r.claim || last.lease != r.lease || now.Before(last.since) {
		w.seen[r.ID] = sighting{r.claim, r.lease, now}
		return false
	}
	return now.Sub(last.since) > leaseFor
}

func (w *sightings) forget(id int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.seen, id)
}
