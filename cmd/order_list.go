package cmd

import (
	"context"

	"github.com/spf13/cobra"
)

type orderList struct{ listFlags }

func newOrderList(a *app) *cobra.Command {
	c := &orderList{listFlags{app: a}}
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List payments of the ledger, newest first",
		Long: `Lists the ledger's payments in the selected environment, newest first, as last
known. It sends no request; order status does. Days are Bangkok days.

--by chooses the time for --since, --until and the sort order: when a payment was
recorded, when its order was created, or when it was paid. --unpaid lists one row
for each unpaid order: its newest payment.

CSV lines end with CRLF, and no cell can run as a formula in a spreadsheet.
--columns takes the names in the CSV header.`,
		Example: `  villapay order list --env sandbox
  villapay order list --env sandbox --state awaiting,unknown --since 24h
  villapay order list --env sandbox --unpaid --since yesterday --until yesterday
  villapay order list --env sandbox --by paid --since today --columns orderid,amount,paid_at
  villapay order list --env sandbox --limit 0 -o csv`,
		Args: exactArgs(), RunE: a.run(c.run),
	}
	c.register(cmd)
	return cmd
}

func (c *orderList) run(ctx context.Context, _ []string) error {
	shown, filter, err := c.list(ctx, "")
	if err != nil || shown > 0 {
		return err
	}
	where := c.app.config.Profile.Name
	if c.allEnvs {
		where = "any environment"
	}
	text := c.none() + " payments in " + where
	if elsewhere := c.elsewhere(ctx, filter); elsewhere != "" {
		text += "; " + elsewhere
	}
	c.app.note("%s", text)
	return nil
}
