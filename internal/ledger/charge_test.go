package ledger

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/villapay/villapay/internal/order"
)

// charge is a notification that fits testOrder.
func charge(id, bankID, state string) Charge {
	amount, _ := order.ParseAmount("300.00")
	test := false
	return Charge{
		ID: id, BankOrderID: bankID, Amount: amount, Currency: "THB", Status: "success", TransactionState: state,
		Livemode: &test, From: FromWebhook, Raw: json.RawMessage(`{"id":"` + id + `"}`),
	}
}

func apply(t testing.TB, l *Ledger, c Charge) Applied {
	t.Helper()
	done, err := l.ApplyCharge(context.Background(), scope, c)
	if err != nil {
		t.Fatal(err)
	}
	return done
}

// awaiting makes an open payment of an order, with the bank order "o"+orderID.
func awaiting(t testing.TB, l *Ledger, orderID string) Payment {
	t.Helper()
	return l.mustRecord(t, l.mustClaim(t, ask(orderID), Claimed), testOrder(t, "o"+orderID))
}

func codes(warnings []Warning) string {
	var all []string
	for _, w := range warnings {
		all = append(all, w.Code)
	}
	return strings.Join(all, " ")
}

func TestWhatChargesMakeOfAPayment(t *testing.T) {
	t.Parallel()
	amount := func(text string) func(*Charge) {
		return func(c *Charge) { c.Amount, _ = order.ParseAmount(text) }
	}
	status := func(text string) func(*Charge) { return func(c *Charge) { c.Status = text } }
	live := true
	type said struct {
		id, state string
		change    func(*Charge)
	}
	for name, test := range map[string]struct {
		said               []said
		want               State
		warnings, chargeID string
		bankState          string
	}{
		"authorised":                      {[]said{{"c1", "Authorized", nil}}, Paid, "", "c1", "Authorized"},
		"the bank's typo":                 {[]said{{"c1", "Auhtorized", nil}}, Paid, "", "c1", "Auhtorized"},
		"settled":                         {[]said{{"c1", "Settled", nil}, {"c1", "Authorized", nil}}, Paid, "", "c1", "Settled"},
		"initialised":                     {[]said{{"c1", "Initialize", nil}}, Awaiting, "", "c1", "Initialize"},
		"pre-authorised":                  {[]said{{"c1", "Pre-Authorized", nil}}, Awaiting, "", "c1", "Pre-Authorized"},
		"declined stays payable":          {[]said{{"c1", "Declined", status("fail")}}, Awaiting, "", "c1", "Declined"},
		"declined, then paid":             {[]said{{"c1", "Declined", status("fail")}, {"c1", "Authorized", nil}}, Paid, "", "c1", "Authorized"},
		"paid, then declined":             {[]said{{"c1", "Authorized", nil}, {"c1", "Declined", status("fail")}}, Paid, "", "c1", "Authorized"},
		"voided":                          {[]said{{"c1", "Authorized", nil}, {"c1", "Voided", nil}}, Cancelled, "", "c1", "Voided"},
		"VOID":                            {[]said{{"c1", "VOID", nil}}, Cancelled, "", "c1", "VOID"},
		"reversed":                        {[]said{{"c1", "Reversed", status("fail")}}, Failed, "", "c1", "Reversed"},
		"refunded":                        {[]said{{"c1", "Settled", nil}, {"c1", "Refund Sent", nil}}, Refunded, "", "c1", "Refund Sent"},
		"refund, then settled":            {[]said{{"c1", "Refund Sent", nil}, {"c1", "Settled", nil}}, Refunded, "", "c1", "Refund Sent"},
		"partial refund":                  {[]said{{"c1", "Settled", nil}, {"c1", "Refund Sent", amount("100")}}, Paid, "partial_refund", "c1", "Settled"},
		"partial refund alone":            {[]said{{"c1", "Refund Sent", amount("100")}}, Awaiting, "partial_refund", "", ""},
		"refund of too much":              {[]said{{"c1", "Settled", nil}, {"c1", "Refund Sent", amount("301")}}, Paid, "charge_amount", "c1", "Settled"},
		"unknown state":                   {[]said{{"c1", "Pondering", nil}}, Awaiting, "", "c1", "Pondering"},
		"unknown after paid":              {[]said{{"c1", "Authorized", nil}, {"c1", "Pondering", nil}}, Paid, "", "c1", "Authorized"},
		"status not success":              {[]said{{"c1", "Authorized", status("pending")}}, Awaiting, "charge_status", "", ""},
		"another amount":                  {[]said{{"c1", "Authorized", amount("299.99")}}, Awaiting, "charge_amount", "", ""},
		"no amount":                       {[]said{{"c1", "Authorized", func(c *Charge) { c.Amount = order.Amount{} }}}, Awaiting, "charge_amount", "", ""},
		"another currency":                {[]said{{"c1", "Authorized", func(c *Charge) { c.Currency = "USD" }}}, Awaiting, "charge_currency", "", ""},
		"live money":                      {[]said{{"c1", "Authorized", func(c *Charge) { c.Livemode = &live }}}, Awaiting, "charge_livemode", "", ""},
		"livemode not said":               {[]said{{"c1", "Authorized", func(c *Charge) { c.Livemode = nil }}}, Paid, "", "c1", "Authorized"},
		"void of another amount":          {[]said{{"c1", "Authorized", nil}, {"c1", "Voided", amount("1")}}, Paid, "charge_amount", "c1", "Authorized"},
		"paid twice":                      {[]said{{"c1", "Authorized", nil}, {"c2", "Settled", nil}}, Paid, "paid_twice", "c1", "Authorized"},
		"paid twice, one voided":          {[]said{{"c1", "Authorized", nil}, {"c2", "Settled", nil}, {"c1", "Voided", nil}}, Paid, "", "c2", "Settled"},
		"two declined":                    {[]said{{"c1", "Declined", nil}, {"c2", "Declined", nil}}, Awaiting, "", "c1", "Declined"},
		"refunded beside voided":          {[]said{{"c1", "Voided", nil}, {"c2", "Refund Sent", nil}}, Refunded, "", "c2", "Refund Sent"},
		"nameless":                        {[]said{{"", "Authorized", nil}}, Paid, "", "", "Authorized"},
		"nameless is not a second charge": {[]said{{"", "Authorized", nil}, {"c1", "Authorized", nil}}, Paid, "", "c1", "Authorized"},
		"nameless is the one that moved":  {[]said{{"", "Settled", nil}, {"c1", "Declined", nil}, {"c2", "Authorized", nil}}, Paid, "", "c2", "Settled"},
		"nameless, then voided by name":   {[]said{{"", "Authorized", nil}, {"c1", "Voided", nil}}, Cancelled, "", "c1", "Voided"},
		"status_paid":                     {[]said{{"", "", func(c *Charge) { c.PaidBy, c.Status = ByStatusPaid, "PAID" }}}, Paid, "", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := sqlitePlace(t).open(t)
			p := awaiting(t, l, "1")
			for _, s := range test.said {
				c := charge(s.id, "o1", s.state)
				if s.change != nil {
					s.change(&c)
				}
				p = apply(t, l, c).Payment
			}
			if p.State != test.want || codes(p.Warnings) != test.warnings || p.ChargeID != test.chargeID || p.BankState != test.bankState {
				t.Errorf("state %s (%s), warnings %v, charge %q", p.State, p.BankState, p.Warnings, p.ChargeID)
			}
			if (p.State == Paid) != (!p.PaidAt.IsZero() && p.PaidBy != "") && p.State != Cancelled && p.State != Refunded {
				t.Errorf("%s, paid at %s by %q", p.State, p.PaidAt, p.PaidBy)
			}
			stored, err := l.Payments(t.Context(), scope, "1")
			if err != nil || len(stored) != 1 || stored[0].State != test.want {
				t.Errorf("stored %+v, %v", stored, err)
			}
		})
	}
}

