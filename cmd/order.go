package cmd

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"unicode"

	"github.com/spf13/cobra"

	"github.com/villapay/villapay/internal/ledger"
	"github.com/villapay/villapay/internal/order"
	"github.com/villapay/villapay/internal/render"
)

func newOrder(a *app) *cobra.Command {
	return group("order", "Ask what became of orders",
		"  villapay order status 492500004632 --env sandbox\n  villapay order list --env sandbox",
		newOrderStatus(a), newOrderList(a), newOrderFind(a), newOrderShow(a), newOrderReport(a), newOrderReconcile(a),
		newOrderCancel(a), newOrderVoid(a), newOrderCheckout(a))
}

// oneOrMore requires at least one valid order ID. It trims blanks, such as from a
// paste, in place.
func oneOrMore(cmd *cobra.Command, args []string) error {
	return checkOrderIDs(cmd, args, "remove it, or separate the IDs")
}

// checkOrderIDs is oneOrMore, with the hint for an ID with a blank in it.
func checkOrderIDs(cmd *cobra.Command, args []string, hintBlank string) error {
	if len(args) == 0 {
		return usageError("usage: "+cmd.UseLine(), "%s needs an order ID", commandName(cmd))
	}
	for i, id := range args {
		id = strings.TrimFunc(id, isBlank)
		args[i] = id
		err := order.CheckID(id)
		switch {
		case id == "help":
			return usageError("run `"+cmd.CommandPath()+" --help`", "%q is not an order ID", id)
		case strings.ContainsFunc(id, isBlank):
			return usageError(hintBlank, "%q is not an order ID: there is a blank in it", id)
		case err != nil:
			return usageError("usage: "+cmd.UseLine(), "%s", err)
		}
	}
	return nil
}

// isBlank reports whether a character is invisible: white space, a zero-width
// character or a byte order mark.
func isBlank(r rune) bool { return unicode.IsSpace(r) || unicode.Is(unicode.Cf, r) }

// oneOrder requires exactly one valid order ID.
func oneOrder(cmd *cobra.Command, args []string) error {
	if len(args) > 1 && cmd.Name() == "qr" {
		return usageError("for many orders: villapay pay batch FILE", "pay qr takes no argument %q", args[1])
	}
	if err := exactArgs("an order ID")(cmd, args); err != nil {
		return err
	}
	return checkOrderIDs(cmd, args, "remove it")
}

const usageSource = "the payment of this source, if several are open"

// pickOpen returns the payment that can be paid now, of the given source if any.
// Several are an error without a source; so is a source that the order does not have.
func (a *output) pickOpen(payments []order.Payment, source order.Source) (order.Payment, error) {
	if source != "" {
		all := payments
		payments = slices.DeleteFunc(slices.Clone(payments), func(p order.Payment) bool {
			return p.State != order.Paid && p.Source != source
		})
		if len(payments) == 0 {
			return order.Payment{}, noSource(all, source)
		}
	}
	open, _ := order.Open(payments, a.now())
	for _, other := range payments {
		if source == "" && other.Source != open.Source && other.Payable(a.now()) == nil && open.Payable(a.now()) == nil {
			return open, twoOpen(open, other)
		}
	}
	return open, nil
}

func twoOpen(a, b order.Payment) error {
	return usageError("add --source "+string(a.Source)+" or --source "+string(b.Source), "order %s has two open payments", a.OrderID)
}

// noSource returns the error for an order with payments of other sources only.
func noSource(payments []order.Payment, source order.Source) error {
	f := &failure{Code: "no_payment", Message: fmt.Sprintf("order %s has no %s payment", payments[0].OrderID, source), ExitCode: exitRejected}
	if other := payments[0].Source; other != "" {
		f.Hint = fmt.Sprintf("add --source %s: the order has a %[1]s payment", other)
	}
	return f
}

// command returns a command about a payment's order, in its environment.
func (a *deps) command(name string, p order.Payment, flags ...string) string {
	p.Env = a.envNow(p)
	return render.Command(name, p, flags...)
}

// sourceCommand is command for one that takes the payment's source.
func (a *deps) sourceCommand(name string, p order.Payment, flags ...string) string {
	p.Env = a.envNow(p)
	return render.SourceCommand(name, p, flags...)
}

