package order

import (
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// history is everything recorded about two Villa orders, "1" and "2", in the
// order in which it was recorded.
type history struct {
	payments []Payment
	reports  []Report
}

// histories draws payments of both Villa orders, with bank orders that they may
// share, and what the API and notifications say: with and without charges and
// orders, fitting and contradicting.
func histories(t *rapid.T) history {
	var h history
	for range rapid.IntRange(0, 4).Draw(t, "payments") {
		villa, bank := rapid.SampledFrom([]string{"1", "1", "2"}).Draw(t, "villa"), rapid.SampledFrom([]string{"o1", "o2", "o3", "o4"}).Draw(t, "bank")
		p := pay(villa, bank, rapid.SampledFrom([]string{"300.0", "300.0", "5300"}).Draw(t, "amount"))
		if rapid.IntRange(0, 9).Draw(t, "kind") == 0 {
			failedOrder(&p)
		}
		p.Canceled = rapid.IntRange(0, 9).Draw(t, "canceled") == 0
		p.RecordedAt = start.Add(time.Duration(rapid.IntRange(-1, 1).Draw(t, "begun")) * time.Hour)
		h.payments = append(h.payments, p)
	}
	h.reports = rapid.SliceOfN(rapid.Custom(anyReport), 0, 8).Draw(t, "reports")
	return h
}

func anyReport(t *rapid.T) Report {
	from := rapid.SampledFrom([]Origin{FromAPI, FromAPI, FromBank, FromWebhook, FromWebhook, FromWebhook}).Draw(t, "from")
	r := Report{
		From: from, PaidBy: ByTransactionState,
		ChargeID:         rapid.SampledFrom([]string{"", "X", "X5", "c1", "c2"}).Draw(t, "charge"),
		BankOrderID:      rapid.SampledFrom([]string{"", "o1", "o2", "o3", "o9", "ref-o1", "1", "2"}).Draw(t, "bank"),
		Reference:        rapid.SampledFrom([]string{"", "", "", "ref-o2"}).Draw(t, "reference"),
		TransactionState: rapid.SampledFrom([]string{"", "Initialize", "Declined", "Authorized", "Auhtorized", "Settled", "Settled", "Reversed", "Voided", "Refund Sent", "Refund Failed", "Pondering"}).Draw(t, "state"),
		Status:           rapid.SampledFrom([]string{"success", "success", "success", "", "fail"}).Draw(t, "status"),
		Amount:           amountOf(rapid.SampledFrom([]string{"", "300", "300", "300.00", "5300", "100"}).Draw(t, "amount")),
		Currency:         rapid.SampledFrom([]string{"THB", "THB", "THB", "", "USD"}).Draw(t, "currency"),
		Doubt:            rapid.SampledFrom([]string{"", "", "", "", "", "", "amount", "order_id"}).Draw(t, "doubt"),
		Received:         start.Add(time.Duration(rapid.IntRange(-3, 3).Draw(t, "received")) * 30 * time.Minute),
	}
	if from == FromWebhook {
		if r.ChargeID == "" {
			r.ChargeID = "c1"
		}
	} else {
		r.OrderID = rapid.SampledFrom([]string{"1", "1", "1", "2", ""}).Draw(t, "asked")
	}
	if r.TransactionState == "" && r.OrderID != "" && rapid.Bool().Draw(t, "status_paid") {
		r.PaidBy = ByStatusPaid
	}
	if rapid.IntRange(0, 9).Draw(t, "livemode") == 0 {
		yes := rapid.Bool().Draw(t, "live")
		r.Livemode = &yes
	}
	if rapid.IntRange(0, 2).Draw(t, "created") == 0 {
		r.Created = start.Add(-1 * start.Sub(start.AddDate(0, 0, -rapid.IntRange(1, 3).Draw(t, "days"))))
	}
	return r
}

// both resolves both Villa orders.
func (h history) both(t reporter) (own [2][]Payment, elsewhere [2]*Payment) {
	t.Helper()
	for i, villa := range []string{"1", "2"} {
		own[i], elsewhere[i] = resolve(t, villa, h.payments, h.reports)
	}
	return own, elsewhere
}

// paid counts a Villa order's payments that are paid, here or elsewhere.
func paid(own []Payment, elsewhere *Payment) (n int) {
	if elsewhere != nil && elsewhere.State == Paid {
		n++
	}
	for _, p := range own {
		if p.State == Paid {
			n++
		}
	}
	return n
}

// charges are the charges of a Villa order as Resolve weighs them.
func (h history) charges(villa string) map[string]*charge {
	v := newResolution(Case{villa, h.payments, h.reports})
	v.assign()
	v.assignUnnamed(true)
	v.assignUnnamed(false)
	all := map[string]*charge{}
	for _, c := range v.charges {
		all[c.id+" "+c.bank] = c
	}
	return all
}

// TestResolutions holds what is true of every history, and that resolving twice
// changes nothing and modifies no input (see resolve).
func TestResolutions(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		h := histories(t)
		own, elsewhere := h.both(t)
		byCharge := map[string]string{} // which Villa order a charge pays for
		for i, villa := range []string{"1", "2"} {
			for _, p := range append(slices.Clone(own[i]), value(elsewhere[i])...) {
				if (p.State == Paid) != (p.PaidBy != "" && Transaction(p.BankState).paid() || p.PaidBy == ByStatusPaid && p.BankState == "") {
					t.Fatalf("%s: paid by what? %+v", villa, p)
				}
				if p.PaidAt.IsZero() != (p.PaidAtFrom == "") || (p.PaidAtFrom == "") != (p.PaidBy == "") {
					t.Fatalf("%s: %+v", villa, p)
				}
				if p.State == Paid && p.ChargeID != "" {
					if other := byCharge[p.ChargeID]; other != "" && other != villa {
						t.Fatalf("charge %s pays for both Villa orders", p.ChargeID)
					}
					byCharge[p.ChargeID] = villa
				}
				if p.Payable(start) == nil && (p.State != Awaiting || paid(own[i], elsewhere[i]) > 0 || p.Warned(WarnShared)) {
					t.Fatalf("%s: %+v is payable", villa, p)
				}
				if p.State == Paid && p.Warned(WarnShared) {
					t.Fatalf("%s: %+v is paid on another's bank order", villa, p)
				}
			}
			if paid(own[i], elsewhere[i]) == 0 {
				h.nothingPaid(t, villa)
			}
		}
	})
}

