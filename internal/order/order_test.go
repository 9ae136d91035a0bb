package order

import (
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const seedOrder = `{"id":"order_test_222110adff3affb5844c497fa9c22366b5bc6","object":"order","created":"20250530205658833","livemode":false,"amount":300.0,"currency":"THB","customer":null,"description":"Order 492500004632","metadata":null,"status":"success","reference_order":"4925000046321748613417.737979","source_type":"qr","additional_data":{"term":null,"mid":null,"tid":null,"smartpay_id":null,"campaign_id":null},"failure_code":null,"failure_message":null,"expire_time_seconds":3600}`

func TestDecodeReadsTheSeed(t *testing.T) {
	t.Parallel()
	got, err := Decode([]byte("\n" + seedOrder + " \n"))
	if err != nil {
		t.Fatal(err)
	}
	no := false
	want := &Order{
		Raw: json.RawMessage(seedOrder), ID: "order_test_222110adff3affb5844c497fa9c22366b5bc6", Amount: Amount{"300.0"},
		Currency: "THB", Description: "Order 492500004632", Status: "success", Reference: "4925000046321748613417.737979",
		SourceType: "qr", Livemode: &no, Created: time.Date(2025, 5, 30, 20, 56, 58, 833e6, Bangkok), Expiry: time.Hour,
	}
	if diff := cmp.Diff(want, got, sameDigits); diff != "" {
		t.Error(diff)
	}
	if utc := got.Created.UTC().Format(time.RFC3339Nano); utc != "2025-05-30T13:56:58.833Z" || got.Failed() {
		t.Errorf("created %s, failed %t", utc, got.Failed())
	}
}

func TestDecodeIsTolerant(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		body  string
		check func(*Order) bool
	}{
		"amount as text":       {`{"id":"o1","amount":"74.00"}`, func(o *Order) bool { return o.Amount.String() == "74.00" }},
		"amount unreadable":    {`{"id":"o1","amount":"1e3"}`, func(o *Order) bool { return !o.Amount.Known() }},
		"amount an object":     {`{"id":"o1","amount":{"value":1}}`, func(o *Order) bool { return !o.Amount.Known() }},
		"amount null":          {`{"id":"o1","amount":null}`, func(o *Order) bool { return !o.Amount.Known() }},
		"livemode as text":     {`{"id":"o1","livemode":"false"}`, func(o *Order) bool { return o.Livemode != nil && !*o.Livemode }},
		"livemode null":        {`{"id":"o1","livemode":null}`, func(o *Order) bool { return o.Livemode == nil }},
		"livemode empty":       {`{"id":"o1","livemode":""}`, func(o *Order) bool { return o.Livemode == nil }},
		"objects for strings":  {`{"id":"o1","description":{"a":1},"metadata":[],"customer":""}`, func(o *Order) bool { return o.Description == "" }},
		"an id of digits":      {`{"id":1}`, func(o *Order) bool { return o.ID == "1" }},
		"a later ID":           {`{"id":"o1","ID":"o2","Id":"o3"}`, func(o *Order) bool { return o.ID == "o1" }},
		"a later STATUS":       {`{"id":"o1","status":"success","STATUS":"failed"}`, func(o *Order) bool { return o.Status == "success" && !o.Failed() }},
		"a later FAILURE_CODE": {`{"id":"o1","FAILURE_CODE":"x"}`, func(o *Order) bool { return !o.Failed() }},
		"a later Amount":       {`{"id":"o1","amount":1,"Amount":2}`, func(o *Order) bool { return o.Amount.String() == "1" }},
		"an unknown field":     {`{"id":"o1","paint_text":"x"}`, func(o *Order) bool { return string(o.Raw) == `{"id":"o1","paint_text":"x"}` }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := Decode([]byte(test.body))
			if err != nil || !test.check(got) {
				t.Errorf("%+v, %v", got, err)
			}
		})
	}
	for _, body := range []string{
		"", "null", "[]", `"x"`, "{", `{"id":null}`, `{"id":""}`, `{"id":{}}`, `{"ID":"o1"}`, `{"object":"order"}`, `{"id":"c","object":"customer"}`, `{"message":"ok"}`,
		`{"id":"o1","id":"o1"}`, `{"id":"o1","status":"success","status":"failed"}`, "{\"id\":\"\xff\"}", `{"id":"o1"}{}`,
	} {
		if got, err := Decode([]byte(body)); !errors.Is(err, ErrNotOrder) || got != nil {
			t.Errorf("%s: %+v, %v", body, got, err)
		}
	}
}

