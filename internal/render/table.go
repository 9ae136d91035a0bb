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

// cell is one field of a table: harmless text, in which only line breaks mean
// something, and its colour.
type cell struct {
	text  string
	paint paint
}

// column is a column's title and what happens to it at a narrow terminal.
type column struct {
	title string
	right bool
	whole bool // wrapped last of all
	spare int  // 0 = always shown; else left out where there is no room, highest first
}

const (
	// sample is how many rows decide the widths; later ones wrap into them.
	sample = 200
	// narrowest is the width below which no column is pressed.
	narrowest = 4
	// frame is what a column costs beside its text: a border and two blanks.
	frame = 3
)

// grid writes a table row by row. At a terminal it fits the columns: spare ones
// are left out, then the widest are wrapped. A pipe has no width, so there
// everything stands whole on one line. Columns without any title make a table
// without a header. The rows' error ends the table and is returned.
func grid(w io.Writer, s Screen, columns []column, rows iter.Seq2[[]cell, error]) error {
	next, stop := iter.Pull2(rows)
	defer stop()
	head := make([][]cell, 0, 16)
	for len(head) < sample {
		row, err, ok := next()
		if err != nil {
			return err
		}
		if !ok {
			break
		}
		head = append(head, row)
	}
	t := newTable(w, s, columns, head)
	if err := t.start(); err != nil {
		return err
	}
	for _, row := range head {
		if err := t.row(row); err != nil {
			return err
		}
	}
	for len(head) == sample {
		if err := t.flush(); err != nil {
			return err
		}
		row, err, ok := next()
		if err != nil {
			return err
		}
		if !ok {
			break
		}
		if err := t.row(row); err != nil {
			return err
		}
	}
	return t.end()
}

// table is a table under way. tablewriter swallows the errors of its writer, so
// it writes to a buffer, which is passed on when the sample is drawn and then row
// by row.
type table struct {
	w       io.Writer
	s       Screen
	columns []column
	shown   []int // indexes of the columns that are shown
	widths  []int // of the shown columns' text, in cells
	writer  *tablewriter.Table
	buffer  bytes.Buffer
	stand   standIns
}

func newTable(w io.Writer, s Screen, columns []column, head [][]cell) *table {
	t := &table{w: w, s: s, columns: columns}
	t.shown, t.widths = fit(s, columns, head)
	symbols := tw.StyleASCII
	if s.TTY && s.UTF8 && !s.Dumb {
		symbols = tw.StyleRounded
	}
	padded := tw.NewMapper[int, int]()
	align := make(tw.Alignment, len(t.shown))
	for i, c := range t.shown {
		padded.Set(i, t.widths[i]+frame-1)
		align[i] = tw.AlignLeft
		if columns[c].right {
			align[i] = tw.AlignRight
		}
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
	return t
}

func (t *table) start() error {
	if err := t.writer.Start(); err != nil {
		return fmt.Errorf("draw a table: %w", err)
	}
	titles := make([]string, len(t.shown))
	for i, c := range t.shown {
		titles[i] = t.lines(cell{t.columns[c].title, strong}, t.widths[i])
	}
	if strings.Join(titles, "") != "" {
		t.writer.Header(titles)
	}
	return nil
}

func (t *table) row(cells []cell) error {
	texts := make([]string, len(t.shown))
	for i, c := range t.shown {
		texts[i] = t.lines(cells[c], t.widths[i])
	}
	if err := t.writer.Append(texts); err != nil {
		return fmt.Errorf("draw a table: %w", err)
	}
	return nil
}

func (t *table) end() error {
	if err := t.writer.Close(); err != nil {
		return fmt.Errorf("draw a table: %w", err)
	}
	return t.flush()
}

// lines wraps a cell's text and colours each line by itself, so that no colour
// runs over a border.
func (t *table) lines(c cell, limit int) string {
	lines := wrap(c.text, limit)
	for i, line := range lines {
		lines[i] = t.s.color(c.paint, t.stand.hide(strings.ReplaceAll(line, glue, " ")))
	}
	return strings.Join(lines, "\n")
}

func (t *table) flush() error {
	if t.buffer.Len() == 0 {
		return nil
	}
	err := writeString(t.w, t.stand.show(t.buffer.String()))
	t.buffer.Reset()
	t.stand = standIns{}
	twwidth.SetCondition(westernWidths()) // forgets every text that it has measured
	return err
}

// westernWidths makes tablewriter measure text as most terminals draw it,
// whatever the locale says.
func westernWidths() *runewidth.Condition { return &runewidth.Condition{} }

// fit chooses the columns and their widths for a screen.
func fit(s Screen, columns []column, head [][]cell) (shown, widths []int) {
	natural, words := make([]int, len(columns)), make([]int, len(columns))
	for c, column := range columns {
		natural[c], words[c] = widest(column.title, "\n"), widest(column.title, " \n")
		for _, row := range head {
			natural[c] = max(natural[c], widest(row[c].text, "\n"))
			words[c] = max(words[c], widest(row[c].text, " \n"))
		}
		natural[c], words[c] = max(natural[c], 1), max(words[c], 1)
		if column.whole {
			words[c] = natural[c]
		}
		shown = append(shown, c)
	}
	if s.TTY {
		shown = withoutSpare(columns, shown, natural, s.columns())
	}
	widths = make([]int, len(shown))
	least := make([]int, len(shown))
	for i, c := range shown {
		widths[i], least[i] = natural[c], words[c]
	}
	if s.TTY {
		press(widths, least, s.columns()-1-frame*len(shown))
	}
	return shown, widths
}

// withoutSpare leaves out spare columns, highest first, until what is left can
// stand whole, or none is spare.
func withoutSpare(columns []column, shown, natural []int, room int) []int {
	for {
		total, worst := 1, -1
		for i, c := range shown {
			total += natural[c] + frame
			if columns[c].spare > 0 && (worst < 0 || columns[c].spare > columns[shown[worst]].spare) {
				worst = i
			}
		}
		if total <= room || worst < 0 {
			return shown
		}
		shown = append(shown[:worst:worst], shown[worst+1:]...)
	}
}

// press narrows the widest column, cell by cell, until all fit the room: first
// those that need not break a word for it, then any, none below narrowest.
func press(widths, words []int, room int) {
	total := 0
	for _, n := range widths {
		total += n
	}
	for ; total > room; total-- {
		i := widestOf(widths, words)
		if i < 0 {
			i = widestOf(widths, slices.Repeat([]int{narrowest}, len(widths)))
		}
		if i < 0 {
			return
		}
		widths[i]--
	}
}

// widestOf is the index of the widest column above its least width, -1 where
// none is.
func widestOf(widths, least []int) int {
	at := -1
	for i, n := range widths {
		if n > least[i] && (at < 0 || n > widths[at]) {
			at = i
		}
	}
	return at
}