func value(p *Payment) []Payment {
	if p == nil {
		return nil
	}
	return []Payment{*p}
}

// nothingPaid fails if a report that counts says that a named charge is paid, and
// none says that it was taken back: then its Villa order is paid.
func (h history) nothingPaid(t reporter, villa string) {
	t.Helper()
	v := newResolution(Case{villa, h.payments, h.reports})
	for i := range h.reports {
		r := &h.reports[i]
		bank, p := v.names(r)
		if r.ChargeID == "" || bank == "" || p == nil || p.OrderID != villa || !r.trusted() || v.misdirected(r) || !fits(r, p) {
			continue
		}
		if ok, _ := applies(r, p); !ok || !r.rank().paid() {
			continue
		}
		alone := true // nothing else was said about the charge
		for j := range h.reports {
			alone = alone && (i == j || h.reports[j].ChargeID != r.ChargeID && h.reports[j].ChargeID != "")
		}
		if alone {
			t.Fatalf("%s is paid, and Villa order %s is not", r.ChargeID, villa)
		}
	}
}

// TestAnyPaidChargePays adds a charge that nobody knew to any history: the
// payment that it is on becomes paid, whatever was said of others. Only a report
// without a charge's id that takes something back may be about the new charge.
func TestAnyPaidChargePays(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		h := histories(t)
		h.reports = slices.DeleteFunc(h.reports, Report.takesBackUnnamed)
		h.payments = append(h.payments, pay("1", "own", "300.0"))
		state := rapid.SampledFrom([]string{"Authorized", "Settled"}).Draw(t, "new state")
		r := rapid.SampledFrom([]Report{
			api("1", "new", state, on("own")), api("1", "new", state, on("ref-own"), over("300")), api("1", "new", state, ref("ref-own"), status("")),
			notice("new", "own", state, "300.00"), notice("new", "ref-own", state, "300"), notice("new", "", state, "300", ref("ref-own")), api("", "new", state, on("own"), fromBank),
		}).Draw(t, "new")
		h.reports = slices.Insert(slices.Clone(h.reports), rapid.IntRange(0, len(h.reports)).Draw(t, "at"), r)
		own, _ := h.both(t)
		if p := own[0][len(own[0])-1]; p.State != Paid {
			t.Fatalf("%+v", p)
		}
		for _, p := range own[0] {
			if p.State != Paid && !p.Warned(WarnPaidElsewhere) {
				t.Fatalf("%+v", p)
			}
		}
	})
}

