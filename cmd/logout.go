package cmd

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/villapay/villapay/internal/config"
)

type logout struct {
	app         *app
	allDevices  bool
	kbankSecret bool
}

func newLogout(a *app) *cobra.Command {
	c := &logout{app: a}
	cmd := &cobra.Command{
		Use: "logout", Short: "Sign out and delete the tokens",
		Long: `Ends the session at the user pool and deletes its tokens. ID tokens that were
already issued stay valid until they expire. With --kbank-secret it deletes the
bank's secret key instead and does not sign out.`,
		Example: "  villapay logout --env dev\n  villapay logout --env dev --kbank-secret",
		Args:    exactArgs(), RunE: a.change(c.run, a.identity),
	}
	cmd.Flags().BoolVar(&c.allDevices, "all-devices", false, "end every session of this user, everywhere")
	cmd.Flags().BoolVar(&c.kbankSecret, "kbank-secret", false, "delete the bank's secret key instead")
	return cmd
}

func (c *logout) run(ctx context.Context, _ []string) error {
	if c.allDevices && c.kbankSecret {
		return usageError("", "--all-devices cannot be used with --kbank-secret")
	}
	settings, err := c.app.settings()
	if err != nil {
		return err
	}
	if c.kbankSecret {
		return c.removeBankKey(ctx, settings.Profile)
	}
	session, err := c.app.openSession()
	if err != nil {
		return err
	}
	if err := session.SignOut(ctx, c.allDevices); err != nil {
		return err
	}
	c.app.note("signed out of %s; ID tokens that were already issued stay valid until they expire", settings.Profile.Name)
	if c.app.Getenv("VILLAPAY_TOKEN") != "" {
		c.app.warn("VILLAPAY_TOKEN is still set and is still used")
	}
	return nil
}

func (c *logout) removeBankKey(ctx context.Context, profile config.Profile) error {
	url, err := bankAPI(profile)
	if err != nil {
		return err
	}
	store, err := c.app.tokenStore()
	if err != nil {
		return err
	}
	found, err := store.RemoveBankKey(ctx, url)
	switch {
	case err != nil:
		return err
	case found:
		c.app.note("deleted the bank's secret key for %s", url)
	default:
		c.app.note("there was no secret key for %s", url)
	}
	if c.app.Getenv(kbankVariable) != "" {
		c.app.warn("%s is still set and is still used", kbankVariable)
	}
	return nil
}
