package sandbox

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestRequests(t *testing.T) {
	t.Parallel()
	const good = `{"orderid":"1","source":"qr"}`
	tests := []struct {
		name, contentType, body string
		status                  int
		says                    string
	}{
		{"the document's", "application/json", good, 200, `"object":"order"`},
		{"with a charset", "application/json; charset=utf-8", good, 200, `"object":"order"`},
		{"fields the other way round", "application/json", ` {"source":"wechat", "orderid":"1"} `, 200, `"source_type":"wechat"`},
		{"no content type", "", good, 415, "Unsupported Media Type"},
		{"a form", "application/x-www-form-urlencoded", "orderid=1&source=qr", 415, "Unsupported Media Type"},
		{"empty", "application/json", "", 400, "not a JSON object"},
		{"null", "application/json", "null", 400, "not a JSON object"},
		{"a list", "application/json", "[]", 400, "not a JSON object"},
		{"cut", "application/json", `{"orderid":"1","source":"qr"`, 400, "not a JSON object"},
		{"two objects", "application/json", good + good, 400, "Something follows"},
		{"not UTF-8", "application/json", "{\"orderid\":\"\xff\",\"source\":\"qr\"}", 400, "not UTF-8"},
		{"unknown field", "application/json", `{"orderid":"1","source":"qr","amount":1}`, 400, `Unknown field \"amount\"`},
		{"wrong case", "application/json", `{"orderID":"1","source":"qr"}`, 400, `Unknown field \"orderID\"`},
		{"no order ID", "application/json", `{"source":"qr"}`, 400, "orderid must"},
		{"empty order ID", "application/json", `{"orderid":"","source":"qr"}`, 400, "orderid must"},
		{"order ID as a number", "application/json", `{"orderid":492500004632,"source":"qr"}`, 400, "orderid must"},
		{"order ID of two lines", "application/json", `{"orderid":"1\n2","source":"qr"}`, 400, "orderid must"},
		{"order ID with a slash", "application/json", `{"orderid":"1/2","source":"qr"}`, 400, "orderid must"},
		{"long order ID", "application/json", `{"orderid":"` + strings.Repeat("1", 129) + `","source":"qr"}`, 400, "orderid must"},
		{"no source", "application/json", `{"orderid":"1"}`, 400, "source must"},
		{"unknown source", "application/json", `{"orderid":"1","source":"QR"}`, 400, "source must"},
		{"too large", "application/json", good + strings.Repeat(" ", maxRequest), 413, "Request Too Long"},
	}
	eachWay(t, Options{}, func(t *testing.T, s *Sandbox, c *http.Client, base string) {
		for _, test := range tests {
			header := http.Header{"Content-Type": {test.contentType}}
			got := send(t.Context(), c, "POST", base+"/qrpayment", test.body, header)
			if got.err != nil || got.status != test.status || !strings.Contains(got.body, test.says) {
				t.Errorf("%s: %d %s (%v), want %d that says %s", test.name, got.status, got.body, got.err, test.status, test.says)
			}
		}
		wantStats(t, s, "1", Stats{Posts: 3, Orders: 3})
	})
}

func TestErrorsHaveTheDocumentsShape(t *testing.T) {
	t.Parallel()
	const want = `{"error":{"code":"invalid_amount","message":"Invalid payment amount."}}`
	s := newSandbox(t, Options{})
	if got := ask(t.Context(), client(s.Transport()), inProcess, "refused-amount", "qr", ""); got.status != 400 || got.body != want {
		t.Errorf("got %d %s, want 400 %s", got.status, got.body, want)
	}
}

