package ledger

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/villapay/villapay/internal/order"
)

// listed are the order IDs that a filter chooses.
func listed(t *testing.T, l *Ledger, f Filter) string {
	t.Helper()
	var ids []string
	for p, err := range l.List(t.Context(), f) {
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, p.OrderID)
	}
	return strings.Join(ids, " ")
}

func TestList(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, at *place) {
		l := at.open(t)
		l.awaiting(t, "open")
		l.awaiting(t, "expired", expired)
		l.awaiting(t, "endless", `"expire_time_seconds":null`)
		l.awaiting(t, "paid")
		l.hear(t, report("c", "opaid", "Settled"))
		wechat := ask("wechat")
		wechat.Source = order.WeChat
		l.mustClaim(t, wechat, Claimed)
		elsewhere := ask("elsewhere")
		elsewhere.Scope = "https://other.example"
		l.mustClaim(t, elsewhere, Claimed)

		for _, test := range []struct {
			name   string
			filter Filter
			want   string
		}{
			{"all", Filter{}, "elsewhere wechat paid endless expired open"},
			{"one scope", Filter{Scope: scope}, "wechat paid endless expired open"},
			{"a limit", Filter{Scope: scope, Limit: 2}, "wechat paid"},
			{"awaiting leaves expired out", Filter{States: []order.State{order.Awaiting}}, "endless open"},
			{"expired", Filter{States: []order.State{order.Expired}}, "expired"},
			{"several states", Filter{States: []order.State{order.Paid, order.Expired, order.Sending}, Scope: scope}, "wechat paid expired"},
			{"a source", Filter{Source: order.WeChat}, "wechat"},
			{"since the future", Filter{Since: time.Now().Add(time.Hour)}, ""},
			{"since the past", Filter{Since: time.Now().Add(-time.Hour), Scope: "https://other.example"}, "elsewhere"},
			{"nothing like it", Filter{Scope: "nowhere"}, ""},
		} {
			if got := listed(t, l, test.filter); got != test.want {
				t.Errorf("%s: %q, want %q", test.name, got, test.want)
			}
		}
		if ids, err := l.OrderIDs(t.Context(), scope, "", 3); err != nil || cmp.Diff([]string{"endless", "expired", "open"}, ids) != "" {
			t.Error(ids, err)
		}
		if ids, err := l.OrderIDs(t.Context(), scope, "e", 9); err != nil || cmp.Diff([]string{"endless", "expired"}, ids) != "" {
			t.Error(ids, err)
		}
	})
}

func TestListStreams(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, at *place) {
		l := at.open(t)
		for i := range 5 {
			l.awaiting(t, fmt.Sprint(i))
		}
		n := 0
		for p, err := range l.List(t.Context(), Filter{}) {
			if err != nil {
				t.Fatal(err)
			}
			l.hear(t, report("c"+p.OrderID, "o"+p.OrderID, "Authorized")) // writing while reading
			l.events(t, p.ID)
			if n++; n == 3 {
				break
			}
		}
		if got := listed(t, l, Filter{States: []order.State{order.Paid}}); got != "4 3 2" {
			t.Error(got)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		for _, err := range l.List(ctx, Filter{}) {
			if _, ok := errors.AsType[*Error](err); !ok || !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
			n++
		}
		if n != 4 {
			t.Errorf("a list that fails ends after its error: %d", n)
		}
	})
}

func TestSnapshot(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, at *place) {
		l, other := at.open(t), at.open(t)
		read := func(l *Ledger) string {
			all, err := l.Payments(t.Context(), scope, "1")
			if err != nil {
				t.Error(err)
			}
			return fmt.Sprintf("%d %q %q", len(all), listed(t, l, Filter{States: []order.State{order.Awaiting}}), listed(t, l, Filter{States: []order.State{order.Paid}}))
		}
		for _, write := range []func(){
			func() { other.awaiting(t, "1") }, // to a ledger that holds nothing yet
			func() { other.hear(t, report("c", "o1", "Settled")) },
		} {
			var before string
			err := l.Snapshot(t.Context(), func(l *Ledger) error {
				before = read(l)
				write()
				return l.Snapshot(t.Context(), func(l *Ledger) error {
					if now := read(l); now != before {
						t.Errorf("%s, then %s", before, now)
					}
					return nil
				})
			})
			if now := read(l); err != nil || now == before {
				t.Errorf("%s, %v", now, err)
			}
		}
	})
}

func TestServersClock(t *testing.T) {
	t.Parallel()
	at := postgresPlace(t)
	at.clock.add(-48 * time.Hour) // this machine is two days behind
	l := at.open(t)
	p := l.awaiting(t, "1")
	if time.Since(p.RecordedAt).Abs() > time.Minute || p.State != order.Awaiting {
		t.Errorf("recorded at %s, %s", p.RecordedAt, p.State)
	}
	at.clock.add(2 * time.Hour)
	if all := listed(t, l, Filter{States: []order.State{order.Expired}}); all != "1" {
		t.Errorf("an hour has passed since it was opened: %s", all)
	}
	if all := l.of(t, "1"); all[0].State != order.Awaiting {
		t.Errorf("an hour has passed, but not on the server: %+v", all)
	}
}
