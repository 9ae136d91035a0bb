package cmd

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/villapay/villapay/internal/config"
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
		RunE:    a.atOnce(c.run),
	}
}

func (c *versionCommand) run(ctx context.Context, _ []string) error {
	format := config.FormatTable
	if c.app.flags.output != "" || c.app.flags.jq != "" {
		var err error
		if format, err = c.app.format("table", "json", "yaml"); err != nil {
			return err
		}
	}
	b := c.app.Build
	if format != "table" {
		return c.app.writeValue(ctx, format, b)
	}
	return c.app.write(fmt.Appendf(nil, "villapay %s (%s/%s)\n", b.Version, b.OS, b.Arch))
}
