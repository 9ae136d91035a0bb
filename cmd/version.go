package cmd

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"
)

// versionCommand says which villapay this is. It reads no configuration.
type versionCommand struct{ app *app }

func newVersion(a *app) *cobra.Command {
	c := &versionCommand{a}
	return &cobra.Command{
		Use:     "version",
		Short:   "Show which villapay this is",
		Example: "  villapay version\n  villapay version -o json",
		Args:    exactArgs(),
		RunE:    a.run(c.run),
	}
}

func (c *versionCommand) run(context.Context, []string) error {
	switch c.app.flags.output {
	case "", "table":
		b := c.app.Build
		return c.app.write(fmt.Appendf(nil, "villapay %s (%s/%s)\n", b.Version, b.OS, b.Arch))
	case "json":
		text, err := json.Marshal(c.app.Build)
		if err != nil {
			return err
		}
		return c.app.write(append(text, '\n'))
	}
	return usageError("choose table or json", "this command has no %s output", c.app.flags.output)
}
