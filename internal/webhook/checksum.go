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

// signedDecimals is the number of decimals in the signed amount.
const signedDecimals = 4

// ErrNoKey means that there is no secret key. With an empty key anybody could forge
// checksums.
var ErrNoKey = errors.New("no secret key for notifications")

// MismatchError means that a notification's checksum does not match. It does not
// contain the right checksum: in a log, that would be a usable signature.
type MismatchError struct{ ChargeID string }

func (e *MismatchError) Error() string {
	return fmt.Sprintf("the checksum of charge %q does not match its content", e.ChargeID)
}

// Checksum computes a notification's checksum: lower-case hex SHA-256 of id, amount
// with 4 decimals, currency, status, transaction_state and the merchant's secret
// key, concatenated. It covers neither order_id nor livemode.
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

// Verify checks a notification's signature in constant time. It returns a
// *MismatchError if it does not match.
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

// equal compares two hex checksums in constant time, ignoring case.
func equal(a, b string) bool {
	x, errA := hex.DecodeString(a)
	y, errB := hex.DecodeString(b)
	return errA == nil && errB == nil && subtle.ConstantTimeCompare(x, y) == 1
}

// Sign sets the checksum in a notification's JSON and changes nothing else.
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

// set sets a field of a JSON object. The field moves to the end.
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
