package secret

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

func TestSecretsAreNeverPrinted(t *testing.T) {
	t.Parallel()
	const text = "hunter2hunter2"
	s := New(text)
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "token", s, "group", slog.GroupValue(slog.Any("inner", s)))
	asJSON, err := json.Marshal(map[string]any{"token": s, "nested": struct{ T String }{s}})
	if err != nil {
		t.Fatal(err)
	}
	printed := log.String() + string(asJSON) + fmt.Sprintf("%v %s %q %x %X %d %#v %+v %v %#v %+v", s, s, s, s, s, s, s, struct{ T String }{s}, &s, struct{ t String }{s}, struct{ t String }{s})
	if strings.Contains(printed, text) || strings.Contains(printed, fmt.Sprintf("%x", text)) {
		t.Errorf("the secret shows in %s", printed)
	}
	if s.Reveal() != text || s.Empty() || !New("").Empty() {
		t.Error("the secret itself is lost")
	}
}

func TestRedact(t *testing.T) {
	t.Parallel()
	got := Redact("pair 'Bearer abcdef.ghi' abc", New("abcdef.ghi"), New("abc"), New(""))
	if want := "pair 'Bearer [redacted]' abc"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestParseKey(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"skey_test_1":        "skey_test_1",
		" skey_test_1\t\r\n": "skey_test_1",
		"กุญแจ":              "กุญแจ",
	} {
		if got, err := ParseKey(text); err != nil || got.Reveal() != want {
			t.Errorf("%q: %v", text, err)
		}
	}
	for text, want := range map[string]string{
		"":                         "empty",
		" \n":                      "empty",
		"\ufeffskey_test_1":        "byte order mark",
		"\xff\xfes\x00k\x00":       "UTF-16",
		"\xfe\xff\x00s\x00k":       "UTF-16",
		"s\x00k\x00e\x00y\x00":     "NUL",
		"skey\xa0test":             "not UTF-8",
		"skey_test 1":              "blank",
		"skey_test_1\nskey_test_2": "blank",
		"skey\u00a0test":           "blank",
		"skey\u200btest":           "U+200B",
		"skey\x1b[2J":              "U+001B",
		"skey_test_1\ufeff":        "U+FEFF",
	} {
		key, err := ParseKey(text)
		if err == nil || !strings.Contains(err.Error(), want) || !key.Empty() || strings.Contains(err.Error(), "skey") {
			t.Errorf("%q: got %v, want %q", text, err, want)
		}
	}
}
