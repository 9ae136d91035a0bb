package webhook

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/villapay/villapay/internal/httpserver"
	"github.com/villapay/villapay/internal/ledger"
	"github.com/villapay/villapay/internal/order"
	"github.com/villapay/villapay/internal/secret"
	"github.com/villapay/villapay/internal/testport"
)

// records is a ledger that is one function.
type records func(ctx context.Context, scope string, r order.Report, beside ...order.Report) (ledger.Recorded, error)

func (f records) RecordReport(ctx context.Context, scope string, r order.Report, beside ...order.Report) (ledger.Recorded, error) {
	return f(ctx, scope, r, beside...)
}

func (records) Payments(context.Context, string, string) ([]order.Payment, error) { return nil, nil }

// listening is a listener on a ledger.
func listening(on Ledger) *Listener {
	return &Listener{
		Ledger: on, Scope: "https://api.example", Key: exampleKey(), Path: "/notify",
		Now: func() time.Time { return noon }, Log: slog.New(slog.DiscardHandler),
	}
}

// post sends a body to a listener's path.
func post(l http.Handler, body string) *http.Response {
	answer := httptest.NewRecorder()
	l.ServeHTTP(answer, httptest.NewRequest(http.MethodPost, "/notify", strings.NewReader(body)))
	return answer.Result()
}

func TestTheListenerAnswers(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		method, path, body string
		status             int
	}{
		"a notification":    {"POST", "/notify", example, 200},
		"with a query":      {"POST", "/notify?x=1", example, 200},
		"health":            {"GET", "/healthz", "", 200},
		"health, head":      {"HEAD", "/healthz", "", 200},
		"health, posted":    {"POST", "/healthz", example, 405},
		"another path":      {"POST", "/", example, 404},
		"below":             {"POST", "/notify/", example, 404},
		"got":               {"GET", "/notify", "", 405},
		"put":               {"PUT", "/notify", example, 405},
		"empty":             {"POST", "/notify", "", 400},
		"forged":            {"POST", "/notify", with("300.0,", "3000.0,"), 400},
		"another key":       {"POST", "/notify", with(exampleSum, digest("chrg_test_1", "300.0000", "THB", "success", "Authorized", "skey_test_2")), 400},
		"not UTF-8":         {"POST", "/notify", with("charge", "\xff"), 400},
		"wrong type":        {"POST", "/notify", with(`"chrg_test_1"`, "[]"), 400},
		"a form":            {"POST", "/notify", "id=chrg_test_1&checksum=" + exampleSum, 400},
		"deeply nested":     {"POST", "/notify", strings.Repeat("[", 60000), 400},
		"just small enough": {"POST", "/notify", example + strings.Repeat(" ", MaxBody-len(example)), 200},
		"too large":         {"POST", "/notify", example + strings.Repeat(" ", MaxBody-len(example)+1), 413},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			recorded := 0
			l := listening(records(func(_ context.Context, scope string, r order.Report, _ ...order.Report) (ledger.Recorded, error) {
				recorded++
				if scope != "https://api.example" || r.ChargeID != "chrg_test_1" {
					t.Errorf("recorded %+v in %s", r, scope)
				}
				return ledger.Recorded{}, nil
			}))
			answer := httptest.NewRecorder()
			l.ServeHTTP(answer, httptest.NewRequest(test.method, test.path, strings.NewReader(test.body)))
			if answer.Code != test.status {
				t.Errorf("%d %s", answer.Code, answer.Body)
			}
			if want := test.method == "POST" && test.status == 200; recorded != map[bool]int{true: 1}[want] {
				t.Errorf("recorded %d times", recorded)
			}
			if strings.Contains(answer.Body.String(), "checksum") || answer.Code == 405 && answer.Header().Get("Allow") == "" {
				t.Errorf("%v %s", answer.Header(), answer.Body)
			}
		})
	}
}

