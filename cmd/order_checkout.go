package cmd

import (
	"context"
	"errors"
	"fmt"
	"net"

	"github.com/spf13/cobra"

	"github.com/villapay/villapay/internal/backoff"
	"github.com/villapay/villapay/internal/checkout"
	"github.com/villapay/villapay/internal/config"
	"github.com/villapay/villapay/internal/order"
	"github.com/villapay/villapay/internal/payment"
	"github.com/villapay/villapay/internal/render"
)

type orderCheckout struct {
	app       *app
	addr      string
	noBrowser bool
	source    order.Source
}

func newOrderCheckout(a *app) *cobra.Command {
	c := &orderCheckout{app: a}
	cmd := &cobra.Command{
		Use:   "checkout ORDERID",
		Short: "Serve the payer's page of an open order",
		Long: `Serves a page for the customer: the bank's code if the bank's key is set, else
the bank's own widget, which needs the merchant's public key (kbank.public_key).
An order whose widget was shown cannot be canceled. It follows the order until
it is paid or expired.

Only this machine can open the page, unless --addr says otherwise; then a code
with its address is drawn, for a phone to open. Its address cannot be guessed.`,
		Example: `  villapay pay qr 492500004632 --env sandbox
  villapay order checkout 492500004632 --env sandbox --no-browser`,
		Args: oneOrder, ValidArgsFunction: a.completeOrderID, RunE: a.plain(c.run),
	}
	f := cmd.Flags()
	f.StringVar(&c.addr, "addr", "127.0.0.1:0", "serve on `ADDRESS`, which a phone must be able to reach")
	addSource(cmd, &c.source, usageSource)
	f.BoolVar(&c.noBrowser, "no-browser", false, "do not open the browser")
	return cmd
}

func (c *orderCheckout) run(ctx context.Context, args []string) error {
	if _, _, err := net.SplitHostPort(c.addr); err != nil {
		return usageError("an example: --addr 192.168.1.20:8080", "--addr: %s", err)
	}
	settings, err := c.app.settings()
	if err != nil {
		return err
	}
	service, err := c.app.payments(ctx, 1)
	if err != nil {
		return err
	}
	open, err := c.open(ctx, args[0])
	if err != nil {
		return err
	}
	open, err = c.prepare(ctx, settings, service, open)
	if why := open.Payable(c.app.now()); why != nil { // another process was faster, which explains err too
		return c.notOpen(ctx, open, why)
	}
	if err != nil {
		return err
	}
	listener, err := listen(ctx, c.addr)
	if err != nil {
		return err
	}
	server, err := c.page(settings, service, open, listener.Addr())
	if err != nil {
		_ = listener.Close()
		return &localError{err: err}
	}
	serving, stop := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- c.app.serve(serving, listener, server) }()
	report, err := c.follow(ctx, service, server, listener.Addr(), open)
	if err == nil {
		_ = backoff.Sleep(ctx, checkout.Linger) // so that open pages show the final state
	}
	stop()
	if served := <-done; err == nil {
		err = served
	}
	if err != nil {
		return err
	}
	if f := c.app.watched(ctx, report); f != nil {
		return f
	}
	return nil // not f: a nil *failure is a non-nil error
}

// prepare fetches the bank's code or falls back to its widget. The widget is recorded,
// because it cannot be canceled.
func (c *orderCheckout) prepare(ctx context.Context, settings *config.Config, service *payment.Service, open order.Payment) (order.Payment, error) {
	open, noCode := c.app.fetchCode(ctx, service, open)
	switch {
	case noCode != nil:
		return open, noCode
	case open.LivingCode(c.app.now()) != nil:
		return open, nil
	}
	if err := requireWidget(settings.Profile); err != nil {
		return open, err
	}
	_, opened, err := c.app.requireLedger(ctx)
	if err != nil {
		return open, err
	}
	now, recorded, err := opened.RecordPage(ctx, open)
	if err == nil && !recorded {
		err = &failure{Code: "not_open", Message: "order " + open.OrderID + ": the bank's code may still be paid, so the page cannot be served", ExitCode: exitRejected}
	}
	return now, err
}

