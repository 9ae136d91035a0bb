package cmd

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/villapay/villapay/internal/api"
	"github.com/villapay/villapay/internal/auth"
	"github.com/villapay/villapay/internal/config"
	"github.com/villapay/villapay/internal/order"
	"github.com/villapay/villapay/internal/payment"
	"github.com/villapay/villapay/internal/table"
)

// payBatch makes the payment orders of a whole file.
type payBatch struct {
	app         *app
	source      string
	concurrency int
	rate        int
	dryRun      bool
	skipInvalid bool

	invalid int // lines
}

func newPayBatch(a *app) *cobra.Command {
	c := &payBatch{app: a, concurrency: 8, rate: 15}
	cmd := &cobra.Command{
		Use:   "batch FILE|-",
		Short: "Make the payment orders of a whole file",
		Long: `Makes the payment orders of a file: CSV with a header (orderid, optional source),
NDJSON, or one order ID a line. The file is checked whole before anything is
sent.

Running it again goes on where it stopped: orders that are open or paid are told
from the ledger without a request, unknown ones are asked again with their key,
and failed and expired ones are made anew. Ctrl-C lets the orders in flight
finish.

-o json writes one payment a line and -o csv one row, as they complete; the table
shows what failed and a summary.`,
		Example: `  villapay pay batch orders.csv --env sandbox
  villapay pay batch orders.csv --env sandbox -o json --rate 0 > payments.ndjson
  villapay order list --env sandbox --state unknown --limit 0 -o csv | villapay pay batch - --env sandbox`,
		Args: exactArgs("a file, or - for stdin"), RunE: a.run(c.run),
	}
	f := cmd.Flags()
	f.Var(&choiceFlag{&c.source, order.Sources()}, "source", "how the payers pay, where a line does not say")
	f.Var(&countFlag{&c.concurrency}, "concurrency", "orders in flight at once")
	f.Var(&countFlag{&c.rate}, "rate", "orders started a second at most; 0 = no limit")
	f.BoolVar(&c.dryRun, "dry-run", false, "check the file; send and record nothing")
	f.BoolVar(&c.skipInvalid, "skip-invalid", false, "skip invalid lines, and exit 9")
	complete(cmd, "source", order.Sources()...)
	return cmd
}

// maxConcurrency bounds --concurrency.
const maxConcurrency = 256

func (c *payBatch) run(ctx context.Context, args []string) error {
	if c.concurrency < 1 || c.concurrency > maxConcurrency {
		return usageError("", "--concurrency: from 1 to %d", maxConcurrency)
	}
	format, err := c.app.format("table", "json", "csv")
	if err != nil {
		return err
	}
	settings, err := c.app.settings()
	if err != nil {
		return err
	}
	in, err := c.read(ctx, settings.Profile, args[0])
	if err != nil {
		return err
	}
	defer in.Close()
	if c.dryRun {
		c.app.note("%s would be made in %s; nothing was sent", plural(in.Lines, "payment order"), settings.Profile.Name)
		return nil
	}
	return c.pay(ctx, format, settings.Profile, in)
}

func plural(n int, one string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %ss", n, one)
}

// read checks the whole input and keeps it aside.
func (c *payBatch) read(ctx context.Context, profile config.Profile, name string) (*payment.Input, error) {
	if name == "-" && c.app.InTTY {
		return nil, usageError("villapay pay batch - < orders.csv", "- reads stdin, and stdin is a terminal")
	}
	from, err := c.app.openInput(ctx, name)
	if err != nil {
		return nil, cmp.Or(ctx.Err(), usageError("", "%s", err))
	}
	defer from.Close()
	source := profile.Source
	if c.source != "" {
		source = order.Source(c.source)
	}
	in, err := payment.ReadInput(from, source, "", func(bad *table.Error) {
		c.invalid++
		c.app.warn("%s", bad)
	})
	var bad *table.Error
	switch {
	case errors.As(err, &bad):
		return nil, usageError("nothing was sent", "%s", bad)
	case err != nil:
		return nil, &localError{err: fmt.Errorf("read the orders: %w", err), hint: "nothing was sent"}
	case c.invalid > 0 && !c.skipInvalid:
		in.Close()
		return nil, usageError("fix them, or skip them with --skip-invalid; nothing was sent", "invalid lines: %d", c.invalid)
	}
	return in, nil
}

func (c *payBatch) pay(ctx context.Context, format config.Format, profile config.Profile, in *payment.Input) error {
	if _, err := c.app.requireLedger(ctx); err != nil {
		return err
	}
	service, err := c.app.payments(ctx, c.concurrency)
	if err != nil {
		return err
	}
	service.Note, service.Warn = nil, nil // a line an order would drown the result
	if tokens := service.API.Tokens; tokens != nil {
		if _, err := tokens.Token(ctx); err != nil {
			return err // before the first order is touched
		}
	}
	batch := payment.Batch{Service: service, Concurrency: c.concurrency, Rate: float64(c.rate), Stops: stopsBatch}
	if err := c.mayPay(ctx, &batch, in); err != nil {
		return err
	}
	out, err := c.app.newBatchOutput(format, in.Lines)
	if err != nil {
		return err
	}
	// A batch lives on short-lived memory: collecting it less often is a tenth
	// of the work.
	defer debug.SetGCPercent(debug.SetGCPercent(gcPercent))
	uncanceled := context.WithoutCancel(ctx) // orders in flight are shown after Ctrl-C too
	batch.Done = func(line payment.Line, p order.Payment, err error) error {
		return out.add(uncanceled, profile, line, p, err)
	}
	stopProgress := out.startProgress()
	stopped := batch.Run(ctx, in)
	stopProgress()
	if err := out.finish(c.invalid); err != nil && stopped == nil {
		return err
	}
	return out.result(c.invalid, stopped)
}

// mayPay asks before live money moves. If the ledger answers every order alone,
// nobody is asked, and nothing is sent either.
func (c *payBatch) mayPay(ctx context.Context, batch *payment.Batch, in *payment.Input) error {
	if !batch.Service.Live || c.app.flags.yes {
		return nil
	}
	sends, err := batch.Sends(ctx, in)
	if err == nil && sends {
		return c.app.confirmLive(ctx, fmt.Sprintf("Make %s in %s?", plural(in.Lines, "LIVE payment order"), batch.Service.Env))
	}
	batch.Confirm = func(context.Context) error {
		return usageError("run it again", "the order was open and is no more; nobody was asked about making another")
	}
	return err
}

// gcPercent lets the heap of a batch grow to three times what it holds.
const gcPercent = 200

// stopsBatch tells whether an order's error would be the next order's too: the
// ledger cannot be written, or the sign-in has ended.
func stopsBatch(err error) bool {
	var notRecorded *payment.NotRecordedError
	var signIn *auth.Error
	var call *api.Error
	switch f := explainKind(err); {
	case errors.As(err, &notRecorded), f.ExitCode == exitConfig, f.ExitCode == exitInternal:
		return true
	case errors.As(err, &signIn):
		return signIn.Kind != auth.Unreachable
	case errors.As(err, &call):
		return call.Status == http.StatusUnauthorized && call.Kind == api.Denied
	}
	return false
}
