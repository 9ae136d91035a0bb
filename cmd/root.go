package cmd

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/villapay/villapay/internal/config"
)

// app is one run of villapay.
type app struct {
	*output
	args   []string
	parsed bool // an error from here on is not a usage error
}

func newApp(p *Program, args []string) *app {
	return &app{output: &output{deps: &deps{streams: &streams{Program: p}}}, args: args}
}

type globalFlags struct {
	env     string
	output  config.Format
	jq      string
	quiet   bool
	yes     bool
	noInput bool
	timeout time.Duration
	color   string
	debug   bool
}

// Run runs one command line and returns its exit code.
func Run(ctx context.Context, p *Program, args []string) int {
	p.Out, p.Err = ctxWriter(ctx, p.Out), ctxWriter(ctx, p.Err)
	if p.ErrTTY && p.Getenv("TERM") != "dumb" {
		p.Err = &statusWriter{to: p.Err}
	}
	a := newApp(p, args)
	defer a.endStatus()
	if slices.Equal(args, []string{"--version"}) {
		args = []string{"version"}
	}
	root := a.root()
	if completing(args) {
		completeFiles(root)
	}
	root.SetArgs(args)
	root.SetIn(p.In)
	root.SetOut(a.writer())
	root.SetErr(p.Err)
	command, err := root.ExecuteContextC(ctx)
	if err != nil && !a.parsed {
		err = asUsage(err)
	}
	if err == nil {
		err = a.writeErr
	}
	if err != nil {
		a.logFailure(command.CommandPath(), explain(ctx, err))
	}
	if closed := a.close(); err == nil {
		err = closed
	}
	if err == nil {
		return exitDone
	}
	f := explain(ctx, err)
	f.Hint = a.signInHint(err, a.inEnv(f.Hint))
	a.fail(f)
	return f.ExitCode
}

// aboutEnv is a command in a hint that applies to one environment.
var aboutEnv = regexp.MustCompile("`villapay (?:login|doctor|webhook listen|env (?:show|set|unset))[^`]*`")

// inEnv completes the commands of a hint with the environment of this run, which
// need not be the selected one.
func (a *app) inEnv(hint string) string {
	if a.config == nil {
		return hint
	}
	return aboutEnv.ReplaceAllStringFunc(hint, func(command string) string {
		if strings.Contains(command, " -e ") || strings.Contains(command, " --env ") || strings.Contains(command, "--help") {
			return command
		}
		words, rest, redirected := strings.Cut(strings.Trim(command, "`"), " < ")
		words += " -e " + a.config.Profile.Name
		if redirected {
			words += " < " + rest
		}
		return "`" + words + "`"
	})
}

// logFailure logs a failure, except a usage error.
func (a *app) logFailure(command string, f *failure) {
	if f.ExitCode == exitUsage {
		return
	}
	log := a.log().With("command", command, "exit_code", f.ExitCode)
	if a.config != nil {
		log = log.With("env", a.config.Profile.Name)
	}
	log.Error("failed", "code", f.Code, "error", f.Error(), "status", f.Status, "request_id", f.RequestID)
}

// asUsage turns an error of cobra's parser into a usage error.
func asUsage(err error) error {
	if _, ok := errors.AsType[*failure](err); ok {
		return err
	}
	message, suggestions, _ := strings.Cut(err.Error(), "\n\nDid you mean this?\n")
	hint := "run `villapay --help`"
	if suggestions != "" {
		hint = "did you mean " + strings.Join(strings.Fields(suggestions), " or ") + "?"
	}
	return usageError(hint, "%s", message)
}

