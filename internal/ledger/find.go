package ledger

import (
	"cmp"
	"context"
	"iter"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/villapay/villapay/internal/order"
)

// By says which of a payment's times a filter means, and lists are sorted by.
type By string

// The times of a payment.
const (
	ByRecorded By = "recorded" // when the intent was committed
	ByCreated  By = "created"  // when the API made the order; payments without one are left out
	ByPaid     By = "paid"     // when it was paid; others are left out
)

// Filter chooses payments; zero fields choose all.
type Filter struct {
	Scope  string
	States []order.State // as shown: Awaiting leaves expired ones out
	Source order.Source
	By     By        // "" is ByRecorded
	Since  time.Time // at or after
	Until  time.Time // before
	// Unpaid chooses one payment, the newest, of every Villa order that nobody has
	// paid. A payment that was given back was paid.
	Unpaid bool
	// Text chooses payments by any part of an order ID, a bank order's id, a
	// charge's id, a reference_order or a key, in any case, or by an exact amount.
	Text  string
	Limit int
}

// List streams the payments that a filter chooses, newest first. The sequence
// ends after its first error, an *Error.
func (l *Ledger) List(ctx context.Context, f Filter) iter.Seq2[order.Payment, error] {
	return func(yield func(order.Payment, error) bool) {
		if _, err := l.reading(ctx); err != nil { // else the clock is not known
			yield(order.Payment{}, l.wrap(err, "list payments"))
			return
		}
		all := l.chosen(ctx, f)
		if f.Text != "" {
			all = l.withCharges(ctx, f, all)
		}
		for p, err := range all {
			if !yield(p, l.wrap(err, "list payments")) {
				return
			}
		}
	}
}

// chosen are the payments that match by what they hold themselves.
func (l *Ledger) chosen(ctx context.Context, f Filter) iter.Seq2[order.Payment, error] {
	c, d := f.condition(l.store.clock()), l.store.dialect()
	from, sorted := "", ""
	states := f.ofStates(l.store.clock())
	few, err := l.few(ctx, states)
	switch {
	case err != nil:
		return func(yield func(order.Payment, error) bool) { yield(order.Payment{}, err) }
	case f.Text != "":
		from, sorted = d.by("villapay_payment_find"), d.sorted
		c.match(d, f.Text)
	case few:
		from, sorted = d.byID, d.sorted
		c.and("id IN ("+states.query+")", states.args...)
	case f.By == ByPaid:
		from = d.by("villapay_payment_paid")
	case len(f.States) == 1 && !f.States[0].Open() && f.time() == "recorded_at":
		from = d.by("villapay_payment_state")
		c.and("state <> 'awaiting'")
	}
	return l.payments(ctx, from+c.where()+f.order(sorted), c.args...)
}

// ofStates selects the numbers of all payments in the filter's states; "" if it has
// none. Each part repeats the condition of its index.
func (f *Filter) ofStates(now time.Time) (s statement) {
	var parts []string
	for _, state := range f.States {
		switch state {
		case order.Expired:
			parts, s.args = append(parts, "state = 'awaiting' AND expires_at > 0 AND expires_at <= ?"), append(s.args, toMillis(now))
		case order.Awaiting:
			parts, s.args = append(parts, "state = 'awaiting' AND expires_at > ?", "state = 'awaiting' AND expires_at = 0"), append(s.args, toMillis(now))
		default:
			parts, s.args = append(parts, "state = ? AND state <> 'awaiting'"), append(s.args, string(state))
		}
	}
	const from = "SELECT id FROM villapay_payment WHERE "
	if len(parts) > 0 {
		s.query = from + strings.Join(parts, " UNION ALL "+from)
	}
	return s
}

// few reports whether a statement selects so few payments that sorting them all is
// quicker than looking for them among the newest.
func (l *Ledger) few(ctx context.Context, s statement) (bool, error) {
	if s.query == "" {
		return false, nil
	}
	const many = 3000
	n, err := scalar[int](l.read(ctx, `SELECT count(*) FROM (SELECT 1 FROM (`+s.query+`) AS chosen LIMIT ?) AS few`, append(s.args, int64(many))...))
	return n < many, err
}

// chargesFound bounds how many charges a search looks at that decide about no
// payment, such as a declined one.
const chargesFound = 1000

