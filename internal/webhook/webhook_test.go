package webhook

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/villapay/villapay/internal/order"
	"github.com/villapay/villapay/internal/secret"
)

// kbank.md computes this one by hand.
const (
	example    = `{"id":"chrg_test_1","object":"charge","order_id":"order_test_1","amount":300.0,"currency":"THB","status":"success","transaction_state":"Authorized","livemode":false,"metadata":{"a":[1.50]},"checksum":"` + exampleSum + `"}`
	exampleSum = "2b5cd42677ed58d32a207efe539312b3ba81e339b0f318c75902bc12cc2a8061"
)

func exampleKey() secret.String { return secret.New("skey_test_1") }

func amount(t testing.TB, text string) order.Amount {
	t.Helper()
	a, err := order.ParseAmount(text)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestTheExampleOfTheBanksGuide(t *testing.T) {
	t.Parallel()
	n, err := Decode([]byte(example))
	if err != nil {
		t.Fatal(err)
	}
	if sum, err := Checksum(n, exampleKey()); err != nil || sum != exampleSum {
		t.Errorf("%s, %v", sum, err)
	}
	if err := Verify(n, exampleKey()); err != nil {
		t.Error(err)
	}
	no := false
	want := order.Report{
		ChargeID: "chrg_test_1", BankOrderID: "order_test_1", Amount: amount(t, "300.0"), Currency: "THB", Status: "success",
		TransactionState: "Authorized", Livemode: &no, From: order.FromWebhook, Raw: json.RawMessage(example),
	}
	if diff := cmp.Diff(want, n.Report(), cmp.Comparer(func(a, b order.Amount) bool { return a.String() == b.String() })); diff != "" {
		t.Error(diff)
	}
}

// with replaces a piece of the example.
func with(pairs ...string) string { return strings.NewReplacer(pairs...).Replace(example) }

func TestVerifyTakesOnlyWhatWasSigned(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		body string
		good bool
	}{
		"as signed":              {example, true},
		"amount as text":         {with("300.0,", `"300.00",`), true},
		"amount without decimal": {with("300.0,", `300,`), true},
		"upper-case checksum":    {with(exampleSum, strings.ToUpper(exampleSum)), true},
		"another order":          {with("order_test_1", "order_test_2"), true}, // package order knows whose charge it is
		"livemode flipped":       {with("false", "true"), true},                // and looks at it
		"the border moved":       {with("chrg_test_1", "chrg_test_", "300.0,", "1300.0,"), true},
		"names of another case":  {with(`"object"`, `"ID":"chrg_test_2","AMOUNT":1,"Status":"fail","object"`), true},
		"another field added":    {with(`"object"`, `"x":1,"object"`), true},
		"another id":             {with("chrg_test_1", "chrg_test_2"), false},
		"another amount":         {with("300.0,", "300.01,"), false},
		"another currency":       {with("THB", "USD"), false},
		"another status":         {with("success", "succes"), false},
		"another state":          {with("Authorized", "Settled"), false},
		"one digit":              {with("2b5cd426", "2b5cd427"), false},
		"last digit":             {with("cc2a8061", "cc2a8060"), false},
	} {
		n, err := Decode([]byte(test.body))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		err = Verify(n, exampleKey())
		if (err == nil) != test.good || err != nil && (!strings.Contains(err.Error(), "does not match") || strings.Contains(err.Error(), exampleSum)) {
			t.Errorf("%s: %v", name, err)
		}
	}
	n, err := Decode([]byte(example))
	if err != nil {
		t.Fatal(err)
	}
	if err := Verify(n, secret.New("skey_test_2")); err == nil {
		t.Error("another key was taken")
	}
	n.Checksum = digest("chrg_test_1", "300.0000", "THB", "success", "Authorized")
	if err := Verify(n, secret.String{}); !errors.Is(err, ErrNoKey) {
		t.Errorf("no key, and yet: %v", err)
	}
}

