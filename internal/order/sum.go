package order

import (
	"fmt"
	"math/big"
	"strconv"
	"strings"
)

// ParseGrouped reads an amount as people and spreadsheets write it: as
// [ParseAmount] does, with thousands separators (1,234.50), or with its currency
// (THB 300).
func ParseGrouped(text string) (Amount, error) {
	whole, fraction, dot := strings.Cut(trimCurrency(text), ".")
	groups := strings.Split(strings.TrimPrefix(whole, "-"), ",")
	grouped := groups[0] != "" && len(groups[0]) <= 3
	for _, group := range groups[1:] {
		grouped = grouped && len(group) == 3
	}
	if grouped {
		whole = strings.ReplaceAll(whole, ",", "")
	}
	if dot {
		whole += "." + fraction
	}
	amount, err := ParseAmount(whole)
	if err != nil {
		return amount, fmt.Errorf("%q is not an amount; examples: 300, 300.00, 1,234.50", text)
	}
	return amount, nil
}

// NamesBaht reports whether a text of an amount that [ParseGrouped] reads names its
// currency, which is the baht then.
func NamesBaht(text string) bool { return trimCurrency(text) != text }

// trimCurrency removes the currency from one end of an amount.
func trimCurrency(text string) string {
	for _, word := range []string{"THB", "฿", "baht"} {
		n := len(word)
		switch {
		case len(text) < n:
		case strings.EqualFold(text[:n], word):
			return strings.TrimSpace(text[n:])
		case strings.EqualFold(text[len(text)-n:], word):
			return strings.TrimSpace(text[:len(text)-n])
		}
	}
	return text
}

// Spellings are all texts of amounts with this value.
func (a Amount) Spellings() []string {
	if !a.Known() {
		return nil
	}
	whole, fraction, _ := strings.Cut(a.text, ".")
	fraction = strings.TrimRight(fraction, "0")
	var all []string
	if fraction == "" {
		all = append(all, whole)
	}
	for n := max(1, len(fraction)); n <= maxDecimals; n++ {
		all = append(all, whole+"."+fraction+strings.Repeat("0", n-len(fraction)))
	}
	return all
}

// maxDecimals is how many digits an amount has behind its dot, at most.
const maxDecimals = 12

// Sum adds amounts, exactly. The zero value is an empty sum.
type Sum struct {
	total    big.Int // in units of the last of maxDecimals
	decimals int     // the most that an amount had
}

// Add adds an amount; an unknown one adds nothing.
func (s *Sum) Add(a Amount) {
	if !a.Known() {
		return
	}
	whole, fraction, _ := strings.Cut(a.text, ".")
	digits := whole + fraction + strings.Repeat("0", maxDecimals-len(fraction))
	var n big.Int
	if small, err := strconv.ParseInt(digits, 10, 64); err == nil { // in a fraction of the time
		n.SetInt64(small)
	} else {
		n.SetString(digits, 10) // a known amount is a decimal
	}
	s.total.Add(&s.total, &n)
	s.decimals = max(s.decimals, len(fraction))
}

// Amount is the sum, with as many decimals as the amount that had the most.
func (s *Sum) Amount() Amount {
	one := new(big.Int).Exp(big.NewInt(10), big.NewInt(maxDecimals), nil)
	return Amount{new(big.Rat).SetFrac(&s.total, one).FloatString(s.decimals)} // which rounds nothing off
}
