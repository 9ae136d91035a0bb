package cmd

import (
	"context"
	"fmt"
	"time"

	"github.com/villapay/villapay/internal/config"
	"github.com/villapay/villapay/internal/order"
	"github.com/villapay/villapay/internal/payment"
	"github.com/villapay/villapay/internal/render"
	"github.com/villapay/villapay/internal/sanitize"
)

// watchOrder follows one order until it is settled: at a terminal as a live
// view, piped as a line for each change. own is the payment that has been shown
// already, which is then the one to follow; the zero Payment where none has.
func (a *app) watchOrder(ctx context.Context, service *payment.Service, format config.Format, orderID string, own order.Payment) error {
	if a.hasView(service, format) {
		return a.watchLive(ctx, service, orderID, own)
	}
	write, err := a.changes(ctx, format)
	if err != nil {
		return err
	}
	shown, toldSource := own, false
	report, err := service.Watch(ctx, orderID, own, func(r payment.Report) error {
		switch {
		case r.Err != nil:
			a.warn("order %s: cannot ask the API, trying again: %s", orderID, r.Err)
		case r.NoEndpoint && !toldSource:
			toldSource = true
			a.note("%s", whoTells(service))
		}
		if sameLine(shown, r.Payment) {
			return nil
		}
		shown = r.Payment
		return write(r.Payment)
	})
	if err != nil {
		return err
	}
	return a.watched(service, report)
}

// sameLine tells whether there is nothing to write of what became of a payment.
func sameLine(before, now order.Payment) bool {
	return before.State == now.State && before.BankState == now.BankState && before.Key == now.Key
}

// whoTells says whence news can come where the API has no status endpoint.
func whoTells(service *payment.Service) string {
	if service.Ledger.Kind() == "none" {
		return "the API has no status endpoint, and there is no ledger for notifications: nothing here will tell of a payment"
	}
	return "the API has no status endpoint: a notification will tell"
}

// hasView tells whether watching takes the whole terminal. It does not where
// --debug writes to the same one.
func (a *app) hasView(service *payment.Service, format config.Format) bool {
	return format == "table" && a.OutTTY && a.Getenv("TERM") != "dumb" && (!a.debugging() || !a.ErrTTY)
}

// watched is how watching ends: 0 paid, 8 expired or replaced, 5 failed.
func (a *app) watched(service *payment.Service, report payment.Report) error {
	p := report.Payment
	switch {
	case report.Found && p.ReplacedBy != "" && !p.State.Final():
		return &failure{
			Code: "replaced", Message: "order " + p.OrderID + ": a newer payment has replaced the one that was watched, whose code must not be paid any more",
			Hint: "to watch the newer one: villapay order status " + p.OrderID + " --watch", ExitCode: exitNotPaid,
		}
	case report.Found:
		return notPaid(p)
	case report.Err != nil:
		return unanswered(report.Err)
	}
	return noPayment(report.OrderID, service.Env)
}

// changes makes what writes one line, or document, for each change.
func (a *app) changes(ctx context.Context, format config.Format) (func(order.Payment) error, error) {
	switch format {
	case "csv":
		table, err := render.NewCSV(a.writer(), render.List{})
		if err != nil {
			return nil, err
		}
		return table.Row, nil
	case "json", "yaml":
		return func(p order.Payment) error {
			raw, err := render.PaymentJSON(a.view(p))
			if err != nil {
				return err
			}
			if format == "yaml" {
				if err := a.write([]byte("---\n")); err != nil {
					return err
				}
			}
			return a.writeJSON(ctx, format, raw)
		}, nil
	}
	return func(p order.Payment) error { return a.write([]byte(changeLine(a.Now(), p) + "\n")) }, nil
}

func changeLine(now time.Time, p order.Payment) string {
	line := fmt.Sprintf("%s  %s  %s  %s", render.FormatTime(now), p.OrderID, render.StateWord(p.State), render.Money(p.Amount, p.Currency))
	if p.BankState != "" {
		line += "  " + p.BankState
	}
	return sanitize.Text(line)
}
