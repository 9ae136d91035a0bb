package webhook

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/villapay/villapay/internal/order"
	"github.com/villapay/villapay/internal/secret"
)

// signedDecimals is the number of decimals in the signed amount.
const signedDecimals = 4

// ErrNoKey means that there is no secret key. With an empty key anybody could forge
// checksums.
var ErrNoKey = errors.New("no secret key for notifications")

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

// Verify checks a notification's signature in constant time, whatever the case of its
// hex digits. Its errors do not contain the right checksum: in a log, that would be a
// usable signature.
func Verify(n Notification, key secret.String) error {
	want, err := Checksum(n, key)
	if err != nil {
		return err
	}
	if subtle.ConstantTimeCompare([]byte(strings.ToLower(n.Checksum)), []byte(want)) != 1 {
		return fmt.Errorf("the checksum of charge %q does not match its content", n.ID)
	}
	return nil
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
