package cmd

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/makiuchi-d/gozxing/qrcode/decoder"
)

// vt is a terminal's screen: what a person sees after the bytes it was fed. It
// knows just the sequences that villapay may write; any other one is a fault.
type vt struct {
	bells       int // how often it rang
	cols, rows  int
	cells       [][]vtCell // of the screen that is shown
	normal      [][]vtCell // of the normal screen, while the other one is shown
	x, y        int
	keptX       int // where the cursor of the normal screen was
	keptY       int
	pen         string // the SGR parameters in force
	above       []string
	hidden      bool // the cursor
	drawing     bool // between the marks of a frame
	frames      int
	interrupted bool     // by Ctrl-C
	wrapped     []string // lines that ran over the right edge
	faults      []string
	rest        []byte // an unfinished sequence or character
}

// vtCell is a character and the SGR parameters that it was written with.
type vtCell struct {
	char rune
	pen  string
}

func newVT(cols, rows int) *vt {
	v := &vt{cols: cols, rows: rows}
	v.cells = v.blank()
	return v
}

func (v *vt) blank() [][]vtCell {
	cells := make([][]vtCell, v.rows)
	for y := range cells {
		cells[y] = v.blankRow()
	}
	return cells
}

func (v *vt) blankRow() []vtCell {
	row := make([]vtCell, v.cols)
	for x := range row {
		row[x].char = ' '
	}
	return row
}

// resize is what xterm does: lines are cut or padded, none is wrapped anew.
func (v *vt) resize(cols, rows int) {
	v.cols, v.rows = cols, rows
	for _, cells := range []*[][]vtCell{&v.cells, &v.normal} {
		if *cells == nil {
			continue
		}
		for len(*cells) > rows {
			*cells = (*cells)[1:]
		}
		for len(*cells) < rows {
			*cells = append(*cells, v.blankRow())
		}
		for y, row := range *cells {
			(*cells)[y] = append(row, v.blankRow()...)[:cols]
		}
	}
	v.x, v.y = min(v.x, cols-1), min(v.y, rows-1)
}

// feed takes what was written to the terminal, however it is cut into pieces.
func (v *vt) feed(data []byte) {
	data = append(v.rest, data...)
	for len(data) > 0 {
		n := v.one(data)
		if n == 0 {
			break
		}
		data = data[n:]
	}
	v.rest = append([]byte(nil), data...)
}

// one takes one character or sequence and returns its length, 0 where it is
// not whole yet.
func (v *vt) one(data []byte) int {
	switch data[0] {
	case '\r':
		v.x = 0
		return 1
	case '\n':
		v.down()
		return 1
	case '\b':
		v.x = max(0, v.x-1)
		return 1
	case '\a':
		v.bells++
		return 1
	case 0x1b:
		return v.escape(data)
	}
	if !utf8.FullRune(data) {
		return 0
	}
	r, n := utf8.DecodeRune(data)
	if r == utf8.RuneError && n == 1 && v.interrupted {
		return n // Ctrl-C drops what the terminal has not shown yet, also half a character
	}
	if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 || r == utf8.RuneError {
		v.fault("%q", data[:n])
		return n
	}
	if v.x == v.cols {
		v.wrapped = append(v.wrapped, v.line(v.y))
		v.x = 0
		v.down()
	}
	v.cells[v.y][v.x] = vtCell{r, v.pen}
	v.x++
	return n
}

func (v *vt) fault(format string, args ...any) {
	v.faults = append(v.faults, fmt.Sprintf(format, args...))
}

func (v *vt) down() {
	if v.y++; v.y < v.rows {
		return
	}
	v.y = v.rows - 1
	if v.normal == nil {
		v.above = append(v.above, v.line(0))
	}
	v.cells = append(v.cells[1:], v.blankRow())
}

func (v *vt) escape(data []byte) int {
	if len(data) < 2 {
		return 0
	}
	if data[1] != '[' {
		v.fault("%q", data[:2])
		return 2
	}
	for i := 2; i < len(data); i++ {
		if data[i] >= 0x40 {
			v.control(string(data[2:i]), data[i])
			return i + 1
		}
	}
	return 0
}

func (v *vt) control(args string, final byte) {
	switch {
	case final == 'm':
		v.pen = args
		if args == "0" || args == "" {
			v.pen = ""
		}
	case final == 'H' && args == "":
		v.x, v.y = 0, 0
	case final == 'K' && args == "":
		if v.x == v.cols {
			v.fault("the last column is erased")
		}
		clearCells(v.cells[v.y][min(v.x, v.cols-1):])
	case final == 'J' && args == "":
		clearCells(v.cells[v.y][min(v.x, v.cols-1):])
		for _, row := range v.cells[v.y+1:] {
			clearCells(row)
		}
	case final == 'J' && args == "2":
		v.cells = v.blank()
	case final == 'h' || final == 'l':
		v.mode(args, final == 'h')
	default:
		v.fault("ESC [ %s %c", args, final)
	}
}

