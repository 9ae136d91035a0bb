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

// lapse lets a payment's lease run out.
func lapse(t *testing.T, l *Ledger, c Claim) {
	t.Helper()
	err := l.store.write(t.Context(), toKeep, func(x *txn) error {
		_, err := x.exec(`UPDATE villapay_payment SET lease = ? WHERE id = ?`, toMillis(x.now)-1, c.Payment.ID)
		return err
	})
	if err != nil {
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

func TestLeaseByTheClockAndTheWatch(t *testing.T) {
	t.Parallel()
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

func renew(t *testing.T, l *Ledger, c Claim) {
	t.Helper()
	if err := l.Renew(t.Context(), c); err != nil {
		t.Fatal(err)
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
	renew(t, here, held) // it lives: the watch begins again
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
			var answer Payment
			var late, err error
			var group sync.WaitGroup
			group.Go(func() {
				if n%2 == 0 {
					answer, late = one.RecordOrder(context.Background(), slow, testOrder(t, "o"+id), RecordedAnswer{})
				} else {
					answer, late = one.RecordFailure(context.Background(), slow, Unknown, Failure{Code: "x"}, 1)
				}
			})
			group.Go(func() { taken, err = two.Claim(context.Background(), ask(id)) })
			group.Wait()
			all, readErr := one.Payments(t.Context(), scope, id)
			if err != nil || readErr != nil || len(all) != 1 {
				t.Fatal(err, readErr, all)
			}
			switch now := all[0]; {
			case taken.Verdict == Replay && late == nil && now.State == Awaiting:
			case taken.Verdict == Claimed && errors.Is(late, ErrClaimLost) && now.State == Sending && now.Order == nil:
			case taken.Verdict == Claimed && late == nil && n%2 == 1 && now.State == Sending: // unknown first, then taken over
			default:
				t.Fatalf("verdict %d, answer %v (%s), and now %+v", taken.Verdict, late, answer.State, now)
			}
		}
	})
}

func TestOneKeyForTwoOrdersAtTheSameMoment(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, at *place) {
		one, two := at.open(t), at.open(t)
		for n := range 20 {
			var group sync.WaitGroup
			var errs [2]error
			for i, l := range []*Ledger{one, two} {
				group.Go(func() {
					_, errs[i] = l.Claim(context.Background(), ClaimRequest{Scope: scope, OrderID: fmt.Sprint(n, "-", i), Source: order.QR, Key: fmt.Sprint("k", n), KeyGiven: true})
				})
			}
			group.Wait()
			var used *KeyUsedError
			if err := errors.Join(errs[0], errs[1]); (errs[0] == nil) == (errs[1] == nil) || !errors.As(err, &used) {
				t.Fatal(errs)
			}
		}
	})
}
