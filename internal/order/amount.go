package order

import (
	"encoding/json"
	"fmt"
	"math/big"
	"strings"
)

// Amount is a sum of money in the currency's major unit (300.0 is 300 baht):
// an exact decimal that keeps the digits it came with. The zero value means
// that no amount is known.
type Amount struct{ text string }

// ParseAmount reads a plain decimal such as 300, 300.0 or 74.00: at most 18
// digits before the dot and 12 after it. Exponents, signs other than a leading
// minus, and bare dots are invalid: no payment API sends them on purpose.
func ParseAmount(text string) (Amount, error) {
	if !isAmount(text) {
		return Amount{}, fmt.Errorf("%q is not a plain decimal amount", text)
	}
	return Amount{text}, nil
}

func isAmount(text string) bool {
	whole, fraction, dot := strings.Cut(strings.TrimPrefix(text, "-"), ".")
	if !isDigits(whole) || len(whole) > 18 || len(whole) > 1 && whole[0] == '0' {
		return false
	}
	return !dot || isDigits(fraction) && len(fraction) <= maxDecimals
}

func isDigits(text string) bool { return text != "" && strings.Trim(text, "0123456789") == "" }

// String returns the digits as they came, "" if no amount is known.
func (a Amount) String() string { return a.text }

// Known reports whether there is an amount.
func (a Amount) Known() bool { return a.text != "" }

// Equal compares by value: 74, 74.0 and 74.00 are equal.
func (a Amount) Equal(b Amount) bool {
	return a.Known() && b.Known() && a.rat().Cmp(b.rat()) == 0
}

// Less reports whether a is known to be smaller than b.
func (a Amount) Less(b Amount) bool {
	return a.Known() && b.Known() && a.rat().Cmp(b.rat()) < 0
}

// Fixed writes the amount with exactly n decimals, from its digits and never
// through a float. It fails if that would drop a digit other than zero.
func (a Amount) Fixed(n int) (string, error) {
	if !a.Known() {
		return "", fmt.Errorf("no amount")
	}
	whole, fraction, _ := strings.Cut(a.text, ".")
	if len(fraction) > n {
		if strings.Trim(fraction[n:], "0") != "" {
			return "", fmt.Errorf("amount %s has more than %d decimals", a.text, n)
		}
		fraction = fraction[:n]
	}
	if n == 0 {
		return whole, nil
	}
	return whole + "." + fraction + strings.Repeat("0", n-len(fraction)), nil
}

// UnmarshalJSON reads a JSON number or a string that holds one ("74.00"); null
// and "" mean that no amount is known: types vary in the wild.
func (a *Amount) UnmarshalJSON(data []byte) error {
	text := string(data)
	if text == "null" || strings.HasPrefix(text, `"`) {
		text = ""
		if err := json.Unmarshal(data, &text); err != nil {
			return err
		}
	}
	*a = Amount{}
	if text = strings.TrimSpace(text); text == "" {
		return nil
	}
	var err error
	*a, err = ParseAmount(text)
	return err
}

// MarshalJSON writes the digits as a JSON number, null if none is known.
func (a Amount) MarshalJSON() ([]byte, error) {
	if !a.Known() {
		return []byte("null"), nil
	}
	return []byte(a.text), nil
}

func (a Amount) rat() *big.Rat {
	r, _ := new(big.Rat).SetString(a.text) // a known amount is a decimal
	return r
}
