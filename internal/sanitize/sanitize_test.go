package sanitize

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

func TestText(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ in, want string }{
		"plain":                   {"Order 492500004632", "Order 492500004632"},
		"backslash stays":         {`C:\x`, `C:\x`},
		"clear screen":            {"a\x1b[2Jb", `a\x1b[2Jb`},
		"hyperlink":               {"\x1b]8;;http://x\x07y", `\x1b]8;;http://x\x07y`},
		"line breaks":             {"a\r\nb\tc\x00", `a\r\nb\tc\x00`},
		"DEL and C1":              {"\x7f\u0085\u009b2J", `\x7f\u0085\u009b2J`},
		"C1 as a raw byte":        {"\x9b2J", `\x9b2J`},
		"bidi":                    {"\u202eevil\u202c \u2066x\u2069 \u200f", `\u202eevil\u202c \u2066x\u2069 \u200f`},
		"zero width":              {"a\u200bb\ufeffc\u00add\u2060", `a\u200bb\ufeffc\u00add\u2060`},
		"separators":              {"a\u2028b\u2029", `a\u2028b\u2029`},
		"fillers":                 {"a\u3164b\u115fc\u034f", `a\u3164b\u115fc\u034f`},
		"tags":                    {"x\U000e0041", `x\U000e0041`},
		"private use":             {"\U000f0000\ue000", `\U000f0000\ue000`},
		"stray joiner":            {"a\u200db", `a\u200db`},
		"joined to a broken byte": {"👨\u200d\xdb", `👨\u200d\xdb`},
		"stray selector":          {"a\ufe0fb", `a\ufe0fb`},
		"Thai":                    {"น้ำมัน จำนวน ก็", "น้ำมัน จำนวน ก็"},
		"Chinese":                 {"微信支付", "微信支付"},
		"emoji":                   {"👨\u200d👩\u200d👧 ❤\ufe0f 1\ufe0f\u20e3 👍🏽 🇹🇭", "👨\u200d👩\u200d👧 ❤\ufe0f 1\ufe0f\u20e3 👍🏽 🇹🇭"},
		"emoji with gender":       {"🏃🏽\u200d♀\ufe0f", "🏃🏽\u200d♀\ufe0f"},
		"stacked marks":           {"a" + strings.Repeat("\u0301", 6), "a" + strings.Repeat("\u0301", 4) + `\u0301\u0301`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(c.want, Text(c.in)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestASCII(t *testing.T) {
	t.Parallel()
	// In UTF-8 this letter ends with 0x9b: CSI to a Latin-1 terminal.
	if got, want := ASCII("ป 🇹🇭\x1b"), `\u0e1b \U0001f1f9\U0001f1ed\x1b`; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// checkSafe reports the first rune of text that could act on a terminal or hide
// from its reader.
func checkSafe(t *testing.T, text string) {
	t.Helper()
	if !utf8.ValidString(text) {
		t.Errorf("%q is not UTF-8", text)
	}
	for i, r := range text {
		allowed := r == zwj || r == vs15 || r == vs16 // a part of emoji; see TestText
		if !allowed && (!unicode.IsGraphic(r) || unicode.Is(unicode.Bidi_Control, r)) {
			t.Errorf("%q holds %U at %d", text, r, i)
			return
		}
	}
}

func FuzzText(f *testing.F) {
	for _, seed := range []string{"", "a\x1b[2J", "\x9b", "\u202e", "👨\u200d👩", "น้ำ", "\xe0\xb8", "\ufffd", "1\ufe0f\u20e3"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		once := Text(text)
		checkSafe(t, once)
		if again := Text(once); again != once {
			t.Errorf("%q becomes %q and then %q", text, once, again)
		}
	})
}

func FuzzJSON(f *testing.F) {
	for _, seed := range []string{`{"a":"\u202e"}`, "\"\u202e\u009b\x7f\U000e0041\"", "\"\x9b\"", "[1.50,\n \"น้ำ\"]"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		if !json.Valid([]byte(raw)) {
			return
		}
		for _, ascii := range []bool{false, true} {
			safe := JSON([]byte(raw), ascii)
			var want, got any
			if json.Unmarshal([]byte(raw), &want) != nil {
				return // a number too large for this comparison
			}
			if err := json.Unmarshal(safe, &got); err != nil {
				t.Fatalf("%q: %v", safe, err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
			checkSafe(t, strings.NewReplacer("\n", "", "\t", "", "\r", "").Replace(string(safe)))
		}
	})
}
