package webhook

import (
	"errors"

	"github.com/villapay/villapay/internal/secret"
)

// Explain returns why a listener with this key would reject a notification: missing
// or malformed fields, else a wrong checksum. Nil means that it is valid. The result
// never contains the right checksum.
func Explain(body []byte, key secret.String) []Difference {
	if len(body) > MaxBody {
		return []Difference{{"body", "is larger than 64 KiB"}}
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
