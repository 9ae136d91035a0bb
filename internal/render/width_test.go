package render

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/olekukonko/tablewriter/pkg/twwidth"

	"github.com/villapay/villapay/internal/sanitize"
)

func TestWidth(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int{
		"":                 0,
		"order":            5,
		"น้ำ":              2, // sara am takes a cell, the tone mark none
		"จำนวน":            5,
		"เมื่อ":            3,
		"中文":               4,
		"🎉":                2,
		"🇹🇭":               2,
		"👨\u200d👩\u200d👧":  2,
		"❤\ufe0f":          2,
		"1\ufe0f\u20e3":    2,
		"👍🏽":               2,
		"e\u0301":          1,
		"·…“─":             4,
		"ราคา 中 🇹🇭 300.00": 4 + 1 + 2 + 1 + 2 + 1 + 6,
	} {
		if got := width(text); got != want {
			t.Errorf("width(%q) = %d, want %d", text, got, want)
		}
	}
}

func TestWrap(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		text  string
		limit int
		want  []string
	}{
		{"", 5, []string{""}},
		{"one two three", 7, []string{"one two", "three"}},
		{"one two three", 100, []string{"one two three"}},
		{"a  b", 10, []string{"a  b"}},
		{"order_test_22", 5, []string{"order", "_test", "_22"}},
		{"to order_test_22", 5, []string{"to", "order", "_test", "_22"}},
		{"น้ำมัน", 2, []string{"น้ำ", "มัน"}}, // two cells each
		{"in" + noBreak + "58" + noBreak + "minutes", 7, []string{"in 58", "minutes"}},
		{"now in" + noBreak + "58" + noBreak + "days", 10, []string{"now", "in" + noBreak + "58" + noBreak + "days"}},
		{"two\nlong lines\n", 5, []string{"two", "long", "lines", ""}},
		{"中文字", 5, []string{"中文", "字"}},
		{"中文", 1, []string{"中", "文"}},
		{"🇹🇭🇹🇭👨\u200d👩\u200d👧", 4, []string{"🇹🇭🇹🇭", "👨\u200d👩\u200d👧"}},
	} {
		got := wrap(c.text, c.limit)
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("wrap(%q, %d): %s", c.text, c.limit, diff)
		}
		lost := strings.NewReplacer(" ", "", "\n", "", noBreak, "")
		if lost.Replace(strings.Join(got, "")) != lost.Replace(c.text) {
			t.Errorf("wrap(%q, %d) lost something: %q", c.text, c.limit, got)
		}
	}
}

// Whatever tablewriter thinks of a character, it draws a table with straight
// borders, and the character stands in it.
func TestTablewriterMeasuresAsTerminalsDraw(t *testing.T) {
	t.Parallel()
	defer twwidth.SetCondition(westernWidths())
	texts := []string{"a 🇹🇭 b 👨\u200d👩\u200d👧 🇹🇭 น้ำ", "1️⃣ ❤️ 👍🏽 ☎️ 👩🏽\u200d🚀", "🇹 ที่ยว จำนวน क्षि 日本 \u1100\u1161"}
	for r := rune(' '); r <= unicode.MaxRune; r++ {
		if text := "ab" + string(r) + "cd"; sanitize.Text(text) == text {
			texts = append(texts, text)
		}
	}
	for _, text := range texts {
		var s standIns
		hidden := s.hide(text)
		if got, want := twwidth.Width(hidden), width(text); got != want {
			t.Errorf("%q (%U) takes %d cells, tablewriter counts %d", text, []rune(text), want, got)
		}
		if s.show(hidden) != text {
			t.Errorf("%q came back as %q", text, s.show(hidden))
		}
	}
}

func FuzzWrap(f *testing.F) {
	for _, seed := range []string{"", "a\x1b[2Jb", "👨\u200d👩", "น้ำ มัน", "1\ufe0f\u20e3", "a  b"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		text = sanitize.Text(text)
		for _, line := range wrap(text, 7) {
			if width(line) > 7 && utf8.RuneCountInString(line) > 8 {
				t.Errorf("%q wraps to %q, wider than 7", text, line)
			}
		}
	})
}
