package order

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Case is everything recorded that bears on one Villa order: its payments and those
// of others that the reports name, and the reports about it and about every charge
// that they name, each in the order in which they were recorded.
type Case struct {
	OrderID  string
	Payments []Payment
	Reports  []Report
}

// Resolve computes what the payments of a Villa order are from everything ever
// said about its charges, and returns them in the order given. One without a bank
// order keeps its state. elsewhere is what is known of the Villa order's charges on
// bank orders that nobody recorded: it has no key, and is nil if there are none.
//
// Any paid charge makes its payment paid, and nothing said about one charge takes
// anything from another. The order in which reports arrived decides only two
// things: which of two notifications says whose a charge is, and which of two
// charges a border (see [Report.Border]) belongs to.
func Resolve(c Case) (payments []Payment, elsewhere *Payment) {
	v := resolveCharges(c)
	for i := range v.own {
		p := &v.own[i]
		var charges []*charge
		if !slices.ContainsFunc(v.own[i+1:], func(newer Payment) bool { return newer.BankOrderID == p.BankOrderID }) {
			charges = v.on(p) // of the payments with the same bank order the newest has them
		}
		p.update(charges, v.stray[i])
		for id := range v.known {
			p.Warnings = slices.DeleteFunc(p.Warnings, func(w Warning) bool { return w == Unconfirmed(id) })
		}
	}
	elsewhere = v.foreign()
	through := v.warnAcross(elsewhere)
	made := v.own
	for _, p := range c.Payments {
		switch {
		case p.OrderID != c.OrderID:
			continue
		case p.BankOrderID != "":
			p, made = made[0], made[1:]
		default:
			p.Warnings = slices.DeleteFunc(slices.Clone(p.Warnings), computed)
			if through != "" {
				p.Warnings = append(p.Warnings, v.paidElsewhere(through))
			}
		}
		payments = append(payments, p)
	}
	return payments, elsewhere
}

// PaidCharge is a charge that was paid, and the bank order that it is on.
type PaidCharge struct {
	ID, BankOrderID string // BankOrderID is "" if nobody has named it
	Recorded        bool   // the bank order is
	Returned        bool   // it was voided or refunded
}

// PaidCharges returns a Villa order's named charges that are paid, or were given back.
func PaidCharges(c Case) (all []PaidCharge) {
	for _, c := range resolveCharges(c).charges {
		if c.id == "" || !c.everPaid() || c.rank() == Reversed {
			continue
		}
		paid := PaidCharge{c.id, c.bank, c.order != nil, !c.rank().paid()}
		if c.order != nil {
			paid.BankOrderID = c.order.BankOrderID
		}
		all = append(all, paid)
	}
	return all
}

// resolveCharges finds out where each charge stands.
func resolveCharges(c Case) *resolution {
	v := newResolution(c)
	v.assign()
	v.assignUnnamed(true)
	v.assignUnnamed(false)
	return v
}

// resolution is one Resolve at work.
type resolution struct {
	Case

	own      []Payment           // of the Villa order, with a bank order
	stray    [][]Warning         // for each of them, of reports that count for no charge
	byBank   map[string]*Payment // the first recorded of each bank order
	byRef    map[string]*Payment // by reference_order
	villa    map[string]bool     // the IDs of all Villa orders here
	known    map[string]bool     // charges that the API or the bank has named
	border   map[string]string   // whose a border is
	charges  []*charge
	doubtful []*Report // that count for no charge, and may be about one of the Villa order
}

func newResolution(c Case) *resolution {
	v := &resolution{
		Case: c, byBank: map[string]*Payment{}, byRef: map[string]*Payment{}, villa: map[string]bool{},
		known: map[string]bool{}, border: map[string]string{},
	}
	for i := range c.Payments {
		p := &c.Payments[i]
		v.villa[p.OrderID] = true
		if p.BankOrderID == "" {
			continue
		}
		if v.byBank[p.BankOrderID] == nil {
			v.byBank[p.BankOrderID] = p
		}
		if p.Reference != "" && v.byRef[p.Reference] == nil {
			v.byRef[p.Reference] = p
		}
		if p.OrderID == c.OrderID {
			v.own = append(v.own, *p)
		}
	}
	v.stray = make([][]Warning, len(v.own))
	for i := range c.Reports {
		if r := &c.Reports[i]; r.trusted() && r.ChargeID != "" && !v.misdirected(r) {
			v.known[r.ChargeID] = true
		}
	}
	v.findBorders()
	return v
}

