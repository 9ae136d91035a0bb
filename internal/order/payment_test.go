package order

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// start is when the payments of these tests were recorded.
var start = time.Date(2025, 5, 30, 21, 0, 0, 0, Bangkok)

func TestStates(t *testing.T) {
	t.Parallel()
	final := map[State]bool{Sending: false, Awaiting: false, Unknown: false, Paid: true, Failed: true, Rejected: true, Expired: true, Cancelled: true, Refunded: true}
	for _, s := range States() {
		want, known := final[s]
		if !known || s.Final() != want {
			t.Errorf("%s: final %t", s, s.Final())
		}
		delete(final, s)
	}
	if len(final) > 0 {
		t.Errorf("not listed: %v", final)
	}
}

func TestAnswer(t *testing.T) {
	t.Parallel()
	o, err := Decode([]byte(seedOrder))
	if err != nil {
		t.Fatal(err)
	}
	received := o.Created.Add(7*time.Hour + time.Second)
	p := Payment{OrderID: "492500004632", Key: "k", State: Sending, RecordedAt: received.Add(-time.Second), Warnings: []Warning{{"livemode", "x"}}}
	want := p
	want.State, want.Order, want.BankOrderID, want.Reference, want.Amount, want.Currency = Awaiting, o.Raw, o.ID, o.Reference, o.Amount, "THB"
	want.CreatedAt, want.ExpiresAt, want.HeldUntil = o.Created, received.Add(-6*time.Hour-time.Second), received.Add(time.Hour-time.Second)
	want.KnownAt, want.KnownFrom = received, FromAPI
	want.Warnings = append(slices.Clone(p.Warnings), Warning{WarnClock, "clocks differ: the order was created +25201 s before the answer's own date; its expiry may be wrong"})
	p.Answer(o, Answered{Received: received, Sent: p.RecordedAt})
	if diff := cmp.Diff(want, p, sameDigits); diff != "" {
		t.Error(diff)
	}
	p = Payment{}
	p.Answer(o, Answered{Received: o.Created.Add(-time.Hour), Sent: o.Created})
	if len(p.Warnings) != 1 || !strings.Contains(p.Warnings[0].Message, " -3600 s ") {
		t.Errorf("created in the future: %+v", p.Warnings)
	}
}

func TestAnswerSaysWhyItFailed(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		order Order
		want  Failure
	}{
		{Order{Status: "success", FailureCode: "a", FailureMessage: "b"}, Failure{Code: "a", Message: "b"}},
		{Order{FailureCode: "a"}, Failure{Code: "a", Message: `the bank rejected the order (status "")`}},
		{Order{Status: "error"}, Failure{Code: "order_failed", Message: `the bank rejected the order (status "error")`}},
		{Order{Status: "error", FailureMessage: "b"}, Failure{Code: "order_failed", Message: "b"}},
	} {
		p := Payment{State: Sending}
		p.Answer(&c.order, Answered{Received: start, Sent: start})
		if diff := cmp.Diff(&c.want, p.Error); diff != "" || p.State != Failed {
			t.Error(p.State, diff)
		}
	}
	p := Payment{State: Unknown, Error: &Failure{Code: "timeout"}}
	p.Answer(&Order{ID: "o1"}, Answered{Received: start, Sent: start})
	if p.State != Awaiting || p.Error != nil {
		t.Errorf("an order after a lost answer: %+v", p)
	}
}

