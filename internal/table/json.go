package table

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/villapay/villapay/internal/order"
)

// readLines reads one object a line.
func (p *parser) readLines() error {
	for line := 1; ; line++ {
		raw, err := p.in.ReadSlice('\n')
		last := errors.Is(err, io.EOF)
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			return fatal(line, "%s", errLong)
		case err != nil && !last:
			return err
		}
		if raw = bytes.TrimSpace(raw); len(raw) > 0 {
			if err := p.object(line, raw); err != nil {
				return err
			}
		}
		if last {
			return nil
		}
	}
}

// readArray reads the elements of one array.
func (p *parser) readArray() error {
	lines := &lineCounter{r: p.in, line: 1}
	bounded := &boundedReader{r: lines, left: maxRecord}
	decoder := json.NewDecoder(bounded)
	_, _ = decoder.Token() // the bracket that it was known by
	for decoder.More() {
		var raw json.RawMessage
		if err := decoder.Decode(&raw); err != nil {
			return broken(err, decoder, lines)
		}
		line, read := lines.at(decoder.InputOffset()-int64(len(raw))), p.object
		if p.Headless && raw[0] != '{' && raw[0] != '[' {
			read = p.bare
		}
		if err := read(line, raw); err != nil {
			return err
		}
		bounded.left = maxRecord
	}
	if _, err := decoder.Token(); err != nil {
		return broken(err, decoder, lines)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return fatal(lines.at(decoder.InputOffset()), "something follows the array")
	}
	return nil
}

// broken explains an array that cannot be read to its end.
func broken(err error, decoder *json.Decoder, lines *lineCounter) error {
	var syntax *json.SyntaxError
	switch {
	case errors.Is(err, errLong):
		return fatal(lines.at(decoder.InputOffset()), "%s", errLong)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return fatal(lines.last, "the array is not closed")
	case errors.As(err, &syntax):
		return fatal(lines.at(syntax.Offset), "it is not JSON: %s", err)
	}
	return err
}

// lineCounter knows the lines of what has been read from it and was not asked for
// yet.
type lineCounter struct {
	r    io.Reader
	read int64
	ends []int64 // offsets of the line ends ahead
	line int     // of the offset asked for last
	last int     // of the last byte read
}

func (l *lineCounter) Read(p []byte) (int, error) {
	n, err := l.r.Read(p)
	for i, b := range p[:n] {
		if b == '\n' {
			l.ends = append(l.ends, l.read+int64(i))
		}
	}
	l.read += int64(n)
	l.last = l.line + len(l.ends)
	return n, err
}

// at is the line of an offset, which must not go back.
func (l *lineCounter) at(offset int64) int {
	n, _ := slices.BinarySearch(l.ends, offset)
	l.line += n
	l.ends = slices.Delete(l.ends, 0, n)
	return l.line
}

// bare reads a record that is only an ID.
func (p *parser) bare(line int, raw []byte) error {
	values := make([]string, len(p.Columns))
	if err := p.set(values, 0, raw); err != nil {
		return p.reject(line, "%s", err)
	}
	return p.emit(line, values)
}

// object reads a record that is a JSON object.
func (p *parser) object(line int, raw []byte) error {
	fields, err := order.Fields(raw)
	if err != nil {
		return p.reject(line, "it is not a JSON object")
	}
	values, found := make([]string, len(p.Columns)), make([]bool, len(p.Columns))
	for _, f := range fields {
		i := slices.IndexFunc(p.Columns, func(name string) bool { return strings.EqualFold(name, f.Name) })
		if i < 0 {
			continue
		}
		if found[i] {
			return p.reject(line, "it has the field %s twice", p.Columns[i])
		}
		found[i] = true
		if err := p.set(values, i, f.Value); err != nil {
			return p.reject(line, "%s", err)
		}
	}
	if missing := slices.Index(found[:p.Needed], false); missing >= 0 {
		return p.reject(line, "it has no %s", p.Columns[missing])
	}
	return p.emit(line, values)
}

// set reads a JSON value as a cell: a text, the digits of a number, "" for null.
func (p *parser) set(values []string, column int, raw []byte) error {
	switch {
	case raw[0] == '"':
		var text string
		if err := json.Unmarshal(raw, &text); err != nil {
			return err
		}
		values[column] = clean(text)
	case raw[0] == '-' || raw[0] >= '0' && raw[0] <= '9':
		values[column] = string(raw)
		if column == 0 && !isDigits(values[0]) && !isFloat(values[0]) {
			return fmt.Errorf("its %s %s is not a whole number; write it as text", p.Columns[0], raw)
		}
	case raw[0] != 'n':
		return fmt.Errorf("its %s is neither text nor a number", p.Columns[column])
	}
	return nil
}
