package ledger

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5/pgconn"
	"pgregory.net/rapid"

	"github.com/villapay/villapay/internal/order"
)

func TestAReport(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, at *place) {
		l := at.open(t)
		p := l.awaiting(t, "1")
		done := l.hear(t, report("c1", "o1", "Authorized"))
		if !done.Changed || done.Repeat || done.Unknown || done.Payment.ID != p.ID || done.Payment.State != order.Paid ||
			done.Payment.KnownFrom != order.FromWebhook || done.Payment.PaidBy != order.ByTransactionState || done.Payment.PaidAtFrom != order.AtKnown {
			t.Errorf("%+v", done)
		}
		if diff := cmp.Diff([]order.Payment{done.Payment}, l.of(t, "1"), sameAmount); diff != "" {
			t.Error("what is returned is not what is stored:", diff)
		}
		events := l.events(t, p.ID)
		again := report("c1", "o1", "Authorized")
		again.Raw, again.RequestID = []byte(`{"other":1}`), "another"
		if done := l.hear(t, again); !done.Repeat || done.Changed || done.Payment.State != order.Paid || len(l.events(t, p.ID)) != len(events) {
			t.Errorf("a repeat: %+v", done)
		}
		last := events[len(events)-1]
		if last.Kind != "charge" || last.Actor != "tester@host pid 1" || string(last.Data) != `{"id":"c1"}` || last.At.IsZero() {
			t.Errorf("%+v", last)
		}
		late := l.hear(t, report("c1", "o1", "Initialize"))
		if late.Changed || late.Repeat || late.Payment.State != order.Paid || late.Payment.BankState != "Authorized" || len(l.events(t, p.ID)) != len(events)+1 {
			t.Errorf("a lower one is kept and changes nothing: %+v", late)
		}
		if !late.Payment.KnownAt.Equal(done.Payment.KnownAt) {
			t.Error("nothing became known, but known_at moved")
		}
		if done, err := l.RecordReport(t.Context(), "https://other.example", report("c1", "o1", "Authorized")); err != nil || !done.Unknown || done.Repeat {
			t.Errorf("another scope: %+v, %v", done, err)
		}
	})
}

// A notification that was aimed at another order of the same amount changes nothing
// there once the bank has said whose the charge is, and what is returned says so.
func TestTheBankDecidesWhoseAChargeIs(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, at *place) {
		l := at.open(t)
		l.awaiting(t, "1")
		l.another(t, "2", "o2")
		said := report("c1", "o1", "Authorized")
		said.From = order.FromBank
		done, err := l.RecordReport(t.Context(), scope, report("c1", "o2", "Authorized"), said)
		if err != nil || done.Payment.OrderID != "2" || done.Payment.State != order.Awaiting || done.Changed || codes(done.Warnings) != "charge_order" {
			t.Errorf("aimed at 2: %+v, %v", done, err)
		}
		if paid := l.of(t, "1")[0]; paid.State != order.Paid {
			t.Errorf("the charge's own order is %s", paid.State)
		}
		l.another(t, "3", "o3")
		said = report("c3", "o3", "Authorized")
		said.From = order.FromBank
		if done, err := l.RecordReport(t.Context(), scope, report("c3", "o3", "Authorized"), said); err != nil || done.Payment.State != order.Paid || !done.Changed || done.Repeat {
			t.Errorf("rightly aimed: %+v, %v", done, err)
		}
	})
}