// root builds the command tree.
func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "villapay",
		Short: "Make KBank QR and WeChat payment orders for Villa orders",
		Long: `Makes KBank QR and WeChat payment orders for Villa orders, shows each as a table,
JSON or a code to scan, and reports its status.

Running a payment again is always safe: an order that is still open is shown
again instead of being made twice.`,
		Example: `  villapay pay qr 492500004632 --env sandbox   # no network, no sign-in
  villapay order status 492500004632 --env sandbox
  villapay env use dev && villapay login`,
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          noSubcommand,
		RunE:          showHelp,
	}
	root.CompletionOptions.DisableDefaultCmd = true
	root.SetHelpCommand(newHelp(a))
	root.SetFlagErrorFunc(flagError)
	root.SetUsageFunc(a.usage)
	root.SetHelpCommandGroupID("tools")
	a.globalFlags(root)
	root.AddGroup(
		&cobra.Group{ID: "money", Title: "Payments:"},
		&cobra.Group{ID: "setup", Title: "Sign-in and environments:"},
		&cobra.Group{ID: "tools", Title: "Tools:"},
	)
	add := func(group string, commands ...*cobra.Command) {
		for _, c := range commands {
			c.GroupID = group
		}
		root.AddCommand(commands...)
	}
	add("money", newPay(a), newOrder(a))
	add("setup", newLogin(a), newLogout(a), newWhoami(a), newToken(a), newEnv(a))
	add("tools", newSandbox(a), newAPI(a), newDoctor(a), newWebhook(a), newVersion(a), newCompletion(a))
	addTopics(root)
	return root
}

func (a *app) globalFlags(root *cobra.Command) {
	f := root.PersistentFlags()
	colors := []string{"auto", "always", "never"}
	f.BoolP("help", "h", false, "show this help")
	f.StringVarP(&a.flags.env, "env", "e", "", "use environment `NAME` instead of the selected one")
	f.VarP(&choiceFlag[config.Format]{&a.flags.output, config.Formats(), "FORMAT"}, "output", "o", "table, json, yaml, csv or qr")
	f.StringVar(&a.flags.jq, "jq", "", "filter the JSON output with the jq expression `EXPR`")
	f.BoolVarP(&a.flags.quiet, "quiet", "q", false, "write no notes, only warnings and errors")
	f.BoolVarP(&a.flags.yes, "yes", "y", false, "answer yes to every question")
	f.BoolVar(&a.flags.noInput, "no-input", false, "never ask anything")
	f.Var(&timeFlag{&a.flags.timeout, 10 * time.Minute}, "timeout", "time limit for calls to the API and the bank, such as 30s")
	f.Var(&choiceFlag[string]{value: &a.flags.color, choices: colors}, "color", "use colors")
	f.BoolVar(&a.flags.debug, "debug", false, "show requests and responses on stderr, without secrets")
	mustComplete(root, "env", func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return a.allEnvs(), cobra.ShellCompDirectiveNoFileComp
	})
	complete(root, "output", config.Formats()...)
	complete(root, "color", colors...)
}

// run adapts a command's run method to cobra.
func (a *app) run(run func(ctx context.Context, args []string) error) func(*cobra.Command, []string) error {
	return a.runWithoutSignals(func(ctx context.Context, args []string) error {
		if a.NotifySignals != nil {
			a.NotifySignals()
		}
		return run(ctx, args)
	})
}

// runWithoutSignals is run for commands that Ctrl-C may end at once. They start
// faster.
func (a *app) runWithoutSignals(run func(ctx context.Context, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		if err := checkNotEmpty(cmd.Flags()); err != nil {
			return err
		}
		a.parsed = true
		return run(cmd.Context(), args)
	}
}

// withFormat is run for commands that begin with their output format. has lists what
// they can write, the default first.
func (a *app) withFormat(run func(ctx context.Context, format config.Format, args []string) error, has ...config.Format) func(*cobra.Command, []string) error {
	return a.run(func(ctx context.Context, args []string) error {
		format, err := a.format(has...)
		if err != nil {
			return err
		}
		return run(ctx, format, args)
	})
}

// plain is run for commands with only one output format. They accept -o json, which
// then applies to errors.
func (a *app) plain(run func(ctx context.Context, args []string) error) func(*cobra.Command, []string) error {
	return a.run(func(ctx context.Context, args []string) error {
		switch {
		case a.flags.jq != "":
			return usageError("", "this command has no JSON output for --jq to filter")
		case !slices.Contains([]config.Format{"", config.FormatTable, config.FormatJSON}, a.flags.output):
			return usageError("omit -o", "this command has no %s output", a.flags.output)
		}
		return run(ctx, args)
	})
}

