package ledger

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/villapay/villapay/internal/order"
)

// Recorded says what became of a report.
type Recorded struct {
	// Payment is the payment of the report's bank order as it now stands, the
	// newest if several have the same; the zero value if Unknown.
	Payment  order.Payment
	Unknown  bool            // no payment has this bank order yet: kept, and applied when one has
	Repeat   bool            // it was received before, and nothing was recorded again
	Changed  bool            // the payment's state is another than before
	Warnings []order.Warning // those the payment has now and had not before
}

// RecordReport keeps what was said about a charge and lets the payments follow,
// by the rules of [order.Resolve]. beside are what others said about it, kept with
// it. It returns when that is durable.
func (l *Ledger) RecordReport(ctx context.Context, scope string, r order.Report, beside ...order.Report) (Recorded, error) {
	var out Recorded
	kept := false // by an earlier run of this call, to its end: it may have been committed
	o := opening{why: recordTx, locks: reportKeys(scope, append(beside, r)...), reads: []statement{enough(scope, &r)}}
	err := l.store.write(ctx, o, func(t *txn) error {
		var before []Recorded // the bank's word decides, so it comes first: out is what stands then
		for _, other := range beside {
			_, said, err := l.recordReport(t, scope, other)
			if err != nil {
				return err
			}
			before = append(before, said)
		}
		fresh, done, err := l.recordReport(t, scope, r)
		if err != nil || !fresh && kept {
			return err
		}
		for _, said := range before {
			if said.Payment.ID == done.Payment.ID {
				done.Changed = done.Changed || said.Changed
				done.Warnings = append(said.Warnings, done.Warnings...)
			}
		}
		out, kept = done, fresh
		return nil
	})
	return out, l.wrap(err, "record charge %s", r.ChargeID)
}

// Asked is the answer to a question about a Villa order.
type Asked struct {
	OrderID   string
	Status    order.Status
	From      order.Origin
	RequestID string
	Warning   *order.Warning // about an answer that says nothing of a charge
	AfterBank bool           // it is the API's answer, and the bank answered before
}

// RecordAnswer keeps an answer's reports, and that the order's payments are known
// as of now. An answer that says nothing of a charge changes no state, nor who said
// that it is final; its warning replaces that of an earlier answer.
func (l *Ledger) RecordAnswer(ctx context.Context, scope string, a Asked) error {
	o := opening{why: recordTx, locks: reportKeys(scope, a.Status.Reports...)}
	return l.wrap(l.store.write(ctx, o, func(t *txn) error {
		said := false
		for _, r := range a.Status.Reports {
			if !r.AboutCharge() {
				if recorded, err := t.named(scope, []order.Report{{BankOrderID: r.BankOrderID}}); err != nil {
					return err
				} else if len(recorded) > 0 {
					continue // all it says is that the order was made
				}
			}
			r.From, r.RequestID = a.From, a.RequestID
			if _, _, err := l.recordReport(t, scope, r); err != nil {
				return err
			}
			said = true
		}
		return l.noteAnswer(t, scope, a, said)
	}), "record the status of order %s", a.OrderID)
}

// noteAnswer brings up to date when and from whom an order's payments are known.
// said reports whether the answer said anything of a charge.
func (l *Ledger) noteAnswer(t *txn, scope string, a Asked, said bool) error {
	t.lock(orderKey(scope, a.OrderID))
	payments, err := scanned(t.query(selected+`WHERE scope = ? AND orderid = ? AND order_json IS NOT NULL ORDER BY id DESC`, scope, a.OrderID))
	if err != nil {
		return err
	}
	for i, r := range payments {
		if !said && i == 0 { // about the newest, if about any
			r.Warnings = slices.DeleteFunc(r.Warnings, order.Warning.AboutStatus)
			if a.Warning != nil && !r.State.Final() {
				r.Warnings = append(r.Warnings, *a.Warning)
			}
			if err := l.noteStatus(t, r, a); err != nil {
				return err
			}
		}
		if said || !a.AfterBank && !r.State.Final() { // else somebody else said what the state is
			r.KnownAt, r.KnownFrom, r.RequestID = t.now, a.From, a.RequestID
		}
		if err := t.exec(`UPDATE villapay_payment SET known_at = ?, known_from = ?, request_id = ?, warnings = ? WHERE id = ?`,
			toMillis(r.KnownAt), string(r.KnownFrom), r.RequestID, encode(r.Warnings), r.ID); err != nil {
			return err
		}
	}
	return nil
}

