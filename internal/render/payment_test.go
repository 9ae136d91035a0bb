package render

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/villapay/villapay/internal/ledger"
	"github.com/villapay/villapay/internal/order"
)

var update = flag.Bool("update", false, "write the golden files anew")

// golden compares got with a file under testdata.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-update if it is meant): %s", path, diff)
	}
}

var created = time.Date(2025, 5, 30, 20, 56, 58, 833e6, order.Bangkok)

// seedOrder is the seed's own example, spacing included.
const seedOrder = `{
"id": "order_test_222110adff3affb5844c497fa9c22366b5bc6",
"object": "order",
"created": "20250530205658833",
"livemode": false,
"amount": 300.0,
"currency": "THB",
"customer": null,
"description": "Order 492500004632",
"metadata": null,
"status": "success",
"reference_order": "4925000046321748613417.737979",
"source_type": "qr",
"additional_data": {
"term": null,
"mid": null
},
"failure_code": null,
"failure_message": null,
"expire_time_seconds": 3600
}`

func awaiting(t *testing.T) order.Payment {
	t.Helper()
	return order.Payment{
		Scope: "https://shop.villamarket.com/api/payment3devapi", Env: "dev",
		OrderID: "492500004632", Source: order.QR, Key: "2f5c1a34-7b7e-4d58-9f0b-0f4f2f1f9a10",
		State: order.Awaiting, Attempts: 1,
		Order: []byte(seedOrder), BankOrderID: "order_test_222110adff3affb5844c497fa9c22366b5bc6",
		Amount: sum(t, "300.0"), Currency: "THB",
		CreatedAt: created, ExpiresAt: created.Add(time.Hour),
		RecordedAt: created.Add(-time.Second), KnownAt: created.Add(time.Second), KnownFrom: order.FromAPI,
		RequestID: "req-1",
	}
}

func with(p order.Payment, change func(*order.Payment)) order.Payment {
	change(&p)
	return p
}

// gallery is a payment of every state, and of every kind of text.
func gallery(t *testing.T) []order.Payment {
	t.Helper()
	base := awaiting(t)
	nothing := with(base, func(p *order.Payment) {
		p.Order, p.BankOrderID, p.Amount, p.Currency = nil, "", order.Amount{}, ""
		p.CreatedAt, p.ExpiresAt = time.Time{}, time.Time{}
	})
	return []order.Payment{
		base,
		with(base, func(p *order.Payment) { p.OrderID, p.ReplacedBy = "replaced-1", "other-key" }),
		with(base, func(p *order.Payment) {
			p.OrderID, p.State, p.Source = "paid-1", order.Paid, order.WeChat
			p.PaidAt, p.PaidBy, p.BankState, p.ChargeID = created.Add(time.Minute), "transaction_state", "Authorized", "chrg_test_1"
			p.KnownFrom = order.FromWebhook
			p.Amount = sum(t, "1234567.5")
			p.Warnings = []order.Warning{{Code: "paid_twice", Message: "two charges paid this order: give one back"}}
		}),
		with(base, func(p *order.Payment) {
			p.OrderID, p.State = "failed-1", order.Failed
			p.Order = []byte(`{"id":"order_test_1","status":"failed","failure_code":"limit","failure_message":"วงเงินเกิน\u001b[2J\n🇹🇭 \u202e微信"}`)
		}),
		with(nothing, func(p *order.Payment) {
			p.OrderID, p.State = "rejected-1", order.Rejected
			p.Error = &order.Failure{Code: "invalid_amount", Message: "Invalid payment amount.", Status: 400}
		}),
		with(nothing, func(p *order.Payment) {
			p.OrderID, p.State = "rejected-2", order.Rejected
			p.Error = &order.Failure{Code: "unreachable", Message: "connection refused", Retryable: true}
		}),
		with(nothing, func(p *order.Payment) {
			p.OrderID, p.State, p.Attempts = "unknown-1", order.Unknown, 5
			p.Error = &order.Failure{Code: "timeout", Message: "no answer within 30s", Retryable: true}
		}),
		with(nothing, func(p *order.Payment) {
			p.OrderID, p.State, p.KnownFrom = "sending-1", order.Sending, order.FromLedger
		}),
		with(base, func(p *order.Payment) { p.OrderID, p.State = "expired-1", order.Expired }),
		with(base, func(p *order.Payment) { p.OrderID, p.State, p.ExpiresAt = "forever-1", order.Awaiting, time.Time{} }),
		with(base, func(p *order.Payment) { p.OrderID, p.State = "cancelled-1", order.Cancelled }),
		with(base, func(p *order.Payment) { p.OrderID, p.State, p.Replayed = "refunded-1", order.Refunded, true }),
	}
}

