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
		awaiting(t, l, "open")
		l.mustRecord(t, l.mustClaim(t, ask("expired"), Claimed), testOrder(t, "x", `"created":"20200101000000000"`))
		l.mustRecord(t, l.mustClaim(t, ask("endless"), Claimed), testOrder(t, "y", `"expire_time_seconds":null`))
		awaiting(t, l, "paid")
		apply(t, l, charge("c", "opaid", "Settled"))
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
			{"awaiting leaves expired out", Filter{States: []State{Awaiting}}, "endless open"},
			{"expired", Filter{States: []State{Expired}}, "expired"},
			{"several states", Filter{States: []State{Paid, Expired, Sending}, Scope: scope}, "wechat paid expired"},
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
			awaiting(t, l, fmt.Sprint(i))
		}
		n := 0
		for p, err := range l.List(t.Context(), Filter{}) {
			if err != nil {
				t.Fatal(err)
			}
			apply(t, l, charge("c"+p.OrderID, "o"+p.OrderID, "Authorized")) // writing while reading
			eventsOf(t, l, p.ID)
			if n++; n == 3 {
				break
			}
		}
		if got := listed(t, l, Filter{States: []State{Paid}}); got != "4 3 2" {
			t.Error(got)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		for _, err := range l.List(ctx, Filter{}) {
			var failure *Error
			if !errors.Is(err, context.Canceled) || !errors.As(err, &failure) {
				t.Error(err)
			}
			n++
		}
		if n != 4 {
			t.Errorf("a list that fails ends after its error: %d", n)
		}
	})
}

func TestNoteStatus(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, at *place) {
		l := at.open(t)
		p := awaiting(t, l, "1")
		ambiguous := &Warning{Code: "status_ambiguous", Message: "it proves nothing"}
		note := func(status, requestID string, w *Warning) Payment {
			t.Helper()
			if err := l.NoteStatus(t.Context(), p.ID, status, requestID, w, []byte(`{"status":"`+status+`"}`)); err != nil {
				t.Fatal(err)
			}
			all, err := l.Payments(t.Context(), scope, "1")
			if err != nil {
				t.Fatal(err)
			}
			return all[0]
		}
		now := note("success", "q1", ambiguous)
		if now.State != Awaiting || now.RequestID != "q1" || now.KnownFrom != FromAPI || now.KnownAt.Before(p.KnownAt) || codes(now.Warnings) != "status_ambiguous" {
			t.Errorf("%+v", now)
		}
		now = note("success", "q2", ambiguous)
		events := eventsOf(t, l, p.ID)
		if now.RequestID != "q2" || len(now.Warnings) != 1 || len(events) != 3 {
			t.Errorf("the same again: %+v, %d events", now, len(events))
		}
		if last := events[2]; last.Kind != "status" || last.Note != "success" || last.RequestID != "q1" || string(last.Data) != `{"status":"success"}` {
			t.Errorf("%+v", last)
		}
		if now = note("pending", "q3", nil); now.Warnings != nil || len(eventsOf(t, l, p.ID)) != 4 {
			t.Errorf("another answer: %+v", now)
		}
		note("success", "q4", ambiguous)
		if done := apply(t, l, charge("c1", "o1", "Authorized")); done.Payment.Warnings != nil {
			t.Errorf("once a charge proves it, nothing is ambiguous: %+v", done.Payment.Warnings)
		}
		if now = note("success", "q5", ambiguous); now.Warnings != nil || now.State != Paid {
			t.Errorf("nor later: %+v", now)
		}
	})
}

func TestServersClock(t *testing.T) {
	t.Parallel()
	at := postgresPlace(t)
	at.clock.add(-48 * time.Hour) // this machine is two days behind
	l := at.open(t)
	p := awaiting(t, l, "1")
	if time.Since(p.RecordedAt).Abs() > time.Minute || p.State != Awaiting {
		t.Errorf("recorded at %s, %s", p.RecordedAt, p.State)
	}
	at.clock.add(2 * time.Hour)
	all, err := l.Payments(t.Context(), scope, "1")
	if err != nil || all[0].State != Expired {
		t.Errorf("an hour has passed since it was opened: %+v, %v", all, err)
	}
}
