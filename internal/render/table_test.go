package render

import (
	"bytes"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/villapay/villapay/internal/order"
)

func TestTable(t *testing.T) {
	t.Parallel()
	rows := [][]string{{"clock", "ok", "2 s ahead\nof the server"}, {"server\x1b[2J", "fail", "น้ำ 🇹🇭"}}
	for _, c := range []struct {
		name   string
		s      Screen
		titles []string
		want   string
	}{
		{"titles", Screen{}, []string{"Check", "", "Finding"}, `
+---------------+------+---------------+
| Check         |      | Finding       |
+---------------+------+---------------+
| clock         | ok   | 2 s ahead     |
|               |      | of the server |
| server\x1b[2J | fail | น้ำ 🇹🇭         |
+---------------+------+---------------+
`},
		{"no titles, in color", Screen{TTY: true, UTF8: true, Color: true, Columns: 36}, nil, `
╭───────────────┬──────┬───────────╮
│ clock         │ ` + "\x1b[1;38;5;28mok\x1b[0m" + `   │ 2 s ahead │
│               │      │ of the    │
│               │      │ server    │
│ server\x1b[2J │ ` + "\x1b[1;38;5;196mfail\x1b[0m" + ` │ น้ำ 🇹🇭     │
╰───────────────┴──────┴───────────╯
`},
	} {
		var out bytes.Buffer
		if err := Table(&out, c.s, c.titles, rows); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(strings.TrimPrefix(c.want, "\n"), out.String()); diff != "" {
			t.Errorf("%s: %s", c.name, diff)
		}
	}
}

func TestStateColored(t *testing.T) {
	t.Parallel()
	for state, want := range map[order.State]string{
		order.Paid:     "\x1b[1;38;5;28mPAID\x1b[0m",
		order.Awaiting: "\x1b[38;5;130mawaiting payment\x1b[0m",
		order.Failed:   "\x1b[1;38;5;196mfailed\x1b[0m",
		order.Expired:  "expired, not paid",
		"new\x1b":      `new\x1b`,
	} {
		if got := StateColored(Screen{Color: true}, state); got != want {
			t.Errorf("%s: %q, want %q", state, got, want)
		}
		if got := StateColored(Screen{}, state); strings.Contains(got, "\x1b") {
			t.Errorf("%s: %q on a screen without colors", state, got)
		}
	}
}

func TestTruncate(t *testing.T) {
	t.Parallel()
	narrow := Screen{TTY: true, UTF8: true, Columns: 6}
	for _, c := range []struct {
		s        Screen
		in, want string
	}{
		{narrow, "123456", "123456"},
		{narrow, "1234567", "12345…"},
		{narrow, "น้ำมันแพง", "น้ำมันแ…"},
		{narrow, "a\x1b[2Jb", `a\x1b…`},
		{narrow, "中文字符", "中文…"},
		{Screen{TTY: true, Columns: 6}, "1234567", "12345~"},
		{Screen{Columns: 6}, "1234567\n", `1234567\n`},
	} {
		if got := Truncate(c.s, c.in); got != c.want {
			t.Errorf("Truncate(%q) = %q, want %q", c.in, got, c.want)
		}
	}
}

func TestWrapAtScreens(t *testing.T) {
	t.Parallel()
	narrow := Screen{TTY: true, UTF8: true, Columns: 6}
	for _, c := range []struct {
		s    Screen
		in   string
		want []string
	}{
		{narrow, "", []string{""}},
		{narrow, "123456", []string{"123456"}},
		{narrow, "12 345 6789", []string{"12 345", "6789"}},
		{narrow, "1234567 8", []string{"123456", "7 8"}},
		{narrow, "a\x1bb", []string{`a\x1bb`}},
		{Screen{TTY: true, Columns: 6}, "ก", []string{`\u0e01`}},
		{Screen{Columns: 6}, "1234567\n8", []string{`1234567\n8`}},
	} {
		if diff := cmp.Diff(c.want, Wrap(c.s, c.in)); diff != "" {
			t.Errorf("Wrap(%q): %s", c.in, diff)
		}
	}
}

// A table may have any number of rows: what was written is forgotten.
//
//nolint:paralleltest // it looks at the memory of the whole process
func TestLongTablesTakeNoMemory(t *testing.T) {
	inUse := func() uint64 {
		runtime.GC()
		var stats runtime.MemStats
		runtime.ReadMemStats(&stats)
		return stats.HeapAlloc
	}
	const rows = 4000
	var before, most uint64
	err := grid(io.Discard, Screen{}, []column{{title: "Text"}}, func(yield func([]cell, error) bool) {
		for i := range rows {
			switch i {
			case rows / 4:
				before = inUse()
			case rows - 1:
				most = inUse()
			}
			if !yield([]cell{{text: fmt.Sprintf("%d %s", i, strings.Repeat("x", 1000))}}, nil) {
				return
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if most > before+1<<20 {
		t.Errorf("%d rows of 1 kB keep %d bytes", rows*3/4, most-before)
	}
}
