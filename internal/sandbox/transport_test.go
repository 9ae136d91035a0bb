package sandbox

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
)

func inProcessClient(handler http.HandlerFunc) *http.Client {
	return client(pipeTransport(&http.Server{Handler: handler}))
}

func TestTransportCarriesTheRequest(t *testing.T) {
	t.Parallel()
	echo := func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		w.WriteHeader(http.StatusTeapot)
		_, _ = io.WriteString(w, strings.Join([]string{r.Method, r.Host, r.RequestURI, r.Header.Get("X-Test"), string(body)}, " "))
	}
	got := send(t.Context(), inProcessClient(echo), "POST", inProcess+"/a%2Fb?c=d", "body", http.Header{"X-Test": {"yes"}})
	if want := "POST sandbox.invalid /a%2Fb?c=d yes body"; got.status != http.StatusTeapot || got.body != want {
		t.Errorf("got %+v, want %s", got, want)
	}
}

// A broken connection gives the errors that a network gives.
func TestTransportBrokenConnection(t *testing.T) {
	t.Parallel()
	lost := func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }
	if got := send(t.Context(), inProcessClient(lost), "GET", inProcess, "", http.Header{}); !errors.Is(got.err, io.EOF) {
		t.Errorf("before the answer: %v, want %v", got.err, io.EOF)
	}
	cut := func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "text")
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}
	if got := send(t.Context(), inProcessClient(cut), "GET", inProcess, "", http.Header{}); got.body != "text" || !errors.Is(got.err, io.ErrUnexpectedEOF) {
		t.Errorf("in the answer: %+v, want the text and %v", got, io.ErrUnexpectedEOF)
	}
}

// The client's context ends the call whatever the handler does, and the
// handler's context with it.
func TestTransportCanceled(t *testing.T) {
	t.Parallel()
	for _, answered := range []bool{false, true} {
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		handler := func(w http.ResponseWriter, r *http.Request) {
			defer close(ended)
			if answered {
				_, _ = io.WriteString(w, "text")
				_ = http.NewResponseController(w).Flush()
			}
			cancel()
			<-r.Context().Done()
		}
		got := send(ctx, inProcessClient(handler), "GET", inProcess, "", http.Header{})
		if !errors.Is(got.err, context.Canceled) {
			t.Errorf("answered %v: %+v, want %v", answered, got, context.Canceled)
		}
		<-ended
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	never := func(http.ResponseWriter, *http.Request) { t.Error("the handler runs") }
	if got := send(ctx, inProcessClient(never), "GET", inProcess, "", http.Header{}); !errors.Is(got.err, context.Canceled) {
		t.Errorf("canceled before: %+v", got)
	}
}

// Whoever closes an answer that has no end ends the handler: the client by its
// body, the sandbox by Close.
func TestTransportEndsTheHandler(t *testing.T) {
	t.Parallel()
	for _, byClient := range []bool{true, false} {
		ended := make(chan struct{})
		server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			defer close(ended)
			for {
				if _, err := io.WriteString(w, "text"); err != nil {
					return
				}
			}
		})}
		req, err := http.NewRequestWithContext(t.Context(), "GET", inProcess, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := pipeTransport(server).RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		if byClient {
			_ = resp.Body.Close()
		} else if err := server.Close(); err != nil {
			t.Error(err)
		}
		<-ended
		if _, err := io.Copy(io.Discard, resp.Body); err == nil {
			t.Errorf("closed by the client %v: the answer came to an end", byClient)
		}
		_ = resp.Body.Close()
	}
}
