// Package testport gives tests TCP ports of 127.0.0.1 that no system hands out by
// itself: what a test does not listen on now is not given to anybody else meanwhile.
// Only tests import it.
package testport

import (
	"net"
	"os"
	"strconv"
	"sync/atomic"
	"testing"
)

// drawn counts the ports that this process drew, from a place of its own.
var drawn atomic.Int32 //nolint:gochecknoglobals // a counter

// Free returns a port that nothing listens on.
func Free(t testing.TB) int {
	t.Helper()
	listener := Listen(t)
	_ = listener.Close()
	return listener.Addr().(*net.TCPAddr).Port
}

// Listen listens on a port that nothing listens on once the listener is closed.
func Listen(t testing.TB) net.Listener {
	t.Helper()
	const first, count = 10000, 20000 // systems hand out ports from 32768 on
	drawn.CompareAndSwap(0, int32(os.Getpid()%(count/100)*100))
	for range 100 {
		port := first + int(drawn.Add(1))%count
		if listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp4", "127.0.0.1:"+strconv.Itoa(port)); err == nil {
			return listener
		}
	}
	t.Fatal("no port is free")
	return nil
}
