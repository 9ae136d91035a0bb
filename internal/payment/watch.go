package payment

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/villapay/villapay/internal/backoff"
	"github.com/villapay/villapay/internal/order"
)

// Reading the ledger is cheap, and a webhook listener may write to it, so it is read
// often. The API is polled less and less often.
const (
	readEvery   = 500 * time.Millisecond
	firstPoll   = time.Second
	lastPoll    = 15 * time.Second
	expiryGrace = 30 * time.Second // how long to keep polling after an order expires
)

// Watch calls each with the first report on an order and after every change, until
// its state is final or ctx is done. Polling does not delay reports. If the recorded
// state is final from the start, the API is still asked once, since it may know more.
//
// own is the payment whose code is shown to the payer. Watch reports on it until any
// payment of the order is paid or --new replaces it. With the zero Payment, Watch
// reports on the payment that order.Open picks.
func (s *Service) Watch(ctx context.Context, orderID string, own order.Payment, each func(Report) error) (Report, error) {
	ctx, stop := context.WithCancel(ctx)
	var polling sync.WaitGroup
	defer polling.Wait() // polling writes to the ledger, so it must end first
	defer stop()
	answers := make(chan polled)
	heard := polled{Asked: Asked{NoEndpoint: !s.CanAsk()}}
	asked, sent := heard.NoEndpoint, false
	if !asked {
		polling.Go(func() { s.poll(ctx, orderID, answers) })
	}
	if own.Key != "" && s.DrawsCodes(own.Source) {
		polling.Go(func() { s.keepCode(ctx, own) })
	}
	var last Report
	finalFromStart := false
	for first := true; ; first = false {
		report, err := s.read(ctx, orderID, own, heard)
		if sent {
			err = s.afterAsking(err)
		}
		if err != nil {
			return last, err
		}
		if report.Found && (!last.Found || changed(last, report)) {
			if err := each(report); err != nil {
				return report, err
			}
		}
		last = report
		final := report.Payment.State.Final() || own.Key != "" && report.Payment.ReplacedBy != ""
		if p := report.Payment; p.State == order.Expired && (!heard.NoEndpoint || s.Bank != nil) && heard.begun.Before(p.ExpiresAt) && s.Now().Before(p.ExpiresAt.Add(expiryGrace)) {
			final = false // it may have been paid just before it expired
		}
		if p := report.Payment; heard.NoEndpoint && s.Bank == nil && p.ExpiresAt.IsZero() && s.Ledger.Kind() == "none" {
			final = true // no source of updates
		}
		if !final && ctx.Err() != nil { // nothing was heard, so it says nothing about the order
			return report, ctx.Err()
		}
		finalFromStart = finalFromStart || first && final
		if asked && !report.Found || final && (asked || !finalFromStart) {
			return report, nil
		}
		select {
		case heard = <-answers:
			asked, sent = true, sent || heard.sent
			if heard.failed != nil {
				return report, heard.failed
			}
		case <-time.After(readEvery):
		case <-ctx.Done():
			return report, ctx.Err()
		}
	}
}

// codeEvery is how often the code of a watched payment is checked.
const codeEvery = time.Second

// keepCode fetches another code whenever the code of a watched payment expires and
// the payment can still be paid, but not in place of a code that somebody cancels: that
// would keep the payment from being canceled. After a failure it waits longer.
func (s *Service) keepCode(ctx context.Context, own order.Payment) {
	gap := codeEvery
	for backoff.Sleep(ctx, gap) == nil {
		p, err := s.again(ctx, own)
		if err == nil && !p.CodeWithdrawn(s.Now()) {
			_, err = s.Code(ctx, p)
		}
		if gap = codeEvery; err != nil {
			gap = lastPoll
		}
	}
}

// polled is the result of one poll.
type polled struct {
	Asked
	begun  time.Time
	failed error // the answer could not be recorded
}

// poll asks the API and the bank until ctx is done or there is no server to ask.
func (s *Service) poll(ctx context.Context, orderID string, answers chan<- polled) {
	for gap := firstPoll; ; gap = min(gap*3/2, lastPoll) {
		begun := s.Now()
		asked, err := s.ask(ctx, orderID, s.Timeout)
		select {
		case answers <- polled{asked, begun, err}:
		case <-ctx.Done():
			return
		}
		if err != nil || asked.NoEndpoint && s.Bank == nil || backoff.Sleep(ctx, min(backoff.Jitter(gap), lastPoll)) != nil {
			return
		}
	}
}

// Recorded returns the payment with which Watch begins, if the ledger has one.
func (s *Service) Recorded(ctx context.Context, orderID string) (order.Payment, bool, error) {
	report, err := s.read(ctx, orderID, order.Payment{}, polled{})
	return report.Payment, report.Found, err
}

// read returns a report from the ledger and the last poll.
func (s *Service) read(ctx context.Context, orderID string, own order.Payment, heard polled) (Report, error) {
	known, err := s.payments(ctx, orderID)
	report := Report{OrderID: orderID, Asked: heard.Asked, Others: max(0, len(known)-1)}
	report.Payment, report.Found = order.Open(known, s.Now())
	if own.Key != "" && report.Payment.State != order.Paid {
		if i := slices.IndexFunc(known, func(p order.Payment) bool { return p.Key == own.Key }); i >= 0 {
			own = known[i]
		}
		report.Payment, report.Found = own, true
	}
	return report, err
}

func codeID(p order.Payment) string {
	if p.Held == nil {
		return ""
	}
	return p.Held.ID
}

func changed(before, after Report) bool {
	a, b := before.Payment, after.Payment
	return a.State != b.State || a.BankState != b.BankState || a.Key != b.Key || a.ReplacedBy != b.ReplacedBy || codeID(a) != codeID(b) || !slices.Equal(a.Warnings, b.Warnings) ||
		(before.Err == nil) != (after.Err == nil) || (before.BankErr == nil) != (after.BankErr == nil) || before.NoEndpoint != after.NoEndpoint
}
