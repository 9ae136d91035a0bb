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
	if err := Rows(&out, Screen{TTY: true, UTF8: true, Color: true, Columns: 80}, titles, all(rows)); err != nil {
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

func TestRowsCSV(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	if err := RowsCSV(&out, []string{"id", "amount"}, all([][]string{{"=1\n", "-5.00"}, {"a;-2", ""}})); err != nil {
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
	if err := RowsCSV(failing{}, []string{"x"}, all([][]string{{"1"}})); err == nil {
		t.Error("a failed write is lost")
	}
}

type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, errors.New("full") }