func TestTheTableOfTransactionStates(t *testing.T) {
	t.Parallel()
	for state, want := range map[string]Rank{
		"Initialize": Initialised, "Pre-Authorized": Initialised, "Declined": Declined, "Authorized": Authorised, "Auhtorized": Authorised,
		"Settled": Settled, "Reversed": Undone, "Voided": Undone, "VOID": Undone, "Refund Sent": Repaid, "refunded": Repaid, "SETTLED": Settled,
	} {
		if rank, ok := Transaction(state); rank != want || !ok {
			t.Errorf("%s: %d, %t", state, rank, ok)
		}
	}
	for _, state := range []string{"", "success", "Authorised!", "unrefunded"} {
		if rank, ok := Transaction(state); rank != Unranked || ok {
			t.Errorf("%q: %d, %t", state, rank, ok)
		}
	}
	for _, test := range []struct {
		state string
		want  State
	}{{"settled", Paid}, {"Declined", ""}, {"Initialize", ""}, {"Reversed", Failed}, {"Void", Cancelled}, {"Refund Sent", Refunded}, {"x", ""}} {
		if got, ok := StateOf(test.state); got != test.want || ok != (test.want != "") {
			t.Errorf("%s: %q, %t", test.state, got, ok)
		}
	}
}

func TestACharge(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, at *place) {
		l := at.open(t)
		p := awaiting(t, l, "1")
		done := apply(t, l, charge("c1", "o1", "Authorized"))
		if !done.Changed || done.Repeat || done.Unknown || done.Payment.ID != p.ID || done.Payment.State != Paid ||
			done.Payment.KnownFrom != FromWebhook || done.Payment.PaidBy != ByTransactionState || done.Payment.PaidAt.IsZero() {
			t.Errorf("%+v", done)
		}
		events := eventsOf(t, l, p.ID)
		again := apply(t, l, charge("c1", "o1", "Authorized"))
		if !again.Repeat || again.Changed || again.Payment.State != Paid || len(eventsOf(t, l, p.ID)) != len(events) {
			t.Errorf("a repeat: %+v", again)
		}
		last := events[len(events)-1]
		if last.Kind != "charge" || last.Actor != "tester@host pid 1" || string(last.Data) != `{"id":"c1"}` || last.At.IsZero() {
			t.Errorf("%+v", last)
		}
		late := apply(t, l, charge("c1", "o1", "Initialize"))
		if late.Changed || late.Repeat || late.Payment.State != Paid || late.Payment.BankState != "Authorized" || len(eventsOf(t, l, p.ID)) != len(events)+1 {
			t.Errorf("a lower one is kept and changes nothing: %+v", late)
		}
		if !late.Payment.KnownAt.Equal(done.Payment.KnownAt) {
			t.Error("it taught nothing, but known_at moved")
		}
	})
}

