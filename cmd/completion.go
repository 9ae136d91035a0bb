package cmd

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/villapay/villapay/internal/config"
	"github.com/villapay/villapay/internal/ledger"
	"github.com/villapay/villapay/internal/order"
	"github.com/villapay/villapay/internal/render"
	"github.com/villapay/villapay/internal/sanitize"
)

func newCompletion(a *app) *cobra.Command {
	return group("completion", "Write a shell's completion script", "  villapay completion bash > villapay.bash\n  source villapay.bash",
		completionFor(a, "bash", "  villapay completion bash > villapay.bash\n  source villapay.bash", bashCompletion),
		completionFor(a, "zsh", "  villapay completion zsh > _villapay   # into a directory of $fpath", (*cobra.Command).GenZshCompletion),
		completionFor(a, "fish", "  villapay completion fish > ~/.config/fish/completions/villapay.fish", fishCompletion),
		completionFor(a, "powershell", "  villapay completion powershell > villapay.ps1   # then: . ./villapay.ps1", (*cobra.Command).GenPowerShellCompletionWithDesc),
	)
}

// completionFor returns the command for one shell. It reads no configuration.
func completionFor(a *app, shell, example string, generate func(*cobra.Command, io.Writer) error) *cobra.Command {
	return &cobra.Command{
		Use:     shell,
		Short:   "Write the completion script for " + shell,
		Example: example,
		Args:    exactArgs(),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.plain(func(context.Context, []string) error {
				var script bytes.Buffer
				if err := generate(cmd.Root(), &script); err != nil {
					return err
				}
				return a.write(script.Bytes())
			})(cmd, args)
		},
	}
}

// bashCompletion makes cobra's script work without the bash-completion package,
// too. Without it the script prints "command not found" into the command line.
func bashCompletion(root *cobra.Command, w io.Writer) error {
	var script bytes.Buffer
	if err := root.GenBashCompletionV2(&script, true); err != nil {
		return err
	}
	return repair(w, script.String(), "    _get_comp_words_by_ref \"$@\" cur prev words cword\n", `    if declare -F _get_comp_words_by_ref >/dev/null 2>&1; then
        _get_comp_words_by_ref "$@" cur prev words cword
        return
    fi
    # Join what readline splits at = and : but not at blanks.
    local i rest=$COMP_LINE
    words=() cword=-1
    for ((i = 0; i <= COMP_CWORD; i++)); do
        if [[ $i == 0 || $rest == [[:blank:]]* ]]; then
            cword=$((cword + 1))
        fi
        rest=${rest#"${rest%%[![:blank:]]*}"}
        rest=${rest#"${COMP_WORDS[i]}"}
        words[cword]+=${COMP_WORDS[i]}
    done
    cur=${words[cword]} prev=
    if ((cword > 0)); then
        prev=${words[cword-1]}
    fi
`)
}

// fishCompletion keeps cobra's script from taking --flag=word for a flag of
// fish's own, about which fish would print an error.
func fishCompletion(root *cobra.Command, w io.Writer) error {
	var script bytes.Buffer
	if err := root.GenFishCompletion(&script, true); err != nil {
		return err
	}
	return repair(w, script.String(), `string split --max 1 \t $__villapay`, `string split --max 1 -- \t $__villapay`)
}

// repair writes a script in which by replaces old.
func repair(w io.Writer, script, old, by string) error {
	if !strings.Contains(script, old) {
		return fmt.Errorf("cobra's completion script no longer has %q", old)
	}
	_, err := io.WriteString(w, strings.ReplaceAll(script, old, by))
	return err
}

// completing reports whether a shell asks what can stand at the cursor.
func completing(args []string) bool {
	return len(args) > 0 && (args[0] == cobra.ShellCompRequestCmd || args[0] == cobra.ShellCompNoDescRequestCmd)
}

// completeFiles offers file names where help says FILE, and nowhere else.
func completeFiles(root *cobra.Command) {
	root.CompletionOptions.SetDefaultShellCompDirective(cobra.ShellCompDirectiveNoFileComp)
	files := func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return nil, cobra.ShellCompDirectiveDefault
	}
	var visit func(*cobra.Command)
	visit = func(c *cobra.Command) {
		if c.ValidArgsFunction == nil && strings.Contains(c.Use, " FILE") {
			c.ValidArgsFunction = files
		}
		c.LocalFlags().VisitAll(func(f *pflag.Flag) {
			if value, _ := pflag.UnquoteUsage(f); value == "FILE" {
				mustComplete(c, f.Name, cobra.FixedCompletions(nil, cobra.ShellCompDirectiveDefault))
			}
		})
		for _, sub := range c.Commands() {
			visit(sub)
		}
	}
	visit(root)
}

// complete completes a flag with fixed words. A flag that takes a list completes
// them after each comma.
func complete(cmd *cobra.Command, flag string, words ...string) {
	if cmd.Flag(flag).Value.Type() != "stringSlice" {
		mustComplete(cmd, flag, cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp))
		return
	}
	mustComplete(cmd, flag, func(_ *cobra.Command, _ []string, typed string) ([]string, cobra.ShellCompDirective) {
		before := typed[:strings.LastIndex(typed, ",")+1]
		given := strings.Split(before, ",")
		var items []string
		for _, word := range words {
			if !slices.Contains(given, word) {
				items = append(items, before+word)
			}
		}
		return items, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
	})
}