// envNow returns the current name of a payment's environment. A payment that another
// tool made belongs to the selected one.
func (a *deps) envNow(p order.Payment) string {
	if a.config == nil {
		return p.Env
	}
	if p.Scope == "" || p.Scope == a.config.Profile.Scope() {
		return a.config.Profile.Name
	}
	return a.envOf(p)
}

// orderPayments returns the ledger and an order's payments in it, newest first. It is
// an error if there are none.
func (a *deps) orderPayments(ctx context.Context, orderID string) (*ledger.Ledger, []order.Payment, error) {
	settings, opened, err := a.requireLedger(ctx)
	if err != nil {
		return nil, nil, err
	}
	payments, err := opened.Payments(ctx, settings.Profile.Scope(), orderID)
	if err == nil && len(payments) == 0 {
		err = a.noPayment(ctx, orderID)
	}
	return opened, payments, err
}

const hintNotHere = "orders that were made without this ledger, on another machine or with another tool, are not known here"

// noPayment returns the error for an order without a recorded payment. Its hint says
// what else has that ID.
func (a *deps) noPayment(ctx context.Context, orderID string) *failure {
	f := &failure{Code: "no_payment", Message: fmt.Sprintf("no payment of order %s is known in %s", orderID, a.config.Profile.Name), ExitCode: exitRejected}
	if a.config.Ledger.Reveal() == "none" {
		f.Hint = "without a ledger nothing is known here of what other runs made"
	} else {
		f.Hint = cmp.Or(a.whatIs(ctx, orderID), "look for a part of it: villapay order find PART -e "+a.config.Profile.Name+"; "+hintNotHere)
	}
	return f
}

// whatIs hints at what an unknown order ID may be: a bank order, reference or charge
// of a Villa order, or an order of another environment.
func (a *deps) whatIs(ctx context.Context, id string) string {
	opened, err := a.openLedger(ctx)
	if err != nil {
		return ""
	}
	payments, err := opened.Named(ctx, id)
	if err != nil {
		return "" // the command has reported any error of the ledger
	}
	var elsewhere []order.Payment
	for _, p := range payments {
		switch {
		case p.OrderID == id:
			elsewhere = append(elsewhere, p)
		case p.Scope == a.config.Profile.Scope():
			return fmt.Sprintf("%s is %s of order %s: give that ID", id, nameOf(id, p), p.OrderID)
		}
	}
	if len(elsewhere) > 0 {
		return a.whereIs(elsewhere)
	}
	if len(payments) == 0 {
		return ""
	}
	p := payments[0]
	return fmt.Sprintf("%s is %s of order %s in %s: give that ID, and --env %[4]s", id, nameOf(id, p), p.OrderID, a.envOf(p))
}

// whereIs hints at how to reach payments that are not of the selected environment, as
// it is now.
func (a *deps) whereIs(payments []order.Payment) string {
	for _, p := range payments {
		if name := a.envOf(p); name != a.config.Profile.Name {
			return "add --env " + name + ", which has a payment of this order"
		}
	}
	if dir, ok := strings.CutPrefix(payments[0].Scope, "sandbox:"); ok {
		return "set VILLAPAY_STATE_DIR to " + dir + ", whose sandbox has a payment of this order"
	}
	return "add an environment for " + payments[0].Scope + ", which has a payment of this order: `villapay env add NAME --base-url " + payments[0].Scope + "`"
}

// nameOf returns what kind of ID of the payment it is.
func nameOf(id string, p order.Payment) string {
	switch id {
	case p.BankOrderID:
		return "the bank order"
	case p.Reference:
		return "the reference_order"
	}
	return "a charge"
}

// notPaid returns the error of --watch and --exit-status for a payment, nil if it is
// paid. It is quiet, because the state was shown.
func (a *deps) notPaid(p order.Payment) *failure {
	f := &failure{Code: "not_paid", Message: "order " + p.OrderID + " is not paid: " + render.StateWord(p.State), RequestID: p.RequestID, ExitCode: exitNotPaid, quiet: true}
	switch p.State {
	case order.Paid:
		return nil
	case order.Failed, order.Cancelled, order.Refunded, order.Rejected:
		f.Code, f.ExitCode = string(p.State), exitRejected
	case order.Expired, order.Unknown, order.Sending:
		f.Hint, f.Retryable = a.sourceCommand("pay qr", p), true
	case order.Awaiting:
		f.Retryable = true
	}
	return f
}