func eventsOf(t *testing.T, l *Ledger, id int64) []Event {
	t.Helper()
	events, err := l.Events(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return events
}

func TestAChargeIsBoundToItsFirstOrder(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, at *place) {
		l := at.open(t)
		awaiting(t, l, "1")
		other := awaiting(t, l, "2")
		apply(t, l, charge("c1", "o1", "Declined"))
		if _, err := l.ApplyCharge(t.Context(), scope, charge("c1", "o2", "Authorized")); !errors.Is(err, ErrRebound) {
			t.Errorf("bound to another order: %v", err)
		}
		var failure *Error
		if _, err := l.ApplyCharge(t.Context(), scope, charge("c1", "o2", "Authorized")); errors.As(err, &failure) {
			t.Error("it is an answer, not a failure of the ledger")
		}
		all, err := l.Payments(t.Context(), scope, "2")
		if err != nil || all[0].State != Awaiting || len(eventsOf(t, l, other.ID)) != 2 {
			t.Errorf("something changed: %+v, %v", all, err)
		}
		if done, err := l.ApplyCharge(t.Context(), "https://other.example", charge("c1", "o2", "Authorized")); err != nil || !done.Unknown {
			t.Errorf("another scope: %+v, %v", done, err)
		}
		apply(t, l, charge("", "o1", "Declined"))
		if done := apply(t, l, charge("", "o2", "Authorized")); done.Payment.State != Paid {
			t.Errorf("nameless charges are not bound: %+v", done)
		}
	})
}

