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

// listColumn is a column of payments: its name and value in CSV, and its place in a
// table.
type listColumn struct {
	name  string
	value func(order.Payment) string
	column
}

// listColumns are in the order of CSV. Names and order are a promise to scripts:
// add at the end.
func listColumns() []listColumn {
	failure := func(p order.Payment) order.Failure {
		if p.Error == nil {
			return order.Failure{}
		}
		return *p.Error
	}
	return []listColumn{
		{"orderid", func(p order.Payment) string { return p.OrderID }, column{title: "Order"}},
		{"source", func(p order.Payment) string { return string(p.Source) }, column{title: "Source"}},
		{"state", func(p order.Payment) string { return string(p.State) }, column{title: "State"}},
		{"id", func(p order.Payment) string { return p.BankOrderID }, column{title: "Bank order", optional: 4}},
		{"amount", func(p order.Payment) string { return p.Amount.String() }, column{title: "Amount", right: true}},
		{"currency", func(p order.Payment) string { return p.Currency }, column{title: "Currency"}},
		{"created_at", func(p order.Payment) string { return FormatTime(p.CreatedAt) }, column{title: "Created"}},
		{"expires_at", func(p order.Payment) string { return FormatTime(p.ExpiresAt) }, column{title: "Order expires", optional: 3}},
		{"env", func(p order.Payment) string { return p.Env }, column{title: "Env", optional: 2}},
		{"error_code", func(p order.Payment) string { return failure(p).Code }, column{title: "Error"}},
		{"error_message", func(p order.Payment) string { return failure(p).Message }, column{title: "Message"}},
		{"reference_order", func(p order.Payment) string { return p.Reference }, column{title: "Reference"}},
		{"charge_id", func(p order.Payment) string { return p.ChargeID }, column{title: "Charge"}},
		{"paid_at", func(p order.Payment) string { return FormatTime(p.PaidAt) }, column{title: "Paid"}},
		{"paid_by", func(p order.Payment) string { return p.PaidBy }, column{title: "Proved by"}},
		{"bank_state", func(p order.Payment) string { return p.BankState }, column{title: "Bank state"}},
		{"recorded_at", func(p order.Payment) string { return FormatTime(p.RecordedAt) }, column{title: "Recorded"}},
		{"replaced_by", func(p order.Payment) string { return p.ReplacedBy }, column{title: "Replaced by"}},
		{"warnings", warningCodes, column{title: "Warnings"}},
	}
}

func warningCodes(p order.Payment) string {
	codes := make([]string, len(p.Warnings))
	for i, w := range p.Warnings {
		codes[i] = w.Code
	}
	return strings.Join(codes, " ")
}

// Columns lists what [List.Columns] can name, in the order of CSV.
func Columns() []string {
	var names []string
	for _, c := range listColumns() {
		names = append(names, c.name)
	}
	return names
}

// chosen returns the list's columns, or its format's own.
func (l List) chosen(own []string) ([]listColumn, error) {
	if l.Columns != nil {
		own = l.Columns
	}
	all := listColumns()
	chosen := make([]listColumn, len(own))
	for i, name := range own {
		at := slices.IndexFunc(all, func(c listColumn) bool { return c.name == name })
		if at < 0 {
			return nil, fmt.Errorf("there is no column %q; choose from %s", name, strings.Join(Columns(), ", "))
		}
		chosen[i] = all[at]
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
	columns := make([]column, len(chosen))
	for i, c := range chosen {
		columns[i] = c.column
		if list.Columns != nil || (list.AllEnvs && c.name == "env") {
			columns[i].optional = 0
		} else if list.Status && c.name == "source" { // one payment of each order
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
			row := make([]cell, len(columns))
			for i, c := range chosen {
				row[i] = list.cell(s, p, c)
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

// cell is a payment's field in a table.
func (l List) cell(s Screen, p order.Payment, c listColumn) cell {
	switch c.name {
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
	return cell{text: s.Text(c.value(p))}
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
	w       *csv.Writer
	columns []listColumn
}

// NewCSV returns a CSV that has written its header.
func NewCSV(w io.Writer, list List) (*CSV, error) {
	columns, err := list.chosen(Columns())
	if err != nil {
		return nil, err
	}
	c := &CSV{csv.NewWriter(w), columns}
	c.w.UseCRLF = true
	if list.NoHeader {
		return c, nil
	}
	return c, c.write(func(column listColumn) string { return column.name })
}

// Row writes one payment and passes it on at once, for a reader at the other
// end of a pipe.
func (c *CSV) Row(p order.Payment) error {
	return c.write(func(column listColumn) string {
		if column.name == "amount" {
			return p.Amount.String() // a checked decimal: a minus is no formula there
		}
		return defuse(sanitize.Text(column.value(p)))
	})
}

func (c *CSV) write(cell func(listColumn) string) error {
	row := make([]string, len(c.columns))
	for i, column := range c.columns {
		row[i] = cell(column)
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
