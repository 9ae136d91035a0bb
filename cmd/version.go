package cmd

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/villapay/villapay/internal/config"
)

// versionCommand reads no configuration.
type versionCommand struct{ app *app }

func newVersion(a *app) *cobra.Command {
	c := &versionCommand{a}
	return &cobra.Command{
		Use:     "version",
		Short:   "Show the version",
		Example: "  villapay version\n  villapay version -o json",
		Args:    exactArgs(),
		RunE:    a.runWithoutSignals(c.run),
	}
}

func (c *versionCommand) run(ctx context.Context, _ []string) error {
	format, err := c.app.flagFormat()
	if err != nil {
		return err
	}
	inherited := config.Format(c.app.Getenv("VILLAPAY_OUTPUT"))
	asked := c.app.flags.output != "" || c.app.flags.jq != ""
	if !asked && (inherited == config.FormatJSON || inherited == config.FormatYAML) {
		format = inherited
	}
	b := c.app.Build
	if format != config.FormatTable {
		return c.app.writeValue(ctx, format, b)
	}
	return c.app.write(fmt.Appendf(nil, "villapay %s (%s/%s)\n", b.Version, b.OS, b.Arch))
}