func TestDecodeTakesNothingThatCanBeReadInTwoWays(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ body, part string }{
		"empty":                {"", "body"},
		"not JSON":             {"id=1", "body"},
		"truncated":            {example[:80], "body"},
		"two objects":          {example + example, "body"},
		"null":                 {"null", "body"},
		"a list":               {"[" + example + "]", "body"},
		"not UTF-8":            {with("charge", "\xff"), "body"},
		"UTF-16":               {"\xff\xfe{\x00}\x00", "body"},
		"a field twice":        {with(`"object"`, `"id":"chrg_test_2","object"`), "body"},
		"a field twice, alike": {with(`"object"`, `"\u0069d":"chrg_test_1","object"`), "body"},
		"any field twice":      {with(`"object"`, `"x":1,"x":1,"object"`), "body"},
		"id is a number":       {with(`"chrg_test_1"`, "5"), "id"},
		"id is an object":      {with(`"chrg_test_1"`, "{}"), "id"},
		"id is null":           {with(`"chrg_test_1"`, "null"), "id"},
		"id of another case":   {with(`"id"`, `"ID"`), "id"},
		"id with a NUL":        {with("chrg_test_1", `chrg\u0000`), "id"},
		"id with an escape":    {with("chrg_test_1", `chrg\u001b[2J`), "id"},
		"no order":             {with("order_test_1", ""), "order_id"},
		"order is a list":      {with(`"order_test_1"`, `["order_test_1"]`), "order_id"},
		"amount is null":       {with("300.0,", "null,"), "amount"},
		"amount is empty":      {with("300.0,", `"",`), "amount"},
		"amount is a float":    {with("300.0,", "3e2,"), "amount"},
		"amount is an object":  {with("300.0,", `{"$":1},`), "amount"},
		"amount is too fine":   {with("300.0,", "300.00001,"), "amount"},
		"status is a boolean":  {with(`"success"`, "true"), "status"},
		"state is a number":    {with(`"Authorized"`, "1"), "transaction_state"},
		"currency is a list":   {with(`"THB"`, "[]"), "currency"},
		"checksum is null":     {with(`"`+exampleSum+`"`, "null"), "checksum"},
		"checksum is missing":  {with(`"checksum"`, `"check"`), "checksum"},
		"checksum is SHA-1":    {with(exampleSum, exampleSum[:40]), "checksum"},
		"checksum is not hex":  {with("2b5c", "zzzz"), "checksum"},
		"checksum is a number": {with(`"`+exampleSum+`"`, "5"), "checksum"},
	} {
		_, err := Decode([]byte(test.body))
		malformed := new(MalformedError)
		if !errors.As(err, &malformed) || len(malformed.Differences) != 1 || malformed.Differences[0].Part != test.part {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got := Explain([]byte(test.body), exampleKey()); !slices.Equal(got, malformed.Differences) {
			t.Errorf("%s: explained as %v", name, got)
		}
	}
}