// A status answer may name no bank order. Where the Villa order has several,
// which one it is about is a guess: good for as long as nothing better is known.
func TestAGuessGivesWayToWhatNamesTheOrder(t *testing.T) {
	t.Parallel()
	type said struct{ id, bankID, state string }
	guess := func(id, bankID, state string) said { return said{id + "?", bankID, state} }
	const older, newer = "o1", "o1b"
	for name, test := range map[string]struct {
		said         []said
		older, newer State
		warnings     string // of any of them
		chargeID     string // of the older one
	}{
		"alone it counts":                 {[]said{guess("c1", newer, "Authorized")}, Awaiting, Paid, "", ""},
		"the notification says which":     {[]said{guess("c1", newer, "Authorized"), {"c1", older, "Authorized"}}, Paid, Awaiting, "", "c1"},
		"the other way round":             {[]said{{"c1", older, "Authorized"}, guess("", newer, "Authorized")}, Paid, Awaiting, "", "c1"},
		"and voids it":                    {[]said{guess("c1", newer, "Authorized"), {"c1", older, "Authorized"}, {"c1", older, "Voided"}}, Cancelled, Awaiting, "", "c1"},
		"a known charge is no guess":      {[]said{{"c1", older, "Authorized"}, guess("c1", newer, "Voided")}, Cancelled, Awaiting, "", "c1"},
		"beside one that was declined":    {[]said{{"c1", newer, "Declined"}, guess("", newer, "Authorized")}, Awaiting, Paid, "", ""},
		"an id that is no charge's":       {[]said{guess("1", older, "Initialize"), guess("1", newer, "Authorized")}, Awaiting, Paid, "", ""},
		"two guesses are one charge":      {[]said{guess("", older, "Authorized"), guess("", newer, "Authorized")}, Paid, Paid, "", ""},
		"it voids what is known there":    {[]said{{"c2", newer, "Authorized"}, guess("", newer, "Voided")}, Awaiting, Cancelled, "", ""},
		"it voids nothing elsewhere":      {[]said{guess("", older, "Voided"), {"c2", newer, "Authorized"}}, Awaiting, Paid, "", ""},
		"one after another":               {[]said{guess("", older, "Voided"), guess("", newer, "Authorized")}, Cancelled, Paid, "", ""},
		"paid twice by name":              {[]said{guess("c1", newer, "Authorized"), {"c1", older, "Authorized"}, {"c2", newer, "Authorized"}}, Paid, Paid, "paid_twice paid_twice", "c1"},
		"paid twice, and one is nameless": {[]said{{"c1", older, "Authorized"}, {"", newer, "Authorized"}}, Paid, Paid, "paid_twice paid_twice", "c1"},
		"the same, but guessed before":    {[]said{{"c1", older, "Authorized"}, guess("", newer, "Authorized"), {"", newer, "Authorized"}}, Paid, Paid, "paid_twice paid_twice", "c1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			both(t, func(t *testing.T, at *place) {
				l := at.open(t)
				threeOpen(t, l, "1")
				for _, s := range test.said {
					c := charge(strings.TrimSuffix(s.id, "?"), s.bankID, s.state)
					c.Guessed = strings.HasSuffix(s.id, "?")
					apply(t, l, c)
				}
				all, err := l.Payments(t.Context(), scope, "1")
				if err != nil {
					t.Fatal(err)
				}
				older, newer := all[2], all[1]
				var warnings []Warning
				for _, p := range all {
					warnings = append(warnings, p.Warnings...)
				}
				if older.State != test.older || newer.State != test.newer || all[0].State != Awaiting || codes(warnings) != test.warnings || older.ChargeID != test.chargeID {
					t.Errorf("%+v\n%+v", older, newer)
				}
				if newer.State == Awaiting && (newer.BankState != "" || !newer.PaidAt.IsZero() || newer.PaidBy != "") {
					t.Errorf("a guess that no longer counts has left something: %+v", newer)
				}
			})
		})
	}
}

