package table

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"
)

// readCSV reads lines of cells. head is how the table begins.
func (p *parser) readCSV(head []byte) error {
	comma, before, err := p.separatorLine(head)
	if err != nil {
		return err
	}
	if comma == 0 {
		comma = p.detect(head)
	}
	bounded := &boundedReader{r: p.in}
	table := csv.NewReader(bounded)
	table.Comma, table.FieldsPerRecord, table.ReuseRecord = comma, -1, true
	last := before // the line of the last record
	var columns []int
	for {
		bounded.left = maxRecord
		cells, err := table.Read()
		line := last + 1
		if len(cells) > 0 {
			line, _ = table.FieldPos(0)
			line += before
		}
		last = line
		var malformed *csv.ParseError
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case errors.Is(err, errLong):
			return fatal(line, "%s", err)
		case errors.As(err, &malformed):
			if columns == nil {
				return fatal(before+malformed.Line, "%s", malformed.Err)
			}
			err = p.reject(before+malformed.Line, "%s", malformed.Err)
		case err != nil:
			return err
		case len(filled(cells)) == 0:
		case columns == nil:
			columns, err = p.begin(line, cells)
		default:
			err = p.row(line, cells, columns)
		}
		if err != nil {
			return err
		}
	}
}

// separatorLine reads the line in which Excel names the separator of cells: sep=;
func (p *parser) separatorLine(head []byte) (comma rune, lines int, _ error) {
	line, _, _ := bytes.Cut(head, []byte("\n"))
	text := strings.Trim(string(line), `" `)
	if len(text) < len("sep=") || !strings.EqualFold(text[:len("sep=")], "sep=") {
		return 0, 0, nil
	}
	if _, err := p.in.ReadBytes('\n'); err != nil && !errors.Is(err, io.EOF) {
		return 0, 0, err
	}
	switch text[len("sep="):] {
	case ",", ";", "\t":
		return rune(text[len("sep=")]), 1, nil
	}
	return 0, 0, fatal(1, "cells are separated by %q; use comma, semicolon or tab", text[len("sep="):])
}

// detect guesses the separator of cells: the one with which the first line names the
// column of IDs, else the one that makes the most cells of it.
func (p *parser) detect(head []byte) rune {
	best, most := ',', 0
	for _, comma := range []rune{',', ';', '\t'} {
		table := csv.NewReader(bytes.NewReader(head))
		table.Comma = comma
		cells, err := table.Read()
		switch {
		case err != nil:
		case slices.ContainsFunc(cells, p.named(0)):
			return comma
		case len(cells) > most:
			best, most = comma, len(cells)
		}
	}
	return best
}

// named reports whether a header's cell names a wanted column.
func (p *parser) named(column int) func(cell string) bool {
	return func(cell string) bool { return strings.EqualFold(clean(cell), p.Columns[column]) }
}

// filled are the cells that are not blank.
func filled(cells []string) (all []string) {
	for _, cell := range cells {
		if cell = clean(cell); cell != "" {
			all = append(all, cell)
		}
	}
	return all
}

// begin reads the first record: a header, or a record of a table without one. It
// returns where the wanted columns are, -1 for one that is not there.
func (p *parser) begin(line int, cells []string) ([]int, error) {
	columns := make([]int, len(p.Columns))
	some := false
	for i, name := range p.Columns {
		columns[i] = slices.IndexFunc(cells, p.named(i))
		some = some || columns[i] >= 0
		if at := columns[i]; at >= 0 && slices.ContainsFunc(cells[at+1:], p.named(i)) {
			return nil, fatal(line, "the header has two columns %s", name)
		}
	}
	missing := slices.Index(columns[:p.Needed], -1)
	if missing < 0 {
		p.headed, p.names = true, filled(cells)
		return columns, nil
	}
	if some || !p.Headless || isTitle(cells[0]) {
		return nil, p.noColumn(line, p.Columns[missing], cells)
	}
	for i := range columns {
		columns[i] = i
	}
	values, err := p.values(cells, columns)
	if err == nil && p.Check != nil {
		err = p.Check(values)
	}
	if err != nil {
		return nil, fatal(line, "it is neither a header with a column %s nor a record: %s", p.Columns[0], err)
	}
	return columns, p.emit(line, values)
}

// isTitle reports whether a first cell is no ID, but what programs head a column
// of them with.
func isTitle(cell string) bool {
	word := strings.NewReplacer("_", "", "-", "", " ", "", ".", "").Replace(strings.ToLower(cell))
	return slices.Contains([]string{
		"id", "ids", "no", "number", "order", "orders", "orderids", "orderid", "orderno", "ordernumber",
		"ref", "reference", "referenceno", "referenceorder", "bankorderid", "chargeid", "invoice", "invoiceno",
	}, word)
}

// noColumn names the columns that there are.
func (p *parser) noColumn(line int, name string, cells []string) error {
	columns := strings.Join(filled(cells), ", ")
	if !utf8.ValidString(columns) {
		columns += " (this is not UTF-8)"
	}
	return &Error{Line: line, Text: fmt.Sprintf("the header has no column %s; it has %s", name, columns), Fatal: true, Missing: name}
}

func (p *parser) row(line int, cells []string, columns []int) error {
	values, err := p.values(cells, columns)
	if err != nil {
		return p.reject(line, "%s", err)
	}
	return p.emit(line, values)
}

// values picks the wanted columns of a row.
func (p *parser) values(cells []string, columns []int) ([]string, error) {
	if !p.headed && len(cells) > len(columns) && len(filled(cells[len(columns):])) > 0 {
		return nil, errors.New("it has more cells than the columns of a table without a header: " + strings.Join(p.Columns, ", "))
	}
	values := make([]string, len(columns))
	for i, at := range columns {
		if at >= 0 && at < len(cells) {
			values[i] = clean(cells[at])
		}
	}
	return values, nil
}
