package ledger

import (
	"database/sql"
	"encoding/json"
	"errors"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/villapay/villapay/internal/order"
)

// row is a payment as it is stored, with what only the ledger needs to know.
type row struct {
	order.Payment

	slot      bool   // it holds the place of its order and source
	claim     int64  // the number of its latest claim
	owner     string // the lock of the process that claimed it (claimlock.go)
	holder    string // who that is, for people
	lease     int64  // until when the claim is good, ms; 0 = given up
	ambiguous bool   // some attempt of it may have been carried out
}

// columns are a payment's, in the order in which scan reads them.
const columns = `id, scope, env, orderid, source, idem_key, state, attempts, order_json, bank_id, amount, currency,
	created_at, expires_at, recorded_at, known_at, known_from, request_id, bank_state, charge_id, paid_at, paid_at_from, paid_by,
	reference, held_until, code_id, code_kind, code_text, code_shown_until, code_held_until, code_canceled, canceled, replaced_by, warnings, error, slot, claim, owner, holder, lease, ambiguous`

const selected = `SELECT ` + columns + ` FROM villapay_payment `

// scan reads columns.
func (r *row) scan(rows cursor) error {
	var answer sql.NullString
	var amount, warnings, failure string
	var created, expires, recorded, known, paid, held, slot, ambiguous, codeShown, codeHeld, codeCanceled, canceled int64
	var code order.Held
	err := rows.Scan(
		&r.ID, &r.Scope, &r.Env, &r.OrderID, &r.Source, &r.Key, &r.State, &r.Attempts, &answer, &r.BankOrderID, &amount, &r.Currency,
		&created, &expires, &recorded, &known, &r.KnownFrom, &r.RequestID, &r.BankState, &r.ChargeID, &paid, &r.PaidAtFrom, &r.PaidBy,
		&r.Reference, &held, &code.ID, &code.Kind, &code.Text, &codeShown, &codeHeld, &codeCanceled, &canceled, &r.ReplacedBy, &warnings, &failure, &slot, &r.claim, &r.owner, &r.holder, &r.lease, &ambiguous)
	if err != nil {
		return err
	}
	r.CreatedAt, r.ExpiresAt, r.RecordedAt = fromMillis(created), fromMillis(expires), fromMillis(recorded)
	r.KnownAt, r.PaidAt, r.HeldUntil = fromMillis(known), fromMillis(paid), fromMillis(held)
	r.slot, r.ambiguous, r.Canceled = slot == 1, ambiguous == 1, canceled == 1
	if code.Kind != "" {
		code.ShownUntil, code.HeldUntil = fromMillis(codeShown), fromMillis(codeHeld)
		code.Canceled, code.Canceling = codeCanceled == codeIsCanceled, codeCanceled == codeIsCanceling
		r.Held = &code
	}
	if answer.Valid {
		r.Order = json.RawMessage(answer.String)
	}
	r.Amount, err = parseAmount(amount)
	return errors.Join(err, decode(warnings, &r.Warnings), decode(failure, &r.Error))
}

// asCursor is what database/sql says to a query.
func asCursor(rows *sql.Rows, err error) (cursor, error) {
	if err != nil {
		return nil, err
	}
	return rows, nil
}

// noRows is what a query of nothing returns.
type noRows struct{ cursor }

func (noRows) Next() bool   { return false }
func (noRows) Err() error   { return nil }
func (noRows) Close() error { return nil }

// collect reads all rows of a query with scan, and closes it.
func collect[T any](rows cursor, err error, scan func(*T) error) (all []T, _ error) {
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var value T
		if err := scan(&value); err != nil {
			return nil, err
		}
		all = append(all, value)
	}
	return all, rows.Err()
}

// scanned reads all payments of a query, and closes it.
func scanned(rows cursor, err error) ([]*row, error) {
	return collect(rows, err, func(r **row) error {
		*r = &row{}
		return (*r).scan(rows)
	})
}

// one reads the only row of a query; nil if there is none.
func one(rows cursor, err error) (*row, error) {
	all, err := scanned(rows, err)
	if err != nil || len(all) == 0 {
		return nil, err
	}
	return all[0], nil
}

// texts reads a query of one text column, and closes it.
func texts(rows cursor, err error) ([]string, error) {
	return collect(rows, err, func(text *string) error { return rows.Scan(text) })
}

// scalar reads a query of one value; the zero value if there is no row.
func scalar[T any](rows cursor, err error) (value T, _ error) {
	all, err := collect(rows, err, func(v *T) error { return rows.Scan(v) })
	if err != nil || len(all) == 0 {
		return value, err
	}
	return all[0], nil
}

// parseAmount reads a stored amount; "" is none.
func parseAmount(text string) (order.Amount, error) {
	if text == "" {
		return order.Amount{}, nil
	}
	return order.ParseAmount(text)
}

// encode writes warnings or a failure as JSON, none as "".
func encode[T []order.Warning | *order.Failure](value T) string {
	text, _ := json.Marshal(value) // plain structs always marshal
	if none := string(text); none == "null" || none == "[]" {
		return ""
	}
	return string(text)
}

func decode[T any](text string, into *T) error {
	if text == "" {
		return nil
	}
	return json.Unmarshal([]byte(text), into)
}

// number is how the ledger writes a boolean.
func number(yes bool) int64 {
	if yes {
		return 1
	}
	return 0
}

// clean replaces in arguments what PostgreSQL's text cannot hold, so that no text
// from a server keeps its answer from being recorded.
func clean(args []any) []any {
	for i, arg := range args {
		if text, ok := arg.(string); ok {
			args[i] = storable(text)
		}
	}
	return args
}

// storable is text without invalid UTF-8 and NUL.
func storable(text string) string {
	if utf8.ValidString(text) && !strings.Contains(text, "\x00") {
		return text
	}
	return strings.ReplaceAll(strings.ToValidUTF8(text, "\uFFFD"), "\x00", "\uFFFD")
}

// Event is one line of a payment's history. Events are appended, never
// rewritten.
type Event struct {
	At        time.Time       `json:"at"`
	Kind      string          `json:"kind"` // claimed, taken over, order, failed, rejected, unknown, late answer, charge, status, inquiry, warning, replaced, lapsed, code, late code, page, cancel, canceled, void
	Actor     string          `json:"actor"`
	RequestID string          `json:"request_id,omitempty"`
	Note      string          `json:"note,omitempty"`
	Data      json.RawMessage `json:"data,omitempty"` // what was received, if it is kept
}

// event is what an Event is made of.
type event struct {
	kind, requestID, note string
	data                  json.RawMessage
}

// note appends an event to a payment's history; payment 0 is none.
func (l *Ledger) note(t *txn, payment int64, e event) error {
	if payment == 0 {
		return l.append(t, e, "NULL")
	}
	return l.append(t, e, "?", payment)
}

// append appends an event to the history of the payment that SQL says.
func (l *Ledger) append(t *txn, e event, payment string, args ...any) error {
	return t.exec(`INSERT INTO villapay_event (payment, at, kind, actor, request_id, note, data) VALUES (`+payment+`, ?, ?, ?, ?, ?, ?)`,
		append(args, toMillis(t.now), e.kind, l.actor, e.requestID, e.note, string(e.data))...)
}

// byID is the payment with an id.
func byID(id int64) statement {
	return statement{selected + `WHERE id = ?`, []any{id}}
}

// byID reads a payment that must be there.
func (t *txn) byID(id int64) (*row, error) {
	r, err := one(t.ask(byID(id)))
	if err == nil && r == nil {
		err = errGone
	}
	return r, err
}