func TestAtAndLapsed(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		state       State
		shown, held time.Duration // from start; 0 = never
		at          time.Duration
		want        State
		lapsed      bool
	}{
		"just before the end":     {Awaiting, time.Hour, 2 * time.Hour, time.Hour - 1, Awaiting, false},
		"at the end":              {Awaiting, time.Hour, 2 * time.Hour, time.Hour, Expired, false},
		"between the ends":        {Awaiting, time.Hour, 2 * time.Hour, 2*time.Hour - 1, Expired, false},
		"at the second end":       {Awaiting, time.Hour, 2 * time.Hour, 2 * time.Hour, Expired, true},
		"stored as expired":       {Expired, time.Hour, 2 * time.Hour, 2 * time.Hour, Expired, true},
		"without an end":          {Awaiting, 0, 0, 1 << 60, Awaiting, false},
		"paid":                    {Paid, time.Hour, 2 * time.Hour, 3 * time.Hour, Paid, false},
		"failed, charge reversed": {Failed, time.Hour, 2 * time.Hour, 3 * time.Hour, Failed, false},
		"voided":                  {Cancelled, time.Hour, 2 * time.Hour, 3 * time.Hour, Cancelled, false},
		"refunded":                {Refunded, time.Hour, 2 * time.Hour, 3 * time.Hour, Refunded, false},
		"sending":                 {Sending, 0, 0, 3 * time.Hour, Sending, false},
		"unknown":                 {Unknown, 0, 0, 3 * time.Hour, Unknown, false},
		"rejected":                {Rejected, 0, 0, 3 * time.Hour, Rejected, false},
	} {
		p := Payment{State: c.state}
		if c.shown != 0 {
			p.ExpiresAt, p.HeldUntil = start.Add(c.shown), start.Add(c.held)
		}
		now := start.Add(c.at)
		if got := p.At(now); got.State != c.want || p.State != c.state || p.Lapsed(now) != c.lapsed || got.Lapsed(now) != c.lapsed {
			t.Errorf("%s: %s, lapsed %t", name, got.State, p.Lapsed(now))
		}
	}
}

func TestPayable(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(*Payment)
		says   string
	}{
		"awaiting":                  {func(*Payment) {}, ""},
		"without an end":            {func(p *Payment) { p.ExpiresAt, p.HeldUntil = time.Time{}, time.Time{} }, ""},
		"a charge was declined":     {func(p *Payment) { p.BankState, p.ChargeID = "Declined", "c1" }, ""},
		"other warnings":            {func(p *Payment) { p.Warnings = []Warning{{Code: WarnClock}, {Code: warnAmount}, {Code: WarnPaidTwice}} }, ""},
		"paid":                      {func(p *Payment) { p.State = Paid }, "it is already paid"},
		"paid and replaced":         {func(p *Payment) { p.State, p.ReplacedBy = Paid, "k2" }, "it is already paid"},
		"replaced":                  {func(p *Payment) { p.ReplacedBy = "k2" }, "it was replaced by a newer payment"},
		"replaced and expired":      {func(p *Payment) { p.ReplacedBy, p.ExpiresAt = "k2", start }, "it was replaced by a newer payment"},
		"between the ends":          {func(p *Payment) { p.ExpiresAt = start }, "it is expired, and may still be paid until 23:00:00 on 2025-05-30"},
		"past the second end":       {func(p *Payment) { p.ExpiresAt, p.HeldUntil = start, start }, "it is expired"},
		"voided":                    {func(p *Payment) { p.State = Cancelled }, "it is canceled"},
		"sending":                   {func(p *Payment) { p.State = Sending }, "it is not known whether it was made"},
		"unknown":                   {func(p *Payment) { p.State = Unknown }, "it is not known whether it was made"},
		"rejected":                  {func(p *Payment) { p.State = Rejected }, "it is rejected"},
		"failed":                    {func(p *Payment) { p.State = Failed }, "it is failed"},
		"refunded":                  {func(p *Payment) { p.State = Refunded }, "it is refunded"},
		"paid by another payment":   {func(p *Payment) { p.Warnings = []Warning{{Code: WarnClock}, {Code: WarnPaidElsewhere}} }, "the order is paid by another payment"},
		"on another's bank order":   {func(p *Payment) { p.Warnings = []Warning{{Code: WarnShared}} }, "its bank order belongs to another Villa order"},
		"as far as the ledger says": {func(p *Payment) { p.State = Expired }, "it is expired, and may still be paid until 23:00:00 on 2025-05-30"},
	} {
		p := Payment{State: Awaiting, ExpiresAt: start.Add(time.Hour), HeldUntil: start.Add(2 * time.Hour)}
		c.change(&p)
		err := p.Payable(start.Add(time.Minute))
		if (err == nil) != (c.says == "") || err != nil && err.Error() != c.says {
			t.Errorf("%s: %v, want %q", name, err, c.says)
		}
		if (p.Payable(start.Add(time.Hour)) == nil) != (err == nil && p.ExpiresAt.IsZero()) {
			t.Errorf("%s: payable at its end", name)
		}
	}
}

