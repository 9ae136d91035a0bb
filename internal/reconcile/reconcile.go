// Package reconcile compares a list of what was paid, the bank's or the shop's,
// with the ledger.
//
// It promises that every row of the list and everything that came in by the ledger
// is matched with one of the other, or reported. It keeps the list's ids in memory,
// and of the ledger only what they name.
package reconcile

import (
	"cmp"
	"context"
	"errors"
	"io"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/villapay/villapay/internal/ledger"
	"github.com/villapay/villapay/internal/order"
	"github.com/villapay/villapay/internal/table"
)

// Kind says what differs.
type Kind string

// The kinds of differences.
const (
	OnlyInFile   Kind = "only_in_file"   // unknown to the ledger; or paid at another time, or less often
	OnlyInLedger Kind = "only_in_ledger" // it came in, and the list does not have it
	NotPaid      Kind = "not_paid"       // the ledger has it, and not as paid
	OtherAmount  Kind = "amount"
)

// Difference is one between the list and the ledger.
type Difference struct {
	Kind         Kind
	ID           string // as the list has it; of what it does not have, an id of the same kind
	OrderID      string // the Villa order; "" if none is known
	FileAmount   order.Amount
	LedgerAmount order.Amount
	Currency     string // of LedgerAmount
	Line         int    // in the list, 0 if it is not there

	Payment *order.Payment // what the ledger knows instead; nil if nothing
}

// File is a list of payments. Every row counts as paid.
type File struct {
	rows []row
	byID map[string][]int // indexes of rows
}

type row struct {
	line   int
	id     string
	amount order.Amount
	baht   bool // the list says that the amount is in baht
	used   bool
}

// equals compares the row's amount with the ledger's. One that is not known equals
// none, so that nothing passes for compared that is not.
func (r row) equals(amount order.Amount, currency string) bool {
	return r.amount.Equal(amount) && (!r.baht || currency == "" || strings.EqualFold(currency, "THB"))
}

// Rows is how many rows the list has.
func (f *File) Rows() int { return len(f.rows) }

// Read reads a list with a column of ids and one of amounts. bad is called for
// every invalid row; such rows are left out. A list that is invalid as a whole is
// a *table.Error.
func Read(r io.Reader, id, amount string, bad func(*table.Error)) (*File, error) {
	f := &File{byID: map[string][]int{}}
	check := func(values []string) error {
		if values[0] == "" {
			return errors.New("it has no " + id)
		}
		_, err := order.ParseGrouped(values[1])
		return err
	}
	for record, err := range table.Read(r, table.Spec{Columns: []string{id, amount}, Needed: 2, Check: check}) {
		if invalid, ok := errors.AsType[*table.Error](err); ok && !invalid.Fatal {
			bad(invalid)
			continue
		}
		if err != nil {
			return nil, err
		}
		sum, _ := order.ParseGrouped(record.Values[1]) // checked above
		name := strings.Clone(record.Values[0])
		f.byID[name] = append(f.byID[name], len(f.rows))
		f.rows = append(f.rows, row{line: record.Line, id: name, amount: sum, baht: order.NamesBaht(record.Values[1])})
	}
	return f, nil
}

// Compare yields the differences from what came in within a period, as the ledger is at
// one moment: first what the list does not have, then the list's rows. It can be called
// once. The sequence ends after its first error.
func (f *File) Compare(ctx context.Context, l *ledger.Ledger, p ledger.Period) iter.Seq2[Difference, error] {
	return func(yield func(Difference, error) bool) {
		var rest []Difference
		err := l.Snapshot(ctx, func(l *ledger.Ledger) (err error) {
			rest, err = f.compare(ctx, l, p, func(d Difference) bool { return yield(d, nil) })
			return err
		})
		if err != nil {
			yield(Difference{}, err)
			return
		}
		for _, d := range rest { // a slow reader of these holds no transaction open
			if !yield(d, nil) {
				return
			}
		}
	}
}

