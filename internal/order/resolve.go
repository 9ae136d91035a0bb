package order

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Codes of warnings. Those that charges give rise to are computed anew by each
// [Resolve].
const (
	WarnClock         = "clock"
	WarnPaidTwice     = "paid_twice"
	WarnPaidElsewhere = "paid_elsewhere" // another payment, or another tool's, paid the Villa order
	WarnShared        = "shared_order"   // another Villa order got the same bank order first
	warnStatus        = "charge_status"
	warnAmount        = "charge_amount"
	warnCurrency      = "charge_currency"
	warnLivemode      = "charge_livemode"
	warnDoubt         = "charge_doubt"
	warnOrder         = "charge_order"  // the charge is on another order
	warnNeverPaid     = "charge_unpaid" // taken back, and never known to be paid
	warnPartial       = "partial_refund"
	warnRefund        = "refund_state"
	warnNotRecorded   = "not_recorded"
)

// computed reports whether Resolve computes a warning anew.
func computed(w Warning) bool {
	switch w.Code {
	case WarnPaidTwice, WarnPaidElsewhere, WarnShared, warnOrder, warnNeverPaid, warnPartial, warnRefund,
		warnStatus, warnAmount, warnCurrency, warnLivemode, warnDoubt:
		return true
	}
	return false
}

// AboutStatus reports whether a warning is about a status answer that said
// nothing of a charge.
func (w Warning) AboutStatus() bool { return strings.HasPrefix(w.Code, "status_") }

// Case is everything recorded that bears on one Villa order: the payments with a
// bank order, of this Villa order and of others that the reports name, and the
// reports about it and about every charge that they name, each in the order in
// which they were recorded.
type Case struct {
	OrderID  string
	Payments []Payment
	Reports  []Report
}

// Resolve computes what the payments of a Villa order are from everything ever
// said about its charges, and returns them in the order given. elsewhere is what
// is known of the Villa order's charges on bank orders that nobody recorded: it
// has no key, and is nil if there are none.
//
// Any paid charge makes its payment paid, and nothing said about one charge takes
// anything from another. The order in which reports arrived decides in two places
// alone: which of two notifications says whose a charge is, and which of two
// charges a border (see [Report.Border]) belongs to.
func Resolve(c Case) (payments []Payment, elsewhere *Payment) {
	v := newResolution(c)
	v.assign()
	v.assignUnnamed()
	for i := range v.own {
		v.own[i].update(v.on(i))
	}
	elsewhere = v.foreign()
	v.warnAcross(elsewhere)
	return v.own, elsewhere
}

// PaidCharge is a charge that is paid now, and the bank order that it is on.
type PaidCharge struct{ ID, BankOrderID string }

// PaidCharges returns a Villa order's named charges that are paid now.
func PaidCharges(c Case) (all []PaidCharge) {
	v := newResolution(c)
	v.assign()
	v.assignUnnamed()
	for _, c := range v.charges {
		if p := v.target(c); c.id != "" && c.rank().paid() && p != nil {
			all = append(all, PaidCharge{c.id, p.BankOrderID})
		}
	}
	return all
}

// resolution is one Resolve at work.
type resolution struct {
	Case

	own     []Payment           // of the Villa order
	byBank  map[string]*Payment // the first recorded of each bank order
	byRef   map[string]*Payment // by reference_order
	villa   map[string]bool     // the IDs of all Villa orders here
	known   map[string]bool     // charges that the API or the bank has named
	border  map[string]string   // whose a border is
	owners  map[string]owner    // by charge
	charges []*charge
}

// owner is the order that a charge is on.
type owner struct {
	orderID string // the Villa order
	bank    string // the bank order; "" if nobody has named it
}

// charge is what is known of one charge.
type charge struct {
	id      string // "" for an anonymous one
	bank    string // its bank order, recorded or not; "" = the newest fitting payment
	payment int    // index of the payment it belongs to by fitting, -1 if by bank

	best     *Report // that came furthest
	proofs   []*Report
	warnings []Warning
}

func (c *charge) rank() Rank {
	if c.best == nil {
		return Unranked
	}
	return c.best.rank()
}

func (c *charge) everPaid() bool { return len(c.proofs) > 0 }

