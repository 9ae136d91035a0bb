package render

import (
	"bytes"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"

	"github.com/mattn/go-runewidth"
	"github.com/olekukonko/tablewriter"
	"github.com/olekukonko/tablewriter/pkg/twwidth"
	"github.com/olekukonko/tablewriter/tw"
)

// cell is one field of a table: sanitized text, in which only line breaks mean
// something, and its style.
type cell struct {
	text  string
	style style
	short string // the text where room is short, if another
}

// column is a column's title and what happens to it at a narrow terminal.
type column struct {
	title    string
	right    bool
	whole    bool // wrapped last of all
	optional int  // 0 = always shown; else left out where there is no room, highest first
}

const (
	// sample is how many rows decide the widths; later ones wrap into them.
	sample = 200
	// narrowest is the width below which no column is shrunk.
	narrowest = 4
	// frame is what a column costs beside its text: a border and two blanks.
	frame = 3
)

// Table writes rows under titles, fitted to the screen as every table is. Nil
// titles make a table without a header. Text is sanitized but for line breaks.
func Table(w io.Writer, s Screen, titles []string, rows [][]string) error {
	n := len(titles)
	for _, row := range rows {
		n = max(n, len(row))
	}
	columns := make([]column, n)
	for i, title := range titles {
		columns[i].title = title
	}
	lines := make([][]cell, len(rows))
	for i, row := range rows {
		lines[i] = make([]cell, n)
		for c, text := range row {
			lines[i][c] = cell{text: s.textBetween(text, "\n"), style: statusStyle(text)}
		}
	}
	return grid(w, s, columns, All(lines))
}

// statusStyle colors the words that tables use for how something stands.
func statusStyle(text string) style {
	switch text {
	case "ok":
		return green
	case "warn":
		return amber
	case "fail", "LIVE":
		return red
	}
	return plainText
}

// All makes a sequence of values that cannot fail.
func All[T any](values []T) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for _, v := range values {
			if !yield(v, nil) {
				return
			}
		}
	}
}

// grid writes a table row by row. At a terminal it fits the columns: short texts
// replace full ones, then optional columns are left out, then the widest are
// wrapped. A pipe has no width, so there everything stands whole on one line.
// Columns without any title make a table without a header. The rows' error ends
// the table and is returned.
func grid(w io.Writer, s Screen, columns []column, rows iter.Seq2[[]cell, error]) error {
	t := &table{w: w, s: s, columns: columns}
	for row, err := range rows {
		if err == nil {
			err = t.add(row)
		}
		if err != nil {
			return err
		}
	}
	if t.writer == nil {
		if err := t.start(); err != nil {
			return err
		}
	}
	if err := t.writer.Close(); err != nil {
		return fmt.Errorf("draw a table: %w", err)
	}
	return t.flush()
}

// table is a table under way. tablewriter swallows the errors of its writer, so
// it writes to a buffer, which is passed on when the sample is drawn and then row
// by row.
type table struct {
	w       io.Writer
	s       Screen
	columns []column
	sampled [][]cell // rows that wait for the widths
	short   bool     // cells have their short texts
	shown   []int    // indexes of the columns that are shown
	widths  []int    // of the shown columns' text, in cells
	writer  *tablewriter.Table
	buffer  bytes.Buffer
	hidden  standIns
}

func (t *table) add(row []cell) error {
	var err error
	if t.writer != nil {
		err = t.draw(row)
	} else if t.sampled = append(t.sampled, row); len(t.sampled) < sample {
		return nil
	} else {
		err = t.start()
	}
	if err != nil {
		return err
	}
	return t.flush()
}

// start fits the columns to the sample and draws that.
func (t *table) start() error {
	t.fit()
	symbols := tw.StyleASCII
	if t.s.TTY && t.s.UTF8 && !t.s.Dumb {
		symbols = tw.StyleRounded
	}
	padded := tw.NewMapper[int, int]()
	align := make(tw.Alignment, len(t.shown))
	titles := make([]string, len(t.shown))
	for i, c := range t.shown {
		padded.Set(i, t.widths[i]+frame-1)
		align[i] = tw.AlignLeft
		if t.columns[c].right {
			align[i] = tw.AlignRight
		}
		titles[i] = t.lines(cell{text: t.columns[c].title, style: bold}, t.widths[i])
	}
	t.writer = tablewriter.NewTable(&t.buffer,
		tablewriter.WithCondition(westernWidths()),
		tablewriter.WithHeaderAutoFormat(tw.Off),
		tablewriter.WithHeaderAutoWrap(tw.WrapNone),
		tablewriter.WithRowAutoWrap(tw.WrapNone),
		tablewriter.WithTrimSpace(tw.Off),
		tablewriter.WithHeaderAlignmentConfig(tw.CellAlignment{PerColumn: align}),
		tablewriter.WithRowAlignmentConfig(tw.CellAlignment{PerColumn: align}),
		tablewriter.WithSymbols(tw.NewSymbols(symbols)),
		tablewriter.WithColumnWidths(padded),
		tablewriter.WithStreaming(tw.StreamConfig{Enable: true, StrictColumns: true}),
	)
	if err := t.writer.Start(); err != nil {
		return fmt.Errorf("draw a table: %w", err)
	}
	if strings.Join(titles, "") != "" {
		t.writer.Header(titles)
	}
	for _, row := range t.sampled {
		if err := t.draw(row); err != nil {
			return err
		}
	}
	t.sampled = nil
	return nil
}

