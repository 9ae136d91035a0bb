package order

import (
	"fmt"
	"strings"
)

// DoubtError says that something was said of a charge of a Villa order that proves
// neither that the order was paid nor that it was not.
type DoubtError struct{ What string }

func (e *DoubtError) Error() string { return "it is not certain that the order is unpaid: " + e.What }

// Doubt returns a *DoubtError if a charge may have moved money, though none of its
// reports proves it: it says something that does not fit the order, cannot be read, or
// is neither initialized nor declined. What is said of a charge that is known to be
// paid or taken back leaves no doubt.
func Doubt(c Case) error {
	v := resolveCharges(c)
	for _, c := range v.charges {
		if c.everPaid() {
			continue
		}
		if len(c.warnings) > 0 {
			return &DoubtError{c.warnings[0].Message}
		}
		for _, r := range c.heard {
			if r.leavesOpen(c.rank()) {
				v.doubtful = append(v.doubtful, r)
			}
		}
	}
	if len(v.doubtful) == 0 {
		return nil
	}
	r := v.doubtful[0]
	if _, p := v.names(r); p != nil {
		if warning := mismatch(r, p); warning != nil {
			return &DoubtError{warning.Message}
		}
	} else if r.Doubt != "" {
		return &DoubtError{doubt(r, warnDoubt, "its %s cannot be read", r.Doubt).Message}
	}
	return &DoubtError{fmt.Sprintf("%s says %q, which proves nothing", r.name(), r.TransactionState)}
}

// leavesOpen reports whether money may have moved for all that a report says of a
// charge which was never known to be paid and has come to a rank.
func (r *Report) leavesOpen(reached Rank) bool {
	switch {
	case !r.AboutCharge():
		return false
	case r.Doubt != "":
		return true
	}
	switch r.rank() {
	case Initialized: // a pre-authorization may hold money until the charge ends
		return reached <= Initialized && !strings.EqualFold(strings.TrimSpace(r.TransactionState), "initialize")
	case Declined, Reversed, Voided, RefundedInFull:
		return false
	case Unranked, Authorized, Settled:
	}
	return true
}