func (v *vt) mode(mode string, on bool) {
	switch mode {
	case "?25":
		v.hidden = !on
	case "?2026":
		if v.drawing && !on {
			v.frames++
		}
		v.drawing = on
	case "?1049":
		if on == (v.normal != nil) {
			v.fault("the other screen is entered or left twice")
			return
		}
		if on {
			v.normal, v.keptX, v.keptY = v.cells, v.x, v.y
			v.cells = v.blank()
			return
		}
		v.cells, v.normal, v.x, v.y = v.normal, nil, min(v.keptX, v.cols-1), min(v.keptY, v.rows-1)
	default:
		v.fault("mode %s", mode)
	}
}

func clearCells(cells []vtCell) {
	for i := range cells {
		cells[i] = vtCell{char: ' '}
	}
}

func (v *vt) line(y int) string {
	var text strings.Builder
	for _, c := range v.cells[y] {
		text.WriteRune(c.char)
	}
	return strings.TrimRight(text.String(), " ")
}

// text is the screen as lines.
func (v *vt) text() string {
	lines := make([]string, v.rows)
	for y := range lines {
		lines[y] = v.line(y)
	}
	return strings.TrimRight(strings.Join(lines, "\n"), "\n")
}

// pens lists the SGR parameters with which a word stands on the screen.
func (v *vt) pensOf(word string) []string {
	var pens []string
	for y := range v.rows {
		var line strings.Builder
		for _, c := range v.cells[y] {
			line.WriteRune(c.char)
		}
		if at := strings.Index(line.String(), word); at >= 0 {
			pens = append(pens, v.cells[y][utf8.RuneCountInString(line.String()[:at])].pen)
		}
	}
	return pens
}

// scan reads the code on the screen as a camera would, on a theme whose ground
// is dark or light; "" where there is none that can be read whole.
func (v *vt) scan(t *testing.T, lightTheme bool) string {
	t.Helper()
	picture := v.picture(lightTheme)
	for _, square := range []bool{false, true} { // full blocks take two columns for a module
		if text, ok := decode(picture, square); ok {
			return text
		}
	}
	return ""
}

// picture is the screen in dots, two a cell above each other: true is dark.
func (v *vt) picture(lightTheme bool) [][]bool {
	dots := make([][]bool, 2*v.rows)
	for y, row := range v.cells {
		for _, c := range row {
			ink, ground := lightTheme, !lightTheme
			switch c.pen {
			case "38;5;231;48;5;16":
				ink, ground = false, true
			case "48;5;231":
				ground = false
			case "48;5;16":
				ground = true
			}
			upper, lower := ground, ground
			switch c.char {
			case '█':
				upper, lower = ink, ink
			case '▀':
				upper = ink
			case '▄':
				lower = ink
			case ' ':
			default: // a letter: neither dark nor light
				upper, lower = !lightTheme, !lightTheme
			}
			dots[2*y], dots[2*y+1] = append(dots[2*y], upper), append(dots[2*y+1], lower)
		}
	}
	return dots
}

// decode looks for the three finder patterns of a code and decodes what lies
// between them. wide says that a module is two columns and two dots.
func decode(picture [][]bool, wide bool) (string, bool) {
	if wide {
		var narrow [][]bool
		for y := 0; y < len(picture); y += 2 {
			var row []bool
			for x := 0; x < len(picture[y]); x += 2 {
				row = append(row, picture[y][x])
			}
			narrow = append(narrow, row)
		}
		picture = narrow
	}
	for top := range picture {
		for left := range picture[top] {
			for size := 21; finder(picture, top, left) && size <= 177; size += 4 {
				if !finder(picture, top, left+size-7) || !finder(picture, top+size-7, left) {
					continue
				}
				if text, ok := decodeAt(picture, top, left, size); ok {
					return text, true
				}
			}
		}
	}
	return "", false
}

// finder tells whether the corner mark of a code stands somewhere.
func finder(picture [][]bool, top, left int) bool {
	for y, line := range []string{"#######", "#.....#", "#.###.#", "#.###.#", "#.###.#", "#.....#", "#######"} {
		for x, want := range line {
			if at(picture, top+y, left+x) != strconv.Itoa(map[rune]int{'#': 1, '.': 0}[want]) {
				return false
			}
		}
	}
	return true
}

// at is "1" for a dark dot, "0" for a light one, "" outside.
func at(picture [][]bool, y, x int) string {
	if y < 0 || y >= len(picture) || x < 0 || x >= len(picture[y]) {
		return ""
	}
	if picture[y][x] {
		return "1"
	}
	return "0"
}

// decodeAt decodes a code of which no row or column may be missing, two white
// modules around it included.
func decodeAt(picture [][]bool, top, left, size int) (string, bool) {
	for i := -2; i < size+2; i++ {
		for _, dot := range []string{at(picture, top-2, left+i), at(picture, top+size+1, left+i), at(picture, top+i, left-2), at(picture, top+i, left+size+1)} {
			if dot != "0" {
				return "", false
			}
		}
	}
	var code [][]bool
	for y := range size {
		code = append(code, picture[top+y][left:left+size])
	}
	result, err := decoder.NewDecoder().DecodeBoolMapWithoutHint(code)
	if err != nil {
		return "", false
	}
	return result.GetText(), true
}
