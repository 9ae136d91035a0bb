package render

import (
	"encoding/csv"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/villapay/villapay/internal/order"
	"github.com/villapay/villapay/internal/sanitize"
)

// List says how payments are listed, in a table or as CSV.
type List struct {
	Columns  []string // of [Columns], in this order; nil = the format's own
	NoHeader bool
	AllEnvs  bool                     // payments of several environments: a table always shows whose
	Live     func(order.Payment) bool // marks real money in a table; nil marks none
	Status   bool                     // a table shows when payments were paid and how that is known, not when they were made
}

// listColumn is a column of payments: its name in CSV, and its place in a table.
type listColumn struct {
	name string
	column
}

// listColumns are in the order of CSV. Names and order are a promise to scripts:
// add at the end.
func listColumns() []listColumn {
	return []listColumn{
		{"orderid", column{title: "Order"}},
		{"source", column{title: "Source"}},
		{"state", column{title: "State"}},
		{"id", column{title: "Bank order", optional: 4}},
		{"amount", column{title: "Amount", right: true}},
		{"currency", column{title: "Currency"}},
		{"created_at", column{title: "Created"}},
		{"expires_at", column{title: "Order expires", optional: 3}},
		{"env", column{title: "Env", optional: 2}},
		{"error_code", column{title: "Error"}},
		{"error_message", column{title: "Message"}},
		{"reference_order", column{title: "Reference"}},
		{"charge_id", column{title: "Charge"}},
		{"paid_at", column{title: "Paid"}},
		{"paid_by", column{title: "Proved by"}},
		{"bank_state", column{title: "Bank state"}},
		{"recorded_at", column{title: "Recorded"}},
		{"replaced_by", column{title: "Replaced by"}},
		{"warnings", column{title: "Warnings"}},
	}
}

// Columns lists what [List.Columns] can name, in the order of CSV.
func Columns() []string {
	var names []string
	for _, c := range listColumns() {
		names = append(names, c.name)
	}
	return names
}

// listValues are a payment's texts, one for each of [Columns].
func listValues(p order.Payment) []string {
	var failure order.Failure
	if p.Error != nil {
		failure = *p.Error
	}
	codes := make([]string, len(p.Warnings))
	for i, w := range p.Warnings {
		codes[i] = w.Code
	}
	return []string{
		p.OrderID, string(p.Source), string(p.State), p.BankOrderID, p.Amount.String(), p.Currency,
		FormatTime(p.CreatedAt), FormatTime(p.ExpiresAt), p.Env, failure.Code, failure.Message,
		p.Reference, p.ChargeID, FormatTime(p.PaidAt), p.PaidBy, p.BankState,
		FormatTime(p.RecordedAt), p.ReplacedBy, strings.Join(codes, " "),
	}
}

// chosen returns the indexes of the list's columns, or of its format's own.
func (l List) chosen(own []string) ([]int, error) {
	names := Columns()
	if l.Columns != nil {
		own = l.Columns
	}
	chosen := make([]int, len(own))
	for i, name := range own {
		if chosen[i] = slices.Index(names, name); chosen[i] < 0 {
			return nil, fmt.Errorf("there is no column %q; choose from %s", name, strings.Join(names, ", "))
		}
	}
	return chosen, nil
}

// Payments writes a list of payments as a table, row by row as they come, so a
// long list needs no memory. At a narrow terminal times are given in minutes,
// then the columns needed least, unless the list names them; a pipe gets all of
// it. It ends at the first error of the sequence and returns that. An empty list
// has only a header.
func Payments(w io.Writer, s Screen, list List, payments iter.Seq2[order.Payment, error]) error {
	own := []string{"orderid", "state", "amount", "source", "created_at", "expires_at", "env", "id"}
	if list.Status {
		own = []string{"orderid", "state", "amount", "source", "paid_at", "env", "id"}
	}
	chosen, err := list.chosen(own)
	if err != nil {
		return err
	}
	all := listColumns()
	columns := make([]column, len(chosen))
	for i, c := range chosen {
		columns[i] = all[c].column
		if list.Columns != nil || (list.AllEnvs && all[c].name == "env") {
			columns[i].optional = 0
		} else if list.Status && all[c].name == "source" { // one payment of each order
			columns[i].optional = 1
		}
		if list.NoHeader {
			columns[i].title = ""
		}
	}
	if list.Status {
		columns = append(columns, column{title: "Known"})
	}
	return grid(w, s, columns, func(yield func([]cell, error) bool) {
		for p, err := range payments {
			row, values := make([]cell, len(columns)), listValues(p)
			for i, c := range chosen {
				row[i] = list.cell(s, p, all[c].name, values[c])
			}
			if list.Status {
				row[len(chosen)] = cell{text: s.Text(known(s, p))}
			}
			if !yield(row, err) {
				return
			}
		}
	})
}

