package order

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func TestTransaction(t *testing.T) {
	t.Parallel()
	for state, want := range map[string]struct {
		rank  Rank
		state State
	}{
		"Initialize": {Initialized, ""}, "Pre-Authorized": {Initialized, ""}, "PRE-AUTHORIZED": {Initialized, ""},
		"Declined":   {Declined, ""},
		"Authorized": {Authorized, Paid}, "Auhtorized": {Authorized, Paid}, "authorized": {Authorized, Paid}, " AUTHORIZED\n": {Authorized, Paid},
		"Settled":  {Settled, Paid},
		"Reversed": {Reversed, Failed},
		"Voided":   {Voided, Cancelled}, "VOID": {Voided, Cancelled}, "void": {Voided, Cancelled},
		"Refund Sent": {RefundedInFull, Refunded}, "Refunded": {RefundedInFull, Refunded}, "REFUND": {RefundedInFull, Refunded},
		"": {Unranked, ""}, "Refund Failed": {Unranked, ""}, "Refund Requested": {Unranked, ""}, "RefundSent": {Unranked, ""}, "Refund  Sent": {Unranked, ""},
		"Partial Refund": {Unranked, ""}, "Void Failed": {Unranked, ""}, "Settled?": {Unranked, ""}, "Paid": {Unranked, ""}, "success": {Unranked, ""},
		"Unauthorized": {Unranked, ""}, "Αuthorized": {Unranked, ""},
	} {
		got := Transaction(state)
		if got != want.rank || got.state() != want.state || got.paid() != (want.state == Paid) {
			t.Errorf("%q has rank %d, state %q", state, got, got.state())
		}
	}
	ranks := []Rank{Unranked, Initialized, Declined, Authorized, Settled, Reversed, Voided, RefundedInFull}
	if !slices.IsSorted(ranks) {
		t.Error("a charge moves up: initialized < declined < authorized < settled < reversed < voided < refunded")
	}
}

func TestAboutCharge(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		report Report
		want   bool
	}{
		"an order was made":    {Report{BankOrderID: "o1", Status: "success", PaidBy: ByTransactionState}, false},
		"a charge's state":     {Report{TransactionState: "Initialize"}, true},
		"a word":               {Report{Status: "success", PaidBy: ByStatusPaid}, true},
		"what is not readable": {Report{Doubt: "transaction_state"}, true},
	} {
		if got := c.report.AboutCharge(); got != c.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}

func TestBorder(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ id, amount, want string }{
		{"X5", "300", "X5300.0000"},
		{"X", "5300.0", "X5300.0000"},
		{"X", "5300.00000", "X5300.0000"},
		{"X5", "300.1", "X5300.1000"},
		{"X5", "300.00001", ""},
		{"X5", "", ""},
		{"", "300", ""},
	} {
		r := Report{ChargeID: c.id, Amount: sum(t, c.amount), TransactionState: "Declined"}
		if got := r.Border(); got != c.want {
			t.Errorf("%q, %q: %q, want %q", c.id, c.amount, got, c.want)
		}
	}
}