// What strangers send is summed up, once a minute at most, and takes little of the
// log, which would roll away what matters otherwise.
func TestRejectionsAreSummedUp(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	var summaries []string
	now := noon
	l := listening(nil)
	l.Log = slog.New(slog.NewJSONHandler(&log, nil))
	l.Now = func() time.Time { return now }
	l.Rejected = func(summary string) { summaries = append(summaries, summary) }
	name := strings.Repeat("ก", 10_000)
	for minute := range 3 {
		for range 100 {
			if answer := post(l, `{"`+name+`":1,"`+name+`":2}`); answer.StatusCode != http.StatusBadRequest {
				t.Errorf("answered %d", answer.StatusCode)
			}
		}
		l.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodPut, "/"+strings.Repeat("y", 10_000), nil))
		if len(summaries) != minute+1 {
			t.Errorf("%d summaries", len(summaries))
		}
		now = now.Add(httpserver.SummaryInterval)
	}
	for i, want := range []string{"rejected a request: 400 /notify from ", "rejected 101 requests, the last one: 400 /notify from ", "rejected 101 requests, the last one: "} {
		if i >= len(summaries) || !strings.HasPrefix(summaries[i], want) {
			t.Errorf("summaries %.200q", summaries)
		}
	}
	if !utf8.Valid(log.Bytes()) || log.Len() > 2000 || strings.Count(log.String(), "\n") != 3 {
		t.Errorf("%d bytes: %.600s", log.Len(), &log)
	}
}

// With the bank's key the bank is asked about a charge that is said to be paid;
// what it says is recorded beside the notification. If it cannot be asked, the
// notification is recorded alone.
func TestTheBankIsAskedAboutAPaidCharge(t *testing.T) {
	t.Parallel()
	said := order.Report{ChargeID: "chrg_test_1", BankOrderID: "order_test_1", TransactionState: "Authorized", From: order.FromBank}
	for name, test := range map[string]struct {
		state  string
		err    error
		asked  bool
		beside []order.Report
		doubt  bool
	}{
		"paid":                {"Authorized", nil, true, []order.Report{said}, false},
		"settled":             {"Settled", nil, true, []order.Report{said}, false},
		"voided":              {"Voided", nil, false, nil, false},
		"it is not there":     {"Authorized", errors.New("no answer"), true, nil, false},
		"it does not know it": {"Authorized", fmt.Errorf("%w: no", order.ErrUnconfirmed), true, nil, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			asked, recorded := false, false
			l := listening(records(func(_ context.Context, _ string, r order.Report, beside ...order.Report) (ledger.Recorded, error) {
				recorded = true
				if len(beside) != len(test.beside) || len(beside) > 0 && beside[0].From != order.FromBank || r.From != order.FromWebhook || r.Unconfirmed != test.doubt {
					t.Errorf("from %s, unconfirmed %t, beside %+v", r.From, r.Unconfirmed, beside)
				}
				return ledger.Recorded{}, nil
			}))
			l.Inquire = func(ctx context.Context, chargeID string) ([]order.Report, error) {
				asked = true
				if deadline, limited := ctx.Deadline(); !strings.HasPrefix(chargeID, "chrg_test_") || !limited || time.Until(deadline) > inquireTimeout {
					t.Errorf("asked about %s without a limit", chargeID)
				}
				return test.beside, test.err
			}
			if resp := post(l, signed(t, "chrg_test_1", "order_test_1", "300.0", test.state)); resp.StatusCode != http.StatusOK || asked != test.asked || !recorded {
				t.Errorf("%s, asked %t, recorded %t", resp.Status, asked, recorded)
			}
		})
	}
}

// However slow the bank is, the recording has its whole time; and a server that stops
// waits for both.
func TestASlowBankLeavesTimeToRecord(t *testing.T) {
	t.Parallel()
	if inquireTimeout+recordTimeout+refreshTimeout >= httpserver.DrainWithin {
		t.Error("a server that stops does not wait for the recording")
	}
	synctest.Test(t, func(t *testing.T) {
		left := time.Duration(0)
		l := listening(records(func(ctx context.Context, _ string, _ order.Report, _ ...order.Report) (ledger.Recorded, error) {
			deadline, _ := ctx.Deadline()
			left = time.Until(deadline)
			return ledger.Recorded{}, nil
		}))
		l.Inquire = func(ctx context.Context, _ string) ([]order.Report, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}
		if resp := post(l, signed(t, "chrg_test_1", "order_test_1", "300.0", "Authorized")); resp.StatusCode != http.StatusOK || left != recordTimeout {
			t.Errorf("%s, %s to record", resp.Status, left)
		}
	})
}

