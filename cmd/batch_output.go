package cmd

import (
	"context"
	"fmt"
	"time"

	"github.com/schollz/progressbar/v3"

	"github.com/villapay/villapay/internal/config"
	"github.com/villapay/villapay/internal/ledger"
	"github.com/villapay/villapay/internal/payment"
	"github.com/villapay/villapay/internal/render"
)

// batchOutput shows a batch while it runs: one line an order for programs, what
// failed and a summary for people, and progress on stderr. It is called from one
// goroutine at a time.
type batchOutput struct {
	app    *app
	format string
	csv    *render.CSV
	bar    *progressbar.ProgressBar // nil where stderr is no terminal

	total, made, replayed, failed, unknown int

	failures [][]string // for the table, the first ones
	start    time.Time
	told     time.Time // when progress was last told without a terminal
}

// Progress without a terminal, and how many failures the table lists: both
// bounded, however long the batch.
const (
	tellEvery      = 10 * time.Second
	listedFailures = 1000
)

func (a *app) newBatchOutput(_ context.Context, format string, total int) (*batchOutput, error) {
	o := &batchOutput{app: a, format: format, total: total, start: a.Now(), told: a.Now()}
	if format == "csv" {
		table, err := render.NewCSV(a.writer())
		if err != nil {
			return nil, err
		}
		o.csv = table
	}
	if a.ErrTTY && !a.flags.quiet {
		o.bar = progressbar.NewOptions(total,
			progressbar.OptionSetWriter(a.Err), progressbar.OptionShowCount(), progressbar.OptionShowIts(),
			progressbar.OptionSetItsString("orders"), progressbar.OptionSetPredictTime(true), progressbar.OptionSetWidth(20),
			progressbar.OptionThrottle(100*time.Millisecond), progressbar.OptionClearOnFinish(), progressbar.OptionSetDescription("0 failed"))
	}
	return o, nil
}

// add shows one completed order.
func (o *batchOutput) add(ctx context.Context, profile config.Profile, line payment.Line, p ledger.Payment, err error) error {
	if p.OrderID == "" { // nothing was recorded
		p = ledger.Payment{OrderID: line.OrderID, Source: line.Source, Env: profile.Name, Scope: profile.Scope(), State: ledger.Rejected, KnownAt: o.app.Now(), KnownFrom: ledger.FromLedger}
	}
	if err != nil && p.Error == nil {
		f := explainKind(err)
		p.Error = &ledger.Failure{Code: f.Code, Message: f.Message, Status: f.Status, RequestID: f.RequestID, Retryable: f.Retryable}
	}
	o.count(line, p, err)
	o.progress()
	switch o.format {
	case "csv":
		return o.csv.Row(p)
	case "json":
		raw, err := render.PaymentJSON(p)
		if err != nil {
			return err
		}
		if o.app.query != nil {
			return o.app.runQuery(ctx, raw)
		}
		return render.JSONLine(o.app.writer(), raw)
	}
	return nil
}

func (o *batchOutput) count(line payment.Line, p ledger.Payment, err error) {
	switch {
	case err != nil && explainKind(err).ExitCode == exitUnknown:
		o.unknown++
	case err != nil || p.State == ledger.Failed:
		o.failed++
	case p.Replayed:
		o.replayed++
		return
	default:
		o.made++
		return
	}
	if o.format == "table" && len(o.failures) < listedFailures {
		o.failures = append(o.failures, []string{fmt.Sprint(line.Number), p.OrderID, render.StateWord(p.State), p.Error.Code, p.Error.Message})
	}
}

func (o *batchOutput) done() int { return o.made + o.replayed + o.failed + o.unknown }

// progress tells how far it is: a bar at a terminal, else a line every ten
// seconds.
func (o *batchOutput) progress() {
	if o.bar != nil {
		o.bar.Describe(fmt.Sprintf("%d failed", o.failed+o.unknown))
		_ = o.bar.Add(1)
		return
	}
	now := o.app.Now()
	if now.Sub(o.told) < tellEvery {
		return
	}
	o.told = now
	perSecond := float64(o.done()) / now.Sub(o.start).Seconds()
	left := time.Duration(float64(o.total-o.done()) / perSecond * float64(time.Second))
	o.app.note("%d of %d done, %d failed, %.1f a second, %s left", o.done(), o.total, o.failed+o.unknown, perSecond, left.Round(time.Second))
}

// finish writes what failed and the summary: the result of the table format, a
// note beside the others.
func (o *batchOutput) finish(invalid int) error {
	if o.bar != nil {
		_ = o.bar.Clear()
	}
	summary := fmt.Sprintf("%d of %d orders: %d made, %d already open or paid, %d failed, %d unknown", o.done(), o.total, o.made, o.replayed, o.failed, o.unknown)
	if invalid > 0 {
		summary += fmt.Sprintf(", %d lines left out", invalid)
	}
	if o.format != "table" {
		o.app.note("%s", summary)
		return nil
	}
	if len(o.failures) > 0 {
		if err := render.Table(o.app.writer(), o.app.screen(), []string{"LINE", "ORDER", "STATE", "CODE", "MESSAGE"}, o.failures); err != nil {
			return err
		}
	}
	return o.app.write([]byte(summary + "\n"))
}

// verdict is the exit code of a batch that went through.
func (o *batchOutput) verdict(invalid int) error {
	switch {
	case o.unknown > 0:
		o.app.note("run the same command again: unknown orders are asked again with their keys")
		return exitWith(exitUnknown)
	case o.failed > 0 || invalid > 0:
		return exitWith(exitSomeFailed)
	}
	return nil
}
