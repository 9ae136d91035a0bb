package webhook

import (
	"errors"
	"strings"

	"github.com/villapay/villapay/internal/order"
	"github.com/villapay/villapay/internal/secret"
)

// Explain says why a listener with this key would refuse a notification: which
// fields are missing or of another form and, where only the checksum is wrong,
// what it was computed from if that is one of the usual slips. Nil means that
// the notification is good. It never tells the right checksum.
func Explain(body []byte, key secret.String) []Difference {
	if len(body) > MaxBody {
		return []Difference{{"body", "is larger than the 64 KiB that are read"}}
	}
	n, err := Decode(body)
	if malformed := new(MalformedError); errors.As(err, &malformed) {
		return malformed.Differences
	}
	switch err := Verify(n, key); {
	case err == nil:
		return nil
	case errors.Is(err, ErrNoKey):
		return []Difference{{"secret", "is not set"}}
	}
	best := search(slips(n, key), n.Checksum)
	if best == nil {
		return []Difference{{"checksum", "fits neither the content nor any usual slip: it was signed with another secret, or a signed field was changed"}}
	}
	return best
}

// slip is one way in which a part may have gone into a checksum. The first one
// of each part is the right way and has no problem.
type slip struct{ text, problem string }

// slips lists, for each part of the checksum in its order, the ways that
// senders and proxies are likely to get it wrong.
func slips(n Notification, key secret.String) [][]slip {
	secretKey := key.Reveal()
	return [][]slip{
		{{n.ID, ""}, {n.OrderID, "was signed as the order_id"}, {"", "was left out of the checksum"}},
		amountSlips(n.Amount),
		variants(n.Currency, "THB", strings.ToLower(n.Currency), ""),
		variants(n.Status, "success", "fail", "failed", "pending", ""),
		variants(n.TransactionState, "Initialize", "Pre-Authorized", "Authorized", "Auhtorized", "Settled", "Declined", "Reversed", "Voided", "VOID", "Refund Sent", ""),
		{
			{secretKey, ""},
			{strings.TrimSpace(secretKey), "has white space around it here, which the signer's has not"},
			{secretKey + "\n", "went into the checksum with a line break after it"},
			{"", "was left out of the checksum"},
		},
	}
}

// amountSlips are the forms that an amount is signed in by mistake.
func amountSlips(a order.Amount) []slip {
	right, _ := a.Fixed(signedDecimals)
	found := []slip{{right, ""}}
	add := func(text string) {
		found = append(found, slip{text, "was signed as " + text + " instead of " + right + " (4 decimals)"})
	}
	add(a.String())
	for _, decimals := range []int{2, 1, 0, 3} {
		if text, err := a.Fixed(decimals); err == nil {
			add(text)
		}
	}
	if satang, err := a.Fixed(2); err == nil {
		add(strings.TrimLeft(strings.Replace(satang, ".", "", 1), "0"))
	}
	return append(found, slip{"", "was left out of the checksum"})
}

// variants are other texts that a field may have had when it was signed.
func variants(text string, others ...string) []slip {
	found := []slip{{text, ""}}
	for _, other := range others {
		if other != text {
			found = append(found, slip{other, "was signed as " + quoted(other)})
		}
	}
	return found
}

func quoted(text string) string {
	if text == "" {
		return "nothing"
	}
	return `"` + text + `"`
}

// signedParts names the parts of the checksum in their order.
func signedParts() []string {
	return []string{"id", "amount", "currency", "status", "transaction_state", "secret"}
}

// search tries every combination and returns the one that gives the checksum
// with the fewest slips, nil where none does: some 30,000 hashes.
func search(parts [][]slip, checksum string) []Difference {
	var best []Difference
	choice := make([]slip, len(parts))
	var try func(part int)
	try = func(part int) {
		if part < len(parts) {
			for _, choice[part] = range parts[part] {
				try(part + 1)
			}
			return
		}
		if found := taken(choice); (best == nil || len(found) < len(best)) && strings.EqualFold(joined(choice), checksum) {
			best = found
		}
	}
	try(0)
	return best
}

func taken(choice []slip) []Difference {
	var found []Difference
	for i, s := range choice {
		if s.problem != "" {
			found = append(found, Difference{signedParts()[i], s.problem})
		}
	}
	return found
}

func joined(choice []slip) string {
	texts := make([]string, len(choice))
	for i, s := range choice {
		texts[i] = s.text
	}
	return digest(texts...)
}
