package cmd

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/villapay/villapay/internal/config"
	"github.com/villapay/villapay/internal/order"
	"github.com/villapay/villapay/internal/payment"
	"github.com/villapay/villapay/internal/render"
)

type payQR struct {
	app    *app
	source order.Source
	key    string
	fresh  bool
	watch  watchFlags
	dryRun bool
	code   codeFlags
}

func newPayQR(a *app) *cobra.Command {
	c := &payQR{app: a}
	cmd := &cobra.Command{
		Use:   "qr ORDERID",
		Short: "Make a payment order and show it with a code to scan",
		Long: `Makes the payment order for a Villa order, records it, and shows it: at a
terminal with a code to scan under it. With the bank's key (see villapay login
--help), bank apps can pay the code. Without it, the code is only a reference to
the order, for a counter or a page that takes the payment.

Running it again is safe: an order that is still open is shown again, and after a
lost response (exit 6) the request is repeated with the same key. A new order is
awaiting payment; it is not paid yet.

In a live environment it asks for confirmation; without a terminal it needs
--yes.`,
		Example: `  villapay pay qr 492500004632 --env sandbox
  villapay pay qr 492500004632 --env sandbox --source wechat -o json
  villapay pay qr 492500004632 --env sandbox -o qr
  villapay pay qr 492500004632 --env sandbox --qr-file code.png
  villapay pay qr 492500004632 --env sandbox --dry-run`,
		Args:              oneOrder,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE:              a.run(c.run),
	}
	f := cmd.Flags()
	addSource(cmd, &c.source, "how the payer pays (default: the environment's source)")
	f.Var(&keyFlag{&c.key}, "idempotency-key", "send `KEY` instead of a fresh one; the same key never makes two orders")
	f.BoolVar(&c.fresh, "new", false, "make another order even if one is still open")
	c.watch.register(cmd)
	f.BoolVar(&c.dryRun, "dry-run", false, "write the request of a new order; send and record nothing")
	c.code.register(cmd)
	return cmd
}

func (c *payQR) run(ctx context.Context, args []string) error {
	orderID := args[0]
	if c.dryRun && (c.code != codeFlags{} || c.watch.on()) {
		return usageError("omit --dry-run, or the others", "--dry-run makes no code and no order to watch: it does not go with --qr-file, --qr-style, --watch and --watch-for")
	}
	formats := []config.Format{config.FormatTable, config.FormatJSON, config.FormatYAML, config.FormatQR}
	if c.dryRun {
		formats = formats[:3]
	}
	format, err := c.app.format(formats...)
	if err != nil {
		return err
	}
	if err := c.code.check(format, config.FormatTable, config.FormatQR); err != nil {
		return err
	}
	settings, err := c.app.settings()
	if err != nil {
		return err
	}
	source := cmp.Or(c.source, settings.Profile.Source)
	if c.dryRun {
		request, err := c.app.previewRequest(ctx, orderID, source, c.key)
		if err != nil {
			return err
		}
		return c.app.showRequest(ctx, format, request)
	}
	if settings.Profile.Live && settings.Ledger.Reveal() == "none" && c.key == "" {
		return usageError("add --idempotency-key KEY, or use a ledger", "in the live environment %s without a ledger, a key is needed", settings.Profile.Name)
	}
	service, err := c.app.payments(ctx, 1)
	if err != nil {
		return err
	}
	c.app.warnForgetful(service)
	started := c.app.Now()
	request := payment.Request{OrderID: orderID, Source: source, Key: c.key, New: c.fresh}
	if service.Live && !c.app.flags.yes {
		request.Confirm = func(ctx context.Context) error {
			asked := c.app.Now()
			defer func() { started = started.Add(c.app.Now().Sub(asked)) }() // the prompt does not count toward the time limit
			return c.mayPay(ctx, service, request)
		}
	}
	p, err := service.Make(ctx, request)
	if err != nil {
		return c.explain(settings, p, err)
	}
	paying, cancel := context.WithTimeout(ctx, service.Timeout-c.app.Now().Sub(started))
	defer cancel()
	p, noCode := c.app.fetchCode(paying, service, p)
	return c.show(ctx, service, format, p, noCode)
}

// show writes the payment, watches it with --watch, and returns the error of its
// state. noCode is why the bank's code could not be fetched, or nil.
func (c *payQR) show(ctx context.Context, service *payment.Service, format config.Format, p order.Payment, noCode *failure) error {
	if noCode != nil && format == config.FormatQR {
		return noCode
	}
	file := c.code.file
	if noCode != nil {
		c.code.file = ""
	}
	if c.watch.on() && p.Payable(c.app.now()) == nil && c.app.hasView(format) {
		if c.code.file != "" {
			if err := c.app.writeCodeFile(ctx, p, c.code); err != nil {
				return err
			}
		}
		return c.app.watchOrders(ctx, service, format, c.watch, []string{p.OrderID}, p)
	}
	c.app.streaming = c.watch.on()
	if err := c.app.showPayment(ctx, format, p, c.code, noCode == nil); err != nil {
		return err
	}
	if err := c.app.unpayable(ctx, p, c.key != ""); err != nil {
		return err
	}
	if noCode != nil && file != "" {
		return noCode
	}
	if !c.watch.on() {
		return nil
	}
	return c.app.watchOrders(ctx, service, format, c.watch, []string{p.OrderID}, p)
}