func mustComplete(cmd *cobra.Command, flag string, f cobra.CompletionFunc) {
	if err := cmd.RegisterFlagCompletionFunc(flag, f); err != nil {
		panic(err) // no such flag: every test finds it
	}
}

// completeFirst completes the first argument, and no other.
func completeFirst(words func() []string) cobra.CompletionFunc {
	return func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return words(), cobra.ShellCompDirectiveNoFileComp
	}
}

func (a *app) allEnvs() []string { return a.envNames(func(config.Summary) bool { return true }) }

// removableEnvs are the environments that `env remove` accepts.
func (a *app) removableEnvs() []string {
	return a.envNames(func(e config.Summary) bool { return !e.BuiltIn && !e.Selected })
}

// envNames returns the environments that pass, each with a description; none if the
// configuration cannot be read.
func (a *app) envNames(pass func(config.Summary) bool) []string {
	settings, err := a.settings()
	if err != nil {
		return nil
	}
	var names []string
	for _, e := range settings.Envs() {
		if !pass(e) {
			continue
		}
		about := strings.Trim(e.BaseURL, "()") // the sandbox's is (embedded)
		if e.Live {
			about = "LIVE " + about
		}
		names = append(names, e.Name+"\t"+about)
	}
	return names
}

// keys returns the settings' keys, each with its current value.
func (a *app) keys() []string {
	now := a.values()
	var keys []string
	for _, key := range config.Keys() {
		keys = append(keys, strings.TrimSpace(key+"\t"+now[key]))
	}
	return keys
}

// completeSetting completes `env set`: a key, then its possible values, or its
// current value to edit.
func (a *app) completeSetting(cmd *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
	if len(args) != 1 {
		return completeFirst(a.keys)(cmd, args, typed)
	}
	var words []string
	directive := cobra.ShellCompDirectiveNoFileComp
	switch key := args[0]; key {
	case "live":
		words = []string{"true", "false"}
	case "output":
		words = config.Formats()
	case "source":
		words = order.Sources()
	case "ledger":
		words, directive = []string{"sqlite", "none", "postgres://"}, directive|cobra.ShellCompDirectiveNoSpace
	case "auth.scheme":
		words = []string{"Bearer"}
	default:
		if now := a.values()[key]; now != "" && (key != "base_url" || strings.HasPrefix(now, "http")) {
			words = []string{now}
		}
	}
	return words, directive
}

// values returns the effective values by key.
func (a *app) values() map[string]string {
	now := map[string]string{}
	if settings, err := a.settings(); err == nil {
		for _, v := range settings.Values() {
			now[v.Key] = v.Value
		}
	}
	return now
}

// completionTimeout is how long completion waits for the ledger.
const completionTimeout = time.Second

// maxCompletions is how many orders are listed. The newest ones come from the last
// maxScanned payments.
const maxCompletions, maxScanned = 50, 500

// completeOrderIDs completes order IDs of the ledger, except those already given.
func (a *app) completeOrderIDs(cmd *cobra.Command, given []string, typed string) ([]string, cobra.ShellCompDirective) {
	ctx, cancel := context.WithTimeout(cmd.Context(), completionTimeout)
	defer cancel()
	const directive = cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveKeepOrder
	settings, opened, err := a.requireLedger(ctx)
	if err != nil {
		return nil, directive
	}
	return orderCompletions(ctx, opened, settings.Profile.Scope(), given, typed), directive
}

// orderCompletions returns the newest orders with their states, then older ones,
// all with the typed prefix.
func orderCompletions(ctx context.Context, l *ledger.Ledger, scope string, given []string, typed string) []string {
	newest := map[string]order.Payment{}
	var ids []string
	for p, err := range l.List(ctx, ledger.Filter{Scope: scope, Limit: maxScanned}) {
		if err != nil {
			break
		}
		if _, seen := newest[p.OrderID]; !seen {
			ids = append(ids, p.OrderID)
			newest[p.OrderID] = p
		} else if p.State == order.Paid {
			newest[p.OrderID] = p
		}
	}
	older, _ := l.OrderIDs(ctx, scope, typed, maxCompletions)
	var list []string
	for _, id := range append(ids, older...) {
		if len(list) == maxCompletions || slices.Contains(given, id) || !strings.HasPrefix(id, typed) || sanitize.Text(id) != id {
			continue
		}
		given = append(given, id)
		if p, ok := newest[id]; ok {
			id += "\t" + render.StateWord(p.State)
			if p.Order != nil {
				id += ", " + sanitize.Text(render.Money(p.Amount, p.Currency))
			}
		}
		list = append(list, id)
	}
	return list
}

func (a *app) completeOrderID(cmd *cobra.Command, given []string, typed string) ([]string, cobra.ShellCompDirective) {
	if len(given) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return a.completeOrderIDs(cmd, given, typed)
}

func (a *app) completeSandboxOrder(cmd *cobra.Command, given []string, typed string) ([]string, cobra.ShellCompDirective) {
	a.flags.env = config.Sandbox
	return a.completeOrderID(cmd, given, typed)
}
