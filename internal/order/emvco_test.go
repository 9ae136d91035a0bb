package order

import (
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"
)

// emvco makes a Thai QR payload for tests, with tag and value instead of or
// beside the usual fields, and the right checksum. An empty value leaves the tag
// out.
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
	// The check value that every catalog of CRCs gives for CCITT-FALSE.
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
		err := CheckPayload(c.payload, sum(t, c.amount), c.currency)
		if strings.Contains(c.payload, "550201") { // the example asks for a tip
			if err == nil || !strings.Contains(err.Error(), "tip or fee") {
				t.Errorf("%s: %v", c.name, err)
			}
			payload := strings.Replace(c.payload[:len(c.payload)-8], "550201", "", 1)
			err = CheckPayload(sealed(payload), sum(t, c.amount), c.currency)
		}
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func TestCheckPayload(t *testing.T) {
	t.Parallel()
	good := emvco("54", "300.00")
	unsealed := good[:len(good)-8]
	for _, c := range []struct{ name, payload, says string }{
		{"right", good, ""},
		{"fewer digits", emvco("54", "300"), ""},
		{"checksum in small letters", good[:len(good)-4] + strings.ToLower(good[len(good)-4:]), ""},
		{"another kind of account", sealed(strings.Replace(unsealed, "2937", "5137", 1)), ""},
		{"two accounts", emvco("30", "0016A0000006770101120115010753600031501"), ""},
		{"additional data", emvco("62", "0503abc"), ""},
		{"wrong checksum", good[:len(good)-1] + "?", "checksum"},
		{"checksum of changed text", strings.Replace(good, "0066800000000", "0066811111111", 1), "checksum"},
		{"no checksum", unsealed, "does not end with a checksum"},
		{"checksum not last", sealed(good), "occurs twice"},
		{"more after the checksum", good + "5802TH", "occurs twice"},
		{"another tag after the checksum", good + "9101x", "does not end with a checksum"},
		{"a checksum under another tag", fmt.Sprintf("%s9104%04X", unsealed, crc16(unsealed+"9104")), "does not end with a checksum"},
		{"cut short", good[:len(good)-2], "states a length of 4,"},
		{"empty", "", "no field"},
		{"its start alone", "000201", "checksum"},
		{"length beyond the end", "000201019912", "states a length of 99,"},
		{"length of nothing", sealed("0002015400"), "states a length of 0,"},
		{"letters for a tag", sealed("000201AA02xx"), "no field"},
		{"digits of another script", sealed("000201٥٤03300"), "no field"},
		{"not UTF-8", "000201\xff", "UTF-8"},
		{"a blank in front", " " + good, "no field"},
		{"a line end in front", "\n" + good, "no field"},
		{"a line end behind", good + "\n", "no field"},
		{"a byte order mark in front", "\ufeff" + good, "no field"},
		{"begins with another tag", sealed(strings.TrimPrefix(unsealed, "000201")), "does not begin"},
		{"another version", emvco("00", "02"), "does not begin"},
		{"the start in second place", sealed("010212000201" + unsealed[12:]), "does not begin"},
		{"no merchant account", emvco("29", ""), "no merchant account"},
		{"an account's tag is not an account", sealed(strings.Replace(unsealed, "2937", "5237", 1)), "no merchant account"},
		{"two amounts", sealed(unsealed + "54041.00"), "occurs twice"},
		{"no amount", emvco("54", ""), "no amount"},
		{"amount as words", emvco("54", "3e2"), "no amount"},
		{"amount with a blank", emvco("54", " 300.00"), "no amount"},
		{"another amount", emvco("54", "300.01"), "asks for 300.01"},
		{"a hidden smaller digit", emvco("54", "300.000001"), "asks for 300.000001"},
		{"another currency", emvco("53", "840"), "currency"},
		{"no currency", emvco("53", ""), "currency"},
		{"asks for a tip", emvco("55", "01"), "tip or fee (tag 55)"},
		{"a fixed fee", emvco("56", "10.00"), "tip or fee (tag 56)"},
		{"a fee in percent", emvco("57", "5"), "tip or fee (tag 57)"},
		{"broken inside an account", emvco("29", "0016A0000006770101119"), "inside tag 29"},
		{"broken inside additional data", emvco("62", "0599abc"), "inside tag 62"},
	} {
		err := CheckPayload(c.payload, sum(t, "300.0"), "THB")
		if (err == nil) != (c.says == "") || (err != nil && !strings.Contains(err.Error(), c.says)) {
			t.Errorf("%s: %v, want %q", c.name, err, c.says)
		}
	}
	for _, c := range []struct{ amount, currency, says string }{
		{"300", "thb", ""},
		{"", "THB", "the order is over not given"},
		{"3000", "THB", "asks for 300.00"},
		{"300", "", "the order's is not given"},
		{"300", "XXX", "the order's is XXX"},
		{"300", "CNY", "currency"},
	} {
		err := CheckPayload(good, sum(t, c.amount), c.currency)
		if (err == nil) != (c.says == "") || (err != nil && !strings.Contains(err.Error(), c.says)) {
			t.Errorf("an order over %q %q: %v, want %q", c.amount, c.currency, err, c.says)
		}
	}
}

// FuzzCheckPayload: what is accepted asks for the order's amount in its currency
// once, nothing more, names an account, and ends with its own checksum.
func FuzzCheckPayload(f *testing.F) {
	f.Add(emvco("54", "300.00"), false)
	f.Add(emvco("57", "5"), false)
	f.Add(emvco("62", "0503abc"), true)
	f.Add("000201", false)
	f.Add("00020153037645406300.00", true)
	f.Add("0002010202ab53037645406300.00", true)
	f.Add("00020164200002ZH0104最佳运输0202北京", true)
	f.Fuzz(func(t *testing.T, payload string, seal bool) {
		if seal {
			payload = sealed(payload)
		}
		if CheckPayload(payload, sum(t, "300.0"), "THB") != nil {
			return
		}
		byTag := map[string][]string{}
		fields, err := parseTLV(payload)
		if err != nil {
			t.Fatal(err)
		}
		whole := ""
		for _, f := range fields {
			byTag[f.tag] = append(byTag[f.tag], f.value)
			whole += fmt.Sprintf("%s%02d%s", f.tag, utf8.RuneCountInString(f.value), f.value)
		}
		end := len(payload) - 8
		if whole != payload || !strings.EqualFold(sealed(payload[:end]), payload) || !LooksLikePayload(payload) {
			t.Errorf("%q was accepted", payload)
		}
		if len(byTag["54"]) != 1 || !sum(t, byTag["54"][0]).Equal(sum(t, "300")) || strings.Join(byTag["53"], " ") != "764" || byTag["55"] != nil || byTag["56"] != nil || byTag["57"] != nil {
			t.Errorf("%q asks for other money", payload)
		}
	})
}
