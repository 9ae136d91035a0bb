package cmd

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/villapay/villapay/internal/auth"
	"github.com/villapay/villapay/internal/config"
	"github.com/villapay/villapay/internal/render"
	"github.com/villapay/villapay/internal/sanitize"
)

type whoami struct{ app *app }

func newWhoami(a *app) *cobra.Command {
	c := &whoami{a}
	return &cobra.Command{
		Use: "whoami", Short: "Show who is signed in, and until when",
		Example: "  villapay whoami --env dev\n  villapay whoami --env dev -o json",
		Args:    exactArgs(), RunE: a.withFormat(c.run, "table", "json", "yaml"),
	}
}

// identity is whoami's JSON.
type identity struct {
	Username   string `json:"username"`
	Env        string `json:"env"`
	UserPoolID string `json:"user_pool_id"`
	Store      string `json:"store"`
	ExpiresAt  string `json:"expires_at"` // RFC 3339, Bangkok; "" if the token does not say

	BankKey *string `json:"bank_key"` // environment, keyring or file; null if there is none
}

func (c *whoami) run(ctx context.Context, format config.Format, _ []string) error {
	session, err := c.app.currentSession()
	if err != nil {
		return err
	}
	status, err := session.Status(ctx)
	_, bankKey, keyErr := c.app.bankKey(ctx)
	switch {
	case keyErr != nil && (err == nil || bankKey == "environment"): // else err says the same
		c.app.warn("%s", keyErr)
	case keyErr == nil && err != nil && bankKey != "":
		c.app.note("there is a bank key for %s (%s)", c.app.config.Profile.KBank.APIURL, bankKey)
	}
	if err != nil {
		return err
	}
	if status.Warning != "" {
		c.app.warn("%s", status.Warning)
	}
	if format != "table" {
		return c.app.writeValue(ctx, format, identityOf(status, bankKey))
	}
	return render.Table(c.app.writer(), c.app.screen(), nil, c.rows(status, bankKey))
}

// identity returns whoami's JSON after signing in or out. Its fields are empty if
// nobody is signed in.
func (a *app) identity(ctx context.Context, _ []string) (any, error) {
	profile := a.config.Profile
	status := auth.Status{Env: profile.Name, UserPoolID: profile.Auth.UserPoolID}
	if session, err := a.currentSession(); err == nil {
		if now, err := session.Status(ctx); err == nil {
			status = now
		}
	}
	_, bankKey, _ := a.bankKey(ctx) // whoami reports an invalid key
	return identityOf(status, bankKey), nil
}

func identityOf(s auth.Status, bankKey string) identity {
	return identity{Username: s.Username, Env: s.Env, UserPoolID: s.UserPoolID, Store: s.Store, ExpiresAt: render.FormatTime(s.ExpiresAt), BankKey: orNull(bankKey)}
}

func (c *whoami) rows(s auth.Status, bankKey string) [][]string {
	kept := map[string]string{
		"environment": "VILLAPAY_TOKEN, which overrides any sign-in",
		"keyring":     "encrypted in " + s.Path + ", with its key in the keyring",
		"file":        "unencrypted in " + s.Path,
	}[s.Store]
	rows := [][]string{{"User", sanitize.Text(s.Username)}, {"Environment", s.Env}, {"User pool", sanitize.Text(s.UserPoolID)}, {"Tokens stored", kept}}
	if !s.ExpiresAt.IsZero() {
		until := c.app.screen().Time(s.ExpiresAt)
		if s.Renewable {
			until += "; renewed automatically"
		}
		rows = append(rows, []string{"Token until", until})
	}
	switch bankKey {
	case "":
	case "environment":
		rows = append(rows, []string{"Bank key", kbankVariable})
	case "keyring":
		rows = append(rows, []string{"Bank key", "stored encrypted, beside the tokens"})
	default:
		rows = append(rows, []string{"Bank key", "stored unencrypted, beside the tokens"})
	}
	return rows
}
