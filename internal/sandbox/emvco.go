package sandbox

import "fmt"

// emvco builds an EMVCo merchant-presented payment code with Thai bill payment
// (tag 30). No bank knows its biller, all zeros, so it never moves real money.
func emvco(amount satang, ref string) string {
	code := emvcoBody(amount, ref)
	return code + crc16(code)
}

// emvcoBody is the payment code without its checksum.
func emvcoBody(amount satang, ref string) string {
	biller := tlv("00", "A000000677010112") + tlv("01", "000000000000000") + tlv("02", ref)
	return tlv("00", "01") + tlv("01", "12") + tlv("30", biller) + tlv("53", "764") +
		tlv("54", amount.fixed()) + tlv("58", "TH") + tlv("62", tlv("07", "SANDBOX")) + "6304"
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

// weChatURL is the form of WeChat's payment codes. It pays nobody.
func weChatURL(ref string) string { return "weixin://wxpay/bizpayurl?pr=sandbox" + ref }
