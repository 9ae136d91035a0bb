package webhook

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/villapay/villapay/internal/order"
	"github.com/villapay/villapay/internal/secret"
)

// signedDecimals is how many decimals of the amount the checksum covers.
const signedDecimals = 4

// ErrNoKey says that there is no secret key to check or sign with. Without one
// every checksum could be forged, so nothing is checked at all.
var ErrNoKey = errors.New("no secret key for notifications")

// MismatchError says that a notification's checksum does not belong to it: the
// content or the key is another. It does not hold the right checksum, which
// would be a signature for whoever reads the log.
type MismatchError struct{ ChargeID string }

func (e *MismatchError) Error() string {
	return fmt.Sprintf("the checksum of charge %q does not match its content", e.ChargeID)
}

// Checksum computes a notification's checksum: SHA-256 in lower-case
// hex of id, amount with 4 decimals, currency, status, transaction_state and
// the merchant's secret key, one after the other. It covers neither order_id
// nor livemode.
func Checksum(n Notification, key secret.String) (string, error) {
	if key.Empty() {
		return "", ErrNoKey
	}
	amount, err := n.Amount.Fixed(signedDecimals)
	if err != nil {
		return "", err
	}
	return digest(n.ID, amount, n.Currency, n.Status, n.TransactionState, key.Reveal()), nil
}

func digest(parts ...string) string {
	hash := sha256.New()
	for _, part := range parts {
		hash.Write([]byte(part))
	}
	return hex.EncodeToString(hash.Sum(nil))
}

// Verify checks that the bank, or whoever else has the key, signed the
// notification. It fails with a *MismatchError if not, and takes the same
// time wherever the difference stands.
func Verify(n Notification, key secret.String) error {
	want, err := Checksum(n, key)
	if err != nil {
		return err
	}
	if !equal(want, n.Checksum) {
		return &MismatchError{n.ID}
	}
	return nil
}

// equal compares two checksums in constant time; upper-case hex counts too.
func equal(a, b string) bool {
	x, errA := hex.DecodeString(a)
	y, errB := hex.DecodeString(b)
	return errA == nil && errB == nil && subtle.ConstantTimeCompare(x, y) == 1
}

// Sign puts the right checksum into a notification's JSON, in place of any that
// stands there; everything else stays as it is.
func Sign(body []byte, key secret.String) ([]byte, error) {
	n, err := decode(body, func(*reader) string { return "" })
	if err != nil {
		return nil, fmt.Errorf("sign notification: %w", err)
	}
	sum, err := Checksum(n, key)
	if err != nil {
		return nil, fmt.Errorf("sign notification: %w", err)
	}
	return set(body, "checksum", sum)
}

// set gives one field of a JSON object another text, at the object's end.
func set(body []byte, name string, value any) ([]byte, error) {
	fields, err := order.Fields(body)
	if err != nil {
		return nil, err
	}
	raw, err := json.Marshal(value)
	if err != nil {
		return nil, err
	}
	fields = slices.DeleteFunc(fields, func(f order.Field) bool { return f.Name == name })
	out := []byte{'{'}
	for _, f := range append(fields, order.Field{Name: name, Value: raw}) {
		label, err := json.Marshal(f.Name)
		if err != nil {
			return nil, err
		}
		if len(out) > 1 {
			out = append(out, ',')
		}
		out = append(append(append(out, label...), ':'), f.Value...)
	}
	return append(out, '}'), nil
}
