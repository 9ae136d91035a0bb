package sandbox

import (
	"context"
	"database/sql"
	"errors"
	"time"
)

// creation is the result of a payment request: an order or a rejection.
type creation struct {
	posts    int       // POSTs of this order ID so far, this one included
	rejected *response // set if no order was made
	order    string    // the order as JSON
}

func (c *creation) done() bool { return c.rejected != nil || c.order != "" }

// keyGrace is how much longer than planned a request may run before its key
// counts as left behind by a process that died.
const keyGrace = 2 * time.Second

// create counts a payment request and makes its order, or finds the order that
// was made for its key. A request that waits holds its key meanwhile, and makes
// its order even if the client disconnects.
func (s *Sandbox) create(ctx context.Context, req request, out outcome) (creation, error) {
	var c creation
	wait := s.opts.Latency
	err := s.store.tx(ctx, func(ctx context.Context, tx *sql.Tx) (err error) {
		if c.posts, err = countPost(ctx, tx, req.orderID); err != nil {
			return err
		}
		if out.reject != nil && out.applies(c.posts) {
			c.rejected = out.reject
			return nil
		}
		if err := s.findKey(ctx, tx, req, &c); err != nil || c.done() {
			return err
		}
		if wait = min(wait+out.wait, silenceLimit); wait > 0 {
			return s.saveKey(ctx, tx, req, nil, s.opts.Now().Add(wait+keyGrace))
		}
		return s.makeOrder(ctx, tx, req, out, &c)
	})
	if err != nil {
		return c, err
	}
	pause(ctx, wait)
	if c.done() {
		return c, nil
	}
	err = s.store.tx(context.WithoutCancel(ctx), func(ctx context.Context, tx *sql.Tx) error {
		// Another request may have taken the key over and made the order.
		if err := s.findKey(ctx, tx, req, &c); err != nil || c.order != "" {
			return err
		}
		c.rejected = nil // the running request is this one
		return s.makeOrder(ctx, tx, req, out, &c)
	})
	return c, err
}

func countPost(ctx context.Context, tx *sql.Tx, orderID string) (n int, err error) {
	err = tx.QueryRowContext(ctx, `INSERT INTO counts (orderid, posts) VALUES (?, 1)
		ON CONFLICT (orderid) DO UPDATE SET posts = posts + 1 RETURNING posts`, orderID).Scan(&n)
	return n, err
}

// findKey completes the creation if the request's key was used before.
func (s *Sandbox) findKey(ctx context.Context, tx *sql.Tx, req request, c *creation) error {
	if req.key == "" || s.opts.IgnoreKeys {
		return nil
	}
	var (
		bodyHash string
		until    int64
		order    sql.NullString
	)
	err := tx.QueryRowContext(ctx, `SELECT body_hash, running_until, json FROM keys
		LEFT JOIN orders ON n = order_n WHERE key = ?`, req.key).Scan(&bodyHash, &until, &order)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return nil
	case err != nil:
		return err
	case bodyHash != req.bodyHash:
		c.rejected = new(keyReused())
	case order.Valid:
		c.order = order.String
	case until > s.opts.Now().UnixMilli():
		c.rejected = new(stillRunning())
	}
	return nil
}

// saveKey binds the key to an order, or to nil while its request runs, until
// then at most.
func (s *Sandbox) saveKey(ctx context.Context, tx *sql.Tx, req request, orderN any, until time.Time) error {
	if req.key == "" || s.opts.IgnoreKeys {
		return nil
	}
	_, err := tx.ExecContext(ctx, `INSERT INTO keys (key, body_hash, order_n, running_until) VALUES (?, ?, ?, ?)
		ON CONFLICT (key) DO UPDATE SET order_n = excluded.order_n, running_until = excluded.running_until`,
		req.key, req.bodyHash, orderN, until.UnixMilli())
	return err
}

// makeOrder makes the request's order and binds its key to it.
func (s *Sandbox) makeOrder(ctx context.Context, tx *sql.Tx, req request, out outcome, c *creation) error {
	now := s.opts.Now()
	o := newOrder(req, now)
	if out.shape != nil {
		out.shape(o, amountOf(req.orderID))
	}
	c.order = toJSON(o)
	res, err := tx.ExecContext(ctx, `INSERT INTO orders (orderid, bank_id, json) VALUES (?, ?, ?)`, req.orderID, o.ID, c.order)
	if err != nil {
		return err
	}
	n, err := res.LastInsertId()
	if err != nil {
		return err
	}
	if out.charge != "" {
		made := record{n: n, orderID: req.orderID, order: o}
		if err := made.setState(ctx, tx, out.charge, now); err != nil {
			return err
		}
	}
	return s.saveKey(ctx, tx, req, n, now)
}
