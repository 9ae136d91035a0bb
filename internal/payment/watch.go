package payment

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/villapay/villapay/internal/backoff"
	"github.com/villapay/villapay/internal/order"
)

// The pace of watching: the ledger is read often, since that costs nothing and a
// webhook listener may write to it; the API politely.
const (
	readEvery = 500 * time.Millisecond
	firstPoll = time.Second
	lastPoll  = 15 * time.Second
	lastWord  = 30 * time.Second // how long an expired order waits for what the API says of it then
)

// Watch reports on an order as soon as anything is known of it, and whenever
// something about it changes, until its state is final or ctx ends. Asking the API
// holds nothing up. But if the state is final from the start, the API may know
// better: it is asked once before that counts.
//
// own is the payment that a payer is being shown. It is followed until any payment
// of the order is paid; it is final too when --new has replaced it. Without it
// (the zero Payment), the one is followed that order.Open picks.
func (s *Service) Watch(ctx context.Context, orderID string, own order.Payment, each func(Report) error) (Report, error) {
	ctx, stop := context.WithCancel(ctx)
	var polling sync.WaitGroup
	defer polling.Wait() // it records what it hears, so it must not outlive the ledger
	defer stop()
	answers := make(chan polled)
	heard := polled{Asked: Asked{NoEndpoint: !s.CanAsk()}}
	asked := heard.NoEndpoint
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
		if p := report.Payment; p.State == order.Expired && (!heard.NoEndpoint || s.Bank != nil) && heard.begun.Before(p.ExpiresAt) && s.Now().Before(p.ExpiresAt.Add(lastWord)) {
			final = false // it may have been paid at the last moment
		}
		if p := report.Payment; heard.NoEndpoint && s.Bank == nil && p.ExpiresAt.IsZero() && s.Ledger.Kind() == "none" {
			final = true // nobody can say what becomes of it
		}
		finalFromStart = finalFromStart || first && final
		if asked && !report.Found || final && (asked || !finalFromStart) {
			return report, nil
		}
		select {
		case heard = <-answers:
			asked = true
			if heard.failed != nil {
				return report, heard.failed
			}
		case <-time.After(readEvery):
		case <-ctx.Done():
			return report, ctx.Err()
		}
	}
}

// codeEvery is how often a watched payment's code is looked at.
const codeEvery = time.Second

// keepCode gets another code for a payment that is being shown, whenever its code
// has ended and it can still be paid. What fails is tried again, less and less
// often.
func (s *Service) keepCode(ctx context.Context, own order.Payment) {
	gap := codeEvery
	for backoff.Sleep(ctx, gap) == nil {
		p, err := s.again(ctx, own)
		if err == nil {
			_, err = s.Code(ctx, p)
		}
		if gap = codeEvery; err != nil {
			gap = lastPoll
		}
	}
}

// polled is what came of asking the API once.
type polled struct {
	Asked
	begun  time.Time
	failed error // to record the answer
}

// poll asks the API again and again, until ctx ends or there is nobody to ask.
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

// read reports what is known now: the ledger says it, and how asking went last.
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
