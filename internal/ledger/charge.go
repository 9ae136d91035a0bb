package ledger

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/villapay/villapay/internal/api"
)

// Applied says what became of a charge.
type Applied struct {
	// Payment is the payment of the charge's bank order as it now stands, the
	// newest where several have the same; the zero value where Unknown.
	Payment  Payment
	Unknown  bool      // no payment has this bank order yet: kept, and applied when one has
	Repeat   bool      // it was received before, and nothing was recorded again
	Changed  bool      // the payment's state is another than before
	Warnings []Warning // those the payment has now and had not before
}

// ApplyCharge records what is said of a charge and lets the payment follow. All
// that was ever said of the order's charges decides, whatever order it arrived
// in: any charge that is paid makes the payment paid. It returns when that is
// durable. ErrRebound means that the charge's id was first seen with another
// bank order, and nothing was recorded.
//
// A charge proves paid only with an authorised or settled transaction_state (or
// PaidBy ByStatusPaid), status success, and the recorded order's amount,
// currency and livemode; else it is kept and the payment gets a warning.
//
// What is Guessed binds no charge to an order. Where the charge is known by its
// id, it is about that charge's order; else, where the Villa order has several
// bank orders, it counts for the guessed one until a charge of another one is
// known by name to be paid.
func (l *Ledger) ApplyCharge(ctx context.Context, scope string, c Charge) (Applied, error) {
	if c.PaidBy == "" {
		c.PaidBy = ByTransactionState
	}
	var out Applied
	var rebound error
	recorded := false // by an earlier run of this call, to its end: it may have been committed
	said := c
	err := l.store.write(ctx, toKeep, func(t *txn) (err error) {
		c, rebound = said, nil
		if err := t.lock(chargeKey(scope, c.ID), bankOrderKey(scope, c.BankID)); err != nil {
			return err
		}
		if c.Guessed {
			rebound, err = t.place(scope, &c)
		} else {
			rebound, err = t.bound(scope, &c)
		}
		if rebound != nil || err != nil {
			return err
		}
		fresh, err := t.keep(scope, &c)
		if err != nil || !fresh && recorded {
			return err // it was committed: out stands
		}
		done := Applied{Repeat: !fresh}
		if err := l.applyCharge(t, scope, &c, &done); err != nil {
			return err
		}
		out, recorded = done, fresh
		return nil
	})
	if err != nil {
		return Applied{}, l.wrap(err, "record charge %s", c.ID)
	}
	return out, rebound
}

// CheckBound fails with ErrRebound where the charge's id was first seen with
// another bank order than its own, or with any where it has none. It records
// nothing.
func (l *Ledger) CheckBound(ctx context.Context, scope string, c Charge) error {
	rows, err := l.read(ctx, `SELECT bank_id FROM villapay_charge WHERE scope = ? AND charge_id = ? AND charge_id <> '' AND bank_id <> ? LIMIT 1`, scope, c.ID, c.BankID)
	if err != nil || rows == nil {
		return l.wrap(err, "read charge %s", c.ID)
	}
	others, err := texts(rows)
	if err == nil && len(others) > 0 {
		return fmt.Errorf("charge %s is on order %s: %w", c.ID, others[0], ErrRebound)
	}
	return l.wrap(err, "read charge %s", c.ID)
}

// bound tells whether a charge's id is known with another bank order, or its
// checksum with another charge.
func (t *txn) bound(scope string, c *Charge) (rebound, err error) {
	if c.ID == "" || c.BankID == "" {
		return nil, nil
	}
	other, err := scalar[bool](t.query(`SELECT EXISTS (SELECT 1 FROM villapay_charge WHERE scope = ? AND charge_id = ? AND bank_id <> ? AND bank_id <> '')`, scope, c.ID, c.BankID))
	if err == nil && other {
		return fmt.Errorf("charge %s, now with order %s: %w", c.ID, c.BankID, ErrRebound), nil
	}
	if err != nil || c.Checksum == "" {
		return nil, err
	}
	// The checksum joins id and amount without a separator: ("X", 1300) and
	// ("X1", 300) have the same. So a checksum, too, belongs to one charge.
	other, err = scalar[bool](t.query(`SELECT EXISTS (SELECT 1 FROM villapay_charge WHERE scope = ? AND checksum = ? AND checksum <> '' AND charge_id <> ?)`, scope, strings.ToLower(c.Checksum), c.ID))
	if err == nil && other {
		rebound = fmt.Errorf("charge %s, with the checksum of another: %w", c.ID, ErrRebound)
	}
	return rebound, err
}

