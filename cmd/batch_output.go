package cmd

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/schollz/progressbar/v3"

	"github.com/villapay/villapay/internal/config"
	"github.com/villapay/villapay/internal/order"
	"github.com/villapay/villapay/internal/payment"
	"github.com/villapay/villapay/internal/render"
	"github.com/villapay/villapay/internal/sanitize"
)

// batchOutput shows a running batch: one line per order with json and csv, the
// failures and a summary as a table, and progress on stderr. Only one goroutine
// may call add at a time.
type batchOutput struct {
	app     *app
	service *payment.Service
	format  config.Format
	csv     *render.CSV
	bar     *progressbar.ProgressBar // nil if none is shown
	total   int
	start   time.Time

	mu sync.Mutex
	tally

	failures [][]string     // rows of the table, at most listedFailures
	warnings []batchWarning // one per code
}

// batchWarning is a warning that is shown once, however many orders have it.
type batchWarning struct {
	order.Warning
	orders int
	first  string // order ID
}

// tally counts the orders by outcome.
type tally struct{ made, replayed, failed, unknown int }

func (t tally) done() int { return t.made + t.replayed + t.failed + t.unknown }

const (
	drawEvery      = 200 * time.Millisecond
	noteEvery      = 10 * time.Second
	listedFailures = 1000

	barWidth  = 20
	wideBar   = 80 // from this width on, the rate and time are shown too
	narrowBar = 60 // below this width, only the counts are shown
)

func (a *app) newBatchOutput(service *payment.Service, format config.Format, total int) (*batchOutput, error) {
	o := &batchOutput{app: a, service: service, format: format, total: total, start: a.Now()}
	if format == "csv" {
		table, err := render.NewCSV(a.writer(), render.List{})
		if err != nil {
			return nil, err
		}
		o.csv = table
	}
	if a.ErrTTY && !a.flags.quiet && (format == "table" || !a.OutTTY) {
		a.counted.Store(true)
		options := []progressbar.Option{
			progressbar.OptionSetWriter(a.Err), progressbar.OptionShowCount(), progressbar.OptionSetWidth(barWidth),
			progressbar.OptionClearOnFinish(), progressbar.OptionSetDescription("0 failed"),
			progressbar.OptionSetElapsedTime(false), progressbar.OptionSetPredictTime(false),
		}
		if columns := a.screenOf(true).Columns; columns == 0 || columns >= wideBar {
			options = append(options, progressbar.OptionShowIts(), progressbar.OptionSetItsString("orders"), progressbar.OptionSetPredictTime(true), progressbar.OptionSetElapsedTime(true))
		} else if columns < narrowBar {
			options = append(options, progressbar.OptionSetWidth(1))
		}
		o.bar = progressbar.NewOptions(total, options...)
	}
	return o, nil
}

// startProgress shows progress until stop is called: a bar at a terminal, else a
// line every ten seconds.
func (o *batchOutput) startProgress() (stop func()) {
	every := noteEvery
	if o.bar != nil {
		every = drawEvery
	}
	ended, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			select {
			case <-ended:
				return
			case <-tick.C:
				o.progress()
			}
		}
	}()
	return func() {
		close(ended)
		<-done
	}
}

// add shows one completed order. Of one that the batch stopped at before anything was
// recorded, it shows and counts nothing: the ledger may know more than this run.
func (o *batchOutput) add(ctx context.Context, profile config.Profile, line payment.Line, p order.Payment, err error) error {
	if p.OrderID == "" && err != nil && stopsBatch(err) {
		return nil
	}
	if p.OrderID == "" { // not recorded
		p = order.Payment{OrderID: line.OrderID, Source: line.Source, Env: profile.Name, Scope: profile.Scope(), State: order.Rejected, KnownAt: o.app.Now(), KnownFrom: order.FromLedger}
	}
	if err != nil && p.Error == nil {
		f := explainKind(err)
		p.Error = &order.Failure{Code: f.Code, Message: f.Message, Status: f.Status, RequestID: f.RequestID, Retryable: f.Retryable}
	}
	if err == nil && o.format == "json" {
		recording, cancel := context.WithTimeout(ctx, o.service.Timeout)
		p, _ = o.app.codeWarning(o.app.recordPage(recording, o.service, p))
		cancel()
	}
	if err == nil {
		err = o.app.unpayable(ctx, p, false)
	}
	o.count(line, p, err)
	o.warn(p)
	switch o.format {
	case "csv":
		return o.csv.Row(p)
	case "json":
		raw, err := render.PaymentJSON(o.app.view(ctx, p))
		if err != nil {
			return err
		}
		o.app.streaming = true
		return o.app.writeJSON(ctx, o.format, raw)
	}
	return nil
}

func (o *batchOutput) count(line payment.Line, p order.Payment, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if err == nil {
		if p.Replayed || p.Order == nil { // another tool's payment has none here
			o.replayed++
		} else {
			o.made++
		}
		return
	}
	f := explainKind(err)
	if f.ExitCode == exitUnknown {
		o.unknown++
	} else {
		o.failed++
	}
	code, message := f.Code, f.Message
	if p.Error != nil {
		code, message = p.Error.Code, p.Error.Message
	}
	if o.format == "table" && len(o.failures) < listedFailures {
		o.failures = append(o.failures, []string{fmt.Sprint(line.Number), p.OrderID, render.StateWord(p.State), sanitize.Text(code), sanitize.Text(message)})
	}
}

