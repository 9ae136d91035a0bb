// Package render is everything villapay shows: tables for people, JSON, YAML
// and CSV for programs, and codes for cameras.
//
// It promises three things. Text from a server passes package sanitize first.
// Digits stay as the API sent them in every format. A code is drawn so that it
// scans, or it is not drawn at all and the error says why.
//
// Nothing here reads the environment or the clock: a [Screen] says what can be
// shown and what time it is. Every function returns the error of a failed write.
package render

import (
	"cmp"
	"io"
	"strings"
	"time"

	"github.com/villapay/villapay/internal/sanitize"
)

// Screen describes the place where output goes.
type Screen struct {
	TTY   bool // a terminal; else a pipe or a file
	Color bool // SGR colors may be written, whatever the reason: --color always counts on a pipe too
	UTF8  bool // the locale's character set; only asked of terminals
	Dumb  bool // TERM=dumb: no cursor, no fonts to rely on; only asked of terminals

	// Columns and Rows are the terminal's size in cells; 0 where it is unknown,
	// which counts as 80x24. Not asked of pipes: they have no width.
	Columns, Rows int

	Now   time.Time      // for "2 minutes ago"; zero leaves such words out
	Local *time.Location // the machine's zone, shown beside Bangkok's where it differs; may be nil
}

func (s Screen) columns() int { return cmp.Or(max(0, s.Columns), 80) }

func (s Screen) rows() int { return cmp.Or(max(0, s.Rows), 24) }

// legacy reports whether the terminal reads bytes in another character set than
// UTF-8. There a Thai letter's bytes hold 0x9B, which is a control sequence
// introducer, so nothing but ASCII may be written.
func (s Screen) legacy() bool { return s.TTY && !s.UTF8 }

// Text sanitizes server text for this screen, as one line.
func (s Screen) Text(text string) string {
	if s.legacy() {
		return sanitize.ASCII(text)
	}
	return sanitize.Text(text)
}

// textBetween is [Screen.Text], but keeps the separators, which are ASCII.
func (s Screen) textBetween(text, separators string) string {
	var out strings.Builder
	for {
		i := strings.IndexAny(text, separators)
		if i < 0 {
			return out.String() + s.Text(text)
		}
		out.WriteString(s.Text(text[:i]) + text[i:i+1])
		text = text[i+1:]
	}
}

// style is an SGR sequence. The colors are of the 256-color cube, which no theme
// redefines, and are readable on black and on white: of the basic eight, yellow
// vanishes on white, and so does bold green.
type style string

const (
	plainText style = ""
	bold      style = "1"
	green     style = "1;38;5;28"  // paid
	amber     style = "38;5;130"   // awaiting
	red       style = "1;38;5;196" // failed, or needs a person
)

// color applies a style where the screen takes colors.
func (s Screen) color(st style, text string) string {
	if !s.Color || st == plainText || text == "" {
		return text
	}
	return "\x1b[" + string(st) + "m" + text + "\x1b[0m"
}

func writeString(w io.Writer, text string) error {
	_, err := io.WriteString(w, text)
	return err
}