// place finds what a report is about that names no bank order. It loses an id
// that is not known: that may be something else than a charge's, and would keep
// the charge from the order that it is really on. Where there is one bank order
// only, it is no guess.
func (t *txn) place(scope string, c *Charge) (rebound, err error) {
	rows, err := t.query(`SELECT DISTINCT bank_id FROM villapay_payment WHERE scope = ? AND bank_id <> ''
		AND orderid IN (SELECT orderid FROM villapay_payment WHERE scope = ? AND bank_id = ?)`, scope, scope, c.BankID)
	if err != nil {
		return nil, err
	}
	candidates, err := texts(rows)
	if err != nil {
		return nil, err
	}
	rows, err = t.query(`SELECT bank_id FROM villapay_charge WHERE scope = ? AND charge_id = ? AND charge_id <> '' LIMIT 1`, scope, c.ID)
	if err != nil {
		return nil, err
	}
	bound, err := texts(rows)
	switch {
	case err != nil:
		return nil, err
	case len(bound) == 0:
		c.ID, c.Guessed = "", len(candidates) > 1
		return nil, nil
	case !slices.Contains(candidates, bound[0]):
		return fmt.Errorf("charge %s is on order %s: %w", c.ID, bound[0], ErrRebound), nil
	}
	c.BankID, c.Guessed = bound[0], false
	return nil, nil
}

// keep records a report, unless it was before.
func (t *txn) keep(scope string, c *Charge) (fresh bool, err error) {
	said := 0
	if c.Guessed {
		// Heard again after more was said by name of the order's other bank orders,
		// a guess is about something else than before (weighAll).
		said, err = scalar[int](t.query(`SELECT count(*) FROM villapay_charge WHERE scope = ? AND guessed = 0 AND bank_id <> ? AND bank_id IN (
			SELECT bank_id FROM villapay_payment WHERE scope = ? AND orderid IN (SELECT orderid FROM villapay_payment WHERE scope = ? AND bank_id = ?))`,
			scope, c.BankID, scope, scope, c.BankID))
		if err != nil {
			return false, err
		}
	}
	changed, err := t.exec(`INSERT INTO villapay_charge (scope, fingerprint, charge_id, bank_id, amount, currency, status, transaction_state,
			livemode, checksum, origin, paid_by, request_id, received_at, raw, guessed)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`,
		scope, fingerprint(c, said), c.ID, c.BankID, c.Amount.String(), c.Currency, c.Status, c.TransactionState,
		c.livemode(), strings.ToLower(c.Checksum), string(c.From), c.PaidBy, c.RequestID, toMillis(t.now), string(c.Raw), number(c.Guessed))
	return changed > 0, err
}

// livemode is 1, 0, or -1 where it is not said.
func (c *Charge) livemode() int64 {
	if c.Livemode == nil {
		return -1
	}
	return number(*c.Livemode)
}

// fingerprint tells reports apart by all that a notification's repeats have in
// common. livemode is part of it, since the checksum does not cover it: else
// whoever delivers a captured notification first, with livemode turned round,
// would make the bank's own a repeat that never counts.
// Guesses are told apart by what was known when they were heard, too.
func fingerprint(c *Charge, said int) string {
	parts := []string{c.ID, c.BankID, c.Amount.String(), c.Currency, c.Status, c.TransactionState, c.PaidBy, strconv.FormatInt(c.livemode(), 10)}
	if c.Guessed {
		parts = append(parts, "guessed", strconv.Itoa(said))
	}
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return hex.EncodeToString(sum[:])
}

