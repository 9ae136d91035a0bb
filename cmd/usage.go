package cmd

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/villapay/villapay/internal/config"
)

// Help is as wide as the terminal, within reason.
const (
	helpWidth    = 80
	maxHelpWidth = 100
)

// usage writes the part of the help after the description.
func (a *app) usage(c *cobra.Command) error {
	var text bytes.Buffer
	call := c.UseLine()
	if c.HasAvailableSubCommands() {
		call = c.CommandPath() + " COMMAND [flags]"
	}
	fmt.Fprintf(&text, "Usage:\n  %s\n", call)
	if c.HasExample() {
		fmt.Fprintf(&text, "\nExamples:\n%s\n", c.Example)
	}
	groups := c.Groups()
	if len(groups) == 0 {
		groups = []*cobra.Group{{Title: "Commands:"}}
	}
	for _, group := range groups {
		list(&text, group.Title, c, "", func(sub *cobra.Command) bool {
			return (sub.IsAvailableCommand() || sub.Name() == "help") && sub.GroupID == group.ID
		})
	}
	list(&text, "Topics:", c, "help ", func(sub *cobra.Command) bool {
		return sub.IsAdditionalHelpTopicCommand() || sub.CommandPath() == "villapay sandbox" // the magic order IDs
	})
	width := min(cmp.Or(a.screenOf(a.OutTTY).Columns, helpWidth), maxHelpWidth)
	flags(&text, "Flags:", c.LocalFlags(), width)
	flags(&text, "Global flags:", c.InheritedFlags(), width)
	if c.HasAvailableSubCommands() {
		fmt.Fprintf(&text, "\n`%s COMMAND --help` says more about a command.\n", c.CommandPath())
	}
	_, err := c.OutOrStderr().Write(text.Bytes())
	return err
}

// list writes one section of commands, unless it is empty.
func list(text *bytes.Buffer, title string, c *cobra.Command, prefix string, belongs func(*cobra.Command) bool) {
	var lines [][2]string
	width := 0
	for _, sub := range c.Commands() {
		if belongs(sub) {
			lines = append(lines, [2]string{prefix + sub.Name(), sub.Short})
			width = max(width, len(prefix+sub.Name()))
		}
	}
	if len(lines) == 0 {
		return
	}
	fmt.Fprintf(text, "\n%s\n", title)
	for _, line := range lines {
		fmt.Fprintf(text, "  %-*s  %s\n", width, line[0], line[1])
	}
}

func flags(text *bytes.Buffer, title string, set *pflag.FlagSet, width int) {
	if set.HasAvailableFlags() {
		fmt.Fprintf(text, "\n%s\n%s\n", title, strings.TrimRight(set.FlagUsagesWrapped(width), " \n"))
	}
}

// flagError turns pflag's errors into usage errors with a suggestion.
func flagError(c *cobra.Command, err error) error {
	hint := fmt.Sprintf("run `%s --help`", c.CommandPath())
	var unknown *pflag.NotExistError
	var invalid *pflag.InvalidValueError
	switch {
	case errors.As(err, &unknown) && unknown.GetSpecifiedShortnames() == "":
		var names []string
		c.Flags().VisitAll(func(f *pflag.Flag) { names = append(names, f.Name) })
		if near := config.Suggest(unknown.GetSpecifiedName(), names); near != "" {
			hint = "did you mean --" + near + "?"
		}
		return usageError(hint, "%s", err)
	case errors.As(err, &unknown): // pflag quotes what follows, which may be a password
		return usageError(hint, "unknown flag: -%s", unknown.GetSpecifiedName())
	case errors.As(err, &invalid) && invalid.GetFlag().Value.Type() == "bool": // likewise
		return usageError(hint, "--%s takes no value", invalid.GetFlag().Name)
	case errors.As(err, &invalid):
		if flag, ok := invalid.GetFlag().Value.(interface{ words() []string }); ok {
			hint = suggestHint(invalid.GetValue(), flag.words(), hint)
		}
		return usageError(hint, "--%s %q: %s", invalid.GetFlag().Name, invalid.GetValue(), errors.Unwrap(invalid))
	}
	return usageError(hint, "%s", err)
}

// suggestHint is the hint for a misspelled word: the nearest one, or else another hint.
func suggestHint(word string, words []string, or string) string {
	if near := config.Suggest(word, words); near != "" {
		return "did you mean " + near + "?"
	}
	return or
}

// oneOf checks that a flag's value is one of words.
func oneOf(flag, word string, words []string) (string, error) {
	if slices.Contains(words, word) {
		return word, nil
	}
	choices := "choose one of " + strings.Join(words, ", ")
	return "", usageError(suggestHint(word, words, choices), "--%s: %q is not known", flag, word)
}
