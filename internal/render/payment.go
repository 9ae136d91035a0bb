package render

import (
	"bytes"
	"encoding/json"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/villapay/villapay/internal/ledger"
	"github.com/villapay/villapay/internal/order"
)

// StateWord says a state in words for people. An order that was made reads
// "awaiting payment": the API's own "success" never stands for it.
func StateWord(state order.State) string {
	word, _ := stateWord(state)
	return word
}

func stateWord(state order.State) (string, style) {
	switch state {
	case order.Sending:
		return "sending", amber
	case order.Awaiting:
		return "awaiting payment", amber
	case order.Paid:
		return "PAID", green
	case order.Failed:
		return "failed", red
	case order.Rejected:
		return "rejected", red
	case order.Unknown:
		return "outcome unknown", red
	case order.Expired:
		return "expired, not paid", plainText
	case order.Cancelled:
		return "canceled", plainText
	case order.Refunded:
		return "refunded", plainText
	}
	return string(state), plainText
}

// StateColored is [StateWord] in the color that means it, where the screen takes
// colors.
func StateColored(s Screen, state order.State) string {
	word, st := stateWord(state)
	return s.color(st, s.Text(word))
}

// Command is a command about a payment's order, in its environment.
func Command(name string, p order.Payment, flags ...string) string {
	if p.Env != "" {
		flags = slices.Concat([]string{"-e", p.Env}, flags)
	}
	return strings.Join(slices.Concat([]string{"villapay", name, p.OrderID}, flags), " ")
}

// SourceCommand is [Command] for a command that takes the payment's source.
func SourceCommand(name string, p order.Payment, flags ...string) string {
	if p.Source != "" {
		p.OrderID += " --source " + string(p.Source)
	}
	return Command(name, p, flags...)
}

// Meaning is what a state asks of the person who reads it.
func Meaning(s Screen, p order.Payment) string {
	again := "`" + SourceCommand("pay qr", p) + "`"
	switch p.State {
	case order.Sending:
		return "no answer yet; run " + again + " again, that is safe"
	case order.Failed:
		if p.Error != nil && p.Error.Code == "reversed" {
			return "the bank took the payment back"
		}
		return "the bank rejected the order"
	case order.Rejected:
		if p.Error != nil && p.Error.Retryable {
			return "nothing was made; run " + again + " again"
		}
		return "nothing was made"
	case order.Unknown:
		return "it may have been made; run " + again + " again, that is safe"
	case order.Awaiting:
		if p.ReplacedBy != "" {
			return "replaced by a newer order, do not use this one's code"
		}
	case order.Expired:
		switch {
		case p.ReplacedBy != "":
			return "replaced by a newer order"
		case !s.Now.IsZero() && !p.Lapsed(s.Now) && !p.HeldUntil.IsZero():
			return "it may still be paid until " + Exact(p.MayBePaidUntil(s.Now))
		}
		return "run " + again + " for a new code"
	case order.Paid, order.Cancelled, order.Refunded:
	}
	return ""
}

// Payment writes one payment as a table for an operator. live says that its
// environment takes real money, which is shown loudly.
func Payment(w io.Writer, s Screen, p order.Payment, live bool) error {
	return sheet(w, s, paymentRows(s, p, live))
}

// PaymentFull writes one payment with all that is recorded about it: the operator's
// table, what support asks for, and every other field that the order holds.
func PaymentFull(w io.Writer, s Screen, p order.Payment, live bool) error {
	rows := paymentRows(s, p, live)
	rows.add("Key", s.Text(p.Key))
	rows.add("Attempts", strconv.Itoa(p.Attempts))
	rows.add("Request ID", s.Text(p.RequestID))
	rows.add("Charge", s.Text(p.ChargeID))
	if p.State != order.Awaiting {
		rows.add("Bank state", s.Text(p.BankState))
	}
	rows.add("Proved by", s.Text(p.PaidBy))
	rows.add("Replaced by", s.Text(p.ReplacedBy))
	rows.add("Recorded", s.when(p.RecordedAt, true))
	rows.add("Scope", s.Text(p.Scope))
	rows.addFields(s, p.Order)
	return sheet(w, s, rows)
}

// sheetRows are a table of labels and values; empty values are left out.
type sheetRows [][]cell

func (r *sheetRows) add(label, value string) { r.addStyled(label, value, plainText) }

func (r *sheetRows) addStyled(label, value string, st style) {
	if value != "" {
		*r = append(*r, []cell{{text: label, style: bold}, {text: value, style: st}})
	}
}