func TestFailed(t *testing.T) {
	t.Parallel()
	for fields, want := range map[string]bool{
		`"status":"success"`:                        false,
		`"status":"SUCCESS"`:                        false,
		`"status":null`:                             false,
		`"status":""`:                               false,
		`"status":"failed"`:                         true,
		`"status":"pending"`:                        true,
		`"failure_code":"x"`:                        true,
		`"failure_code":2003`:                       true,
		`"failure_code":true`:                       true,
		`"failure_code":false`:                      false,
		`"failure_code":"false"`:                    false,
		`"failure_code":0`:                          false,
		`"failure_code":"0"`:                        false,
		`"failure_code":""`:                         false,
		`"failure_code":null`:                       false,
		`"failure_code":{}`:                         false,
		`"failure_code":[]`:                         false,
		`"failure_code":0,"failure_message":"none"`: false,
		`"status":"success","failure_code":"x"`:     true,
		`"status":"failed","failure_code":false`:    true,
	} {
		got, err := Decode([]byte(`{"id":"o1",` + fields + `}`))
		if err != nil || got.Failed() != want {
			t.Errorf("%s: %+v, %v; %t is right", fields, got, err, want)
		}
	}
}

func TestDecodeExpiry(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]struct {
		expiry time.Duration
		odd    string
	}{
		`3600`:         {time.Hour, ""},
		`3600.0`:       {time.Hour, ""},
		`"600"`:        {10 * time.Minute, ""},
		`1.5`:          {1500 * time.Millisecond, ""},
		`null`:         {0, ""},
		`""`:           {0, ""},
		`-5`:           {0, "-5"},
		`0`:            {0, "0"},
		`"soon"`:       {0, "soon"},
		`"NaN"`:        {0, "NaN"},
		`"Inf"`:        {0, "Inf"},
		`1e300`:        {0, "1e300"},
		`99999999999`:  {0, "99999999999"},
		`0.0000000001`: {0, "0.0000000001"},
		`true`:         {0, "true"},
		`{"s":3600}`:   {0, `{"s":3600}`},
		`[3600]`:       {0, `[3600]`},
	} {
		got, err := Decode([]byte(`{"id":"o1","expire_time_seconds":` + text + `}`))
		if err != nil || got.Expiry != want.expiry || got.OddExpiry != want.odd {
			t.Errorf("%s: %s %q, %v; want %+v", text, got.Expiry, got.OddExpiry, err, want)
		}
	}
}

func TestParseCreated(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"20250530205658833": "2025-05-30T13:56:58.833Z",
		"20250530205658":    "2025-05-30T13:56:58Z",
		"20250101000000001": "2024-12-31T17:00:00.001Z",
		"20240229235959999": "2024-02-29T16:59:59.999Z",
	} {
		if got := ParseCreated(text).UTC().Format(time.RFC3339Nano); got != want {
			t.Errorf("%s is %s, want %s", text, got, want)
		}
	}
	for _, text := range []string{
		"", "yesterday", "2025-05-30T20:56", "2025053020565", "202505302056588", "2025053020565883", "202505302056588330", "20250230000000", "20251301000000", "20250530246000",
		"20250530205658+33", "20250530205658 33", "2025053020565x833", "00000000000000", "14 characters!", "17 characters ...",
	} {
		if got := ParseCreated(text); !got.IsZero() {
			t.Errorf("%q is %s", text, got)
		}
	}
	for _, number := range []string{"20250530205658", "20250530205658833"} {
		if got, err := Decode([]byte(`{"id":"o1","created":` + number + `}`)); err != nil || got.Created.IsZero() {
			t.Errorf("the number %s: %+v, %v", number, got, err)
		}
	}
}