// Where the Villa order has one bank order it is the one that is meant; but the
// id of a charge that nothing else has named is bound by that to nothing.
func TestWhatNamesNoBankOrderAndThereIsOne(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, at *place) {
		l := at.open(t)
		guessed := func(id, bankID, state string) Charge {
			c := charge(id, bankID, state)
			c.Guessed = true
			return c
		}
		awaiting(t, l, "1")
		awaiting(t, l, "2")
		apply(t, l, charge("c1", "o1", "Authorized"))
		if _, err := l.ApplyCharge(t.Context(), scope, guessed("c1", "o2", "Authorized")); !errors.Is(err, ErrRebound) {
			t.Errorf("the charge of another Villa order: %v", err)
		}
		if done := apply(t, l, guessed("", "o1", "Voided")); done.Payment.State != Cancelled {
			t.Errorf("voided: %+v", done)
		}
		if done := apply(t, l, guessed("c2", "o2", "Authorized")); done.Payment.State != Paid || done.Payment.ChargeID != "" {
			t.Errorf("a charge that nothing else has named: %+v", done)
		}
		if done := apply(t, l, charge("c2", "o3", "Authorized")); !done.Unknown {
			t.Errorf("its notification, about an order made elsewhere: %+v", done)
		}
	})
}

// The bank's checksum joins id and amount without a separator, so one that was
// seen can be sent again with digits moved from the amount to the id.
func TestAChecksumIsBoundToItsFirstCharge(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, at *place) {
		l := at.open(t)
		awaiting(t, l, "1")
		seen := charge("c", "o9", "Authorized")
		seen.Amount, _ = order.ParseAmount("1300.00")
		seen.Checksum = "2b5cd42677ed"
		apply(t, l, seen)
		moved := charge("c1", "o1", "Authorized")
		moved.Checksum = "2B5CD42677ED"
		if _, err := l.ApplyCharge(t.Context(), scope, moved); !errors.Is(err, ErrRebound) {
			t.Errorf("a checksum that was seen with another charge: %v", err)
		}
		if all, err := l.Payments(t.Context(), scope, "1"); err != nil || all[0].State != Awaiting {
			t.Errorf("%+v, %v", all, err)
		}
	})
}

// livemode is not covered by the checksum: whoever delivers a notification first
// with livemode turned round must not keep the bank's own from counting.
func TestLivemodeTurnedRoundKeepsNothingFromCounting(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, at *place) {
		l := at.open(t)
		awaiting(t, l, "1")
		turned := charge("c1", "o1", "Authorized")
		live := true
		turned.Livemode = &live
		if done := apply(t, l, turned); done.Payment.State != Awaiting || codes(done.Warnings) != "charge_livemode" {
			t.Errorf("turned round: %+v", done)
		}
		if done := apply(t, l, charge("c1", "o1", "Authorized")); done.Repeat || done.Payment.State != Paid {
			t.Errorf("the bank's own: %+v", done)
		}
	})
}

func TestChargesBeforeTheirOrder(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, at *place) {
		l := at.open(t)
		c := l.mustClaim(t, ask("1"), Claimed)
		if done := apply(t, l, charge("c1", "o1", "Authorized")); !done.Unknown || done.Payment.ID != 0 {
			t.Errorf("%+v", done)
		}
		if done := apply(t, l, charge("c1", "o1", "Authorized")); !done.Unknown || !done.Repeat {
			t.Errorf("%+v", done)
		}
		p := l.mustRecord(t, c, testOrder(t, "o1"))
		if p.State != Paid || p.ChargeID != "c1" || p.KnownFrom != FromWebhook {
			t.Errorf("%+v", p)
		}
		var kinds []string
		for _, e := range eventsOf(t, l, p.ID) {
			kinds = append(kinds, e.Kind)
		}
		if got := strings.Join(kinds, " "); got != "claimed order charge" {
			t.Errorf("history: %s", got)
		}
		var orphans int
		if err := queryOne(t, l, `SELECT count(*) FROM villapay_event WHERE payment IS NULL`, &orphans); err != nil || orphans != 1 {
			t.Errorf("%d events without a payment, %v", orphans, err)
		}
	})
}