// addFields adds the order's fields that no other row shows, in the order received,
// with what is null or empty left out.
func (r *sheetRows) addFields(s Screen, raw json.RawMessage) {
	shown := []string{"id", "created", "currency", "description", "failure_code", "failure_message"}
	fields, _ := order.Fields(raw) // what cannot be read has no fields to show
	for _, f := range fields {
		var text bytes.Buffer
		if slices.Contains(shown, f.Name) || json.Compact(&text, f.Value) != nil {
			continue
		}
		value := text.String()
		var unquoted string
		if json.Unmarshal(f.Value, &unquoted) == nil {
			value = unquoted
		}
		if value == "null" {
			continue
		}
		if f.Name == "status" && strings.EqualFold(value, "success") {
			value += ": the order was made, which is no proof of payment"
		}
		r.add(s.Text(f.Name), s.Text(value))
	}
}

func sheet(w io.Writer, s Screen, rows sheetRows) error {
	return grid(w, s, []column{{whole: true}, {}}, All(rows))
}

func paymentRows(s Screen, p order.Payment, live bool) sheetRows {
	var rows sheetRows
	state, color := stateWord(p.State)
	if more := Meaning(s, p); more != "" {
		state += ": " + more
	}
	made := orderOf(p)
	rows.addStyled("Order", s.Text(p.OrderID), bold)
	rows.addStyled("State", s.Text(state), color)
	if p.State == order.Awaiting {
		rows.add("Bank state", s.Text(BankState(p)))
	}
	rows.addStyled("Amount", s.Text(Money(p.Amount, p.Currency)), bold)
	rows.add("Source", s.Text(string(p.Source)))
	rows.add("Bank order", s.Text(p.BankOrderID))
	rows.add("Created", s.when(p.CreatedAt, true))
	rows.add("Order expires", expiry(s, p, true))
	paid := "Paid"
	if p.PaidAtFrom == order.AtKnown {
		paid = "Known paid since"
	}
	rows.addStyled(paid, s.when(p.PaidAt, true), green)
	if live || (made.Livemode != nil && *made.Livemode) {
		rows.addStyled("Environment", s.Text(p.Env)+", LIVE: real money", red)
	} else {
		rows.add("Environment", s.Text(p.Env))
	}
	rows.add("Description", s.Text(made.Description))
	if failure := p.Error; failure != nil {
		rows.addStyled("Failure", s.Text(sentence(failure.Code, failure.Message)), red)
	}
	for _, warning := range p.Warnings {
		rows.addStyled("WARNING", s.Text(sentence(warning.Code, warning.Message)), red)
	}
	if p.Replayed {
		rows.add("Shown again", "this order was made earlier; nothing new was sent")
	}
	rows.add("Known", known(s, p))
	return rows
}

// BankState is what the bank said of the last attempt to pay, unsanitized. A
// declined one leaves the order payable.
func BankState(p order.Payment) string {
	if order.Transaction(p.BankState) == order.Declined {
		return p.BankState + ": the customer can try again"
	}
	return p.BankState
}

// expiry is when an order that can still be paid stops being payable, or when
// an expired one did. An order without an expiry never lapses by itself; of one
// that is not at hand, it is not known.
func expiry(s Screen, p order.Payment, full bool) string {
	if !p.State.Open() {
		return ""
	}
	if p.ExpiresAt.IsZero() && len(p.Order) > 0 {
		return "never"
	}
	return s.when(p.ExpiresAt, full)
}

// known says how old the knowledge is and who gave it.
func known(s Screen, p order.Payment) string {
	if p.KnownAt.IsZero() {
		return ""
	}
	from := map[order.Origin]string{
		order.FromAPI:     "from the API",
		order.FromBank:    "from the bank",
		order.FromWebhook: "from a notification",
		order.FromLedger:  "from the ledger",
	}[p.KnownFrom]
	if s.Now.IsZero() {
		return strings.TrimSpace(s.when(p.KnownAt, false) + " " + from)
	}
	return strings.TrimSpace(Ago(s.Now, p.KnownAt) + " " + from)
}

func sentence(code, message string) string {
	switch {
	case message == "":
		return code
	case code == "":
		return message
	}
	return message + " (" + code + ")"
}

// orderOf reads the order again for the fields that a payment does not carry.
// A payment without a readable order gives an empty one.
func orderOf(p order.Payment) *order.Order {
	if len(p.Order) > 0 {
		if made, err := order.Decode(p.Order); err == nil {
			return made
		}
	}
	return &order.Order{}
}

// Events writes a payment's history as a table, in the order given.
func Events(w io.Writer, s Screen, events []ledger.Event) error {
	columns := []column{
		{title: "Time"}, {title: "Event"}, {title: "Who"}, {title: "Note"}, {title: "Request ID", optional: 1},
	}
	rows := make([][]cell, len(events))
	for i, e := range events {
		rows[i] = []cell{{text: s.when(e.At, false), short: Screen{}.when(e.At, false)}}
		for _, text := range []string{e.Kind, e.Actor, e.Note, e.RequestID} {
			rows[i] = append(rows[i], cell{text: s.Text(text)})
		}
	}
	return grid(w, s, columns, All(rows))
}
