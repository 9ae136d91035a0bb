package sandbox

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// ErrNoOrder means that the order ID has no payment order.
var ErrNoOrder = errors.New("no payment order was made for it")

// ClosedError means that a bank order takes no payment any more.
type ClosedError struct {
	OrderID string
	Why     string // such as "was voided"
}

func (e *ClosedError) Error() string { return "order " + e.OrderID + " " + e.Why }

// Notification is what the bank sends about a charge, without the checksum. The
// amount has the order's digits.
type Notification struct {
	ID               string       `json:"id"`
	Object           string       `json:"object"` // always charge
	OrderID          string       `json:"order_id"`
	Amount           json.Number  `json:"amount"`
	Currency         string       `json:"currency"`
	Status           string       `json:"status"`
	TransactionState string       `json:"transaction_state"`
	ReferenceOrder   string       `json:"reference_order"`
	Created          string       `json:"created"` // of the charge, yyyyMMddHHmmssSSS in Bangkok
	Livemode         bool         `json:"livemode"`
	Description      string       `json:"description"`
	Metadata         any          `json:"metadata"`
	FailureCode      *string      `json:"failure_code"`
	FailureMessage   *string      `json:"failure_message"`
	Source           chargeSource `json:"source"`
}

// chargeSource is the means of payment of a charge.
type chargeSource struct {
	ID     string `json:"id"`
	Object string `json:"object"` // qr or wechat
	Brand  string `json:"brand"`
}

// States lists the transaction states that the bank is known to send, without
// its own misspelling.
func States() []string {
	return []string{
		"Initialize", "Pre-Authorized", "Authorized", "Settled", "Declined", "Reversed", "Voided", "VOID", "Refund Sent",
	}
}

// Pay acts as payer and bank: it brings the newest bank order of a Villa order
// into a transaction state and returns the notification that the bank would
// send. The id of a bank order (order_test_…) picks that one. Known states match
// in any case; others are used as they are. The error is ErrNoOrder if there is
// no order, and a *ClosedError if its payment was given back, or if it is canceled
// or expired. By its id a canceled or expired bank order is paid late.
func (s *Sandbox) Pay(ctx context.Context, orderID, state string) (Notification, error) {
	for _, known := range States() {
		if strings.EqualFold(known, state) {
			state = known
		}
	}
	var paid *record
	err := s.store.tx(ctx, func(ctx context.Context, tx *sql.Tx) (err error) {
		if paid, err = findRecord(ctx, tx, orderID, orderToPay); err != nil {
			return err
		}
		if outcomeOf(paid.orderID, "").payTwice && state == "Authorized" {
			paid.charge = charge{}
		}
		if reversal(state) == "" {
			if err := paid.payable(ctx, tx, orderID != paid.order.ID, s.opts.Now()); err != nil {
				return err
			}
		}
		return paid.setState(ctx, tx, state, s.opts.Now())
	})
	if err != nil {
		return Notification{}, fmt.Errorf("pay order %s: %w", orderID, err)
	}
	return paid.notification(), nil
}

// record is an order and one of its charges.
type record struct {
	n       int64
	orderID string
	order   *order
	charge  charge // the zero charge if there is none
}

type charge struct{ id, created, state string }

// Paying takes the newest bank order of a Villa order, or a bank order by its
// id. The bank finds a bank order by any of its ids. The status endpoint knows
// only Villa orders; it reports the newest bank order with a charge that was not
// declined, else the newest.
const (
	findOrder = `SELECT o.n, orderid, json, coalesce(id, ''), coalesce(created, ''), coalesce(state, '')
		FROM orders o LEFT JOIN charges c ON order_n = o.n WHERE `
	orderToPay  = findOrder + `bank_id = ?1 OR orderid = ?1 ORDER BY bank_id = ?1 DESC, o.n DESC, c.n DESC LIMIT 1`
	orderAtBank = findOrder + `bank_id = ?1 OR o.n IN (SELECT order_n FROM charges WHERE id = ?1
		UNION ALL SELECT order_n FROM codes WHERE id = ?1) ORDER BY id = ?1 DESC, c.n DESC LIMIT 1`
	orderToReport = findOrder + `orderid = ?1 ORDER BY coalesce(state, 'Declined') = 'Declined', o.n DESC, c.n DESC LIMIT 1`
)

func findRecord(ctx context.Context, tx *sql.Tx, id, query string) (*record, error) {
	var (
		r     record
		order string
	)
	err := tx.QueryRowContext(ctx, query, id).
		Scan(&r.n, &r.orderID, &order, &r.charge.id, &r.charge.created, &r.charge.state)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, ErrNoOrder
	}
	if err == nil {
		r.order, err = parseOrder(order)
	}
	return &r, err
}