func TestDecodeIsTolerant(t *testing.T) {
	t.Parallel()
	type read struct {
		OrderID, Reference, Live, Doubt string
		Created                         time.Time
	}
	for name, test := range map[string]struct {
		body string
		want read
	}{
		"as it comes":               {example, read{OrderID: "order_test_1", Live: "false"}},
		"livemode as text":          {with("false", `"True"`), read{OrderID: "order_test_1", Live: "true"}},
		"livemode null":             {with("false", "null"), read{OrderID: "order_test_1"}},
		"livemode empty":            {with("false", `""`), read{OrderID: "order_test_1"}},
		"livemode odd":              {with("false", `{"a":1}`), read{OrderID: "order_test_1", Doubt: "livemode"}},
		"no livemode":               {with(`"livemode":false,`, ""), read{OrderID: "order_test_1"}},
		"nulls":                     {with(`"THB"`, "null"), read{OrderID: "order_test_1", Live: "false"}},
		"its time":                  {with(`"object"`, `"created":"20250530205700000","object"`), read{OrderID: "order_test_1", Live: "false", Created: time.Date(2025, 5, 30, 20, 57, 0, 0, order.Bangkok)}},
		"no time":                   {with(`"object"`, `"created":{},"object"`), read{OrderID: "order_test_1", Live: "false"}},
		"a reference, and no order": {with(`"order_id":"order_test_1"`, `"reference_order":"4925.1"`), read{Reference: "4925.1", Live: "false"}},
		"a reference, a null order": {with(`"order_test_1"`, `null,"reference_order":"4925.1"`), read{Reference: "4925.1", Live: "false"}},
		"a reference beside one":    {with(`"object"`, `"reference_order":"4925.1","object"`), read{OrderID: "order_test_1", Reference: "4925.1", Live: "false"}},
		"a reference as a number":   {with(`"object"`, `"reference_order":4925.10,"object"`), read{OrderID: "order_test_1", Reference: "4925.10", Live: "false"}},
		"an odd reference":          {with(`"object"`, `"reference_order":["4925.1"],"object"`), read{OrderID: "order_test_1", Live: "false", Doubt: "reference_order"}},
	} {
		n, err := Decode([]byte(" \n" + test.body + "\n"))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		r := n.Report()
		got := read{r.BankOrderID, r.Reference, "", r.Doubt, r.Created}
		if r.Livemode != nil {
			got.Live = fmt.Sprint(*r.Livemode)
		}
		if diff := cmp.Diff(test.want, got); diff != "" || string(r.Raw) != test.body {
			t.Errorf("%s: %s%s", name, diff, r.Raw)
		}
	}
}