func TestNewLife(t *testing.T) {
	t.Parallel()
	received := time.Date(2025, 5, 30, 21, 0, 0, 0, Bangkok)
	at := func(d time.Duration) time.Time { return received.Add(d) }
	for name, c := range map[string]struct {
		created       time.Duration // from received; unreadable if none
		unreadable    bool
		date, sent    time.Duration // from received
		noDate        bool
		expiry        time.Duration
		shown, held   time.Duration // from received; 0 = never
		age           time.Duration
		warnsOfClocks bool
	}{
		"made just now":                        {created: -time.Second, sent: -2 * time.Second, expiry: time.Hour, shown: time.Hour - time.Second, held: time.Hour - time.Second, age: time.Second},
		"without Date":                         {created: -time.Second, noDate: true, sent: -2 * time.Second, expiry: time.Hour, shown: time.Hour - time.Second, held: time.Hour - time.Second, age: time.Second},
		"made an hour before it was asked for": {created: -time.Hour, sent: -time.Second, expiry: time.Hour, shown: 0, held: time.Hour - time.Second, age: time.Hour, warnsOfClocks: true},
		"the same, without Date":               {created: -time.Hour, noDate: true, sent: -time.Second, expiry: time.Hour, shown: 0, held: time.Hour - time.Second, age: time.Hour, warnsOfClocks: true},
		"the seed's order, a year later":       {created: -365 * 24 * time.Hour, sent: -time.Second, expiry: time.Hour, shown: time.Hour - 365*24*time.Hour, held: time.Hour - time.Second, age: 365 * 24 * time.Hour, warnsOfClocks: true},
		// Date and created are of one clock: the order is new, whatever ours says.
		"its clock 7 h behind":                   {created: -7 * time.Hour, date: -7 * time.Hour, sent: -time.Second, expiry: time.Hour, shown: time.Hour, held: time.Hour},
		"its clock 7 h ahead":                    {created: 7 * time.Hour, date: 7 * time.Hour, sent: -time.Second, expiry: time.Hour, shown: time.Hour, held: 8 * time.Hour},
		"7 h behind, without Date":               {created: -7 * time.Hour, noDate: true, sent: -time.Second, expiry: time.Hour, shown: -6 * time.Hour, held: time.Hour - time.Second, age: 7 * time.Hour, warnsOfClocks: true},
		"7 h ahead, without Date":                {created: 7 * time.Hour, noDate: true, sent: -time.Second, expiry: time.Hour, shown: time.Hour, held: time.Hour, age: -7 * time.Hour, warnsOfClocks: true},
		"a key first sent an hour ago":           {created: -time.Hour, sent: -time.Hour - time.Minute, expiry: 2 * time.Hour, shown: time.Hour, held: time.Hour, age: time.Hour, warnsOfClocks: true},
		"the key resumed, made between":          {created: -10 * time.Minute, sent: -time.Hour, expiry: time.Hour, shown: 50 * time.Minute, held: 50 * time.Minute, age: 10 * time.Minute, warnsOfClocks: true},
		"the key resumed, made before it":        {created: -time.Hour, sent: -20 * time.Minute, expiry: 2 * time.Hour, shown: time.Hour, held: 100 * time.Minute, age: time.Hour, warnsOfClocks: true},
		"the key resumed, its clock 7 h ahead":   {created: 6 * time.Hour, date: 7 * time.Hour, sent: -time.Hour, expiry: 2 * time.Hour, shown: time.Hour, held: 8 * time.Hour, age: time.Hour, warnsOfClocks: true},
		"made in the future":                     {created: time.Hour, sent: -time.Second, expiry: time.Hour, shown: time.Hour, held: time.Hour, age: -time.Hour, warnsOfClocks: true},
		"sent after it was received, by a clock": {created: -time.Minute, sent: time.Hour, expiry: time.Hour, shown: 59 * time.Minute, held: time.Hour, age: time.Minute},
		"five minutes old":                       {created: -5 * time.Minute, sent: -time.Hour, expiry: time.Hour, shown: 55 * time.Minute, held: 55 * time.Minute, age: 5 * time.Minute},
		"just over five minutes old":             {created: -5*time.Minute - time.Millisecond, sent: -time.Hour, expiry: time.Hour, shown: 55*time.Minute - time.Millisecond, held: 55*time.Minute - time.Millisecond, age: 5*time.Minute + time.Millisecond, warnsOfClocks: true},
		"created unreadable":                     {unreadable: true, sent: -time.Second, expiry: time.Hour, shown: time.Hour, held: time.Hour},
		"created unreadable, clock 7 h ahead":    {unreadable: true, date: 7 * time.Hour, sent: -time.Second, expiry: time.Hour, shown: time.Hour, held: 8 * time.Hour},
		"no expiry":                              {created: -10 * time.Minute, sent: -time.Second, age: 10 * time.Minute, warnsOfClocks: true},
	} {
		answered := Answered{Received: received, Date: at(c.date), Sent: at(c.sent)}
		if c.noDate {
			answered.Date = time.Time{}
		}
		o := &Order{ID: "o1", Expiry: c.expiry}
		if !c.unreadable {
			o.Created = at(c.created)
		}
		want := Life{at(c.shown), at(c.held)}
		if c.expiry == 0 {
			want = Life{}
		}
		life, age := NewLife(o.Created, o.Expiry, answered)
		if !life.ShownUntil.Equal(want.ShownUntil) || !life.HeldUntil.Equal(want.HeldUntil) || age != c.age {
			t.Errorf("%s: shown for %s, held for %s, age %s", name, life.ShownUntil.Sub(received), life.HeldUntil.Sub(received), age)
		}
		var p Payment
		p.Answer(o, answered)
		if p.Warned(WarnClock) != c.warnsOfClocks || !p.ExpiresAt.Equal(want.ShownUntil) || !p.HeldUntil.Equal(want.HeldUntil) {
			t.Errorf("%s: %+v", name, p)
		}
	}
}

