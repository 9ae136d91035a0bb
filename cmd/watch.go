package cmd

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/villapay/villapay/internal/backoff"
	"github.com/villapay/villapay/internal/config"
	"github.com/villapay/villapay/internal/order"
	"github.com/villapay/villapay/internal/payment"
	"github.com/villapay/villapay/internal/render"
	"github.com/villapay/villapay/internal/sanitize"
)

// watchFlags are --watch and --watch-for.
type watchFlags struct {
	watch bool
	limit time.Duration // 0 = none
}

func (f *watchFlags) register(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&f.watch, "watch", false, "stay until the order is paid, failed or expired")
	cmd.Flags().Var(&timeFlag{value: &f.limit}, "watch-for", "like --watch, for so long at most, such as 10m; then exit 8")
}

func (f *watchFlags) on() bool { return f.watch || f.limit > 0 }

// errWatchLimit ends a watch at its limit.
var errWatchLimit = errors.New("the time of --watch-for is over")

// begin returns the context of a watch. It is canceled after --watch-for, or when the
// reader of stdout is gone.
func (f *watchFlags) begin(ctx context.Context, a *app) (context.Context, context.CancelFunc) {
	ctx, stop := context.WithCancelCause(ctx)
	limit := func() {}
	if f.limit > 0 {
		ctx, limit = context.WithTimeoutCause(ctx, f.limit, errWatchLimit)
	}
	a.endWithReader(ctx, stop)
	return ctx, func() {
		limit()
		stop(nil)
	}
}

// readerCheckInterval is how often a waiting command checks that stdout has a reader.
const readerCheckInterval = 500 * time.Millisecond

// endWithReader calls stop when nobody reads stdout any more. It checks until ctx ends.
func (a *app) endWithReader(ctx context.Context, stop context.CancelCauseFunc) {
	if a.OutGone == nil {
		return
	}
	go func() {
		for backoff.Sleep(ctx, readerCheckInterval) == nil {
			if a.OutGone() {
				stop(&outputError{syscall.EPIPE})
			}
		}
	}()
}

// watchOrders watches orders until all are settled: a single order at a terminal as a
// live view, else with a line for each change. own is the payment that was already
// shown and is to be watched; it may be the zero Payment.
func (a *app) watchOrders(ctx context.Context, service *payment.Service, format config.Format, flags watchFlags, orderIDs []string, own order.Payment) error {
	watching, stop := flags.begin(ctx, a)
	defer stop()
	a.Out = ctxWriter(watching, a.Out) // a reader that does not read ends with the watch
	reports := make([]payment.Report, len(orderIDs))
	var err error
	if len(orderIDs) == 1 && a.hasView(format) {
		reports[0], err = a.watchLive(watching, service, orderIDs[0], own)
	} else {
		err = a.watchLines(watching, service, format, orderIDs, own, reports)
	}
	cause := context.Cause(watching)
	if gone, ok := errors.AsType[*outputError](cause); ok {
		return gone
	}
	over := err != nil && errors.Is(cause, errWatchLimit)
	if err != nil && !over {
		return err
	}
	var worst *failure
	for i, r := range reports {
		f := a.watched(ctx, r)
		if over && (!r.Found || !r.Payment.State.Final()) {
			f = &failure{Code: "not_paid", Message: fmt.Sprintf("order %s is not paid after %s", orderIDs[i], flags.limit), Retryable: true, ExitCode: exitNotPaid} //nolint:gosec // one report for each order
		}
		if f != nil && len(reports) > 1 && !f.quiet {
			a.warn("%s", f)
			f.quiet = true
		}
		if f != nil && (worst == nil || rank(f) < rank(worst)) {
			worst = f
		}
	}
	if worst == nil {
		return nil // not worst: a nil *failure is a non-nil error
	}
	return worst
}

// rank orders the failures of several watches: exit 8 is last, exit 5 before it, and
// all others are first.
func rank(f *failure) int {
	switch f.ExitCode {
	case exitRejected:
		return 1
	case exitNotPaid:
		return 2
	}
	return 0
}

