// Package sanitize makes text from servers safe to show.
//
// Control, escape and invisible characters become their escapes, so no such text
// can act on a terminal or hide from its reader. Thai, Chinese and emoji stay as
// they are, joined emoji included.
package sanitize

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

const (
	zwj  = '\u200d' // joins emoji into one: a family, a profession
	vs15 = '\ufe0e' // chooses a symbol's text form
	vs16 = '\ufe0f' // chooses its emoji form
)

// maxMarks is how many combining marks may stack on one letter. Thai needs two
// and Hebrew three; a hundred would cover the neighboring lines.
const maxMarks = 4

// Text makes text safe on one line of a terminal: control characters (C0, DEL,
// C1), line breaks, bidirectional overrides and everything else that cannot be
// seen become Go escapes such as \x1b, \n and \u202e. Bytes that are not UTF-8
// become \x9b.
func Text(text string) string {
	if strings.IndexFunc(text, notPrintableASCII) < 0 {
		return text
	}
	var out []byte
	var previous rune // 0 at the start and after an escape
	marks := 0
	for rest := text; rest != ""; {
		r, size := utf8.DecodeRuneInString(rest)
		next, _ := utf8.DecodeRuneInString(rest[size:])
		emoji := emojiPart(previous, r, next)
		if unicode.In(r, unicode.Mn, unicode.Me) && !emoji {
			marks++
		} else {
			marks = 0
		}
		previous = 0
		switch {
		case r == utf8.RuneError && size == 1:
			out = fmt.Appendf(out, `\x%02x`, rest[0])
		case hidden(r) && !emoji, marks > maxMarks:
			out = appendEscaped(out, r)
		default:
			out = utf8.AppendRune(out, r)
			previous = r
		}
		rest = rest[size:]
	}
	return string(out)
}

// ASCII is [Text] for a terminal in another character set than UTF-8:
// everything beyond ASCII is escaped too.
func ASCII(text string) string { return escape(Text(text), func(r rune) bool { return r > '~' }) }

// YAML makes a YAML document safe without changing its meaning, provided that
// hidden characters stand only in double-quoted strings. With asciiOnly
// everything beyond ASCII is escaped too.
func YAML(text string, asciiOnly bool) string {
	return escape(text, func(r rune) bool {
		return r != '\n' && (hidden(r) && !joiner(r) || asciiOnly && r > '~')
	})
}

// JSON makes a JSON document safe without changing its meaning: what only
// strings can hold (C1, DEL, bidi, …) becomes \u escapes, and with asciiOnly
// everything beyond ASCII does. White space between tokens stays.
func JSON(raw []byte, asciiOnly bool) []byte {
	out := make([]byte, 0, len(raw))
	for len(raw) > 0 {
		r, size := utf8.DecodeRune(raw)
		switch {
		case r < 0x7f:
			out = append(out, raw[0])
		case r == utf8.RuneError && size == 1:
			out = append(out, `\ufffd`...)
		case hidden(r) && !joiner(r), asciiOnly:
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

func notPrintableASCII(r rune) bool { return r < ' ' || r > '~' }

// hidden reports whether a rune shows nothing of itself: it is no letter, mark,
// number, punctuation, symbol or space (so: control, format, private use,
// unassigned, line separator), or Unicode calls it ignorable though its
// category is visible (fillers, variation selectors).
func hidden(r rune) bool {
	return !unicode.IsGraphic(r) || unicode.In(r,
		unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector)
}

func joiner(r rune) bool { return r == zwj || r == vs15 || r == vs16 }

// emojiPart reports whether a hidden rune belongs to an emoji: a joiner between
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

// pictograph reports whether a rune is a symbol that emoji are made of. The
// replacement character is a symbol too, but what a broken byte decodes to.
func pictograph(r rune) bool {
	return r > 0xff && r != utf8.RuneError && unicode.In(r, unicode.So, unicode.Sm, unicode.Sk)
}

func escape(text string, which func(rune) bool) string {
	out := make([]byte, 0, len(text))
	for _, r := range text {
		if which(r) {
			out = appendEscaped(out, r)
		} else {
			out = utf8.AppendRune(out, r)
		}
	}
	return string(out)
}

// appendEscaped writes a rune as Go, and YAML, would in a string.
func appendEscaped(out []byte, r rune) []byte {
	switch {
	case r == '\n':
		return append(out, `\n`...)
	case r == '\r':
		return append(out, `\r`...)
	case r == '\t':
		return append(out, `\t`...)
	case r < 0x80:
		return fmt.Appendf(out, `\x%02x`, r)
	case r <= 0xffff:
		return fmt.Appendf(out, `\u%04x`, r)
	}
	return fmt.Appendf(out, `\U%08x`, r)
}
