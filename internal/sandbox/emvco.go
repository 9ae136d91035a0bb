package sandbox

import "fmt"

// emvco builds a payment code of the EMVCo merchant-presented form with Thai
// bill payment (tag 30). Its biller is all zeros, which no bank knows: scanned
// by a real bank app it moves no money.
func emvco(amount satang) string {
	code := unsealed(amount)
	return code + crc16(code)
}

// unsealed is the payment code up to the checksum.
func unsealed(amount satang) string {
	biller := tlv("00", "A000000677010112") + tlv("01", "000000000000000") + tlv("02", "SANDBOX")
	return tlv("00", "01") + tlv("01", "12") + tlv("30", biller) +
		tlv("53", "764") + tlv("54", amount.fixed()) + tlv("58", "TH") + "6304"
}

func tlv(tag, value string) string { return fmt.Sprintf("%s%02d%s", tag, len(value), value) }

// crc16 is CRC-16/CCITT-FALSE in hex, the checksum of tag 63.
func crc16(text string) string {
	crc := uint16(0xffff)
	for _, c := range []byte(text) {
		crc ^= uint16(c) << 8
		for range 8 {
			if crc&0x8000 != 0 {
				crc = crc<<1 ^ 0x1021
			} else {
				crc <<= 1
			}
		}
	}
	return fmt.Sprintf("%04X", crc)
}
