package table

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"

	"golang.org/x/text/encoding/unicode"
	"golang.org/x/text/transform"
)

// Accepted says to people what can be read.
const Accepted = "CSV with comma, semicolon or tab, one JSON object a line, or a JSON array, in UTF-8 or UTF-16"

// Spec says what to look for in a table.
type Spec struct {
	// Columns are the names of the columns to read, in any case. The first holds
	// IDs.
	Columns []string
	// Needed is how many of the columns must be there.
	Needed int
	// Headless tables are read too: their columns are these, in this order.
	Headless bool
	// Check says what is wrong with a record; nil takes all.
	Check func(values []string) error
}

// Record is one row of a table, or one object.
type Record struct {
	Line   int      // where it begins, from 1
	Values []string // of the columns, trimmed; "" if there is none
}

// Error says what is wrong with a line.
type Error struct {
	Line int // 0 if it is about none
	Text string
	// Fatal errors are about the table: no record follows. Others are about one
	// record, and reading goes on.
	Fatal bool
	// Missing is the needed column that the header lacks.
	Missing string
}

func (e *Error) Error() string {
	if e.Line == 0 {
		return e.Text
	}
	return fmt.Sprintf("line %d: %s", e.Line, e.Text)
}

// maxRecord bounds one record, in bytes.
const maxRecord = 64 << 10

// Read reads the records of a table. With an *Error that is not fatal the record
// has its line alone, and reading goes on; any other error ends the sequence.
func Read(r io.Reader, spec Spec) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		p := &parser{Spec: spec, yield: yield, names: spec.Columns[:1]}
		p.in = bufio.NewReaderSize(&lineReader{r: transform.NewReader(r, unicode.BOMOverride(transform.Nop))}, maxRecord)
		if err := p.read(); err != nil && !errors.Is(err, errStopped) {
			yield(Record{}, err)
		}
	}
}

// errStopped says that the reader of the sequence wants no more.
var errStopped = errors.New("stopped")

// parser reads one table.
type parser struct {
	Spec
	in     *bufio.Reader
	yield  func(Record, error) bool
	headed bool     // the table has a header
	names  []string // what stands in its cells, or would
}

func (p *parser) read() error {
	head, err := p.in.Peek(maxRecord)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	switch trimmed := bytes.TrimSpace(head); {
	case len(trimmed) == 0 && len(head) == maxRecord:
		return fatal(1, "it begins with more than %d blanks", maxRecord)
	case len(trimmed) == 0:
		return fatal(0, "the input is empty")
	case trimmed[0] == '[':
		return p.readArray()
	case trimmed[0] == '{':
		return p.readLines()
	}
	return p.readCSV(head)
}

// emit passes on one record, or what is wrong with it.
func (p *parser) emit(line int, values []string) error {
	if err := p.checkID(values[0]); err != nil {
		return fatal(line, "%s", err)
	}
	if p.Check != nil {
		if err := p.Check(values); err != nil {
			return p.reject(line, "%s", err)
		}
	}
	if !p.yield(Record{line, values}, nil) {
		return errStopped
	}
	return nil
}

// reject says what is wrong with one record.
func (p *parser) reject(line int, format string, args ...any) error {
	if !p.yield(Record{Line: line}, &Error{Line: line, Text: fmt.Sprintf(format, args...)}) {
		return errStopped
	}
	return nil
}

func fatal(line int, format string, args ...any) error {
	return &Error{Line: line, Text: fmt.Sprintf(format, args...), Fatal: true}
}

// isFloat reports whether a text is what programs make of a whole number:
// 492500009999.0, 4.925E+11. An ID such as 4925.7 or 1E5 is none.
func isFloat(text string) bool {
	mantissa, exponent := text, ""
	if e := strings.IndexAny(text, "eE"); e >= 0 {
		mantissa, exponent = text[:e], text[e+1:]
	}
	whole, fraction, dot := strings.Cut(strings.TrimLeft(mantissa, "+-"), ".")
	if !isDigits(whole) || dot && !isDigits(fraction) {
		return false
	}
	if mantissa == text {
		return dot && strings.Trim(fraction, "0") == ""
	}
	power := strings.TrimLeft(exponent, "+-")
	return isDigits(power) && (dot || power != exponent)
}

func isDigits(text string) bool { return text != "" && strings.Trim(text, "0123456789") == "" }

// checkID finds IDs that show that the whole table is not what it was.
func (p *parser) checkID(id string) error {
	if isFloat(id) {
		return fmt.Errorf("%s is an ID that a program turned into a number; write the column %s as text", id, p.Columns[0])
	}
	if slices.ContainsFunc(p.names, func(name string) bool { return strings.EqualFold(id, name) }) {
		return errors.New("it is a second header; a table has one, on its first line")
	}
	return nil
}

// clean is a cell without the blanks around it, and without the mark with which
// a file may begin that was appended to another.
func clean(cell string) string {
	return strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(cell), "\ufeff"))
}

// lineReader makes every line end a line feed, and fails at what is not text.
type lineReader struct {
	r     io.Reader
	lines int
	cr    bool // the last byte was a carriage return
}

func (l *lineReader) Read(p []byte) (int, error) {
	for {
		n, err := l.r.Read(p)
		kept := 0
		for _, b := range p[:n] {
			feed := b == '\n' && l.cr
			l.cr = b == '\r'
			switch {
			case feed:
				continue
			case b == 0:
				return kept, fatal(l.lines+1, "it is not text; accepted formats: %s", Accepted)
			case b == '\r':
				b = '\n'
			}
			if b == '\n' {
				l.lines++
			}
			p[kept] = b
			kept++
		}
		if kept > 0 || err != nil || len(p) == 0 {
			return kept, err
		}
	}
}

// boundedReader ends a record that takes too much: a quote or bracket that is left
// open would swallow the whole file.
type boundedReader struct {
	r    io.Reader
	left int
}

var errLong = fmt.Errorf("it is longer than %d bytes; is a quote or bracket left open?", maxRecord)

func (b *boundedReader) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, errLong
	}
	n, err := b.r.Read(p[:min(len(p), b.left)])
	b.left -= n
	return n, err
}
