package cmd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/spf13/cobra"

	"github.com/villapay/villapay/internal/config"
	"github.com/villapay/villapay/internal/kbank"
	"github.com/villapay/villapay/internal/order"
	"github.com/villapay/villapay/internal/render"
	"github.com/villapay/villapay/internal/sanitize"
	"github.com/villapay/villapay/internal/webhook"
)

// webhookListen receives payment notifications.
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
		Long: `Receives the bank's payment notifications: verifies each checksum, records the
event in the ledger, answers 200 only then, and writes it to stdout. Commands on
the same ledger see it at once. Notifications for orders that are not recorded
yet are kept and applied when they are. With the bank's key, the bank is asked
about each charge that is said to be paid. GET /healthz answers 200 while
notifications can be recorded.

When the reader of its output is gone, it ends with 1 before it acknowledges
another event: webhook replay writes recorded ones again.

It listens on this machine alone; put a TLS proxy before it, or use --addr. It
ends with 0 on Ctrl-C.`,
		Example: `  villapay webhook listen --env sandbox --secret-file webhook.key
  villapay webhook listen --env sandbox -o json | tee -a notifications.ndjson`,
		Args: exactArgs(), RunE: a.run(c.run),
	}
	f := cmd.Flags()
	f.StringVar(&c.addr, "addr", listenAddr, "listen on `ADDRESS`")
	f.StringVar(&c.path, "path", "/", "take notifications at `PATH`")
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
	settings, err := c.app.settings()
	if err != nil {
		return err
	}
	opened, err := c.app.requireLedger(ctx)
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
				stop(err) // a supervisor starts it and its reader again
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
		handler.Inquire = func(ctx context.Context, chargeID string) ([]order.Report, error) {
			said, err := bank.Reports(ctx, chargeID)
			if errors.Is(err, kbank.ErrNoCharge) {
				return nil, nil
			}
			return said, err
		}
	}
	err = c.app.serve(serving, listener, handler)
	if cause := context.Cause(serving); cause != nil && ctx.Err() == nil {
		return cause
	}
	return err
}

// maxInquiries is how many connections to the bank are kept.
const maxInquiries = 8

// announce says where it listens, and loudly so where others can reach it.
func (c *webhookListen) announce(addr net.Addr, env string) {
	if tcp, ok := addr.(*net.TCPAddr); ok && !tcp.IP.IsLoopback() {
		c.app.warn("listening on %s, which other machines can reach, without TLS", addr)
	}
	c.app.note("listening for notifications of %s on http://%s%s; Ctrl-C ends it", env, addr, c.path)
}

// writeEvent writes one event to stdout.
func (a *output) writeEvent(ctx context.Context, format config.Format, e webhook.Event) error {
	if format == "json" {
		raw, err := json.Marshal(e)
		if err != nil {
			return err
		}
		if a.query != nil {
			return a.runQuery(ctx, raw)
		}
		return render.JSONLine(a.writer(), raw)
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
	fmt.Fprintf(&text, "%s  %s  %s  %s  %s  %s", render.FormatTime(e.At), order, state, render.Money(n.Amount, n.Currency), n.TransactionState, n.ID)
	for _, w := range e.Recorded.Warnings {
		text.WriteString("  warning: " + w.Message)
	}
	return a.write([]byte(sanitize.Text(text.String()) + "\n"))
}