// noteStatus appends an answer's words to a payment's history; equal ones in a
// row make one event. The bank's are inquiries.
func (l *Ledger) noteStatus(t *txn, r *row, a Asked) error {
	kind := "status"
	if a.From == order.FromBank {
		kind = "inquiry"
	}
	notes, err := texts(t.query(`SELECT note FROM villapay_event WHERE payment = ? AND kind = ? ORDER BY id DESC LIMIT 1`, r.ID, kind))
	if err != nil || len(notes) > 0 && notes[0] == a.Status.Word {
		return err
	}
	return l.note(t, r.ID, event{kind: kind, requestID: a.RequestID, note: a.Status.Word, data: a.Status.Raw})
}

// source says where new knowledge comes from; the zero value means from what was
// heard before.
type source struct {
	from      order.Origin
	requestID string
}

// outcome is what a resolution did to one payment.
type outcome struct {
	row      *row
	changed  bool
	warnings []order.Warning // new ones
}

func (l *Ledger) recordReport(t *txn, scope string, r order.Report) (fresh bool, out Recorded, _ error) {
	if r.PaidBy == "" {
		r.PaidBy = order.ByTransactionState
	}
	for _, text := range []*string{&r.OrderID, &r.BankOrderID, &r.Reference, &r.ChargeID, &r.Currency, &r.Status, &r.TransactionState} {
		*text = storable(*text)
	}
	fresh, err := t.keep(scope, &r)
	if err != nil {
		return false, out, err
	}
	out.Repeat = !fresh
	villas, about, err := t.affected(scope, &r)
	if err != nil {
		return false, out, err
	}
	out.Unknown = len(about) == 0
	if fresh {
		e := event{kind: "charge", requestID: r.RequestID, note: r.Summary(), data: r.Raw}
		if out.Unknown {
			err = l.note(t, 0, e)
		}
		for _, p := range about {
			if err == nil {
				err = l.note(t, p.ID, e)
			}
		}
		if err != nil {
			return false, out, err
		}
	}
	outcomes, err := l.resolveAll(t, scope, villas, source{r.From, r.RequestID})
	for _, o := range outcomes {
		if w := order.Unconfirmed(r.ChargeID); err == nil && r.Unconfirmed && o.row.ChargeID == r.ChargeID && !slices.Contains(o.row.Warnings, w) {
			o.warnings, o.row.Warnings = append(o.warnings, w), append(o.row.Warnings, w)
			outcomes[o.row.ID] = o
			if err = t.exec(`UPDATE villapay_payment SET warnings = ? WHERE id = ?`, encode(o.row.Warnings), o.row.ID); err == nil {
				err = l.note(t, o.row.ID, event{kind: "warning", note: w.Code + ": " + w.Message})
			}
		}
	}
	if err != nil || out.Unknown {
		return fresh, out, err
	}
	if o, ok := outcomes[foremost(about).ID]; ok {
		out.Payment, out.Changed, out.Warnings = o.row.At(t.now), o.changed, o.warnings
	}
	return fresh, out, nil
}

// foremost is the newest payment of the Villa order that got a bank order first, of
// those that a report about it is about.
func foremost(about []*row) (newest *row) {
	for _, p := range about {
		if p.OrderID == about[0].OrderID {
			newest = p
		}
	}
	return newest
}

// reportKeys are what recording reports has to lock, before any Villa order.
func reportKeys(scope string, reports ...order.Report) (keys []lockKey) {
	charges, names := set{}, set{}
	for _, r := range reports {
		charges.add(r.ChargeID, r.Border())
		names.add(r.BankOrderID, r.Reference)
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		keys = append(keys, bankOrderKey(scope, name))
	}
	for _, charge := range slices.Sorted(maps.Keys(charges)) {
		keys = append(keys, chargeKey(scope, charge))
	}
	return keys
}

