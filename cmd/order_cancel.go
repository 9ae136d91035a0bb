package cmd

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/villapay/villapay/internal/api"
	"github.com/villapay/villapay/internal/config"
	"github.com/villapay/villapay/internal/order"
	"github.com/villapay/villapay/internal/payment"
	"github.com/villapay/villapay/internal/render"
)

type orderCancel struct {
	app    *app
	source order.Source
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
		Args: oneOrder, ValidArgsFunction: a.completeOrderID, RunE: a.withFormat(c.run, "table", "json", "yaml"),
	}
	addSource(cmd, &c.source, usageSource)
	return cmd
}

func (c *orderCancel) run(ctx context.Context, format config.Format, args []string) error {
	service, err := c.app.bankService(ctx)
	if err != nil {
		return err
	}
	_, payments, err := c.app.orderPayments(ctx, args[0])
	if err != nil {
		return err
	}
	open, err := c.pick(payments)
	if err != nil {
		return err
	}
	p := open[0]
	if p.Canceled && p.State == order.Cancelled {
		return c.app.showPayment(ctx, format, p, codeFlags{}, false)
	}
	if !p.State.Open() {
		if err := c.app.showPayment(ctx, format, p, codeFlags{}, false); err != nil {
			return err
		}
		return c.notCanceled(ctx, p, "")
	}
	if service.Live {
		if err := c.app.confirmLive(ctx, service.Env, fmt.Sprintf("Cancel the LIVE payment order %s (%s) in %s?", p.OrderID, p.Source, service.Env)); err != nil {
			return err
		}
	}
	asking, cancel := context.WithTimeout(ctx, service.Timeout)
	defer cancel()
	before := slices.Clone(open)
	for i, one := range slices.Backward(open) {
		if open[i], err = service.Cancel(asking, one); err != nil {
			return c.app.bankFailure(err, c.app.sourceCommand("order cancel", one))
		}
	}
	stays := max(0, slices.IndexFunc(open, func(p order.Payment) bool { return p.State != order.Cancelled }))
	p = open[stays]
	drawn := c.drawnSince(before[stays], p)
	newer, another, err := c.madeSince(ctx, payments, p)
	if err != nil {
		return err
	}
	if another {
		p = newer
	}
	if err := c.app.showPayment(ctx, format, p, codeFlags{}, false); err != nil {
		return err
	}
	switch {
	case another:
		return &failure{
			Code: "not_canceled", Message: fmt.Sprintf("order %s has another payment order, which was made meanwhile and is not canceled", p.OrderID),
			Hint: "to cancel that too: " + c.app.sourceCommand("order cancel", p), ExitCode: exitRejected,
		}
	case drawn:
		return &failure{
			Code: "not_canceled", Message: fmt.Sprintf("order %s was not canceled: another code was drawn meanwhile, and it may still be paid", p.OrderID),
			Hint: "to cancel that too: " + c.app.sourceCommand("order cancel", p), ExitCode: exitRejected,
		}
	case p.State != order.Cancelled:
		return c.notCanceled(ctx, p, "the bank did not confirm that its code is canceled, and it may still be paid")
	case p.Warned(order.WarnPaidElsewhere):
		c.app.note("the bank canceled its code; order %s stays paid", p.OrderID)
	default:
		c.app.note("the bank canceled it; to make another order: %s", c.app.sourceCommand("pay qr", p))
	}
	return nil
}

// drawnSince reports whether another process has had another code drawn of a payment.
func (c *orderCancel) drawnSince(before, now order.Payment) bool {
	code := now.LivingCode(c.app.now())
	return code != nil && before.Held != nil && before.Held.ID != code.ID
}

