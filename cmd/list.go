package cmd

import (
	"context"
	"iter"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/villapay/villapay/internal/config"
	"github.com/villapay/villapay/internal/ledger"
	"github.com/villapay/villapay/internal/order"
	"github.com/villapay/villapay/internal/render"
)

// listFlags select payments of the ledger and how to list them.
type listFlags struct {
	app       *app
	stretch   stretchFlags
	by        ledger.By
	states    []string
	unpaid    bool
	source    order.Source
	limit     int
	allEnvs   bool
	columns   []string
	noHeaders bool
}

func (c *listFlags) register(cmd *cobra.Command) {
	c.limit = 30
	f := cmd.Flags()
	c.stretch.register(cmd, "only payments")
	addChoice(cmd, &c.by, "by", "the time to filter and sort by (default recorded)",
		string(ledger.ByRecorded), string(ledger.ByCreated), string(ledger.ByPaid))
	f.StringSliceVar(&c.states, "state", nil, "only these `STATES`, such as awaiting,unknown")
	f.BoolVar(&c.unpaid, "unpaid", false, "only the newest payment of each unpaid order")
	addSource(cmd, &c.source, "only this source")
	f.Var(&countFlag{&c.limit, "all"}, "limit", "list at most `N`; 0 = all")
	f.BoolVar(&c.allEnvs, "all-envs", false, "the payments of every environment")
	f.StringSliceVar(&c.columns, "columns", nil, "only these `COLUMNS` of table or CSV, such as orderid,amount")
	f.BoolVar(&c.noHeaders, "no-headers", false, "omit the header of table or CSV")
	complete(cmd, "state", stateNames()...)
	complete(cmd, "columns", render.Columns()...)
}

func stateNames() []string {
	var names []string
	for _, s := range order.States() {
		names = append(names, string(s))
	}
	return names
}

// list writes the payments that match the flags and text, and returns their number.
func (c *listFlags) list(ctx context.Context, text string) (shown int, filter ledger.Filter, _ error) {
	format, err := c.format()
	if err != nil {
		return 0, filter, err
	}
	if filter, err = c.filter(text); err != nil {
		return 0, filter, err
	}
	settings, opened, err := c.app.requireLedger(ctx)
	if err != nil {
		return 0, filter, err
	}
	if !c.allEnvs {
		filter.Scope = settings.Profile.Scope()
	}
	more := false
	asked := filter
	if c.limit > 0 {
		asked.Limit++ // one more, to know whether there are more
	}
	list := render.List{Columns: c.columns, NoHeader: c.noHeaders, AllEnvs: c.allEnvs, Live: isLive(settings)}
	err = c.app.showPayments(ctx, format, list, func(yield func(order.Payment, error) bool) {
		for p, err := range opened.List(ctx, asked) {
			if more = err == nil && c.limit > 0 && shown == c.limit; more || !yield(p, err) {
				return
			}
			shown++
		}
	})
	if err == nil && more {
		c.app.warn("showing only the newest %s; use --limit 0 for all", plural(shown, "payment"))
	}
	return shown, filter, err
}

func (c *listFlags) format() (config.Format, error) {
	format, err := c.app.format("table", "json", "yaml", "csv")
	if err != nil {
		return format, err
	}
	if (c.columns != nil || c.noHeaders) && format != "table" && format != "csv" {
		return format, usageError("add -o csv, or omit --columns and --no-headers", "--columns and --no-headers work with table and csv, not with %s", format)
	}
	for i, name := range c.columns {
		if c.columns[i], err = oneOf("columns", strings.TrimSpace(name), render.Columns()); err != nil {
			return format, err
		}
	}
	return format, nil
}

func (c *listFlags) filter(text string) (filter ledger.Filter, err error) {
	filter = ledger.Filter{Source: c.source, By: c.by, Unpaid: c.unpaid, Text: text, Limit: c.limit}
	for _, name := range c.states {
		state, err := oneOf("state", strings.TrimSpace(name), stateNames())
		if err != nil {
			return filter, err
		}
		filter.States = append(filter.States, order.State(state))
	}
	filter.Since, filter.Until, err = c.stretch.times(c.app.Now())
	return filter, err
}

// none is "no", or "no such" if the flags choose among the payments.
func (c *listFlags) none() string {
	if c.stretch != (stretchFlags{}) || c.by != "" || c.states != nil || c.unpaid || c.source != "" {
		return "no such"
	}
	return "no"
}

// elsewhere hints at other environments with matching payments, "" if there are none.
func (c *listFlags) elsewhere(ctx context.Context, filter ledger.Filter) string {
	if c.allEnvs {
		return ""
	}
	payments, err := c.app.ledger.Elsewhere(ctx, filter)
	if err != nil || len(payments) == 0 {
		return "" // the list has reported any error of the ledger
	}
	return c.app.have(payments) + hintAllEnvs
}

const hintAllEnvs = ": add --all-envs, or --env NAME"

// have says which environments have payments.
func (a *deps) have(payments []order.Payment) string {
	var names []string
	for _, p := range payments {
		if name := a.envOf(p); !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	if len(names) == 1 {
		return names[0] + " has payments"
	}
	return strings.Join(names[:len(names)-1], ", ") + " and " + names[len(names)-1] + " have payments"
}

// envOf returns the current name of a payment's environment, or the recorded name if
// it no longer exists.
func (a *deps) envOf(p order.Payment) string {
	for _, e := range a.config.Envs() {
		if e.BaseURL == p.Scope {
			return e.Name
		}
	}
	return p.Env
}

// isLive returns a function that reports whether a payment takes real money, from the
// current environments or its order.
func isLive(settings *config.Config) func(order.Payment) bool {
	live := map[string]bool{settings.Profile.Scope(): settings.Profile.Live}
	for _, e := range settings.Envs() {
		live[e.BaseURL] = live[e.BaseURL] || e.Live
	}
	return func(p order.Payment) bool {
		if live[p.Scope] {
			return true
		}
		made, err := order.Decode(p.Order)
		return err == nil && made.Livemode != nil && *made.Livemode
	}
}

// showPayments writes a list of payments, streamed if the format allows it.
func (a *output) showPayments(ctx context.Context, format config.Format, list render.List, payments iter.Seq2[order.Payment, error]) error {
	switch format {
	case "json", "yaml":
		return a.writeJSONList(ctx, format, mapped(payments, func(p order.Payment) ([]byte, error) { return render.PaymentJSON(a.view(ctx, p)) }))
	case "csv":
		return a.writeCSV(list, payments)
	}
	return render.Payments(a.writer(), a.screen(), list, payments)
}

func (a *output) writeCSV(list render.List, payments iter.Seq2[order.Payment, error]) error {
	table, err := render.NewCSV(a.writer(), list)
	if err != nil {
		return err
	}
	for p, err := range payments {
		if err != nil {
			return err
		}
		if err := table.Row(p); err != nil {
			return err
		}
	}
	return nil
}
