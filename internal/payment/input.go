package payment

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/villapay/villapay/internal/order"
)

// Input is a checked list of orders to pay, kept in a private temporary file:
// what was checked is what is paid, whatever happens to the file it came from.
type Input struct {
	Lines int // orders in it
	file  *os.File
}

// Line is one order of an input.
type Line struct {
	Number  int          `json:"n"` // in the file it came from, from 1
	OrderID string       `json:"o"`
	Source  order.Source `json:"s"`
}

// BadLine is a line that is no order.
type BadLine struct {
	Number int
	Err    error
}

func (b BadLine) Error() string { return fmt.Sprintf("line %d: %s", b.Number, b.Err) }

// longestRecord bounds what one line may hold, in bytes.
const longestRecord = 64 << 10

// ReadInput reads orders as CSV with a header, NDJSON, or one ID a line, told
// apart by their content, and checks each. bad is told of every line that is no
// order; such lines are left out. source is for orders that name none. The
// caller closes the Input.
func ReadInput(r io.Reader, source order.Source, tempDir string, bad func(BadLine)) (*Input, error) {
	file, err := os.CreateTemp(tempDir, "villapay-batch-*")
	if err != nil {
		return nil, err
	}
	_ = os.Remove(file.Name()) // it lives as long as it is open; Windows removes it in Close
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

func (in *Input) fill(r io.Reader, source order.Source, bad func(BadLine)) error {
	spool := bufio.NewWriter(in.file)
	encoder := json.NewEncoder(spool)
	var failed error
	keep := func(number int, orderID, named string) {
		line := Line{Number: number, OrderID: orderID, Source: source}
		if err := line.check(named); err != nil {
			bad(BadLine{number, err})
			return
		}
		in.Lines++
		if err := encoder.Encode(line); err != nil && failed == nil {
			failed = err
		}
	}
	if err := parse(r, keep, bad); err != nil {
		return err
	}
	if failed == nil {
		failed = spool.Flush()
	}
	return failed
}

// check completes the line with the source it names, if it names one.
func (l *Line) check(named string) error {
	if err := order.CheckID(l.OrderID); err != nil {
		return err
	}
	switch order.Source(named) {
	case "":
	case order.QR, order.WeChat:
		l.Source = order.Source(named)
	default:
		return fmt.Errorf("%q is not a source: qr or wechat", named)
	}
	return nil
}

// parse tells the three forms apart: a first byte { means NDJSON; a first line
// with a comma, or equal to orderid, means CSV; anything else is IDs.
func parse(r io.Reader, keep func(number int, orderID, source string), bad func(BadLine)) error {
	br := bufio.NewReaderSize(r, longestRecord)
	if mark, _ := br.Peek(3); bytes.Equal(mark, []byte("\xef\xbb\xbf")) {
		_, _ = br.Discard(3)
	}
	head, _ := br.Peek(longestRecord)
	first := strings.TrimSpace(string(firstLine(head)))
	switch {
	case strings.HasPrefix(first, "{"):
		return parseLines(br, bad, func(number int, line []byte) error {
			var order struct {
				OrderID *json.RawMessage `json:"orderid"`
				Source  string           `json:"source"`
			}
			if err := json.Unmarshal(line, &order); err != nil {
				return fmt.Errorf("not a JSON object with orderid and source: %w", err)
			}
			if order.OrderID == nil {
				return errors.New("it has no orderid")
			}
			id, err := idText(*order.OrderID)
			if err != nil {
				return err
			}
			keep(number, id, order.Source)
			return nil
		})
	case strings.Contains(first, ",") || strings.EqualFold(strings.Trim(first, `"`), "orderid"):
		return parseCSV(br, keep, bad)
	}
	if misnamed(first) {
		return BadLine{1, fmt.Errorf("%q looks like a header; the column has to be named orderid", first)}
	}
	return parseLines(br, bad, func(number int, line []byte) error {
		keep(number, string(line), "")
		return nil
	})
}

// misnamed tells of the first line of a list that it is no order, but what other
// programs head a column of orders with.
func misnamed(line string) bool {
	word := strings.NewReplacer(`"`, "", "_", "", "-", "", " ", "").Replace(strings.ToLower(line))
	return slices.Contains([]string{"id", "order", "orderid", "orderids", "orderno", "ordernumber", "orders"}, word)
}

// idText reads an order ID that is a JSON string, or a whole number's digits.
func idText(raw json.RawMessage) (string, error) {
	var text string
	if json.Unmarshal(raw, &text) == nil {
		return text, nil
	}
	var number json.Number
	if json.Unmarshal(raw, &number) == nil {
		if strings.Trim(number.String(), "0123456789") != "" {
			return "", fmt.Errorf("its orderid %s is not a whole number; write the order ID as text", number)
		}
		return number.String(), nil
	}
	return "", errors.New("its orderid is not text")
}

// firstLine is the first line that is not blank.
func firstLine(head []byte) []byte {
	for line := range bytes.Lines(head) {
		if len(bytes.TrimSpace(line)) > 0 {
			return line
		}
	}
	return nil
}

// parseLines goes through lines, blank ones left out.
func parseLines(br *bufio.Reader, bad func(BadLine), each func(number int, line []byte) error) error {
	for number := 1; ; number++ {
		line, err := br.ReadSlice('\n')
		last := errors.Is(err, io.EOF)
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			return BadLine{number, fmt.Errorf("longer than %d bytes", longestRecord)}
		case err != nil && !last:
			return err
		}
		if line = bytes.TrimSpace(line); len(line) > 0 {
			if failed := each(number, line); failed != nil {
				bad(BadLine{number, failed})
			}
		}
		if last {
			return nil
		}
	}
}

func parseCSV(br *bufio.Reader, keep func(number int, orderID, source string), bad func(BadLine)) error {
	bounded := &boundedRecord{r: br}
	table := csv.NewReader(bounded)
	table.FieldsPerRecord = -1
	table.ReuseRecord = true
	bounded.left = longestRecord
	header, err := table.Read()
	if err != nil {
		return BadLine{1, err}
	}
	idColumn, sourceColumn := column(header, "orderid"), column(header, "source")
	if idColumn < 0 {
		return BadLine{1, errors.New("the header has no column orderid")}
	}
	for {
		bounded.left = longestRecord
		record, err := table.Read()
		var malformed *csv.ParseError
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case errors.As(err, &malformed) && !errors.Is(err, errLongRecord):
			bad(BadLine{malformed.Line, malformed.Err})
			continue
		case err != nil:
			return err
		}
		number, _ := table.FieldPos(0)
		if idColumn >= len(record) {
			bad(BadLine{number, errors.New("it has no orderid")})
			continue
		}
		named := ""
		if sourceColumn >= 0 && sourceColumn < len(record) {
			named = strings.TrimSpace(record[sourceColumn])
		}
		keep(number, strings.TrimSpace(record[idColumn]), named)
	}
}

func column(header []string, name string) int {
	for i, field := range header {
		if strings.EqualFold(strings.TrimSpace(field), name) {
			return i
		}
	}
	return -1
}

var errLongRecord = fmt.Errorf("a record is longer than %d bytes: is a quote left open?", longestRecord)

// boundedRecord refuses to read on where one record takes too much: a quote that
// is left open would swallow the whole file.
type boundedRecord struct {
	r    io.Reader
	left int
}

func (b *boundedRecord) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, errLongRecord
	}
	n, err := b.r.Read(p[:min(len(p), b.left)])
	b.left -= n
	return n, err
}

// each goes through the lines from the start until use returns false.
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
