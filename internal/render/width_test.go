package render

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
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
		{"in" + glue + "58" + glue + "minutes", 7, []string{"in 58", "minutes"}},
		{"now in" + glue + "58" + glue + "days", 10, []string{"now", "in" + glue + "58" + glue + "days"}},
		{"two\nlong lines\n", 5, []string{"two", "long", "lines", ""}},
		{"中文字", 5, []string{"中文", "字"}},
		{"中文", 1, []string{"中", "文"}},
		{"🇹🇭🇹🇭👨\u200d👩\u200d👧", 4, []string{"🇹🇭🇹🇭", "👨\u200d👩\u200d👧"}},
	} {
		got := wrap(c.text, c.limit)
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("wrap(%q, %d): %s", c.text, c.limit, diff)
		}
		lost := strings.NewReplacer(" ", "", "\n", "", glue, "")
		if lost.Replace(strings.Join(got, "")) != lost.Replace(c.text) {
			t.Errorf("wrap(%q, %d) lost something: %q", c.text, c.limit, got)
		}
	}
}

func TestStandInsComeBack(t *testing.T) {
	t.Parallel()
	var s standIns
	const text = "a 🇹🇭 b 👨\u200d👩\u200d👧 🇹🇭 น้ำ"
	hidden := s.hide(text)
	if strings.Contains(hidden, "🇹🇭") || s.show(hidden) != text {
		t.Errorf("%q came back as %q", text, s.show(hidden))
	}
}