func TestSummary(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		report Report
		want   string
	}{
		{Report{ChargeID: "c1", BankOrderID: "o1", Reference: "r1", TransactionState: "Settled", Status: "success", Amount: sum(t, "300.0"), Currency: "THB"}, "c1 on o1: Settled, success, 300.0 THB"},
		{Report{ChargeID: "c1", Reference: "r1", TransactionState: "Settled"}, "c1 on r1: Settled, no status,"},
		{Report{Status: "success"}, "a charge: no transaction_state, success,"},
	} {
		if got := c.report.Summary(); got != c.want {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}

func TestParseStatus(t *testing.T) {
	t.Parallel()
	yes, no := true, false
	created := time.Date(2025, 5, 30, 20, 56, 58, 833e6, Bangkok)
	settled := Report{ChargeID: "c1", TransactionState: "Settled", Status: "success"}
	with := func(r Report, change func(*Report)) Report {
		change(&r)
		return r
	}
	bank := with(settled, func(r *Report) { r.BankOrderID = "order_test_1" })
	doubted := func(field string) []Report {
		return []Report{with(settled, func(r *Report) { r.Doubt = field })}
	}
	for _, c := range []struct {
		name, body string
		word       string
		want       []Report // without Villa order and Raw
		statusPaid string
	}{
		// What says nothing of a charge.
		{name: "a bare word", body: `"success"`, word: "success"},
		{name: "an empty word", body: `""`},
		{name: "null", body: `null`},
		{name: "an empty object", body: `{}`},
		{name: "an empty list", body: `[]`},
		{name: "lists of nothing", body: `[[],null,{"data":[]}]`},
		{name: "a bare status", body: ` {"status":"success","amount":300} `, word: "success"},
		{name: "a bare status inside", body: `{"data":{"status":"pending"}}`, word: "pending"},
		{name: "a later STATUS", body: `{"status":"success","Transaction_State":"Settled","TRANSACTION_STATE":"Settled"}`, word: "success"},
		{name: "an inner status is the nearer one", body: `{"status":"success","data":{"status":"pending"}}`, word: "pending"},
		{name: "an inner object without a status", body: `{"status":"success","payment":{"method":"qr"},"data":{}}`, word: "success"},
		{name: "a charge's id alone", body: `{"id":"c1","status":"success"}`, word: "success"},
		{name: "an order", body: `{"id":"order_test_1","object":"order","status":"success","created":"20250530205658833"}`, word: "success", want: []Report{{BankOrderID: "order_test_1", Status: "success"}}},
		{name: "an order by its object", body: `{"id":"o1","object":"order","status":"success","charge":null,"charges":[]}`, word: "success", want: []Report{{BankOrderID: "o1", Status: "success"}}},
		{name: "an order inside", body: `{"status":"success","data":{"order_id":"order_test_1"}}`, word: "success", want: []Report{{BankOrderID: "order_test_1", Status: "success"}}},

		// Charges.
		{
			name: "every field",
			body: `{"order_id":"order_test_1","reference_order":"ref","charge_id":"c1","id":"ignored","object":"charge","amount":"74.00","currency":"THB","status":"success","transaction_state":"Authorized","livemode":"true","created":"20250530205658833","orderid":"49-1","orderId":"49-1"}`,
			word: "success",
			want: []Report{{BankOrderID: "order_test_1", Reference: "ref", ChargeID: "c1", Amount: sum(t, "74.00"), Currency: "THB", Status: "success", TransactionState: "Authorized", Livemode: &yes, Created: created}},
		},
		{name: "its own orderid", body: `{"orderid":"49-1","id":"c1","transaction_state":"Settled","status":"success"}`, word: "success", want: []Report{settled}},
		{name: "empty and null are not stated", body: `{"id":"c1","transaction_state":"Settled","status":"success","order_id":"","amount":null,"currency":" ","livemode":"","reference_order":null,"created":"","orderid":""}`, word: "success", want: []Report{settled}},
		{name: "a state alone", body: `{"transaction_state":"Settled"}`, want: []Report{{TransactionState: "Settled"}}},
		{name: "blanks around", body: `{"id":" c1 ","transaction_state":" Settled","status":"success\n"}`, word: "success", want: []Report{settled}},
		{name: "a state nobody explained", body: `{"id":"c1","transaction_state":"Pondering"}`, want: []Report{{ChargeID: "c1", TransactionState: "Pondering"}}},
		{name: "in charge", body: `{"status":"ok","data":"x","charge":{"id":"c1","transaction_state":"Settled","status":"success"}}`, word: "success", want: []Report{settled}},
		{name: "in payment", body: `{"payment":{"id":"c1","transaction_state":"Settled","status":"success"}}`, word: "success", want: []Report{settled}},
		{name: "in data, in charge", body: `{"status":"ok","data":{"charge":{"id":"c1","transaction_state":"Settled","status":"success"}}}`, word: "success", want: []Report{settled}},
		{name: "in its order", body: `{"id":"order_test_1","object":"order","status":"success","created":"20250530205658833","charge":{"id":"c1","transaction_state":"Settled","status":"success"}}`, word: "success", want: []Report{bank}},
		{name: "behind an empty one", body: `{"charge":{},"data":{"id":"c1","transaction_state":"Settled","status":"success"}}`, want: []Report{settled}},
		{name: "an envelope's status is not the charge's", body: `{"status":"error","data":{"id":"c1","transaction_state":"Settled"}}`, want: []Report{{ChargeID: "c1", TransactionState: "Settled"}}},

		// What stands around a charge holds for it, and what stands inside it too.
		{
			name: "everything around it",
			body: `{"amount":"74.00","currency":"THB","livemode":false,"order_id":"order_test_1","reference_order":"ref","orderid":"49-1","charge":{"id":"c1","transaction_state":"Settled","status":"success"}}`,
			word: "success",
			want: []Report{with(bank, func(r *Report) { r.Amount, r.Currency, r.Livemode, r.Reference = sum(t, "74.00"), "THB", &no, "ref" })},
		},
		{
			name: "its own before what is around it",
			body: `{"amount":1,"currency":"USD","livemode":true,"order_id":"x","reference_order":"x","data":{"amount":74.00,"currency":"THB","livemode":false,"order_id":"order_test_1","reference_order":"ref","id":"c1","transaction_state":"Settled","status":"success"}}`,
			word: "success",
			want: []Report{with(bank, func(r *Report) { r.Amount, r.Currency, r.Livemode, r.Reference = sum(t, "74.00"), "THB", &no, "ref" })},
		},
		{
			name: "everything inside it",
			body: `{"id":"c1","transaction_state":"Settled","status":"success","created":"20250530205658833","data":{"id":"x","status":"ok","amount":"74.00","currency":"THB","livemode":false,"order_id":"order_test_1","reference_order":"ref","orderid":"49-1","created":"20250530000000"}}`,
			word: "success",
			want: []Report{with(bank, func(r *Report) {
				r.Amount, r.Currency, r.Livemode, r.Reference, r.Created = sum(t, "74.00"), "THB", &no, "ref", created
			})},
		},
		{
			name: "its id inside it",
			body: `{"transaction_state":"Settled","status":"success","charge":{"id":"c1","created":"20250530205658833"}}`,
			word: "success",
			want: []Report{with(settled, func(r *Report) { r.Created = created })},
		},
		{
			name: "an order that states what its charge does not",
			body: `{"id":"order_test_1","transaction_state":"Settled","status":"success","charge":{"id":"c1","transaction_state":"Declined"}}`,
			word: "",
			want: []Report{{BankOrderID: "order_test_1", ChargeID: "c1", TransactionState: "Declined"}, {BankOrderID: "order_test_1", TransactionState: "Settled", Status: "success"}},
		},

		// Several charges.
		{
			name: "a list",
			body: `[{"id":"c1","transaction_state":"Settled","status":"success"},{"id":"c2","transaction_state":"Declined","status":"fail"},{"status":"success"}]`,
			word: "success",
			want: []Report{settled, {ChargeID: "c2", TransactionState: "Declined", Status: "fail"}},
		},
		{
			name: "a list in its order",
			body: `{"id":"order_test_1","object":"order","amount":5,"charges":[{"id":"c1","transaction_state":"Settled","status":"success","amount":6},{"id":"c2","transaction_state":"Settled"}]}`,
			word: "success",
			want: []Report{with(bank, func(r *Report) { r.Amount = sum(t, "6") }), {BankOrderID: "order_test_1", ChargeID: "c2", TransactionState: "Settled", Amount: sum(t, "5")}},
		},
		{
			name: "under several names",
			body: `{"charge":{"id":"c1","transaction_state":"Settled","status":"success"},"data":{"transactions":[{"id":"c2","transaction_state":"Voided"}]}}`,
			word: "success",
			want: []Report{settled, {ChargeID: "c2", TransactionState: "Voided"}},
		},

		// What is there and cannot be read.
		{name: "amount 1e0", body: `{"id":"c1","transaction_state":"Settled","status":"success","amount":1e0}`, word: "success", want: doubted("amount")},
		{name: "amount in words", body: `{"id":"c1","transaction_state":"Settled","status":"success","amount":"THB 1.00"}`, word: "success", want: doubted("amount")},
		{name: "amount as null in words", body: `{"id":"c1","transaction_state":"Settled","status":"success","amount":"null"}`, word: "success", want: doubted("amount")},
		{name: "amount an object", body: `{"id":"c1","transaction_state":"Settled","status":"success","amount":{"value":1}}`, word: "success", want: doubted("amount")},
		{name: "amount a list", body: `{"id":"c1","transaction_state":"Settled","status":"success","amount":[1]}`, word: "success", want: doubted("amount")},
		{name: "amount true", body: `{"id":"c1","transaction_state":"Settled","status":"success","amount":true}`, word: "success", want: doubted("amount")},
		{name: "livemode maybe", body: `{"id":"c1","transaction_state":"Settled","status":"success","livemode":"maybe"}`, word: "success", want: doubted("livemode")},
		{name: "livemode a list", body: `{"id":"c1","transaction_state":"Settled","status":"success","livemode":[true]}`, word: "success", want: doubted("livemode")},
		{name: "currency", body: `{"id":"c1","transaction_state":"Settled","status":"success","currency":{"code":"THB"}}`, word: "success", want: doubted("currency")},
		{name: "order_id", body: `{"id":"c1","transaction_state":"Settled","status":"success","order_id":["order_test_1"]}`, word: "success", want: doubted("order_id")},
		{name: "reference_order", body: `{"id":"c1","transaction_state":"Settled","status":"success","reference_order":{}}`, word: "success", want: doubted("reference_order")},
		{name: "orderid", body: `{"id":"c1","transaction_state":"Settled","status":"success","orderid":["49-2"]}`, word: "success", want: doubted("orderid")},
		{name: "orderId", body: `{"id":"c1","transaction_state":"Settled","status":"success","orderId":{"is":"49-2"}}`, word: "success", want: doubted("orderId")},
		{name: "charge_id", body: `{"id":"c1","transaction_state":"Settled","status":"success","charge_id":[1]}`, word: "success", want: doubted("charge_id")},
		{name: "id", body: `{"id":{"is":"c1"},"transaction_state":"Settled","status":"success"}`, word: "success", want: []Report{{TransactionState: "Settled", Status: "success", Doubt: "id"}}},
		{name: "status", body: `{"id":"c1","transaction_state":"Settled","status":{"is":"success"}}`, want: []Report{{ChargeID: "c1", TransactionState: "Settled", Doubt: "status"}}},
		{name: "transaction_state", body: `{"id":"c1","status":"success","transaction_state":["Settled"]}`, word: "success", want: []Report{{ChargeID: "c1", Status: "success", Doubt: "transaction_state"}}},
		{name: "around it", body: `{"amount":[1],"data":{"id":"c1","transaction_state":"Settled","status":"success","amount":1}}`, word: "success", want: []Report{with(settled, func(r *Report) { r.Doubt, r.Amount = "amount", sum(t, "1") })}},
		{name: "inside it", body: `{"id":"c1","transaction_state":"Settled","status":"success","data":{"amount":[1]}}`, word: "success", want: doubted("amount")},
		{name: "a state inside a bare status", body: `{"status":"success","charge":{"id":"c1","transaction_state":["Settled"]}}`, word: "success", want: []Report{{ChargeID: "c1", Status: "success", Doubt: "transaction_state"}}},
		{name: "whose it is outweighs the rest", body: `{"id":"c1","transaction_state":"Settled","status":{},"currency":[],"order_id":{},"livemode":"x","amount":"x"}`, want: []Report{{ChargeID: "c1", TransactionState: "Settled", Doubt: "order_id"}}},
		{name: "whose it is, around it", body: `{"order_id":{},"charge":{"id":"c1","transaction_state":"Settled","status":"success","amount":"x"}}`, word: "success", want: doubted("order_id")},

		// An id that only repeats what was asked.
		{name: "order_id is the Villa order", body: `{"order_id":"49-1","id":"c1","transaction_state":"Settled","status":"success"}`, word: "success", want: []Report{settled}},
		{name: "reference_order is the Villa order", body: `{"reference_order":"49-1","id":"c1","transaction_state":"Settled","status":"success"}`, word: "success", want: []Report{settled}},

		// status_paid.
		{name: "a bare word that means paid", body: `"PAID"`, word: "PAID", statusPaid: "done,paid", want: []Report{{Status: "success", PaidBy: ByStatusPaid}}},
		{name: "a bare status that means paid", body: `{"status":"Paid","amount":5}`, word: "Paid", statusPaid: "paid", want: []Report{{Status: "success", PaidBy: ByStatusPaid, Amount: sum(t, "5")}}},
		{name: "another word", body: `{"status":"paid?"}`, word: "paid?", statusPaid: "paid"},
		{name: "no word", body: `{"status":""}`, statusPaid: ",paid"},
		{name: "an empty answer", body: `""`, statusPaid: ",paid"},
		{name: "the envelope's word is not the answer's", body: `{"status":"success","data":{"status":"pending"}}`, word: "pending", statusPaid: "success"},
		{name: "the word of an envelope that holds no other", body: `{"status":"paid","data":{"order_id":"order_test_1","amount":5}}`, word: "paid", statusPaid: "paid", want: []Report{{Status: "success", PaidBy: ByStatusPaid, BankOrderID: "order_test_1", Amount: sum(t, "5")}}},
		{name: "a word in place of a charge's success", body: `{"id":"c1","transaction_state":"Settled","status":"paid"}`, word: "paid", statusPaid: "paid", want: []Report{settled}},
		{name: "a word beside a charge that is not paid", body: `{"id":"c1","transaction_state":"Declined","status":"paid"}`, word: "paid", statusPaid: "paid", want: []Report{{ChargeID: "c1", TransactionState: "Declined", Status: "success"}}},
		{name: "a word beside what cannot be read", body: `{"id":"c1","transaction_state":{},"status":"paid"}`, word: "paid", statusPaid: "paid", want: []Report{{ChargeID: "c1", Status: "success", PaidBy: ByStatusPaid, Doubt: "transaction_state"}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got, err := ParseStatus([]byte(c.body), "49-1", strings.Split(c.statusPaid, ","))
			if err != nil {
				t.Fatal(err)
			}
			for i := range got.Reports {
				if got.Reports[i].OrderID != "49-1" || !json.Valid(got.Reports[i].Raw) {
					t.Errorf("%+v", got.Reports[i])
				}
				got.Reports[i].OrderID, got.Reports[i].Raw = "", nil
			}
			want := Status{Reports: c.want, Word: c.word, Raw: json.RawMessage(strings.TrimSpace(c.body))}
			if diff := cmp.Diff(want, got, sameDigits, cmpopts.EquateEmpty()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestParseStatusKeepsTheAnswer(t *testing.T) {
	t.Parallel()
	const one, two = `{"id":"c1","transaction_state":"Settled"}`, `{"id":"c2","transaction_state":"Settled"}`
	for body, want := range map[string][]string{
		`{"data":` + one + `}`:      {`{"data":` + one + `}`},
		`[` + one + `,` + two + `]`: {one, two},
	} {
		got, err := ParseStatus([]byte(body), "1", nil)
		if err != nil {
			t.Fatal(err)
		}
		var raw []string
		for _, r := range got.Reports {
			raw = append(raw, string(r.Raw))
		}
		if diff := cmp.Diff(want, raw); diff != "" {
			t.Error(diff)
		}
	}
}

func TestParseStatusOfAnotherOrder(t *testing.T) {
	t.Parallel()
	const settled = `"id":"c1","transaction_state":"Settled","status":"success"`
	for _, body := range []string{
		`{"orderid":"2",` + settled + `}`,
		`{"orderId":"2",` + settled + `}`,
		`{"orderid":2,` + settled + `}`,
		`{"orderid":"1","orderId":"2",` + settled + `}`,
		`{"orderid":"1 2",` + settled + `}`,
		`{"orderid":"2","status":"success"}`,
		`{"orderid":"2","data":{` + settled + `}}`,
		`{"orderid":"2","data":{"orderid":"1",` + settled + `}}`,
		`{"orderid":"1","data":{"orderId":"2",` + settled + `}}`,
		`{"data":{"orderid":"2",` + settled + `}}`,
		`{` + settled + `,"data":{"orderid":"2"}}`,
		`[{"orderid":"1",` + settled + `},{"orderid":"2",` + settled + `}]`,
	} {
		got, err := ParseStatus([]byte(body), "1", []string{"success"})
		if !errors.Is(err, ErrOtherOrder) || !strings.Contains(err.Error(), "2") || len(got.Reports) > 0 {
			t.Errorf("%s: %d reports, %v", body, len(got.Reports), err)
		}
	}
}

func TestParseStatusFails(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ body, says string }{
		{"", "not JSON"},
		{"<html>", "not JSON"},
		{"1", "not a JSON object"},
		{"true", "not a JSON object"},
		{`["success"]`, "not a JSON object"},
		{`{"data":[1]}`, "not a JSON object"},
		{`{"status":"success","status":"success"}`, `"status" twice`},
		{`{"data":{"id":"c1","id":"c2","transaction_state":"Settled"}}`, `"id" twice`},
		{"{\"status\":\"\xff\"}", "not UTF-8"},
		{strings.Repeat(`{"data":`, 9) + "{}" + strings.Repeat("}", 9), "nested too deeply"},
		{strings.Repeat("[", 9000) + strings.Repeat("]", 9000), "nested too deeply"},
	} {
		got, err := ParseStatus([]byte(c.body), "1", nil)
		if err == nil || errors.Is(err, ErrOtherOrder) || !strings.Contains(err.Error(), c.says) || len(got.Reports) > 0 {
			t.Errorf("%.60s: %d reports, %v", c.body, len(got.Reports), err)
		}
	}
	body := strings.Repeat(`{"data":[`, 3) + `{"id":"c1","transaction_state":"Settled"}` + strings.Repeat("]}", 3)
	if got, err := ParseStatus([]byte(body), "1", nil); err != nil || len(got.Reports) != 1 {
		t.Errorf("%+v, %v", got, err)
	}
}

// FuzzParseStatus: whatever an answer says, its reports are about the order that
// was asked about, and each says something of a charge or of a bank order.
func FuzzParseStatus(f *testing.F) {
	for _, body := range []string{
		`"paid"`, `{"status":"paid","data":{"id":"x"}}`, `[{"id":"c1","transaction_state":"Settled"},null,[]]`, `{"orderid":2}`,
		`{"amount":{"value":1},"charge":{"transaction_state":"Authorized","livemode":"maybe"}}`, `{"id":"order_1","payments":[{"data":{"charge":{}}}]}`,
	} {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		got, err := ParseStatus(body, "1", []string{"paid", ""})
		again, errAgain := ParseStatus(body, "1", []string{"paid", ""})
		if diff := cmp.Diff(got, again, sameDigits); diff != "" || fmt.Sprint(err) != fmt.Sprint(errAgain) {
			t.Fatalf("the same answer twice: %s %v, %v", diff, err, errAgain)
		}
		if err != nil {
			if len(got.Reports) > 0 {
				t.Errorf("%+v beside %v", got, err)
			}
			return
		}
		if !json.Valid(got.Raw) {
			t.Errorf("not JSON: %q", got.Raw)
		}
		for _, r := range got.Reports {
			if r.OrderID != "1" || r.BankOrderID == "1" || !json.Valid(r.Raw) || r.TransactionState == "" && r.PaidBy == "" && r.BankOrderID == "" && r.Doubt == "" {
				t.Errorf("%+v", r)
			}
			if r.PaidBy != "" && (r.PaidBy != ByStatusPaid || r.TransactionState != "" || r.rank() != Authorized) {
				t.Errorf("%+v is proved by %s", r, r.PaidBy)
			}
			_, _ = r.Border(), r.Summary()
		}
	})
}
