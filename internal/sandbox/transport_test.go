package sandbox

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Whatever a handler does, a client gets the same from Transport as from a port.
func TestTransportIsLikeAServer(t *testing.T) {
	t.Parallel()
	handlers := map[string]http.HandlerFunc{
		"nothing":     func(http.ResponseWriter, *http.Request) {},
		"status only": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) },
		"body only":   func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "text") },
		"status twice": func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(418)
			w.Header().Set("X-Late", "1")
			w.WriteHeader(200)
			_, _ = io.WriteString(w, "tea")
		},
		"hint first": func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusEarlyHints)
			w.WriteHeader(404)
		},
		"length kept": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "4")
			_, _ = io.WriteString(w, "text")
		},
		"too little": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "10")
			_, _ = io.WriteString(w, "text")
		},
		"too much": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "4")
			_, _ = io.WriteString(w, "text")
			if _, err := io.WriteString(w, "more"); !errors.Is(err, http.ErrContentLength) {
				panic("no error")
			}
		},
		"abort before": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"abort after": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "text")
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		},
		"request": func(w http.ResponseWriter, r *http.Request) {
			body, err := io.ReadAll(r.Body)
			_, _ = fmt.Fprintln(w, r.Method, r.URL, r.RequestURI, r.Proto, r.Header.Get("X-Test"), string(body), err, r.Host != "")
		},
	}
	for name, handler := range handlers {
		for _, method := range []string{"GET", "POST", "HEAD"} {
			t.Run(name+" "+method, func(t *testing.T) {
				t.Parallel()
				header := http.Header{"X-Test": {"yes"}}
				near := send(t.Context(), client(transport{handler}), method, inProcess+"/a%2Fb?c=d", "body", header)
				far := send(t.Context(), client(&http.Transport{DisableKeepAlives: true}), method, serve(t, handler)+"/a%2Fb?c=d", "body", header)
				for _, net := range []string{"Date", "Content-Length", "Content-Type", "Connection"} { // the server's own
					near.header.Del(net)
					far.header.Del(net)
				}
				if (near.err != nil) != (far.err != nil) {
					t.Errorf("errors differ: %v in process, %v served", near.err, far.err)
				}
				near.err, far.err = nil, nil
				if diff := cmp.Diff(fmt.Sprintf("%+v", far), fmt.Sprintf("%+v", near)); diff != "" {
					t.Errorf("(-served +in process):\n%s", diff)
				}
			})
		}
	}
}

func TestTransportErrors(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		handler http.HandlerFunc
		want    error
	}{
		"before the answer": {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, syscall.ECONNRESET},
		"in the answer": {func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "text")
			panic(http.ErrAbortHandler)
		}, io.ErrUnexpectedEOF},
	}
	for name, test := range tests {
		got := send(t.Context(), client(transport{test.handler}), "GET", inProcess, "", http.Header{})
		if !errors.Is(got.err, test.want) {
			t.Errorf("%s: %v, want %v", name, got.err, test.want)
		}
	}
	bug := http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("bug") })
	if got := send(t.Context(), client(transport{bug}), "GET", inProcess, "", http.Header{}); got.err == nil || !strings.Contains(got.err.Error(), "bug") {
		t.Errorf("a panic: %+v, want an error that names it", got)
	}
}

// The client's context ends the call whatever the handler does, and the handler
// hears of it.
func TestTransportCancelled(t *testing.T) {
	t.Parallel()
	for _, early := range []bool{true, false} {
		heard := make(chan error, 1)
		started := make(chan struct{})
		ctx, cancel := context.WithCancel(t.Context())
		handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if !early {
				_, _ = io.WriteString(w, "text")
			}
			close(started)
			<-r.Context().Done()
			_, err := io.WriteString(w, "more")
			heard <- err
		})
		go func() {
			<-started
			cancel()
		}()
		got := send(ctx, client(transport{handler}), "GET", inProcess, "", http.Header{})
		if !errors.Is(got.err, context.Canceled) {
			t.Errorf("head sent %v: %+v, want that it was cancelled", !early, got)
		}
		if err := <-heard; err == nil {
			t.Errorf("head sent %v: the handler writes on", !early)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	never := http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the handler runs") })
	if got := send(ctx, client(transport{never}), "GET", inProcess, "", http.Header{}); !errors.Is(got.err, context.Canceled) {
		t.Errorf("cancelled before: %+v", got)
	}
}

// A client that closes the body ends the handler's writing.
func TestTransportClosedBody(t *testing.T) {
	t.Parallel()
	ended := make(chan error, 1)
	handler := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for {
			if _, err := io.WriteString(w, "text"); err != nil {
				ended <- err
				return
			}
		}
	})
	req, err := http.NewRequestWithContext(t.Context(), "GET", inProcess, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := transport{handler}.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	if err := resp.Body.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err == nil {
		t.Error("the handler writes on")
	}
}

// closer counts how often a request body is closed.
type closer struct {
	io.Reader
	closed atomic.Int32
	done   chan struct{}
}

func (c *closer) Close() error {
	if c.closed.Add(1) == 1 {
		close(c.done)
	}
	return nil
}

func TestTransportClosesTheRequestAndTellsTheTrace(t *testing.T) {
	t.Parallel()
	var heard []string
	ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
		GotConn:              func(httptrace.GotConnInfo) { heard = append(heard, "connected") },
		WroteHeaders:         func() { heard = append(heard, "head") },
		WroteRequest:         func(httptrace.WroteRequestInfo) { heard = append(heard, "request") },
		GotFirstResponseByte: func() { heard = append(heard, "answer") },
	})
	body := &closer{Reader: strings.NewReader("body"), done: make(chan struct{})}
	req, err := http.NewRequestWithContext(ctx, "POST", inProcess, body)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := transport{http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})}.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	<-body.done
	if diff := cmp.Diff([]string{"connected", "head", "request", "answer"}, heard); diff != "" {
		t.Errorf("trace (-want +got):\n%s", diff)
	}
}
