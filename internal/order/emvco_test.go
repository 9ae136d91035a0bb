package order

import (
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"
)

// emvco makes a Thai QR payload for tests, with tag and value instead of or
// beside the usual fields, and the right checksum.
func emvco(tag, value string) string {
	fields := [][2]string{
		{"00", "01"}, {"01", "12"}, {"29", "0016A00000067701011101130066800000000"}, {"53", "764"}, {"54", "300.00"}, {"58", "TH"},
	}
	var out strings.Builder
	done := false
	write := func(tag, value string) {
		if value != "" {
			fmt.Fprintf(&out, "%s%02d%s", tag, utf8.RuneCountInString(value), value)
		}
	}
	for _, f := range fields {
		if f[0] == tag {
			f[1], done = value, true
		}
		write(f[0], f[1])
	}
	if !done {
		write(tag, value)
	}
	return sealed(out.String())
}

func sealed(payload string) string {
	payload += "6304"
	return fmt.Sprintf("%s%04X", payload, crc16(payload))
}

func TestCRC16(t *testing.T) {
	t.Parallel()
	// The check value that every catalogue of CRCs gives for CCITT-FALSE.
	if got := crc16("123456789"); got != 0x29b1 {
		t.Errorf("crc16 = %#x, want 0x29b1", got)
	}
}

func TestPublishedPayloads(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, payload, amount, currency string }{
		// EMV QR Code Specification for Payment Systems, Merchant-Presented Mode, annex: lengths
		// count characters, the checksum counts bytes.
		{
			"EMVCo's own example",
			"00020101021229300012D156000000000510A93FO3230Q31280012D15600000001030812345678520441115802CN5914BEST TRANSPORT" +
				"6007BEIJING64200002ZH0104最佳运输0202北京540523.7253031565502016233030412340603***0708A60086670902ME" +
				"91320016A0112233449988770708123456786304A13A",
			"23.72", "CNY",
		},
		{
			"PromptPay with an amount",
			"00020101021229370016A000000677010111011300660000000005802TH530376454044.226304E469",
			"4.22", "THB",
		},
	} {
		if err := checkPayload(c.payload, sum(t, c.amount), c.currency); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func TestCheckPayload(t *testing.T) {
	t.Parallel()
	good := emvco("54", "300.00")
	for _, c := range []struct{ name, payload, says string }{
		{"right", good, ""},
		{"fewer digits", emvco("54", "300"), ""},
		{"checksum in small letters", good[:len(good)-4] + strings.ToLower(good[len(good)-4:]), ""},
		{"wrong checksum", good[:len(good)-1] + "?", "checksum"},
		{"checksum of changed text", strings.Replace(good, "0066800000000", "0066811111111", 1), "checksum"},
		{"no checksum", strings.TrimSuffix(good, good[len(good)-8:]), "does not end with a checksum"},
		{"checksum not last", sealed(good), "stands twice"},
		{"more after the checksum", good + "5802TH", "stands twice"},
		{"cut short", good[:len(good)-2], "does not have its 4 characters"},
		{"length beyond the end", "000201019912", "does not have its 99"},
		{"length of nothing", sealed("0002015400"), "does not have its 0"},
		{"letters for a tag", sealed("000201AA02xx"), "no field"},
		{"not UTF-8", "000201\xff", "UTF-8"},
		{"two amounts", sealed(strings.TrimSuffix(good, good[len(good)-8:]) + "54041.00"), "stands twice"},
		{"no amount", emvco("54", ""), "no amount"},
		{"amount as words", emvco("54", "3e2"), "no amount"},
		{"another amount", emvco("54", "300.01"), "asks for 300.01"},
		{"another currency", emvco("53", "840"), "currency"},
		{"no currency", emvco("53", ""), "currency"},
		{"broken inside", emvco("29", "0016A0000006770101119"), "inside tag 29"},
	} {
		err := checkPayload(c.payload, sum(t, "300.0"), "THB")
		if (err == nil) != (c.says == "") || (err != nil && !strings.Contains(err.Error(), c.says)) {
			t.Errorf("%s: %v, want %q", c.name, err, c.says)
		}
	}
}

func FuzzCheckPayload(f *testing.F) {
	f.Add(emvco("54", "300.00"), true)
	f.Add("000201", false)
	f.Add("00020153037645406300.00", true)
	f.Add("00020164200002ZH0104最佳运输0202北京", true)
	f.Fuzz(func(t *testing.T, payload string, seal bool) {
		if seal {
			payload = sealed(payload)
		}
		if checkPayload(payload, sum(t, "300.0"), "THB") != nil {
			return
		}
		// What is taken says the amount and ends with its own checksum.
		if !strings.Contains(payload, "300") || !strings.EqualFold(payload[len(payload)-8:], sealed(payload[:len(payload)-8])[len(payload)-8:]) {
			t.Errorf("%q was taken", payload)
		}
	})
}
