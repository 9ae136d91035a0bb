// Package httpserver answers HTTP on one listener within bounds.
//
// It promises that no client can hold it: headers, requests and idle
// connections have time limits, connections a number, and it ends within
// [StopWithin] of being told to, stuck clients or not.
package httpserver

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"
)

// The bounds of every server.
const (
	Connections = 512 // at once; further ones wait to be accepted
	HeaderBytes = 16 << 10

	HeaderWithin = 5 * time.Second  // for a request's headers
	ReadWithin   = 10 * time.Second // for a whole request
	WriteWithin  = 30 * time.Second // from a request's headers to the answer's end
	IdleWithin   = 30 * time.Second // between two requests of a connection
	StopWithin   = 10 * time.Second // from the end of ctx to the return of Run

	drainWithin = 8 * time.Second // of StopWithin, for running requests
)

// Run answers on listener until ctx ends, then lets running requests finish and
// closes what does not. It returns nil after ctx has ended, else why the
// listener failed. Protocol errors of clients go to log. The listener is closed.
func Run(ctx context.Context, listener net.Listener, handler http.Handler, log *slog.Logger) error {
	server := &http.Server{
		Handler: handler, MaxHeaderBytes: HeaderBytes,
		ReadHeaderTimeout: HeaderWithin, ReadTimeout: ReadWithin, WriteTimeout: WriteWithin, IdleTimeout: IdleWithin,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(limit(listener, Connections)) }()
	select {
	case err := <-failed:
		_ = server.Close()
		return err
	case <-ctx.Done():
	}
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainWithin)
	defer cancel()
	if server.Shutdown(drain) != nil {
		_ = server.Close()
	}
	if err := <-failed; !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// limited accepts a connection only while fewer than a number are open.
type limited struct {
	net.Listener
	slots  chan struct{}
	closed chan struct{}
	once   sync.Once
}

func limit(l net.Listener, n int) net.Listener {
	return &limited{Listener: l, slots: make(chan struct{}, n), closed: make(chan struct{})}
}

func (l *limited) Accept() (net.Conn, error) {
	select {
	case l.slots <- struct{}{}:
	case <-l.closed:
		return nil, net.ErrClosed
	}
	conn, err := l.Listener.Accept()
	if err != nil {
		<-l.slots
		return nil, err
	}
	return &counted{Conn: conn, release: sync.OnceFunc(func() { <-l.slots })}, nil
}

func (l *limited) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

// counted gives its slot back when it is closed.
type counted struct {
	net.Conn
	release func()
}

func (c *counted) Close() error {
	defer c.release()
	return c.Conn.Close()
}
