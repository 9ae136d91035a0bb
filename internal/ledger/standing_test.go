package ledger

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/villapay/villapay/internal/order"
)

// anyCharge is something a webhook or status endpoint might say of order o1.
var anyCharge = rapid.Custom(func(t *rapid.T) Charge {
	c := charge(
		rapid.SampledFrom([]string{"", "c1", "c2", "c3"}).Draw(t, "id"), "o1",
		rapid.SampledFrom([]string{"", "Initialize", "Pre-Authorized", "Declined", "Authorized", "Auhtorized", "Settled", "Reversed", "Voided", "VOID", "Refund Sent", "Pondering"}).Draw(t, "state"),
	)
	c.Amount, _ = order.ParseAmount(rapid.SampledFrom([]string{"300", "300.0", "300", "100"}).Draw(t, "amount"))
	c.Status = rapid.SampledFrom([]string{"success", "success", "fail"}).Draw(t, "status")
	if c.TransactionState == "" && rapid.Bool().Draw(t, "status_paid") {
		c.PaidBy = ByStatusPaid
	}
	return c
})

// TestArrivalOrderDecidesNothing holds the same charges against one order in two
// orders of arrival.
func TestArrivalOrderDecidesNothing(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		said := rapid.SliceOfN(anyCharge, 1, 7).Draw(t, "said")
		shuffled := rapid.Permutation(said).Draw(t, "shuffled")
		one, other := weighed(said), weighed(shuffled)
		if one.State != other.State || !slices.Equal(one.Warnings, other.Warnings) || one.PaidAt.IsZero() != other.PaidAt.IsZero() {
			t.Fatalf("%+v\n%+v", one, other)
		}
		if one.State != Paid && one.BankState != other.BankState {
			t.Fatalf("%s is %q or %q", one.State, one.BankState, other.BankState)
		}
	})
}

// weighed is an awaiting payment after charges came, a second apart.
func weighed(said []Charge) *row {
	r := &row{Payment: Payment{State: Awaiting, Currency: "THB", BankOrderID: "o1"}, slot: true}
	r.Amount, _ = order.ParseAmount("300.0")
	var reports []*report
	for i, c := range said {
		if c.PaidBy == "" {
			c.PaidBy = ByTransactionState
		}
		reports = append(reports, &report{Charge: c, at: time.Unix(int64(i), 0)})
		charges, warnings := r.bankOrder().weigh(slices.Clone(reports))
		r.follow(verdict{charges, decide(charges), warnings})
	}
	return r
}

// TestArrivalOrderDecidesNothingInTheLedger is the same through the database,
// with the order recorded at any moment between the charges.
func TestArrivalOrderDecidesNothingInTheLedger(t *testing.T) {
	t.Parallel()
	l := sqlitePlace(t).open(t)
	n := 0
	rapid.Check(t, func(r *rapid.T) {
		said := rapid.SliceOfN(anyCharge, 1, 5).Draw(r, "said")
		var ends []string
		for _, arrival := range [][]Charge{said, rapid.Permutation(said).Draw(r, "shuffled")} {
			n++
			recordAt := rapid.IntRange(0, len(arrival)).Draw(r, "record at")
			id := fmt.Sprint(n)
			claimed := l.mustClaim(t, ask(id), Claimed)
			for i, c := range append(arrival, Charge{}) {
				if i == recordAt {
					l.mustRecord(t, claimed, testOrder(t, "o"+id))
				}
				if i == len(arrival) {
					break
				}
				c.BankOrderID = "o" + id
				if c.ID != "" {
					c.ID += "-" + id
				}
				apply(t, l, c)
			}
			all, err := l.Payments(t.Context(), scope, id)
			if err != nil {
				t.Fatal(err)
			}
			ends = append(ends, fmt.Sprint(all[0].State, codes(all[0].Warnings)))
		}
		if ends[0] != ends[1] {
			r.Fatalf("%s, or %s", ends[0], ends[1])
		}
	})
}

func TestExpiryIsTheEarlier(t *testing.T) {
	t.Parallel()
	received := time.Date(2025, 5, 30, 21, 0, 0, 0, order.Bangkok)
	for name, test := range map[string]struct {
		order order.Order
		want  time.Time
	}{
		"made just before": {order.Order{Created: received.Add(-time.Minute), Expiry: time.Hour}, received.Add(59 * time.Minute)},
		"made in future":   {order.Order{Created: received.Add(7 * time.Hour), Expiry: time.Hour}, received.Add(time.Hour)},
		"made long ago":    {order.Order{Created: received.Add(-7 * time.Hour), Expiry: time.Hour}, received.Add(-6 * time.Hour)},
		"created unknown":  {order.Order{Expiry: time.Hour}, received.Add(time.Hour)},
		"no expiry":        {order.Order{Created: received}, time.Time{}},
	} {
		var p Payment
		p.Answered(&test.order, received)
		if !p.ExpiresAt.Equal(test.want) {
			t.Errorf("%s: %s, want %s", name, p.ExpiresAt, test.want)
		}
	}
}

func TestAnsweredSaysWhyItFailed(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		order order.Order
		want  Failure
	}{
		{order.Order{Status: "success", FailureCode: "a", FailureMessage: "b"}, Failure{Code: "a", Message: "b"}},
		{order.Order{Status: "error"}, Failure{Code: "order_failed", Message: `the bank refused the order (status "error")`}},
	} {
		var p Payment
		p.Answered(&test.order, time.Now())
		if diff := cmp.Diff(&test.want, p.Error); diff != "" || p.State != Failed {
			t.Error(p.State, diff)
		}
	}
}