// A write that fails runs again, and meanwhile another process may have recorded
// the same report: what became of it is told all the same.
func TestAChargeThatAnotherProcessRecordsFirst(t *testing.T) {
	t.Parallel()
	at := sqlitePlace(t)
	l, other := at.open(t), at.open(t)
	p := awaiting(t, l, "1")
	said := charge("c1", "o1", "Authorized")
	l.store = &interrupted{store: l.store, meanwhile: func() { apply(t, other, said) }}
	done := apply(t, l, said)
	if done.Unknown || !done.Repeat || done.Payment.ID != p.ID || done.Payment.State != Paid {
		t.Errorf("%+v", done)
	}
}

// interrupted is a store that loses its connection in the middle of its first
// write, when the report is kept and its payment is not yet read.
type interrupted struct {
	store
	meanwhile func() // what others do before the write runs again
	happened  bool
}

func (s *interrupted) write(ctx context.Context, why purpose, fn func(*txn) error) error {
	if s.happened {
		return s.store.write(ctx, why, fn)
	}
	s.happened = true
	lost := errors.New("the connection was lost")
	err := s.store.write(ctx, why, func(t *txn) error {
		query := t.query
		t.query = func(text string, args ...any) (*sql.Rows, error) {
			if strings.Contains(text, "FROM villapay_payment") {
				return nil, lost
			}
			return query(text, args...)
		}
		return fn(t)
	})
	if !errors.Is(err, lost) {
		return err
	}
	s.meanwhile()
	return s.store.write(ctx, why, fn)
}

func queryOne(t *testing.T, l *Ledger, query string, into any) error {
	t.Helper()
	db, err := l.store.reader(t.Context())
	if err != nil {
		return err
	}
	return db.QueryRow(query).Scan(into)
}

func TestAWebhookAndItsOrderAtTheSameMoment(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, at *place) {
		one, two := at.open(t), at.open(t)
		for i := range 30 {
			id := fmt.Sprint(i)
			c := one.mustClaim(t, ask(id), Claimed)
			var group sync.WaitGroup
			group.Go(func() { one.mustRecord(t, c, testOrder(t, "o"+id)) })
			group.Go(func() { apply(t, two, charge("c"+id, "o"+id, "Authorized")) })
			group.Wait()
			if all, err := one.Payments(t.Context(), scope, id); err != nil || all[0].State != Paid {
				t.Fatalf("a payment was lost: %+v, %v", all, err)
			}
		}
	})
}

// A failed payment always says why, also where the bank had taken its charge back
// before the order was recorded; whatever comes of the charge later ends that.
func TestAReversalIsAReason(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, at *place) {
		l := at.open(t)
		c := l.mustClaim(t, ask("1"), Claimed)
		apply(t, l, charge("c", "o1", "Reversed"))
		p := l.mustRecord(t, c, testOrder(t, "o1"))
		if p.State != Failed || p.Error == nil || p.Error.Code != "reversed" || !strings.Contains(p.Error.Message, "charge c") {
			t.Errorf("%s, %+v", p.State, p.Error)
		}
		if p := apply(t, l, charge("c", "o1", "Refunded")).Payment; p.State != Refunded || p.Error != nil {
			t.Errorf("then %s, %+v", p.State, p.Error)
		}
	})
}

// secondOrder makes another payment of order 1 beside an earlier one, with the
// bank order oB.
func secondOrder(t *testing.T, l *Ledger) Payment {
	t.Helper()
	req := ask("1")
	req.New, req.Key = true, "newer"
	return l.mustRecord(t, l.mustClaim(t, req, Claimed), testOrder(t, "oB"))
}

