package webhook

import (
	"errors"

	"github.com/villapay/villapay/internal/secret"
)

// Explain says why a listener with this key would not take a notification: which
// fields are missing or of another form, else that the checksum does not match.
// Nil means that the notification is good. It never shows the right checksum.
func Explain(body []byte, key secret.String) []Difference {
	if len(body) > MaxBody {
		return []Difference{{"body", "is larger than the 64 KiB that are read"}}
	}
	n, err := Decode(body)
	if malformed, ok := errors.AsType[*MalformedError](err); ok {
		return malformed.Differences
	}
	switch err := Verify(n, key); {
	case err == nil:
		return nil
	case errors.Is(err, ErrNoKey):
		return []Difference{{"secret", "is not set"}}
	}
	return []Difference{{"checksum", "does not match: it was signed with another secret, or a signed field (id, amount, currency, status, transaction_state) was changed"}}
}
