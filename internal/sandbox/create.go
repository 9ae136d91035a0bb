package sandbox

import (
	"context"
	"database/sql"
	"errors"
	"time"
)

// booking is what became of a payment request.
type booking struct {
	posts   int    // how many POSTs of its order ID there were, this one included
	refused *reply // the answer where nothing was made
	answer  string // the order as JSON
}

func (b *booking) settled() bool { return b.refused != nil || b.answer != "" }

// lateness is how much longer than planned a request may run before its key is
// taken to belong to a process that died.
const lateness = 2 * time.Second

// book counts a payment request and makes its order, or finds the one that was
// made for its key. A request that has to wait holds its key meanwhile, and
// makes its order even if the client goes away.
func (s *Sandbox) book(ctx context.Context, req request, out outcome) (booking, error) {
	var b booking
	wait := s.opts.Latency
	err := s.store.tx(ctx, func(ctx context.Context, tx *sql.Tx) (err error) {
		if b.posts, err = countPost(ctx, tx, req.orderID); err != nil {
			return err
		}
		if out.refuse != nil && out.applies(b.posts) {
			b.refused = out.refuse
			return nil
		}
		if err := s.findKey(ctx, tx, req, &b); err != nil || b.settled() {
			return err
		}
		if wait = min(wait+out.wait, patience); wait > 0 {
			return s.saveKey(ctx, tx, req, nil, s.opts.Now().Add(wait+lateness))
		}
		return s.makeOrder(ctx, tx, req, out, &b)
	})
	if err != nil {
		return b, err
	}
	pause(ctx, wait)
	if b.settled() {
		return b, nil
	}
	err = s.store.tx(context.WithoutCancel(ctx), func(ctx context.Context, tx *sql.Tx) error {
		// Another request may have taken the key over and made the order.
		if err := s.findKey(ctx, tx, req, &b); err != nil || b.answer != "" {
			return err
		}
		b.refused = nil // the running request is this one
		return s.makeOrder(ctx, tx, req, out, &b)
	})
	return b, err
}

func countPost(ctx context.Context, tx *sql.Tx, orderID string) (n int, err error) {
	err = tx.QueryRowContext(ctx, `INSERT INTO counts (orderid, posts) VALUES (?, 1)
		ON CONFLICT (orderid) DO UPDATE SET posts = posts + 1 RETURNING posts`, orderID).Scan(&n)
	return n, err
}

// findKey settles the booking if the request's key was used before.
func (s *Sandbox) findKey(ctx context.Context, tx *sql.Tx, req request, b *booking) error {
	if req.key == "" || s.opts.IgnoreKeys {
		return nil
	}
	var (
		body   string
		until  int64
		answer sql.NullString
	)
	err := tx.QueryRowContext(ctx, `SELECT print, running_until, answer FROM keys
		LEFT JOIN orders ON n = order_n WHERE key = ?`, req.key).Scan(&body, &until, &answer)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return nil
	case err != nil:
		return err
	case body != req.print:
		b.refused = new(keyReused())
	case answer.Valid:
		b.answer = answer.String
	case until > s.opts.Now().UnixMilli():
		b.refused = new(stillRunning())
	}
	return nil
}

// saveKey binds the key to an order, or to nil for a request that runs until
// then at most.
func (s *Sandbox) saveKey(ctx context.Context, tx *sql.Tx, req request, orderN any, until time.Time) error {
	if req.key == "" || s.opts.IgnoreKeys {
		return nil
	}
	_, err := tx.ExecContext(ctx, `INSERT INTO keys (key, print, order_n, running_until) VALUES (?, ?, ?, ?)
		ON CONFLICT (key) DO UPDATE SET order_n = excluded.order_n, running_until = excluded.running_until`,
		req.key, req.print, orderN, until.UnixMilli())
	return err
}

// makeOrder makes the request's order and binds its key to it.
func (s *Sandbox) makeOrder(ctx context.Context, tx *sql.Tx, req request, out outcome, b *booking) error {
	now := s.opts.Now()
	o := newOrder(req, now)
	if out.shape != nil {
		out.shape(o, amountOf(req.orderID))
	}
	b.answer = text(o)
	res, err := tx.ExecContext(ctx, `INSERT INTO orders (orderid, bank_id, answer) VALUES (?, ?, ?)`, req.orderID, o.ID, b.answer)
	if err != nil {
		return err
	}
	n, err := res.LastInsertId()
	if err != nil {
		return err
	}
	if out.charge != "" {
		made := record{n: n, orderID: req.orderID, order: o}
		if err := made.charge(ctx, tx, out.charge, now); err != nil {
			return err
		}
	}
	return s.saveKey(ctx, tx, req, n, now)
}