// FuzzDecode: an order has an id and is JSON, and lives no longer than it is held.
func FuzzDecode(f *testing.F) {
	f.Add([]byte(seedOrder))
	f.Add([]byte(`{"id":1,"expire_time_seconds":1e-300,"created":"99991231235959999"}`))
	f.Add([]byte(`{"id":"o1","failure_code":false,"ID":"o2"}`))
	f.Add([]byte(`{"id":"o1","expire_time_seconds":{"s":1}}`))
	received := time.Date(2025, 5, 30, 21, 0, 0, 0, Bangkok)
	f.Fuzz(func(t *testing.T, body []byte) {
		o, err := Decode(body)
		if (o == nil) == (err == nil) || err != nil && !errors.Is(err, ErrNotOrder) {
			t.Fatalf("%v, %v", o, err)
		}
		if err != nil {
			return
		}
		if o.ID == "" || !json.Valid(o.Raw) || o.Expiry < 0 || o.OddExpiry != "" && o.Expiry != 0 {
			t.Errorf("%+v", o)
		}
		var p Payment
		p.Answer(o, Answered{Received: received, Date: received.Add(time.Hour), Sent: received.Add(-time.Hour)})
		if (p.State == Failed) != o.Failed() || (p.Error != nil) != o.Failed() || p.HeldUntil.Before(p.ExpiresAt) || p.ExpiresAt.IsZero() != (o.Expiry == 0) {
			t.Errorf("%+v", p)
		}
	})
}
