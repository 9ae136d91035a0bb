package cmd

import (
	"testing"

	"github.com/villapay/villapay/internal/order"
)

// What was paid too much is added up for each environment by itself: one may be live,
// and the other not.
func TestPaidTwiceInTwoEnvironments(t *testing.T) {
	t.Parallel()
	amount, err := order.ParseAmount("300.0")
	if err != nil {
		t.Fatal(err)
	}
	extra := func(scope, id string) order.Receipt {
		return order.Receipt{Scope: scope, OrderID: id, Amount: amount, Currency: "THB"}
	}
	got := paidTwice([]order.Receipt{extra("dev", "1"), extra("prod", "1"), extra("prod", "1"), extra("prod", "2")})
	want := []string{"1 300.0", "1 600.0", "2 300.0"}
	if len(got) != len(want) {
		t.Fatalf("%+v", got)
	}
	for i, v := range got {
		if text := v.OrderID + " " + v.Amount.String(); text != want[i] {
			t.Errorf("%s, want %s", text, want[i])
		}
	}
}
