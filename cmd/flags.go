package cmd

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// formats are the output formats, in the order help shows them.
var formats = []string{"table", "json", "yaml", "csv", "qr"} //nolint:gochecknoglobals // a constant list

// formatFlag is the -o flag: an unknown format is refused while parsing.
type formatFlag struct{ value *string }

func (f *formatFlag) String() string { return *f.value }

func (f *formatFlag) Type() string { return "format" }

func (f *formatFlag) Set(text string) error {
	if !slices.Contains(formats, text) {
		return fmt.Errorf("unknown format; choose one of %s", strings.Join(formats, ", "))
	}
	*f.value = text
	return nil
}

// choiceFlag is a flag that takes one of a few words.
type choiceFlag struct {
	value   *string
	choices []string
}

func (f *choiceFlag) String() string { return *f.value }

func (f *choiceFlag) Type() string { return strings.Join(f.choices, "|") }

func (f *choiceFlag) Set(text string) error {
	if !slices.Contains(f.choices, text) {
		return fmt.Errorf("choose one of %s", strings.Join(f.choices, ", "))
	}
	*f.value = text
	return nil
}

// countFlag is a whole number from 0 up, always decimal: pflag's own would read
// 012 as ten.
type countFlag struct{ value *int }

func (f *countFlag) String() string { return strconv.Itoa(*f.value) }

func (f *countFlag) Type() string { return "N" }

func (f *countFlag) Set(text string) error {
	n, err := strconv.ParseUint(text, 10, 31)
	if err != nil {
		return fmt.Errorf("a whole number is needed")
	}
	*f.value = int(n)
	return nil
}

// oneOf checks a word against the words that a flag takes.
func oneOf(flag, word string, words []string) (string, error) {
	if slices.Contains(words, word) {
		return word, nil
	}
	return "", usageError("choose from "+strings.Join(words, ", "), "--%s: %q is not known", flag, word)
}
