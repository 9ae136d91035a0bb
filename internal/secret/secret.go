// Package secret keeps tokens and passwords out of everything that is printed.
//
// A [String] formats, logs and marshals as "[redacted]" whatever verb, handler
// or encoder meets it, so a secret reaches a log or an error only by an
// explicit call of [String.Reveal].
package secret

import (
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"regexp"
	"strings"
	"sync"
)

// Redacted is what stands in the place of a secret.
const Redacted = "[redacted]"

// String is a text that must not be shown. The zero value means "none".
//
// The text stands behind a pointer: fmt does not call methods on unexported
// fields of other structs, so a plain field would show there under %+v.
type String struct{ text *string }

// New makes a secret of text.
func New(text string) String { return String{&text} }

// Reveal returns the text itself, for the one place that has to send it.
func (s String) Reveal() string {
	if s.text == nil {
		return ""
	}
	return *s.text
}

// Empty reports whether there is no secret at all.
func (s String) Empty() bool { return s.Reveal() == "" }

// String hides the text.
func (s String) String() string {
	if s.Empty() {
		return ""
	}
	return Redacted
}

// Format hides the text under every fmt verb, %#v and %x included.
func (s String) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.String()) }

// MarshalText hides the text from encoders.
func (s String) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// LogValue hides the text from log/slog.
func (s String) LogValue() slog.Value { return slog.StringValue(s.String()) }

// shortest is the length from which a secret is searched for in other text:
// replacing shorter ones would shred ordinary words.
const shortest = 6

// Redact replaces every occurrence of the secrets in text, for servers that
// echo what they were sent. It finds them under the escapes of JSON too, also
// those of JSON in a JSON string, and in upper or lower case: net/http changes
// the case of a header's name.
func Redact(text string, secrets ...String) string {
	for _, s := range secrets {
		hidden := s.Reveal()
		if len(hidden) >= shortest && (strings.Contains(text, `\`) || strings.Contains(strings.ToLower(text), strings.ToLower(hidden))) {
			text = escaped(hidden).ReplaceAllString(text, Redacted)
		}
	}
	return text
}

// evident matches what is a secret by its looks: a secret key of the bank's, a token
// (JWT), and what stands before the host of a URL.
var evident = sync.OnceValue(func() *regexp.Regexp { //nolint:gochecknoglobals // a constant
	return regexp.MustCompile(`(?i)skey_(?:test|prod|live)_[\w.-]+|\b(?-i:eyJ)[\w-]{10,}\.[\w.-]*|//[^\s"]*:[^\s"]*@`)
})

// RedactEvident redacts what looks like a secret, for texts that quote what a person
// has written: it may stand in the wrong place.
func RedactEvident(text string) string {
	return evident().ReplaceAllStringFunc(text, func(found string) string {
		if strings.HasPrefix(found, "//") {
			if u, err := url.Parse(found); err == nil && u.User == nil {
				return found // the @ is in its path
			}
			return "//" + Redacted + "@"
		}
		return Redacted
	})
}

// RedactError is err with the secrets in its text redacted. What err wraps can be
// found as before.
func RedactError(err error, secrets ...String) error {
	if err == nil {
		return nil
	}
	if text := Redact(err.Error(), secrets...); text != err.Error() {
		return &redactedError{text, err}
	}
	return err
}

type redactedError struct {
	text string
	err  error
}

func (e *redactedError) Error() string { return e.text }

func (e *redactedError) Unwrap() error { return e.err }

// escaped matches text of which any character may be escaped, in any case.
func escaped(text string) *regexp.Regexp {
	var pattern strings.Builder
	pattern.WriteString("(?i)")
	for _, r := range text {
		fmt.Fprintf(&pattern, `(?:\\*%s|\\+u%04x)`, regexp.QuoteMeta(string(r)), r)
	}
	return regexp.MustCompile(pattern.String())
}