func TestIdempotencyKeys(t *testing.T) {
	t.Parallel()
	eachWay(t, Options{}, func(t *testing.T, s *Sandbox, c *http.Client, base string) {
		first := ask(t.Context(), c, base, "1", "qr", "key")
		again := ask(t.Context(), c, base, "1", "qr", "key")
		if first.status != 200 || again.status != 200 || first.body != again.body {
			t.Errorf("the same key gave\n%s\nand then\n%s", first.body, again.body)
		}
		for name, other := range map[string]answer{
			"another key": ask(t.Context(), c, base, "1", "qr", "other"),
			"no key":      ask(t.Context(), c, base, "1", "qr", ""),
		} {
			if id := other.order().ID; id == "" || id == first.order().ID {
				t.Errorf("%s gave order %q, the first %q", name, id, first.order().ID)
			}
		}
		wantStats(t, s, "1", Stats{Posts: 4, Orders: 3})

		for name, reused := range map[string]answer{
			"another order":  ask(t.Context(), c, base, "2", "qr", "key"),
			"another source": ask(t.Context(), c, base, "1", "wechat", "key"),
		} {
			if reused.status != 422 || !strings.Contains(reused.body, "idempotency_key_reused") {
				t.Errorf("the key for %s: %d %s", name, reused.status, reused.body)
			}
		}
		if long := ask(t.Context(), c, base, "1", "qr", strings.Repeat("k", 256)); long.status != 400 {
			t.Errorf("a key of 256 bytes: %d %s", long.status, long.body)
		}
	})
}

func TestIgnoredKeys(t *testing.T) {
	t.Parallel()
	s := newSandbox(t, Options{IgnoreKeys: true})
	first := ask(t.Context(), client(s.Transport()), inProcess, "1", "qr", "key").order()
	again := ask(t.Context(), client(s.Transport()), inProcess, "1", "qr", "key").order()
	if first.ID == "" || again.ID == "" || first.ID == again.ID {
		t.Errorf("got orders %q and %q, want two", first.ID, again.ID)
	}
	wantStats(t, s, "1", Stats{Posts: 2, Orders: 2})
}

// A running request holds its key until its process must be dead.
func TestKeyOfARunningRequest(t *testing.T) {
	t.Parallel()
	clock := newClock()
	dir := t.TempDir()
	s := newSandbox(t, Options{Dir: dir, Now: clock.now})
	claim := func(key, orderID string) {
		t.Helper()
		req, problem := decodeRequest(fmt.Appendf(nil, `{"orderid":%q,"source":"qr"}`, orderID))
		if problem != "" {
			t.Fatal(problem)
		}
		req.key = key
		if err := s.store.tx(t.Context(), func(ctx context.Context, tx *sql.Tx) error {
			return s.saveKey(ctx, tx, req, nil, clock.now().Add(time.Minute))
		}); err != nil {
			t.Fatal(err)
		}
	}
	claim("key", "1")
	c := client(s.Transport())
	if got := ask(t.Context(), c, inProcess, "1", "qr", "key"); got.status != 409 || !strings.Contains(got.body, "still running") {
		t.Errorf("while it runs: %d %s, want 409", got.status, got.body)
	}
	if got := ask(t.Context(), c, inProcess, "2", "qr", "key"); got.status != 422 {
		t.Errorf("another body while it runs: %d %s, want 422", got.status, got.body)
	}
	clock.advance(time.Minute)
	if got := ask(t.Context(), c, inProcess, "1", "qr", "key"); got.status != 200 {
		t.Errorf("once its time is over: %d %s, want an order", got.status, got.body)
	}
	wantStats(t, s, "1", Stats{Posts: 2, Orders: 1})
}

func FuzzDecodeRequest(f *testing.F) {
	for _, seed := range []string{
		`{"orderid":"492500004632","source":"wechat"}`, `{"orderid":"1","source":"qr"}{}`, `{"orderid":1}`, `null`, `[`,
		`{"orderid":"a","orderid":"b","source":"qr"}`, `{"OrderID":"a","source":"qr"}`, "{\"orderid\":\"\u202e\",\"source\":\"qr\"}",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		req, problem := decodeRequest(body)
		if problem != "" {
			if (req != request{}) {
				t.Errorf("%q is rejected (%s) and read as %+v", body, problem, req)
			}
			return
		}
		if req.orderID == "" || len(req.orderID) > 4*maxOrderID || req.source != "qr" && req.source != "wechat" || len(req.bodyHash) != 64 {
			t.Errorf("%q is read as %+v", body, req)
		}
		plain, err := json.Marshal(map[string]string{"orderid": req.orderID, "source": req.source})
		if err != nil {
			t.Fatal(err)
		}
		again, problem := decodeRequest(plain)
		if problem != "" || again.orderID != req.orderID || again.source != req.source {
			t.Errorf("%q is read as %+v, encoded again as %+v (%s)", body, req, again, problem)
		}
	})
}
