package cmd

import (
	"context"

	"github.com/spf13/cobra"
)

type tokenCommand struct{ app *app }

func newToken(a *app) *cobra.Command {
	c := &tokenCommand{a}
	return &cobra.Command{
		Use: "token", Short: "Write the ID token for other tools, renewed if needed",
		Example: `  villapay token --env dev > id-token.txt
  curl -H "Authorization: $(villapay token)" https://shop.villamarket.com/api/...`,
		Args: exactArgs(), RunE: a.plain(c.run),
	}
}

func (c *tokenCommand) run(ctx context.Context, _ []string) error {
	session, err := c.app.currentSession()
	if err != nil {
		return err
	}
	token, err := session.Token(ctx)
	if err != nil {
		return err
	}
	return c.app.write([]byte(token.Reveal() + "\n"))
}
