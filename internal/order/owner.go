package order

import (
	"cmp"
	"slices"
	"strings"
)

// names returns the bank order that a report states, "" if none, and the payment
// first recorded with it, nil if nobody recorded it. An order_id may be a
// reference_order, which also stands for a missing order_id.
func (v *resolution) names(r *Report) (bank string, p *Payment) {
	bank = cmp.Or(r.BankOrderID, r.Reference)
	if p = v.byBank[r.BankOrderID]; p == nil {
		p = v.byRef[bank]
	}
	if p != nil {
		bank = p.BankOrderID
	}
	return bank, p
}

// about is the Villa order that a report is about: the one that got the bank order
// it names first, else the one that was asked about.
func (v *resolution) about(r *Report) string {
	if _, p := v.names(r); p != nil {
		return p.OrderID
	}
	return r.OrderID
}

// misdirected reports whether an answer about one Villa order names another
// one's order. It proves nothing then.
func (v *resolution) misdirected(r *Report) bool {
	bank, p := v.names(r)
	if r.OrderID == "" || bank == "" {
		return false
	}
	if p != nil {
		return !slices.ContainsFunc(v.Payments, func(got Payment) bool { return got.OrderID == r.OrderID && got.BankOrderID == bank })
	}
	return v.villa[bank]
}

// findBorders finds the charge that each border belongs to: one that the API or
// the bank has named, else the first recorded.
func (v *resolution) findBorders() {
	for _, known := range []bool{true, false} {
		for i := range v.Reports {
			r := &v.Reports[i]
			if text := r.Border(); text != "" && v.border[text] == "" && v.known[r.ChargeID] == known && (known || !r.trusted()) {
				v.border[text] = r.ChargeID
			}
		}
	}
}

// genuine reports whether a report may speak for its charge.
func (v *resolution) genuine(r *Report) bool {
	if r.trusted() {
		return !v.misdirected(r)
	}
	return r.ChargeID != "" && (v.known[r.ChargeID] || v.border[r.Border()] == r.ChargeID)
}

// owner is the order that a charge is on.
type owner struct {
	orderID string // the Villa order; "" if nobody knows
	bank    string // the bank order; "" if nobody has named it
	from    Origin
}

// owner finds the order that a charge is on from what was said about it. The
// bank's word comes before the API's, and either before any notification: of
// those, the first recorded that fits a recorded order decides.
func (v *resolution) owner(said []*Report) (o owner) {
	var words, notified []owner
	for _, r := range said {
		if !v.genuine(r) || r.doubtsOrder() {
			continue
		}
		bank, p := v.names(r)
		o := owner{v.about(r), bank, r.From}
		switch {
		case r.trusted():
			words = append(words, o)
		case p != nil && fits(r, p):
			notified = append(notified, o)
		}
	}
	if len(words) > 0 {
		o = slices.MinFunc(words, compareOwners)
	}
	if o.bank == "" { // the first notification decides, as far as the API leaves it open
		if i := slices.IndexFunc(notified, func(n owner) bool { return len(words) == 0 || n.orderID == o.orderID }); i >= 0 {
			o = notified[i]
		}
	}
	return o
}

// compareOwners orders the words of the API and the bank about whose a charge is,
// so that arrival does not decide between them: who names a bank order, the bank,
// then the smaller name.
func compareOwners(a, b owner) int {
	return cmp.Or(
		compareBool(b.bank != "", a.bank != ""), compareBool(b.from == FromBank, a.from == FromBank),
		strings.Compare(a.bank, b.bank), strings.Compare(a.orderID, b.orderID))
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	}
	return -1
}

// doubtsOrder reports whether it cannot be read which charge or order a report
// is about.
func (r *Report) doubtsOrder() bool {
	switch r.Doubt {
	case "id", "charge_id", "order_id", "reference_order", "orderid", "orderId":
		return true
	}
	return false
}