func (t *table) draw(row []cell) error {
	texts := make([]string, len(t.shown))
	for i, c := range t.shown {
		texts[i] = t.lines(row[c], t.widths[i])
	}
	if err := t.writer.Append(texts); err != nil {
		return fmt.Errorf("draw a table: %w", err)
	}
	return nil
}

func (t *table) text(c cell) string {
	if t.short && c.short != "" {
		return c.short
	}
	return c.text
}

// lines wraps a cell's text and colors each line by itself, so that no color
// runs over a border.
func (t *table) lines(c cell, limit int) string {
	lines := wrap(t.text(c), limit)
	for i, line := range lines {
		lines[i] = t.s.color(c.style, t.hidden.hide(strings.ReplaceAll(line, noBreak, " ")))
	}
	return strings.Join(lines, "\n")
}

func (t *table) flush() error {
	if t.buffer.Len() == 0 {
		return nil
	}
	err := writeString(t.w, t.hidden.show(t.buffer.String()))
	t.buffer.Reset()
	t.hidden = nil
	twwidth.SetCondition(westernWidths()) // forgets every text that it has measured
	return err
}

// westernWidths makes tablewriter measure text as most terminals draw it,
// whatever the locale says.
func westernWidths() *runewidth.Condition { return &runewidth.Condition{} }

// fit chooses the columns and their widths for the screen.
func (t *table) fit() {
	natural, words := t.measure()
	for i := range t.columns {
		t.shown = append(t.shown, i)
	}
	if t.s.TTY && t.total(natural) > t.s.columns() {
		t.short = true
		natural, words = t.measure()
		t.dropOptional(natural)
	}
	least := make([]int, len(t.shown))
	t.widths = make([]int, len(t.shown))
	for i, c := range t.shown {
		t.widths[i], least[i] = natural[c], words[c]
	}
	if t.s.TTY {
		shrink(t.widths, least, t.s.columns()-1-frame*len(t.shown))
	}
}

// measure returns how wide each column of the sample is, and how wide its widest
// word.
func (t *table) measure() (natural, words []int) {
	for i, c := range t.columns {
		n, word := max(1, widest(c.title, "\n")), max(1, widest(c.title, " \n"))
		for _, row := range t.sampled {
			text := t.text(row[i])
			n, word = max(n, widest(text, "\n")), max(word, widest(text, " \n"))
		}
		if c.whole {
			word = n
		}
		natural, words = append(natural, n), append(words, word)
	}
	return natural, words
}

// total is how wide the table is whose shown columns stand whole.
func (t *table) total(natural []int) int {
	n := 1
	for _, c := range t.shown {
		n += natural[c] + frame
	}
	return n
}

// dropOptional leaves out optional columns, highest first, until what is left
// can stand whole.
func (t *table) dropOptional(natural []int) {
	for t.total(natural) > t.s.columns() {
		highest := slices.MaxFunc(t.shown, func(a, b int) int { return t.columns[a].optional - t.columns[b].optional })
		if t.columns[highest].optional == 0 {
			return
		}
		t.shown = slices.DeleteFunc(t.shown, func(c int) bool { return c == highest })
	}
}

// shrink narrows the widest column, cell by cell, until all fit the room: first
// those that need not break a word for it, then any, none below narrowest.
func shrink(widths, words []int, room int) {
	total := 0
	for _, n := range widths {
		total += n
	}
	for ; total > room; total-- {
		i := widestAbove(widths, words)
		if i < 0 {
			i = widestAbove(widths, slices.Repeat([]int{narrowest}, len(widths)))
		}
		if i < 0 {
			return
		}
		widths[i]--
	}
}

// widestAbove is the index of the widest column above its least width, -1 where
// none is.
func widestAbove(widths, least []int) int {
	at := -1
	for i, n := range widths {
		if n > least[i] && (at < 0 || n > widths[at]) {
			at = i
		}
	}
	return at
}
