package render

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestRows(t *testing.T) {
	t.Parallel()
	rows := [][]string{{"dev", "LIVE", "1,234.50"}, {"a\x1b[2J", "", "5"}}
	var out bytes.Buffer
	titles := []Title{{Text: "Env"}, {Text: "Money"}, {Text: "Amount", Right: true}}
	if err := Rows(&out, Screen{TTY: true, UTF8: true, Color: true, Columns: 80}, titles, All(rows)); err != nil {
		t.Fatal(err)
	}
	want := `
╭──────────┬───────┬──────────╮
│ BOLDEnv|      │ BOLDMoney| │   BOLDAmount| │
├──────────┼───────┼──────────┤
│ dev      │ REDLIVE|  │ 1,234.50 │
│ a\x1b[2J │       │        5 │
╰──────────┴───────┴──────────╯
`
	got := strings.NewReplacer("\x1b[1m", "BOLD", "\x1b[1;38;5;196m", "RED", "\x1b[0m", "|").Replace(out.String())
	if diff := cmp.Diff(strings.TrimPrefix(want, "\n"), got); diff != "" {
		t.Error(diff)
	}
}

// Where room is short, optional columns go before an ID or a title is broken.
func TestOptionalRows(t *testing.T) {
	t.Parallel()
	titles := []Title{{Text: "Difference"}, {Text: "ID"}, {Text: "Order"}, {Text: "File", Right: true}, {Text: "Ledger", Right: true}, {Text: "Line", Right: true}, {Text: "Note", Optional: true}}
	rows := [][]string{
		{"only in the ledger", "492500004632", "492500004632", "", "4,873.00", "", "paid 2026-11-27 17:27:35 +07"},
		{"amount differs", "492500004633", "492500004633", "1,300.00", "10,300.00", "2", "paid 2026-11-27 17:27:35 +07"},
	}
	for columns, note := range map[int]bool{80: false, 120: true} {
		var out bytes.Buffer
		if err := Rows(&out, Screen{TTY: true, UTF8: true, Columns: columns}, titles, All(rows)); err != nil {
			t.Fatal(err)
		}
		got := out.String()
		if strings.Contains(got, "Note") != note || strings.Count(got, "492500004632") != 2 || strings.Count(got, "492500004633") != 2 || !strings.Contains(got, "│ Difference") {
			t.Errorf("%d columns:\n%s", columns, got)
		}
	}
}

func TestRowsCSV(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	if err := RowsCSV(&out, []string{"id", "amount"}, All([][]string{{"=1\n", "-5.00"}, {"a;-2", ""}})); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff("id,amount\r\n'=1\\n,-5.00\r\na;'-2,\r\n", out.String()); diff != "" {
		t.Error(diff)
	}
}

// A sequence that breaks ends the output with its error.
func TestBrokenRows(t *testing.T) {
	t.Parallel()
	broken := errors.New("the ledger broke")
	rows := func(yield func([]string, error) bool) { _ = yield([]string{"1"}, nil) && yield(nil, broken) }
	if err := Rows(&bytes.Buffer{}, Screen{}, []Title{{Text: "x"}}, rows); !errors.Is(err, broken) {
		t.Error(err)
	}
	if err := RowsCSV(&bytes.Buffer{}, []string{"x"}, rows); !errors.Is(err, broken) {
		t.Error(err)
	}
	if err := RowsCSV(failing{}, []string{"x"}, All([][]string{{"1"}})); err == nil {
		t.Error("a failed write is lost")
	}
}

type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, errors.New("full") }