// cell is a payment's field in a table, text what CSV has there.
func (l List) cell(s Screen, p order.Payment, name, text string) cell {
	switch name {
	case "state":
		return listState(s, p)
	case "amount":
		return cell{text: s.Text(Money(p.Amount, p.Currency))}
	case "created_at":
		if p.CreatedAt.IsZero() {
			return s.listTime(p.RecordedAt)
		}
		return s.listTime(p.CreatedAt)
	case "expires_at":
		expires := s.listTime(p.ExpiresAt)
		if expires.text = expiry(s, p, false); expires.text == "" {
			expires.short = ""
		}
		return expires
	case "paid_at":
		return s.listTime(p.PaidAt)
	case "recorded_at":
		return s.listTime(p.RecordedAt)
	case "env":
		if l.Live != nil && l.Live(p) {
			return cell{text: s.Text(p.Env) + noBreak + "LIVE", style: red}
		}
	}
	return cell{text: s.Text(text)}
}

// listTime is a time in a list, where room is short without seconds and zone.
func (s Screen) listTime(t time.Time) cell {
	c := cell{text: s.when(t, false)}
	if !t.IsZero() {
		c.short = t.In(order.Bangkok).Format("2006-01-02 15:04")
	}
	return c
}

func listState(s Screen, p order.Payment) cell {
	state, color := stateWord(p.State)
	switch {
	case p.ReplacedBy != "":
		state += " (replaced)"
	case p.State == order.Awaiting && order.Transaction(p.BankState) == order.Declined:
		state += " (declined)"
	}
	if len(p.Warnings) > 0 { // all of them stand in the payment's own table
		state, color = state+" ("+p.Warnings[0].Code+")", red
	}
	return cell{text: s.Text(state), style: color}
}

// CSV writes payments as RFC 4180 has it: CRLF line ends, quotes where needed.
// Server text is sanitized and never a formula to a spreadsheet. Amounts keep
// their digits and times are as [FormatTime] writes them.
type CSV struct {
	w      *csv.Writer
	chosen []int
}

// NewCSV returns a CSV that has written its header.
func NewCSV(w io.Writer, list List) (*CSV, error) {
	names := Columns()
	chosen, err := list.chosen(names)
	if err != nil {
		return nil, err
	}
	c := &CSV{csv.NewWriter(w), chosen}
	c.w.UseCRLF = true
	if list.NoHeader {
		return c, nil
	}
	return c, c.write(names)
}

// Row writes one payment and passes it on at once, for a reader at the other
// end of a pipe.
func (c *CSV) Row(p order.Payment) error {
	values := listValues(p)
	for i, text := range values {
		values[i] = defuse(sanitize.Text(text))
	}
	values[4] = p.Amount.String() // a checked decimal: a minus is no formula there
	return c.write(values)
}

func (c *CSV) write(values []string) error {
	row := make([]string, len(c.chosen))
	for i, at := range c.chosen {
		row[i] = values[at]
	}
	if err := c.w.Write(row); err != nil {
		return err
	}
	c.w.Flush()
	return c.w.Error()
}

// defuse marks as text, with an apostrophe, what Excel, LibreOffice or Google
// Sheets would compute: a cell that begins with = + - @, their full-width twins
// included, or with blanks before one. Where a comma is the decimal sign, they
// part lines at semicolons, whatever the quotes, so what follows one counts too.
// Tabs and line ends have become escapes.
func defuse(text string) string {
	parts := strings.Split(text, ";")
	for i, part := range parts {
		if strings.IndexAny(strings.TrimLeft(part, " \u00a0\u3000\""), "=+-@＝＋－＠") == 0 {
			parts[i] = "'" + part
		}
	}
	return strings.Join(parts, ";")
}
