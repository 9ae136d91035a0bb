package payment

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/villapay/villapay/internal/api"
	"github.com/villapay/villapay/internal/ledger"
)

// The pace of watching: the ledger is looked at often, since that costs nothing
// and a webhook listener may write to it; the API politely.
const (
	lookEvery = 500 * time.Millisecond
	firstPoll = time.Second
	lastPoll  = 15 * time.Second
	lastWord  = 30 * time.Second // how long an expired order waits for what the API says of it then
)

// Open picks the payment of an order that matters to who wants to pay it: the
// paid one if any, else the one whose code may be shown, else the newest. An
// attempt of another source that came to nothing hides no code that can be paid.
func Open(payments []ledger.Payment) (ledger.Payment, bool) {
	chosen, found := Chosen(payments)
	if chosen.State == ledger.Paid {
		return chosen, found
	}
	for _, p := range payments {
		if p.State == ledger.Awaiting && p.ReplacedBy == "" {
			return p, true
		}
	}
	return chosen, found
}

// Watch reports on an order as soon as anything is known of it, and whenever
// something about it changes, until that is settled or ctx ends. Asking the API
// holds nothing up. But where the order is settled from the start, the API may
// know better: it is asked once before that is final.
//
// own is the payment that a payer is being shown. It is what is told of, also
// where no ledger remembers it, until any payment of the order is paid; it is
// settled too when --new has replaced it. Without it (the zero Payment) the one
// is told of that Open picks.
func (s *Service) Watch(ctx context.Context, orderID string, own ledger.Payment, each func(Report) error) (Report, error) {
	ctx, stop := context.WithCancel(ctx)
	var asking sync.WaitGroup
	defer asking.Wait() // it records what it hears, so it must not outlive the ledger
	defer stop()
	answers := make(chan heard)
	said := heard{Report: Report{OrderID: orderID, NoEndpoint: s.StatusPath == ""}}
	asked := said.NoEndpoint
	if !asked {
		asking.Go(func() { s.poll(ctx, orderID, own, answers) })
	}
	var last Report
	old := false // settled from the start
	for first := true; ; first = false {
		report, err := s.look(ctx, own, said)
		if err != nil {
			return last, err
		}
		if report.Found && (!last.Found || changed(last, report)) {
			if err := each(report); err != nil {
				return report, err
			}
		}
		last = report
		settled := s.settled(report, own)
		if p := report.Payment; p.State == ledger.Expired && !said.NoEndpoint && said.begun.Before(p.ExpiresAt) && s.Now().Before(p.ExpiresAt.Add(lastWord)) {
			settled = false // it may have been paid at the last moment
		}
		old = old || first && settled
		if asked && !report.Found || settled && (asked || !old) {
			return report, nil
		}
		select {
		case said = <-answers:
			asked = true
			if said.failed != nil {
				return report, said.failed
			}
		case <-time.After(lookEvery):
		case <-ctx.Done():
			return report, ctx.Err()
		}
	}
}

// heard is what the API had to say.
type heard struct {
	begun      time.Time        // when it was asked
	Report                      // its NoEndpoint, NoOrder, OnlyWord and Err
	unrecorded []ledger.Payment // what it told of that no ledger keeps
	failed     error            // to record it
}

// poll asks the API again and again, until ctx ends or there is nobody to ask.
func (s *Service) poll(ctx context.Context, orderID string, own ledger.Payment, answers chan<- heard) {
	var unrecorded []ledger.Payment
	for gap := firstPoll; ; gap = min(gap*3/2, lastPoll) {
		begun, report := s.Now(), Report{OrderID: orderID}
		known, err := s.askStatus(ctx, orderID, own, &report)
		if ctx.Err() != nil {
			return
		}
		if report.Err == nil {
			unrecorded = slices.DeleteFunc(known, func(p ledger.Payment) bool { return p.ID != 0 })
		}
		select {
		case answers <- heard{begun, report, unrecorded, err}:
		case <-ctx.Done():
			return
		}
		if err != nil || report.NoEndpoint || api.Sleep(ctx, min(api.Jitter(gap), lastPoll)) != nil {
			return
		}
	}
}

// look tells what is known now: the ledger says it, and the API said it last.
func (s *Service) look(ctx context.Context, own ledger.Payment, said heard) (Report, error) {
	report := said.Report
	known, err := s.payments(ctx, report.OrderID)
	if err != nil {
		return report, err
	}
	if elsewhere, _ := Chosen(said.unrecorded); len(known) == 0 || elsewhere.State == ledger.Paid {
		known = slices.Concat(said.unrecorded, known)
	}
	report.Payment, report.Found = followed(known, own)
	report.Others = max(0, len(known)-1)
	if p := &report.Payment; p.Lapsed(s.Now()) {
		p.State = ledger.Expired // a ledger would say so
	}
	return report, nil
}

// followed picks the payment that watching tells of.
func followed(known []ledger.Payment, own ledger.Payment) (ledger.Payment, bool) {
	if own.Key == "" {
		return Open(known)
	}
	if chosen, _ := Chosen(known); chosen.State == ledger.Paid {
		return chosen, true
	}
	if i := slices.IndexFunc(known, func(p ledger.Payment) bool { return p.Key == own.Key }); i >= 0 {
		own = known[i]
	}
	return own, true
}

// settled tells whether there is nothing to wait for: not in the course of a
// payment that goes well, or because nobody is there who could tell of it.
func (s *Service) settled(r Report, own ledger.Payment) bool {
	return r.Payment.State.Settled() || own.Key != "" && r.Payment.ReplacedBy != "" ||
		s.Ledger == nil && r.NoEndpoint && r.Payment.ExpiresAt.IsZero()
}

func changed(before, after Report) bool {
	a, b := before.Payment, after.Payment
	return a.State != b.State || a.BankState != b.BankState || a.Key != b.Key || a.ReplacedBy != b.ReplacedBy || !slices.Equal(a.Warnings, b.Warnings) ||
		(before.Err == nil) != (after.Err == nil) || before.NoEndpoint != after.NoEndpoint
}
