package payment

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/villapay/villapay/internal/api"
	"github.com/villapay/villapay/internal/ledger"
	"github.com/villapay/villapay/internal/order"
)

// Report is what is known of one Villa order.
type Report struct {
	OrderID string
	Payment order.Payment   // the one that answers for the order; Watch may follow another
	Found   bool            // whether there is any payment at all
	Others  int             // further payments of the order
	Open    []order.Payment // of a paid order: further payments that may still be paid
	Asked
}

// Asked is how asking what became of an order went.
type Asked struct {
	NoEndpoint bool   // the API has no status endpoint: only the ledger speaks
	NoOrder    bool   // the API does not know the order
	Word       string // all that the API says; it proves nothing
	Err        error  // asking the API failed; the payment is what the ledger knows
	BankErr    error  // asking the bank failed
}

// askAtOnce bounds how many orders are asked about in parallel.
const askAtOnce = 8

// Statuses reports on several orders, asked about in parallel, in the order given.
// ask says whether to ask the API at all. An error is the ledger's.
func (s *Service) Statuses(ctx context.Context, orderIDs []string, ask bool) ([]Report, error) {
	reports := make([]Report, len(orderIDs))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(askAtOnce)
	for i, id := range orderIDs {
		group.Go(func() (err error) {
			reports[i], err = s.Status(ctx, id, ask)
			return err
		})
	}
	return reports, group.Wait()
}

// Status reports what is known of an order now: it asks the API if there is a
// status endpoint, records the answer, and lets the ledger answer.
func (s *Service) Status(ctx context.Context, orderID string, ask bool) (Report, error) {
	report := Report{OrderID: orderID}
	if ask {
		asked, err := s.ask(ctx, orderID, s.Timeout)
		if err != nil {
			return report, err
		}
		report.Asked = asked
	}
	known, err := s.payments(ctx, orderID)
	report.Payment, report.Found = order.Answering(known)
	report.Others = max(0, len(known)-1)
	for _, p := range known {
		open := p.State == order.Awaiting || p.State == order.Expired
		if report.Payment.State == order.Paid && open && !p.Lapsed(s.Now()) {
			report.Open = append(report.Open, p)
		}
	}
	return report, err
}

// payments are what the ledger knows of an order, newest first.
func (s *Service) payments(ctx context.Context, orderID string) ([]order.Payment, error) {
	ctx, cancel, err := s.limit(ctx)
	if err != nil {
		return nil, err
	}
	defer cancel()
	return s.Ledger.Payments(ctx, s.Scope, orderID)
}

// CanAsk reports whether anybody can be asked what became of an order.
func (s *Service) CanAsk() bool { return s.StatusPath != "" || s.Bank != nil }

// ask asks what became of an order, and records what is said: the bank, if its key
// is available, and if that shows no payment, the API. Questions that fail, or take
// longer than within, are in Asked; an error is the ledger's.
func (s *Service) ask(ctx context.Context, orderID string, within time.Duration) (asked Asked, _ error) {
	asking, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	if s.Bank != nil {
		if paid, err := s.askBank(ctx, asking, orderID, &asked); paid || err != nil {
			return asked, err
		}
	}
	if s.StatusPath == "" {
		asked.NoEndpoint = true
		return asked, nil
	}
	answer := ledger.Asked{OrderID: orderID, From: order.FromAPI}
	_, err := s.API.Retry(asking, func(ctx context.Context) (err error) {
		answer.Status, answer.RequestID, err = s.API.Status(ctx, s.StatusPath, orderID, s.StatusPaid)
		return err
	})
	switch {
	case errors.Is(err, api.ErrNoRoute):
		asked.NoEndpoint = true
		return asked, nil
	case errors.Is(err, api.ErrNoOrder):
		asked.NoOrder = true
		return asked, nil
	case errors.Is(err, order.ErrOtherOrder):
		answer.Warning = &order.Warning{Code: "status_order", Message: fmt.Sprintf("the status endpoint's answer does not count: %s", errors.Unwrap(err))}
	case err != nil:
		asked.Err = err
		return asked, nil
	case strings.EqualFold(answer.Status.Word, "success") && !slices.ContainsFunc(answer.Status.Reports, order.Report.AboutCharge):
		answer.Warning = &order.Warning{Code: "status_ambiguous", Message: "the status endpoint says only \"success\", which also stands on unpaid orders: it proves nothing (see status_paid)"}
	}
	recording, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordWithin)
	defer cancel()
	asked.Word = answer.Status.Word
	return asked, s.Ledger.RecordAnswer(recording, s.Scope, answer)
}

// askBefore bounds the question before another order is made for a Villa order.
const askBefore = 3 * time.Second

// cancelsFirst reports whether an earlier payment has a code that is canceled before
// another order is made.
func (s *Service) cancelsFirst(earlier order.Payment) bool {
	return s.Bank != nil && earlier.HoldsCode(s.Now()) && earlier.Held.Text != ""
}

// askEarlier asks what became of a Villa order's earlier payments, before another
// is made. The code of the one that it is to replace is canceled first, if it can be.
// A question that fails is a warning.
func (s *Service) askEarlier(ctx context.Context, earlier order.Payment) error {
	_, _ = s.cancelEarlier(ctx, earlier) // if it failed, cancelReplaced tries again
	asked, err := s.ask(ctx, earlier.OrderID, askBefore)
	if failed := cmp.Or(asked.BankErr, asked.Err); failed != nil {
		notify(s.Warn, "order %s has an earlier payment, and nobody could say whether it was paid meanwhile: %s", earlier.OrderID, failed)
	}
	return err
}