// A signed text can be read as another charge's, over another amount. If the bank
// does not know the charge that is named, it is asked about the others.
func TestTheBankIsAskedAboutEveryReading(t *testing.T) {
	t.Parallel()
	var asked []string
	l := listening(records(func(_ context.Context, _ string, _ order.Report, beside ...order.Report) (ledger.Recorded, error) {
		if len(beside) != 1 || beside[0].ChargeID != "chrg_test_25" {
			t.Errorf("beside %+v", beside)
		}
		return ledger.Recorded{}, nil
	}))
	l.Inquire = func(_ context.Context, id string) ([]order.Report, error) {
		asked = append(asked, id)
		if id != "chrg_test_25" {
			return nil, nil
		}
		return []order.Report{{ChargeID: id, From: order.FromBank}}, nil
	}
	if resp := post(l, signed(t, "chrg_test_2", "order_test_1", "5300.0", "Authorized")); resp.StatusCode != http.StatusOK {
		t.Error(resp.Status)
	}
	if want := []string{"chrg_test_2", "chrg_test_", "chrg_test_25"}; !slices.Equal(asked, want) {
		t.Errorf("asked about %q, want %q", asked, want)
	}
}

// Once Each fails, no event is acknowledged.
func TestAReaderThatIsGoneEndsTheAcknowledging(t *testing.T) {
	t.Parallel()
	l := listening(openLedger(t, t.TempDir()))
	gone, events := false, 0
	l.Each = func(Event) error {
		events++
		if gone {
			return io.ErrClosedPipe
		}
		return nil
	}
	for i, status := range []int{200, 503, 503} {
		gone = i == 1
		if resp := post(l, example); resp.StatusCode != status {
			t.Errorf("notification %d: %s", i+1, resp.Status)
		}
	}
	if events != 2 {
		t.Errorf("%d events", events)
	}
}

func TestOnlyWhatIsDurableIsAnsweredWith200(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		err    error
		key    secret.String
		status int
	}{
		"durable":          {nil, exampleKey(), 200},
		"disk full":        {errors.New("the disk is full"), exampleKey(), 503},
		"time ran out":     {context.DeadlineExceeded, exampleKey(), 503},
		"no key to verify": {nil, secret.String{}, 503},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var steps []string
			l := listening(records(func(context.Context, string, order.Report, ...order.Report) (ledger.Recorded, error) {
				steps = append(steps, "recorded")
				return ledger.Recorded{}, test.err
			}))
			l.Key = test.key
			l.Each = func(Event) error {
				steps = append(steps, "event")
				return nil
			}
			resp := post(l, example)
			if resp.StatusCode != test.status || (resp.Header.Get("Retry-After") != "") != (test.status == 503) {
				t.Errorf("%s %v", resp.Status, resp.Header)
			}
			if want := []string{"recorded", "event"}; test.status == 200 && !slices.Equal(steps, want) || test.status != 200 && slices.Contains(steps, "event") {
				t.Errorf("steps %q", steps)
			}
		})
	}
}

func TestASenderThatHangsUpIsRecordedAllTheSame(t *testing.T) {
	t.Parallel()
	ctx, hangUp := context.WithCancel(t.Context())
	l := listening(records(func(ctx context.Context, _ string, _ order.Report, _ ...order.Report) (ledger.Recorded, error) {
		hangUp()
		deadline, limited := ctx.Deadline()
		if !limited || time.Until(deadline) > recordTimeout {
			t.Error("recording has no limit")
		}
		return ledger.Recorded{}, ctx.Err()
	}))
	events := 0
	l.Each = func(Event) error {
		events++
		return nil
	}
	answer := httptest.NewRecorder()
	l.ServeHTTP(answer, httptest.NewRequestWithContext(ctx, http.MethodPost, "/notify", strings.NewReader(example)))
	if answer.Code != 200 || events != 1 {
		t.Errorf("%d, %d events", answer.Code, events)
	}
}

