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

type orderStatus struct {
	app        *app
	watch      watchFlags
	offline    bool
	exitStatus bool

	noted bool // the missing status endpoint was reported
}

func newOrderStatus(a *app) *cobra.Command {
	c := &orderStatus{app: a}
	cmd := &cobra.Command{
		Use:   "status ORDERID...",
		Short: "Report what is known of orders now: paid or not",
		Long: `Reports what is known of each order now. It asks the bank, if its key is
available, and the API, if the environment has a status endpoint. Then the ledger
answers; what could not be asked is a warning. Of several payments of an order it
reports the paid one if any, else the newest; --watch prefers the newest that can
still be paid.

--watch stays until every order is settled. It exits 0 if all were paid, 5 if one
failed, was canceled, refunded or rejected, and 8 if one expired or was replaced.
It has no time limit of its own: --timeout bounds each request, and --watch-for
the whole.`,
		Example: `  villapay order status 492500004632 --env sandbox
  villapay order status 492500004632 --env sandbox --offline -o json
  villapay sandbox pay 492500004632
  villapay order status 492500004632 --env sandbox --watch-for 10m
  villapay order status 492500004632 --env sandbox --exit-status   # 8 if not paid`,
		Args: oneOrMore, ValidArgsFunction: a.completeOrderIDs, RunE: a.withFormat(c.run, "table", "json", "yaml", "csv"),
	}
	f := cmd.Flags()
	c.watch.register(cmd)
	f.BoolVar(&c.offline, "offline", false, "report only what the ledger has; send no request")
	f.BoolVar(&c.exitStatus, "exit-status", false, "end with 8 unless every order is paid")
	return cmd
}

func (c *orderStatus) run(ctx context.Context, format config.Format, orderIDs []string) error {
	if c.watch.on() && c.offline {
		return usageError("", "--watch cannot be used with --offline")
	}
	service, err := c.service(ctx, len(orderIDs))
	if err != nil {
		return err
	}
	if c.watch.on() {
		c.app.streaming = true
		return c.app.watchOrders(ctx, service, format, c.watch, orderIDs, order.Payment{})
	}
	reports, err := service.Statuses(ctx, orderIDs, !c.offline)
	if err != nil {
		return err
	}
	if err := c.show(ctx, format, reports); err != nil {
		return err
	}
	return c.result(ctx, service, reports)
}

// service returns the service to ask; with --offline nothing that asking needs is read.
func (c *orderStatus) service(ctx context.Context, orders int) (*payment.Service, error) {
	if !c.offline {
		return c.app.payments(ctx, orders)
	}
	settings, opened, err := c.app.requireLedger(ctx)
	if err != nil {
		return nil, err
	}
	return c.app.offline(settings.Profile, opened), nil
}

// show writes the payments; a single one as a detail view.
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
	return c.app.showPayments(ctx, format, render.List{Live: isLive(c.app.config), Status: true}, render.All(found))
}

// result writes remarks on each order and returns the command's error.
func (c *orderStatus) result(ctx context.Context, service *payment.Service, reports []payment.Report) error {
	var failed *failure
	missing, unpaid := 0, 0
	for _, r := range reports {
		c.remark(ctx, service, r, len(reports) > 1)
		switch {
		case !r.Found && r.Err != nil:
			failed = cmp.Or(failed, c.app.statusError(ctx, r))
		case !r.Found:
			missing++
		case r.Payment.State != order.Paid:
			unpaid++
		}
	}
	switch {
	case failed != nil:
		return failed
	case missing > 0 && len(reports) > 1:
		return &failure{Code: "no_payment", Message: fmt.Sprintf("%d of %d orders have no payment", missing, len(reports)), ExitCode: exitRejected}
	case missing > 0:
		return c.app.noPayment(ctx, reports[0].OrderID)
	case c.exitStatus && unpaid > 0 && len(reports) > 1:
		return &failure{Code: "not_paid", Message: fmt.Sprintf("%d of %d orders are not paid", unpaid, len(reports)), Retryable: true, ExitCode: exitNotPaid, quiet: true}
	case c.exitStatus && unpaid > 0:
		f := c.app.notPaid(reports[0].Payment)
		f.Code, f.ExitCode = "not_paid", exitNotPaid
		return f
	}
	return nil
}

// remark reports what the result does not show. With several orders the result is a
// list, which shows less.
func (c *orderStatus) remark(ctx context.Context, service *payment.Service, r payment.Report, several bool) {
	about, p := "order "+r.OrderID, r.Payment
	p.Env = c.app.envNow(p)
	if r.Others > 0 {
		c.app.note("%s has %s: see `%s`", about, plural(r.Others, "more payment"), c.app.command("order show", p))
	}
	for _, other := range r.Open {
		c.app.warn("%s is paid, but its %s code (%s) may still be paid: do not show it again", about, other.Source, cmp.Or(other.BankOrderID, other.Key))
	}
	if several && (p.State == order.Sending || p.State == order.Unknown || p.State == order.Expired) {
		c.app.note("%s: %s: %s", about, render.StateWord(p.State), render.Meaning(c.app.screen(), p))
	}
	if r.BankErr != nil {
		c.app.warn("%s: the bank could not be asked: %s%s", about, r.BankErr, c.app.keyHint(r.BankErr))
	}
	known := "this is what the ledger knew " + render.Ago(c.app.now(), p.KnownAt)
	source := "; " + known
	if r.Bank {
		source = "" // the bank answered
	}
	switch {
	case r.Err != nil && r.Found:
		c.app.warn("%s: the API could not be asked: %s%s", about, r.Err, source)
	case r.Err != nil && several:
		c.app.warn("%s: the API could not be asked: %s", about, r.Err)
	case r.NoOrder && r.Found:
		c.app.warn("%s: the API does not know it%s", about, source)
	case !r.Found && r.Word != "":
		c.app.warn("%s: the API says only %q, which does not show that there is a payment", about, r.Word)
	}
	if !r.Found && r.Err == nil && several {
		missing := fmt.Sprintf("no payment of %s is known in %s", about, service.Env)
		if known := c.app.whatIs(ctx, r.OrderID); known != "" {
			missing += "; " + known
		}
		c.app.warn("%s", missing)
	}
	if r.NoEndpoint && !c.offline && service.Bank == nil && !c.noted {
		c.noted = true
		if several || !r.Found {
			known = "only the ledger was asked"
		}
		c.app.note("%s has no status endpoint; %s", service.Env, known)
	}
}

// statusError explains a failed status request about an order that is not recorded
// here. The usual hint, that nothing was made, does not apply. What else has that ID
// comes first: the order need not be of this environment.
func (a *deps) statusError(ctx context.Context, r payment.Report) *failure {
	f := explainKind(r.Err)
	if f.ExitCode == exitUnavailable {
		f.Hint = "try again later"
	}
	f.Hint = cmp.Or(a.whatIs(ctx, r.OrderID), f.Hint)
	return f
}
