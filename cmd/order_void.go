package cmd

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/villapay/villapay/internal/config"
	"github.com/villapay/villapay/internal/ledger"
	"github.com/villapay/villapay/internal/order"
	"github.com/villapay/villapay/internal/payment"
	"github.com/villapay/villapay/internal/render"
)

type orderVoid struct {
	app    *app
	charge string
}

func newOrderVoid(a *app) *cobra.Command {
	c := &orderVoid{app: a}
	cmd := &cobra.Command{
		Use:   "void ORDERID",
		Short: "Give a payment back through the bank, usually on the same day",
		Long: `Voids a paid charge of an order at the bank, which gives the payment back. The
bank usually allows it only on the day of the payment. If the order was paid more
than once, --charge says which payment to give back. It needs the bank's key.

Running it again is safe: a void whose answer was lost is finished first, and
nothing else is done then. If another charge was given back meanwhile, --charge
says that it is to be finished. In a live environment it asks first; without a
terminal it needs --yes.

After the day of the payment, refund a QR payment in the bank's merchant portal.
villapay shows the refund once the bank reports it.`,
		Example: `  villapay pay qr 492500004671 --env sandbox
  villapay sandbox pay 492500004671
  villapay order status 492500004671 --env sandbox
  villapay order void 492500004671 --env sandbox`,
		Args: oneOrder, ValidArgsFunction: a.completeOrderID, RunE: a.withFormat(c.run, "table", "json", "yaml"),
	}
	cmd.Flags().StringVar(&c.charge, "charge", "", "the charge `ID` to give back, if the order was paid more than once")
	complete(cmd, "charge")
	return cmd
}

func (c *orderVoid) run(ctx context.Context, format config.Format, args []string) error {
	service, err := c.app.bankService(ctx)
	if err != nil {
		return err
	}
	picked, err := c.pick(ctx, service, args[0])
	if err != nil {
		return err
	}
	p, charge := picked.payment, picked.charge
	if picked.done {
		c.app.note("charge %s was already given back", charge)
		return c.app.showPayment(ctx, format, p, codeFlags{}, false)
	}
	if service.Live {
		if err := c.app.confirmLive(ctx, service.Env, fmt.Sprintf("Give back the LIVE payment %s of %s, order %s (%s) in %s?", charge, render.Money(p.Amount, p.Currency), p.OrderID, p.Source, service.Env)); err != nil {
			return err
		}
	}
	if p, err = service.Void(ctx, p, charge, picked.seen); err != nil {
		again := c.app.command("order void", p, "--charge", charge)
		f := c.app.bankFailure(err, again)
		if f.Code == "voided_meanwhile" {
			f.Hint = "if the customer is to have that back too: " + again
		} else if f.ExitCode == exitRejected {
			f.Hint = "if the payment is from an earlier day, refund it in the bank's merchant portal"
		}
		return f
	}
	return c.show(ctx, format, p, charge)
}

func (c *orderVoid) show(ctx context.Context, format config.Format, p order.Payment, charge string) error {
	if err := c.app.showPayment(ctx, format, p, codeFlags{}, false); err != nil {
		return err
	}
	c.app.note("the bank has voided charge %s: the money goes back to the payer", charge)
	if p.State == order.Paid {
		c.app.note("the order is still paid, by charge %s", p.ChargeID)
	}
	return nil
}

// pickedCharge is the charge to void.
type pickedCharge struct {
	payment order.Payment // that it is on
	charge  string
	done    bool               // it was given back before
	seen    []order.PaidCharge // the order's charges
}