// A repeat has the same values in every field that the rules read.
func TestWhatMakesARepeat(t *testing.T) {
	t.Parallel()
	l := sqlitePlace(t).open(t)
	l.awaiting(t, "1")
	l.hear(t, report("c1", "o1", "Declined"))
	live := true
	for name, change := range map[string]func(*order.Report){
		"bank order": func(r *order.Report) { r.BankOrderID = "o2" },
		"reference":  func(r *order.Report) { r.Reference = "ref" },
		"amount":     func(r *order.Report) { r.Amount = amount("301") },
		"currency":   func(r *order.Report) { r.Currency = "USD" },
		"status":     func(r *order.Report) { r.Status = "fail" },
		"state":      func(r *order.Report) { r.TransactionState = "Initialize" },
		"livemode":   func(r *order.Report) { r.Livemode = &live },
		"none":       func(r *order.Report) { r.Livemode = nil },
		"created":    func(r *order.Report) { r.Created = order.ParseCreated("20250530205658833") },
		"doubt":      func(r *order.Report) { r.Doubt = "livemode" },
		"origin":     func(r *order.Report) { r.From = order.FromBank },
		"Villa":      func(r *order.Report) { r.OrderID, r.From = "1", order.FromAPI },
	} {
		for _, want := range []bool{false, true} {
			r := report("c1", "o1", "Declined")
			change(&r)
			if done := l.hear(t, r); done.Repeat != want {
				t.Errorf("%s: repeat is %t, want %t", name, done.Repeat, want)
			}
		}
	}
}

// Whoever delivers a captured notification first, changed in a field that the
// checksum does not cover, keeps the bank's own from nothing.
func TestACapturedNotification(t *testing.T) {
	t.Parallel()
	live := true
	for name, test := range map[string]struct {
		change    func(*order.Report)
		captured  string // the warning that it gives
		paid      bool   // by the genuine one
		afterward string // the warnings then
	}{
		"with livemode turned round": {func(r *order.Report) { r.Livemode = &live }, "charge_livemode", true, "charge_livemode"},
		"with another order_id":      {func(r *order.Report) { r.BankOrderID = "o2" }, "", false, "charge_order"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			both(t, func(t *testing.T, at *place) {
				l := at.open(t)
				l.awaiting(t, "1")
				l.awaiting(t, "2")
				captured := report("c1", "o1", "Authorized")
				test.change(&captured)
				if done := l.hear(t, captured); codes(done.Warnings) != test.captured {
					t.Errorf("the captured one: %+v", done)
				}
				if done := l.hear(t, report("c1", "o1", "Authorized")); done.Repeat || done.Unknown || done.Payment.OrderID != "1" || (done.Payment.State == order.Paid) != test.paid ||
					codes(done.Payment.Warnings) != test.afterward {
					t.Errorf("the genuine one: %+v", done)
				}
				// the API's word decides, whenever it is heard
				l.answer(t, "1", `{"order_id":"o1","charge_id":"c1","transaction_state":"Authorized","status":"success"}`)
				if p := l.of(t, "1")[0]; p.State != order.Paid || p.ChargeID != "c1" {
					t.Errorf("after the API's word: %+v", p)
				}
				if p := l.of(t, "2")[0]; p.State != order.Awaiting {
					t.Errorf("the other order: %+v", p)
				}
			})
		})
	}
}

// Where the id ends and the amount begins is not signed: a text belongs to the
// charge that the API knows, else to the first, also if both come at once.
func TestTwoNotificationsWithOneBorder(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, at *place) {
		one, two := at.open(t), at.open(t)
		for n := range 20 {
			id := fmt.Sprint(n)
			one.awaiting(t, "a"+id)
			one.awaiting(t, "b"+id, `"amount":5300.0`)
			genuine, cut := report("c"+id+"_5", "oa"+id, "Authorized"), report("c"+id+"_", "ob"+id, "Authorized")
			cut.Amount = amount("5300.00")
			var group sync.WaitGroup
			var done [2]Recorded
			group.Go(func() { done[0] = one.hear(t, genuine) })
			group.Go(func() { done[1] = two.hear(t, cut) })
			group.Wait()
			a, b := one.of(t, "a"+id)[0], one.of(t, "b"+id)[0]
			if (a.State == order.Paid) == (b.State == order.Paid) || a.State == order.Awaiting && codes(a.Warnings) != "charge_order" || b.State == order.Awaiting && codes(b.Warnings) != "charge_order" {
				t.Fatalf("%s %v, %s %v", a.State, a.Warnings, b.State, b.Warnings)
			}
			if kept := one.count(t, `SELECT count(*) FROM villapay_report WHERE bank_id IN (?, ?)`, "oa"+id, "ob"+id); kept != 2 || done[0].Repeat || done[1].Repeat || done[0].Unknown || done[1].Unknown {
				t.Fatalf("%d are kept: %+v", kept, done)
			}
			one.answer(t, "a"+id, `{"charge_id":"`+genuine.ChargeID+`","transaction_state":"Authorized"}`) // it states no amount
			if a, b := one.of(t, "a"+id)[0], one.of(t, "b"+id)[0]; a.State != order.Paid || b.State != order.Awaiting {
				t.Fatalf("after the API's word: %s, %s", a.State, b.State)
			}
		}
	})
}

