package cmd

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/villapay/villapay/internal/config"
	"github.com/villapay/villapay/internal/ledger"
	"github.com/villapay/villapay/internal/order"
	"github.com/villapay/villapay/internal/reconcile"
	"github.com/villapay/villapay/internal/render"
)

type orderReconcile struct {
	app     *app
	id      string
	amount  string
	stretch stretchFlags
}

func newOrderReconcile(a *app) *cobra.Command {
	c := &orderReconcile{app: a, id: "orderid", amount: "amount"}
	cmd := &cobra.Command{
		Use:   "reconcile FILE|-",
		Short: "Compare a list of the bank or the shop with the ledger",
		Long: `Compares a list of payments with the payments that the ledger has as paid between
--since and --until, and reports the differences. Each row of the list counts as
paid. The list has one of the formats of pay batch, with a header. --id names the
column of order IDs, bank order ids, reference_orders or charge ids, and --amount
the column of amounts, such as 300.00, 1,234.50 or THB 1,234.50. Other columns,
such as a currency, are not compared.

The differences are only_in_file (not known here, paid at another time, or paid
fewer times than listed), only_in_ledger, not_paid (known here, but not paid) and
amount (the ledger has another amount or currency, or no amount). It ends with 0
if there are none, else with 9.`,
		Example: `  villapay sandbox pay 492500004632
  villapay order status 492500004632 --env sandbox
  villapay order list --env sandbox --state paid --limit 0 -o csv > paid.csv
  villapay order reconcile paid.csv --env sandbox --since today --until today
  villapay order reconcile paid.csv --env sandbox --id charge_id --since today --until today -o csv`,
		Args: needsFlags(exactArgs("a file, or - for stdin"), "for one day: villapay order reconcile bank.csv --since today --until today", "since", "until"), RunE: a.withFormat(c.run, "table", "json", "yaml", "csv"),
	}
	f := cmd.Flags()
	f.StringVar(&c.id, "id", c.id, "the `COLUMN` of ids")
	f.StringVar(&c.amount, "amount", c.amount, "the `COLUMN` of amounts")
	c.stretch.register(cmd, "what was paid")
	_ = cmd.MarkFlagRequired("since")
	_ = cmd.MarkFlagRequired("until")
	return cmd
}

func (c *orderReconcile) run(ctx context.Context, format config.Format, args []string) error {
	since, until, err := c.stretch.times(c.app.Now())
	if err != nil {
		return err
	}
	settings, opened, err := c.app.requireLedger(ctx)
	if err != nil {
		return err
	}
	period := ledger.Period{Scope: settings.Profile.Scope(), Since: since, Until: until}
	file, err := c.read(ctx, args[0])
	if err != nil {
		return err
	}
	n := 0
	err = c.show(ctx, format, func(yield func(reconcile.Difference, error) bool) {
		for d, err := range file.Compare(ctx, opened, period) {
			if err == nil {
				n++
			}
			if !yield(d, err) {
				return
			}
		}
	})
	if err != nil {
		return err
	}
	summary := fmt.Sprintf("%s, %s", plural(file.Rows(), "row"), plural(n, "difference"))
	c.app.note("%s", summary)
	if n > 0 {
		return &failure{Code: "differences", Message: summary, ExitCode: exitSomeFailed, quiet: true}
	}
	return nil
}

func (c *orderReconcile) read(ctx context.Context, name string) (*reconcile.File, error) {
	from, err := c.app.openList(ctx, name, "bank.csv")
	if err != nil {
		return nil, err
	}
	defer from.Close()
	problems := &lineProblems{app: c.app}
	file, err := reconcile.Read(from, c.id, c.amount, problems.add)
	if err != nil {
		return nil, explainList(err, "", map[string]string{c.amount: "--amount", c.id: "--id"})
	}
	return file, problems.result("correct or remove them; the columns are named by --id and --amount")
}

// show streams the differences.
func (c *orderReconcile) show(ctx context.Context, format config.Format, all iter.Seq2[reconcile.Difference, error]) error {
	switch format {
	case "json", "yaml":
		return c.app.writeJSONList(ctx, format, mapped(all, differenceJSON))
	case "csv":
		return render.RowsCSV(c.app.writer(), []string{"kind", "id", "orderid", "file_amount", "ledger_amount", "line"}, mapped(all, func(d reconcile.Difference) ([]string, error) {
			return []string{string(d.Kind), d.ID, d.OrderID, d.FileAmount.String(), d.LedgerAmount.String(), lineNumber(d)}, nil
		}))
	}
	titles := []render.Title{{Text: "Difference"}, {Text: "ID"}, {Text: "Order"}, {Text: "File", Right: true}, {Text: "Ledger", Right: true}, {Text: "Line", Right: true}, {Text: "Note", Optional: true}}
	return render.Rows(c.app.writer(), c.app.screen(), titles, mapped(all, func(d reconcile.Difference) ([]string, error) {
		return []string{differenceWord(d.Kind), d.ID, d.OrderID, render.Money(d.FileAmount, ""), render.Money(d.LedgerAmount, ""), lineNumber(d), differenceNote(d)}, nil
	}))
}

func lineNumber(d reconcile.Difference) string {
	if d.Line == 0 {
		return ""
	}
	return strconv.Itoa(d.Line)
}

func differenceWord(kind reconcile.Kind) string {
	switch kind {
	case reconcile.OnlyInFile:
		return "only in the file"
	case reconcile.OnlyInLedger:
		return "only in the ledger"
	case reconcile.NotPaid:
		return "not paid"
	case reconcile.OtherAmount:
		return "amount differs"
	}
	return string(kind)
}

// differenceNote returns what the ledger has instead.
func differenceNote(d reconcile.Difference) string {
	switch p := d.Payment; {
	case d.Kind == reconcile.OtherAmount && !d.LedgerAmount.Known():
		return "no amount is known"
	case d.Kind == reconcile.OtherAmount && d.FileAmount.Equal(d.LedgerAmount): // the file says THB
		return "in " + d.Currency
	case p == nil:
		return ""
	case d.Kind == reconcile.NotPaid:
		return render.StateWord(p.State)
	case p.State == order.Paid:
		return "paid " + render.Exact(p.PaidAt)
	}
	return ""
}

func differenceJSON(d reconcile.Difference) ([]byte, error) {
	return json.Marshal(struct {
		Kind         reconcile.Kind `json:"kind"`
		ID           string         `json:"id"`
		OrderID      *string        `json:"orderid"`
		FileAmount   order.Amount   `json:"file_amount"`
		LedgerAmount order.Amount   `json:"ledger_amount"`
		Line         *int           `json:"line"`
	}{d.Kind, d.ID, orNull(d.OrderID), d.FileAmount, d.LedgerAmount, orNull(d.Line)})
}
