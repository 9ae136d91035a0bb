// Package testport gives tests TCP ports to listen on later. Only tests import it.
package testport

import (
	"math/rand/v2"
	"net"
	"strconv"
	"sync/atomic"
	"testing"
)

// drawn counts the ports that this process drew, from a place of its own.
var drawn atomic.Int32 //nolint:gochecknoglobals // a counter

// Free returns a port of 127.0.0.1 that nothing listens on. No system hands such a
// port out by itself, so nothing else is given it until the test listens there.
func Free(t testing.TB) int {
	t.Helper()
	const first, count = 10000, 20000 // systems hand out ports from 32768 on
	drawn.CompareAndSwap(0, 1+rand.Int32N(count))
	for range 100 {
		port := first + int(drawn.Add(1))%count
		listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp4", "127.0.0.1:"+strconv.Itoa(port))
		if err != nil {
			continue
		}
		_ = listener.Close()
		return port
	}
	t.Fatal("no port is free")
	return 0
}
