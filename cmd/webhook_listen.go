package cmd

import (
	"context"
	"fmt"
	"net"
	"strings"

	"github.com/spf13/cobra"

	"github.com/villapay/villapay/internal/config"
	"github.com/villapay/villapay/internal/render"
	"github.com/villapay/villapay/internal/sanitize"
	"github.com/villapay/villapay/internal/webhook"
)

type webhookListen struct {
	app    *app
	addr   string
	path   string
	secret secretFlag
}

func newWebhookListen(a *app) *cobra.Command {
	c := &webhookListen{app: a}
	cmd := &cobra.Command{
		Use:   "listen",
		Short: "Receive payment notifications, verify and record them",
		Long: `Receives the bank's payment notifications. It verifies each checksum, records the
event in the ledger, writes it to stdout, and only then answers 200. Commands
with the same ledger see the event at once. Notifications for orders that are not
recorded yet are kept and applied later. With the bank's key, it confirms each
paid charge with the bank. GET /healthz answers 200 while notifications can be
recorded.

If the reader of its output is gone, it exits 1 before it acknowledges another
event. ` + "`villapay webhook replay`" + ` writes recorded events again.

It listens only on loopback by default; put a TLS proxy in front of it, or use
--addr. On Ctrl-C it exits 0.`,
		Example: `  villapay webhook listen --env sandbox --secret-file webhook.key
  villapay webhook listen --env sandbox -o json | tee -a notifications.ndjson`,
		Args: exactArgs(), RunE: a.run(c.run),
	}
	f := cmd.Flags()
	f.StringVar(&c.addr, "addr", listenAddr, "listen on `ADDRESS`")
	f.StringVar(&c.path, "path", "/", "receive notifications at `PATH`")
	c.secret.register(cmd)
	return cmd
}

func (c *webhookListen) run(ctx context.Context, _ []string) error {
	if !strings.HasPrefix(c.path, "/") || c.path == "/healthz" {
		return usageError("an example: --path /kbank", "--path: %q cannot take notifications", c.path)
	}
	if _, _, err := net.SplitHostPort(c.addr); err != nil {
		return usageError("an example: --addr "+listenAddr, "--addr: %s", err)
	}
	format, err := c.app.format("table", "json")
	if err != nil {
		return err
	}
	key, err := c.secret.key(ctx, c.app)
	if err != nil {
		return err
	}
	settings, opened, err := c.app.requireLedger(ctx)
	if err != nil {
		return err
	}
	if err := opened.Writable(ctx); err != nil {
		return err
	}
	listener, err := listen(ctx, c.addr)
	if err != nil {
		return err
	}
	c.announce(listener.Addr(), settings.Profile.Name)
	serving, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	c.app.endWithReader(serving, stop)
	handler := &webhook.Listener{
		Ledger: opened, Scope: settings.Profile.Scope(), Key: key, Path: c.path, Now: c.app.Now,
		Log: c.app.log().With("env", settings.Profile.Name),
		Each: func(e webhook.Event) error {
			err := c.app.writeEvent(ctx, format, e)
			if err != nil {
				stop(err) // a supervisor can restart it and its reader
			}
			return err
		},
		Rejected: func(summary string) { c.app.warn("%s", summary) },
		Ready:    opened.Writable,
	}
	bank, err := c.app.bankClient(ctx, maxInquiries)
	if err != nil {
		return err
	}
	if bank != nil {
		handler.Inquire = bank.Reports
	}
	err = c.app.serve(serving, listener, handler)
	if cause := context.Cause(serving); cause != nil && ctx.Err() == nil {
		return cause
	}
	return err
}

// maxInquiries is how many idle connections to the bank are kept.
const maxInquiries = 8

// announce reports the address, with a warning if other machines can reach it.
func (c *webhookListen) announce(addr net.Addr, env string) {
	if tcp, ok := addr.(*net.TCPAddr); ok && !tcp.IP.IsLoopback() {
		c.app.warn("listening on %s, which other machines can reach, without TLS", addr)
	}
	c.app.note("listening for notifications of %s on http://%s%s; Ctrl-C ends it", env, addr, c.path)
}

// writeEvent writes a notification: one line of text or JSON.
func (a *output) writeEvent(ctx context.Context, format config.Format, e webhook.Event) error {
	if format == "json" {
		a.streaming = true
		return a.writeValue(ctx, format, e)
	}
	n := e.Notification
	order := e.Recorded.Payment.OrderID
	state := render.StateWord(e.Recorded.Payment.State)
	switch {
	case e.Recorded.Unknown:
		order, state = "unknown order", "kept"
	case e.Recorded.Repeat:
		state += " (repeat)"
	}
	var text strings.Builder
	fmt.Fprintf(&text, "%s  %s  %s  %s  %s  %s", render.Exact(e.At), order, state, render.Money(n.Amount, n.Currency), n.TransactionState, n.ID)
	for _, w := range e.Recorded.Warnings {
		text.WriteString("  warning: " + w.Message)
	}
	return a.write([]byte(sanitize.Text(text.String()) + "\n"))
}