func newResolution(c Case) *resolution {
	v := &resolution{
		Case: c, byBank: map[string]*Payment{}, byRef: map[string]*Payment{}, villa: map[string]bool{},
		known: map[string]bool{}, border: map[string]string{}, owners: map[string]owner{},
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
	for i := range c.Reports {
		if r := &c.Reports[i]; r.trusted() && r.ChargeID != "" && !v.misdirected(r) && !r.doubtsOrder() {
			v.known[r.ChargeID] = true
		}
	}
	v.findBorders()
	return v
}

// names returns the bank order that a report states, "" if none, and the payment
// first recorded with it, nil if nobody recorded it. An order_id may be a
// reference_order, which also stands for a missing order_id.
func (v *resolution) names(r *Report) (bank string, p *Payment) {
	bank = r.BankOrderID
	if bank == "" {
		bank = r.Reference
	} else if p = v.byBank[bank]; p != nil {
		return bank, p
	}
	if p = v.byRef[bank]; p != nil {
		return p.BankOrderID, p
	}
	return bank, nil
}

// misdirected reports whether an answer about one Villa order names another
// one's order. It proves nothing then.
func (v *resolution) misdirected(r *Report) bool {
	bank, p := v.names(r)
	if r.OrderID == "" || bank == "" {
		return false
	}
	if p != nil {
		return p.OrderID != r.OrderID
	}
	return bank != r.OrderID && v.villa[bank]
}

// findBorders finds the charge that each border belongs to: one that the API or
// the bank has named, else the first recorded.
func (v *resolution) findBorders() {
	for _, known := range []bool{true, false} {
		for i := range v.Reports {
			r := &v.Reports[i]
			if text := r.Border(); text != "" && v.border[text] == "" && v.known[r.ChargeID] == known {
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
	return v.known[r.ChargeID] || v.border[r.Border()] == r.ChargeID
}

// owner finds the order that a charge is on. The bank's word comes before the
// API's, and either before any notification: of those, the first recorded that
// fits a recorded order decides.
func (v *resolution) owner(id string) owner {
	if o, done := v.owners[id]; done {
		return o
	}
	var best owner
	var from Origin
	var notified []owner
	for i := range v.Reports {
		r := &v.Reports[i]
		if r.ChargeID != id || !v.genuine(r) || r.doubtsOrder() {
			continue
		}
		bank, p := v.names(r)
		o := owner{r.OrderID, bank}
		if o.orderID == "" && p != nil {
			o.orderID = p.OrderID // the bank's word about a notification, which names no Villa order
		}
		switch {
		case r.trusted():
			if better(o, r.From, best, from) {
				best, from = o, r.From
			}
		case p != nil && fits(r, p):
			notified = append(notified, owner{p.OrderID, bank})
		}
	}
	if best.bank == "" { // the first notification decides, as far as the API leaves it open
		i := slices.IndexFunc(notified, func(o owner) bool { return best == (owner{}) || o.orderID == best.orderID })
		if i >= 0 {
			best = notified[i]
		}
	}
	v.owners[id] = best
	return best
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

// better orders the words of the API and the bank about whose a charge is, so
// that arrival does not decide between them: who names a bank order, the bank,
// then the smaller name.
func better(o owner, from Origin, best owner, bestFrom Origin) bool {
	if best == (owner{}) {
		return true
	}
	return cmp.Or(
		-compareBool(o.bank != "", best.bank != ""), -compareBool(from == FromBank, bestFrom == FromBank),
		strings.Compare(o.bank, best.bank), strings.Compare(o.orderID, best.orderID)) < 0
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

// assign finds the Villa order's named charges and what counts for each.
func (v *resolution) assign() {
	byID := map[string]*charge{}
	for i := range v.Reports {
		r := &v.Reports[i]
		if r.ChargeID == "" {
			continue
		}
		o := v.owner(r.ChargeID)
		bank, p := v.names(r)
		if o.orderID != v.OrderID {
			v.warnStray(r, p)
			continue
		}
		c := byID[r.ChargeID]
		if c == nil {
			c = &charge{id: r.ChargeID, bank: o.bank, payment: -1}
			if o.bank == "" {
				c.payment = v.newestFitting(func(r *Report) bool { return r.ChargeID == c.id })
			}
			byID[r.ChargeID] = c
			v.charges = append(v.charges, c)
		}
		switch {
		case !v.genuine(r):
			v.warnStray(r, p)
		case bank != "" && bank != o.bank && !r.trusted():
			v.warnStray(r, p)
		default:
			v.add(c, r)
		}
	}
	slices.SortFunc(v.charges, func(a, b *charge) int { return strings.Compare(a.id, b.id) })
}

// warnStray warns of a report that does not count for its charge, on the payment
// that it names, or that was asked about.
func (v *resolution) warnStray(r *Report, p *Payment) {
	on := slices.IndexFunc(v.own, func(own Payment) bool { return p != nil && own.BankOrderID == p.BankOrderID })
	if on < 0 && r.OrderID == v.OrderID {
		on = len(v.own) - 1
	}
	if on < 0 {
		return
	}
	_, warning := applies(r, &v.own[on])
	switch {
	case v.misdirected(r):
		warning = doubt(r, warnOrder, "the answer names another Villa order's order")
	case warning != nil:
	case !v.genuine(r):
		warning = doubt(r, warnOrder, "its signed text is that of charge %s", v.border[r.Border()])
	default:
		warning = doubt(r, warnOrder, "it is on another order")
	}
	v.charges = append(v.charges, &charge{id: r.ChargeID, payment: on, warnings: []Warning{*warning}})
}

// newestFitting is the index of the newest payment that one of some reports fits,
// else of the newest payment; -1 if there is no payment.
func (v *resolution) newestFitting(which func(*Report) bool) int {
	for i := len(v.own) - 1; i >= 0; i-- {
		for j := range v.Reports {
			if r := &v.Reports[j]; which(r) && fits(r, &v.own[i]) && !v.shared(&v.own[i]) {
				return i
			}
		}
	}
	return len(v.own) - 1
}

// target is a payment that a charge belongs to; nil if nobody recorded one.
func (v *resolution) target(c *charge) *Payment {
	if c.payment >= 0 {
		return &v.own[c.payment]
	}
	if p := v.byBank[c.bank]; c.bank != "" && p != nil && p.OrderID == v.OrderID {
		return p
	}
	return nil
}

// add lets a report move its charge, if it applies.
func (v *resolution) add(c *charge, r *Report) {
	ok, warning := applies(r, v.target(c))
	if warning != nil {
		c.warnings = append(c.warnings, *warning)
	}
	if !ok {
		return
	}
	if c.best == nil || compareReports(r, c.best) > 0 {
		c.best = r
	}
	if r.rank().paid() {
		c.proofs = append(c.proofs, r)
	}
}

// compareReports orders reports by how far they have come, so that of equals
// always the same one is best.
func compareReports(a, b *Report) int {
	return cmp.Or(cmp.Compare(a.rank(), b.rank()), strings.Compare(a.TransactionState, b.TransactionState),
		strings.Compare(a.Amount.String(), b.Amount.String()), strings.Compare(string(a.From), string(b.From)), -a.Received.Compare(b.Received))
}

// fits reports whether amount, currency and livemode are the payment's, as far
// as a report from the API or the bank states them.
func fits(r *Report, p *Payment) bool { return mismatch(r, p) == nil }

// mismatch says how a report does not fit a recorded order; nil if it does.
func mismatch(r *Report, p *Payment) *Warning {
	if r.Doubt != "" {
		return doubt(r, warnDoubt, "its %s cannot be read", r.Doubt)
	}
	if (r.Currency != "" || !r.trusted()) && !strings.EqualFold(r.Currency, p.Currency) {
		return doubt(r, warnCurrency, "it is in %s, the order in %s", cmpOr(r.Currency, "nothing"), cmpOr(p.Currency, "nothing"))
	}
	if (r.Amount.Known() || !r.trusted()) && !r.Amount.Equal(p.Amount) {
		return doubt(r, warnAmount, "it is over %s, the order over %s", cmpOr(r.Amount.String(), "nothing"), cmpOr(p.Amount.String(), "nothing"))
	}
	if live := p.livemode(); r.Livemode != nil && live != nil && *r.Livemode != *live {
		return doubt(r, warnLivemode, "its livemode is %t, the order's %t", *r.Livemode, *live)
	}
	return nil
}

// applies reports whether a report may move its charge, and what to warn of. p
// is nil for a charge on an order that nobody recorded.
func applies(r *Report, p *Payment) (bool, *Warning) {
	if r.rank().paid() && r.PaidBy != ByStatusPaid && r.Status != "" && !strings.EqualFold(r.Status, "success") {
		return false, doubt(r, warnStatus, "it says %q, but its status is %q, not success", r.TransactionState, r.Status)
	}
	if p == nil {
		return r.Doubt == "", nil
	}
	if r.rank() == RefundedInFull && r.Doubt == "" && strings.EqualFold(cmpOr(r.Currency, p.Currency), p.Currency) && r.Amount.Less(p.Amount) {
		return false, &Warning{warnPartial, fmt.Sprintf("%s %s of the order's %s were refunded on %s; the rest stays paid", r.Amount, p.Currency, p.Amount, r.name())}
	}
	if warning := mismatch(r, p); warning != nil {
		return false, warning
	}
	if r.rank() == Unranked && strings.HasPrefix(strings.ToLower(strings.TrimSpace(r.TransactionState)), "refund") {
		return true, &Warning{warnRefund, fmt.Sprintf("%s says %q, which is no refund: the state is kept", r.name(), r.TransactionState)}
	}
	return true, nil
}

func doubt(r *Report, code, format string, args ...any) *Warning {
	return &Warning{Code: code, Message: r.name() + " does not count as it stands: " + fmt.Sprintf(format, args...)}
}

// livemode is what the recorded order says.
func (p *Payment) livemode() *bool {
	fields, err := ParseObject(p.Order)
	if err != nil {
		return nil
	}
	return fields.Flag("livemode")
}

// assignUnnamed deals with reports that name no charge. One that a known charge
// explains adds nothing; else it is about the only charge there is, or the only
// one that was ever paid, else about an anonymous charge, which ends once a named
// one is paid.
func (v *resolution) assignUnnamed() {
	named := slices.DeleteFunc(slices.Clone(v.charges), func(c *charge) bool { return c.best == nil })
	before := map[*charge]Rank{}
	for _, c := range named {
		before[c] = c.rank()
	}
	paidNamed := slices.ContainsFunc(named, (*charge).everPaid)
	type move struct {
		c *charge
		r *Report
	}
	var moves []move
	anonymous := map[string]*charge{}
	for i := range v.Reports {
		r := &v.Reports[i]
		if r.ChargeID != "" || r.OrderID != v.OrderID {
			continue
		}
		bank, p := v.names(r)
		if v.misdirected(r) {
			v.warnStray(r, p)
			continue
		}
		candidates := slices.DeleteFunc(slices.Clone(named), func(c *charge) bool { return bank != "" && !v.onBank(c, bank) })
		var paid []*charge
		explained := false
		for _, c := range candidates {
			explained = explained || before[c] >= r.rank()
			if c.everPaid() {
				paid = append(paid, c)
			}
		}
		switch {
		case explained:
		case len(candidates) == 1:
			moves = append(moves, move{candidates[0], r})
		case len(candidates) > 1 && !r.rank().paid() && r.rank() > Settled:
			// several charges are known: it takes paid away from none
		case len(paid) == 1:
			moves = append(moves, move{paid[0], r})
		case !paidNamed:
			c := anonymous[bank]
			if c == nil {
				c = &charge{bank: bank, payment: -1}
				if bank == "" {
					c.payment = v.newestFitting(func(r *Report) bool { return r.ChargeID == "" && r.OrderID == v.OrderID })
				}
				anonymous[bank] = c
			}
			moves = append(moves, move{c, r})
		}
	}
	for _, m := range moves {
		v.add(m.c, m.r)
	}
	for _, c := range anonymous {
		v.charges = append(v.charges, c)
	}
	slices.SortStableFunc(v.charges, func(a, b *charge) int { return cmp.Or(strings.Compare(a.id, b.id), strings.Compare(a.bank, b.bank)) })
}

// onBank reports whether a charge is on a bank order.
func (v *resolution) onBank(c *charge, bank string) bool {
	if p := v.target(c); p != nil {
		return p.BankOrderID == bank
	}
	return c.bank == bank
}

// shared reports whether another Villa order got a payment's bank order first.
func (v *resolution) shared(p *Payment) bool { return v.byBank[p.BankOrderID].OrderID != p.OrderID }

// on returns the charges of one of the Villa order's payments.
func (v *resolution) on(i int) (all []*charge) {
	for _, c := range v.charges {
		if c.payment == i || c.payment < 0 && c.bank == v.own[i].BankOrderID && !v.shared(&v.own[i]) {
			all = append(all, c)
		}
	}
	return all
}

// decide picks the charge that decides about a payment: the paid one that was
// paid first, else the furthest of those that were ever paid, else the furthest.
func decide(charges []*charge) (deciding *charge) {
	for _, c := range charges {
		if c.best != nil && (deciding == nil || compareCharges(c, deciding) > 0) {
			deciding = c
		}
	}
	return deciding
}

func compareCharges(a, b *charge) int {
	if order := compareBool(a.rank().paid(), b.rank().paid()); order != 0 || !a.rank().paid() {
		return cmp.Or(order, compareBool(a.everPaid(), b.everPaid()), cmp.Compare(a.rank(), b.rank()), -strings.Compare(a.id, b.id))
	}
	atA, _ := a.paidAt()
	atB, _ := b.paidAt()
	return cmp.Or(-atA.Compare(atB), -strings.Compare(a.id, b.id))
}

// paidAt is when the charge says that it was paid, else when that became known.
func (c *charge) paidAt() (at time.Time, from string) {
	for _, r := range c.proofs {
		if !r.Created.IsZero() && (at.IsZero() || r.Created.Before(at)) {
			at, from = r.Created, AtBank
		}
	}
	for _, r := range c.proofs {
		if from != AtBank && (at.IsZero() || r.Received.Before(at)) {
			at, from = r.Received, AtKnown
		}
	}
	return at, from
}

// paidBy is what proved that the charge is paid.
func (c *charge) paidBy() string {
	for _, r := range c.proofs {
		if r.PaidBy != ByStatusPaid {
			return ByTransactionState
		}
	}
	return ByStatusPaid
}

// update brings a payment to where its charges say it is.
func (p *Payment) update(charges []*charge) {
	var found []Warning
	for _, c := range charges {
		found = append(found, c.warnings...)
	}
	slices.SortFunc(found, func(a, b Warning) int { return strings.Compare(a.Code+a.Message, b.Code+b.Message) })
	p.Warnings = slices.Concat(slices.DeleteFunc(slices.Clone(p.Warnings), computed), slices.Compact(found))
	p.BankState, p.ChargeID, p.PaidAt, p.PaidAtFrom, p.PaidBy = "", "", time.Time{}, "", ""
	p.State, p.Error = p.birth()
	deciding := decide(charges)
	if deciding == nil {
		return
	}
	for _, c := range charges {
		if c != deciding && c.rank() > Settled && !c.everPaid() && deciding.everPaid() {
			p.Warnings = append(p.Warnings, Warning{warnNeverPaid, fmt.Sprintf("%s was taken back (%s), but was never known to be paid", c.best.name(), c.best.TransactionState)})
		}
	}
	p.BankState, p.ChargeID = deciding.best.TransactionState, deciding.id
	if deciding.everPaid() {
		p.PaidAt, p.PaidAtFrom = deciding.paidAt()
		p.PaidBy = deciding.paidBy()
	}
	state := deciding.rank().state()
	if state == "" {
		return
	}
	p.State, p.Error = state, nil
	if state == Failed {
		p.Error = &Failure{Code: "reversed", Message: "the bank reversed " + deciding.best.name()}
	}
	p.Warnings = slices.DeleteFunc(p.Warnings, Warning.AboutStatus)
}

// birth is what the order alone makes of its payment, and its cancellation.
func (p *Payment) birth() (State, *Failure) {
	if p.Canceled {
		return Cancelled, nil
	}
	o, err := Decode(p.Order)
	if err != nil {
		return Awaiting, nil
	}
	state, failure := o.birth()
	if failure != nil && p.Error != nil && p.Error.Code == failure.Code {
		failure.RequestID = p.Error.RequestID
	}
	return state, failure
}

// foreign is the payment that charges on unrecorded orders make; nil if there
// are none.
func (v *resolution) foreign() *Payment {
	var charges []*charge
	for _, c := range v.charges {
		if v.target(c) == nil && c.best != nil {
			charges = append(charges, c)
		}
	}
	deciding := decide(charges)
	if deciding == nil {
		return nil
	}
	best := deciding.best
	p := &Payment{
		OrderID: v.OrderID, BankOrderID: deciding.bank, Amount: best.Amount, Currency: best.Currency,
		KnownAt: best.Received, KnownFrom: best.From, RequestID: best.RequestID,
	}
	p.update(charges)
	p.Warnings = append(p.Warnings, Warning{warnNotRecorded, "this ledger has no record of the order; another tool made it"})
	return p
}

// warnAcross warns of what the payments of a Villa order mean together.
func (v *resolution) warnAcross(elsewhere *Payment) {
	var paid []string
	for _, c := range v.charges {
		if c.id != "" && c.rank().paid() && !slices.Contains(paid, c.id) {
			paid = append(paid, c.id)
		}
	}
	by := ""
	for i := range v.own {
		if v.own[i].State == Paid {
			by = "bank order " + v.own[i].BankOrderID
		}
	}
	if by == "" && elsewhere != nil && elsewhere.State == Paid {
		by = "another tool"
	}
	for i := range v.own {
		p := &v.own[i]
		if v.shared(p) {
			p.Warnings = append(p.Warnings, Warning{WarnShared, fmt.Sprintf("order %s got the bank order %s first: a payment of it counts for that order", v.byBank[p.BankOrderID].OrderID, p.BankOrderID)})
		}
		switch {
		case p.State == Paid && len(paid) > 1:
			p.Warnings = append(p.Warnings, Warning{WarnPaidTwice, "order " + v.OrderID + " was paid more than once: " + strings.Join(paid, ", ")})
		case p.State != Paid && by != "":
			p.Warnings = append(p.Warnings, Warning{WarnPaidElsewhere, "order " + v.OrderID + " is paid through " + by})
		}
	}
}
