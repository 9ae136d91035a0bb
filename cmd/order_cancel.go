package cmd

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/villapay/villapay/internal/order"
	"github.com/villapay/villapay/internal/payment"
)

type orderCancel struct {
	app    *app
	source string
}

func newOrderCancel(a *app) *cobra.Command {
	c := &orderCancel{app: a}
	cmd := &cobra.Command{
		Use:   "cancel ORDERID",
		Short: "Cancel an open order's payment codes at the bank",
		Long: `Cancels the payment code of an open order at the bank, asks whether it was paid
meanwhile, and if the bank confirms both, marks the payment as canceled: another
order may be made then. It needs the bank's key. An order whose code the bank did
not draw, or whose payment page was served, cannot be canceled.

Running it again is safe. In a live environment it asks first; without a terminal
it needs --yes.`,
		Example: `  villapay pay qr 492500004670 --env sandbox
  villapay order cancel 492500004670 --env sandbox`,
		Args: oneOrder, ValidArgsFunction: a.completeOrderID, RunE: a.run(c.run),
	}
	sourceFlag(cmd, &c.source, usageSource)
	return cmd
}

func (c *orderCancel) run(ctx context.Context, args []string) error {
	format, err := c.app.format("table", "json", "yaml")
	if err != nil {
		return err
	}
	service, payments, err := c.app.bankService(ctx, args[0])
	if err != nil {
		return err
	}
	p, err := c.app.pickOpen(payments, c.source)
	if err != nil {
		return err
	}
	if p.Canceled && p.State == order.Cancelled {
		return c.app.showPayment(ctx, format, p, codeFlags{}, false)
	}
	if p.State != order.Awaiting && p.State != order.Expired {
		return c.notCanceled(p, "")
	}
	if service.Live {
		if err := c.app.confirmLive(ctx, fmt.Sprintf("Cancel the LIVE payment order %s (%s) in %s?", p.OrderID, p.Source, service.Env)); err != nil {
			return err
		}
	}
	if p, err = service.Cancel(ctx, p); err != nil {
		return bankFailure(err, c.app.sourceCommand("order cancel", p))
	}
	if err := c.app.showPayment(ctx, format, p, codeFlags{}, false); err != nil {
		return err
	}
	if p.State != order.Cancelled {
		return c.notCanceled(p, "the bank did not confirm that its code is canceled, and it may still be paid")
	}
	c.app.note("the bank canceled it; to make another order: %s", c.app.sourceCommand("pay qr", p))
	return nil
}

// notCanceled returns the error of a payment that was not canceled.
func (c *orderCancel) notCanceled(p order.Payment, why string) error {
	f := &failure{Code: "not_canceled", ExitCode: exitRejected}
	switch {
	case p.State == order.Paid:
		why, f.Hint = "it is paid", "give it back: "+c.app.command("order void", p)
	case p.State != order.Awaiting && p.State != order.Expired:
		why = "its state is " + string(p.State)
	case p.Held == nil:
		why = "the bank drew no code for it that could be canceled"
	case p.Held.Text == "":
		why = "its payment page was served, and the bank's widget cannot be canceled"
	}
	if f.Hint == "" {
		f.Hint = "make another order in its place: " + c.app.sourceCommand("pay qr", p, "--new")
	}
	f.Message = fmt.Sprintf("order %s was not canceled: %s", p.OrderID, why)
	return f
}

// bankService returns the service, which has the bank's key, and the payments of an
// order.
func (a *deps) bankService(ctx context.Context, orderID string) (*payment.Service, []order.Payment, error) {
	if _, _, err := a.requireLedger(ctx); err != nil {
		return nil, nil, err
	}
	service, err := a.payments(ctx, 1)
	if err == nil && service.Bank == nil {
		err = payment.ErrNoBankKey
	}
	if err != nil {
		return nil, nil, err
	}
	payments, err := service.Ledger.Payments(ctx, service.Scope, orderID)
	if err == nil && len(payments) == 0 {
		err = a.noPayment(ctx, orderID)
	}
	return service, payments, err
}

// bankFailure adds a hint to a failed change at the bank. again is the command to
// repeat.
func bankFailure(err error, again string) *failure {
	f := *explainKind(err)
	switch {
	case f.Code == "charge_doubt":
		f.Hint = "look at the charge in the bank's merchant portal, and then run it again, which is safe: " + again
	case f.ExitCode == exitUnknown:
		f.Hint = "the bank may have done it; run it again, which is safe: " + again
	case f.ExitCode == exitUnavailable:
		f.Hint = "nothing was changed; run it again later: " + again
	}
	return &f
}
