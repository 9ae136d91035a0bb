package sandbox

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// ErrNoOrder says that no payment order was made for an order ID.
var ErrNoOrder = errors.New("no payment order was made for it")

// Notification is what the bank sends of a charge. Checksum is left out: who
// knows the secret key fills it in. An amount keeps the order's digits.
type Notification struct {
	ID               string      `json:"id"`
	Object           string      `json:"object"` // always charge
	OrderID          string      `json:"order_id"`
	Amount           json.Number `json:"amount"`
	Currency         string      `json:"currency"`
	Status           string      `json:"status"`
	TransactionState string      `json:"transaction_state"`
	ReferenceOrder   string      `json:"reference_order"`
	Created          string      `json:"created"` // of the charge, yyyyMMddHHmmssSSS in Bangkok
	Livemode         bool        `json:"livemode"`
	Description      string      `json:"description"`
	Metadata         any         `json:"metadata"`
	FailureCode      *string     `json:"failure_code"`
	FailureMessage   *string     `json:"failure_message"`
	Source           ChargedFrom `json:"source"`
	Checksum         string      `json:"checksum,omitempty"`
}

// ChargedFrom is the means that a charge was paid with.
type ChargedFrom struct {
	ID     string `json:"id"`
	Object string `json:"object"` // qr or wechat
	Brand  string `json:"brand"`
}

// States lists the transaction states that the bank is known to send, its own
// misspelling left out.
func States() []string {
	return []string{
		"Initialize", "Pre-Authorized", "Authorized", "Settled", "Declined", "Reversed", "Voided", "VOID", "Refund Sent",
	}
}

// Pay does what a payer and the bank would do: it brings the newest bank order
// of a Villa order into a transaction state and returns the notification that
// the bank would send. A bank order's own id (order_test_…) picks that one.
// A known state is found whatever its case; any other is taken as it comes. It
// fails with ErrNoOrder where no order was made.
func (s *Sandbox) Pay(ctx context.Context, orderID, state string) (Notification, error) {
	for _, known := range States() {
		if strings.EqualFold(known, state) {
			state = known
		}
	}
	var paid *record
	err := s.store.tx(ctx, func(ctx context.Context, tx *sql.Tx) (err error) {
		if paid, err = findRecord(ctx, tx, orderID, toPay); err != nil {
			return err
		}
		return paid.charge(ctx, tx, state, s.opts.Now())
	})
	if err != nil {
		return Notification{}, fmt.Errorf("pay order %s: %w", orderID, err)
	}
	return paid.notification(), nil
}

// record is an order with what was charged on it.
type record struct {
	n        int64
	orderID  string
	order    *order
	chargeID string // "" where there is no charge
	charged  string // when, as the bank writes it
	state    string
}

// Which bank order is meant. Paying names a Villa order, of which the newest is
// meant, or a bank order by its id. A status endpoint knows Villa orders alone,
// and tells of the bank order that something came of, else of the newest.
const (
	findOrder = `SELECT n, orderid, answer, charge_id, charged, state FROM orders WHERE `
	toPay     = findOrder + `bank_id = ?1 OR orderid = ?1 ORDER BY bank_id = ?1 DESC, n DESC LIMIT 1`
	toTell    = findOrder + `orderid = ?1 ORDER BY state NOT IN ('', 'Declined') DESC, n DESC LIMIT 1`
)

func findRecord(ctx context.Context, tx *sql.Tx, id, query string) (*record, error) {
	var (
		r      record
		answer string
	)
	err := tx.QueryRowContext(ctx, query, id).Scan(&r.n, &r.orderID, &answer, &r.chargeID, &r.charged, &r.state)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, ErrNoOrder
	}
	if err == nil {
		r.order, err = parseOrder(answer)
	}
	return &r, err
}