func guess(bankID, state string) Charge {
	c := charge("", bankID, state)
	c.Guessed, c.From = true, FromAPI
	return c
}

// Once the charge of an earlier payment has ended, a guess is about the newer
// one, also where the same was heard before and was about the earlier.
func TestAGuessAfterTheEndOfAnotherCharge(t *testing.T) {
	t.Parallel()
	for _, end := range []string{"Voided", "Refund Sent", "Reversed"} {
		at := sqlitePlace(t)
		l := at.open(t)
		first := awaiting(t, l, "1")
		apply(t, l, charge("c1", first.BankOrderID, "Settled"))
		apply(t, l, charge("c1", first.BankOrderID, end))
		second := secondOrder(t, l)
		at.clock.add(time.Second)
		if p := apply(t, l, guess(second.BankOrderID, "Settled")).Payment; p.State != Paid || len(p.Warnings) > 0 {
			t.Errorf("%s: %s, %v", end, p.State, codes(p.Warnings))
		}
		if again := apply(t, l, guess(second.BankOrderID, "Settled")); !again.Repeat || again.Payment.State != Paid {
			t.Errorf("%s, again: %+v", end, again)
		}
		if c := l.mustClaim(t, ask("1"), Replay); c.Payment.State != Paid {
			t.Errorf("%s: replayed as %s", end, c.Payment.State)
		}
	}
}

func TestAGuessHeardAgainAfterTheEnd(t *testing.T) {
	t.Parallel()
	at := sqlitePlace(t)
	l := at.open(t)
	first := awaiting(t, l, "1")
	second := secondOrder(t, l)
	apply(t, l, guess(second.BankOrderID, "Settled"))
	apply(t, l, charge("c1", first.BankOrderID, "Settled"))
	at.clock.add(time.Second)
	apply(t, l, charge("c1", first.BankOrderID, "Voided"))
	if all, err := l.Payments(t.Context(), scope, "1"); err != nil || all[0].State != Awaiting {
		t.Fatalf("the guess still counts: %+v, %v", all, err)
	}
	at.clock.add(time.Second)
	if p := apply(t, l, guess(second.BankOrderID, "Settled")).Payment; p.State != Paid {
		t.Errorf("it is about the second one now: %s", p.State)
	}
}

// A payment that a guess had ended, and that is open again, is shown again: no
// other order is made beside it.
func TestAnOpenPaymentWithoutItsSlotIsReplayed(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, at *place) {
		l := at.open(t)
		first := awaiting(t, l, "1")
		second := secondOrder(t, l)
		apply(t, l, guess(second.BankOrderID, "Voided"))
		apply(t, l, charge("c1", first.BankOrderID, "Settled"))
		apply(t, l, charge("c1", first.BankOrderID, "Voided"))
		if c := l.mustClaim(t, ask("1"), Replay); c.Payment.ID != second.ID || c.Payment.State != Awaiting {
			t.Errorf("%+v", c.Payment)
		}
	})
}

// The reason is the last one, and the same whenever it is read.
func TestTheReasonOfAFailure(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, at *place) {
		l := at.open(t)
		c := l.mustClaim(t, ask("1"), Claimed)
		p := l.mustRecord(t, c, testOrder(t, "o1", `"failure_code":"insufficient_fund"`, `"failure_message":"no money"`))
		if p.State != Failed || p.Error.Code != "insufficient_fund" {
			t.Errorf("made: %s, %+v", p.State, p.Error)
		}
		if p = apply(t, l, charge("c1", "o1", "Declined")).Payment; p.State != Failed || p.Error.Code != "insufficient_fund" {
			t.Errorf("declined: %s, %+v", p.State, p.Error)
		}
		apply(t, l, charge("c2", "o1", "Settled"))
		told := apply(t, l, charge("c2", "o1", "Reversed")).Payment
		read, err := l.Payments(t.Context(), scope, "1")
		if err != nil || told.Error.Code != "reversed" || read[0].Error.Code != "reversed" {
			t.Errorf("told %+v, read %+v, %v", told.Error, read, err)
		}
	})
}
