package ledger

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/villapay/villapay/internal/order"
)

// lapse lets a claim's lease run out.
func lapse(t *testing.T, l *Ledger, c Claim) {
	t.Helper()
	l.exec(t, `UPDATE villapay_payment SET lease = 1 WHERE id = ?`, c.Payment.ID)
}

func renew(t *testing.T, l *Ledger, c Claim) {
	t.Helper()
	if err := l.Renew(t.Context(), c); err != nil {
		t.Fatal(err)
	}
}

func TestAnotherMachineTakesOverByTheLease(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, at *place) {
		here, there := at.open(t), at.openIn(t, t.TempDir())
		if at.dsn == "sqlite" {
			there.store = here.store // a file is on one machine; two state directories are enough
		}
		first := here.mustClaim(t, ask("1"), Claimed)
		there.mustClaim(t, ask("1"), Busy)
		lapse(t, here, first)
		if err := here.Renew(t.Context(), first); err != nil {
			t.Error("a claim that lapsed and was not taken over can be renewed:", err)
		}
		there.mustClaim(t, ask("1"), Busy)
		lapse(t, here, first)

		second := there.mustClaim(t, ask("1"), Claimed)
		if !second.Resumed || second.Number != 2 || second.Payment.Key != first.Payment.Key || second.Payment.ID != first.Payment.ID {
			t.Fatalf("taken over: %+v", second)
		}
		if err := here.Renew(t.Context(), first); !errors.Is(err, ErrClaimLost) {
			t.Errorf("renewing a lost claim: %v", err)
		}
	})
}

func TestLeaseByTheClockAndTheSightings(t *testing.T) {
	t.Parallel()
	if leaseFor < 3*RenewEvery {
		t.Errorf("a lease of %s, renewed every %s, does not survive two lost renewals", leaseFor, RenewEvery)
	}
	for name, test := range map[string]struct {
		meanwhile func(*testing.T, *clock, *Ledger, Claim)
		want      Verdict
	}{
		"fresh":       {func(*testing.T, *clock, *Ledger, Claim) {}, Busy},
		"nearly over": {func(_ *testing.T, c *clock, _ *Ledger, _ Claim) { c.add(leaseFor - time.Millisecond) }, Busy},
		"over":        {func(_ *testing.T, c *clock, _ *Ledger, _ Claim) { c.add(leaseFor) }, Claimed},
		"renewed": {func(t *testing.T, c *clock, l *Ledger, held Claim) {
			c.add(8 * time.Second)
			renew(t, l, held)
			c.add(8 * time.Second)
		}, Busy},
		"clock ahead":  {func(_ *testing.T, c *clock, _ *Ledger, _ Claim) { c.add(24 * time.Hour) }, Claimed},
		"clock behind": {func(_ *testing.T, c *clock, _ *Ledger, _ Claim) { c.add(-24 * time.Hour) }, Busy},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			at := sqlitePlace(t)
			here, there := at.open(t), at.openIn(t, t.TempDir())
			there.store = here.store
			held := here.mustClaim(t, ask("1"), Claimed)
			test.meanwhile(t, at.clock, here, held)
			there.mustClaim(t, ask("1"), test.want)
		})
	}
}

func TestAClockSetBackDoesNotKeepAClaimForEver(t *testing.T) {
	t.Parallel()
	at := sqlitePlace(t)
	here, there := at.open(t), at.openIn(t, t.TempDir())
	there.store = here.store
	held := here.mustClaim(t, ask("1"), Claimed)
	at.clock.add(-time.Hour)
	there.mustClaim(t, ask("1"), Busy)
	at.clock.add(leaseFor)
	renew(t, here, held) // it lives: the sighting begins again
	there.mustClaim(t, ask("1"), Busy)
	at.clock.add(-time.Hour)
	there.mustClaim(t, ask("1"), Busy)
	at.clock.add(leaseFor + time.Millisecond)
	if c := there.mustClaim(t, ask("1"), Claimed); !c.Resumed {
		t.Error("a takeover resumes")
	}
}

// TestAnAnswerAndATakeoverAtTheSameMoment lets a silent claim's answer and its
// takeover race: one of them wins, never both.
func TestAnAnswerAndATakeoverAtTheSameMoment(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, at *place) {
		one, two := at.open(t), at.open(t)
		for n := range 30 {
			id := fmt.Sprint(n)
			slow := one.mustClaim(t, ask(id), Claimed)
			lapse(t, one, slow)
			var taken Claim
			var answer order.Payment
			var late, err error
			var group sync.WaitGroup
			group.Go(func() {
				if n%2 == 0 {
					answer, late = one.RecordOrder(context.Background(), slow, testOrder(t, "o"+id), Answer{})
				} else {
					answer, late = one.RecordFailure(context.Background(), slow, order.Unknown, order.Failure{Code: "x"}, 1)
				}
			})
			group.Go(func() { taken, err = two.Claim(context.Background(), ask(id)) })
			group.Wait()
			all := one.of(t, id)
			if err != nil || len(all) != 1 {
				t.Fatal(err, all)
			}
			switch now := all[0]; {
			case taken.Verdict == Replay && late == nil && now.State == order.Awaiting:
			case taken.Verdict == Claimed && errors.Is(late, ErrClaimLost) && now.State == order.Sending && now.Order == nil:
			case taken.Verdict == Claimed && late == nil && n%2 == 1 && now.State == order.Sending: // unknown first, then taken over
			default:
				t.Fatalf("verdict %d, answer %v (%s), and now %+v", taken.Verdict, late, answer.State, now)
			}
		}
	})
}