// madeSince returns a payment of the canceled one's source that another process has made
// since payments was read, and that may be paid now or soon.
func (c *orderCancel) madeSince(ctx context.Context, payments []order.Payment, canceled order.Payment) (newer order.Payment, found bool, _ error) {
	_, now, err := c.app.orderPayments(ctx, canceled.OrderID)
	if err != nil {
		return newer, false, &payment.NotRecordedError{Err: err}
	}
	for _, p := range now {
		known := slices.ContainsFunc(payments, func(old order.Payment) bool { return old.ID == p.ID })
		if !known && p.Source == canceled.Source && (p.State == order.Sending || p.State == order.Unknown || p.MayBePaid(c.app.now())) {
			return p, true, nil
		}
	}
	return newer, false, nil
}

// pick returns the payments to cancel, newest first: the open one, and others of which
// a code may still be paid. If there are none, it returns the payment that stands for
// the order.
func (c *orderCancel) pick(payments []order.Payment) (open []order.Payment, _ error) {
	stands, err := c.app.pickOpen(payments, c.source)
	if err != nil {
		return nil, err
	}
	for _, p := range payments {
		if p.State.Open() && (p.ID == stands.ID || c.cancels(p) && (c.source == "" || p.Source == c.source)) {
			open = append(open, p)
		}
	}
	if open == nil || stands.State == order.Sending || stands.State == order.Unknown { // then its code would be the next one to be paid
		open = []order.Payment{stands}
	}
	for _, p := range open {
		if p.Source != open[0].Source {
			return nil, twoOpen(open[0], p)
		}
	}
	return open, nil
}

// cancels reports whether a payment beside the one that stands for the order has a code
// to cancel, or one whose cancellation was not finished.
func (c *orderCancel) cancels(p order.Payment) bool {
	now := c.app.now()
	return p.Held != nil && p.Held.Text != "" && (p.HoldsCode(now) || p.Held.Canceled && p.ReplacedBy == "" && !p.Lapsed(now))
}

// notCanceled returns the error of a payment that was not canceled.
func (c *orderCancel) notCanceled(ctx context.Context, p order.Payment, why string) error {
	f := &failure{Code: "not_canceled", ExitCode: exitRejected}
	another := "make another order in its place: " + c.app.sourceCommand("pay qr", p, "--new")
	switch {
	case p.State == order.Paid:
		why, f.Hint = "it is paid", "if the customer is to have the money back: "+c.app.command("order void", p)
	case p.State == order.Sending, p.State == order.Unknown:
		why, f.Hint = "it is not known whether it was made", c.app.hintAnother(ctx, p)
	case p.State == order.Cancelled || p.State == order.Refunded:
		why, f.Hint = "its payment was given back", c.app.hintAnother(ctx, p)
	case !p.State.Open():
		why, f.Hint = "its state is "+render.StateWord(p.State), c.app.hintAnother(ctx, p)
	case p.Held == nil:
		why, f.Hint = "the bank drew no code for it that could be canceled", another
	case p.Held.Text == "":
		why, f.Hint = "its payment page was served, and the bank's widget cannot be canceled", another
	default:
		f.Hint = another
	}
	f.Message = fmt.Sprintf("order %s was not canceled: %s", p.OrderID, why)
	return f
}

// bankService returns the service, which has a ledger and the bank's key.
func (a *deps) bankService(ctx context.Context) (*payment.Service, error) {
	if _, _, err := a.requireLedger(ctx); err != nil {
		return nil, err
	}
	service, err := a.payments(ctx, 1)
	if err == nil && service.Bank == nil {
		err = payment.ErrNoBankKey
	}
	return service, err
}

// bankFailure adds a hint to a failed change at the bank. again is the command to
// repeat.
func (a *deps) bankFailure(err error, again string) *failure {
	f := *explainKind(err)
	call, asked := errors.AsType[*api.Error](err)
	switch {
	case asked && call.Kind == api.Denied:
		f.Hint = "the bank does not accept the secret key; " + a.rightKey()
	case f.Code == "charge_doubt":
		f.Hint = "look at the charge in the bank's merchant portal, and then run it again, which is safe: " + again
	case f.ExitCode == exitUnknown:
		f.Hint = "the bank may have done it; run it again, which is safe: " + again
	case f.ExitCode == exitUnavailable:
		f.Hint = "nothing was changed; run it again later: " + again
	}
	return &f
}
