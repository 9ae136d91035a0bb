package payment

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/villapay/villapay/internal/api"
	"github.com/villapay/villapay/internal/kbank"
	"github.com/villapay/villapay/internal/ledger"
	"github.com/villapay/villapay/internal/order"
)

// Report is what is known of one Villa order.
type Report struct {
	OrderID string
	Payment order.Payment   // the payment that stands for the order; Watch may use another
	Found   bool            // there is a payment
	Others  int             // number of other payments of the order
	Open    []order.Payment // other payments of a paid order that may still be paid
	Asked
}

// Asked is the result of asking the API and the bank about an order.
type Asked struct {
	NoEndpoint bool   // the API has no status endpoint
	NoOrder    bool   // the API does not know the order
	Word       string // the API's status word; it proves nothing
	Err        error  // asking the API failed; the payment is as recorded
	BankErr    error  // asking the bank failed
	Bank       bool   // the bank was asked, and answered

	sent bool // a request may have reached the API or the bank
}

// maxParallelAsks is the maximum number of concurrent inquiries.
const maxParallelAsks = 8

// Statuses returns the reports of several orders, in the given order. With ask it asks
// the bank and the API about all of them and records the answers before it reads the
// ledger, so that no report is older than the last answer. An error is the ledger's.
func (s *Service) Statuses(ctx context.Context, orderIDs []string, ask bool) ([]Report, error) {
	reports := make([]Report, len(orderIDs))
	for i, id := range orderIDs {
		reports[i].OrderID = id
	}
	each := func(do func(ctx context.Context, r *Report) error) error {
		group, ctx := errgroup.WithContext(ctx)
		group.SetLimit(maxParallelAsks)
		for i := range reports {
			group.Go(func() error { return do(ctx, &reports[i]) })
		}
		return group.Wait()
	}
	var err error
	if ask {
		err = each(func(ctx context.Context, r *Report) (err error) {
			r.Asked, err = s.ask(ctx, r.OrderID, s.Timeout)
			return err
		})
	}
	if err == nil {
		err = each(func(ctx context.Context, r *Report) error {
			known, err := s.payments(ctx, r.OrderID)
			r.know(known, s.Now())
			return err
		})
	}
	if slices.ContainsFunc(reports, func(r Report) bool { return r.sent }) {
		err = s.afterAsking(err)
	}
	return reports, err
}

// Status is the report of one order.
func (s *Service) Status(ctx context.Context, orderID string, ask bool) (Report, error) {
	reports, err := s.Statuses(ctx, []string{orderID}, ask)
	return reports[0], err
}

// know fills in what is known of the order.
func (r *Report) know(known []order.Payment, now time.Time) {
	r.Payment, r.Found = order.Answering(known)
	r.Others = max(0, len(known)-1)
	for _, p := range known {
		if r.Payment.State == order.Paid && p.MayBePaid(now) {
			r.Open = append(r.Open, p)
		}
	}
}

// payments returns the recorded payments of an order, newest first.
func (s *Service) payments(ctx context.Context, orderID string) ([]order.Payment, error) {
	ctx, cancel, err := s.limit(ctx)
	if err != nil {
		return nil, err
	}
	defer cancel()
	known, err := s.Ledger.Payments(ctx, s.Scope, orderID)
	if s.Ledger.Kind() == "none" && len(known) == 1 { // without a ledger that is no news, unless this run made another
		known[0].Warnings = slices.DeleteFunc(known[0].Warnings, func(w order.Warning) bool { return w.Code == order.WarnNotRecorded })
	}
	return known, err
}

// CanAsk reports whether there is a server to ask about orders.
func (s *Service) CanAsk() bool { return s.StatusPath != "" || s.Bank != nil }

// ask asks the bank, if its key is available, and then the API, unless the bank says
// that the order is paid. It records the answers. Failed requests, and those that
// take longer than within, are reported in Asked; an error is the ledger's.
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
	answer := ledger.Asked{OrderID: orderID, From: order.FromAPI, AfterBank: asked.Bank}
	_, err := s.API.Retry(asking, func(ctx context.Context) (err error) {
		answer.Status, answer.RequestID, err = s.API.Status(ctx, s.StatusPath, orderID, s.StatusPaid)
		asked.sent = asked.sent || reached(err)
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
		answer.Warning = &order.Warning{Code: "status_ambiguous", Message: "the status endpoint says only \"success\", which unpaid orders have too: it proves nothing (see status_paid)"}
	}
	recording, cancel := toRecord(ctx)
	defer cancel()
	asked.Word = answer.Status.Word
	return asked, s.afterAsking(s.Ledger.RecordAnswer(recording, s.Scope, answer))
}

