package cmd

import (
	"strings"

	"github.com/spf13/cobra"
)

// newHelp replaces cobra's help command, which exits 0 for an unknown topic.
func newHelp(a *app) *cobra.Command {
	return &cobra.Command{
		Use:     "help [COMMAND|TOPIC]",
		Short:   "Help about any command or topic",
		Example: "  villapay help pay qr\n  villapay help exit-codes",
		RunE: func(help *cobra.Command, args []string) error {
			found, rest, err := help.Root().Find(args)
			if err != nil || len(rest) > 0 {
				near := topicsLike(help.Root(), args[0])
				if len(rest) > 0 {
					near = append(suggestions(found, rest), near...)
				}
				hint := "run `villapay --help`"
				if len(near) > 0 {
					hint = "did you mean " + strings.Join(near, " or ") + "?"
				}
				return usageError(hint, "there is no command or topic %q", strings.Join(args, " "))
			}
			a.parsed = true
			found.InitDefaultHelpFlag()
			return found.Help()
		},
		ValidArgsFunction: func(help *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
			var names []string
			if parent, _, err := help.Root().Find(args); err == nil {
				for _, c := range parent.Commands() {
					if (c.IsAvailableCommand() || c.IsAdditionalHelpTopicCommand()) && strings.HasPrefix(c.Name(), typed) {
						names = append(names, c.Name()+"\t"+c.Short)
					}
				}
			}
			return names, cobra.ShellCompDirectiveNoFileComp
		},
	}
}

// topicsLike returns the help topics that share a prefix with word. Cobra suggests
// only commands.
func topicsLike(root *cobra.Command, word string) []string {
	var near []string
	for _, c := range root.Commands() {
		if c.IsAdditionalHelpTopicCommand() && (strings.HasPrefix(c.Name(), word) || strings.HasPrefix(word, c.Name())) {
			near = append(near, "`villapay help "+c.Name()+"`")
		}
	}
	return near
}