// Captured notifications can be sent again without end: what they add is bounded,
// and keeps nothing genuine out.
func TestAHundredReportsPerCharge(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, at *place) {
		l := at.open(t)
		l.awaiting(t, "1")
		for n := range reportsPerCharge + 20 {
			r := report("c1", fmt.Sprint("elsewhere-", n), "Declined")
			if done := l.hear(t, r); done.Repeat != (n >= reportsPerCharge) || !done.Unknown {
				t.Fatalf("%d: %+v", n, done)
			}
		}
		if kept := l.count(t, `SELECT count(*) FROM villapay_report`); kept != reportsPerCharge {
			t.Errorf("%d reports are kept", kept)
		}
		if done := l.hear(t, report("c1", "o1", "Authorized")); done.Repeat || done.Payment.State != order.Paid {
			t.Errorf("the first with another state: %+v", done)
		}
		bank := report("c1", "o1", "Authorized")
		for _, bank.From = range []order.Origin{order.FromAPI, order.FromBank} {
			if done := l.hear(t, bank); done.Repeat {
				t.Errorf("from the %s: %+v", bank.From, done)
			}
		}
		if done := l.hear(t, report("c2", "o1", "Declined")); done.Repeat {
			t.Errorf("about another charge: %+v", done)
		}
	})
}

func TestPaidTwiceOverTwoPayments(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, at *place) {
		one, two := at.open(t), at.open(t)
		for n := range 15 {
			id := fmt.Sprint(n)
			one.awaiting(t, id)
			one.another(t, id, "new"+id)
			var group sync.WaitGroup
			group.Go(func() { one.hear(t, report("c"+id, "o"+id, "Authorized")) })
			group.Go(func() { two.hear(t, report("d"+id, "new"+id, "Settled")) })
			group.Wait()
			for _, p := range one.of(t, id) {
				events := one.events(t, p.ID)
				warned := slices.ContainsFunc(events, func(e Event) bool { return e.Kind == "warning" && strings.Contains(e.Note, "c"+id+", d"+id) })
				if p.State != order.Paid || codes(p.Warnings) != "paid_twice" || !warned {
					t.Fatalf("%+v, %+v", p, events)
				}
			}
		}
		one.hear(t, report("d0", "new0", "Refund Sent"))
		if all := one.of(t, "0"); all[0].State != order.Refunded || codes(all[0].Warnings) != "paid_elsewhere" || all[1].State != order.Paid || all[1].Warnings != nil {
			t.Errorf("one of the two was refunded: %+v", all)
		}
	})
}

