package render

import (
	"encoding/csv"
	"io"
	"iter"

	"github.com/villapay/villapay/internal/order"
	"github.com/villapay/villapay/internal/sanitize"
)

// Title is a column of [Rows].
type Title struct {
	Text     string
	Right    bool // numbers
	Optional bool // left out where room is short
}

// Rows writes rows under titles as they come, fitted to the screen as every table
// is. Text is sanitized. It ends at the first error of the sequence and returns
// that.
func Rows(w io.Writer, s Screen, titles []Title, rows iter.Seq2[[]string, error]) error {
	columns := make([]column, len(titles))
	for i, title := range titles {
		columns[i] = column{title: title.Text, right: title.Right}
		if title.Optional {
			columns[i].optional = 1
		}
	}
	return grid(w, s, columns, func(yield func([]cell, error) bool) {
		for texts, err := range rows {
			row := make([]cell, len(titles))
			for i, text := range texts {
				row[i] = cell{text: s.Text(text), style: statusStyle(text)}
			}
			if !yield(row, err) {
				return
			}
		}
	})
}

// RowsCSV writes a header and rows as [CSV] does.
func RowsCSV(w io.Writer, header []string, rows iter.Seq2[[]string, error]) error {
	out := csv.NewWriter(w)
	out.UseCRLF = true
	if err := out.Write(header); err != nil {
		return err
	}
	for texts, err := range rows {
		if err != nil {
			return err
		}
		for i, text := range texts {
			if _, err := order.ParseAmount(text); err != nil { // a minus of an amount is no formula
				texts[i] = defuse(sanitize.Text(text))
			}
		}
		if err := out.Write(texts); err != nil {
			return err
		}
	}
	out.Flush()
	return out.Error()
}
