package cmd

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/villapay/villapay/internal/config"
	"github.com/villapay/villapay/internal/render"
)

func newEnv(a *app) *cobra.Command {
	return group("env", "Choose and set up environments",
		"  villapay env list\n  villapay env use sandbox\n  villapay env show",
		newEnvList(a), newEnvUse(a), newEnvShow(a), newEnvAdd(a), newEnvSet(a), newEnvUnset(a), newEnvRemove(a))
}

type envList struct{ app *app }

func newEnvList(a *app) *cobra.Command {
	c := &envList{a}
	return &cobra.Command{
		Use: "list", Short: "List the environments", Example: "  villapay env list\n  villapay env list -o json",
		Args: exactArgs(), RunE: a.withFormat(c.run, "table", "json", "yaml"),
	}
}

func (c *envList) run(ctx context.Context, format config.Format, _ []string) error {
	settings, err := c.app.settings()
	if err != nil {
		return err
	}
	envs := settings.Envs()
	if format != "table" {
		return c.app.writeValue(ctx, format, envs)
	}
	rows := make([][]string, 0, len(envs))
	for _, e := range envs {
		rows = append(rows, []string{mark(e.Selected, "*"), e.Name, e.BaseURL, mark(e.Live, "LIVE"), mark(e.BuiltIn, "built in")})
	}
	return render.Table(c.app.writer(), c.app.screen(), []string{"", "Name", "Base URL", "Money", ""}, rows)
}

func mark(on bool, text string) string {
	if on {
		return text
	}
	return ""
}

type envUse struct{ app *app }

func newEnvUse(a *app) *cobra.Command {
	c := &envUse{a}
	return &cobra.Command{
		Use: "use NAME", Short: "Select the environment for later commands",
		Example: "  villapay env use sandbox\n  villapay env use dev",
		Args:    exactArgs("an environment's name"), ValidArgsFunction: completeFirst(a.allEnvs), RunE: a.changeEnv(c.run, namedEnv),
	}
}

func (c *envUse) run(ctx context.Context, args []string) error {
	if err := config.Use(ctx, c.app.LookupEnv, args[0]); err != nil {
		return err
	}
	if forced := c.app.Getenv("VILLAPAY_ENV"); forced != "" && forced != args[0] {
		c.app.warn("VILLAPAY_ENV=%s still overrides it in this shell", forced)
	}
	c.app.note("now using %s", args[0])
	return nil
}

type envShow struct{ app *app }

func newEnvShow(a *app) *cobra.Command {
	c := &envShow{a}
	return &cobra.Command{
		Use: "show", Short: "Show every effective value and where it came from",
		Example: "  villapay env show\n  villapay env show --env prod -o json",
		Args:    exactArgs(), RunE: a.withFormat(c.run, "table", "json", "yaml"),
	}
}

func (c *envShow) run(ctx context.Context, format config.Format, _ []string) error {
	settings, err := c.app.settings()
	if err != nil {
		return err
	}
	values := settings.Values()
	if format != "table" {
		return c.app.writeValue(ctx, format, values)
	}
	rows := make([][]string, 0, len(values))
	for _, v := range values {
		rows = append(rows, []string{v.Key, v.Value, v.Origin})
	}
	return render.Table(c.app.writer(), c.app.screen(), []string{"Key", "Value", "From"}, rows)
}

type envAdd struct {
	app     *app
	baseURL string
	live    bool
}

func newEnvAdd(a *app) *cobra.Command {
	c := &envAdd{app: a}
	cmd := &cobra.Command{
		Use: "add NAME --base-url URL", Short: "Add an environment",
		Example: "  villapay env add staging --base-url https://shop.villamarket.com/api/payment3devapi\n  villapay env use staging",
		Args:    exactArgs("a name"), ValidArgsFunction: cobra.NoFileCompletions, RunE: a.changeEnv(c.run, namedEnv),
	}
	cmd.Flags().StringVar(&c.baseURL, "base-url", "", "the API's base `URL`: https, or http on loopback")
	cmd.Flags().BoolVar(&c.live, "live", false, "takes real money: ask before each payment")
	return cmd
}

func (c *envAdd) run(ctx context.Context, args []string) error {
	if c.baseURL == "" {
		return usageError("add --base-url https://…", "an environment needs its base URL")
	}
	if err := config.Add(ctx, c.app.LookupEnv, args[0], c.baseURL, c.live); err != nil {
		return err
	}
	c.app.note("added %s; select it with `villapay env use %s`", args[0], args[0])
	return nil
}

type envSet struct{ app *app }

func newEnvSet(a *app) *cobra.Command {
	c := &envSet{a}
	return &cobra.Command{
		Use: "set KEY VALUE", Short: "Set a value of the selected environment",
		Long: `Sets a value of the selected environment in the config file and keeps the file's
comments. Separate the items of a list with commas. The keys output and ledger
apply to every environment. Secrets are never written to the file.`,
		Example: "  villapay env set timeout 45s --env dev\n  villapay env set auth.client_id 4h57kqb --env dev",
		Args:    exactArgs("a key", "a value"), ValidArgsFunction: a.completeSetting, RunE: a.changeEnv(c.run, envValues),
	}
}

func (c *envSet) run(ctx context.Context, args []string) error {
	return config.Set(ctx, c.app.LookupEnv, c.app.flags.env, args[0], args[1])
}

type envUnset struct{ app *app }

func newEnvUnset(a *app) *cobra.Command {
	c := &envUnset{a}
	return &cobra.Command{
		Use: "unset KEY", Short: "Reset a value to its default, or remove an unknown key",
		Example: "  villapay env set timeout 45s --env dev\n  villapay env unset timeout --env dev",
		Args:    exactArgs("a key"), ValidArgsFunction: completeFirst(a.keys), RunE: a.changeEnv(c.run, envValues),
	}
}

func (c *envUnset) run(ctx context.Context, args []string) error {
	removed, err := config.Unset(ctx, c.app.LookupEnv, c.app.flags.env, args[0])
	if err == nil && !removed {
		c.app.note("%s is not set in the file", args[0])
	}
	return err
}

type envRemove struct{ app *app }

func newEnvRemove(a *app) *cobra.Command {
	c := &envRemove{a}
	return &cobra.Command{
		Use: "remove NAME", Short: "Remove an environment from the config file",
		Example: "  villapay env add staging --base-url https://shop.villamarket.com/api/payment3devapi\n  villapay env remove staging",
		Args:    exactArgs("an environment's name"), ValidArgsFunction: completeFirst(a.removableEnvs), RunE: a.changeEnv(c.run, allEnvs),
	}
}

func (c *envRemove) run(ctx context.Context, args []string) error {
	if err := config.Remove(ctx, c.app.LookupEnv, args[0]); err != nil {
		return err
	}
	c.app.note("removed %s", args[0])
	return nil
}

// changeEnv is change for commands that change the config file. state returns what
// they write from the settings after the change.
func (a *app) changeEnv(run func(ctx context.Context, args []string) error, state func(settings *config.Config, args []string) any) func(*cobra.Command, []string) error {
	return a.change(run, func(_ context.Context, args []string) (any, error) {
		settings, err := a.settings()
		if err != nil {
			return nil, err
		}
		return state(settings, args), nil
	})
}

func allEnvs(settings *config.Config, _ []string) any { return settings.Envs() }

// namedEnv returns the environment that args names, nil if another process has
// removed it meanwhile.
func namedEnv(settings *config.Config, args []string) any {
	for _, e := range settings.Envs() {
		if e.Name == args[0] {
			return e
		}
	}
	return nil
}

func envValues(settings *config.Config, _ []string) any { return settings.Values() }
