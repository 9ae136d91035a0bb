package render

import (
	"encoding/csv"
	"io"
	"strings"

	"github.com/villapay/villapay/internal/order"
)

// CSV writes payments as RFC 4180 has it: a header, CRLF line ends, quotes
// where needed. Server text is harmless ([Visible]) and never a formula to a
// spreadsheet: a cell that would be one gets a leading apostrophe. Amounts keep
// their digits and times are [Stamp]s.
type CSV struct{ w *csv.Writer }

// NewCSV returns a CSV that has written its header.
func NewCSV(w io.Writer) (*CSV, error) {
	c := &CSV{csv.NewWriter(w)}
	c.w.UseCRLF = true
	return c, c.write(csvColumns())
}

// csvColumns are a promise to scripts.
func csvColumns() []string {
	return []string{
		"orderid", "source", "state", "id", "amount", "currency",
		"created_at", "expires_at", "env", "error_code", "error_message",
	}
}

// Row writes one payment and passes it on at once, for a reader at the other
// end of a pipe.
func (c *CSV) Row(p order.Payment) error {
	var failure order.Failure
	if p.Error != nil {
		failure = *p.Error
	}
	row := []string{
		p.OrderID, string(p.Source), string(p.State), p.BankOrderID, "", p.Currency,
		"", "", p.Env, failure.Code, failure.Message,
	}
	for i, text := range row {
		row[i] = defuse(Visible(text))
	}
	row[4] = p.Amount.String() // a checked decimal: a minus is no formula there
	if !p.CreatedAt.IsZero() {
		row[6] = Stamp(p.CreatedAt)
	}
	if !p.ExpiresAt.IsZero() {
		row[7] = Stamp(p.ExpiresAt)
	}
	return c.write(row)
}

func (c *CSV) write(row []string) error {
	if err := c.w.Write(row); err != nil {
		return err
	}
	c.w.Flush()
	return c.w.Error()
}

// defuse marks as text what Excel, LibreOffice or Google Sheets would compute:
// cells that begin with = + - @, their full-width twins included, or with a
// blank before one. Tabs and line ends are visible text by now.
func defuse(text string) string {
	if strings.ContainsAny(firstRune(strings.TrimLeft(text, " \u00a0\u3000")), "=+-@＝＋－＠") {
		return "'" + text
	}
	return text
}

func firstRune(text string) string {
	for _, r := range text {
		return string(r)
	}
	return ""
}