// An answer about two charges and their notifications, at the same moment, wait
// for each other in one order.
func TestAnAnswerAndItsNotificationsAtTheSameMoment(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, at *place) {
		one, two := at.open(t), at.open(t)
		var again atomic.Int32
		for _, l := range []*Ledger{one, two} {
			l.store = &observed{l.store, func(run int, _ *txn) {
				if run > 1 {
					again.Add(1)
				}
			}}
		}
		for n := range 20 {
			id := fmt.Sprint(n)
			one.awaiting(t, id)
			var group sync.WaitGroup
			group.Go(func() {
				one.answer(t, id, `{"charges":[{"charge_id":"c`+id+`","transaction_state":"Declined"},{"charge_id":"d`+id+`","transaction_state":"Settled"}]}`)
			})
			group.Go(func() { two.hear(t, report("d"+id, "o"+id, "Authorized")) })
			group.Go(func() { two.hear(t, report("c"+id, "o"+id, "Declined")) })
			group.Wait()
			if p := one.of(t, id)[0]; p.State != order.Paid || p.ChargeID != "d"+id || p.Warnings != nil {
				t.Fatalf("%+v", p)
			}
		}
		if n := again.Load(); n != 0 {
			t.Errorf("%d transactions ran again", n)
		}
	})
}

// A write that fails runs again, and meanwhile another process may have recorded
// the same report: what became of it is returned all the same.
func TestAReportThatAnotherProcessRecordsFirst(t *testing.T) {
	t.Parallel()
	at := postgresPlace(t)
	l, other := at.open(t), at.open(t)
	p := l.awaiting(t, "1")
	r := report("c1", "o1", "Authorized")
	var group sync.WaitGroup
	l.store = &observed{l.store, func(run int, x *txn) {
		query := x.query
		x.query = func(text string, args ...any) (cursor, error) {
			if run == 1 && strings.Contains(text, "FROM villapay_payment") { // the report is kept, its payment not yet read
				group.Go(func() { other.hear(t, r) })
				waits := `SELECT count(*) FROM pg_locks WHERE NOT granted AND classid::bigint << 32 | objid::bigint = ` + lockID(reportKeys(scope, r)[0])
				for other.count(t, waits) == 0 {
					time.Sleep(time.Millisecond)
				}
				return nil, &pgconn.PgError{Code: pgSerialize}
			}
			return query(text, args...)
		}
	}}
	done := l.hear(t, r)
	group.Wait()
	if done.Unknown || !done.Repeat || done.Payment.ID != p.ID || done.Payment.State != order.Paid {
		t.Errorf("%+v", done)
	}
}

// observed calls a function before each run of a transaction.
type observed struct {
	store
	before func(run int, x *txn)
}

func (s *observed) write(ctx context.Context, o opening, fn func(*txn) error) error {
	run := 0
	return s.store.write(ctx, o, func(x *txn) error {
		run++
		s.before(run, x)
		return fn(x)
	})
}

// An answer that says nothing of a charge brings up to date when and from whom
// the payments are known, and no state.
func TestAnAnswerThatSaysNothingOfACharge(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, at *place) {
		l := at.open(t)
		older := l.awaiting(t, "1")
		p := l.another(t, "1", "o1b")
		ambiguous := &order.Warning{Code: "status_ambiguous", Message: "it proves nothing"}
		asked := func(word, requestID string, w *order.Warning) order.Payment {
			t.Helper()
			status := order.Status{Word: word, Raw: []byte(`{"status":"` + word + `"}`)}
			if err := l.RecordAnswer(t.Context(), scope, Asked{OrderID: "1", Status: status, From: order.FromAPI, RequestID: requestID, Warning: w}); err != nil {
				t.Fatal(err)
			}
			all := l.of(t, "1")
			if all[1].ID != older.ID || all[1].RequestID != requestID || all[1].Warnings != nil && all[0].State != order.Paid {
				t.Errorf("the older one: %+v", all[1])
			}
			return all[0]
		}
		now := asked("success", "q1", ambiguous)
		if now.State != order.Awaiting || now.RequestID != "q1" || now.KnownFrom != order.FromAPI || now.KnownAt.Before(p.KnownAt) || codes(now.Warnings) != "status_ambiguous" {
			t.Errorf("%+v", now)
		}
		now = asked("success", "q2", ambiguous)
		events := l.events(t, p.ID)
		if now.RequestID != "q2" || len(now.Warnings) != 1 || len(events) != 3 {
			t.Errorf("the same again: %+v, %d events", now, len(events))
		}
		if last := events[2]; last.Kind != "status" || last.Note != "success" || last.RequestID != "q1" || string(last.Data) != `{"status":"success"}` {
			t.Errorf("%+v", last)
		}
		if now = asked("pending", "q3", nil); now.Warnings != nil || len(l.events(t, p.ID)) != 4 {
			t.Errorf("another answer: %+v", now)
		}
		asked("success", "q4", ambiguous)
		l.hear(t, report("c1", "o1b", "Authorized"))
		paid := l.of(t, "1")[0]
		now = asked("success", "q5", ambiguous)
		if now.Warnings != nil || now.State != order.Paid || now.KnownFrom != order.FromWebhook || !now.KnownAt.Equal(paid.KnownAt) || now.RequestID != paid.RequestID { // a charge proves it
			t.Errorf("paid: %+v", now)
		}
	})
}

