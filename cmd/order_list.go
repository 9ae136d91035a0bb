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
		Long: `Lists the ledger's payments in the selected environment, newest first, as they
were known last: nobody is asked, which is what order status does. Days are
Bangkok's.

--by says which time --since, --until and the order of the list mean: when a
payment was recorded, when its order was created, or when it was paid. --unpaid
lists orders in place of payments: one row, the newest payment, of each order
that nobody has paid.

CSV has CRLF line ends, and no cell of it is a formula to a spreadsheet.
--columns takes the names of its header.`,
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
	text := "no payments in " + c.app.config.Profile.Name
	switch elsewhere := c.elsewhere(ctx, filter); {
	case c.allEnvs:
		text = "no payments in any environment"
	case elsewhere != "":
		text += "; " + elsewhere
	}
	c.app.note("%s", text)
	return nil
}