func TestAnsweringAndOpen(t *testing.T) {
	t.Parallel()
	pay := func(key string, state State, change ...func(*Payment)) Payment {
		p := Payment{Key: key, State: state, ExpiresAt: start.Add(time.Hour), HeldUntil: start.Add(time.Hour)}
		for _, f := range change {
			f(&p)
		}
		return p
	}
	replaced := func(p *Payment) { p.ReplacedBy = "x" }
	lapsed := func(p *Payment) { p.ExpiresAt, p.HeldUntil = start, start }
	for name, c := range map[string]struct {
		payments        []Payment // newest first
		answering, open string
	}{
		"none":                      {nil, "", ""},
		"one":                       {[]Payment{pay("a", Awaiting)}, "a", "a"},
		"the newest":                {[]Payment{pay("b", Awaiting), pay("a", Awaiting)}, "b", "b"},
		"the paid one":              {[]Payment{pay("c", Awaiting), pay("b", Paid), pay("a", Refunded)}, "b", "b"},
		"the newest paid one":       {[]Payment{pay("c", Awaiting), pay("b", Paid), pay("a", Paid)}, "b", "b"},
		"paid and replaced":         {[]Payment{pay("b", Awaiting), pay("a", Paid, replaced)}, "a", "a"},
		"what can be paid":          {[]Payment{pay("c", Rejected), pay("b", Awaiting, lapsed), pay("a", Awaiting)}, "c", "a"},
		"not what was replaced":     {[]Payment{pay("b", Failed), pay("a", Awaiting, replaced)}, "b", "b"},
		"nothing that can be paid":  {[]Payment{pay("b", Cancelled), pay("a", Awaiting, lapsed)}, "b", "b"},
		"not one in flight":         {[]Payment{pay("b", Sending), pay("a", Awaiting)}, "b", "a"},
		"paid through another tool": {[]Payment{{State: Paid}, pay("a", Awaiting)}, "", ""},
	} {
		answering, found := Answering(c.payments)
		if answering.Key != c.answering || found != (len(c.payments) > 0) {
			t.Errorf("%s: %q answers, %t", name, answering.Key, found)
		}
		open, found := Open(c.payments, start)
		if open.Key != c.open || found != (len(c.payments) > 0) {
			t.Errorf("%s: %q is open, %t", name, open.Key, found)
		}
	}
}

func TestMismatches(t *testing.T) {
	t.Parallel()
	yes, no := true, false
	for name, c := range map[string]struct {
		order Order
		live  bool
		codes string
		says  string
	}{
		"as asked":          {Order{SourceType: "qr", Livemode: &no}, false, "", ""},
		"in capitals":       {Order{SourceType: "QR", Livemode: &yes}, true, "", ""},
		"says nothing":      {Order{}, true, "", ""},
		"another source":    {Order{SourceType: "wechat"}, false, "source_type", "asked for source qr, the order says wechat"},
		"odd expiry":        {Order{OddExpiry: "soon"}, false, "expiry", `"soon"`},
		"live where not":    {Order{Livemode: &yes}, false, "livemode", "LIVE and takes real money, but environment shop is not live"},
		"a test where live": {Order{Livemode: &no}, true, "livemode", "test order, but environment shop is live"},
		"all at once":       {Order{SourceType: "wechat", OddExpiry: "-1", Livemode: &no}, true, "source_type expiry livemode", ""},
	} {
		got := Mismatches(&c.order, QR, "shop", c.live)
		if codesOf(got) != c.codes || len(got) == 1 && !strings.Contains(got[0].Message, c.says) {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

// codesOf are the codes of warnings, in their order.
func codesOf(warnings []Warning) string {
	var all []string
	for _, w := range warnings {
		all = append(all, w.Code)
	}
	return strings.Join(all, " ")
}

func TestFailureJSON(t *testing.T) {
	t.Parallel()
	out, err := json.Marshal(Failure{"a", "b", 502, "r", true})
	if want := `{"code":"a","message":"b","status":502,"request_id":"r","retryable":true}`; string(out) != want || err != nil {
		t.Errorf("%s, %v", out, err)
	}
}