// After the bank's answer, the API's that says nothing of a charge is not the source.
func TestAnAnswerBesideTheBanks(t *testing.T) {
	t.Parallel()
	l := sqlitePlace(t).open(t)
	l.awaiting(t, "1")
	for _, a := range []Asked{
		{OrderID: "1", From: order.FromBank, RequestID: "b1", Status: order.Status{Word: "no charge"}},
		{OrderID: "1", From: order.FromAPI, RequestID: "a1", Status: order.Status{Word: "pending"}, AfterBank: true},
	} {
		if err := l.RecordAnswer(t.Context(), scope, a); err != nil {
			t.Fatal(err)
		}
	}
	if now := l.of(t, "1")[0]; now.KnownFrom != order.FromBank || now.RequestID != "b1" {
		t.Errorf("%+v", now)
	}
}

// An answer about charges refreshes what is known even if it says nothing new.
func TestAskingAgainRefreshesWhatIsKnown(t *testing.T) {
	t.Parallel()
	at := sqlitePlace(t)
	l := at.open(t)
	p := l.awaiting(t, "1")
	other := l.awaiting(t, "2")
	const said = `{"order_id":"o1","charge_id":"c1","transaction_state":"Initialize"}`
	l.answer(t, "1", said)
	events := len(l.events(t, p.ID))
	at.clock.add(leaseFor)
	l.answer(t, "1", said)
	if now := l.of(t, "1")[0]; now.RequestID != "req-status" || !now.KnownAt.Equal(p.KnownAt.Add(leaseFor)) || len(l.events(t, p.ID)) != events {
		t.Errorf("%+v, %d events", now, len(l.events(t, p.ID)))
	}
	if now := l.of(t, "2")[0]; !now.KnownAt.Equal(other.KnownAt) {
		t.Errorf("it was not asked about: %+v", now)
	}
	l.answer(t, "2", `{"id":"o2","object":"order","status":"success"}`) // all it says is that the order was made
	if kept := l.count(t, `SELECT count(*) FROM villapay_report WHERE orderid = '2'`); kept != 0 {
		t.Errorf("%d reports about no charge", kept)
	}
	l.answer(t, "3", `{"id":"o3","object":"order","status":"success"}`) // by another tool
	if all := l.of(t, "3"); len(all) != 1 || all[0].State != order.Awaiting || all[0].BankOrderID != "o3" {
		t.Errorf("%+v", all)
	}
}

