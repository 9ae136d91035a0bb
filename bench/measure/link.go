//go:build unix

package main

import (
	"io"
	"net"
	"sync/atomic"
	"time"
)

// link is a network that takes time: a proxy before a server, over which one round
// trip, also that of connecting, takes delay.
type link struct {
	net.Listener
	to    string
	delay time.Duration
	trips atomic.Int64 // round trips so far
}

// goodbye ends a connection to PostgreSQL; nothing is awaited after it.
const goodbye = "X\x00\x00\x00\x04"

func newLink(to string, delay time.Duration) (*link, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	l := &link{Listener: listener, to: to, delay: delay}
	go func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			go l.serve(client)
		}
	}()
	return l, nil
}

func (l *link) serve(client net.Conn) {
	defer func() { _ = client.Close() }()
	server, err := net.Dial("tcp", l.to)
	if err != nil {
		return
	}
	var asked atomic.Bool // and not answered yet
	go func() {
		forward(client, server, l.delay, func([]byte) { asked.Store(false) })
		_ = client.Close()
	}()
	l.trips.Add(1) // to connect
	time.Sleep(l.delay)
	forward(server, client, 0, func(data []byte) {
		if string(data) != goodbye && !asked.Swap(true) {
			l.trips.Add(1)
		}
	})
	_ = server.Close()
}

// forward hands on what comes from a connection, each part after delay, however
// much is under way. seen is called as a part comes.
func forward(to io.Writer, from io.Reader, delay time.Duration, seen func(data []byte)) {
	type part struct {
		data []byte
		due  time.Time
	}
	under := make(chan part, 1<<16)
	go func() {
		defer close(under)
		for {
			data := make([]byte, 32<<10)
			n, err := from.Read(data)
			if n > 0 {
				seen(data[:n])
				under <- part{data[:n], time.Now().Add(delay)}
			}
			if err != nil {
				return
			}
		}
	}()
	for p := range under {
		time.Sleep(time.Until(p.due))
		if _, err := to.Write(p.data); err != nil {
			break
		}
	}
	for range under { // until its reader ends too
	}
}
