package cmd

import (
	"cmp"
	"context"
	"slices"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/villapay/villapay/internal/config"
	"github.com/villapay/villapay/internal/ledger"
	"github.com/villapay/villapay/internal/order"
	"github.com/villapay/villapay/internal/render"
)

type orderReport struct {
	app     *app
	stretch stretchFlags
	source  order.Source
	allEnvs bool
}

func newOrderReport(a *app) *cobra.Command {
	c := &orderReport{app: a}
	cmd := &cobra.Command{
		Use:   "report",
		Short: "Add up what was paid today, or in another stretch of time",
		Long: `Adds up the payments of the ledger by the time of payment: those that are paid,
and those that were given back later, each on the day it was paid. Amounts are
exact. Without --since and --until it adds up today; with only --until, all
payments up to then; with only --since, all from then on. Days are Bangkok days.
A payment first heard of as voided or refunded is in no report: nobody said when
it was paid.

If an order was paid more than once, the totals include every payment. Such
orders are listed with the overpaid amount, which is the amount to give back.`,
		Example: `  villapay order report --env sandbox
  villapay order report --env sandbox --since yesterday --until yesterday
  villapay order report --env sandbox --since 2026-11-01 --until 2026-11-30 --all-envs -o json`,
		Args: exactArgs(), RunE: a.withFormat(c.run, "table", "json", "yaml"),
	}
	c.stretch.register(cmd, "what was paid")
	addSource(cmd, &c.source, "only this source")
	cmd.Flags().BoolVar(&c.allEnvs, "all-envs", false, "the payments of every environment")
	return cmd
}

func (c *orderReport) run(ctx context.Context, format config.Format, _ []string) error {
	if c.stretch == (stretchFlags{}) {
		c.stretch.since = "today"
	}
	c.stretch.until = cmp.Or(c.stretch.until, "today")
	period := ledger.Period{Source: c.source}
	var err error
	if period.Since, period.Until, err = c.stretch.times(c.app.Now()); err != nil {
		return err
	}
	settings, opened, err := c.app.requireLedger(ctx)
	if err != nil {
		return err
	}
	if !c.allEnvs {
		period.Scope = settings.Profile.Scope()
	}
	totals, extra, err := opened.Totals(ctx, period)
	if err != nil {
		return err
	}
	if format == "table" {
		err = c.table(settings, totals)
	} else {
		err = c.app.writeValue(ctx, format, reportOf(period, totals, paidTwice(extra)))
	}
	if err != nil {
		return err
	}
	c.app.note("%s", c.heading(ctx, opened, period, len(totals) > 0))
	c.warnNoAmount(totals)
	if format == "table" {
		return c.twice(paidTwice(extra))
	}
	return nil
}

// heading says what the report is about, and which other environments have payments
// if this one has none.
func (c *orderReport) heading(ctx context.Context, opened *ledger.Ledger, period ledger.Period, some bool) string {
	text, where := "nothing was received", "any environment"
	if some {
		text, where = "received", "all environments"
	}
	if !c.allEnvs {
		where = c.app.config.Profile.Name
	}
	if c.source != "" {
		text += " by " + string(c.source)
	}
	text += " in " + where + " " + periodWords(period.Since, period.Until)
	if some || c.allEnvs {
		return text
	}
	period.Scope = ""
	totals, _, err := opened.Totals(ctx, period)
	if err != nil || len(totals) == 0 {
		return text // the report itself shows errors of the ledger
	}
	var elsewhere []order.Payment
	for _, t := range totals {
		elsewhere = append(elsewhere, order.Payment{Scope: t.Scope, Env: t.Env})
	}
	return text + "; " + c.app.have(elsewhere) + hintAllEnvs
}

// warnNoAmount says how many payments the amounts lack.
func (c *orderReport) warnNoAmount(totals []ledger.Total) {
	n := 0
	for _, t := range totals {
		n += t.NoAmount
	}
	switch n {
	case 0:
	case 1:
		c.app.warn("1 payment has no known amount: it counts, and adds nothing to the amounts")
	default:
		c.app.warn("%d payments have no known amount: they count, and add nothing to the amounts", n)
	}
}

// reportValue is the report as JSON.
type reportValue struct {
	Since     *string          `json:"since"`
	Until     *string          `json:"until"`
	Totals    []totalValue     `json:"totals"`
	PaidTwice []paidTwiceValue `json:"paid_twice"`
}

type totalValue struct {
	Env      string       `json:"env"`
	State    order.State  `json:"state"`
	Currency string       `json:"currency"`
	Payments int          `json:"payments"`
	Amount   order.Amount `json:"amount"`
}

// paidTwiceValue is what was paid for an order after its first payment.
type paidTwiceValue struct {
	Env      string       `json:"-"`
	OrderID  string       `json:"orderid"`
	Currency string       `json:"currency"`
	Amount   order.Amount `json:"amount"`
}

func reportOf(p ledger.Period, totals []ledger.Total, twice []paidTwiceValue) reportValue {
	v := reportValue{Since: orNull(render.FormatTime(p.Since)), Until: orNull(render.FormatTime(p.Until)), Totals: []totalValue{}, PaidTwice: twice}
	for _, t := range totals {
		v.Totals = append(v.Totals, totalValue{t.Env, t.State, t.Currency, t.Payments, t.Amount})
	}
	return v
}

// paidTwice adds up the excess payments of each order in each environment. extra is
// sorted by order and environment.
func paidTwice(extra []order.Receipt) []paidTwiceValue {
	all := []paidTwiceValue{}
	var sum order.Sum
	var before order.Receipt
	for i, r := range extra {
		if i == 0 || before.Scope != r.Scope || before.OrderID != r.OrderID || before.Currency != r.Currency {
			all, sum = append(all, paidTwiceValue{Env: r.Env, OrderID: r.OrderID, Currency: r.Currency}), order.Sum{}
		}
		sum.Add(r.Amount)
		all[len(all)-1].Amount, before = sum.Amount(), r
	}
	return all
}

func (c *orderReport) table(settings *config.Config, totals []ledger.Total) error {
	live := isLive(settings)
	titles := []render.Title{{Text: "Env"}, {Text: "Money"}, {Text: "State"}, {Text: "Payments", Right: true}, {Text: "Amount", Right: true}}
	return render.Rows(c.app.writer(), c.app.screen(), titles, mapped(render.All(totals), func(t ledger.Total) ([]string, error) {
		money := mark(live(order.Payment{Scope: t.Scope}), "LIVE")
		return []string{t.Env, money, render.StateWord(t.State), strconv.Itoa(t.Payments), render.Money(t.Amount, t.Currency)}, nil
	}))
}

// twice lists what was paid too much.
func (c *orderReport) twice(twice []paidTwiceValue) error {
	if len(twice) == 0 {
		return nil
	}
	were := "were"
	if len(twice) == 1 {
		were = "was"
	}
	c.app.warn("%s %s paid more than once; the totals include the overpaid amounts", plural(len(twice), "order"), were)
	titles := []render.Title{{Text: "Paid more than once"}, {Text: "Overpaid", Right: true}}
	if c.allEnvs {
		titles = slices.Insert(titles, 0, render.Title{Text: "Env"})
	}
	return render.Rows(c.app.writer(), c.app.screen(), titles, mapped(render.All(twice), func(v paidTwiceValue) ([]string, error) {
		cells := []string{v.OrderID, render.Money(v.Amount, v.Currency)}
		if c.allEnvs {
			cells = slices.Insert(cells, 0, v.Env)
		}
		return cells, nil
	}))
}
