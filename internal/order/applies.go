package order

import (
	"cmp"
	"errors"
	"fmt"
	"strings"
)

// Codes of warnings. Those that charges give rise to are computed anew by each
// [Resolve].
const (
	WarnClock         = "clock"
	WarnPaidTwice     = "paid_twice"
	warnReturned      = "paid_twice_returned" // a bank order was paid more than once, and a charge of it was given back
	WarnPaidElsewhere = "paid_elsewhere"      // another payment, or another tool's, paid the Villa order
	WarnNotRecorded   = "not_recorded"
	WarnShared        = "shared_order" // another Villa order got the same bank order first
	warnStatus        = "charge_status"
	warnAmount        = "charge_amount"
	warnCurrency      = "charge_currency"
	warnLivemode      = "charge_livemode"
	warnDoubt         = "charge_doubt"
	warnOrder         = "charge_order"  // the charge is on another order
	warnNeverPaid     = "charge_unpaid" // taken back, and never known to be paid
	warnPartial       = "partial_refund"
	warnRefund        = "refund_state"
	warnUnconfirmed   = "charge_unconfirmed" // kept until the API or the bank has named the charge
)

// ErrUnconfirmed says that the bank was asked about a charge, and answered without
// naming it.
var ErrUnconfirmed = errors.New("the bank does not confirm the charge")

// Unconfirmed is the warning of [ErrUnconfirmed] about a charge that a notification
// says is paid.
func Unconfirmed(chargeID string) Warning {
	return Warning{warnUnconfirmed, "the bank does not confirm charge " + chargeID + ", which a notification says is paid"}
}

// computed reports whether Resolve computes a warning anew.
func computed(w Warning) bool {
	switch w.Code {
	case WarnPaidTwice, warnReturned, WarnPaidElsewhere, WarnShared, warnOrder, warnNeverPaid, warnPartial, warnRefund,
		warnStatus, warnAmount, warnCurrency, warnLivemode, warnDoubt:
		return true
	}
	return false
}

// AboutStatus reports whether a warning is about a status answer that said
// nothing of a charge.
func (w Warning) AboutStatus() bool { return strings.HasPrefix(w.Code, "status_") }

// fits reports whether amount, currency and livemode are the payment's, as far
// as a report from the API or the bank states them.
func fits(r *Report, p *Payment) bool { return mismatch(r, p) == nil }

// mismatch says how a report does not fit a recorded order; nil if it does.
func mismatch(r *Report, p *Payment) *Warning {
	if r.Doubt != "" {
		return doubt(r, warnDoubt, "its %s cannot be read", r.Doubt)
	}
	if (r.Currency != "" || !r.trusted()) && !strings.EqualFold(r.Currency, p.Currency) {
		return doubt(r, warnCurrency, "it is in %s, the order in %s", cmp.Or(r.Currency, "nothing"), cmp.Or(p.Currency, "nothing"))
	}
	if (r.Amount.Known() || !r.trusted()) && !r.Amount.Equal(p.Amount) {
		return doubt(r, warnAmount, "it is over %s, the order over %s", cmp.Or(r.Amount.String(), "nothing"), cmp.Or(p.Amount.String(), "nothing"))
	}
	live := p.livemode()
	switch {
	case live == nil:
	case r.Livemode != nil && *r.Livemode != *live:
		return doubt(r, warnLivemode, "its livemode is %t, the order's %t", *r.Livemode, *live)
	case r.Livemode == nil && *live && r.From == FromWebhook: // the checksum does not cover it
		return doubt(r, warnLivemode, "it has no livemode, and the order is live")
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
	if r.rank() == RefundedInFull && r.Doubt == "" && strings.EqualFold(cmp.Or(r.Currency, p.Currency), p.Currency) && r.Amount.Less(p.Amount) {
		return false, partialRefund(r, p.Amount, p.Currency)
	}
	if warning := mismatch(r, p); warning != nil {
		return false, warning
	}
	if r.rank() == Unranked && strings.HasPrefix(strings.ToLower(strings.TrimSpace(r.TransactionState)), "refund") {
		return true, &Warning{warnRefund, fmt.Sprintf("%s says %q, which is not a refund: the state is kept", r.name(), r.TransactionState)}
	}
	return true, nil
}

func partialRefund(r *Report, whole Amount, currency string) *Warning {
	return &Warning{warnPartial, fmt.Sprintf("%s of %s %s were refunded on %s, not all: the state is kept", r.Amount, whole, currency, r.name())}
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