// unpayable returns the error of a payment that was not paid and no longer can be,
// else nil. Without --new such a payment blocks another order.
func (a *output) unpayable(ctx context.Context, p order.Payment, keyGiven bool) error {
	now := a.now()
	f := &failure{Code: string(p.State), RequestID: p.RequestID, Hint: a.hintAnother(ctx, p), ExitCode: exitRejected}
	switch p.State {
	case order.Failed:
		f.Code, f.Message = p.Error.Code, "order "+p.OrderID+" failed: "+p.Error.Message
	case order.Cancelled, order.Refunded:
		f.Message = "order " + p.OrderID + " was " + render.StateWord(p.State)
		if p.State == order.Refunded || order.Transaction(p.BankState) == order.Voided { // else it was never paid
			f.Message += ": its payment was taken back"
		}
	case order.Expired:
		f.Message = "order " + p.OrderID + " has expired"
		if !p.Lapsed(now) {
			f.Message += ", and may still be paid until " + render.Exact(p.MayBePaidUntil(now))
		}
		if keyGiven {
			f.Hint = "use another key, or none, to make another order"
		}
	case order.Sending, order.Awaiting, order.Paid, order.Rejected, order.Unknown:
		return nil
	}
	return f
}

// hintAnother returns the hint for a payment that cannot be paid: how to learn what
// became of it, or to make another order.
func (a *output) hintAnother(ctx context.Context, p order.Payment) string {
	again := "make another order: " + a.sourceCommand("pay qr", p, "--new")
	switch {
	case p.ReplacedBy != "":
	case p.State == order.Sending, p.State == order.Unknown:
		return "ask again first: " + a.sourceCommand("pay qr", p)
	case p.State == order.Expired && p.Held != nil && p.Held.Text != "" && !p.Lapsed(a.now()) && a.bankDraws(ctx, p.Source):
		return "cancel it, and then make another order: " + a.sourceCommand("order cancel", p) + "; or wait until then"
	case p.State == order.Expired && !p.Lapsed(a.now()):
		return "wait until then, or " + again
	case p.State == order.Failed && p.ChargeID != "", p.State == order.Expired, p.State == order.Cancelled, p.State == order.Refunded:
		return again
	}
	return ""
}

// explain completes the hint of an unknown outcome: with --new the same command would
// make one more order, and without a ledger only the user can repeat the key.
func (c *payQR) explain(settings *config.Config, p order.Payment, err error) error {
	f := explainKind(err)
	asked := order.Payment{OrderID: p.OrderID, Source: p.Source}
	switch {
	case f.ExitCode != exitUnknown:
		return err
	case settings.Ledger.Reveal() == "none":
		f.Hint = "the order may have been made; run it again with its key: " + c.app.sourceCommand("pay qr", asked, "--idempotency-key", shellWord(p.Key))
	case c.fresh:
		again := "the order may have been made; run it again without --new, which repeats the request with the same key: " + c.app.sourceCommand("pay qr", asked)
		f.Hint = strings.Replace(f.Hint, hintRunAgain, again, 1)
	}
	return f
}

// mayPay asks for confirmation in a live environment, after checking the sign-in.
func (c *payQR) mayPay(ctx context.Context, service *payment.Service, request payment.Request) error {
	if tokens := service.API.Tokens; tokens != nil {
		if _, err := tokens.Token(ctx); err != nil {
			return err
		}
	}
	question := fmt.Sprintf("Make a LIVE payment order for %s (%s) in %s", request.OrderID, request.Source, service.Env)
	switch {
	case request.New && service.Bank != nil:
		question += ", and cancel the code of any that is open"
	case request.New:
		question += ", beside any that is open"
	}
	return c.app.confirmLive(ctx, service.Env, question+"?")
}

// keyFlag is an idempotency key, valid in a header. An empty one is most likely an
// unset variable in a script, and would not prevent a second order.
type keyFlag struct{ value *string }

func (f *keyFlag) String() string { return *f.value }

func (f *keyFlag) Type() string { return "KEY" }

func (f *keyFlag) Set(key string) error {
	if key == "" {
		return errors.New("an idempotency key cannot be empty")
	}
	for _, r := range key {
		if r <= ' ' || r > '~' {
			return errors.New("an idempotency key can contain only visible ASCII characters")
		}
	}
	if len(key) > 255 {
		return errors.New("an idempotency key can have at most 255 characters")
	}
	*f.value = key
	return nil
}
