package ledger

import (
	"context"
	"slices"
	"sync"
	"time"
)

// Group commit. A durable commit waits for the disk, and the disk takes as long
// for one payment as for hundreds; so does a network. So callers that want to write
// queue up; one of them leads: it runs the work of all in one transaction, commits
// once, and only then lets them go on. A caller alone is its own leader and pays
// nothing for it. If a group fails, each of its jobs gets a transaction of its own,
// so that no caller fails for another.

// job is one caller's part of a transaction.
type job struct {
	opening
	ctx   context.Context //nolint:containedctx // the caller's, who waits for the job
	fn    func(*txn) error
	taken chan struct{} // closed when a leader has it
	done  chan struct{} // closed when the work is durable, or has failed
	err   error         // valid once done is closed
}

func newJob(ctx context.Context, o opening, fn func(*txn) error) *job {
	return &job{opening: o, ctx: ctx, fn: fn, taken: make(chan struct{}), done: make(chan struct{})}
}

func (j *job) finish(err error) {
	j.err = err
	close(j.done)
}

// queue holds the jobs that no leader has taken yet.
type queue struct {
	lead chan struct{} // who put a token in may lead

	mu      sync.Mutex
	waiting []*job
}

// do gets a job done by a leader: another caller, or lead, which takes it and
// whatever else it likes, and finishes what it took.
func (q *queue) do(j *job, lead func(own *job)) error {
	if err := j.ctx.Err(); err != nil {
		return err
	}
	q.mu.Lock()
	q.waiting = append(q.waiting, j)
	q.mu.Unlock()
	select {
	case <-j.taken:
	case <-j.ctx.Done():
		if q.remove(j) {
			return j.ctx.Err()
		}
	case q.lead <- struct{}{}:
		lead(j)
		<-q.lead
	}
	<-j.done
	return j.err
}

// remove takes a job back. It returns false if a leader already has it.
func (q *queue) remove(j *job) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	i := slices.Index(q.waiting, j)
	if i < 0 {
		return false
	}
	q.waiting = slices.Delete(q.waiting, i, i+1)
	return true
}

// take returns a leader's own job and the others that fit; none if another leader
// has taken its own.
func (q *queue) take(own *job, fits func(*job) bool) (taken []*job) {
	q.mu.Lock()
	defer q.mu.Unlock()
	i := slices.Index(q.waiting, own)
	if i < 0 {
		return nil
	}
	all := append([]*job{own}, slices.Delete(q.waiting, i, i+1)...)
	q.waiting = nil
	for _, j := range all {
		if fits(j) {
			close(j.taken)
			taken = append(taken, j)
		} else {
			q.waiting = append(q.waiting, j)
		}
	}
	return taken
}

func (s *sqliteStore) write(ctx context.Context, o opening, fn func(*txn) error) error {
	return s.do(newJob(ctx, o, fn), s.leadWrite)
}

// leadWrite begins a transaction and runs all waiting jobs in it. Only the wait
// for the database's lock ends with the leader's own ctx; if it gets none, the
// others try for themselves.
func (s *sqliteStore) leadWrite(own *job) {
	if err := s.begin(own.ctx); err != nil {
		s.remove(own)
		own.finish(err)
		return
	}
	jobs := s.take(own, func(*job) bool { return true })
	err := s.transact(jobs)
	if err != nil && len(jobs) > 1 {
		s.oneByOne(jobs)
		return
	}
	for _, j := range jobs {
		j.finish(err)
	}
}

// oneByOne gives every job a transaction of its own.
func (s *sqliteStore) oneByOne(jobs []*job) {
	var locked error // nobody waits for a lock as often as there are jobs
	for _, j := range jobs {
		if locked == nil {
			locked = s.begin(context.Background())
		}
		if locked != nil {
			j.finish(locked)
			continue
		}
		j.finish(s.transact([]*job{j}))
	}
}

func (s *sqliteStore) begin(ctx context.Context) error {
	if s.writer == nil {
		if err := s.openWriter(ctx); err != nil {
			return err
		}
	}
	begin, err := s.writer.prepared(ctx, "BEGIN IMMEDIATE")
	if err != nil {
		return err
	}
	err = retryBusy(ctx, func(ctx context.Context) error {
		_, err := begin.ExecContext(ctx)
		return err
	})
	if err != nil {
		// It may have begun all the same, if ctx ended just then. Nothing else
		// could begin after it.
		_ = s.writer.run(context.WithoutCancel(ctx), "ROLLBACK")
	}
	return err
}

// transact runs jobs in the transaction that has begun, and commits or rolls
// back. From here on no ctx interrupts: every wait is the disk's.
func (s *sqliteStore) transact(jobs []*job) (err error) {
	ctx, w := context.Background(), s.writer
	t := w.txn(ctx, s.now())
	for _, j := range jobs {
		if err = j.fn(t); err != nil {
			break
		}
	}
	if err == nil {
		err = s.checkPlace()
	}
	if err == nil {
		err = t.exec("COMMIT")
	}
	if err != nil {
		// It does nothing if SQLite has rolled back by itself.
		_ = w.run(ctx, "ROLLBACK")
	}
	return err
}

func (w *writer) txn(ctx context.Context, now time.Time) *txn {
	return &txn{
		now: fromMillis(toMillis(now)),
		exec: func(query string, args ...any) error {
			statement, err := w.prepared(ctx, query)
			if err == nil {
				_, err = statement.ExecContext(ctx, clean(args)...)
			}
			return err
		},
		query: func(query string, args ...any) (cursor, error) {
			statement, err := w.prepared(ctx, query)
			if err != nil {
				return nil, err
			}
			return asCursor(statement.QueryContext(ctx, clean(args)...))
		},
		lock: func(...lockKey) {},
	}
}
