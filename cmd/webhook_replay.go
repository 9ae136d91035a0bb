package cmd

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/villapay/villapay/internal/config"
	"github.com/villapay/villapay/internal/ledger"
	"github.com/villapay/villapay/internal/webhook"
)

type webhookReplay struct {
	app   *app
	since string
}

func newWebhookReplay(a *app) *cobra.Command {
	c := &webhookReplay{app: a}
	cmd := &cobra.Command{
		Use:   "replay",
		Short: "Write recorded notifications again",
		Long: `Writes the notifications received since a time again, oldest first, in the format
of ` + "`villapay webhook listen`" + `. Each has the current state of its payment and is
marked as a repeat. Use it to catch up after an outage of the handler.`,
		Example: `  villapay webhook replay --env sandbox --since 24h -o json`,
		Args:    needsFlags(exactArgs(), "for the last day: villapay webhook replay --since 24h", "since"), RunE: a.withFormat(c.run, "table", "json"),
	}
	cmd.Flags().StringVar(&c.since, "since", "", "since `WHEN`: 24h or 7d ago, today, a date, or a time with zone")
	_ = cmd.MarkFlagRequired("since")
	complete(cmd, "since")
	return cmd
}

func (c *webhookReplay) run(ctx context.Context, format config.Format, _ []string) error {
	since, err := sinceTime(c.since, c.app.Now())
	if err != nil {
		return err
	}
	settings, opened, err := c.app.requireLedger(ctx)
	if err != nil {
		return err
	}
	for n, err := range opened.Notifications(ctx, settings.Profile.Scope(), since) {
		if err != nil {
			return err
		}
		decoded, err := webhook.Decode(n.Raw)
		if err != nil {
			c.app.warn("a recorded notification cannot be read: %s", err)
			continue
		}
		known := ledger.Recorded{Payment: n.Payment, Unknown: n.Payment.ID == 0, Repeat: true}
		if err := c.app.writeEvent(ctx, format, webhook.Event{At: n.At, Notification: decoded, Recorded: known}); err != nil {
			return err
		}
	}
	return nil
}