func sequence[T any](values ...T) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for _, value := range values {
			if !yield(value, nil) {
				return
			}
		}
	}
}

func screens() map[string]Screen {
	now := created.Add(2 * time.Minute)
	return map[string]Screen{
		"wide":   {TTY: true, UTF8: true, Columns: 120, Rows: 40, Now: now, Local: time.UTC},
		"narrow": {TTY: true, UTF8: true, Columns: 60, Rows: 20, Now: now, Local: time.UTC},
		"latin1": {TTY: true, Columns: 80, Rows: 24, Now: now},
		"piped":  {Now: now, UTF8: true, Columns: 10},
		"color":  {TTY: true, UTF8: true, Color: true, Columns: 120, Rows: 40, Now: now},
	}
}

// tables are everything that draws a table.
func tables(t *testing.T) map[string]func(io.Writer, Screen) error {
	t.Helper()
	events := []ledger.Event{
		{At: created.Add(-time.Second), Kind: "claimed", Actor: "nok@counter-3", Note: "claim 1"},
		{At: created, Kind: "order", Actor: "nok@counter-3", RequestID: "req-1", Note: "order_test_222110adff3affb5844c497fa9c22366b5bc6 awaiting, expires in an hour"},
		{At: created.Add(time.Minute), Kind: "charge", Actor: "webhook", Note: "Authorized \x1b[31m\nจ่ายแล้ว 👨\u200d👩\u200d👧"},
	}
	return map[string]func(io.Writer, Screen) error{
		"payment": func(w io.Writer, s Screen) error {
			for i, p := range gallery(t) {
				if err := Payment(w, s, p, i == 2); err != nil {
					return err
				}
			}
			return nil
		},
		"full":   func(w io.Writer, s Screen) error { return PaymentFull(w, s, gallery(t)[2], false) },
		"list":   func(w io.Writer, s Screen) error { return Payments(w, s, sequence(gallery(t)...)) },
		"events": func(w io.Writer, s Screen) error { return Events(w, s, events) },
	}
}

func TestTables(t *testing.T) {
	t.Parallel()
	for what, draw := range tables(t) {
		for where, s := range screens() {
			t.Run(what+"_"+where, func(t *testing.T) {
				t.Parallel()
				var out bytes.Buffer
				if err := draw(&out, s); err != nil {
					t.Fatal(err)
				}
				golden(t, what+"_"+where, out.String())
				checkLines(t, s, out.String())
			})
		}
	}
}

// checkLines checks what no table may break: the terminal's width, straight
// borders, harmless text, and no colour where none is wanted.
func checkLines(t *testing.T, s Screen, text string) {
	t.Helper()
	uncolored := text
	if s.Color {
		uncolored = strings.NewReplacer("\x1b[1;31m", "", "\x1b[1;32m", "", "\x1b[33m", "", "\x1b[1m", "", "\x1b[0m", "").Replace(text)
		if uncolored == text {
			t.Error("no colour at a screen that takes it")
		}
	}
	cells := 0
	for line := range strings.Lines(uncolored) {
		line = strings.TrimSuffix(line, "\n")
		harmless(t, line)
		if s.TTY && width(line) > s.Columns {
			t.Errorf("%q is wider than %d", line, s.Columns)
		}
		if strings.HasPrefix(line, "╭") || strings.HasPrefix(line, "+") && cells == 0 {
			cells = width(line)
		}
		if width(line) != cells && !strings.HasPrefix(line, "+") {
			t.Errorf("%q takes %d cells, its table %d", line, width(line), cells)
		}
		if strings.HasPrefix(line, "+") {
			cells = width(line)
		}
		if s.legacy() && strings.ContainsFunc(line, func(r rune) bool { return r > '~' }) {
			t.Errorf("%q is not ASCII", line)
		}
	}
}

