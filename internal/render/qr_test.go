package render

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/makiuchi-d/gozxing/qrcode/decoder"
)

// payloads are the kinds of text that codes hold: the order's id, a long URL,
// Thai, EMVCo with Chinese, digits alone, and the largest of each level.
// payload is a Thai QR payload for 300.00 baht.
const payload = "00020101021229370016A0000006770101110113006680000000053037645406300.005802TH63046BF5"

func payloads() map[string]string {
	return map[string]string{
		"short":    "order_test_222110adff3affb5844c497fa9c22366b5bc6",
		"long":     "https://pay.example/pay?order=" + strings.Repeat("0a1B2c", 45),
		"thai":     "คำสั่งซื้อ 492500004632 จำนวน น้ำ",
		"emvco":    payload,
		"digits":   "492500004632",
		"capitals": "ORDER 4925-00",
		"most M":   strings.Repeat("m", 2331),
		"most L":   strings.Repeat("l", 2953),
	}
}

// dark reads printed cells back to a picture, as a camera would see it: true is
// dark. Characters without colors are light ink on a dark theme, or, inverted,
// dark ink on a light one.
func dark(t *testing.T, text string, inverted bool) [][]bool {
	t.Helper()
	const esc = "\x1b["
	var rows [][]bool
	for line := range strings.Lines(text) {
		var upper, lower []bool
		ink, ground := inverted, !inverted // dark?
		for rest := strings.TrimSuffix(line, "\n"); rest != ""; {
			if strings.HasPrefix(rest, esc) {
				sgr, after, ok := strings.Cut(rest[len(esc):], "m")
				if !ok {
					t.Fatalf("a broken escape in %q", line)
				}
				switch sgr {
				case "38;5;231;48;5;16":
					ink, ground = false, true
				case "48;5;231":
					ground = false
				case "48;5;16":
					ground = true
				case "0":
				default:
					t.Fatalf("an unknown color %q", sgr)
				}
				rest = after
				continue
			}
			r := []rune(rest)[0]
			rest = rest[len(string(r)):]
			switch r {
			case ' ':
				upper, lower = append(upper, ground), append(lower, ground)
			case '█':
				upper, lower = append(upper, ink), append(lower, ink)
			case '▀':
				upper, lower = append(upper, ink), append(lower, ground)
			case '▄':
				upper, lower = append(upper, ground), append(lower, ink)
			default:
				t.Fatalf("%q in a code", r)
			}
		}
		rows = append(rows, upper, lower)
	}
	return rows
}

// squeeze makes one row and column of each pair: full blocks take two columns
// and a whole row for a module.
func squeeze(rows [][]bool) [][]bool {
	var out [][]bool
	for y := 0; y < len(rows); y += 2 {
		var row []bool
		for x := 0; x < len(rows[y]); x += 2 {
			row = append(row, rows[y][x])
		}
		out = append(out, row)
	}
	return out
}

// scan crops a picture to its code, checks the white around it, and decodes it.
func scan(t *testing.T, picture [][]bool, quiet int) string {
	t.Helper()
	top, left, bottom, right := -1, 1<<30, 0, 0
	for y, row := range picture {
		if len(row) != len(picture[0]) {
			t.Fatalf("row %d has %d cells, the first %d", y, len(row), len(picture[0]))
		}
		for x, on := range row {
			if on {
				if top < 0 {
					top = y
				}
				left, right, bottom = min(left, x), max(right, x), y
			}
		}
	}
	if top < 0 {
		t.Fatal("nothing is drawn")
	}
	n := right - left + 1
	if n != bottom-top+1 || (n-17)%4 != 0 {
		t.Fatalf("the code is %dx%d", n, bottom-top+1)
	}
	for _, white := range []int{top, left, len(picture[0]) - 1 - right, len(picture) - 1 - bottom} {
		if white < quiet {
			t.Errorf("%d white modules at a side, want %d", white, quiet)
		}
	}
	var code [][]bool
	for _, row := range picture[top : bottom+1] {
		code = append(code, row[left:right+1])
	}
	result, err := decoder.NewDecoder().DecodeBoolMapWithoutHint(code)
	if err != nil {
		t.Fatal(err)
	}
	return result.GetText()
}

func TestEveryStyleScans(t *testing.T) {
	t.Parallel()
	huge := Screen{TTY: true, UTF8: true, Columns: 1000, Rows: 1000}
	color := huge
	color.Color = true
	latin1 := color
	latin1.UTF8 = false
	for _, c := range []struct {
		name    string
		s       Screen
		style   QRStyle
		squeeze bool
		escapes bool
	}{
		{"the default", color, "", false, true},
		{"half", color, Half, false, true},
		{"half without colors", huge, Half, false, false},
		{"half piped", Screen{}, Half, false, false},
		{"half piped, colors always", Screen{Color: true}, Half, false, true},
		{"full", color, Full, true, true},
		{"full without colors", huge, Full, true, false},
		{"full for want of UTF-8", latin1, Half, true, true},
		{"plain", color, Plain, false, false},
		{"plain-invert", color, PlainInvert, false, false},
		{"plain-invert piped", Screen{}, PlainInvert, false, false},
	} {
		for what, text := range payloads() {
			t.Run(c.name+"/"+what, func(t *testing.T) {
				t.Parallel()
				var out bytes.Buffer
				if err := QR(&out, c.s, Code{Text: text}, c.style); err != nil {
					t.Fatal(err)
				}
				if strings.Contains(out.String(), "\x1b") != c.escapes {
					t.Errorf("escapes: %v, want %v", !c.escapes, c.escapes)
				}
				if c.s.legacy() && strings.ContainsFunc(out.String(), func(r rune) bool { return r > '~' }) {
					t.Error("more than ASCII at a terminal without UTF-8")
				}
				picture := dark(t, out.String(), c.style == PlainInvert)
				if c.squeeze {
					picture = squeeze(picture)
				}
				if got := scan(t, picture, 4); got != text {
					t.Errorf("scans as %q, want %q", got, text)
				}
				if last := picture[len(picture)-1]; slices.Contains(last, true) {
					t.Errorf("a dark bar under the code: %v", last)
				}
			})
		}
	}
}

