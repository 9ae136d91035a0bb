package payment

import (
	"cmp"
	"context"

	"github.com/villapay/villapay/internal/ledger"
	"github.com/villapay/villapay/internal/order"
)

// Planned is what a batch would do for an order.
type Planned struct {
	Line
	Replays bool          // answered from the ledger, without a request
	Payment order.Payment // the recorded payment, if Replays
}

// planAtOnce is the number of orders per ledger query.
const planAtOnce = 200

// Plan yields what a batch would do for each order of an input, if the ledger does not
// change. Duplicates are yielded once.
func (in *Input) Plan(ctx context.Context, l *ledger.Ledger, scope string, use func(Planned) error) error {
	var lines []Line
	seen := map[Line]bool{}
	ask := func() error {
		ids := make([]string, len(lines))
		for i, line := range lines {
			ids[i] = line.OrderID
		}
		known, err := l.Lookup(ctx, scope, ids)
		if err != nil {
			return err
		}
		for _, line := range lines {
			p, replays := replayed(ofOrder(known[line.OrderID], line.OrderID), line.Source, l.Now())
			if err := use(Planned{line, replays, p}); err != nil {
				return err
			}
		}
		lines = lines[:0]
		return nil
	}
	var failed error
	err := in.each(func(line Line) bool {
		same := Line{OrderID: line.OrderID, Source: line.Source}
		if seen[same] {
			return true
		}
		seen[same] = true
		if lines = append(lines, line); len(lines) == planAtOnce {
			failed = ask()
		}
		return failed == nil
	})
	if err := cmp.Or(err, failed); err != nil {
		return err
	}
	return ask()
}

// ofOrder returns the payments of a Villa order, without those that match the ID in
// another field.
func ofOrder(found []order.Payment, id string) (all []order.Payment) {
	for _, p := range found {
		if p.OrderID == id {
			all = append(all, p)
		}
	}
	return all
}