// "success" is the API's word for an order that was made: alone in a table it
// would make a cashier hand over goods.
func TestSuccessNeverStandsAlone(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	if err := PaymentFull(&out, Screen{}, awaiting(t), false); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out.String(), "awaiting payment") {
		t.Error("the state is not said")
	}
	for line := range strings.Lines(out.String()) {
		if strings.Contains(line, "success") && !strings.Contains(line, "no proof of payment") {
			t.Errorf("bare success: %q", line)
		}
	}
}

func TestEveryStateHasWords(t *testing.T) {
	t.Parallel()
	seen := map[string]order.State{}
	for _, state := range order.States() {
		word := StateWord(state)
		if other, twice := seen[word]; twice || word == "" {
			t.Errorf("%s and %s both read %q", state, other, word)
		}
		seen[word] = state
	}
}

func TestPipedListLosesNothing(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 500)
	var out bytes.Buffer
	err := Payments(&out, Screen{Columns: 20}, func(yield func(order.Payment, error) bool) {
		for i := range 2*sample + 1 {
			p := awaiting(t)
			p.OrderID = fmt.Sprintf("n-%d-", i)
			if i == 0 || i == 2*sample {
				p.BankOrderID = long
			}
			if !yield(p, nil) {
				return
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	text := out.String()
	if strings.Count(text, long) != 2 {
		t.Errorf("a long value stands %d times, want 2", strings.Count(text, long))
	}
	if got, want := strings.Count(text, "| n-"), 2*sample+1; got != want {
		t.Errorf("%d rows, want %d", got, want)
	}
}

func TestListEndsAtTheFirstError(t *testing.T) {
	t.Parallel()
	broken := errors.New("the ledger broke")
	for _, after := range []int{0, 1, sample, sample + 5} {
		err := Payments(io.Discard, Screen{}, func(yield func(order.Payment, error) bool) {
			for range after {
				if !yield(awaiting(t), nil) {
					return
				}
			}
			yield(order.Payment{}, broken)
		})
		if !errors.Is(err, broken) {
			t.Errorf("after %d rows: %v", after, err)
		}
	}
}

// full is a disk that fills up after some bytes.
type full struct{ room int }

var errFull = errors.New("no space left on device")

func (f *full) Write(p []byte) (int, error) {
	if f.room -= len(p); f.room < 0 {
		return 0, errFull
	}
	return len(p), nil
}

func TestEveryWriterReportsAFullDisk(t *testing.T) {
	t.Parallel()
	raw, err := PaymentJSON(awaiting(t))
	if err != nil {
		t.Fatal(err)
	}
	query, err := JQ(".id")
	if err != nil {
		t.Fatal(err)
	}
	writers := tables(t)
	writers["json"] = func(w io.Writer, s Screen) error { return JSON(w, s, raw) }
	writers["line"] = func(w io.Writer, _ Screen) error { return JSONLine(w, raw) }
	writers["array"] = func(w io.Writer, s Screen) error { return JSONArray(w, s, sequence(raw)) }
	writers["yaml"] = func(w io.Writer, s Screen) error { return YAML(w, s, raw) }
	writers["yaml list"] = func(w io.Writer, s Screen) error { return YAMLList(w, s, sequence(raw)) }
	writers["jq"] = func(w io.Writer, s Screen) error { return query.Run(t.Context(), w, s, raw) }
	writers["qr"] = func(w io.Writer, s Screen) error { return QR(w, s, Code{Text: "x"}, Half) }
	writers["csv"] = func(w io.Writer, _ Screen) error {
		c, err := NewCSV(w)
		if err != nil {
			return err
		}
		return c.Row(awaiting(t))
	}
	for name, write := range writers {
		for _, room := range []int{0, 40} {
			if err := write(&full{room}, Screen{}); !errors.Is(err, errFull) {
				t.Errorf("%s with room for %d bytes: %v", name, room, err)
			}
		}
	}
}
