package api

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/villapay/villapay/internal/order"
	"github.com/villapay/villapay/internal/secret"
)

// Every call leaves one record: what was asked, for which order, with which key,
// how it ended, and no token.
func TestEveryCallIsLogged(t *testing.T) {
	t.Parallel()
	answers := map[string]func(http.ResponseWriter, *http.Request){
		"made": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-Amzn-Requestid", "req-1")
			io.WriteString(w, seedOrder)
		},
		"rejected": func(w http.ResponseWriter, r *http.Request) {
			http.Error(w, `{"error":{"code":"bad","message":"no: `+r.Header.Get("Authorization")+`"}}`, 400)
		},
		"no order": func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "hello") },
		"lost":     hijack(""),
	}
	for name, want := range map[string]string{
		"made":     `INFO call method=POST path=/api/qrpayment order=4925 key=k status=200 request_id=req-1 outcome=ok`,
		"rejected": `WARN call method=POST path=/api/qrpayment order=4925 key=k status=400 request_id="" error="no: [redacted] (bad, HTTP 400)" code=bad outcome=rejected`,
		"no order": `ERROR call method=POST path=/api/qrpayment order=4925 key=k status=200 request_id="" error="the response is not an order (HTTP 200)" code=http_200 outcome=unknown`,
		"lost":     `ERROR call method=POST path=/api/qrpayment order=4925 key=k error="lost the connection to HOST before its answer was complete: EOF" code=connection_lost outcome=unknown`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client := serve(t, answers[name])
			got := logged(client, func() {
				_, _, _ = client.CreateOrder(t.Context(), "4925", order.QR, "k")
			})
			if diff := cmp.Diff("level="+want+"\n", got); diff != "" {
				t.Error(diff)
			}
		})
	}
	t.Run("a question about an order", func(t *testing.T) {
		t.Parallel()
		client := serve(t, hijack(""))
		got := logged(client, func() { _, _, _ = client.Status(t.Context(), "/s/{orderid}", "4925", nil) })
		if !strings.HasPrefix(got, "level=ERROR call method=GET path=/api/s/4925 order=4925 error=") || !strings.HasSuffix(got, " code=connection_lost outcome=unavailable\n") {
			t.Error(got)
		}
	})
	t.Run("no sign-in", func(t *testing.T) {
		t.Parallel()
		client := serve(t, hijack(""))
		client.Tokens = unsigned{}
		got := logged(client, func() { _, _, _ = client.CreateOrder(t.Context(), "4925", order.QR, "k") })
		if diff := cmp.Diff("level=ERROR call method=POST path=/api/qrpayment order=4925 key=k error=\"not signed in\" outcome=\"not sent\"\n", got); diff != "" {
			t.Error(diff)
		}
	})
	t.Run("a raw call", func(t *testing.T) {
		t.Parallel()
		client := serve(t, answers["rejected"])
		got := logged(client, func() {
			req, err := client.Request(t.Context(), "GET", "/x", nil)
			if err != nil {
				t.Error(err)
				return
			}
			_, _ = client.Do(req)
		})
		if diff := cmp.Diff("level=WARN call method=GET path=/api/x status=400 request_id=\"\" outcome=rejected\n", got); diff != "" {
			t.Error(diff)
		}
	})
}

// unsigned is nobody signed in.
type unsigned struct{}

func (unsigned) Token(context.Context) (secret.String, error) {
	return secret.String{}, errors.New("not signed in")
}

func (unsigned) Refresh(context.Context, secret.String) (secret.String, error) {
	return secret.String{}, errors.New("not signed in")
}

// logged returns what do writes to the client's log, without what differs from
// run to run.
func logged(client *Client, do func()) string {
	var text strings.Builder
	client.Log = slog.New(slog.NewTextHandler(&text, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey || a.Key == "took" {
			return slog.Attr{}
		}
		return a
	}}))
	if client.Tokens == nil {
		client.Tokens = &tokens{all: []string{"secret-token"}}
	}
	do()
	host := strings.TrimSuffix(strings.TrimPrefix(client.BaseURL, "http://"), "/api")
	return strings.NewReplacer(host, "HOST", "msg=", "").Replace(text.String())
}