// requireWidget returns an error if the bank's widget is not configured.
func requireWidget(profile config.Profile) error {
	if profile.Sandbox || profile.KBank.PublicKey != "" {
		return nil
	}
	return &localError{
		err:  errors.New("environment " + profile.Name + " has no public key for the bank's widget: kbank.public_key is not set"),
		hint: "villapay env set kbank.public_key pkey_… --env " + profile.Name,
	}
}

// open returns the payment that can be paid now.
func (c *orderCheckout) open(ctx context.Context, orderID string) (order.Payment, error) {
	_, payments, err := c.app.orderPayments(ctx, orderID)
	if err != nil {
		return order.Payment{}, err
	}
	open, err := c.app.pickOpen(payments, c.source)
	if err != nil {
		return open, err
	}
	if why := open.Payable(c.app.now()); why != nil {
		return open, c.notOpen(ctx, open, why)
	}
	return open, nil
}

func (c *orderCheckout) notOpen(ctx context.Context, p order.Payment, why error) error {
	f := &failure{Code: "not_open", Message: fmt.Sprintf("order %s cannot be paid: %s", p.OrderID, why), Hint: c.app.hintAnother(ctx, p), ExitCode: exitRejected}
	if p.State != order.Paid && f.Hint == "" {
		f.Hint = "make a payment order first: " + c.app.sourceCommand("pay qr", p)
	}
	return f
}

func (c *orderCheckout) page(settings *config.Config, service *payment.Service, open order.Payment, addr net.Addr) (*checkout.Server, error) {
	hosts, err := checkout.Hosts(addr)
	if err != nil {
		return nil, err
	}
	kbank := settings.Profile.KBank
	page := checkout.Page{
		Payment: open, ShopName: kbank.ShopName, ScriptURL: kbank.ScriptURL, PublicKey: kbank.PublicKey,
		Now: service.Now, Log: c.app.log(),
	}
	if settings.Profile.Sandbox {
		stand, err := c.app.openSandbox()
		if err != nil {
			return nil, err
		}
		page.Pay = func(ctx context.Context) error {
			if _, err := stand.Pay(ctx, open.BankOrderID, "Authorized"); err != nil {
				return err
			}
			_, err := service.Status(ctx, open.OrderID, true) // updates the page before the next poll
			return err
		}
	}
	return checkout.New(page, hosts)
}

// follow writes the page's address and keeps the page up to date.
func (c *orderCheckout) follow(ctx context.Context, service *payment.Service, server *checkout.Server, addr net.Addr, open order.Payment) (payment.Report, error) {
	if err := c.app.write([]byte(server.URL() + "\n")); err != nil {
		return payment.Report{}, err
	}
	c.invite(ctx, server.URL(), addr, open)
	shown := open
	return service.Watch(ctx, open.OrderID, open, func(r payment.Report) error {
		server.Show(r.Payment)
		if !sameLine(shown, r.Payment) {
			shown = r.Payment
			fmt.Fprintln(c.app.Err, changeLine(c.app.now(), r.Payment))
		}
		return nil
	})
}

// invite opens the page in the browser, and draws its address as a code if phones can
// reach it.
func (c *orderCheckout) invite(ctx context.Context, url string, addr net.Addr, open order.Payment) {
	if tcp, ok := addr.(*net.TCPAddr); ok && !tcp.IP.IsLoopback() {
		c.app.warn("the page is served on %s: anyone who can reach this machine and has the address can open it", addr)
		if c.app.OutTTY {
			code := render.NewCode(order.Code{Kind: order.Page, Text: url}, open, open.ExpiresAt)
			if drawn, err := c.app.draw(code, ""); err == nil {
				fmt.Fprintln(c.app.Out, c.app.screen().Text(code.Caption))
				_ = c.app.write(drawn)
			}
		}
	}
	c.app.note("the payer's page is open until the order is paid or expires; Ctrl-C closes it")
	if c.noBrowser {
		return
	}
	if err := openBrowser(ctx, url); err != nil {
		c.app.note("the browser did not open: %s; open the address above", err)
	}
}
