package cmd

import (
	"context"

	"github.com/spf13/cobra"
)

// logout ends the session.
type logout struct {
	app        *app
	allDevices bool
}

func newLogout(a *app) *cobra.Command {
	c := &logout{app: a}
	cmd := &cobra.Command{
		Use: "logout", Short: "Sign out and forget the tokens",
		Long: `Ends the session at the user pool and forgets its tokens. ID tokens that were
given out live on until they expire.`,
		Example: "  villapay logout --env dev",
		Args:    exactArgs(), RunE: a.plain(c.run),
	}
	cmd.Flags().BoolVar(&c.allDevices, "all-devices", false, "end every session of this user, everywhere")
	return cmd
}

func (c *logout) run(ctx context.Context, _ []string) error {
	settings, err := c.app.settings()
	if err != nil {
		return err
	}
	if settings.Profile.Sandbox {
		return errNoSignIn()
	}
	session, err := c.app.openSession()
	if err != nil {
		return err
	}
	if err := session.SignOut(ctx, c.allDevices); err != nil {
		return err
	}
	c.app.note("signed out of %s; ID tokens already given out live until they expire", settings.Profile.Name)
	if c.app.Getenv("VILLAPAY_TOKEN") != "" {
		c.app.warn("VILLAPAY_TOKEN is still set and is still used")
	}
	return nil
}