// applyCharge writes the event of a report, and assesses the payments of its
// bank order.
func (l *Ledger) applyCharge(t *txn, scope string, c *Charge, out *Applied) error {
	payments, err := t.withBankOrder(scope, c.BankID)
	if err != nil {
		return err
	}
	out.Unknown = len(payments) == 0
	e := event{kind: "charge", requestID: c.RequestID, note: c.summary(), data: c.Raw}
	switch {
	case out.Repeat:
	case out.Unknown:
		return l.note(t, 0, e)
	default:
		for _, r := range payments {
			if err := l.note(t, r.ID, e); err != nil {
				return err
			}
		}
	}
	found := learned{origin: c.From, requestID: c.RequestID, asked: c.From == FromAPI, bankID: c.BankID}
	outcomes, err := l.assessAll(t, payments, found)
	if err != nil || out.Unknown {
		return err
	}
	newest := outcomes[payments[0].ID]
	out.Payment, out.Changed, out.Warnings = newest.row.at(t.now), newest.changed, newest.warnings
	return nil
}

// withBankOrder reads the payments that have a bank order, newest first: as a
// rule one.
func (t *txn) withBankOrder(scope, bankID string) ([]*row, error) {
	return scanned(t.query(`SELECT `+columns+` FROM villapay_payment WHERE scope = ? AND bank_id = ? AND bank_id <> '' ORDER BY id DESC`, scope, bankID))
}

// summary is a report in one line.
func (c *Charge) summary() string {
	name, said := c.ID, c.TransactionState
	if name == "" {
		name = "a charge"
	}
	if said == "" {
		said = "no transaction_state"
	}
	on := "on " + c.BankID
	if c.Guessed {
		on = "on this or another order"
	}
	return strings.TrimSpace(fmt.Sprintf("%s %s: %s, %s, %s %s", name, on, said, orNone(c.Status), c.Amount, c.Currency))
}

// noteEarlier puts the charges that came before the order into its payment's
// history.
func (l *Ledger) noteEarlier(t *txn, r *row) error {
	reports, err := t.reports(r.Scope, `= ?`, r.BankID)
	if err != nil {
		return err
	}
	for _, c := range reports {
		note := c.summary() + ", received " + c.at.Format("2006-01-02 15:04:05.000") + " before the order was recorded"
		if err := l.note(t, r.ID, event{kind: "charge", requestID: c.RequestID, note: note, data: c.Raw}); err != nil {
			return err
		}
	}
	return nil
}

// reports reads what was said of the charges of bank orders, oldest first.
func (t *txn) reports(scope, bankOrders string, args ...any) (all []*report, _ error) {
	rows, err := t.query(`SELECT charge_id, bank_id, amount, currency, status, transaction_state, livemode, origin, paid_by, request_id, received_at, raw, guessed
		FROM villapay_charge WHERE scope = ? AND bank_id `+bankOrders+` ORDER BY id`, append([]any{scope}, args...)...)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		r := &report{}
		if err := r.scan(rows); err != nil {
			return nil, err
		}
		all = append(all, r)
	}
	return all, rows.Err()
}

func (r *report) scan(rows *sql.Rows) (err error) {
	var amount string
	var livemode, received, guessed int64
	if err := rows.Scan(&r.ID, &r.BankID, &amount, &r.Currency, &r.Status, &r.TransactionState, &livemode, &r.From, &r.PaidBy, &r.RequestID, &received, (*[]byte)(&r.Raw), &guessed); err != nil {
		return err
	}
	if livemode >= 0 {
		live := livemode == 1
		r.Livemode = &live
	}
	if amount != "" {
		r.Amount, err = api.ParseAmount(amount)
	}
	r.at, r.Guessed = fromMillis(received), guessed == 1
	return err
}