// What another tool's charge makes of a Villa order stands before its payments if
// it is paid, or the only thing known.
func TestAVillaOrderPaidThroughAnotherTool(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, at *place) {
		l := at.open(t)
		l.answer(t, "1", `{"order_id":"theirs","charge_id":"c1","transaction_state":"Declined","amount":300,"currency":"THB"}`)
		if all := l.of(t, "1"); len(all) != 1 || all[0].State != order.Awaiting || all[0].Key != "" || all[0].BankOrderID != "theirs" {
			t.Errorf("declined: %+v", all)
		}
		own := l.awaiting(t, "1")
		if all := l.of(t, "1"); len(all) != 1 || all[0].ID != own.ID {
			t.Errorf("beside one of ours: %+v", all)
		}
		l.hear(t, report("c1", "theirs", "Settled"))
		all := l.of(t, "1")
		if len(all) != 2 || all[0].Key != "" || all[0].State != order.Paid || all[1].ID != own.ID || all[1].State != order.Awaiting || codes(all[1].Warnings) != "paid_elsewhere" {
			t.Errorf("paid: %+v", all)
		}
		if all[1].Payable(at.clock.now()) == nil {
			t.Error("its code is shown all the same")
		}
	})
}

// anyReport is something that a notification or an answer might say about the
// Villa orders a, b and d.
var anyReport = rapid.Custom(func(t *rapid.T) order.Report {
	r := report(rapid.SampledFrom([]string{"", "c", "c5", "x"}).Draw(t, "charge"), rapid.SampledFrom([]string{"", "oa", "oa2", "ob", "od", "ref-a", "theirs"}).Draw(t, "bank order"),
		rapid.SampledFrom([]string{"Declined", "Authorized", "Settled", "Reversed", "Refund Sent"}).Draw(t, "state"))
	r.Amount = amount(rapid.SampledFrom([]string{"300", "5300", "300.00"}).Draw(t, "amount"))
	if rapid.Bool().Draw(t, "trusted") {
		r.From, r.OrderID = order.FromAPI, rapid.SampledFrom([]string{"a", "b", "d"}).Draw(t, "asked about")
		if rapid.Bool().Draw(t, "no amount") {
			r.Amount = order.Amount{}
		}
	}
	return r
})

// TestNothingIsLeftBehind draws histories, and checks after each step that what
// is stored is what everything recorded so far makes of it: a report may change
// the payments of Villa orders that it does not name.
func TestNothingIsLeftBehind(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(r *rapid.T) {
		l := (&place{dsn: "none", clock: newClock()}).open(t)
		defer l.Close()
		claims := map[string]Claim{}
		for _, req := range []ClaimRequest{ask("a"), ask("a"), ask("b"), ask("d")} {
			name := req.OrderID
			if _, second := claims[name]; second {
				name, req.Source = "a2", order.WeChat
			}
			claims[name] = l.mustClaim(t, req, Claimed)
		}
		orders := map[string]*order.Order{
			"a": testOrder(t, "oa", `"reference_order":"ref-a"`), "a2": testOrder(t, "oa2"),
			"b": testOrder(t, "ob", `"amount":5300`), "d": testOrder(t, rapid.SampledFrom([]string{"od", "oa"}).Draw(r, "bank order of d")),
		}
		steps := rapid.Permutation([]string{"a", "a2", "b", "d", "", "", "", "", "", ""}).Draw(r, "steps")
		for _, step := range steps {
			if step != "" {
				l.mustRecord(t, claims[step], orders[step])
			} else {
				l.hear(t, anyReport.Draw(r, "report"))
			}
			for _, orderID := range []string{"a", "b", "d"} {
				var rows []*row
				var resolved []order.Payment
				err := l.store.write(t.Context(), opening{why: recordTx}, func(x *txn) (err error) {
					rows, resolved, _, err = x.resolve(scope, orderID)
					return err
				})
				if err != nil {
					t.Fatal(err)
				}
				for i, stored := range rows {
					if diff := cmp.Diff(resolved[i], stored.Payment, sameAmount); diff != "" {
						r.Fatalf("%s is stored otherwise than it should be: %s", orderID, diff)
					}
				}
			}
		}
	})
}

