package order

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// sameDigits compares amounts as texts: to a test 74 and 74.00 differ.
var sameDigits = cmp.Comparer(func(a, b Amount) bool { return a.text == b.text })

// sum is an amount; "" is an unknown one.
func sum(t testing.TB, text string) (amount Amount) {
	t.Helper()
	if text != "" {
		var err error
		if amount, err = ParseAmount(text); err != nil {
			t.Fatal(err)
		}
	}
	return amount
}

func TestParseAmount(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"300", "300.0", "0", "-0", "-1.50", "0.000000000001", strings.Repeat("9", 18)} {
		if a, err := ParseAmount(text); err != nil || a.String() != text || !a.Known() {
			t.Errorf("%q became %q, %v", text, a, err)
		}
	}
	for _, text := range []string{
		"", " ", "1e3", "1E3", "+5", ".5", "5.", "-", "-.1", ".", "--1", "1-", "1.2.3", "01", "00", "-01", "0x1", "1_0",
		"1,000", "1 ", " 1", "NaN", "Infinity", "1٣", "１", "null", strings.Repeat("9", 19), "1." + strings.Repeat("0", 13),
	} {
		if a, err := ParseAmount(text); err == nil || a.Known() {
			t.Errorf("%q became %q", text, a)
		}
	}
}

func TestAmountFixed(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		text     string
		decimals int
		want     string
		fails    bool
	}{
		{"300.0", 4, "300.0000", false},
		{"300", 4, "300.0000", false},
		{"0.1234", 4, "0.1234", false},
		{"1.10000", 4, "1.1000", false},
		{"-5.1", 2, "-5.10", false},
		{"74.00", 0, "74", false},
		{"74", 0, "74", false},
		{"1.12345", 4, "", true},
		{"1.01", 1, "", true},
		{"", 4, "", true},
	} {
		got, err := sum(t, c.text).Fixed(c.decimals)
		if got != c.want || (err != nil) != c.fails {
			t.Errorf("%q with %d decimals: %q, %v", c.text, c.decimals, got, err)
		}
	}
}

func TestAmountsCompareByValue(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		a, b        string
		equal, less bool
	}{
		{"74", "74.00", true, false},
		{"0", "-0", true, false},
		{"74", "74.01", false, true},
		{"74.01", "74", false, false},
		{"-1", "0", false, true},
		{"9", "10", false, true},
		{"0.1", "0.10000000000", true, false},
		{"900719925474099267", "900719925474099268", false, true}, // equal as floats
		{"", "", false, false},
		{"", "1", false, false},
		{"1", "", false, false},
	} {
		a, b := sum(t, c.a), sum(t, c.b)
		if a.Equal(b) != c.equal || b.Equal(a) != c.equal || a.Less(b) != c.less {
			t.Errorf("%q and %q: equal %t, less %t", c.a, c.b, a.Equal(b), a.Less(b))
		}
	}
}

func TestAmountJSON(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ in, out string }{
		{`300.0`, `300.0`},
		{`300`, `300`},
		{`-0`, `-0`},
		{`"74.00"`, `74.00`},
		{`" 74.00 "`, `74.00`},
		{`"74"`, `74`},
		{`null`, `null`},
		{`""`, `null`},
		{`" "`, `null`},
	} {
		var a Amount
		if err := json.Unmarshal([]byte(c.in), &a); err != nil {
			t.Errorf("%s: %v", c.in, err)
		}
		if out, err := json.Marshal(a); string(out) != c.out || err != nil {
			t.Errorf("%s became %s, %v; want %s", c.in, out, err, c.out)
		}
	}
	for _, in := range []string{`1e0`, `"1e0"`, `"THB 1.00"`, `"1,000.00"`, `{"value":1}`, `[1]`, `true`, `"null"`, `"๓๐๐"`} {
		a := sum(t, "5")
		if err := json.Unmarshal([]byte(in), &a); err == nil {
			t.Errorf("%s became %s", in, a)
		}
	}
}

// The forms are checked by hand, since compiling a regular expression is felt
// when a program starts. Here the expressions say what the checks must.
var (
	idForm     = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._:-]{0,63}$`)
	amountForm = regexp.MustCompile(`^-?(0|[1-9][0-9]{0,17})(\.[0-9]{1,12})?$`)
)

func FuzzParseAmount(f *testing.F) {
	for _, text := range []string{"300.0", "-0", "0.0", "00", "-", ".", "-.1", "1.", "--1", "1.2.3", "1٣", strings.Repeat("9", 18), strings.Repeat("9", 19), "1." + strings.Repeat("0", 12), "1." + strings.Repeat("0", 13)} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		a, err := ParseAmount(text)
		if (err == nil) != amountForm.MatchString(text) {
			t.Fatalf("%q: %v", text, err)
		}
		if err != nil {
			return
		}
		if fixed, err := a.Fixed(12); err != nil || !sum(t, fixed).Equal(a) {
			t.Errorf("%q with 12 decimals is %q, %v", text, fixed, err)
		}
		var back Amount
		if out, err := json.Marshal(a); err != nil || json.Unmarshal(out, &back) != nil || back != a {
			t.Errorf("%q came back as %q, %v", text, back, err)
		}
	})
}