// withCharges adds the payments that match by other charges than the one that
// decides. Both searches take their time, so they run at once.
func (l *Ledger) withCharges(ctx context.Context, f Filter, all iter.Seq2[order.Payment, error]) iter.Seq2[order.Payment, error] {
	return func(yield func(order.Payment, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		var more []order.Payment
		var group errgroup.Group
		group.Go(func() (err error) {
			more, err = l.byCharge(ctx, f)
			return err
		})
		next, stop := iter.Pull2(all)
		defer stop()
		p, err, ok := next()
		if err == nil {
			err = group.Wait()
		}
		for count := 0; err == nil && (ok || len(more) > 0) && (f.Limit == 0 || count < f.Limit); count++ {
			if len(more) > 0 && (!ok || f.before(&more[0], &p)) {
				if !yield(more[0], nil) {
					return
				}
				more = more[1:]
				continue
			}
			if len(more) > 0 && more[0].ID == p.ID {
				more = more[1:]
			}
			if !yield(p, nil) {
				return
			}
			p, err, ok = next()
		}
		if err != nil {
			yield(order.Payment{}, err)
		}
	}
}

// byCharge are the payments of Villa orders and bank orders on which a charge
// matches, in the order of the list.
func (l *Ledger) byCharge(ctx context.Context, f Filter) ([]order.Payment, error) {
	t, err := l.reading(ctx)
	if err != nil {
		return nil, err
	}
	numbers, err := l.chargeNumbers(t, f)
	if err != nil || len(numbers) == 0 {
		return nil, err
	}
	f.Limit = 0
	c := f.condition(l.store.clock())
	c.and("id IN (?"+strings.Repeat(", ?", len(numbers)-1)+")", numbers...)
	return l.all(t, statement{selected + c.where() + f.order(""), c.args})
}

// chargeNumbers are the numbers of those payments, whatever else the filter says.
func (l *Ledger) chargeNumbers(t *txn, f Filter) (numbers []any, _ error) {
	query, args := `SELECT scope, charge_id FROM villapay_report WHERE charge_id <> '' AND `+l.store.dialect().contains("charge_id"), []any{pattern(f.Text)}
	if f.Scope != "" {
		query, args = query+` AND scope = ?`, append(args, f.Scope)
	}
	type charge struct{ scope, id string }
	rows, err := t.query(query+` LIMIT ?`, append(args, int64(chargesFound))...)
	found, err := collect(rows, err, func(c *charge) error { return rows.Scan(&c.scope, &c.id) })
	if err != nil {
		return nil, err
	}
	charges := map[string]*anyOf{} // by scope
	for _, c := range found {
		if charges[c.scope] == nil {
			charges[c.scope] = &anyOf{scope: c.scope}
		}
		charges[c.scope].in("charge_id", c.id)
	}
	for scope, either := range charges {
		reports, err := t.reports(*either)
		if err != nil {
			return nil, err
		}
		named, err := t.named(scope, reports)
		if err != nil {
			return nil, err
		}
		for _, r := range named {
			numbers = append(numbers, r.ID)
		}
	}
	return numbers, nil
}

// condition is a condition in SQL.
type condition struct {
	terms []string
	args  []any
}

func (c *condition) and(term string, args ...any) {
	c.terms, c.args = append(c.terms, term), append(c.args, args...)
}

func (c *condition) where() string {
	if len(c.terms) == 0 {
		return ""
	}
	return " WHERE " + strings.Join(c.terms, " AND ")
}

// match adds that a payment's ids contain a text, or that it is the amount.
func (c *condition) match(d dialect, text string) {
	term, args := d.contains(ids), []any{pattern(text)}
	if amount, err := order.ParseGrouped(text); err == nil {
		spellings := amount.Spellings()
		term = "(" + term + " OR amount IN (?" + strings.Repeat(", ?", len(spellings)-1) + "))"
		for _, spelling := range spellings {
			args = append(args, spelling)
		}
	}
	c.and(term, args...)
}

// pattern is a LIKE pattern for what contains a text.
func pattern(text string) string {
	return "%" + strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`).Replace(strings.ToLower(text)) + "%"
}

// wasPaid is true of the payments of which somebody has paid the order, whatever
// became of the money. The bank took a reversed one back.
const wasPaid = `(q.state IN ('paid', 'refunded') OR q.state = 'cancelled' AND (q.canceled = 0 OR q.paid_at <> 0)
	OR q.warnings LIKE '%"code":"paid_elsewhere"%' OR q.warnings LIKE '%"code":"partial_refund"%')`

// condition is the filter but for its text, limit and order.
func (f *Filter) condition(now time.Time) *condition {
	c := &condition{}
	if f.Scope != "" {
		c.and("scope = ?", f.Scope)
	}
	if f.Source != "" {
		c.and("source = ?", string(f.Source))
	}
	if f.time() != "recorded_at" {
		c.and(f.time() + " <> 0")
	}
	if !f.Since.IsZero() {
		c.and(f.time()+" >= ?", toMillis(f.Since))
	}
	if !f.Until.IsZero() {
		c.and(f.time()+" < ?", toMillis(f.Until))
	}
	if len(f.States) > 0 {
		var states []string
		var args []any
		for _, state := range f.States {
			switch state {
			case order.Expired:
				states, args = append(states, "state = 'awaiting' AND expires_at <> 0 AND expires_at <= ?"), append(args, toMillis(now))
			case order.Awaiting:
				states, args = append(states, "state = 'awaiting' AND (expires_at = 0 OR expires_at > ?)"), append(args, toMillis(now))
			default:
				states, args = append(states, "state = ?"), append(args, string(state))
			}
		}
		c.and("("+strings.Join(states, " OR ")+")", args...)
	}
	if f.Unpaid {
		c.and(`NOT EXISTS (SELECT 1 FROM villapay_payment q WHERE q.scope = villapay_payment.scope AND q.orderid = villapay_payment.orderid
			AND (q.id > villapay_payment.id OR ` + wasPaid + `))`)
	}
	return c
}

// time is the column that the filter's times are about.
func (f *Filter) time() string {
	switch f.By {
	case ByCreated:
		return "created_at"
	case ByPaid:
		return "paid_at"
	case ByRecorded:
	}
	return "recorded_at"
}

func (f *Filter) order(summand string) string {
	text := " ORDER BY " + f.time() + summand + " DESC, id DESC"
	if f.Limit > 0 {
		text += " LIMIT " + strconv.Itoa(f.Limit)
	}
	return text
}

// before reports whether a payment stands before another one in the list.
func (f *Filter) before(a, b *order.Payment) bool {
	at := func(p *order.Payment) time.Time {
		switch f.By {
		case ByCreated:
			return p.CreatedAt
		case ByPaid:
			return p.PaidAt
		case ByRecorded:
		}
		return p.RecordedAt
	}
	return cmp.Or(-at(a).Compare(at(b)), -cmp.Compare(a.ID, b.ID)) < 0
}

// scopes are all scopes that have payments.
func (l *Ledger) scopes(ctx context.Context) (all []string, _ error) {
	for last := ""; ; {
		next, err := texts(l.read(ctx, `SELECT scope FROM villapay_payment WHERE scope > ? ORDER BY scope LIMIT 1`, last))
		if err != nil || len(next) == 0 {
			return all, err
		}
		last, all = next[0], append(all, next[0])
	}
}

// Elsewhere returns the newest payment that a filter chooses in each other scope
// than its own.
func (l *Ledger) Elsewhere(ctx context.Context, f Filter) (all []order.Payment, _ error) {
	scopes, err := l.scopes(ctx)
	if err != nil {
		return nil, l.wrap(err, "list payments")
	}
	own := f.Scope
	f.Limit = 1
	for _, f.Scope = range scopes {
		if f.Scope == own {
			continue
		}
		for p, err := range l.List(ctx, f) {
			if err != nil {
				return nil, err
			}
			all = append(all, p)
		}
	}
	return all, nil
}

// Named returns, of every scope, the payments that an id belongs to: the Villa
// order's, a bank order's, a reference_order or a charge's, oldest first.
func (l *Ledger) Named(ctx context.Context, id string) ([]order.Payment, error) {
	var all []order.Payment
	err := l.Snapshot(ctx, func(l *Ledger) (err error) {
		all, err = l.named(ctx, id)
		return err
	})
	return all, l.wrap(err, "look %s up", id)
}

func (l *Ledger) named(ctx context.Context, id string) (all []order.Payment, _ error) {
	scopes, err := l.scopes(ctx)
	if err != nil {
		return nil, err
	}
	t, err := l.reading(ctx)
	if err != nil {
		return nil, err
	}
	for _, scope := range scopes {
		_, rows, err := t.identified(scope, id)
		if err != nil {
			return nil, err
		}
		for _, r := range rows {
			all = append(all, r.At(l.store.clock()))
		}
	}
	return all, nil
}

// identified reads the reports about the charges with some ids, and the payments that
// the ids or these reports name, in the order recorded.
func (t *txn) identified(scope string, ids ...string) (reports []order.Report, rows []*row, _ error) {
	charges := anyOf{scope: scope}
	charges.in("charge_id", ids...)
	reports, err := t.reports(charges)
	if err != nil {
		return nil, nil, err
	}
	names := slices.Clone(reports)
	for _, id := range ids {
		names = append(names, order.Report{BankOrderID: id})
	}
	rows, err = t.named(scope, names)
	return reports, rows, err
}
