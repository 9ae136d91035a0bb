package cmd

import (
	"cmp"
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/villapay/villapay/internal/config"
	"github.com/villapay/villapay/internal/order"
	"github.com/villapay/villapay/internal/payment"
	"github.com/villapay/villapay/internal/render"
)

// orderStatus tells what is known of orders now.
type orderStatus struct {
	app        *app
	watch      bool
	offline    bool
	exitStatus bool
}

func newOrderStatus(a *app) *cobra.Command {
	c := &orderStatus{app: a}
	cmd := &cobra.Command{
		Use:   "status ORDERID...",
		Short: "Tell what is known of orders now: paid or not",
		Long: `Tells what is known of each order now. It asks the API where the environment has
a status endpoint, and otherwise tells what the ledger knows and how old that is.
An order with several payments is answered by the paid one if any, else by the
newest; while it is watched, the newest that can be paid comes before others.`,
		Example: `  villapay order status 492500004632 --env sandbox
  villapay order status 492500004632 --env sandbox --offline -o json
  villapay sandbox pay 492500004632
  villapay order status 492500004632 --env sandbox --exit-status   # 8 if not paid`,
		Args: oneOrMore, ValidArgsFunction: a.completeOrderIDs, RunE: a.run(c.run),
	}
	f := cmd.Flags()
	f.BoolVar(&c.watch, "watch", false, "stay until the order is paid, failed or expired")
	f.BoolVar(&c.offline, "offline", false, "tell what the ledger knows; ask nobody")
	f.BoolVar(&c.exitStatus, "exit-status", false, "end with 8 unless every order is paid")
	return cmd
}

func (c *orderStatus) run(ctx context.Context, orderIDs []string) error {
	format, err := c.app.format("table", "json", "yaml", "csv")
	if err != nil {
		return err
	}
	if c.watch && (len(orderIDs) > 1 || c.offline) {
		return usageError("", "--watch follows one order, and asks the API")
	}
	if c.offline {
		if _, err := c.app.requireLedger(ctx); err != nil {
			return err
		}
	}
	service, err := c.app.payments(ctx, len(orderIDs))
	if err != nil {
		return err
	}
	if c.watch {
		return c.app.watchOrder(ctx, service, format, orderIDs[0], order.Payment{})
	}
	reports, err := service.Statuses(ctx, orderIDs, !c.offline)
	if err != nil {
		return err
	}
	if err := c.show(ctx, format, reports); err != nil {
		return err
	}
	return c.verdict(service, reports)
}

// show writes what was found; one order is shown in full width.
func (c *orderStatus) show(ctx context.Context, format config.Format, reports []payment.Report) error {
	var found []order.Payment
	for _, r := range reports {
		if r.Found {
			found = append(found, r.Payment)
		}
	}
	if len(reports) == 1 && format != "csv" {
		if len(found) == 0 {
			return nil
		}
		return c.app.showPayment(ctx, format, found[0], codeFlags{}, false)
	}
	return c.app.showPayments(ctx, format, render.List{}, values(found))
}

// verdict says what went wrong and ends with the first of it.
func (c *orderStatus) verdict(service *payment.Service, reports []payment.Report) error {
	var failed error
	missing := 0
	for _, r := range reports {
		if r.Others > 0 {
			c.app.note("order %s has %d more recorded: see `villapay order show %s`", r.OrderID, r.Others, r.OrderID)
		}
		switch {
		case r.Err != nil:
			if r.Found {
				c.app.warn("order %s: the API could not be asked; this is what the ledger knew %s", r.OrderID, render.Ago(c.app.Now(), r.Payment.KnownAt))
			}
			failed = cmp.Or(failed, unanswered(r.Err))
		case !r.Found:
			missing++
			if r.Word != "" {
				c.app.warn("order %s: the API says only %q, which does not show that there is a payment", r.OrderID, r.Word)
			}
			if len(reports) > 1 {
				c.app.warn("no payment of order %s is known in %s", r.OrderID, service.Env)
			}
		case r.NoOrder:
			c.app.warn("order %s: the API does not know it; this is what the ledger knew %s", r.OrderID, render.Ago(c.app.Now(), r.Payment.KnownAt))
		case r.NoEndpoint && !c.offline && service.Bank != nil:
			c.app.note("order %s: %s has no status endpoint; the bank alone was asked", r.OrderID, service.Env)
		case r.NoEndpoint && !c.offline:
			c.app.note("order %s: %s has no status endpoint; this is what the ledger knew %s", r.OrderID, service.Env, render.Ago(c.app.Now(), r.Payment.KnownAt))
		}
	}
	switch {
	case failed != nil:
		return failed
	case missing > 0 && len(reports) > 1:
		return &failure{Code: "no_payment", Message: fmt.Sprintf("%d of %d orders have no payment", missing, len(reports)), ExitCode: exitRejected}
	case missing > 0:
		return noPayment(reports[0].OrderID, service.Env)
	case !c.exitStatus:
		return nil
	}
	for _, r := range reports {
		if r.Payment.State != order.Paid {
			return exitWith(exitNotPaid)
		}
	}
	return nil
}

// unanswered is how a question that failed ends. What is said of a payment order
// that failed, that nothing was made, would answer a question nobody asked.
func unanswered(err error) error {
	f := explainKind(err)
	if f.ExitCode == exitUnavailable {
		f.Hint = "try again later"
	}
	return f
}
