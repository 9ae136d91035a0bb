package render

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// zwj joins emoji into one (a family, a profession); vs15 and vs16 choose
// between a symbol's text and emoji forms.
const (
	zwj  = '\u200d'
	vs15 = '\ufe0e'
	vs16 = '\ufe0f'
)

// maxMarks is how many combining marks may stack on one letter. Thai needs two
// and Hebrew three; a hundred would paint over the neighbouring lines.
const maxMarks = 4

// Visible makes text from a server harmless on one line of a terminal: control
// characters (C0, DEL, C1), escape sequences, line breaks, bidirectional
// overrides and everything else that cannot be seen become Go escapes such as
// \x1b, \n and \u202e. Bytes that are not UTF-8 become \x9b. Thai, Chinese and
// emoji stay as they are, joined emoji included.
func Visible(text string) string {
	if !suspicious(text) {
		return text
	}
	var out strings.Builder
	var previous rune // the last rune, 0 at the start and after an escape
	marks := 0
	for rest := text; rest != ""; {
		r, size := utf8.DecodeRuneInString(rest)
		bad := r == utf8.RuneError && size == 1
		next, _ := utf8.DecodeRuneInString(rest[size:])
		if unicode.In(r, unicode.Mn, unicode.Me) && !emojiPart(previous, r, next) {
			marks++
		} else {
			marks = 0
		}
		switch {
		case bad:
			fmt.Fprintf(&out, `\x%02x`, rest[0])
			previous = 0
		case hidden(r) && !emojiPart(previous, r, next), marks > maxMarks:
			out.WriteString(escaped(r))
			previous = 0
		default:
			out.WriteRune(r)
			previous = r
		}
		rest = rest[size:]
	}
	return out.String()
}

// suspicious tells whether text holds anything but printable ASCII.
func suspicious(text string) bool {
	for i := range len(text) {
		if text[i] < ' ' || text[i] > '~' {
			return true
		}
	}
	return false
}

// hidden tells whether a rune shows nothing of itself: it is no letter, mark,
// number, punctuation, symbol or space (so: control, format, private use,
// unassigned, line separator), or Unicode calls it ignorable though its
// category is visible (fillers, variation selectors).
func hidden(r rune) bool {
	return !unicode.IsGraphic(r) || unicode.In(r,
		unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector)
}

// emojiPart tells whether a hidden rune belongs to an emoji: a joiner between
// two of them, or a selector of a form right after a symbol or keycap digit.
func emojiPart(previous, r, next rune) bool {
	switch r {
	case zwj:
		return (pictograph(previous) || previous == vs16) && pictograph(next)
	case vs15, vs16:
		return pictograph(previous) || (next == '\u20e3' && strings.ContainsRune("0123456789#*", previous))
	}
	return false
}

// pictograph tells whether a rune is a symbol that emoji are made of. The
// replacement character is a symbol too, but what a broken byte decodes to.
func pictograph(r rune) bool {
	return r > 0xff && r != utf8.RuneError && unicode.In(r, unicode.So, unicode.Sm, unicode.Sk)
}

// escaped writes a rune as Go would in a string.
func escaped(r rune) string {
	switch {
	case r == '\n':
		return `\n`
	case r == '\r':
		return `\r`
	case r == '\t':
		return `\t`
	case r < 0x80:
		return fmt.Sprintf(`\x%02x`, r)
	case r <= 0xffff:
		return fmt.Sprintf(`\u%04x`, r)
	}
	return fmt.Sprintf(`\U%08x`, r)
}

func escapeAll(text string, which func(rune) bool) string {
	var out strings.Builder
	for _, r := range text {
		if which(r) {
			out.WriteString(escaped(r))
		} else {
			out.WriteRune(r)
		}
	}
	return out.String()
}

// safeJSON rewrites JSON so that it means the same and shows nothing hidden:
// runes that only strings can hold (C1, DEL, bidi, …) become \u escapes, and
// with asciiOnly everything beyond ASCII does. White space between tokens stays.
func safeJSON(raw []byte, asciiOnly bool) []byte {
	out := make([]byte, 0, len(raw))
	for len(raw) > 0 {
		r, size := utf8.DecodeRune(raw)
		switch {
		case r < 0x7f:
			out = append(out, raw[0])
		case r == utf8.RuneError && size == 1:
			out = append(out, `\ufffd`...)
		case hidden(r) && r != zwj && r != vs15 && r != vs16, asciiOnly:
			for _, unit := range utf16.Encode([]rune{r}) {
				out = fmt.Appendf(out, `\u%04x`, unit)
			}
		default:
			out = append(out, raw[:size]...)
		}
		raw = raw[size:]
	}
	return out
}