// compare calls use with what the list does not have, until that returns false, and
// returns the differences of the list's rows.
func (f *File) compare(ctx context.Context, l *ledger.Ledger, p ledger.Period, use func(Difference) bool) (differences []Difference, _ error) {
	name, err := f.kind(ctx, l, p.Scope)
	if err != nil {
		return nil, err
	}
	missing := func(r order.Receipt) Difference {
		return Difference{Kind: OnlyInLedger, ID: cmp.Or(name(r), r.OrderID), OrderID: r.OrderID, LedgerAmount: r.Amount, Currency: r.Currency}
	}
	more := false            // the list lacks some
	var held []order.Receipt // whose id is in the list, with another amount
	for r, err := range l.Receipts(ctx, p) {
		if err != nil {
			return nil, err
		}
		known := f.candidates(r)
		if i := f.unused(known, func(row row) bool { return row.equals(r.Amount, r.Currency) }); i >= 0 {
			f.rows[i].used = true
		} else if len(known) > 0 {
			held = append(held, r)
		} else {
			more = true
		}
	}
	for _, r := range held {
		i := f.unused(f.candidates(r), func(row) bool { return true })
		if i < 0 {
			differences = append(differences, missing(r))
			continue
		}
		f.rows[i].used = true
		differences = append(differences, Difference{Kind: OtherAmount, ID: f.rows[i].id, OrderID: r.OrderID, FileAmount: f.rows[i].amount, LedgerAmount: r.Amount, Currency: r.Currency, Line: f.rows[i].line})
	}
	if differences, err = f.unmatched(ctx, l, p, differences); err != nil || !more {
		return sorted(differences), err
	}
	// Last, so that no read comes after it: a server may end a transaction whose reader is slow.
	for r, err := range l.Receipts(ctx, p) {
		if err != nil {
			return nil, err
		}
		if len(f.candidates(r)) == 0 && !use(missing(r)) {
			return nil, nil
		}
	}
	return sorted(differences), nil
}

// sorted sorts differences by their lines.
func sorted(differences []Difference) []Difference {
	slices.SortStableFunc(differences, func(a, b Difference) int { return cmp.Compare(a.Line, b.Line) })
	return differences
}

// candidates are the rows with any of a receipt's ids.
func (f *File) candidates(r order.Receipt) (all []int) {
	for _, id := range []string{r.ChargeID, r.BankOrderID, r.Reference, r.OrderID} {
		all = append(all, f.byID[id]...) // no row has an empty id
	}
	return all
}

// unused is the first of some rows that has no match yet and fits; -1 if none does.
func (f *File) unused(rows []int, fits func(row) bool) int {
	for _, i := range rows {
		if !f.rows[i].used && fits(f.rows[i]) {
			return i
		}
	}
	return -1
}

// lookAtOnce is how many ids the ledger is asked about in one question.
const lookAtOnce = 200

// kind finds out what the list's ids are to payments, by its first rows.
func (f *File) kind(ctx context.Context, l *ledger.Ledger, scope string) (func(order.Receipt) string, error) {
	kinds := []func(order.Receipt) string{
		func(r order.Receipt) string { return r.OrderID },
		func(r order.Receipt) string { return r.BankOrderID },
		func(r order.Receipt) string { return r.Reference },
		func(r order.Receipt) string { return r.ChargeID },
	}
	var ids []string
	for _, row := range f.rows[:min(len(f.rows), lookAtOnce)] {
		ids = append(ids, row.id)
	}
	found, err := l.Lookup(ctx, scope, ids)
	if err != nil {
		return nil, err
	}
	hits := make([]int, len(kinds))
	for id, payments := range found {
		p := payments[0]
		r := order.Receipt{OrderID: p.OrderID, BankOrderID: p.BankOrderID, Reference: p.Reference, ChargeID: p.ChargeID}
		for i, name := range kinds {
			if name(r) == id {
				hits[i]++
				break
			}
		}
	}
	return kinds[slices.Index(hits, slices.Max(hits))], nil
}

// unmatched adds the rows that nothing came in for.
func (f *File) unmatched(ctx context.Context, l *ledger.Ledger, p ledger.Period, differences []Difference) ([]Difference, error) {
	var unused []row
	for _, row := range f.rows {
		if !row.used {
			unused = append(unused, row)
		}
	}
	matched := map[string]bool{} // what another tool's charges paid is paid once
	for chunk := range slices.Chunk(unused, lookAtOnce) {
		var ids []string
		for _, row := range chunk {
			ids = append(ids, row.id)
		}
		found, err := l.Lookup(ctx, p.Scope, ids)
		if err != nil {
			return nil, err
		}
		for _, row := range chunk {
			if d, differs := compare(row, found[row.id], p); differs || matched[row.id] {
				differences = append(differences, d)
			} else {
				matched[row.id] = true
			}
		}
	}
	return differences, nil
}

// compare compares a row that nothing recorded here came in for with what is known
// of its id. It differs, unless the Villa order was paid through another tool.
func compare(r row, known []order.Payment, p ledger.Period) (d Difference, differs bool) {
	d = Difference{Kind: OnlyInFile, ID: r.id, FileAmount: r.amount, Line: r.line}
	answer, found := order.Answering(known)
	if !found {
		return d, true
	}
	d.OrderID, d.LedgerAmount, d.Currency, d.Payment = answer.OrderID, answer.Amount, answer.Currency, &answer
	switch {
	case answer.State != order.Paid:
		d.Kind = NotPaid
	case answer.ID == 0 && within(answer.PaidAt, p):
		if !r.equals(answer.Amount, answer.Currency) {
			d.Kind = OtherAmount
			return d, true
		}
		return d, false
	}
	return d, true
}

func within(at time.Time, p ledger.Period) bool { return !at.Before(p.Since) && at.Before(p.Until) }