// watchLines writes a line or object for each change of each order.
func (a *app) watchLines(ctx context.Context, service *payment.Service, format config.Format, orderIDs []string, own order.Payment, reports []payment.Report) error {
	write, err := a.changes(ctx, format)
	if err != nil {
		return err
	}
	var mu sync.Mutex
	notedSource := false
	first := slices.Repeat([]order.Payment{own}, len(orderIDs))
	if own.Key == "" { // what the ledger has comes first, in the order asked
		for i, orderID := range orderIDs {
			known, found, err := service.Recorded(ctx, orderID)
			if err != nil {
				return err
			}
			if found {
				first[i] = known
				if err := write(known); err != nil {
					return err
				}
			}
		}
	}
	group, ctx := errgroup.WithContext(ctx)
	for i, orderID := range orderIDs {
		group.Go(func() (err error) {
			shown, trouble := first[i], ""
			reports[i], err = service.Watch(ctx, orderID, own, func(r payment.Report) error {
				mu.Lock()
				defer mu.Unlock()
				if now := unasked(r); now != trouble {
					if trouble = now; now != "" {
						a.warn("order %s: %s", orderID, now)
					}
				}
				if r.NoEndpoint && !notedSource {
					notedSource = true
					a.note("%s", updateSource(service))
				}
				if sameLine(shown, r.Payment) && (format != config.FormatJSON || sameObject(shown, r.Payment)) {
					return nil
				}
				shown = r.Payment
				return write(r.Payment)
			})
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				a.ring(reports[i])
			}
			return err
		})
	}
	return group.Wait()
}

// unasked returns a warning if the API or the bank cannot be asked, else "".
func unasked(r payment.Report) string {
	switch {
	case r.Err != nil:
		return fmt.Sprintf("cannot ask the API, trying again: %s", r.Err)
	case r.BankErr != nil:
		return fmt.Sprintf("cannot ask the bank, trying again: %s", r.BankErr)
	}
	return ""
}

// sameLine reports whether changeLine would have nothing new.
func sameLine(before, now order.Payment) bool {
	return before.State == now.State && before.BankState == now.BankState && before.Key == now.Key && before.ReplacedBy == now.ReplacedBy
}

// sameObject reports whether the payment object has the same code and warnings, which
// sameLine does not compare.
func sameObject(before, now order.Payment) bool {
	code := func(p order.Payment) order.Held {
		if p.Held == nil {
			return order.Held{}
		}
		return *p.Held
	}
	return code(before).ID == code(now).ID && len(before.Warnings) == len(now.Warnings)
}

// ring rings the terminal's bell if an order is paid.
func (a *output) ring(r payment.Report) {
	const bell = "\a"
	switch {
	case !r.Found || r.Payment.State != order.Paid || a.flags.quiet:
	case a.OutTTY:
		_ = a.write([]byte(bell))
	case a.ErrTTY:
		_, _ = a.Err.Write([]byte(bell))
	}
}

// updateSource describes where updates come from if the API has no status endpoint.
func updateSource(service *payment.Service) string {
	switch {
	case service.Bank != nil:
		return "the API has no status endpoint: asking only the bank"
	case service.Ledger.Kind() == "none":
		return "the API has no status endpoint, and there is no ledger for notifications: this command cannot see the payment"
	}
	return "the API has no status endpoint: waiting for a notification"
}

// hasView reports whether to watch in the live view. --debug output would garble it.
func (a *app) hasView(format config.Format) bool {
	return format == config.FormatTable && a.OutTTY && a.Getenv("TERM") != "dumb" && (!a.debugging() || !a.ErrTTY)
}

// watched returns the error of a watched order: nil if it is paid, exit 8 if it
// expired or was replaced, 5 if it failed.
func (a *app) watched(ctx context.Context, report payment.Report) *failure {
	p := report.Payment
	switch {
	case report.Found && p.ReplacedBy != "" && !p.State.Final():
		return &failure{
			Code: "replaced", Message: "order " + p.OrderID + ": a newer payment replaced the watched one; do not show the old code again",
			Hint: "to watch the newer one: " + a.command("order status", p, "--watch"), ExitCode: exitNotPaid,
		}
	case report.Found:
		return a.notPaid(p)
	case report.Err != nil:
		return a.statusError(ctx, report)
	}
	return a.noPayment(ctx, report.OrderID)
}

// changes returns a function that writes a line or document for a change.
func (a *output) changes(ctx context.Context, format config.Format) (func(order.Payment) error, error) {
	switch format {
	case config.FormatCSV:
		table, err := render.NewCSV(a.writer(), render.List{})
		if err != nil {
			return nil, err
		}
		return table.Row, nil
	case config.FormatJSON, config.FormatYAML:
		return func(p order.Payment) error {
			raw, err := render.PaymentJSON(a.view(ctx, p))
			if err != nil {
				return err
			}
			if format == config.FormatYAML {
				if err := a.write([]byte("---\n")); err != nil {
					return err
				}
			}
			return a.writeJSON(ctx, format, raw)
		}, nil
	}
	return func(p order.Payment) error { return a.write([]byte(changeLine(a.now(), p) + "\n")) }, nil
}

func changeLine(now time.Time, p order.Payment) string {
	line := fmt.Sprintf("%s  %s  %s  %s", render.Exact(now), p.OrderID, render.StateWord(p.State), render.Money(p.Amount, p.Currency))
	if p.BankState != "" && p.State != order.Paid {
		line += "  " + render.BankState(p)
	}
	return sanitize.Text(line)
}
