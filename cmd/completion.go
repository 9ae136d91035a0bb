package cmd

import (
	"bytes"

	"github.com/spf13/cobra"
)

func newCompletion(a *app) *cobra.Command {
	return group("completion", "Write a shell's completion script", "  villapay completion bash > villapay.bash\n  source villapay.bash",
		completionFor(a, "bash", "  villapay completion bash > villapay.bash\n  source villapay.bash", func(root *cobra.Command, w *bytes.Buffer) error { return root.GenBashCompletionV2(w, true) }),
		completionFor(a, "zsh", "  villapay completion zsh > _villapay   # into a directory of $fpath", func(root *cobra.Command, w *bytes.Buffer) error { return root.GenZshCompletion(w) }),
		completionFor(a, "fish", "  villapay completion fish > ~/.config/fish/completions/villapay.fish", func(root *cobra.Command, w *bytes.Buffer) error { return root.GenFishCompletion(w, true) }),
		completionFor(a, "powershell", "  villapay completion powershell > villapay.ps1   # then: . ./villapay.ps1", func(root *cobra.Command, w *bytes.Buffer) error {
			return root.GenPowerShellCompletionWithDesc(w)
		}),
	)
}

// completionFor writes one shell's script. It reads no configuration.
func completionFor(a *app, shell, example string, generate func(*cobra.Command, *bytes.Buffer) error) *cobra.Command {
	return &cobra.Command{
		Use:     shell,
		Short:   "Write the completion script for " + shell,
		Example: example,
		Args:    exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			a.parsed = true
			var script bytes.Buffer
			if err := generate(cmd.Root(), &script); err != nil {
				return err
			}
			return a.write(script.Bytes())
		},
	}
}

// completeNothing keeps shells from offering file names.
func (a *app) completeNothing(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return nil, cobra.ShellCompDirectiveNoFileComp
}

// envNames are the environments' names, for completion: nothing where the
// configuration cannot be read.
func (a *app) envNames() []string {
	settings, err := a.settings()
	if err != nil {
		return nil
	}
	return settings.Names()
}
