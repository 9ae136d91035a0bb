package cmd

import "github.com/spf13/cobra"

func newPay(a *app) *cobra.Command {
	return group("pay", "Make payment orders", "  villapay pay qr 492500004632 --env sandbox\n  villapay pay batch orders.csv --env sandbox", newPayQR(a), newPayBatch(a))
}