func (o *batchOutput) warn(p order.Payment) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, w := range p.Warnings {
		i := slices.IndexFunc(o.warnings, func(known batchWarning) bool { return known.Code == w.Code })
		if i < 0 {
			i = len(o.warnings)
			o.warnings = append(o.warnings, batchWarning{Warning: w, first: p.OrderID})
		}
		o.warnings[i].orders++
	}
}

func (o *batchOutput) counts() tally {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.tally
}

func (o *batchOutput) progress() {
	n := o.counts()
	if o.bar != nil {
		o.bar.Describe(fmt.Sprintf("%d failed", n.failed+n.unknown))
		_ = o.bar.Set(n.done())
		return
	}
	perSecond := float64(n.done()) / o.app.Now().Sub(o.start).Seconds()
	left := "unknown time"
	if n.done() > 0 {
		left = time.Duration(float64(o.total-n.done()) / perSecond * float64(time.Second)).Round(time.Second).String()
	}
	o.app.note("%d of %d done, %d failed, %.1f/s, %s left", n.done(), o.total, n.failed+n.unknown, perSecond, left)
}

// finishing acknowledges Ctrl-C while orders in flight finish.
func (o *batchOutput) finishing() {
	if o.bar != nil {
		_ = o.bar.Clear()
	}
	o.app.note("finishing the orders in flight, for 10 s at most; press Ctrl-C again to exit now")
}

// finish writes the failures and the summary with the table format, else the
// summary as a note.
func (o *batchOutput) finish(invalid int) error {
	if o.bar != nil {
		_ = o.bar.Clear()
	}
	for _, w := range o.warnings {
		o.app.warn("%s (%s), first of order %s: %s", plural(w.orders, "order"), w.Code, w.first, w.Message)
	}
	n := o.counts()
	summary := fmt.Sprintf("%d of %d orders: %d made, %d already open or paid, %d failed, %d unknown", n.done(), o.total, n.made, n.replayed, n.failed, n.unknown)
	if invalid > 0 {
		summary += fmt.Sprintf(", %s skipped", plural(invalid, "invalid line"))
	}
	if o.format != "table" {
		o.app.note("%s", summary)
		return nil
	}
	if len(o.failures) > 0 {
		if err := render.Table(o.app.writer(), o.app.screen(), []string{"Line", "Order", "State", "Code", "Message"}, o.failures); err != nil {
			return err
		}
	}
	return o.app.write([]byte(summary + "\n"))
}

// result is how a batch ends that went through, or that an error stopped: an
// unknown outcome outranks all else.
func (o *batchOutput) result(invalid int, stopped error) error {
	if stopped != nil {
		return o.stopped(stopped)
	}
	switch n := o.counts(); {
	case n.unknown > 0:
		return unknownOutcome(n.unknown)
	case n.failed > 0 || invalid > 0:
		f := &failure{Code: "some_failed", Message: plural(n.failed, "order") + " failed", ExitCode: exitSomeFailed, quiet: true}
		if invalid > 0 {
			f.Message += ", " + plural(invalid, "invalid line")
		}
		return f
	}
	return nil
}

func unknownOutcome(orders int) *failure {
	return &failure{
		Code: "outcome_unknown", Message: fmt.Sprintf("the outcome of %s is unknown", plural(orders, "order")),
		Hint: "run the same command again: it repeats the unknown orders' requests with the same keys", Retryable: true, ExitCode: exitUnknown,
	}
}

const hintContinue = "run the same command again to continue"

// stopped explains why a batch ended early and how to continue it. It exits with the
// code of what stopped it, such as 3, "nothing was sent", only if that is true of the
// whole batch.
func (o *batchOutput) stopped(cause error) error {
	f, n := *explainKind(cause), o.counts()
	switch interrupted := errors.Is(cause, context.Canceled); {
	case interrupted && n.unknown > 0:
		return unknownOutcome(n.unknown)
	case interrupted:
		return &failure{Code: "interrupted", Message: "interrupted", Hint: hintContinue, Retryable: true, ExitCode: exitInterrupted}
	case f.ExitCode == exitInternal:
		return cause // stdout failed
	}
	after := fmt.Sprintf("stopped after %d of %d orders: ", n.done(), o.total)
	f.text, f.Message = after+f.Error(), after+f.Message
	if f.ExitCode != exitUnknown && (n.made+n.unknown > 0 || f.ExitCode == exitConfig && n.failed > 0) {
		f.ExitCode, f.Hint = exitSomeFailed, strings.TrimPrefix(f.Hint, "nothing was sent; ")
	}
	if f.Hint == "" || f.Hint == hintRunAgain {
		f.Hint = hintContinue
	} else {
		f.Hint += "; then " + hintContinue
	}
	if n.unknown > 0 {
		f.ExitCode, f.Retryable = exitUnknown, true
	}
	return &f
}