func TestExplain(t *testing.T) {
	t.Parallel()
	mismatch := []Difference{{"checksum", "does not match: it was signed with another secret, or a signed field (id, amount, currency, status, transaction_state) was changed"}}
	for name, test := range map[string]struct {
		body, key string
		want      []Difference
	}{
		"nothing":        {example, "skey_test_1", nil},
		"no secret":      {example, "", []Difference{{"secret", "is not set"}}},
		"another secret": {example, "skey_test_2", mismatch},
		"a change":       {with("Authorized", "Settled"), "skey_test_1", mismatch},
		"too large":      {with("charge", strings.Repeat("x", MaxBody)), "skey_test_1", []Difference{{"body", "is larger than 64 KiB"}}},
		"several fields": {`{"amount":"x","checksum":"y"}`, "skey_test_1", []Difference{{"id", "is missing"}, {"amount", "is not a plain decimal"}, {"checksum", "is not SHA-256 in hex (64 characters of 0-9 and a-f)"}, {"order_id", "is missing, and so is reference_order"}}},
	} {
		if diff := cmp.Diff(test.want, Explain([]byte(test.body), secret.New(test.key))); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func TestSignKeepsEverythingElse(t *testing.T) {
	t.Parallel()
	unsigned := with(`,"checksum":"`+exampleSum+`"`, "")
	for _, body := range []string{unsigned, with(exampleSum, "old"), with(exampleSum, strings.Repeat("0", 64))} {
		signed, err := Sign([]byte(body), exampleKey())
		if err != nil || string(signed) != example {
			t.Errorf("%s, %v", signed, err)
		}
	}
	if _, err := Sign([]byte(unsigned), secret.String{}); !errors.Is(err, ErrNoKey) {
		t.Error(err)
	}
	if signed, err := Sign([]byte(`{"id":""}`), exampleKey()); err == nil {
		t.Errorf("signed %s", signed)
	}
}

// awaiting is a payment as the ledger has it.
func awaiting(t testing.TB) order.Payment {
	t.Helper()
	return order.Payment{
		OrderID: "492500004632", BankOrderID: "order_test_1", Amount: amount(t, "300.0"), Currency: "THB", Source: order.QR, State: order.Awaiting,
		Order: json.RawMessage(`{"id":"order_test_1","description":"Order 492500004632","reference_order":"4925.1","livemode":false}`),
	}
}

var noon = time.Date(2025, 5, 30, 12, 0, 0, 7e6, order.Bangkok)

func TestComposeMakesWhatTheBankWouldSend(t *testing.T) {
	t.Parallel()
	body, err := Compose(awaiting(t), "Authorized", "", exampleKey(), noon)
	if err != nil {
		t.Fatal(err)
	}
	if differences := Explain(body, exampleKey()); differences != nil {
		t.Error(differences)
	}
	for _, want := range []string{
		`"object":"charge"`, `"order_id":"order_test_1"`, `"amount":300.0,`, `"status":"success","transaction_state":"Authorized"`,
		`"reference_order":"4925.1"`, `"created":"20250530120000007"`, `"livemode":false`, `"brand":"THAI_QR"`, `"failure_code":null`,
	} {
		if !strings.Contains(string(body), want) {
			t.Errorf("no %s in %s", want, body)
		}
	}
	first, _ := Decode(body)
	later, err := Compose(awaiting(t), "Settled", "", exampleKey(), noon.Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	if second, err := Decode(later); err != nil || second.ID != first.ID {
		t.Errorf("one order's charge is %s, then %s: %v", first.ID, second.ID, err)
	}
	declined, err := Compose(awaiting(t), "Declined", "", exampleKey(), noon)
	if err != nil || !strings.Contains(string(declined), `"status":"fail"`) || !strings.Contains(string(declined), `"failure_code":"payment_declined"`) {
		t.Errorf("%s, %v", declined, err)
	}
	for _, p := range []order.Payment{{}, {BankOrderID: "order_test_1"}} {
		if _, err := Compose(p, "Authorized", "", exampleKey(), noon); err == nil {
			t.Errorf("composed for %+v", p)
		}
	}
	if _, err := Compose(awaiting(t), "Authorized", "nosuch", exampleKey(), noon); err == nil {
		t.Error("composed with a fault that is none")
	}
}

func TestFaultsAreWhatTheySay(t *testing.T) {
	t.Parallel()
	names := map[string]bool{}
	for _, fault := range Faults() {
		body, err := Compose(awaiting(t), "Authorized", fault.Name, exampleKey(), noon)
		if err != nil || fault.What == "" || names[fault.Name] {
			t.Fatalf("%s: %v", fault.Name, err)
		}
		names[fault.Name] = true
		if differences := Explain(body, exampleKey()); (differences == nil) != (fault.Status == http.StatusOK) {
			t.Errorf("%s: %v", fault.Name, differences)
		}
		if len(body) > MaxBody != (fault.Status == http.StatusRequestEntityTooLarge) {
			t.Errorf("%s: %d bytes", fault.Name, len(body))
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(example))
	f.Add([]byte(with("300.0,", `"300.00",`)))
	f.Add([]byte(`{"id":"a","order_id":"b","amount":"1","checksum":"` + exampleSum + `","a":{"b":[null]}}`))
	f.Add([]byte(`{"id":"a","reference_order":"b","amount":"1","checksum":"` + exampleSum + `"}`))
	f.Add([]byte(`{"id":"a","id":"b"}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		n, err := Decode(body)
		if err != nil {
			if Explain(body, exampleKey()) == nil {
				t.Fatalf("not taken, for no reason: %v", err)
			}
			return
		}
		if n.ID == "" || n.OrderID+n.Reference == "" || !n.Amount.Known() || !json.Valid(n.Raw) {
			t.Fatalf("%+v", n)
		}
		signed, err := Sign(body, exampleKey())
		if err != nil {
			t.Fatal(err)
		}
		again, err := Decode(signed)
		if err != nil || Verify(again, exampleKey()) != nil || again.ID != n.ID || again.OrderID != n.OrderID || again.Amount.String() != n.Amount.String() {
			t.Fatalf("%s became %s: %v", body, signed, err)
		}
	})
}