// afterAsking turns an error of the ledger into a *NotRecordedError, since the API or
// the bank may have been asked before.
func (s *Service) afterAsking(err error) error {
	if !onlyLedger(err) || !s.CanAsk() || errors.Is(err, context.Canceled) { // by Ctrl-C
		return err
	}
	return &NotRecordedError{Err: err}
}

// reached reports whether a request with this outcome may have reached its server.
func reached(err error) bool {
	if failure, ok := errors.AsType[*api.Error](err); ok {
		return failure.Reached()
	}
	_, sent := errors.AsType[*NotRecordedError](err)
	return err == nil || sent
}

// onlyLedger reports whether the ledger failed before anything was sent, as far as the
// error says.
func onlyLedger(err error) bool {
	_, stored := errors.AsType[*ledger.Error](err)
	_, sent := errors.AsType[*NotRecordedError](err)
	return stored && !sent
}

// preflightTimeout limits each check before another order is made for a Villa order.
const preflightTimeout = 3 * time.Second

// cancelsFirst reports whether an earlier payment has a code to cancel before another
// order is made.
func (s *Service) cancelsFirst(earlier order.Payment) bool {
	return s.Bank != nil && earlier.HoldsCode(s.Now()) && earlier.Held.Text != ""
}

// askEarlier cancels the code of the earlier payment, if possible, and asks whether
// the order was paid, before another order is made. A failed request is a warning.
// sent reports whether a request may have reached a server.
func (s *Service) askEarlier(ctx context.Context, earlier order.Payment) (sent bool, _ error) {
	canceling := s.cancelsFirst(earlier)
	_, notCanceled := s.cancelEarlier(ctx, earlier) // cancelReplaced tries again
	canceling = canceling && reached(notCanceled)
	asked, err := s.ask(ctx, earlier.OrderID, preflightTimeout)
	if failed := cmp.Or(asked.BankErr, asked.Err); failed != nil {
		notify(s.Warn, "order %s has an earlier payment that may have been paid meanwhile; asking failed: %s", earlier.OrderID, failed)
	}
	if canceling {
		err = s.afterAsking(err)
	}
	return canceling || asked.sent, err
}

// askBank asks the bank about every recorded bank order and charge of a Villa order,
// records the answers, and reports whether the order is paid. asking bounds the
// requests, ctx the ledger calls.
func (s *Service) askBank(ctx, asking context.Context, orderID string, asked *Asked) (paid bool, _ error) {
	known, err := s.payments(ctx, orderID)
	if err != nil {
		return false, err
	}
	questions := map[string]func(context.Context) (order.Status, string, error){}
	for _, p := range known {
		if p.BankOrderID != "" && questions[p.BankOrderID] == nil {
			questions[p.BankOrderID] = func(ctx context.Context) (order.Status, string, error) { return s.Bank.InquireOrder(ctx, &p) }
		}
	}
	charges, err := s.Ledger.Charges(ctx, s.Scope, orderID)
	if err != nil {
		return false, err
	}
	for _, id := range charges {
		questions[id] = func(ctx context.Context) (order.Status, string, error) { return s.Bank.InquireCharge(ctx, id, orderID) }
	}
	group, asking := errgroup.WithContext(asking)
	group.SetLimit(maxParallelAsks)
	var sent atomic.Bool
	failures := make(chan error, len(questions))
	for _, question := range questions {
		group.Go(func() error {
			failure, err := s.inquire(asking, orderID, &sent, question)
			if failure != nil {
				failures <- failure
			}
			return err
		})
	}
	err = group.Wait()
	close(failures)
	for failure := range failures {
		asked.BankErr = failure
	}
	asked.sent = sent.Load()
	asked.Bank = len(questions) > 0 && asked.BankErr == nil
	if err != nil || len(questions) == 0 {
		return false, err
	}
	known, err = s.payments(context.WithoutCancel(ctx), orderID) // the time to ask may be over
	if asked.sent {
		err = s.afterAsking(err)
	}
	answering, _ := order.Answering(known)
	return answering.State == order.Paid, err
}

// inquire sends the bank one inquiry and records the answer. failure is the bank's,
// err the ledger's; sent becomes true if it may have reached the bank.
func (s *Service) inquire(ctx context.Context, orderID string, sent *atomic.Bool, question func(context.Context) (order.Status, string, error)) (failure, _ error) {
	answer := ledger.Asked{OrderID: orderID, From: order.FromBank}
	_, err := s.Bank.HTTP.Retry(ctx, func(ctx context.Context) (err error) {
		if answer.Status, answer.RequestID, err = question(ctx); reached(err) {
			sent.Store(true)
		}
		return err
	})
	if errors.Is(err, kbank.ErrNoCharge) {
		answer.Status.Word = "no charge"
	} else if err != nil {
		return err, nil
	}
	recording, cancel := toRecord(ctx)
	defer cancel()
	return nil, s.afterAsking(s.Ledger.RecordAnswer(recording, s.Scope, answer))
}
