package cmd

import (
	"context"
	"math"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/villapay/villapay/internal/ledger"
	"github.com/villapay/villapay/internal/order"
	"github.com/villapay/villapay/internal/render"
)

// orderList lists payments of the ledger.
type orderList struct {
	app     *app
	since   string
	states  []string
	source  string
	limit   int
	allEnvs bool
}

func newOrderList(a *app) *cobra.Command {
	c := &orderList{app: a, limit: 30}
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List payments of the ledger, newest first",
		Long: `Lists the ledger's payments in the selected environment, newest first, as they
were known last: nobody is asked, which is what order status does. A date
without a zone is Bangkok's.`,
		Example: `  villapay order list --env sandbox
  villapay order list --env sandbox --state awaiting,unknown --since 24h
  villapay order list --env sandbox --limit 0 -o csv`,
		Args: exactArgs(), RunE: a.run(c.run),
	}
	f := cmd.Flags()
	f.StringVar(&c.since, "since", "", "only payments recorded since `WHEN`: 24h or 7d ago, or a date (2026-11-22)")
	f.StringSliceVar(&c.states, "state", nil, "only these `STATES`, such as awaiting,unknown")
	f.Var(&choiceFlag{&c.source, order.Sources()}, "source", "only this source")
	f.Var(&countFlag{value: &c.limit}, "limit", "list at most `N`; 0 = all")
	f.BoolVar(&c.allEnvs, "all-envs", false, "the payments of every environment")
	complete(cmd, "state", stateNames()...)
	complete(cmd, "source", order.Sources()...)
	return cmd
}

func stateNames() []string {
	var names []string
	for _, s := range order.States() {
		names = append(names, string(s))
	}
	return names
}

func (c *orderList) run(ctx context.Context, _ []string) error {
	format, err := c.app.format("table", "json", "yaml", "csv")
	if err != nil {
		return err
	}
	filter, err := c.filter()
	if err != nil {
		return err
	}
	settings, err := c.app.settings()
	if err != nil {
		return err
	}
	if !c.allEnvs {
		filter.Scope = settings.Profile.Scope()
	}
	opened, err := c.app.requireLedger(ctx)
	if err != nil {
		return err
	}
	shown, more := 0, false
	if c.limit > 0 {
		filter.Limit++ // one more, to know whether there are more
	}
	list := opened.List(ctx, filter)
	err = c.app.showPayments(ctx, format, render.List{AllEnvs: c.allEnvs}, func(yield func(order.Payment, error) bool) {
		for p, err := range list {
			if more = err == nil && c.limit > 0 && shown == c.limit; more || !yield(p, err) {
				return
			}
			shown++
		}
	})
	switch {
	case err != nil:
		return err
	case shown == 0:
		c.app.note("no payments")
	case more:
		c.app.note("the newest %d are shown; --limit 0 shows all", shown)
	}
	return nil
}

func (c *orderList) filter() (ledger.Filter, error) {
	filter := ledger.Filter{Source: order.Source(c.source), Limit: c.limit}
	for _, name := range c.states {
		state, err := oneOf("state", name, stateNames())
		if err != nil {
			return filter, err
		}
		filter.States = append(filter.States, order.State(state))
	}
	since, err := c.sinceTime()
	filter.Since = since
	return filter, err
}

// sinceTime reads --since: a duration back from now, in which d stands for 24
// hours, or a date or time, which is Bangkok's where it names no zone.
func (c *orderList) sinceTime() (time.Time, error) {
	if c.since == "" {
		return time.Time{}, nil
	}
	text := c.since
	if days, ok := strings.CutSuffix(text, "d"); ok {
		if d, err := time.ParseDuration(days + "h"); err == nil && d > 0 && d < math.MaxInt64/24 {
			return c.app.Now().Add(-24 * d), nil
		}
	}
	if d, err := time.ParseDuration(text); err == nil && d > 0 {
		return c.app.Now().Add(-d), nil
	}
	for _, layout := range []string{time.DateOnly, "2006-01-02T15:04", "2006-01-02 15:04", time.DateTime, time.RFC3339} {
		if at, err := time.ParseInLocation(layout, text, order.Bangkok); err == nil {
			return at, nil
		}
	}
	return time.Time{}, usageError("examples: 24h, 7d, 2026-11-22, 2026-11-22T18:30", "--since: %q is neither a duration nor a date", text)
}
