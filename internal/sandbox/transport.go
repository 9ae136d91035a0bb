package sandbox

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"os"
	"strconv"
	"sync"
	"syscall"
)

// Transport carries requests to the sandbox in this process, without a network.
// What a broken connection would be comes out as the error that net/http gives
// for one: a reset before the answer, io.ErrUnexpectedEOF in the middle of it.
// Bodies are streamed, and everything ends with the request's context.
func (s *Sandbox) Transport() http.RoundTripper { return transport{s} }

type transport struct{ handler http.Handler }

// RoundTrip runs the handler in a goroutine, which ends with the handler; the
// handler ends with the context, or once the body is read or closed.
func (t transport) RoundTrip(req *http.Request) (*http.Response, error) {
	ctx := req.Context()
	if err := ctx.Err(); err != nil {
		closeBody(req)
		return nil, context.Cause(ctx)
	}
	w := newWriter(req)
	traceSent(ctx)
	unhook := context.AfterFunc(ctx, func() { w.end(context.Cause(ctx)) })
	go func() {
		defer unhook()
		defer closeBody(req)
		defer func() {
			err := w.verdict(recover())
			if ctx.Err() != nil { // and perhaps that is why the handler gave up
				err = context.Cause(ctx)
			}
			w.end(err)
		}()
		t.handler.ServeHTTP(w, serverSide(req))
	}()
	<-w.ready
	if w.failed != nil {
		return nil, w.failed
	}
	traceAnswer(ctx)
	return w.response, nil
}

func closeBody(req *http.Request) {
	if req.Body != nil {
		_ = req.Body.Close()
	}
}

// traceSent tells an httptrace what a network would: somebody who asks whether
// the request left must hear that it did.
func traceSent(ctx context.Context) {
	trace := httptrace.ContextClientTrace(ctx)
	if trace == nil {
		return
	}
	if trace.GotConn != nil {
		trace.GotConn(httptrace.GotConnInfo{})
	}
	if trace.WroteHeaders != nil {
		trace.WroteHeaders()
	}
	if trace.WroteRequest != nil {
		trace.WroteRequest(httptrace.WroteRequestInfo{})
	}
}

func traceAnswer(ctx context.Context) {
	if trace := httptrace.ContextClientTrace(ctx); trace != nil && trace.GotFirstResponseByte != nil {
		trace.GotFirstResponseByte()
	}
}

// serverSide is the request as a server sees it.
func serverSide(req *http.Request) *http.Request {
	r := req.Clone(req.Context())
	r.URL = &url.URL{Path: req.URL.Path, RawPath: req.URL.RawPath, RawQuery: req.URL.RawQuery}
	r.RequestURI = req.URL.RequestURI()
	r.RemoteAddr = "127.0.0.1:0"
	r.Proto, r.ProtoMajor, r.ProtoMinor = "HTTP/1.1", 1, 1
	if r.Host == "" {
		r.Host = req.URL.Host
	}
	if r.Body == nil {
		r.Body = http.NoBody
	}
	return r
}

// writer is the server's side of an answer. The body goes through a pipe, so
// that nothing is buffered whatever its size.
type writer struct {
	req     *http.Request
	header  http.Header
	body    *io.PipeWriter
	read    *io.PipeReader
	written int64

	mu       sync.Mutex
	ready    chan struct{} // closed once one of the two below is set
	response *http.Response
	failed   error
}

func newWriter(req *http.Request) *writer {
	w := &writer{req: req, header: http.Header{}, ready: make(chan struct{})}
	w.read, w.body = io.Pipe()
	return w
}

func (w *writer) Header() http.Header { return w.header }

// WriteHeader lets the client have the head of the answer.
func (w *writer) WriteHeader(status int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.response != nil || w.failed != nil || status < 200 {
		return
	}
	length, err := strconv.ParseInt(w.header.Get("Content-Length"), 10, 64)
	if err != nil {
		length = -1
	}
	w.response = &http.Response{
		Status:     strconv.Itoa(status) + " " + http.StatusText(status),
		StatusCode: status,
		Proto:      "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header:        w.header.Clone(),
		Body:          w.read,
		ContentLength: length,
		Request:       w.req,
	}
	if w.req.Method == http.MethodHead {
		w.response.Body = http.NoBody
	}
	close(w.ready)
}

// Write waits for the client to read, as a full socket would.
func (w *writer) Write(p []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	if err := w.req.Context().Err(); err != nil || w.response == nil {
		return 0, net.ErrClosed
	}
	if length := w.response.ContentLength; length >= 0 && w.written+int64(len(p)) > length {
		return 0, http.ErrContentLength
	}
	w.written += int64(len(p))
	if w.req.Method == http.MethodHead {
		return len(p), nil
	}
	return w.body.Write(p)
}

// Flush lets the client have the head, if it has not got it yet; the rest never
// waits.
func (w *writer) Flush() { w.WriteHeader(http.StatusOK) }

// verdict is how the answer ends for the client, given what the handler
// panicked with.
func (w *writer) verdict(panicked any) error {
	if panicked == nil {
		w.WriteHeader(http.StatusOK)
		if w.response != nil && w.written < w.response.ContentLength {
			return io.ErrUnexpectedEOF
		}
		return io.EOF
	}
	if err, ok := panicked.(error); ok && errors.Is(err, http.ErrAbortHandler) {
		return io.ErrUnexpectedEOF
	}
	return fmt.Errorf("sandbox: panic: %v", panicked)
}

// end ends the answer: with io.EOF where it is whole. Before its head the
// client gets the error instead of an answer, a reset for a broken connection.
func (w *writer) end(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.response == nil && w.failed == nil {
		w.failed = err
		if errors.Is(err, io.ErrUnexpectedEOF) {
			w.failed = &net.OpError{Op: "read", Net: "tcp", Err: os.NewSyscallError("read", syscall.ECONNRESET)}
		}
		close(w.ready)
	}
	_ = w.body.CloseWithError(err) // never fails; the first error stays
}