// change is run for commands that change settings or sessions. state returns what
// they write with -o or --jq: the state after the change.
func (a *app) change(run func(ctx context.Context, args []string) error, state func(ctx context.Context, args []string) (any, error)) func(*cobra.Command, []string) error {
	return a.run(func(ctx context.Context, args []string) error {
		format, err := a.flagFormat()
		if err != nil {
			return err
		}
		if err := run(ctx, args); err != nil || format == config.FormatTable {
			return err
		}
		value, err := state(ctx, args)
		if err != nil {
			return err
		}
		return a.writeValue(ctx, format, value)
	})
}

// group returns a command that only has subcommands.
func group(use, short, example string, commands ...*cobra.Command) *cobra.Command {
	c := &cobra.Command{Use: use, Short: short, Example: example, Args: noSubcommand, RunE: showHelp}
	c.AddCommand(commands...)
	return c
}

func showHelp(cmd *cobra.Command, _ []string) error { return cmd.Help() }

// noSubcommand reports an unknown subcommand and suggests similar ones.
func noSubcommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	hint := fmt.Sprintf("run `%s --help`", cmd.CommandPath())
	if near := suggestions(cmd, args); len(near) > 0 {
		hint = "did you mean " + strings.Join(near, " or ") + "?"
	}
	if cmd == cmd.Root() {
		return usageError(hint, "there is no command %q", args[0])
	}
	return usageError(hint, "%s has no command %q", commandName(cmd), args[0])
}

// suggestions returns replacements for an unknown subcommand: an alias from other
// tools, a command for an order ID, one of another group, or a similar spelling.
func suggestions(cmd *cobra.Command, args []string) (near []string) {
	typed := args[0]
	suggest := func(path string, rest []string) {
		words := slices.Concat([]string{path}, rest)
		if env := cmd.Flag("env"); env.Changed {
			words = append(words, "-e", env.Value.String())
		}
		near = append(near, "`"+strings.Join(words, " ")+"`")
	}
	name := cmp.Or(map[string]string{
		"ls": "list", "rm": "remove", "del": "remove", "delete": "remove", "get": "show", "select": "use", "switch": "use",
	}[typed], typed)
	for _, c := range cmd.Commands() {
		if c.Name() == name {
			suggest(c.CommandPath(), args[1:])
		}
	}
	if forOrders := map[string]string{
		"villapay": "villapay pay qr", "villapay pay": "villapay pay qr", "villapay order": "villapay order status",
	}[cmd.CommandPath()]; forOrders != "" && typed != "" && typed[0] >= '0' && typed[0] <= '9' {
		suggest(forOrders, args)
	}
	if near != nil {
		return near
	}
	for _, section := range cmd.Root().Groups() { // payments first
		for _, group := range cmd.Root().Commands() {
			for _, c := range group.Commands() {
				if group.GroupID == section.ID && c.Name() == name {
					suggest(c.CommandPath(), args[1:])
				}
			}
		}
	}
	if near != nil {
		return near
	}
	cmd.SuggestionsMinimumDistance = 2
	for _, name := range cmd.SuggestionsFor(typed) {
		suggest(cmd.CommandPath()+" "+name, nil)
	}
	return near
}

// commandName is a command's name in messages, which begin with villapay anyway.
func commandName(cmd *cobra.Command) string {
	return strings.TrimPrefix(cmd.CommandPath(), "villapay ")
}

// needsFlags requires flags after the arguments were checked. The example shows them.
func needsFlags(args cobra.PositionalArgs, example string, names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, given []string) error {
		if err := args(cmd, given); err != nil {
			return err
		}
		var missing []string
		for _, name := range names {
			if !cmd.Flag(name).Changed {
				missing = append(missing, "--"+name)
			}
		}
		if len(missing) == 0 {
			return nil
		}
		hint := example
		if env := cmd.Flag("env"); env.Changed {
			hint += " -e " + env.Value.String()
		}
		return usageError(hint, "%s needs %s", commandName(cmd), strings.Join(missing, " and "))
	}
}

// exactArgs requires these arguments and names the missing ones.
func exactArgs(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) == len(names) {
			return nil
		}
		hint := fmt.Sprintf("usage: %s", cmd.UseLine())
		if len(args) < len(names) {
			return usageError(hint, "%s needs %s", commandName(cmd), strings.Join(names[len(args):], " and "))
		}
		return usageError(hint, "%s takes no argument %q", commandName(cmd), args[len(names)])
	}
}