// TestNoChargeLowersAnother adds anything about one charge to any history: what
// all other named charges are stays as it was, and a Villa order that is paid
// stays so, or is in doubt if an unnamed report had paid it. A charge that was taken
// back may be the one that unnamed reports were about, and an unnamed report that takes
// something back may be about the new charge.
func TestNoChargeLowersAnother(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		h := histories(t)
		r := anyReport(t)
		if r.ChargeID == "" || r.ChargeID == "X" || r.ChargeID == "X5" { // those two have a border
			r.ChargeID = "c1"
		}
		more := history{h.payments, append(slices.Clone(h.reports), r)}
		for _, villa := range []string{"1", "2"} {
			before, after := h.charges(villa), more.charges(villa)
			for name, c := range before {
				if c.id == "" || c.id == r.ChargeID || h.unnamed() {
					continue
				}
				if now := after[name]; now == nil || now.rank() != c.rank() || now.everPaid() != c.everPaid() || !reflect.DeepEqual(c.order, now.order) {
					t.Fatalf("%s was %d and paid %t, and became %+v", name, c.rank(), c.everPaid(), now)
				}
			}
			ownBefore, elsewhereBefore := resolve(t, villa, h.payments, h.reports)
			ownAfter, elsewhereAfter := resolve(t, villa, more.payments, more.reports)
			apart := !h.about(r.ChargeID) && (!h.unnamed() || r.rank() <= Settled && !h.takenBack())
			if apart && paid(ownBefore, elsewhereBefore) > 0 && paid(ownAfter, elsewhereAfter) == 0 && Doubt(Case{villa, more.payments, more.reports}) == nil {
				t.Fatalf("Villa order %s was paid: %s", villa, outcome(ownAfter, elsewhereAfter))
			}
		}
	})
}

// unnamed reports whether any report names no charge.
func (h history) unnamed() bool { return h.about("") }

// takenBack reports whether a report that names no charge takes something back.
func (h history) takenBack() bool { return slices.ContainsFunc(h.reports, Report.takesBackUnnamed) }

func (r Report) takesBackUnnamed() bool { return r.ChargeID == "" && r.rank() > Settled }

// about reports whether any report is about a charge.
func (h history) about(chargeID string) bool {
	return slices.ContainsFunc(h.reports, func(r Report) bool { return r.ChargeID == chargeID })
}

// TestAChargeOnlyMovesUp adds another report about a charge at the end of any
// history: as long as the charge stays with its order, it does not move down.
func TestAChargeOnlyMovesUp(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		h := histories(t)
		more := history{h.payments, append(slices.Clone(h.reports), anyReport(t))}
		for _, villa := range []string{"1", "2"} {
			before, after := h.charges(villa), more.charges(villa)
			for name, c := range before {
				now := after[name]
				if c.id == "" || now == nil || !reflect.DeepEqual(c.order, now.order) || h.unnamed() || borders(more) {
					continue
				}
				if c.order == nil && c.rank() == RefundedInFull && now.everPaid() {
					continue // it became known that only a part was refunded
				}
				if now.rank() < c.rank() || c.everPaid() && !now.everPaid() {
					t.Fatalf("%s: from %d to %d", name, c.rank(), now.rank())
				}
			}
		}
	})
}

// borders reports whether two charges have the same border.
func borders(h history) bool {
	whose := map[string]string{}
	for _, r := range h.reports {
		if text := r.Border(); text != "" {
			if other := whose[text]; other != "" && other != r.ChargeID {
				return true
			}
			whose[text] = r.ChargeID
		}
	}
	return false
}

// TestArrivalDecidesNothing records the same reports, each with the time at which
// it was received, in two orders. What the
// payments are is the same, except where arrival decides: which of two
// notifications says whose a charge is, and which of two charges a border belongs
// to. Those histories keep the order of their notifications.
func TestArrivalDecidesNothing(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		h := histories(t)
		shuffled := history{h.payments, rapid.Permutation(h.reports).Draw(t, "shuffled")}
		notified := func(r Report) bool { return r.From == FromWebhook }
		in := 0
		for i, r := range shuffled.reports { // notifications in their first order
			if notified(r) {
				for !notified(h.reports[in]) {
					in++
				}
				shuffled.reports[i] = h.reports[in]
				in++
			}
		}
		own, elsewhere := h.both(t)
		ownShuffled, elsewhereShuffled := shuffled.both(t)
		for i := range own {
			if one, other := outcome(own[i], elsewhere[i]), outcome(ownShuffled[i], elsewhereShuffled[i]); one != other {
				t.Fatalf("%s\n%s", one, other)
			}
			if !reflect.DeepEqual(own[i], ownShuffled[i]) || !reflect.DeepEqual(elsewhere[i], elsewhereShuffled[i]) {
				t.Fatalf("%s%s", cmp.Diff(own[i], ownShuffled[i], sameDigits), cmp.Diff(elsewhere[i], elsewhereShuffled[i], sameDigits))
			}
		}
	})
}

