package ledger

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/villapay/villapay/internal/order"
)

const other = "https://other.example"

// desk is a ledger with payments of all kinds. Its clock moves on by a minute with
// every payment.
func desk(t *testing.T, at *place) *Ledger {
	t.Helper()
	l := at.open(t)
	next := func() { at.clock.add(time.Minute) }
	if at.dsn != "sqlite" {
		next = func() {} // the server's clock counts
	}
	l.awaiting(t, "4925", `"reference_order":"4925-ref.1"`)
	next()
	l.awaiting(t, "4926", `"amount":1234.50`)
	l.hear(t, report("chrg_declined", "o4926", "Declined"))
	paid := report("chrg_Paid_1", "o4926", "Settled")
	paid.Amount = amount("1234.5")
	l.hear(t, paid)
	next()
	wechat := ask("4927")
	wechat.Source = order.WeChat
	l.fail(t, l.mustClaim(t, wechat, Claimed), order.Unknown)
	next()
	elsewhere := ask("4925")
	elsewhere.Scope, elsewhere.Env, elsewhere.Key = other, "prod", "Key_100%"
	l.mustRecord(t, l.mustClaim(t, elsewhere, Claimed), testOrder(t, "order_elsewhere"))
	return l
}

// describe are payments as "order/bank order".
func describe(t *testing.T, all []order.Payment) (lines []string) {
	t.Helper()
	for _, p := range all {
		lines = append(lines, p.OrderID+"/"+p.BankOrderID)
	}
	return lines
}