func TestABodyThatCannotBeReadIsNotRecorded(t *testing.T) {
	t.Parallel()
	l := listening(records(func(context.Context, string, order.Report, ...order.Report) (ledger.Recorded, error) {
		t.Error("recorded")
		return ledger.Recorded{}, nil
	}))
	for _, err := range []error{io.ErrUnexpectedEOF, context.Canceled} {
		answer := httptest.NewRecorder()
		l.ServeHTTP(answer, httptest.NewRequest(http.MethodPost, "/notify", io.MultiReader(strings.NewReader(example), iotest.ErrReader(err))))
		if answer.Code != 400 {
			t.Errorf("%v: %d", err, answer.Code)
		}
	}
}

func TestHealthTriesTheLedgerNowAndThen(t *testing.T) {
	t.Parallel()
	l := listening(nil)
	now, tries := noon, 0
	var broken error
	var log bytes.Buffer
	l.Log = slog.New(slog.NewTextHandler(&log, nil))
	l.Now = func() time.Time { return now }
	l.Ready = func(context.Context) error { tries++; return broken }
	check := func(status, wantTries int) {
		t.Helper()
		answer := httptest.NewRecorder()
		l.ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/healthz", nil))
		if answer.Code != status || tries != wantTries || strings.Contains(answer.Body.String(), "disk") {
			t.Errorf("%d %s after %d tries", answer.Code, answer.Body, tries)
		}
	}
	check(200, 1)
	broken = errors.New("the disk is full")
	check(200, 1)
	now = now.Add(probeEvery)
	check(503, 2)
	check(503, 2)
	broken = nil
	now = now.Add(probeEvery)
	check(200, 3)
	l.Key = secret.String{}
	check(503, 3)
	if strings.Count(log.String(), "\n") != 1 || !strings.Contains(log.String(), `msg="notifications cannot be recorded now" error="the disk is full"`) {
		t.Errorf("the log is %s", &log)
	}
}

func TestEventsAsJSON(t *testing.T) {
	t.Parallel()
	n, err := Decode([]byte("{ \"villapay\": 1,\n" + example[1:]))
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		recorded ledger.Recorded
		want     string
	}{
		{
			ledger.Recorded{Payment: order.Payment{OrderID: "4925", State: order.Paid}, Changed: true, Warnings: []order.Warning{{Code: "paid_twice", Message: "twice"}}},
			`{"received_at":"2025-05-30T12:00:00.007+07:00","orderid":"4925","state":"paid","changed":true,"repeat":false,"warnings":[{"code":"paid_twice","message":"twice"}]}`,
		},
		{
			ledger.Recorded{Unknown: true, Repeat: true},
			`{"received_at":"2025-05-30T12:00:00.007+07:00","orderid":null,"state":null,"changed":false,"repeat":true,"warnings":[]}`,
		},
	} {
		got, err := json.Marshal(Event{At: noon, Notification: n, Recorded: test.recorded})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(strings.TrimSuffix(example, "}")+`,"villapay":`+test.want+"}", string(got)); diff != "" {
			t.Error(diff)
		}
	}
}

func TestSendReturnsTheAnswerAndFollowsNothing(t *testing.T) {
	t.Parallel()
	server := &httptest.Server{Listener: testport.Listen(t), Config: &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		switch {
		case r.URL.Path == "/silent":
			panic(http.ErrAbortHandler)
		case r.URL.Path == "/moved":
			http.Redirect(w, r, "/", http.StatusTemporaryRedirect)
		case string(body) != example || r.Header.Get("Content-Type") != "application/json":
			w.WriteHeader(http.StatusTeapot)
		}
	})}}
	server.Start()
	defer server.Close()
	for path, want := range map[string]int{"/": 200, "/moved": 307} {
		if status, err := Send(t.Context(), server.Client(), server.URL+path, []byte(example)); err != nil || status != want {
			t.Errorf("%s: %d, %v", path, status, err)
		}
	}
	if _, err := Send(t.Context(), server.Client(), server.URL+"/silent", []byte(example)); !errors.Is(err, ErrNoAnswer) {
		t.Errorf("a silent listener: %v", err)
	}
	server.Close()
	if status, err := Send(t.Context(), server.Client(), server.URL, []byte(example)); err == nil || errors.Is(err, ErrNoAnswer) {
		t.Errorf("nobody listens: %d, %v", status, err)
	}
	if _, err := Send(t.Context(), server.Client(), "http://[", nil); err == nil {
		t.Error("sent to no URL")
	}
}
