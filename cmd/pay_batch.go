package cmd

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"runtime/debug"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/villapay/villapay/internal/api"
	"github.com/villapay/villapay/internal/auth"
	"github.com/villapay/villapay/internal/config"
	"github.com/villapay/villapay/internal/order"
	"github.com/villapay/villapay/internal/payment"
	"github.com/villapay/villapay/internal/render"
)

type payBatch struct {
	app         *app
	source      order.Source
	concurrency int
	rate        int
	dryRun      bool
	skipInvalid bool

	invalid int // number of invalid lines
}

func newPayBatch(a *app) *cobra.Command {
	c := &payBatch{app: a, concurrency: 8, rate: 15}
	cmd := &cobra.Command{
		Use:   "batch FILE|-",
		Short: "Make the payment orders of a whole file",
		Long: `Makes the payment orders of a file: CSV with comma, semicolon or tab and a header
(orderid, optional source), one order ID a line, one JSON object a line, or a
JSON array; UTF-8 or UTF-16. The file is checked whole before anything is sent.

Running it again continues where it stopped. Orders that are open or paid are
reported from the ledger without a request, the requests of unknown ones are
repeated with the same key, and failed, canceled and expired ones get a new
payment order.
Ctrl-C lets the orders in flight finish.

-o json writes one payment a line and -o csv one row, as they complete; the table
shows what failed and a summary. --dry-run sends and records nothing: it reports
how many orders would be made, each counted once, and which are open or paid
already; with -o json or yaml it lists each order and its current state.`,
		Example: `  villapay pay batch orders.csv --env sandbox
  villapay pay batch orders.csv --env sandbox -o json --rate 0 > payments.ndjson
  villapay order list --env sandbox --state sending,unknown --limit 0 -o csv | villapay pay batch - --env sandbox`,
		Args: exactArgs("a file, or - for stdin"), RunE: a.run(c.run),
	}
	f := cmd.Flags()
	addSource(cmd, &c.source, "the source of lines that name none")
	f.Var(&countFlag{&c.concurrency, ""}, "concurrency", "orders in flight at once")
	f.Var(&countFlag{&c.rate, "no limit"}, "rate", "orders started a second at most; 0 = no limit")
	f.BoolVar(&c.dryRun, "dry-run", false, "check the file and say what would be made; send and record nothing")
	f.BoolVar(&c.skipInvalid, "skip-invalid", false, "skip invalid lines, and exit 9")
	return cmd
}

const maxConcurrency = 256

func (c *payBatch) run(ctx context.Context, args []string) error {
	if c.concurrency < 1 || c.concurrency > maxConcurrency {
		return usageError("", "--concurrency: from 1 to %d", maxConcurrency)
	}
	formats := []config.Format{"table", "json", "csv"}
	if c.dryRun {
		formats = []config.Format{"table", "json", "yaml"}
	}
	format, err := c.app.format(formats...)
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
		return c.plan(ctx, format, settings.Profile, in)
	}
	return c.pay(ctx, format, settings.Profile, in)
}

func plural(n int, one string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %ss", n, one)
}

// read validates the whole input.
func (c *payBatch) read(ctx context.Context, profile config.Profile, name string) (*payment.Input, error) {
	from, err := c.app.openList(ctx, name, "orders.csv")
	if err != nil {
		return nil, err
	}
	defer from.Close()
	problems := &lineProblems{app: c.app}
	in, err := payment.ReadInput(from, cmp.Or(c.source, profile.Source), "", problems.add)
	if err != nil {
		return nil, explainList(err, "nothing was sent", nil)
	}
	c.invalid = problems.n
	if err := problems.result("fix them, or skip them with --skip-invalid; nothing was sent"); err != nil && !c.skipInvalid {
		in.Close()
		return nil, err
	}
	return in, nil
}

// plan reports what would be made.
func (c *payBatch) plan(ctx context.Context, format config.Format, profile config.Profile, in *payment.Input) error {
	_, opened, err := c.app.requireLedger(ctx)
	if err != nil {
		return err
	}
	made, known, failing := 0, 0, 0
	all := func(yield func(payment.Planned, error) bool) {
		stopped := errors.New("stopped reading")
		err := in.Plan(ctx, opened, profile.Scope(), func(p payment.Planned) error {
			switch {
			case !p.Replays:
				made++
			case p.Payment.State == order.Paid || p.Payment.State == order.Awaiting:
				known++
			default: // expired, but it may still be paid; or given back
				failing++
			}
			if !yield(p, nil) {
				return stopped
			}
			return nil
		})
		if err != nil && !errors.Is(err, stopped) {
			yield(payment.Planned{}, err)
		}
	}
	if err := c.showPlan(ctx, format, all); err != nil {
		return err
	}
	summary := plural(made, "payment order") + " would be made in " + profile.Name
	if known > 0 {
		summary += fmt.Sprintf(", %d are open or paid already", known)
	}
	if failing > 0 {
		summary += fmt.Sprintf(", %d would fail", failing)
	}
	c.app.note("%s; nothing was sent", summary)
	if c.invalid > 0 {
		return &failure{Code: "some_failed", Message: plural(c.invalid, "invalid line"), ExitCode: exitSomeFailed, quiet: true}
	}
	return nil
}