// assign finds the Villa order's named charges and what counts for each.
func (v *resolution) assign() {
	said := map[string][]*Report{}
	for i := range v.Reports {
		r := &v.Reports[i]
		said[r.ChargeID] = append(said[r.ChargeID], r)
	}
	delete(said, "")
	for _, id := range slices.Sorted(maps.Keys(said)) {
		o := v.owner(said[id])
		c := &charge{id: id, bank: o.bank, order: v.recorded(o.bank)}
		for _, r := range said[id] {
			if bank, _ := v.names(r); o.orderID == v.OrderID && v.genuine(r) && (r.trusted() || bank == "" || bank == o.bank) {
				c.heard = append(c.heard, r)
			} else {
				v.warnStray(r)
				if o == (owner{}) && v.genuine(r) && v.about(r) == v.OrderID && r.leavesOpen(Unranked) { // nobody knows whose it is
					v.doubtful = append(v.doubtful, r)
				}
			}
		}
		if c.heard != nil {
			v.update(c)
			v.charges = append(v.charges, c)
		}
	}
}

// recorded is the Villa order's payment with a bank order; nil if it has none.
func (v *resolution) recorded(bank string) *Payment {
	if p := v.byBank[bank]; p != nil && p.OrderID == v.OrderID {
		return p
	}
	return nil
}

// warnStray warns of a report that counts for no charge, on the payment that it
// names, else, if the Villa order was asked about, on its newest.
func (v *resolution) warnStray(r *Report) {
	_, p := v.names(r)
	on := slices.IndexFunc(v.own, func(own Payment) bool { return p != nil && own.BankOrderID == p.BankOrderID })
	if on < 0 && r.OrderID == v.OrderID {
		on = len(v.own) - 1
	}
	if on < 0 || r.OrderID != "" && r.OrderID != v.OrderID {
		return
	}
	_, warning := applies(r, &v.own[on])
	switch {
	case v.misdirected(r):
		warning = doubt(r, warnOrder, "the answer is about another Villa order")
	case warning != nil:
	case !v.genuine(r):
		warning = doubt(r, warnOrder, "its signed text is the same as that of charge %s", v.border[r.Border()])
	default:
		warning = doubt(r, warnOrder, "it is on another order")
	}
	v.stray[on] = append(v.stray[on], *warning)
}

// predates reports whether a report came before a payment was begun: then it is not
// about a charge on that payment's order, if the clock can be trusted.
func (r *Report) predates(p *Payment) bool { return r.Received.Before(p.RecordedAt) }

// newestFitting is the payment that most of some reports about a charge fit, above
// all those that say it is paid; of several, the newest. It is one that none of the
// reports predates, unless the charge is paid and there is no such payment. nil if
// there is no payment.
func (v *resolution) newestFitting(reports []*Report) *Payment {
	rank := Unranked
	for _, r := range reports {
		rank = max(rank, r.rank())
	}
	newest := v.mostFitting(reports, func(p *Payment) bool {
		return slices.ContainsFunc(reports, func(r *Report) bool { return r.predates(p) })
	})
	if newest == nil && rank.paid() {
		newest = v.mostFitting(reports, func(*Payment) bool { return false })
	}
	return newest
}

func (v *resolution) mostFitting(reports []*Report, except func(*Payment) bool) (newest *Payment) {
	most := -1
	for i := range slices.Backward(v.own) {
		if v.shared(&v.own[i]) || except(&v.own[i]) {
			continue
		}
		fit := 0
		for _, r := range reports {
			if ok, _ := applies(r, &v.own[i]); ok && r.rank().paid() {
				fit += len(reports)
			} else if ok {
				fit++
			}
		}
		if fit > most {
			newest, most = &v.own[i], fit
		}
	}
	return newest
}

// shared reports whether another Villa order got a payment's bank order first.
func (v *resolution) shared(p *Payment) bool { return v.byBank[p.BankOrderID].OrderID != p.OrderID }