// charge brings the order's charge into a state. After a declined one the payer
// tries again with another charge.
func (r *record) charge(ctx context.Context, tx *sql.Tx, state string, now time.Time) error {
	if r.chargeID == "" || r.state == "Declined" && state != "Declined" {
		r.chargeID = "chrg_" + r.order.mode() + "_" + merchant + randomHex()
		r.charged = timestamp(now)
	}
	r.state = state
	_, err := tx.ExecContext(ctx, `UPDATE orders SET charge_id = ?, charged = ?, state = ? WHERE n = ?`,
		r.chargeID, r.charged, r.state, r.n)
	return err
}

// mode is what ids of this order are marked with.
func (o *order) mode() string {
	if o.live() {
		return "prod"
	}
	return "test"
}

// live tells whether the order is for real money; a magic ID says so in text.
func (o *order) live() bool { return fmt.Sprint(o.Livemode) == "true" }

// chargeStatus is the status of a charge in a transaction state.
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
		ID:               r.chargeID,
		Object:           "charge",
		OrderID:          r.order.ID,
		Amount:           json.Number(fmt.Sprint(r.order.Amount)),
		Currency:         r.order.Currency,
		Status:           chargeStatus(r.state),
		TransactionState: r.state,
		ReferenceOrder:   r.order.ReferenceOrder,
		Created:          r.charged,
		Livemode:         r.order.live(),
		Description:      r.order.Description,
		Source:           ChargedFrom{ID: strings.Replace(r.chargeID, "chrg_", "src_", 1), Object: r.order.SourceType, Brand: "THAI_QR"},
	}
	if r.order.SourceType == "wechat" {
		n.Source.Brand = "WECHAT"
	}
	if r.state == "Declined" {
		n.FailureCode, n.FailureMessage = new("payment_declined"), new("The payer's bank declined the payment.")
	}
	return n
}

// checkStatus answers GET /checkstatus/{orderid}.
func (s *Sandbox) checkStatus(w http.ResponseWriter, r *http.Request, orderID string) {
	fault := s.faults.draw()
	answer, err := s.look(r.Context(), orderID)
	pause(r.Context(), s.opts.Latency)
	switch {
	case err != nil:
		broken(err).write(w)
	case fault != nil && fault.refuse != nil:
		fault.refuse.write(w)
	case fault != nil:
		fault.answer(w, r, answer.body)
	default:
		answer.write(w)
	}
}

// look finds what checkstatus says of an order.
func (s *Sandbox) look(ctx context.Context, orderID string) (answer reply, err error) {
	out := outcomeOf(orderID)
	err = s.store.tx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		var checks int
		err := tx.QueryRowContext(ctx, `UPDATE counts SET checks = checks + 1 WHERE orderid = ? RETURNING checks`, orderID).Scan(&checks)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		found, err := findRecord(ctx, tx, orderID, toTell)
		switch {
		// Of an order that was never made even that says that it was not; a
		// route that fails does so for every order.
		case out.check != nil && (err == nil || out.check.status != http.StatusOK):
			answer = *out.check
			return nil
		case errors.Is(err, ErrNoOrder):
			answer = reply{status: http.StatusNotFound, body: wrapped(http.StatusNotFound,
				`{"error":"Order not found.","code":"ORDER_NOT_FOUND","details":{}}`)}
			return nil
		case err != nil:
			return err
		}
		if out.paidAt != 0 && checks >= out.paidAt && found.chargeID == "" {
			err = found.charge(ctx, tx, "Authorized", s.opts.Now())
		}
		answer = reply{status: http.StatusOK, body: wrapped(http.StatusOK, found.statusBody())}
		return err
	})
	return answer, err
}

// statusBody is what checkstatus says of an order; id, the charge's, and
// transaction_state are null while nobody has paid.
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
		Currency: r.order.Currency, Status: chargeStatus(r.state), Livemode: r.order.Livemode,
	}
	if r.chargeID != "" {
		body.ID, body.TransactionState = &r.chargeID, &r.state
	} else if r.order.Status != "success" {
		body.Status = r.order.Status
	}
	return text(body)
}
