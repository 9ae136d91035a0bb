package payment

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/villapay/villapay/internal/order"
	"github.com/villapay/villapay/internal/table"
)

// Input is a validated list of orders. It is a private temporary copy, so that
// changing the original file after validation has no effect.
type Input struct {
	Lines int // orders in it
	file  *os.File
}

// Line is one order of an input.
type Line struct {
	Number  int          `json:"n"` // line number in the original file, from 1
	OrderID string       `json:"o"`
	Source  order.Source `json:"s"`
}

// ReadInput reads and validates orders: a table with the columns orderid and source,
// or one order ID per line. source is the default. Invalid lines are passed to bad
// and skipped. If the whole input is invalid, the error is a *table.Error. The
// caller closes the Input.
func ReadInput(r io.Reader, source order.Source, tempDir string, bad func(*table.Error)) (*Input, error) {
	file, err := os.CreateTemp(tempDir, "villapay-batch-*")
	if err != nil {
		return nil, err
	}
	_ = os.Remove(file.Name()) // fails on Windows, where Close removes it
	in := &Input{file: file}
	if err := in.fill(r, source, bad); err != nil {
		in.Close()
		return nil, err
	}
	return in, nil
}

// Close removes the temporary file.
func (in *Input) Close() {
	_ = in.file.Close()
	_ = os.Remove(in.file.Name())
}

func (in *Input) fill(r io.Reader, source order.Source, bad func(*table.Error)) error {
	spool := bufio.NewWriter(in.file)
	encoder := json.NewEncoder(spool)
	spec := table.Spec{Columns: []string{"orderid", "source"}, Needed: 1, Headless: true, Check: checkLine}
	for record, err := range table.Read(r, spec) {
		if invalid, ok := errors.AsType[*table.Error](err); ok && !invalid.Fatal {
			bad(invalid)
			continue
		}
		if err != nil {
			return err
		}
		line := Line{Number: record.Line, OrderID: record.Values[0], Source: source}
		if named := record.Values[1]; named != "" {
			line.Source = order.Source(named)
		}
		in.Lines++
		if err := encoder.Encode(line); err != nil {
			return err
		}
	}
	return spool.Flush()
}

func checkLine(values []string) error {
	if err := order.CheckID(values[0]); err != nil {
		return err
	}
	switch order.Source(values[1]) {
	case "", order.QR, order.WeChat:
		return nil
	}
	return fmt.Errorf("%q is not a source: qr or wechat", values[1])
}

// each calls use for each line, until use returns false.
func (in *Input) each(use func(Line) bool) error {
	if _, err := in.file.Seek(0, io.SeekStart); err != nil {
		return err
	}
	decoder := json.NewDecoder(bufio.NewReader(in.file))
	for {
		var line Line
		err := decoder.Decode(&line)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if !use(line) {
			return nil
		}
	}
}
