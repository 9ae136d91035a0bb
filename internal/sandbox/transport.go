package sandbox

import (
	"context"
	"io"
	"net"
	"net/http"
)

// Transport carries requests to the sandbox in this process, without a network:
// net/http's own client and server over a pipe for each request. Close ends
// those that are running.
func (s *Sandbox) Transport() http.RoundTripper { return pipeTransport(s.server) }

func pipeTransport(server *http.Server) *http.Transport {
	return &http.Transport{
		DisableKeepAlives: true, // an idle connection would keep its goroutines
		DialContext: func(context.Context, string, string) (net.Conn, error) {
			client, conn := net.Pipe()
			l := make(pipeListener, 1)
			l <- conn
			go func() { _ = server.Serve(l) }() // returns once it has the connection
			return client, nil
		},
	}
}

// pipeListener holds the one connection that it accepts.
type pipeListener chan net.Conn

func (l pipeListener) Accept() (net.Conn, error) {
	select {
	case conn := <-l:
		return conn, nil
	default:
		return nil, io.EOF
	}
}

// Close closes the connection if a closed server never accepted it.
func (l pipeListener) Close() error {
	if conn, err := l.Accept(); err == nil {
		return conn.Close()
	}
	return nil
}

func (l pipeListener) Addr() net.Addr { return &net.UnixAddr{Net: "pipe", Name: "sandbox"} }
