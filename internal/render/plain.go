package render

import (
	"io"
	"strings"

	"github.com/villapay/villapay/internal/order"
)

// Table writes rows under titles, fitted to the screen as every table is. Nil
// titles make a table without a header. Line breaks in a cell are kept; all
// else is made harmless.
func Table(w io.Writer, s Screen, titles []string, rows [][]string) error {
	columns := make([]column, max(len(titles), longest(rows)))
	for i, title := range titles {
		columns[i].title = title
	}
	return grid(w, s, columns, func(yield func([]cell, error) bool) {
		for _, row := range rows {
			cells := make([]cell, len(columns))
			for i, text := range row {
				lines := strings.Split(text, "\n")
				for n := range lines {
					lines[n] = s.Text(lines[n])
				}
				cells[i] = cell{text: strings.Join(lines, "\n"), paint: statusPaint(text)}
			}
			if !yield(cells, nil) {
				return
			}
		}
	})
}

func longest(rows [][]string) int {
	n := 0
	for _, row := range rows {
		n = max(n, len(row))
	}
	return n
}

// statusPaint colours the words that tables use for how something stands.
func statusPaint(text string) paint {
	switch text {
	case "ok":
		return green
	case "warn":
		return yellow
	case "fail", "LIVE":
		return red
	}
	return plainText
}

// StateColored is the state's words for people, in the colour that means it
// where the screen takes colours.
func StateColored(s Screen, state order.State) string {
	word, p := stateWord(state)
	return s.color(p, s.Text(word))
}

// Cut makes text harmless and cuts it to the terminal's width, an ellipsis at
// its end where something is missing. A pipe gets all of it.
func Cut(s Screen, text string) string {
	text = s.Text(text)
	if !s.TTY || width(text) <= s.columns() {
		return text
	}
	cut := []rune(text)
	for len(cut) > 0 && width(string(cut))+1 > s.columns() {
		cut = cut[:len(cut)-1]
	}
	if s.legacy() {
		return string(cut) + "~"
	}
	return string(cut) + "…"
}

// Wrap makes text harmless and breaks it, at blanks where it can, into lines
// that fit the terminal. A pipe gets one line.
func Wrap(s Screen, text string) []string {
	text = s.Text(text)
	if !s.TTY {
		return []string{text}
	}
	return wrapLine(text, s.columns())
}
