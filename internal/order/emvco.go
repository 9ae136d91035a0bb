package order

import (
	"cmp"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// payloadStart begins every EMVCo merchant-presented payload: tag 00, length
// 02, version 01.
const payloadStart = "000201"

// CheckPayload returns nil if a text is an EMVCo payload (Thai QR) that pays the
// order's amount and nothing else: its fields parse, its CRC fits, it names a
// merchant account, amount and currency are the order's, and it asks for no tip
// or fee. A payload without an amount fails too: the payer would type one.
func CheckPayload(payload string, amount Amount, currency string) error {
	fields, err := parseTLV(payload)
	if err != nil {
		return err
	}
	byTag := map[string]string{}
	account := false
	for _, f := range fields {
		if _, twice := byTag[f.tag]; twice {
			return fmt.Errorf("tag %s occurs twice", f.tag)
		}
		byTag[f.tag] = f.value
		account = account || f.tag >= "02" && f.tag <= "51"
		if nested(f.tag) {
			if _, err := parseTLV(f.value); err != nil {
				return fmt.Errorf("inside tag %s: %w", f.tag, err)
			}
		}
	}
	if fields[0] != (field{"00", "01"}) {
		return errors.New("it does not begin with tag 00")
	}
	if err := checkCRC(payload, fields); err != nil {
		return err
	}
	for _, tag := range []string{"55", "56", "57"} {
		if _, extra := byTag[tag]; extra {
			return fmt.Errorf("it asks for a tip or fee (tag %s)", tag)
		}
	}
	if !account {
		return errors.New("it names no merchant account (tags 02 to 51)")
	}
	return checkSum(byTag, amount, currency)
}

// checkSum compares tag 54 and tag 53 (ISO 4217 numeric) with the order.
func checkSum(byTag map[string]string, amount Amount, currency string) error {
	sum, err := ParseAmount(byTag["54"])
	if err != nil {
		return errors.New("tag 54 holds no amount")
	}
	if !sum.Equal(amount) {
		return fmt.Errorf("it asks for %s, the order is over %s", sum, cmp.Or(amount.String(), "not given"))
	}
	number := map[string]string{
		"THB": "764", "CNY": "156", "USD": "840", "EUR": "978", "HKD": "344", "JPY": "392", "SGD": "702",
	}[strings.ToUpper(currency)]
	if number == "" || byTag["53"] != number {
		return fmt.Errorf("its currency (tag 53) is %s, the order's is %s", cmp.Or(byTag["53"], "not given"), cmp.Or(currency, "not given"))
	}
	return nil
}

// checkCRC demands the checksum as the last field: CRC-16/CCITT-FALSE over all
// that stands before its four digits.
func checkCRC(payload string, fields []field) error {
	last := fields[len(fields)-1]
	if last.tag != "63" || len(last.value) != 4 {
		return errors.New("it does not end with a checksum (tag 63)")
	}
	sum := fmt.Sprintf("%04X", crc16(payload[:len(payload)-4]))
	if !strings.EqualFold(sum, last.value) {
		return fmt.Errorf("its checksum (tag 63) is %s, but its text gives %s", last.value, sum)
	}
	return nil
}

// crc16 is CRC-16/CCITT-FALSE: polynomial 0x1021, start 0xffff, nothing
// reflected. crc16("123456789") is 0x29b1.
func crc16(text string) uint16 {
	crc := uint16(0xffff)
	for i := range len(text) {
		crc ^= uint16(text[i]) << 8
		for range 8 {
			carry := crc&0x8000 != 0
			crc <<= 1
			if carry {
				crc ^= 0x1021
			}
		}
	}
	return crc
}

// field is one tag-length-value of an EMVCo payload.
type field struct{ tag, value string }

// nested reports whether a tag's value holds fields itself: merchant accounts
// (26-51), additional data (62), the other language (64).
func nested(tag string) bool {
	return (tag >= "26" && tag <= "51") || tag == "62" || tag == "64"
}

// parseTLV reads two digits of tag, two of length in characters, and the value,
// over and over until the end. There is at least one field.
func parseTLV(text string) ([]field, error) {
	if !utf8.ValidString(text) {
		return nil, errors.New("it is not UTF-8")
	}
	var fields []field
	for rest := text; len(fields) == 0 || rest != ""; {
		if len(rest) < 4 || !isDigits(rest[:4]) {
			return nil, fmt.Errorf("no field at position %d", len(text)-len(rest))
		}
		tag, value := rest[:2], rest[4:]
		length, _ := strconv.Atoi(rest[2:4]) // two digits
		end := cut(value, length)
		if length == 0 || end < 0 {
			return nil, fmt.Errorf("tag %s states a length of %d, which does not fit", tag, length)
		}
		fields = append(fields, field{tag, value[:end]})
		rest = value[end:]
	}
	return fields, nil
}

// cut is the byte offset after n characters of text, -1 if it has fewer.
func cut(text string, n int) int {
	for i := range text {
		if n == 0 {
			return i
		}
		n--
	}
	if n == 0 {
		return len(text)
	}
	return -1
}
