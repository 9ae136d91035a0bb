package cmd

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/villapay/villapay/internal/api"
	"github.com/villapay/villapay/internal/auth"
	"github.com/villapay/villapay/internal/render"
	"github.com/villapay/villapay/internal/sanitize"
)

// whoami tells who is signed in, where the tokens are, and until when.
type whoami struct{ app *app }

func newWhoami(a *app) *cobra.Command {
	c := &whoami{a}
	return &cobra.Command{
		Use: "whoami", Short: "Tell who is signed in, and until when",
		Example: "  villapay whoami --env dev\n  villapay whoami --env dev -o json",
		Args:    exactArgs(), RunE: a.run(c.run),
	}
}

// identity is whoami's JSON.
type identity struct {
	Username   string `json:"username"`
	Env        string `json:"env"`
	UserPoolID string `json:"user_pool_id"`
	Store      string `json:"store"`
	ExpiresAt  string `json:"expires_at"` // RFC 3339, Bangkok; "" where the token does not say
}

func (c *whoami) run(ctx context.Context, _ []string) error {
	format, err := c.app.format("table", "json", "yaml")
	if err != nil {
		return err
	}
	settings, err := c.app.settings()
	if err != nil {
		return err
	}
	if settings.Profile.Sandbox {
		return errNoSignIn()
	}
	session, err := c.app.openSession(auth.Auto)
	if err != nil {
		return err
	}
	status, err := session.Status(ctx)
	if err != nil {
		return err
	}
	if status.Warning != "" {
		c.app.warn("%s", status.Warning)
	}
	if format != "table" {
		return c.app.writeValue(ctx, format, identityOf(status))
	}
	return render.Table(c.app.writer(), c.app.screen(), nil, c.rows(status))
}

func identityOf(s auth.Status) identity {
	id := identity{Username: s.Username, Env: s.Env, UserPoolID: s.UserPoolID, Store: s.Store}
	if !s.ExpiresAt.IsZero() {
		id.ExpiresAt = s.ExpiresAt.In(api.Bangkok).Format("2006-01-02T15:04:05.000-07:00")
	}
	return id
}

func (c *whoami) rows(s auth.Status) [][]string {
	kept := map[string]string{
		"environment": "VILLAPAY_TOKEN, which beats any sign-in",
		"keyring":     "sealed in " + s.Path + ", its key in the keyring",
		"file":        "in clear in " + s.Path,
	}[s.Store]
	rows := [][]string{{"User", sanitize.Text(s.Username)}, {"Environment", s.Env}, {"User pool", sanitize.Text(s.UserPoolID)}, {"Tokens kept", kept}}
	if !s.ExpiresAt.IsZero() {
		until := render.FormatTime(s.ExpiresAt) + " (" + render.In(c.app.Now(), s.ExpiresAt) + ")"
		if s.Renewable {
			until += ", renewed by itself"
		}
		rows = append(rows, []string{"Token until", until})
	}
	return rows
}