// TestLadder: what is drawn fits the terminal with a row for the prompt, and is
// the best that fits: M with white 4, L with 4, L with 2.
func TestLadder(t *testing.T) {
	t.Parallel()
	text := payloads()["short"] // M: 33 modules, L: 29
	for _, c := range []struct {
		style      QRStyle
		cols, rows int
		width      int // of what is drawn; 0 = nothing is
		quiet      int
	}{
		{Half, 41, 22, 41, 4},
		{Half, 40, 22, 37, 4},
		{Half, 41, 21, 37, 4},
		{Half, 37, 20, 37, 4},
		{Half, 36, 20, 33, 2},
		{Half, 33, 18, 33, 2},
		{Half, 32, 18, 0, 0},
		{Half, 33, 17, 0, 0},
		{Plain, 33, 18, 33, 2},
		{PlainInvert, 33, 17, 0, 0},
		{Full, 82, 42, 82, 4},
		{Full, 81, 42, 74, 4},
		{Full, 66, 34, 66, 2},
		{Full, 66, 33, 0, 0},
		{Half, 0, 0, 41, 4}, // unknown counts as 80x24
	} {
		t.Run(fmt.Sprintf("%s_%dx%d", c.style, c.cols, c.rows), func(t *testing.T) {
			t.Parallel()
			var out bytes.Buffer
			err := QR(&out, Screen{TTY: true, UTF8: true, Color: true, Columns: c.cols, Rows: c.rows}, Code{Text: text}, c.style)
			var not *NotDrawn
			if c.width == 0 {
				if !errors.As(err, &not) || out.String() != text+"\n" {
					t.Fatalf("%v, wrote %q", err, out.String())
				}
				cols, rows := extent(c.style, 29, 2)
				if *not != (NotDrawn{"", cols, rows, c.cols, c.rows}) {
					t.Errorf("%+v", *not)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			picture := dark(t, out.String(), c.style == PlainInvert)
			if got := len(picture[0]); got != c.width {
				t.Errorf("%d columns, want %d", got, c.width)
			}
			if lines := strings.Count(out.String(), "\n"); c.rows > 0 && lines > c.rows-1 {
				t.Errorf("%d lines and the prompt in %d rows", lines, c.rows)
			}
			if c.style == Full {
				picture = squeeze(picture)
			}
			if got := scan(t, picture, c.quiet); got != text {
				t.Errorf("scans as %q", got)
			}
		})
	}
}

// A common terminal holds these, by measurement.
func TestWhat80x24Holds(t *testing.T) {
	t.Parallel()
	s := Screen{TTY: true, UTF8: true, Color: true, Columns: 80, Rows: 24}
	for n, drawn := range map[int]bool{106: true, 134: true, 135: false} {
		err := QR(&bytes.Buffer{}, s, Code{Text: strings.Repeat("x", n)}, Half)
		if (err == nil) != drawn {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
}

func TestNotDrawn(t *testing.T) {
	t.Parallel()
	hostile := "id\n\x1b[2J\u202e"
	for _, c := range []struct {
		name  string
		s     Screen
		style QRStyle
		says  string
	}{
		{"dumb", Screen{TTY: true, UTF8: true, Color: true, Dumb: true}, Half, "TERM=dumb"},
		{"neither UTF-8 nor colors", Screen{TTY: true}, Half, "UTF-8"},
		{"plain needs UTF-8", Screen{TTY: true, Color: true}, Plain, "UTF-8"},
		{"too small", Screen{TTY: true, UTF8: true, Columns: 10, Rows: 5}, Half, "needs 25 columns and 14 rows, and this terminal has 10 and 5"},
	} {
		var out bytes.Buffer
		err := QR(&out, c.s, Code{Text: hostile}, c.style)
		var not *NotDrawn
		if !errors.As(err, &not) || !strings.Contains(err.Error(), c.says) || !strings.HasSuffix(not.Hint(), "add --qr-file code.png") {
			t.Errorf("%s: %v", c.name, err)
		}
		if out.String() != `id\n\x1b[2J\u202e`+"\n" {
			t.Errorf("%s: wrote %q", c.name, out.String())
		}
	}
	// TERM says nothing about a pipe.
	if err := QR(&bytes.Buffer{}, Screen{Dumb: true}, Code{Text: "x"}, Half); err != nil {
		t.Error(err)
	}
}

func TestTooLong(t *testing.T) {
	t.Parallel()
	code := Code{Text: strings.Repeat("x", 2954)}
	var out bytes.Buffer
	path := filepath.Join(t.TempDir(), "code.png")
	for _, err := range []error{QR(&out, Screen{}, code, Half), QR(&out, Screen{TTY: true}, code, Half), QRFile(path, code)} {
		var long *TooLong
		if !errors.As(err, &long) || long.Bytes != 2954 || !strings.Contains(err.Error(), "2953") {
			t.Error(err)
		}
	}
	if _, err := os.Stat(path); out.Len() != 0 || err == nil {
		t.Errorf("%q was written, or a file (%v)", out.String(), err)
	}
}
