package reconcile

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/villapay/villapay/internal/ledger"
	"github.com/villapay/villapay/internal/order"
	"github.com/villapay/villapay/internal/secret"
	"github.com/villapay/villapay/internal/table"
	"github.com/villapay/villapay/internal/testpg"
)

const scope = "https://shop.example/api"

var (
	day    = time.Date(2026, 11, 22, 0, 0, 0, 0, order.Bangkok)
	period = ledger.Period{Scope: scope, Since: day, Until: day.AddDate(0, 0, 1)}
)

// books is a ledger to compare with.
type books struct {
	*ledger.Ledger
	t *testing.T
}

func newBooks(t *testing.T) *books {
	t.Helper()
	return booksAt(t, "none", "")
}

func booksAt(t *testing.T, dsn, stateDir string) *books {
	t.Helper()
	l, err := ledger.Open(t.Context(), secret.New(dsn), stateDir, "tester", time.Now)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return &books{l, t}
}

// order records a payment of a Villa order, with the bank order o-ID and the
// reference_order r-ID.
func (b *books) order(id, amount string) {
	b.t.Helper()
	b.orderIn(id, amount, "THB")
}

func (b *books) orderIn(id, amount, currency string) {
	b.t.Helper()
	c, err := b.Claim(b.t.Context(), ledger.ClaimRequest{Scope: scope, Env: "dev", OrderID: id, Source: order.QR, Key: "key-" + id})
	if err != nil {
		b.t.Fatal(err)
	}
	made, err := order.Decode(fmt.Appendf(nil, `{"id":"o-%s","object":"order","amount":%s,"currency":%q,"status":"success","reference_order":"r-%s","expire_time_seconds":3600}`, id, amount, currency, id))
	if err != nil {
		b.t.Fatal(err)
	}
	if _, err := b.RecordOrder(b.t.Context(), c, made, ledger.Answer{Attempts: 1}); err != nil {
		b.t.Fatal(err)
	}
}

// charge records what became of a charge on a bank order.
func (b *books) charge(id, bank, amount, state string, after time.Duration) {
	b.t.Helper()
	sum, err := order.ParseAmount(amount)
	if err != nil {
		b.t.Fatal(err)
	}
	b.hear(order.Report{ChargeID: id, BankOrderID: bank, Amount: sum, Currency: "THB", TransactionState: state, Created: day.Add(after)})
}

// hear records what the bank says.
func (b *books) hear(r order.Report) {
	b.t.Helper()
	r.Status, r.From, r.OrderID, r.Raw = "success", order.FromBank, strings.TrimPrefix(r.BankOrderID, "o-"), []byte("{}")
	if _, err := b.RecordReport(b.t.Context(), scope, r); err != nil {
		b.t.Fatal(err)
	}
}

func (b *books) paid(id, amount string, after time.Duration) {
	b.t.Helper()
	b.order(id, amount)
	b.charge("c-"+id, "o-"+id, amount, "Settled", after)
}

// compare returns the differences as lines.
func (b *books) compare(csv string) (lines []string) {
	b.t.Helper()
	f, err := Read(strings.NewReader(csv), "id", "amount", func(e *table.Error) { b.t.Error(e) })
	if err != nil {
		b.t.Fatal(err)
	}
	for d, err := range f.Compare(b.t.Context(), b.Ledger, period) {
		if err != nil {
			b.t.Fatal(err)
		}
		line := fmt.Sprintf("%d %s %s %s %s/%s", d.Line, d.Kind, d.ID, d.OrderID, d.FileAmount, d.LedgerAmount)
		if d.Payment != nil {
			line += " " + string(d.Payment.State)
		}
		lines = append(lines, line)
	}
	return lines
}