// showPlan writes every order, or in a table only those that are not made.
func (c *payBatch) showPlan(ctx context.Context, format config.Format, all iter.Seq2[payment.Planned, error]) error {
	objects := mapped(all, func(p payment.Planned) ([]byte, error) {
		var state *order.State
		if p.Replays {
			state = &p.Payment.State
		}
		return json.Marshal(struct {
			Line    int          `json:"line"`
			OrderID string       `json:"orderid"`
			Source  order.Source `json:"source"`
			State   *order.State `json:"state"`
		}{p.Number, p.OrderID, p.Source, state})
	})
	switch format {
	case config.FormatYAML:
		return render.YAMLList(c.app.writer(), c.app.screen(), objects)
	case config.FormatJSON:
		c.app.streaming = true
		for raw, err := range objects {
			if err == nil {
				err = c.app.writeJSON(ctx, format, raw)
			}
			if err != nil {
				return err
			}
		}
		return nil
	}
	var rows [][]string
	for p, err := range all {
		if err != nil {
			return err
		}
		if p.Replays && len(rows) < listedFailures {
			rows = append(rows, []string{strconv.Itoa(p.Number), p.OrderID, render.StateWord(p.Payment.State), p.Payment.BankOrderID})
		}
	}
	if len(rows) == 0 {
		return nil
	}
	return render.Table(c.app.writer(), c.app.screen(), []string{"Line", "Order", "State", "Bank order"}, rows)
}

func (c *payBatch) pay(ctx context.Context, format config.Format, profile config.Profile, in *payment.Input) error {
	if _, _, err := c.app.requireLedger(ctx); err != nil {
		return err
	}
	service, err := c.app.payments(ctx, c.concurrency)
	if err != nil {
		return err
	}
	c.app.warnForgetful(service)
	quiet := *service
	quiet.Note, quiet.Warn = nil, nil // would be one line per order
	service = &quiet
	if tokens := service.API.Tokens; tokens != nil {
		if _, err := tokens.Token(ctx); err != nil {
			return err // fail before the first order
		}
	}
	batch := payment.Batch{Service: service, Concurrency: c.concurrency, Rate: float64(c.rate), Stops: stopsBatch}
	if err := c.mayPay(ctx, &batch, in); err != nil {
		return err
	}
	out, err := c.app.newBatchOutput(service, format, in.Lines)
	if err != nil {
		return err
	}
	// Most memory of a batch is garbage: collecting it less often saves a tenth of
	// the CPU time.
	defer debug.SetGCPercent(debug.SetGCPercent(gcPercent))
	uncanceled := context.WithoutCancel(ctx) // orders in flight are also shown after Ctrl-C
	batch.Done = func(line payment.Line, p order.Payment, err error) error {
		return out.add(uncanceled, profile, line, p, err)
	}
	stopProgress := out.startProgress()
	stopNotice := context.AfterFunc(ctx, out.finishing)
	stopped := batch.Run(ctx, in)
	stopNotice()
	stopProgress()
	if err := out.finish(c.invalid); err != nil && stopped == nil {
		return err
	}
	return out.result(c.invalid, stopped)
}

// mayPay asks for confirmation in a live environment, unless the ledger can answer
// every order.
func (c *payBatch) mayPay(ctx context.Context, batch *payment.Batch, in *payment.Input) error {
	if !batch.Service.Live || c.app.flags.yes {
		return nil
	}
	sends, err := batch.Sends(ctx, in)
	if err == nil && sends {
		return c.app.confirmLive(ctx, batch.Service.Env, fmt.Sprintf("Make %s in %s?", plural(in.Lines, "LIVE payment order"), batch.Service.Env))
	}
	batch.Confirm = func(context.Context) error {
		return usageError("run it again", "the order was open before and is no longer; making another needs confirmation")
	}
	return err
}

// gcPercent lets the heap grow to three times the live memory.
const gcPercent = 200

// stopsBatch reports whether an error would also affect the next order: the ledger
// cannot be written, or the session has ended.
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