// assignUnnamed deals with the reports that name no charge: first with those that
// name a bank order (banked), then with the rest. One that a known charge explains
// adds nothing; else it is about the only charge there is, or the only one that
// was ever paid, else about an anonymous charge, one for each order, which ends
// once a known one is paid.
func (v *resolution) assignUnnamed(banked bool) {
	known := slices.DeleteFunc(slices.Clone(v.charges), func(c *charge) bool { return c.best == nil })
	paidKnown := slices.ContainsFunc(known, (*charge).everPaid)
	type on struct {
		bank  string
		order *Payment
	}
	anonymous := map[on]*charge{}
	for i := range v.Reports {
		r := &v.Reports[i]
		bank, _ := v.names(r)
		if r.ChargeID != "" || (bank != "") != banked {
			continue
		}
		if !v.genuine(r) || v.about(r) != v.OrderID {
			v.warnStray(r)
			continue
		}
		candidates := slices.DeleteFunc(slices.Clone(known), func(c *charge) bool { return !c.mayBe(r, bank) })
		paid := slices.DeleteFunc(slices.Clone(candidates), func(c *charge) bool { return !c.everPaid() })
		where := on{bank, v.recorded(bank)}
		if bank == "" {
			where.order = v.newestFitting([]*Report{r})
		}
		about := anonymous[where]
		explained := slices.IndexFunc(candidates, func(c *charge) bool { return c.rank() >= r.rank() })
		switch {
		case explained >= 0:
			if len(paid) == 0 && r.leavesOpen(candidates[explained].rank()) {
				v.doubtful = append(v.doubtful, r)
			}
			continue
		case len(candidates) == 1:
			about = candidates[0]
		case len(paid) == 1 && r.rank() <= Settled: // it takes paid away from none of several
			about = paid[0]
		case paidKnown:
			if r.trusted() && bank != "" && r.leavesOpen(Unranked) { // its bank order may be paid too
				v.doubtful = append(v.doubtful, r)
			}
			continue
		case about == nil:
			about = &charge{bank: bank, order: where.order}
			anonymous[where] = about
			v.charges = append(v.charges, about)
		}
		about.heard = append(about.heard, r)
	}
	slices.SortFunc(v.charges, func(a, b *charge) int { return cmp.Or(strings.Compare(a.id, b.id), strings.Compare(a.bank, b.bank)) })
	for _, c := range v.charges {
		v.update(c)
	}
}

// mayBe reports whether a charge may be the one that a report without a charge's
// id is about: it is on the bank order that the report names, or, if it names
// none, not on one whose payment the report predates or does not fit.
func (c *charge) mayBe(r *Report, bank string) bool {
	if bank != "" {
		return c.bank == bank || c.order != nil && c.order.BankOrderID == bank
	}
	return c.order == nil || !r.predates(c.order) && (!r.rank().paid() || fits(r, c.order))
}

// on returns the charges on a payment's bank order; p is nil for those on orders
// that nobody recorded.
func (v *resolution) on(p *Payment) (all []*charge) {
	for _, c := range v.charges {
		if c.order == nil && p == nil || c.order != nil && p != nil && c.order.BankOrderID == p.BankOrderID {
			all = append(all, c)
		}
	}
	return all
}

// foreign is the payment that charges on unrecorded orders make; nil if there
// are none.
func (v *resolution) foreign() *Payment {
	charges := v.on(nil)
	deciding := decide(charges)
	if deciding == nil {
		return nil
	}
	best := deciding.best
	p := &Payment{
		OrderID: v.OrderID, BankOrderID: deciding.bank, Amount: best.Amount, Currency: best.Currency,
		KnownAt: best.Received, KnownFrom: best.From, RequestID: best.RequestID,
	}
	p.update(charges, nil)
	p.Warnings = append(p.Warnings, Warning{WarnNotRecorded, "this ledger has no record of the order: it was made on another machine or with another tool"})
	return p
}

// warnAcross warns of what the payments of a Villa order mean together, and returns
// through what it is paid; "" if it is not.
func (v *resolution) warnAcross(elsewhere *Payment) (through string) {
	var paid []string
	for _, c := range v.charges {
		if c.id != "" && c.rank().paid() {
			paid = append(paid, c.id)
		}
	}
	if elsewhere != nil && elsewhere.State == Paid {
		through = "another tool"
	}
	for i := range v.own {
		if v.own[i].State == Paid {
			through = "bank order " + v.own[i].BankOrderID
		}
	}
	warn := func(p *Payment) {
		switch {
		case p.State == Paid && len(paid) > 1:
			p.Warnings = append(p.Warnings, Warning{WarnPaidTwice, "order " + v.OrderID + " was paid more than once: " + strings.Join(paid, ", ")})
		case p.State != Paid && through != "":
			p.Warnings = append(p.Warnings, v.paidElsewhere(through))
		}
	}
	for i := range v.own {
		p := &v.own[i]
		if v.shared(p) {
			p.Warnings = append(p.Warnings, Warning{WarnShared, fmt.Sprintf("order %s got the bank order %s first: a payment of it counts for that order", v.byBank[p.BankOrderID].OrderID, p.BankOrderID)})
		}
		warn(p)
	}
	if elsewhere != nil {
		warn(elsewhere)
	}
	return through
}

func (v *resolution) paidElsewhere(through string) Warning {
	return Warning{WarnPaidElsewhere, "order " + v.OrderID + " is paid through " + through}
}