func TestCompare(t *testing.T) {
	t.Parallel()
	b := newBooks(t)
	b.paid("first", "300.0", 0)
	b.paid("second", "1234.50", time.Hour)
	b.paid("late", "74", 24*time.Hour)
	b.paid("twice", "10", time.Hour)
	b.charge("c-twice-2", "o-twice", "10", "Settled", 2*time.Hour)
	b.order("open", "500")
	b.paid("refunded", "20", time.Hour)
	b.charge("c-refunded", "o-refunded", "20", "Refunded", 3*time.Hour)
	b.charge("c-theirs", "o-theirs", "60", "Settled", time.Hour) // made by another tool
	const all = "first,300\nsecond,\"1,234.50\"\ntwice,10\ntwice,10.00\n"
	for name, test := range map[string]struct {
		csv  string
		want []string
	}{
		"nothing differs":      {all, nil},
		"by bank orders":       {"o-first,300\no-second,1234.5\no-twice,10\no-twice,10\n", nil},
		"by reference_orders":  {"r-first,300\nr-second,1234.5\nr-twice,10\nr-twice,10\n", nil},
		"by charges":           {"c-first,300\nc-second,1234.5\nc-twice,10\nc-twice-2,10\n", nil},
		"by all of them":       {"first,300\no-second,1234.5\nc-twice,10\nr-twice,10\n", nil},
		"unknown to us":        {all + "nobody,5\n", []string{"6 only_in_file nobody  5/"}},
		"not in the file":      {"o-first,300\no-twice,10\no-twice,10\n", []string{"0 only_in_ledger o-second second /1234.50"}},
		"not in it, charges":   {"c-first,300\nc-second,1234.5\nc-twice,10\n", []string{"0 only_in_ledger c-twice-2 twice /10"}},
		"an empty file":        {"", []string{"0 only_in_ledger twice twice /10", "0 only_in_ledger twice twice /10", "0 only_in_ledger first first /300.0", "0 only_in_ledger second second /1234.50"}},
		"another amount":       {"first,299.99\nsecond,1234.50\ntwice,10\ntwice,10\n", []string{"2 amount first first 299.99/300.0"}},
		"not paid":             {all + "open,500\no-refunded,20\n", []string{"6 not_paid open open 500/500 awaiting", "7 not_paid o-refunded refunded 20/20 refunded"}},
		"paid at another time": {all + "late,74\n", []string{"6 only_in_file late late 74/74 paid"}},
		"more often than paid": {all + "first,300\n", []string{"6 only_in_file first first 300/300.0 paid"}},
		"another tool's":       {all + "theirs,60\n", nil},
		"another tool's, twice, and another amount": {all + "theirs,60\ntheirs,60\n", []string{"7 only_in_file theirs theirs 60/60 paid"}},
		"another tool's, another amount":            {all + "theirs,61\n", []string{"6 amount theirs theirs 61/60 paid"}},
		"amounts of one order that cross":           {"first,300\nsecond,1234.5\ntwice,11\ntwice,10\n", []string{"4 amount twice twice 11/10"}},
	} {
		if diff := cmp.Diff(test.want, b.compare("id,amount\n"+test.csv)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

// An amount that the ledger does not have, or has in another currency than the list
// says, does not pass for compared.
func TestCompareAmountsThatCannotBe(t *testing.T) {
	t.Parallel()
	b := newBooks(t)
	b.order("none", "null")
	b.orderIn("dollars", "300.0", "USD")
	for _, id := range []string{"none", "dollars"} {
		b.hear(order.Report{ChargeID: "c-" + id, BankOrderID: "o-" + id, TransactionState: "Settled", Created: day})
	}
	b.hear(order.Report{ChargeID: "c-theirs", BankOrderID: "o-theirs", TransactionState: "Settled", Created: day}) // made by another tool
	for csv, want := range map[string][]string{
		"none,300\ndollars,300\ntheirs,60\n":       {"2 amount none none 300/", "4 amount theirs theirs 60/ paid"},
		"none,300\ndollars,THB 300\ntheirs,60\n":   {"2 amount none none 300/", "3 amount dollars dollars 300/300.0", "4 amount theirs theirs 60/ paid"},
		"none,300\ndollars,300 baht\ntheirs,60\n":  {"2 amount none none 300/", "3 amount dollars dollars 300/300.0", "4 amount theirs theirs 60/ paid"},
		"none,300\ndollars,299 ฿\ntheirs,THB 60\n": {"2 amount none none 300/", "3 amount dollars dollars 299/300.0", "4 amount theirs theirs 60/ paid"},
	} {
		if diff := cmp.Diff(want, b.compare("id,amount\n"+csv)); diff != "" {
			t.Errorf("%q: %s", csv, diff)
		}
	}
}

// More rows than the ledger is asked about at once are looked at all the same.
func TestCompareMany(t *testing.T) {
	t.Parallel()
	b := newBooks(t)
	b.paid("first", "300.0", 0)
	var csv strings.Builder
	csv.WriteString("id,amount\n")
	for i := range 2*lookAtOnce + 1 {
		fmt.Fprintf(&csv, "n%d,1\n", i)
	}
	csv.WriteString("first,300\n")
	if got := b.compare(csv.String()); len(got) != 2*lookAtOnce+1 {
		t.Errorf("%d differences", len(got))
	}
}

// What is paid while the differences are being read is not compared.
func TestCompareIsOfOneMoment(t *testing.T) {
	t.Parallel()
	test := func(t *testing.T, dsn string) {
		t.Parallel()
		b := booksAt(t, dsn, t.TempDir())
		b.paid("1", "100.00", time.Hour)
		b.order("2", "200.00")
		f, err := Read(strings.NewReader("id,amount\n2,200.00\n"), "id", "amount", nil)
		if err != nil {
			t.Fatal(err)
		}
		var kinds []Kind
		for d, err := range f.Compare(t.Context(), b.Ledger, period) {
			if err != nil {
				t.Fatal(err)
			}
			if kinds = append(kinds, d.Kind); len(kinds) == 1 {
				b.charge("c-2", "o-2", "200.00", "Settled", time.Hour)
			}
		}
		if diff := cmp.Diff([]Kind{OnlyInLedger, NotPaid}, kinds); diff != "" {
			t.Error(diff)
		}
	}
	t.Run("sqlite", func(t *testing.T) { test(t, "sqlite") })
	t.Run("postgres", func(t *testing.T) { test(t, testpg.Schema(t)) })
}

func TestRead(t *testing.T) {
	t.Parallel()
	var bad []string
	f, err := Read(strings.NewReader("Bank;Amount;id\nx;1,000.00;a\n;1;\nx;300,00;b\nx;;c\nx;USD 300.00;d\n"), "ID", "amount", func(e *table.Error) { bad = append(bad, e.Error()) })
	if err != nil || f.Rows() != 1 {
		t.Error(f, err)
	}
	want := []string{"line 3: it has no ID", `line 4: "300,00" is not an amount; examples: 300, 300.00, 1,234.50`, `line 5: "" is not an amount; examples: 300, 300.00, 1,234.50`, `line 6: "USD 300.00" is not an amount; examples: 300, 300.00, 1,234.50`}
	if diff := cmp.Diff(want, bad); diff != "" {
		t.Error(diff)
	}
	for text, want := range map[string]string{
		"id,sum\n":                "line 1: the header has no column amount; it has id, sum",
		"id,amount\n4925.0,300\n": "line 2: 4925.0 is an ID",
	} {
		if _, err := Read(strings.NewReader(text), "id", "amount", nil); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%q: %v", text, err)
		}
	}
	broken := errors.New("broken")
	if _, err := Read(io.MultiReader(strings.NewReader("id,amount\n"), iotest.ErrReader(broken)), "id", "amount", nil); !errors.Is(err, broken) {
		t.Error(err)
	}
}

func TestCompareEndsWithItsContext(t *testing.T) {
	t.Parallel()
	b := newBooks(t)
	b.paid("first", "300.0", 0)
	f, err := Read(strings.NewReader("id,amount\nfirst,1\n"), "id", "amount", nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	n := 0
	for _, err := range f.Compare(ctx, b.Ledger, period) {
		if n++; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	}
	if n != 1 {
		t.Errorf("%d ends", n)
	}
}

// What the ledger has beyond the list needs no memory.
func TestMemory(t *testing.T) {
	b := newBooks(t)
	const n = 3000
	for i := range n {
		b.paid(fmt.Sprint("p", i), "1", time.Hour)
	}
	f, err := Read(strings.NewReader("id,amount\np1,1\n"), "id", "amount", nil)
	if err != nil {
		t.Fatal(err)
	}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	differences := 0
	for _, err := range f.Compare(t.Context(), b.Ledger, period) {
		if err != nil {
			t.Fatal(err)
		}
		if differences++; differences == n-1 {
			runtime.GC()
			runtime.ReadMemStats(&after)
		}
	}
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); differences != n-1 || grown > 256<<10 {
		t.Errorf("%d differences, %d bytes more in use", differences, grown)
	}
}
