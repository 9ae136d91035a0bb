package cmd

import (
	"context"
	"iter"

	"github.com/villapay/villapay/internal/config"
	"github.com/villapay/villapay/internal/order"
	"github.com/villapay/villapay/internal/render"
)

// values returns an iterator over payments that never yields an error.
func values(payments []order.Payment) iter.Seq2[order.Payment, error] {
	return func(yield func(order.Payment, error) bool) {
		for _, p := range payments {
			if !yield(p, nil) {
				return
			}
		}
	}
}

// showPayments writes a list of payments, streamed if the format allows it.
func (a *output) showPayments(ctx context.Context, format config.Format, list render.List, payments iter.Seq2[order.Payment, error]) error {
	switch format {
	case "json", "yaml":
		return a.writeJSONList(ctx, format, payments)
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