// payable returns a ClosedError if the order takes no payment. A charge that is
// under way can always be completed; open asks for an open order otherwise.
func (r *record) payable(ctx context.Context, tx *sql.Tx, open bool, now time.Time) error {
	if word := reversal(r.charge.state); word != "" {
		return &ClosedError{OrderID: r.orderID, Why: "was " + word}
	}
	if !open || r.charge.id != "" && r.charge.state != "Declined" {
		return nil
	}
	var canceled bool
	err := tx.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM codes WHERE order_n = ?1 AND state = ?2)
		AND NOT EXISTS (SELECT 1 FROM codes WHERE order_n = ?1 AND state = ?3)`, r.n, codeCanceled, codeOpen).Scan(&canceled)
	switch {
	case err != nil:
		return err
	case canceled:
		return &ClosedError{OrderID: r.orderID, Why: "was canceled"}
	case r.order.expired(now):
		return &ClosedError{OrderID: r.orderID, Why: "has expired"}
	}
	return nil
}

// setState brings the order's charge into a state. After a declined charge the
// payer tries again with another one. A payment ends the order's open codes.
func (r *record) setState(ctx context.Context, tx *sql.Tx, state string, now time.Time) error {
	if r.charge.id == "" || r.charge.state == "Declined" && state != "Declined" {
		r.charge = charge{id: r.order.newID("chrg"), created: timestamp(now)}
	}
	r.charge.state = state
	_, err := tx.ExecContext(ctx, `INSERT INTO charges (id, order_n, created, state) VALUES (?, ?, ?, ?)
		ON CONFLICT (id) DO UPDATE SET state = excluded.state`, r.charge.id, r.n, r.charge.created, state)
	if err == nil && chargeStatus(state) == "success" {
		_, err = tx.ExecContext(ctx, `UPDATE codes SET state = ? WHERE order_n = ? AND state = ?`, codeUsed, r.n, codeOpen)
	}
	return err
}

// newID returns an id of the bank for something that belongs to the order.
func (o *order) newID(kind string) string {
	mode := "test"
	if o.live() {
		mode = "prod"
	}
	return kind + "_" + mode + "_" + merchant + randomHex()
}

// live reports whether the order is for real money; a magic ID sends it as text.
func (o *order) live() bool { return fmt.Sprint(o.Livemode) == "true" }

// expired reports whether the order has an expiry and it has passed.
func (o *order) expired(now time.Time) bool {
	const digits = "20060102150405" // and milliseconds
	created, err := time.ParseInLocation(digits, o.Created[:min(len(o.Created), len(digits))], bangkok)
	seconds, invalid := strconv.Atoi(fmt.Sprint(o.ExpireSeconds))
	return err == nil && invalid == nil && !now.Before(created.Add(time.Duration(seconds)*time.Second))
}

// reversal is the word for a state in which a payment was given back, "" for others.
func reversal(state string) string {
	switch state {
	case "Voided", "VOID":
		return "voided"
	case "Reversed":
		return "reversed"
	case "Refund Sent":
		return "refunded"
	}
	return ""
}

// chargeStatus is the status that goes with a transaction state.
func chargeStatus(state string) string {
	switch state {
	case "Declined":
		return "fail"
	case "", "Initialize", "Pre-Authorized":
		return "pending"
	}
	return "success"
}

func (r *record) notification() Notification {
	n := Notification{
		ID:               r.charge.id,
		Object:           "charge",
		OrderID:          r.order.ID,
		Amount:           json.Number(fmt.Sprint(r.order.Amount)),
		Currency:         r.order.Currency,
		Status:           chargeStatus(r.charge.state),
		TransactionState: r.charge.state,
		ReferenceOrder:   r.order.ReferenceOrder,
		Created:          r.charge.created,
		Livemode:         r.order.live(),
		Description:      r.order.Description,
		Source:           chargeSource{ID: strings.Replace(r.charge.id, "chrg_", "src_", 1), Object: r.order.SourceType, Brand: "THAI_QR"},
	}
	if r.order.SourceType == "wechat" {
		n.Source.Brand = "WECHAT"
	}
	if r.charge.state == "Declined" {
		n.FailureCode, n.FailureMessage = new("payment_declined"), new("The payer's bank declined the payment.")
	}
	return n
}

// checkStatus serves GET /checkstatus/{orderid}.
func (s *Sandbox) checkStatus(w http.ResponseWriter, r *http.Request, orderID string) {
	fault := s.opts.Fail.draw()
	status, err := s.status(r.Context(), orderID, outcomeOf(orderID, r.Header.Get("Authorization")))
	s.send(w, r, status, err, fault)
}

// status returns the response of checkstatus for an order.
func (s *Sandbox) status(ctx context.Context, orderID string, out outcome) (res response, err error) {
	err = s.store.tx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		var checks int
		err := tx.QueryRowContext(ctx, `UPDATE counts SET checks = checks + 1 WHERE orderid = ? RETURNING checks`, orderID).Scan(&checks)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		found, err := findRecord(ctx, tx, orderID, orderToReport)
		switch {
		// A route that fails does so for every order; any other magic status
		// needs an order.
		case out.check != nil && (err == nil || out.check.status != http.StatusOK):
			res = *out.check
			return nil
		case errors.Is(err, ErrNoOrder):
			res = response{status: http.StatusNotFound, body: wrapped(http.StatusNotFound,
				`{"error":"Order not found.","code":"ORDER_NOT_FOUND","details":{}}`)}
			return nil
		case err != nil:
			return err
		}
		if out.paidAt != 0 && checks >= out.paidAt && found.charge.id == "" {
			err = found.setState(ctx, tx, "Authorized", s.opts.Now())
		}
		res = response{status: http.StatusOK, body: wrapped(http.StatusOK, found.statusBody())}
		return err
	})
	return res, err
}

// statusBody is the body of checkstatus. Its id (the charge's) and
// transaction_state are null while there is no charge.
func (r *record) statusBody() string {
	body := struct {
		OrderID          string  `json:"orderid"`
		BankOrderID      string  `json:"order_id"`
		ID               *string `json:"id"`
		Object           string  `json:"object"`
		Amount           any     `json:"amount"`
		Currency         string  `json:"currency"`
		Status           string  `json:"status"`
		TransactionState *string `json:"transaction_state"`
		Livemode         any     `json:"livemode"`
	}{
		OrderID: r.orderID, BankOrderID: r.order.ID, Object: "charge", Amount: r.order.Amount,
		Currency: r.order.Currency, Status: chargeStatus(r.charge.state), Livemode: r.order.Livemode,
	}
	if r.charge.id != "" {
		body.ID, body.TransactionState = &r.charge.id, &r.charge.state
	} else if r.order.Status != "success" {
		body.Status = r.order.Status
	}
	return toJSON(body)
}
