package cmd

import (
	"context"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/villapay/villapay/internal/config"
	"github.com/villapay/villapay/internal/ledger"
	"github.com/villapay/villapay/internal/order"
	"github.com/villapay/villapay/internal/render"
)

type orderShow struct {
	app    *app
	source order.Source
	code   codeFlags
}

func newOrderShow(a *app) *cobra.Command {
	c := &orderShow{app: a}
	cmd := &cobra.Command{
		Use:   "show ORDERID",
		Short: "Show everything recorded of an order, with its history",
		Long: `Shows every recorded payment of an order in full, newest first, with its event
history, as last known. It sends no request; order status does. With -o qr it
draws the open payment's code again, without making another.`,
		Example: `  villapay order show 492500004632 --env sandbox
  villapay order show 492500004632 --env sandbox -o qr
  villapay order show 492500004632 --env sandbox --jq '.[0].villapay.events[].kind'`,
		Args: oneOrder, ValidArgsFunction: a.completeOrderID, RunE: a.withFormat(c.run, "table", "json", "yaml", "qr"),
	}
	addSource(cmd, &c.source, "only the payments of this source")
	c.code.register(cmd)
	return cmd
}

func (c *orderShow) run(ctx context.Context, format config.Format, args []string) error {
	if err := c.code.check(format, config.FormatQR); err != nil {
		return err
	}
	opened, payments, err := c.app.orderPayments(ctx, args[0])
	if err != nil {
		return err
	}
	if format == "qr" || c.code.file != "" {
		open, err := c.open(ctx, payments)
		if err != nil {
			return err
		}
		if c.code.file != "" {
			if err := c.app.writeCodeFile(ctx, open, c.code); err != nil {
				return err
			}
		}
		if format == "qr" {
			return c.app.drawCode(ctx, open, c.code, c.app.Err)
		}
	}
	events := map[int64][]ledger.Event{} // by payment
	err = opened.Snapshot(ctx, func(l *ledger.Ledger) (err error) {
		payments, err = l.Payments(ctx, c.app.config.Profile.Scope(), args[0])
		for _, p := range payments {
			if err == nil {
				events[p.ID], err = l.Events(ctx, p.ID)
			}
		}
		return err
	})
	if err != nil {
		return err
	}
	if c.source != "" {
		all := payments
		payments = slices.DeleteFunc(slices.Clone(all), func(p order.Payment) bool {
			return p.Source != "" && p.Source != c.source // "": another tool's, which may be any
		})
		if len(payments) == 0 {
			return noSource(all, c.source)
		}
	}
	return c.show(ctx, format, payments, events)
}

// open returns the payment whose code is drawn, with the bank's code.
func (c *orderShow) open(ctx context.Context, payments []order.Payment) (order.Payment, error) {
	open, err := c.app.pickOpen(payments, c.source)
	if err != nil || open.Payable(c.app.now()) != nil || open.LivingCode(c.app.now()) != nil {
		return open, err
	}
	service, err := c.app.payments(ctx, 1)
	if err != nil {
		return open, err
	}
	open, noCode := c.app.fetchCode(ctx, service, open)
	if noCode != nil {
		return open, noCode
	}
	return open, nil
}

func (c *orderShow) show(ctx context.Context, format config.Format, payments []order.Payment, events map[int64][]ledger.Event) error {
	var objects []byte
	for i, p := range payments {
		if format == "table" {
			if err := c.table(p, events[p.ID], i); err != nil {
				return err
			}
			continue
		}
		view := c.app.view(ctx, p)
		view.Events = append([]ledger.Event{}, events[p.ID]...)
		raw, err := render.PaymentJSON(view)
		if err != nil {
			return err
		}
		if i > 0 {
			objects = append(objects, ',')
		}
		objects = append(objects, raw...)
	}
	if format == "table" {
		return nil
	}
	return c.app.writeJSON(ctx, format, fmt.Appendf(nil, "[%s]", objects))
}

func (c *orderShow) table(p order.Payment, events []ledger.Event, index int) error {
	if index > 0 {
		if err := c.app.write([]byte("\n")); err != nil {
			return err
		}
	}
	for _, w := range p.Warnings {
		c.app.warn("%s", w.Message)
	}
	if err := render.PaymentFull(c.app.writer(), c.app.screen(), p, c.app.live()); err != nil {
		return err
	}
	return render.Events(c.app.writer(), c.app.screen(), events)
}
