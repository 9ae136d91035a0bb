// Package httpserver answers HTTP on one listener within bounds.
//
// It promises that no client can hold it: headers, requests and idle
// connections have time limits, connections a number, and it ends within
// [StopWithin] after its context, stuck clients or not.
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
	Connections     = 512 // open at once; further ones wait
	IdleConnections = 64  // of them between two requests; further ones are closed
	HeaderBytes     = 16 << 10

	HeaderWithin = 5 * time.Second  // for a request's headers
	ReadWithin   = 10 * time.Second // for a whole request
	WriteWithin  = 30 * time.Second // from a request's headers to the answer's end
	IdleWithin   = 30 * time.Second // between two requests of a connection
	StopWithin   = 10 * time.Second // from the end of ctx to the return of Run
	DrainWithin  = 9 * time.Second  // of StopWithin, for running requests
)

// Run answers on listener until ctx ends, then lets running requests finish and
// closes what does not. It returns nil after ctx has ended, else why the
// listener failed. Protocol errors of clients go to log. The listener is closed.
func Run(ctx context.Context, listener net.Listener, handler http.Handler, log *slog.Logger) error {
	server := &http.Server{
		Handler: handler, MaxHeaderBytes: HeaderBytes, ConnState: boundConnections(),
		ReadHeaderTimeout: HeaderWithin, ReadTimeout: ReadWithin, WriteTimeout: WriteWithin, IdleTimeout: IdleWithin,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	select {
	case err := <-failed:
		_ = server.Close()
		return err
	case <-ctx.Done():
	}
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), DrainWithin)
	defer cancel()
	if server.Shutdown(drain) != nil {
		_ = server.Close()
	}
	if err := <-failed; !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// boundConnections returns a server's ConnState hook that bounds its
// connections. The server accepts no other while the hook waits for a free slot.
func boundConnections() func(net.Conn, http.ConnState) {
	slots := make(chan struct{}, Connections)
	var mu sync.Mutex
	idle := map[net.Conn]bool{}
	return func(conn net.Conn, state http.ConnState) {
		switch state { //nolint:exhaustive // the others change nothing here
		case http.StateNew:
			slots <- struct{}{}
			return
		case http.StateClosed, http.StateHijacked:
			<-slots
		}
		mu.Lock()
		defer mu.Unlock()
		delete(idle, conn)
		if state != http.StateIdle {
			return
		}
		if len(idle) == IdleConnections {
			_ = conn.Close()
			return
		}
		idle[conn] = true
	}
}
