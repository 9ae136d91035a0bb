package cmd

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/villapay/villapay/internal/config"
)

// formatFlag is the -o flag.
type formatFlag struct{ value *config.Format }

func (f *formatFlag) String() string { return string(*f.value) }

func (f *formatFlag) Type() string { return "FORMAT" }

func (f *formatFlag) Set(text string) error {
	if !slices.Contains(config.Formats(), text) {
		return fmt.Errorf("choose one of %s", strings.Join(config.Formats(), ", "))
	}
	*f.value = config.Format(text)
	return nil
}

func (f *formatFlag) words() []string { return config.Formats() }

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

func (f *choiceFlag) words() []string { return f.choices }

// timeFlag is a positive duration.
type timeFlag struct {
	value *time.Duration
	max   time.Duration // 0 = no limit
}

func (f *timeFlag) String() string {
	if *f.value == 0 {
		return ""
	}
	return f.value.String()
}

func (f *timeFlag) Type() string { return "TIME" }

func (f *timeFlag) Set(text string) error {
	d, err := time.ParseDuration(text)
	if err != nil || d <= 0 || f.max > 0 && d > f.max {
		text := "give a duration with its unit, such as 30s, 10m or 2h"
		if f.max > 0 {
			text += ", at most " + strings.TrimSuffix(f.max.String(), "0s")
		}
		return errors.New(text)
	}
	*f.value = d
	return nil
}

// countFlag is a non-negative decimal number; pflag's own would read 012 as ten.
type countFlag struct {
	value *int
	zero  string // what 0 means, if it is allowed
}

func (f *countFlag) String() string { return strconv.Itoa(*f.value) }

func (f *countFlag) Type() string { return "N" }

func (f *countFlag) Set(text string) error {
	n, err := strconv.ParseUint(text, 10, 31)
	if err != nil {
		if f.zero == "" {
			return errors.New("give a number above 0")
		}
		return fmt.Errorf("give 0 (%s) or a number above 0", f.zero)
	}
	*f.value = int(n)
	return nil
}

// checkNotEmpty rejects empty flag values. An empty value is most likely an unset
// variable in a script, which must not turn into the default.
func checkNotEmpty(flags *pflag.FlagSet) (err error) {
	flags.Visit(func(f *pflag.Flag) {
		if text := f.Value.String(); text == "" || text == "[]" {
			err = usageError("omit the flag or give it a value; is a variable unset?", "--%s is empty", f.Name)
		}
	})
	return err
}
