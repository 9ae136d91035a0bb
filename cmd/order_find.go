package cmd

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"unicode"

	"github.com/spf13/cobra"
)

type orderFind struct{ listFlags }

func newOrderFind(a *app) *cobra.Command {
	c := &orderFind{listFlags{app: a}}
	cmd := &cobra.Command{
		Use:   "find TEXT",
		Short: "Find payments by any part of an id, or by an amount",
		Long: `Finds the payments whose order ID, bank order id, charge id, reference_order or
idempotency key contains a text, in any case, or whose amount it is, such as
300.00 or "THB 2,674.75", and lists them as order list does. If there are none it
ends with 5.

It searches only this ledger, and sends no request.`,
		Example: `  villapay order find 4632 --env sandbox
  villapay order find 4925000046 --env sandbox --limit 0 -o csv --columns orderid,id
  villapay order find 300.00 --env sandbox --all-envs`,
		Args: exactArgs("a text"), ValidArgsFunction: a.completeOrderID, RunE: a.run(c.run),
	}
	c.register(cmd)
	return cmd
}

func (c *orderFind) run(ctx context.Context, args []string) error {
	text := strings.TrimSpace(args[0])
	if text == "" || strings.ContainsFunc(text, unicode.IsControl) {
		return usageError("", "%q is not a valid search text", args[0])
	}
	shown, filter, err := c.list(ctx, text)
	if err != nil || shown > 0 {
		return err
	}
	f := &failure{Code: "no_payment", Message: fmt.Sprintf("%s payment with %q is known", c.none(), text), Hint: c.elsewhere(ctx, filter), ExitCode: exitRejected}
	if !c.allEnvs {
		f.Message += " in " + c.app.config.Profile.Name
	}
	f.Hint = cmp.Or(f.Hint, hintNotHere)
	return f
}