// TestArrivalOfOneOrdersNotifications records notifications of one bank order,
// whose amounts share no border, in two orders: there arrival decides nothing.
func TestArrivalOfOneOrdersNotifications(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		h := history{payments: []Payment{pay("1", "o1", "300.0"), pay("2", "o2", "300.0")}}
		for range rapid.IntRange(1, 8).Draw(t, "reports") {
			r := anyReport(t)
			if r.From == FromWebhook {
				r.ChargeID, r.BankOrderID, r.Reference = fmt.Sprint("c", len(r.ChargeID)), "o1", ""
			}
			h.reports = append(h.reports, r)
		}
		shuffled := history{h.payments, rapid.Permutation(h.reports).Draw(t, "shuffled")}
		if borders(h) {
			t.Skip("a border decides by arrival")
		}
		own, elsewhere := h.both(t)
		ownShuffled, elsewhereShuffled := shuffled.both(t)
		for i := range own {
			if one, other := outcome(own[i], elsewhere[i]), outcome(ownShuffled[i], elsewhereShuffled[i]); one != other {
				t.Fatalf("%s\n%s", one, other)
			}
		}
	})
}

// bearing is what bears on one Villa order, as Case says: what the ledger reads.
func (h history) bearing(villa string) history {
	names, charges, borders := map[string]bool{}, map[string]bool{}, map[string]bool{}
	for _, p := range h.payments {
		if p.OrderID == villa {
			names[p.BankOrderID], names[p.Reference] = true, true
		}
	}
	delete(names, "")
	var out history
	for n := -1; n < len(out.reports); {
		n = len(out.reports)
		out.reports = nil
		for _, r := range h.reports {
			if r.OrderID == villa || names[r.BankOrderID] || names[r.Reference] || charges[r.ChargeID] || borders[r.Border()] {
				out.reports = append(out.reports, r)
				if r.ChargeID != "" {
					charges[r.ChargeID] = true
				}
				if r.Border() != "" {
					borders[r.Border()] = true
				}
			}
		}
	}
	villas := map[string]bool{villa: true}
	for _, r := range out.reports {
		villas[r.OrderID], villas[r.BankOrderID], villas[r.Reference] = true, true, true
		names[r.BankOrderID], names[r.Reference] = true, true
	}
	for _, p := range h.payments {
		if villas[p.OrderID] || names[p.BankOrderID] || names[p.Reference] {
			out.payments = append(out.payments, p)
		}
	}
	return out
}

// TestNothingElseBears resolves each Villa order from what bears on it alone, and
// from everything: the outcome is the same. Two Villa orders that are resolved
// apart can not get one charge both.
func TestNothingElseBears(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		h := histories(t)
		own, elsewhere := h.both(t)
		for i, villa := range []string{"1", "2"} {
			part := h.bearing(villa)
			ownPart, elsewherePart := resolve(t, villa, part.payments, part.reports)
			if one, other := outcome(own[i], elsewhere[i]), outcome(ownPart, elsewherePart); one != other {
				t.Fatalf("Villa order %s: %s\nfrom a part: %s", villa, one, other)
			}
		}
	})
}

// mayChange are the Villa orders that must be resolved anew when a report comes:
// those that are named by any report about its charge, or about a charge that
// shares a border with that one.
func (h history) mayChange(r Report) map[string]bool {
	charges, borders := map[string]bool{r.ChargeID: true}, map[string]bool{}
	all := append(slices.Clone(h.reports), r)
	for _, said := range all {
		if said.ChargeID == r.ChargeID {
			borders[said.Border()] = true
		}
	}
	for _, said := range all {
		if said.Border() != "" && borders[said.Border()] {
			charges[said.ChargeID] = true
		}
	}
	delete(charges, "")
	villas := map[string]bool{}
	for i, said := range all {
		if i == len(h.reports) || charges[said.ChargeID] {
			villas[said.OrderID] = true
			for _, p := range h.payments {
				if p.BankOrderID == said.BankOrderID || p.Reference == said.BankOrderID || p.Reference == said.Reference {
					villas[p.OrderID] = true
				}
			}
		}
	}
	return villas
}

// TestAReportChangesOnlyWhatItNames adds a report to any history: what a Villa
// order is changes only if it may.
func TestAReportChangesOnlyWhatItNames(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		h, r := histories(t), anyReport(t)
		more := history{h.payments, append(slices.Clone(h.reports), r)}
		may := h.mayChange(r)
		own, elsewhere := h.both(t)
		ownMore, elsewhereMore := more.both(t)
		for i, villa := range []string{"1", "2"} {
			if one, other := outcome(own[i], elsewhere[i]), outcome(ownMore[i], elsewhereMore[i]); one != other && !may[villa] {
				t.Fatalf("Villa order %s: %s, then %s", villa, one, other)
			}
		}
	})
}
