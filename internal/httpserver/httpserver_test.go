package httpserver

import (
	"bufio"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// memory is a listener whose connections are pipes, so that time can be
// synctest's.
type memory struct {
	conns  chan net.Conn
	closed chan struct{}
}

func newMemory() *memory { return &memory{make(chan net.Conn), make(chan struct{})} }

func (m *memory) Accept() (net.Conn, error) {
	select {
	case conn := <-m.conns:
		return conn, nil
	case <-m.closed:
		return nil, net.ErrClosed
	}
}

func (m *memory) Close() error { close(m.closed); return nil }

func (m *memory) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1} }

// dial connects, or returns nil where nobody accepts within a second.
func (m *memory) dial() net.Conn {
	ours, theirs := net.Pipe()
	select {
	case m.conns <- theirs:
		return ours
	case <-time.After(time.Second):
		return nil
	}
}

// running is a server in a bubble.
type running struct {
	*memory
	stop context.CancelFunc
	done chan error
}

func run(t *testing.T, handler http.HandlerFunc) running {
	ctx, cancel := context.WithCancel(t.Context())
	r := running{newMemory(), cancel, make(chan error, 1)}
	go func() { r.done <- Run(ctx, r.memory, handler, slog.New(slog.DiscardHandler)) }()
	return r
}

// closedAfter reads until the server hangs up, and returns how long that took
// and what it said.
func closedAfter(conn net.Conn) (time.Duration, string) {
	start := time.Now()
	said, _ := io.ReadAll(conn)
	return time.Since(start), string(said)
}

// dribble writes a byte a second until the connection is closed.
func dribble(conn net.Conn) {
	for {
		if _, err := conn.Write([]byte("x")); err != nil {
			return
		}
		time.Sleep(time.Second)
	}
}

func hello(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, "slow", http.StatusRequestTimeout)
		return
	}
	_, _ = w.Write(append([]byte("hello "), body...))
}

func TestSlowClientsAreCutOff(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		request string
		within  time.Duration
	}{
		"slow headers": {"POST / HTTP/1.1\r\nHost: x\r\nA: ", HeaderWithin},
		"slow body":    {"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 900\r\n\r\n", ReadWithin},
		"silence":      {"", HeaderWithin},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				server := run(t, hello)
				conn := server.dial()
				_, _ = io.WriteString(conn, test.request)
				var sending sync.WaitGroup
				if test.request != "" {
					sending.Go(func() { dribble(conn) })
				}
				if took, said := closedAfter(conn); took > test.within+time.Second || strings.Contains(said, "200 OK") {
					t.Errorf("cut off after %s: %s", took, said)
				}
				_ = conn.Close()
				sending.Wait()
				server.stop()
				<-server.done
			})
		})
	}
}

func TestIdleConnectionsEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := run(t, hello)
		conn := server.dial()
		_, _ = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
		if took, said := closedAfter(conn); took != IdleWithin || !strings.Contains(said, "hello") {
			t.Errorf("idle for %s: %s", took, said)
		}
		server.stop()
		<-server.done
	})
}

const get = "GET / HTTP/1.1\r\nHost: x\r\n\r\n"

func TestConnectionsAreBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := run(t, hello)
		var conns []net.Conn
		for range Connections {
			conns = append(conns, server.dial())
		}
		waiting := server.dial()
		go func() { _, _ = io.WriteString(waiting, get) }()
		answered := make(chan string, 1)
		go func() { _, said := closedAfter(waiting); answered <- said }()
		synctest.Wait()
		if conn := server.dial(); conn != nil {
			t.Error("another one was accepted")
		}
		if len(answered) != 0 {
			t.Error("one more than the bound was answered")
		}
		_ = conns[0].Close()
		if said := <-answered; !strings.Contains(said, "hello") {
			t.Errorf("after one was closed: %q", said)
		}
		server.stop()
		if err := <-server.done; err != nil {
			t.Error(err)
		}
	})
}

// Connections that ask for nothing more leave room for those that do.
func TestIdleConnectionsAreBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := run(t, hello)
		kept := 0
		for range Connections + 8 {
			conn := server.dial()
			if conn == nil {
				t.Fatal("no connection was accepted")
			}
			_, _ = io.WriteString(conn, get)
			if _, err := http.ReadResponse(bufio.NewReader(conn), nil); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			_ = conn.SetReadDeadline(time.Now().Add(time.Millisecond))
			if _, err := conn.Read(make([]byte, 1)); errors.Is(err, os.ErrDeadlineExceeded) {
				kept++
			}
		}
		if kept != IdleConnections {
			t.Errorf("%d idle connections were kept", kept)
		}
		server.stop()
		<-server.done
	})
}

func TestItStopsInTime(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		takes   time.Duration // by the handler, which may be more than there is
		answers bool
	}{
		"nothing to do":     {0, true},
		"a running request": {DrainWithin - time.Millisecond, true},
		"a stuck request":   {time.Hour, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				server := run(t, func(w http.ResponseWriter, r *http.Request) {
					select {
					case <-time.After(test.takes):
						_, _ = io.WriteString(w, "done")
					case <-r.Context().Done():
					}
				})
				stuck := server.dial() // in the middle of its headers
				_, _ = io.WriteString(stuck, "POST / HT")
				conn := server.dial()
				_, _ = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
				said := make(chan string, 1)
				go func() { _, text := closedAfter(conn); said <- text }()
				synctest.Wait()
				start := time.Now()
				server.stop()
				if err := <-server.done; err != nil {
					t.Error(err)
				}
				if took := time.Since(start); took > StopWithin {
					t.Errorf("stopped after %s", took)
				}
				if text := <-said; strings.Contains(text, "done") != test.answers {
					t.Errorf("the request got %q", text)
				}
				_ = stuck.Close()
			})
		})
	}
}

func TestABrokenListenerIsAnError(t *testing.T) {
	t.Parallel()
	listener := newMemory()
	_ = listener.Close()
	if err := Run(t.Context(), &broken{listener}, http.NotFoundHandler(), slog.New(slog.DiscardHandler)); !errors.Is(err, net.ErrClosed) {
		t.Error(err)
	}
}

// broken may be closed twice.
type broken struct{ *memory }

func (b *broken) Close() error { return nil }
