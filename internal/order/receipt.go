package order

import (
	"cmp"
	"slices"
	"strings"
	"time"
)

// Receipt is money that came in: a payment that was paid, or one of the charges of
// a Villa order that was paid more than once.
type Receipt struct {
	Scope, Env  string
	OrderID     string // the Villa order
	BankOrderID string
	Reference   string
	ChargeID    string
	Source      Source
	State       State // Paid, Refunded or Cancelled
	Amount      Amount
	Currency    string
	PaidAt      time.Time
	Extra       bool // the Villa order is paid by another charge, which comes first
}

// Receipts returns what came in on the recorded bank orders of a Villa order by named
// charges, in the order in which they were paid, also what was given back since. If
// the Villa order is paid through another tool too, all that is paid is extra.
func Receipts(c Case) (all []Receipt) {
	v := resolveCharges(c)
	in := slices.DeleteFunc(v.charges, func(c *charge) bool { return c.id == "" || !c.everPaid() || c.rank() == Reversed })
	slices.SortFunc(in, func(a, b *charge) int {
		atA, _ := a.paidAt()
		atB, _ := b.paidAt()
		return cmp.Or(compareBool(a.order != nil, b.order != nil), atA.Compare(atB), strings.Compare(a.id, b.id))
	})
	paid := false // another charge is
	for _, c := range in {
		if p := c.order; p != nil {
			r := Receipt{
				Scope: p.Scope, Env: p.Env, OrderID: v.OrderID, BankOrderID: p.BankOrderID, Reference: p.Reference, ChargeID: c.id,
				Source: p.Source, State: c.rank().state(), Amount: p.Amount, Currency: p.Currency, Extra: paid && c.rank().paid(),
			}
			r.PaidAt, _ = c.paidAt()
			all = append(all, r)
		}
		paid = paid || c.rank().paid()
	}
	return all
}
