package render

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/mdp/qrterminal/v3"
	"rsc.io/qr"
)

// QRStyle is how a code is drawn with characters. The zero value is Half.
type QRStyle string

// The styles of codes. Measured over seven terminals, dark and light: Half and Full in
// color scan everywhere; Plain scans on dark themes and PlainInvert on light
// ones. Where the screen takes no colors, Half and Full draw without.
const (
	Half        QRStyle = "half"         // half blocks, white on black
	Full        QRStyle = "full"         // background colors, for fonts without blocks
	Plain       QRStyle = "plain"        // half blocks without colors, for dark themes
	PlainInvert QRStyle = "plain-invert" // half blocks without colors, for light themes
)

// QRStyles lists every style, for validation and completion.
func QRStyles() []string {
	return []string{string(Half), string(Full), string(Plain), string(PlainInvert)}
}

// NotDrawn says why a terminal got no code: it is too small, or it shows neither
// blocks nor colors.
type NotDrawn struct {
	Reason             string // what the terminal lacks, where it is not size
	NeedCols, NeedRows int    // the smallest terminal that would do, in cells; 0 with a Reason
	HaveCols, HaveRows int
}

func (e *NotDrawn) Error() string {
	if e.Reason != "" {
		return "the code is not drawn: " + e.Reason
	}
	return fmt.Sprintf("the code is not drawn: it needs %d columns and %d rows, and this terminal has %d and %d",
		e.NeedCols, e.NeedRows, e.HaveCols, e.HaveRows)
}

// Hint says what to do about it.
func (e *NotDrawn) Hint() string {
	if e.Reason != "" {
		return "add --qr-file code.png"
	}
	return "make the window larger, or add --qr-file code.png"
}

// TooLong says that no QR code of any size holds a text.
type TooLong struct{ Bytes int }

// maxBytes is what the largest QR code holds at the lowest correction level
// (ISO/IEC 18004 version 40-L, bytes); digits alone go further.
const maxBytes = 2953

func (e *TooLong) Error() string {
	return fmt.Sprintf("the code's text has %d bytes; a QR code holds at most %d", e.Bytes, maxBytes)
}

// step is one rung of the ladder: a correction level and the white around the
// code, in modules. Higher levels read worse on screens: their modules are
// smaller and there is nothing to repair.
type step struct {
	level qr.Level
	quiet int
}

func ladder() []step { return []step{{qr.M, 4}, {qr.L, 4}, {qr.L, 2}} }

// QR draws a code. At a terminal it measures first and takes the best that fits
// whole, one row left for the prompt; where none does, it writes the text itself
// on a line of its own (sanitized) and returns a [*NotDrawn]. To a pipe it draws
// for any size: half blocks without escapes, unless the screen takes colors. A
// text that no code holds is a [*TooLong], and nothing is written. The caption
// is the caller's to show, above the code: below, it could push the code's first
// row off the screen.
func QR(w io.Writer, s Screen, code Code, style QRStyle) error {
	smallest, err := encode(code.Text, qr.L)
	if err != nil {
		return err
	}
	style, missing := s.qrStyle(style)
	if missing == nil {
		for _, rung := range ladder() {
			c, err := encode(code.Text, rung.level)
			if err != nil {
				continue // the text needs the lowest level
			}
			if cols, rows := extent(style, c.Size, rung.quiet); !s.TTY || (cols <= s.columns() && rows <= s.rows()) {
				return writeString(w, drawCells(code.Text, rung, style, s.Color))
			}
		}
		missing = &NotDrawn{HaveCols: s.columns(), HaveRows: s.rows()}
		missing.NeedCols, missing.NeedRows = extent(style, smallest.Size, 2)
	}
	if err := writeString(w, s.Text(code.Text)+"\n"); err != nil {
		return err
	}
	return missing
}

// qrStyle settles which style a screen can show, or why none.
func (s Screen) qrStyle(wanted QRStyle) (QRStyle, *NotDrawn) {
	switch {
	case s.TTY && s.Dumb:
		return "", &NotDrawn{Reason: "a TERM=dumb terminal cannot show a code that scans"}
	case !s.legacy():
		return wanted, nil
	case s.Color && wanted != Plain && wanted != PlainInvert:
		return Full, nil // blanks on colored backgrounds need no block characters
	}
	return "", &NotDrawn{Reason: "without colors it needs a UTF-8 locale"}
}

// encode is qr.Encode with an error that says what to do about it. It has to
// come before qrterminal, which panics on a text that is too long.
func encode(text string, level qr.Level) (*qr.Code, error) {
	c, err := qr.Encode(text, level)
	if err != nil {
		return nil, &TooLong{len(text)}
	}
	return c, nil
}

// extent is the room that a code of so many modules takes, in cells, the
// prompt's row included.
func extent(style QRStyle, size, quiet int) (cols, rows int) {
	n := size + 2*quiet
	if style == Full {
		return 2 * n, n + 1
	}
	return n, (n+1)/2 + 1
}

// Ink and ground in color: white and black of the 256-color cube, which no
// theme redefines.
const (
	inkOnGround = "\x1b[38;5;231;48;5;16m"
	whiteCell   = "\x1b[48;5;231m  "
	blackCell   = "\x1b[48;5;16m  "
	reset       = "\x1b[0m"
)

func drawCells(text string, rung step, style QRStyle, color bool) string {
	config := qrterminal.Config{Level: rung.level, QuietZone: rung.quiet, HalfBlocks: style != Full}
	color = color && (style == Half || style == Full || style == "")
	before, after := "", ""
	switch {
	case style == Full && color:
		config.WhiteChar, config.BlackChar, after = whiteCell, blackCell, reset
	case style == Full:
		config.WhiteChar, config.BlackChar = "██", "  "
	case color:
		before, after = inkOnGround, reset
	}
	var out bytes.Buffer
	config.Writer = &out
	qrterminal.GenerateWithConfig(text, config)
	lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
	if style != Full {
		// A code has an odd number of rows. The lower half of the last line is
		// light too: else it would be a bar in the color of the ground.
		last := len(lines) - 1
		lines[last] = strings.Repeat("█", utf8.RuneCountInString(lines[last]))
	}
	swap := strings.NewReplacer("█", " ", " ", "█", "▀", "▄", "▄", "▀")
	for i, line := range lines {
		if style == PlainInvert {
			line = swap.Replace(line)
		}
		lines[i] = before + line + after
	}
	return strings.Join(lines, "\n") + "\n"
}
