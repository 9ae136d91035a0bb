// Package render is everything villapay shows: tables for people, JSON, YAML
// and CSV for programs, and codes for cameras.
//
// It promises three things. Text from a server can do nothing to a terminal:
// control, escape and invisible characters arrive as their escapes. Digits stay
// as the API sent them in every format. A code is drawn so that it scans, or it
// is not drawn at all and the reason is told.
//
// Nothing here reads the environment or the clock: a [Screen] says what can be
// shown and what time it is. Every function returns the error of a failed write.
package render

import (
	"io"
	"strings"
	"time"
)

// Screen describes the place where output goes.
type Screen struct {
	TTY   bool // a terminal; else a pipe or a file
	Color bool // SGR colours may be written, whatever the reason: --color always counts on a pipe too
	UTF8  bool // the locale's character set; only asked of terminals
	Dumb  bool // TERM=dumb: no cursor, no fonts to rely on; only asked of terminals

	// Columns and Rows are the terminal's size in cells; 0 where it is unknown,
	// which counts as 80x24. Not asked of pipes: they have no width.
	Columns, Rows int

	Now   time.Time      // for "2 minutes ago"; zero leaves such words out
	Local *time.Location // the machine's zone, shown beside Bangkok's where it differs; may be nil
}

func (s Screen) columns() int {
	if s.Columns <= 0 {
		return 80
	}
	return s.Columns
}

func (s Screen) rows() int {
	if s.Rows <= 0 {
		return 24
	}
	return s.Rows
}

// legacy tells whether the terminal reads bytes in another character set than
// UTF-8. There a Thai letter's bytes hold 0x9B, which is a control sequence
// introducer, so nothing but ASCII may be written.
func (s Screen) legacy() bool { return s.TTY && !s.UTF8 }

// Text makes server text harmless for this screen: as [Visible] does, and at a
// terminal without UTF-8 everything beyond ASCII is escaped too.
func (s Screen) Text(text string) string {
	text = Visible(text)
	if s.legacy() {
		text = escapeAll(text, func(r rune) bool { return r > '~' })
	}
	return text
}

// paint is an SGR sequence. Only the eight basic colours are used: each theme,
// dark or light, maps those to something readable on its background. Yellow is
// never bold, because bold yellow is the one that vanishes on white.
type paint string

const (
	plainText paint = ""
	strong    paint = "1"
	green     paint = "1;32" // paid
	yellow    paint = "33"   // awaiting
	red       paint = "1;31" // failed, or needs a person
)

// color wraps text in the paint where the screen takes colours.
func (s Screen) color(p paint, text string) string {
	if !s.Color || p == plainText || text == "" {
		return text
	}
	return "\x1b[" + string(p) + "m" + text + "\x1b[0m"
}

// ending returns text with exactly one newline at its end.
func ending(text string) string { return strings.TrimRight(text, "\n") + "\n" }

func writeString(w io.Writer, text string) error {
	_, err := io.WriteString(w, text)
	return err
}
