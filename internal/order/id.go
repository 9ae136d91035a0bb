package order

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// Source says how the payer pays.
type Source string

// The sources that the API takes.
const (
	QR     Source = "qr"
	WeChat Source = "wechat"
)

// Sources lists every source, for validation and completion.
func Sources() []string { return []string{string(QR), string(WeChat)} }

// Bangkok is the zone of the bank's `created` (UTC+7, no daylight saving time).
// It is fixed, so that no time zone database is needed.
var Bangkok = time.FixedZone("+07", 7*60*60) //nolint:gochecknoglobals // a constant

// CheckID fails if id cannot be a Villa order ID: 1-64 characters of
// [A-Za-z0-9._:-], starting with a letter or digit.
func CheckID(id string) error {
	switch {
	case id == "":
		return errors.New("the order ID is empty")
	case len(id) > 64:
		return fmt.Errorf("the order ID is %d characters long; at most 64 are allowed", len(id))
	case !isID(id):
		return fmt.Errorf("%q is not an order ID: letters, digits and . _ : - are allowed, starting with a letter or digit", id)
	}
	return nil
}

func isID(id string) bool {
	for i, c := range []byte(id) {
		letter, digit := 'a' <= c|0x20 && c|0x20 <= 'z', '0' <= c && c <= '9'
		if !letter && !digit && (i == 0 || strings.IndexByte("._:-", c) < 0) {
			return false
		}
	}
	return true
}
