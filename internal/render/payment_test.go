package render

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

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
		Reference: "4925000046321748613417.737979",
		Amount:    sum(t, "300.0"), Currency: "THB",
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
		p.Order, p.BankOrderID, p.Reference, p.Amount, p.Currency = nil, "", "", order.Amount{}, ""
		p.CreatedAt, p.ExpiresAt = time.Time{}, time.Time{}
	})
	return []order.Payment{
		base,
		with(base, func(p *order.Payment) { p.OrderID, p.ReplacedBy = "replaced-1", "other-key" }),
		with(base, func(p *order.Payment) {
			p.OrderID, p.State, p.Source = "paid-1", order.Paid, order.WeChat
			p.PaidAt, p.PaidAtFrom, p.PaidBy, p.BankState, p.ChargeID = created.Add(time.Minute), order.AtBank, "transaction_state", "Authorized", "chrg_test_1"
			p.KnownFrom = order.FromWebhook
			p.Amount = sum(t, "1234567.5")
			p.Warnings = []order.Warning{{Code: "paid_twice", Message: "two charges paid this order: give one back"}}
		}),
		with(base, func(p *order.Payment) {
			p.OrderID, p.State = "failed-1", order.Failed
			p.Order = []byte(`{"id":"order_test_1","status":"failed"}`)
			p.Error = &order.Failure{Code: "limit", Message: "วงเงินเกิน\x1b[2J\n🇹🇭 \u202e微信"}
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
		with(base, func(p *order.Payment) { p.OrderID, p.BankState = "declined-1", "Declined" }),
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
		"full": func(w io.Writer, s Screen) error { return PaymentFull(w, s, gallery(t)[2], false) },
		"list": func(w io.Writer, s Screen) error { return Payments(w, s, List{}, All(gallery(t))) },
		"envs": func(w io.Writer, s Screen) error {
			live := func(p order.Payment) bool { return p.Env == "prod" }
			prod := with(gallery(t)[2], func(p *order.Payment) { p.Env = "prod" })
			return Payments(w, s, List{AllEnvs: true, Live: live}, All([]order.Payment{awaiting(t), prod}))
		},
		"columns": func(w io.Writer, s Screen) error {
			list := List{NoHeader: true, Columns: []string{"paid_at", "orderid", "charge_id", "warnings", "amount", "state"}}
			return Payments(w, s, list, All(gallery(t)[:5]))
		},
		"status": func(w io.Writer, s Screen) error {
			return Payments(w, s, List{Status: true}, All(gallery(t)[:4]))
		},
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
// borders, safe text, and no color where none is wanted.
func checkLines(t *testing.T, s Screen, text string) {
	t.Helper()
	uncolored := text
	if s.Color {
		uncolored = regexp.MustCompile(`\x1b\[[0-9;]*m`).ReplaceAllString(text, "")
		if uncolored == text {
			t.Error("no color at a screen that takes it")
		}
	}
	cells := 0
	for line := range strings.Lines(uncolored) {
		line = strings.TrimSuffix(line, "\n")
		checkSafe(t, line)
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

// Each color is readable on black and on white, by the measure of WCAG, as far
// as one color can be on both.
func TestColorsAreReadable(t *testing.T) {
	t.Parallel()
	channel := func(level int) float64 { // of the cube: 0, 95, 135, 175, 215, 255
		v := 0.0
		if level > 0 {
			v = float64(55+40*level) / 255
		}
		if v <= 0.04045 {
			return v / 12.92
		}
		return math.Pow((v+0.055)/1.055, 2.4)
	}
	for _, st := range []style{green, amber, red} {
		_, text, ok := strings.Cut(string(st), "38;5;")
		index, err := strconv.Atoi(text)
		if !ok || err != nil || index < 16 || index > 231 {
			t.Fatalf("%q is not of the color cube", st)
		}
		index -= 16
		light := 0.2126*channel(index/36) + 0.7152*channel(index/6%6) + 0.0722*channel(index%6)
		for ground, contrast := range map[string]float64{"white": 1.05 / (light + 0.05), "black": (light + 0.05) / 0.05} {
			if contrast < 3.9 {
				t.Errorf("%q on %s has a contrast of %.2f", st, ground, contrast)
			}
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

// When room is short the relative time goes first, then columns, and the
// environment never where there are several.
func TestWhatGoesFirstInANarrowList(t *testing.T) {
	t.Parallel()
	header := func(columns int, list List) string {
		var out bytes.Buffer
		s := Screen{TTY: true, UTF8: true, Columns: columns, Now: created.Add(2 * time.Minute)}
		if err := Payments(&out, s, list, All([]order.Payment{awaiting(t)})); err != nil {
			t.Fatal(err)
		}
		ago := ""
		if strings.Contains(out.String(), "ago") {
			ago = " ago"
		}
		lines := strings.Split(out.String(), "\n")
		return strings.Join(strings.Fields(strings.ReplaceAll(lines[1], "│", " ")), " ") + ago
	}
	for _, c := range []struct {
		columns int
		allEnvs bool
		want    string
	}{
		{250, false, "Order State Amount Source Created Order expires Env Bank order ago"},
		{180, false, "Order State Amount Source Created Order expires Env Bank order"},
		{110, false, "Order State Amount Source Created Order expires Env"},
		{90, false, "Order State Amount Source Created Env"},
		{80, false, "Order State Amount Source Created"},
		{80, true, "Order State Amount Source Created Env"},
		{60, true, "Order State Amount Source Created Env"},
	} {
		if got := header(c.columns, List{AllEnvs: c.allEnvs}); got != c.want {
			t.Errorf("%d columns: %q, want %q", c.columns, got, c.want)
		}
	}
	named := List{Columns: []string{"id", "source", "reference_order"}}
	if got := header(20, named); !strings.HasPrefix(got, "Bank Sour Refe") {
		t.Errorf("named columns in a narrow list: %q", got)
	}
}

func TestUnknownColumn(t *testing.T) {
	t.Parallel()
	list := List{Columns: []string{"orderid", "color"}}
	_, err := NewCSV(io.Discard, list)
	for _, err := range []error{err, Payments(io.Discard, Screen{}, list, All([]order.Payment{}))} {
		if err == nil || !strings.Contains(err.Error(), `"color"`) || !strings.Contains(err.Error(), "orderid, source, state") {
			t.Error(err)
		}
	}
}

func TestPipedListLosesNothing(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 500)
	var out bytes.Buffer
	err := Payments(&out, Screen{Columns: 20}, List{}, func(yield func(order.Payment, error) bool) {
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
		err := Payments(io.Discard, Screen{}, List{}, func(yield func(order.Payment, error) bool) {
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
	raw, err := PaymentJSON(View{Payment: awaiting(t)})
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
	writers["array"] = func(w io.Writer, s Screen) error { return JSONArray(w, s, All([][]byte{raw})) }
	writers["yaml"] = func(w io.Writer, s Screen) error { return YAML(w, s, raw) }
	writers["yaml list"] = func(w io.Writer, s Screen) error { return YAMLList(w, s, All([][]byte{raw})) }
	writers["jq"] = func(w io.Writer, s Screen) error { return query.Run(t.Context(), time.Minute, w, s, raw) }
	writers["qr"] = func(w io.Writer, s Screen) error { return QR(w, s, Code{Text: "x"}, Half) }
	writers["csv"] = func(w io.Writer, _ Screen) error {
		c, err := NewCSV(w, List{})
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

// checkSafe reports the first rune of text that could act on a terminal or hide
// from its reader.
func checkSafe(t *testing.T, text string) {
	t.Helper()
	for i, r := range text {
		emoji := r == '\u200d' || r == '\ufe0e' || r == '\ufe0f'
		if !emoji && (!unicode.IsGraphic(r) || unicode.Is(unicode.Bidi_Control, r)) || r == utf8.RuneError {
			t.Errorf("%q holds %U at %d", text, r, i)
			return
		}
	}
}