// affected finds the Villa orders whose payments a report may change. about are
// the payments that the report itself is about, in the order recorded.
func (t *txn) affected(scope string, r *order.Report) (villas set, about []*row, _ error) {
	either := anyOf{scope: scope}
	either.in("charge_id", r.ChargeID)
	either.in("border", r.Border())
	related, err := t.related(either)
	if err != nil {
		return nil, nil, err
	}
	villas, all, err := t.villas(scope, append(related, *r))
	return villas, subjects(r, all), err
}

// subjects returns those of some payments that a report is about: of the bank order that
// it names, or, if it names none, of its Villa order.
func subjects(r *order.Report, payments []*row) (about []*row) {
	name := cmp.Or(r.BankOrderID, r.Reference)
	for _, p := range payments {
		switch {
		case p.BankOrderID == "":
		case name == "" && r.OrderID == p.OrderID, name == p.BankOrderID && r.BankOrderID != "", name == p.Reference && name != "":
			about = append(about, p)
		}
	}
	return about
}

// villas are the Villa orders that reports are about or name, and their payments
// with a bank order, in the order recorded.
func (t *txn) villas(scope string, reports []order.Report) (villas set, payments []*row, _ error) {
	all, err := t.named(scope, reports)
	villas = set{}
	for _, r := range reports {
		villas.add(r.OrderID)
	}
	for _, p := range all {
		if p.BankOrderID != "" { // else a Villa order that was only named
			villas.add(p.OrderID)
			payments = append(payments, p)
		}
	}
	return villas, payments, err
}

// reportsPerCharge bounds what notifications can add about one charge: a captured
// one can be sent again with other values in the fields that no checksum covers.
const reportsPerCharge = 100

// enough asks whether a notification is beyond the bound, and not the first with its
// state, amount, currency and status.
func enough(scope string, r *order.Report) statement {
	return statement{
		`SELECT count(*) >= ? AND count(CASE WHEN transaction_state = ? AND amount = ? AND currency = ? AND status = ? THEN 1 END) > 0
			FROM villapay_report WHERE scope = ? AND charge_id = ? AND charge_id <> '' AND origin = 'webhook'`,
		[]any{int64(reportsPerCharge), r.TransactionState, r.Amount.String(), r.Currency, r.Status, scope, r.ChargeID},
	}
}

// keep records a report, unless it was before or there are enough.
func (t *txn) keep(scope string, r *order.Report) (fresh bool, err error) {
	sum := fingerprint(r)
	if r.From == order.FromWebhook {
		enough, err := scalar[bool](t.ask(enough(scope, r)))
		if err != nil || enough {
			return false, err
		}
	}
	kept, err := scalar[int64](t.query(`INSERT INTO villapay_report (scope, fingerprint, orderid, bank_id, reference, charge_id, border, amount, currency, status, transaction_state,
			livemode, charged_at, doubt, origin, paid_by, request_id, received_at, raw)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING RETURNING id`,
		scope, sum, r.OrderID, r.BankOrderID, r.Reference, r.ChargeID, r.Border(), r.Amount.String(), r.Currency, r.Status, r.TransactionState,
		livemode(r), toMillis(r.Created), r.Doubt, string(r.From), r.PaidBy, r.RequestID, toMillis(t.now), string(r.Raw)))
	return kept > 0, err
}

// livemode is 1, 0, or -1 if it is not stated.
func livemode(r *order.Report) int64 {
	if r.Livemode == nil {
		return -1
	}
	return number(*r.Livemode)
}

// fingerprint distinguishes reports by every field that the rules read.
func fingerprint(r *order.Report) string {
	sum := sha256.Sum256([]byte(strings.Join([]string{
		r.OrderID, r.BankOrderID, r.Reference, r.ChargeID, r.Amount.String(), r.Currency, r.Status, r.TransactionState,
		strconv.FormatInt(livemode(r), 10), strconv.FormatInt(toMillis(r.Created), 10), r.Doubt, string(r.From), r.PaidBy,
	}, "\x00")))
	return hex.EncodeToString(sum[:])
}