// pick returns a charge whose void has no answer yet, the one of --charge, or the only
// paid one.
func (c *orderVoid) pick(ctx context.Context, service *payment.Service, orderID string) (picked pickedCharge, _ error) {
	voids, err := service.Ledger.Voids(ctx, service.Scope, orderID)
	if err != nil {
		return picked, err
	}
	charges, err := service.Ledger.PaidCharges(ctx, service.Scope, orderID)
	if err != nil {
		return picked, err
	}
	// Last, so that a payment is shown as it was after another process voided its charge.
	_, payments, err := c.app.orderPayments(ctx, orderID)
	if err != nil {
		return picked, err
	}
	var paid, returned []order.PaidCharge
	for _, one := range charges {
		if one.Returned {
			returned = append(returned, one)
		} else {
			paid = append(paid, one)
		}
	}
	slices.Reverse(returned)
	with := func(matches func(order.Payment) bool) order.Payment {
		return payments[max(0, slices.IndexFunc(payments, matches))]
	}
	if i := slices.IndexFunc(voids, func(v ledger.PastVoid) bool { return !v.Done }); i >= 0 {
		v := voids[i]
		if err := c.checkUnanswered(payments[0], v.ChargeID, returned); err != nil {
			return picked, err
		}
		return pickedCharge{with(func(p order.Payment) bool { return p.ID == v.PaymentID }), v.ChargeID, false, charges}, nil
	}
	if err := c.checkCharge(payments[0], paid, returned); err != nil {
		return picked, err
	}
	asked := func(id string) bool { return c.charge == "" || c.charge == id }
	for _, one := range slices.Concat(paid, returned) {
		switch {
		case !asked(one.ID):
		case one.Recorded:
			return pickedCharge{with(func(p order.Payment) bool { return p.BankOrderID == one.BankOrderID }), one.ID, one.Returned, charges}, nil
		case !one.Returned:
			return picked, &failure{
				Code: "not_recorded", Message: fmt.Sprintf("charge %s is on an order that this ledger has no record of", one.ID),
				Hint: "give it back with the tool that made the order, or in the bank's merchant portal", ExitCode: exitRejected,
			}
		}
	}
	for _, p := range payments {
		state := order.Transaction(p.BankState)
		if (state == order.Voided || state == order.RefundedInFull) && asked(p.ChargeID) { // outside villapay
			return pickedCharge{p, p.ChargeID, true, charges}, nil
		}
	}
	f := &failure{Code: "not_paid", Message: "order " + orderID + " has no paid charge to give back", Hint: "ask whether it was paid: " + c.app.command("order status", payments[0]), ExitCode: exitRejected}
	if c.charge != "" {
		f.Message = fmt.Sprintf("order %s has no paid charge %s", orderID, c.charge)
	}
	return picked, f
}

// checkUnanswered says that a void without an answer is finished first. It requires
// --charge if another charge was given back since it was sent: finishing it may give back
// a second one, unless it is known to be given back already.
func (c *orderVoid) checkUnanswered(p order.Payment, charge string, returned []order.PaidCharge) error {
	done := slices.ContainsFunc(returned, func(one order.PaidCharge) bool { return one.ID == charge })
	second := !done && len(returned) > 0
	if second && c.charge != charge {
		return usageError("if the customer is to have that back too: "+c.app.command("order void", p, "--charge", charge),
			"charge %s of order %s was given back, and the void of charge %s has no answer yet", returned[0].ID, p.OrderID, charge)
	}
	c.app.warn("the void of charge %s has no answer yet: it is finished first, and no other charge is given back now", charge)
	if second {
		c.app.warn("charge %s was given back before", returned[0].ID)
	}
	return nil
}

// checkCharge requires --charge if it is not plain which of an order's payments to give
// back, and warns if the last one is to go.
func (c *orderVoid) checkCharge(p order.Payment, paid, returned []order.PaidCharge) error {
	if c.charge == "" && slices.ContainsFunc(paid, func(one order.PaidCharge) bool { return one.Recorded }) && len(paid) > 1 {
		var ids, commands []string
		for _, one := range paid {
			if ids = append(ids, one.ID); one.Recorded {
				commands = append(commands, c.app.command("order void", p, "--charge", one.ID))
			}
		}
		return usageError("give one back: "+strings.Join(commands, ", or "), "order %s was paid more than once: %s", p.OrderID, strings.Join(ids, ", "))
	}
	if len(returned) == 0 || len(paid) != 1 || !paid[0].Recorded {
		return nil
	}
	last, back := paid[0].ID, returned[0].ID
	switch c.charge {
	case "":
		return usageError("if the customer is to have that back too: "+c.app.command("order void", p, "--charge", last),
			"charge %s of order %s was given back, and the order is still paid by %s", back, p.OrderID, last)
	case last:
		c.app.warn("charge %s was given back before: after this one, order %s is not paid any more", back, p.OrderID)
	}
	return nil
}
