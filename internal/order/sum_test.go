package order

import (
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestParseGrouped(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"300": "300", "300.00": "300.00", "-5.0": "-5.0", "1,234.50": "1234.50", "-1,234,567": "-1234567", "12,345": "12345", "999,999.999": "999999.999",
		"THB 300": "300", "THB 2,674.75": "2674.75", "2674.75 THB": "2674.75", "thb2,674.75": "2674.75", "฿300": "300", "300.00฿": "300.00",
		"1,300 Baht": "1300", "baht\u00a0-5": "-5",
	} {
		if a, err := ParseGrouped(text); err != nil || a.String() != want {
			t.Errorf("%q became %q, %v", text, a, err)
		}
		if NamesBaht(text) != (strings.Trim(text, "0123456789.,-") != "") {
			t.Errorf("%q: NamesBaht is wrong", text)
		}
	}
	for _, text := range []string{"", "1,23", "1,2345", "1234,567", "1.234,50", "300,00", "0,300", ",300", "1,,234", "THB", "฿", "THB THB 300", "USD 300", "THB 1,23", "3 THB 00", "1 234", "1,234.", "3e2"} {
		if a, err := ParseGrouped(text); err == nil || !strings.Contains(err.Error(), "1,234.50") {
			t.Errorf("%q became %q, %v", text, a, err)
		}
	}
}

func TestSpellings(t *testing.T) {
	t.Parallel()
	for text, want := range map[string][]string{"300.00": {"300", "300.0", "300.00", "300.000"}, "-74.5": {"-74.5", "-74.50", "-74.500"}, "": nil} {
		all := sum(t, text).Spellings()
		if got := all[:min(len(all), len(want))]; !slices.Equal(got, want) {
			t.Errorf("%s: %v", text, all)
		}
		for _, spelling := range all {
			if !sum(t, spelling).Equal(sum(t, text)) {
				t.Errorf("%s is spelled %s", text, spelling)
			}
		}
	}
}

func TestSum(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		add, want string
	}{
		{"", "0"},
		{"300.0 300.0", "600.0"},
		{"0.1 0.2 74 74.00", "148.30"},
		{"300.0 300.0 -300.00", "300.00"},
		{"1 -1.005", "-0.005"},
		{"-0.5 -0.25", "-0.75"},
		{"999999999999999999.999999999999 0.000000000001", "1000000000000000000.000000000000"},
	} {
		var total Sum
		for text := range strings.FieldsSeq(c.add) {
			total.Add(sum(t, text))
		}
		total.Add(Amount{})
		if got := total.Amount().String(); got != c.want {
			t.Errorf("%s is %s, want %s", c.add, got, c.want)
		}
	}
}

// A sum is what arithmetic with fractions says.
func TestSumIsExact(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var total Sum
		var want big.Rat
		for _, text := range rapid.SliceOf(rapid.StringMatching(`-?(0|[1-9]\d{0,17})(\.\d{1,12})?`)).Draw(t, "amounts") {
			total.Add(amountOf(text))
			want.Add(&want, amountOf(text).rat())
		}
		if got := total.Amount(); got.rat().Cmp(&want) != 0 {
			t.Fatalf("%s, want %s", got, want.RatString())
		}
	})
}

// Receipts are the charges of a Villa order that are paid now, each on its own day.
func TestReceipts(t *testing.T) {
	t.Parallel()
	a, b := pay("4925", "order_a", "300.0"), pay("4925", "order_b", "300.00")
	at := func(received int) func(*Report) {
		return func(r *Report) { r.Received = start.Add(time.Duration(received) * time.Hour) }
	}
	for name, test := range map[string]struct {
		payments []Payment
		reports  []Report
		want     []string
	}{
		"none":                       {[]Payment{a}, nil, nil},
		"declined":                   {[]Payment{a}, []Report{api("4925", "chrg_1", "Declined", on("order_a"), at(1))}, nil},
		"one":                        {[]Payment{a}, []Report{api("4925", "chrg_1", "Authorized", on("order_a"), at(1))}, []string{"order_a chrg_1 300.0 +1"}},
		"of one order twice":         {[]Payment{a}, []Report{api("4925", "chrg_2", "Settled", on("order_a"), at(1)), api("4925", "chrg_1", "Settled", on("order_a"), at(2))}, []string{"order_a chrg_2 300.0 +1", "order_a chrg_1 300.0 +2 extra"}},
		"of two orders":              {[]Payment{a, b}, []Report{api("4925", "chrg_1", "Settled", on("order_b"), at(3)), api("4925", "chrg_2", "Settled", on("order_a"), at(2))}, []string{"order_a chrg_2 300.0 +2", "order_b chrg_1 300.00 +3 extra"}},
		"one of them given back":     {[]Payment{a, b}, []Report{api("4925", "chrg_1", "Settled", on("order_a"), at(1)), api("4925", "chrg_2", "Voided", on("order_b"), at(2))}, []string{"order_a chrg_1 300.0 +1"}},
		"also through another tool":  {[]Payment{a}, []Report{api("4925", "chrg_1", "Settled", on("order_a"), at(1)), api("4925", "chrg_2", "Settled", on("order_x"), over("300"), in("THB"), at(2))}, []string{"order_a chrg_1 300.0 +1 extra"}},
		"first through another tool": {[]Payment{a}, []Report{api("4925", "chrg_1", "Settled", on("order_a"), at(2)), api("4925", "chrg_2", "Settled", on("order_x"), over("300"), in("THB"), at(1))}, []string{"order_a chrg_1 300.0 +2 extra"}},
		"without an id":              {[]Payment{a}, []Report{api("4925", "", "Settled", on("order_a"), at(1))}, nil},
	} {
		var got []string
		for _, r := range Receipts(Case{"4925", test.payments, test.reports}) {
			line := r.BankOrderID + " " + r.ChargeID + " " + r.Amount.String() + " +" + strings.TrimSuffix(r.PaidAt.Sub(start).String(), "h0m0s")
			if r.Extra {
				line += " extra"
			}
			if r.Currency != "THB" || r.Env != "dev" || r.Source != QR || r.State != Paid || r.OrderID != "4925" {
				t.Errorf("%s: %+v", name, r)
			}
			got = append(got, line)
		}
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}
