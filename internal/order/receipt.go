package order

import (
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
	Extra       bool // the Villa order was paid before
}

// Receipts returns what came in for a Villa order by named charges that are paid
// now, in the order in which they were paid. Charges on bank orders that nobody
// recorded are among them, with the environment and source of a recorded payment.
func Receipts(c Case) (all []Receipt) {
	v := resolveCharges(c)
	for _, c := range v.charges {
		if c.id == "" || !c.rank().paid() {
			continue
		}
		r := Receipt{OrderID: v.OrderID, BankOrderID: c.bank, ChargeID: c.id, State: Paid, Amount: c.best.Amount, Currency: c.best.Currency}
		r.PaidAt, _ = c.paidAt()
		p := c.order
		if p != nil {
			r.BankOrderID, r.Reference, r.Amount, r.Currency = p.BankOrderID, p.Reference, p.Amount, p.Currency
		} else if len(v.own) > 0 {
			p = &v.own[len(v.own)-1]
		}
		if p != nil {
			r.Scope, r.Env, r.Source = p.Scope, p.Env, p.Source
		}
		all = append(all, r)
	}
	slices.SortStableFunc(all, func(a, b Receipt) int {
		if at := a.PaidAt.Compare(b.PaidAt); at != 0 {
			return at
		}
		return strings.Compare(a.ChargeID, b.ChargeID)
	})
	for i := range all {
		all[i].Extra = i > 0
	}
	return all
}
