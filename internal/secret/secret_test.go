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

func TestRedactEvident(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`no argument "skey_test_1aB-c.d"`:                 `no argument "[redacted]"`,
		`open /tmp/SKEY_PROD_1: no such file`:             `open /tmp/[redacted]: no such file`,
		`parsing "eyJhbGciOiJS-_.e30.x"`:                  `parsing "[redacted]"`,
		`order eyJ0.abc, eyjaf.77 and /tmp/skey_backup`:   `order eyJ0.abc, eyjaf.77 and /tmp/skey_backup`,
		`http://127.0.0.1:1/x@y and "//u:p@h"`:            `http://127.0.0.1:1/x@y and "//[redacted]@h"`,
		`"https://ann:p@ss/w@h/x" is not`:                 `"https://[redacted]@h/x" is not`,
		`pkey_test_1, http://127.0.0.1:1/x and ann@h`:     `pkey_test_1, http://127.0.0.1:1/x and ann@h`,
		`postgres://villapay@127.0.0.1:1/d: a key skey_…`: `postgres://villapay@127.0.0.1:1/d: a key skey_…`,
	} {
		if got := RedactEvident(text); got != want {
			t.Errorf("%s: got %s, want %s", text, got, want)
		}
	}
}

func TestRedactEscaped(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`{"d":"tok\u002dSECRET\u002Da/b"}`:            `{"d":"[redacted]"}`,
		`{"d":"t\u006Fk-SECRET-a\/b"}`:                `{"d":"[redacted]"}`,
		`{"body":"{\"d\":\"tok\\u002dSECRET-a/b\"}"}`: `{"body":"{\"d\":\"[redacted]\"}"}`,
		"X-Tok-Secret-A/b: 1":                         "X-[redacted]: 1",
		`{"d":"a line\ntok-SECRET-a"}`:                `{"d":"a line\ntok-SECRET-a"}`,
	} {
		if got := Redact(text, New("tok-SECRET-a/b")); got != want {
			t.Errorf("%s: got %s, want %s", text, got, want)
		}
	}
}
