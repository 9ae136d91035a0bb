package cmd

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/villapay/villapay/internal/config"
	"github.com/villapay/villapay/internal/render"
	"github.com/villapay/villapay/internal/webhook"
)

type webhookVerify struct {
	app    *app
	secret secretFlag
}

func newWebhookVerify(a *app) *cobra.Command {
	c := &webhookVerify{app: a}
	cmd := &cobra.Command{
		Use:   "verify FILE|-",
		Short: "Check a notification's fields and checksum",
		Long:  "Verifies a notification in a file or on stdin, and exits 0 if its checksum is\nright. Otherwise it exits 5, and lists the missing or malformed fields or reports\nthat the checksum does not match.",
		Example: `  villapay webhook send 492500004632 --env sandbox --print > notification.json
  villapay webhook verify notification.json
  villapay webhook send 492500004632 --env sandbox --print | villapay webhook verify -`,
		Args: exactArgs("a file, or - for stdin"), RunE: a.withFormat(c.run, "table", "json", "yaml"),
	}
	c.secret.register(cmd)
	return cmd
}

func (c *webhookVerify) run(ctx context.Context, format config.Format, args []string) error {
	key, err := c.secret.key(ctx, c.app)
	if err != nil {
		return err
	}
	body, err := c.app.readNotification(ctx, args[0], webhook.MaxBody)
	if err != nil {
		return err
	}
	differences := webhook.Explain(body, key)
	if err := c.show(ctx, format, differences); err != nil {
		return err
	}
	if len(differences) > 0 {
		return &failure{Code: "not_verified", Message: "invalid notification: " + differences[0].Part + " " + differences[0].Problem, ExitCode: exitRejected}
	}
	return nil
}

func (c *webhookVerify) show(ctx context.Context, format config.Format, differences []webhook.Difference) error {
	if format != "table" {
		if differences == nil {
			differences = []webhook.Difference{}
		}
		return c.app.writeValue(ctx, format, map[string]any{"verified": len(differences) == 0, "differences": differences})
	}
	if len(differences) == 0 {
		return c.app.write([]byte("verified\n"))
	}
	var rows [][]string
	for _, d := range differences {
		rows = append(rows, []string{d.Part, d.Problem})
	}
	return render.Table(c.app.writer(), c.app.screen(), []string{"Part", "Problem"}, rows)
}