// A notification is replayed as it was printed: of two Villa orders with the same bank
// order, about the one that got it first.
func TestNotificationOfASharedBankOrder(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, at *place) {
		l := at.open(t)
		l.mustRecord(t, l.mustClaim(t, ask("first"), Claimed), testOrder(t, "same"))
		l.mustRecord(t, l.mustClaim(t, ask("second"), Claimed), testOrder(t, "same"))
		l.awaiting(t, "same") // a Villa order of that name
		heard := l.hear(t, report("c1", "same", "Settled"))
		replayed := 0
		for n, err := range l.Notifications(t.Context(), scope, time.Time{}) {
			if replayed++; err != nil || heard.Payment.OrderID != "first" || n.Payment.ID != heard.Payment.ID || n.Payment.State != order.Paid {
				t.Errorf("heard about %s, replayed about %s, %v", heard.Payment.OrderID, n.Payment.OrderID, err)
			}
		}
		if replayed != 1 {
			t.Errorf("%d notifications", replayed)
		}
	})
}

// An answer that names another Villa order proves nothing, also if that one becomes
// known later.
func TestAnAnswerThatNamesALaterOrder(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, at *place) {
		l := at.open(t)
		l.awaiting(t, "1")
		l.answer(t, "1", `{"charge_id":"c1","order_id":"2","transaction_state":"Authorized","amount":300,"currency":"THB"}`)
		if all := l.of(t, "1"); all[0].State != order.Paid {
			t.Errorf("while nobody knows order 2: %+v", all)
		}
		l.mustClaim(t, ask("2"), Claimed)
		if all := l.of(t, "1"); len(all) != 1 || all[0].State != order.Awaiting || codes(all[0].Warnings) != "charge_order" {
			t.Errorf("then: %+v", all)
		}
	})
}

// Also if it becomes known at that very moment.
func TestAnAnswerWhileAnotherOrderIsClaimed(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, at *place) {
		one, two := at.open(t), at.open(t)
		for i := range 40 {
			id, other := fmt.Sprint("a", i), fmt.Sprint("b", i)
			one.awaiting(t, id)
			var group sync.WaitGroup
			group.Go(func() {
				one.answer(t, id, fmt.Sprintf(`{"charge_id":"c%d","order_id":%q,"transaction_state":"Authorized","amount":300,"currency":"THB"}`, i, other))
			})
			group.Go(func() { two.mustClaim(t, ask(other), Claimed) })
			group.Wait()
			if all := one.of(t, id); len(all) != 1 || codes(all[0].Warnings) != "charge_order" {
				t.Errorf("%s: %+v", id, all)
			}
		}
	})
}

// A charge that the bank did not confirm is a warning, until it does.
func TestAnUnconfirmedCharge(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, at *place) {
		l := at.open(t)
		p := l.awaiting(t, "1")
		r := report("c1", "o1", "Authorized")
		r.Unconfirmed = true
		for i := range 2 {
			done := l.hear(t, r)
			if done.Payment.State != order.Paid || codes(done.Payment.Warnings) != "charge_unconfirmed" || (codes(done.Warnings) == "charge_unconfirmed") != (i == 0) {
				t.Errorf("%d: %+v", i, done)
			}
		}
		l.hear(t, report("c1", "o1", "Settled"))
		if all := l.of(t, "1"); codes(all[0].Warnings) != "charge_unconfirmed" {
			t.Errorf("it does not stay: %+v", all[0].Warnings)
		}
		if events := l.events(t, p.ID); events[len(events)-2].Kind != "warning" {
			t.Errorf("it is not in the history: %+v", events)
		}
		confirmed := report("c1", "o1", "Authorized")
		confirmed.From = order.FromBank
		if done := l.hear(t, confirmed); done.Payment.State != order.Paid || len(done.Payment.Warnings) != 0 {
			t.Errorf("confirmed: %+v", done)
		}
	})
}