func find(t *testing.T, l *Ledger, f Filter) []order.Payment {
	t.Helper()
	var all []order.Payment
	for p, err := range l.List(t.Context(), f) {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
	return all
}

func TestFind(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, at *place) {
		l := desk(t, at)
		const newest, second, third, fourth = "4925/order_elsewhere", "4927/", "4926/o4926", "4925/o4925"
		for _, test := range []struct {
			filter Filter
			want   []string
		}{
			{Filter{Text: "4925"}, []string{newest, fourth}},
			{Filter{Text: "492", Scope: scope}, []string{second, third, fourth}},
			{Filter{Text: "492", Scope: scope, Limit: 2}, []string{second, third}},
			{Filter{Text: "92"}, []string{newest, second, third, fourth}},
			{Filter{Text: "O492"}, []string{third, fourth}},
			{Filter{Text: "ELSEWHERE"}, []string{newest}},
			{Filter{Text: "5-ref."}, []string{fourth}},
			{Filter{Text: "key_100%"}, []string{newest}},
			{Filter{Text: "0%"}, []string{newest}},
			{Filter{Text: "y_1"}, []string{newest}},
			{Filter{Text: "_%_"}, nil},
			{Filter{Text: `\`}, nil},
			{Filter{Text: "chrg_paid"}, []string{third}},
			{Filter{Text: "DECLINED"}, []string{third}},
			{Filter{Text: "chrg"}, []string{third}},
			{Filter{Text: "chrg", Source: order.WeChat}, nil},
			{Filter{Text: "chrg", Scope: other}, nil},
			{Filter{Text: "300"}, []string{newest, fourth}},
			{Filter{Text: "300.00"}, []string{newest, fourth}},
			{Filter{Text: "1,234.5"}, []string{third}},
			{Filter{Text: "234.5"}, nil},
			{Filter{Text: "492", Source: order.WeChat}, []string{second}},
			{Filter{Text: "492", States: []order.State{order.Paid, order.Unknown}}, []string{second, third}},
			{Filter{Text: "492", Unpaid: true}, []string{newest, second, fourth}},
			{Filter{Text: "492", By: ByPaid}, []string{third}},
			{Filter{Text: "nothing"}, nil},
		} {
			if diff := cmp.Diff(test.want, describe(t, find(t, l, test.filter))); diff != "" {
				t.Errorf("%+v: %s", test.filter, diff)
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		n := 0
		for _, err := range l.List(ctx, Filter{Text: "4925"}) {
			if _, ok := errors.AsType[*Error](err); !ok {
				t.Error(err)
			}
			n++
		}
		if n != 1 {
			t.Errorf("a search that fails ends after its error: %d", n)
		}
	})
}

// What matches by a charge that decides nothing stands where the list has it.
func TestFindByAnyCharge(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, at *place) {
		l := at.open(t)
		for i := range 4 {
			l.awaiting(t, fmt.Sprint("b", i))
			if i%2 == 0 {
				l.hear(t, report(fmt.Sprint("x", i), fmt.Sprint("ob", i), "Declined"))
				l.hear(t, report(fmt.Sprint("y", i), fmt.Sprint("ob", i), "Authorized"))
			} else {
				l.hear(t, report(fmt.Sprint("x", i), fmt.Sprint("ob", i), "Authorized"))
			}
			at.clock.add(time.Second)
		}
		for limit, want := range map[int][]string{0: {"b3/ob3", "b2/ob2", "b1/ob1", "b0/ob0"}, 1: {"b3/ob3"}, 2: {"b3/ob3", "b2/ob2"}, 3: {"b3/ob3", "b2/ob2", "b1/ob1"}} {
			if diff := cmp.Diff(want, describe(t, find(t, l, Filter{Text: "x", Limit: limit}))); diff != "" {
				t.Errorf("limit %d: %s", limit, diff)
			}
		}
		for range l.List(t.Context(), Filter{Text: "x"}) {
			break
		}
		// A charge on an order that nobody recorded belongs to the Villa order that was
		// asked about.
		l.answer(t, "b1", `{"charges":[{"charge_id":"strange","order_id":"o-theirs","transaction_state":"Declined"}]}`)
		if diff := cmp.Diff([]string{"b1/ob1"}, describe(t, find(t, l, Filter{Text: "strang"}))); diff != "" {
			t.Error(diff)
		}
	})
}

// A search in a ledger of which nothing was ever written finds nothing.
func TestFindInAnEmptyLedger(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, at *place) {
		l := at.open(t)
		elsewhere, err := l.Elsewhere(t.Context(), Filter{Scope: scope})
		if all := find(t, l, Filter{Text: "1"}); all != nil || elsewhere != nil || err != nil {
			t.Error(all, elsewhere, err)
		}
		named, err := l.Named(t.Context(), "1")
		if found, failed := l.Lookup(t.Context(), scope, []string{"1"}); named != nil || len(found) > 0 || err != nil || failed != nil {
			t.Error(named, found, err, failed)
		}
	})
}

func TestListBy(t *testing.T) {
	t.Parallel()
	at := sqlitePlace(t)
	l := at.open(t)
	start := at.clock.now()
	l.awaiting(t, "first", `"created":"20250530205658833"`)
	at.clock.add(time.Hour)
	l.awaiting(t, "second", `"created":"20250530205658000"`)
	l.mustClaim(t, ask("third"), Claimed)
	at.clock.add(time.Hour)
	l.hear(t, report("c2", "osecond", "Settled"))
	at.clock.add(time.Hour)
	l.hear(t, report("c1", "ofirst", "Settled"))
	created := time.Date(2025, 5, 30, 20, 56, 58, 833e6, order.Bangkok)
	for _, test := range []struct {
		filter Filter
		want   string
	}{
		{Filter{}, "third second first"},
		{Filter{By: ByRecorded, Since: start.Add(time.Hour)}, "third second"},
		{Filter{Until: start.Add(time.Hour)}, "first"},
		{Filter{By: ByCreated}, "first second"},
		{Filter{By: ByCreated, Since: created}, "first"},
		{Filter{By: ByCreated, Until: created}, "second"},
		{Filter{By: ByPaid}, "first second"},
		{Filter{By: ByPaid, Limit: 1}, "first"},
		{Filter{By: ByPaid, Since: start.Add(2 * time.Hour), Until: start.Add(3 * time.Hour)}, "second"},
	} {
		if got := listed(t, l, test.filter); got != test.want {
			t.Errorf("%+v: %s, want %s", test.filter, got, test.want)
		}
	}
}

// An unpaid order is one row, whatever payments it has.
func TestListUnpaid(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, at *place) {
		l := at.open(t)
		l.awaiting(t, "open")
		l.another(t, "open", "oopen-2")
		l.awaiting(t, "paid")
		l.another(t, "paid", "opaid-2")
		l.hear(t, report("c1", "opaid", "Settled"))
		l.awaiting(t, "refunded")
		l.hear(t, report("c2", "orefunded", "Settled"))
		l.hear(t, report("c2", "orefunded", "Refunded"))
		l.awaiting(t, "voided")
		l.hear(t, report("c3", "ovoided", "Authorized"))
		l.hear(t, report("c3", "ovoided", "Voided"))
		l.awaiting(t, "reversed")
		l.hear(t, report("c4", "oreversed", "Authorized"))
		l.hear(t, report("c4", "oreversed", "Reversed"))
		l.awaiting(t, "theirs")
		l.answer(t, "theirs", `{"charge_id":"c5","order_id":"o-of-another-tool","transaction_state":"Settled"}`)
		l.fail(t, l.mustClaim(t, ask("rejected"), Claimed), order.Rejected)
		l.fail(t, l.mustClaim(t, ask("not-ours"), Claimed), order.Rejected)
		l.answer(t, "not-ours", `{"charge_id":"c-theirs","order_id":"o-foreign","transaction_state":"Settled","amount":300,"currency":"THB"}`)
		for id, state := range map[string]string{"only-voided": "Voided", "only-refunded": "Refunded", "partly-refunded": "Refunded"} {
			l.awaiting(t, id)
			r := report("c-"+id, "o"+id, state)
			if id == "partly-refunded" {
				r.Amount = amount("100")
			}
			l.hear(t, r)
		}
		want := []string{"rejected/", "reversed/oreversed", "open/oopen-2"}
		if diff := cmp.Diff(want, describe(t, find(t, l, Filter{Unpaid: true}))); diff != "" {
			t.Error(diff)
		}
		if got := listed(t, l, Filter{Unpaid: true, States: []order.State{order.Awaiting}}); got != "open" {
			t.Error(got)
		}
	})
}

// Whatever payment of a paid Villa order is listed says so.
func TestPaidElsewhereIsSaid(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, at *place) {
		l := at.open(t)
		l.fail(t, l.mustClaim(t, ask("4925"), Claimed), order.Rejected)
		unknown := l.mustClaim(t, ask("4925"), Claimed)
		l.fail(t, unknown, order.Unknown)
		l.another(t, "4925", "o-2")
		l.another(t, "4925", "o-3")
		l.fail(t, l.mustClaim(t, ask("4926"), Claimed), order.Rejected)
		l.hear(t, report("c1", "o-3", "Settled"))
		l.fail(t, l.mustClaim(t, ask("4927"), Claimed), order.Unknown)
		l.answer(t, "4927", `{"charge_id":"c2","order_id":"theirs","transaction_state":"Settled","amount":300,"currency":"THB"}`)
		want := map[string]string{"4926": "", "4927": "paid_elsewhere", "o-3": "", "o-2": "paid_elsewhere", "4925": "paid_elsewhere"}
		seen := 0
		for _, p := range find(t, l, Filter{}) {
			seen++
			name := p.BankOrderID
			if name == "" {
				name = p.OrderID
			}
			if got := codes(p.Warnings); got != want[name] {
				t.Errorf("%s is %s with %q, want %q", name, p.State, got, want[name])
			}
		}
		if seen != 6 {
			t.Errorf("%d payments", seen)
		}
	})
}

func TestElsewhereAndNamed(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, at *place) {
		l := desk(t, at)
		for _, test := range []struct {
			filter Filter
			want   []string
		}{
			{Filter{Scope: other}, []string{"4927/"}},
			{Filter{Scope: other, Text: "ref"}, []string{"4925/o4925"}},
			{Filter{Scope: scope, Text: "300"}, []string{"4925/order_elsewhere"}},
			{Filter{Scope: scope, States: []order.State{order.Paid}}, nil},
			{Filter{Scope: "nowhere", States: []order.State{order.Awaiting}}, []string{"4925/order_elsewhere", "4925/o4925"}},
		} {
			all, err := l.Elsewhere(t.Context(), test.filter)
			got := describe(t, all)
			slices.SortFunc(got, func(a, b string) int { return -strings.Compare(a, b) })
			if diff := cmp.Diff(test.want, got); diff != "" || err != nil {
				t.Errorf("%+v: %s, %v", test.filter, diff, err)
			}
		}
		for id, want := range map[string][]string{
			"4925":            {"4925/o4925", "4925/order_elsewhere"},
			"o4926":           {"4926/o4926"},
			"order_elsewhere": {"4925/order_elsewhere"},
			"4925-ref.1":      {"4925/o4925"},
			"chrg_Paid_1":     {"4926/o4926"},
			"chrg_declined":   {"4926/o4926"},
			"chrg":            nil,
		} {
			all, err := l.Named(t.Context(), id)
			got := describe(t, all)
			slices.Sort(got)
			if diff := cmp.Diff(want, got); diff != "" || err != nil {
				t.Errorf("%s: %s, %v", id, diff, err)
			}
		}
	})
}

func TestLookup(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, at *place) {
		l := desk(t, at)
		l.another(t, "4925", "o4925-2")
		l.awaiting(t, "4928")
		l.answer(t, "4928", `{"charge_id":"c5","order_id":"theirs","transaction_state":"Settled","amount":300,"currency":"THB"}`)
		l.answer(t, "4929", `{"charge_id":"c6","order_id":"theirs-2","transaction_state":"Settled","amount":300,"currency":"THB"}`)
		found, err := l.Lookup(t.Context(), scope, []string{"4925", "o4925", "4925-ref.1", "chrg_Paid_1", "chrg_declined", "4928", "4929", "theirs", "c5", "theirs-2", "c6", "nothing", "order_elsewhere", ""})
		if err != nil {
			t.Fatal(err)
		}
		want := map[string][]string{
			"4925": {"4925/o4925-2", "4925/o4925"}, "o4925": {"4925/o4925"}, "4925-ref.1": {"4925/o4925"},
			"chrg_Paid_1": {"4926/o4926"}, "chrg_declined": {"4926/o4926"}, "4928": {"4928/theirs", "4928/o4928"}, "4929": {"4929/theirs-2"},
			"theirs": {"4928/theirs"}, "c5": {"4928/theirs"}, "theirs-2": {"4929/theirs-2"}, "c6": {"4929/theirs-2"},
		}
		got := map[string][]string{}
		for id, payments := range found {
			got[id] = describe(t, payments)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	})
}

// A list of few payments among many, and of a state that most are in, is read from
// an index.
func TestListsOfStates(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, at *place) {
		l := at.open(t)
		l.awaiting(t, "failed", `"failure_code":"no"`)
		l.awaiting(t, "expired", expired)
		l.awaiting(t, "open")
		l.awaiting(t, "paid")
		l.hear(t, report("c1", "opaid", "Settled"))
		all := strings.TrimPrefix(columns, "id, ")
		copied := strings.NewReplacer("idem_key", "idem_key || ?", "slot", "0").Replace(all)
		for n := range 12 { // 4096 are more than few
			l.exec(t, `INSERT INTO villapay_payment (`+all+`) SELECT `+copied+` FROM villapay_payment WHERE state = 'paid'`, fmt.Sprint("-", n))
		}
		for _, test := range []struct {
			states []order.State
			index  string
			want   string
		}{
			{[]order.State{order.Failed}, "villapay_payment_state", "failed"},
			{[]order.State{order.Awaiting}, "villapay_payment_expiry", "open"},
			{[]order.State{order.Expired, order.Failed}, "villapay_payment_expiry", "expired failed"},
			{[]order.State{order.Paid}, "villapay_payment_state", "paid paid paid"},
			{[]order.State{order.Paid, order.Failed}, "villapay_payment_find", "paid paid paid"},
		} {
			for _, scope := range []string{scope, ""} {
				f := Filter{Scope: scope, States: test.states, Limit: 3}
				if got := listed(t, l, f); got != test.want {
					t.Errorf("%v: %q", test.states, got)
				}
			}
			query, args := "", []any(nil)
			store := l.store
			l.store = &watched{store, func(s string, a []any) { query, args = s, a }}
			listed(t, l, Filter{States: test.states, Limit: 3})
			if l.store = store; at.dsn != "sqlite" {
				continue
			}
			rows, err := l.read(t.Context(), "EXPLAIN QUERY PLAN "+query, args...)
			if err != nil {
				t.Fatal(err)
			}
			plan := ""
			for rows.Next() {
				var detail string
				if err := rows.Scan(new(int), new(int), new(int), &detail); err != nil {
					t.Fatal(err)
				}
				plan += detail + "\n"
			}
			if !strings.Contains(plan, test.index) {
				t.Errorf("%v: %s", test.states, plan)
			}
		}
	})
}

// watched passes on the last query of each reader.
type watched struct {
	store
	seen func(query string, args []any)
}

func (w *watched) reader(ctx context.Context, ahead ...statement) (queryFunc, error) {
	query, err := w.store.reader(ctx, ahead...)
	return func(text string, args ...any) (cursor, error) {
		w.seen(text, args)
		return query(text, args...)
	}, err
}
