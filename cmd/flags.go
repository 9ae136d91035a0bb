package cmd

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/villapay/villapay/internal/order"
)

// choiceFlag is a flag that takes one of a few words.
type choiceFlag[T ~string] struct {
	value   *T
	choices []string
	name    string // of the value in help; "" lists the choices
}

func (f *choiceFlag[T]) String() string { return string(*f.value) }

func (f *choiceFlag[T]) Type() string { return cmp.Or(f.name, strings.Join(f.choices, "|")) }

func (f *choiceFlag[T]) Set(text string) error {
	if !slices.Contains(f.choices, text) {
		return fmt.Errorf("choose one of %s", strings.Join(f.choices, ", "))
	}
	*f.value = T(text)
	return nil
}

func (f *choiceFlag[T]) words() []string { return f.choices }

// addChoice adds a choiceFlag to a command, with its completion.
func addChoice[T ~string](cmd *cobra.Command, value *T, name, usage string, choices ...string) {
	cmd.Flags().Var(&choiceFlag[T]{value: value, choices: choices}, name, usage)
	complete(cmd, name, choices...)
}

// addSource adds --source to a command.
func addSource(cmd *cobra.Command, source *order.Source, usage string) {
	addChoice(cmd, source, "source", usage, order.Sources()...)
}

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
