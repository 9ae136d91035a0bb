//go:build !windows

package cmd

import (
	"errors"
	"os"
	"os/signal"
	"syscall"

	"golang.org/x/sys/unix"
)

// enableColor does nothing: terminals other than Windows consoles understand
// escape sequences by themselves.
func enableColor(...*os.File) {}

// forbidCoreDumps sets the limit on their size to one byte. Zero would not do: Linux
// pipes a core to a program whatever the limit, unless it is one.
func forbidCoreDumps() {
	var limit syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_CORE, &limit) == nil && limit.Max > 0 {
		limit.Cur = 1
		_ = syscall.Setrlimit(syscall.RLIMIT_CORE, &limit)
	}
}

// ignoreWriteSignals makes errors of what would kill the process while it writes,
// in the middle of an order: a closed pipe, a limit on the size of files.
func ignoreWriteSignals() { signal.Ignore(syscall.SIGPIPE, syscall.SIGXFSZ) }

// restoreSignals keeps programs that are started from inheriting what
// ignoreWriteSignals did. It takes longer, so it waits until there is one.
func restoreSignals() {
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE, syscall.SIGXFSZ)
}

// closedPipe tells whether a write failed because its reader had seen enough, as
// head does. That ends a process by a signal, unless its parent ignored that.
func closedPipe(err error) bool { return errors.Is(err, syscall.EPIPE) }

// readerGone reports whether the other end of a pipe is closed, which writing to it
// would show.
func readerGone(f *os.File) bool {
	conn, err := f.SyscallConn()
	gone := false
	if err == nil {
		_ = conn.Control(func(fd uintptr) {
			polled := []unix.PollFd{{Fd: int32(fd)}} //nolint:gosec // a descriptor is small
			n, err := unix.Poll(polled, 0)
			gone = err == nil && n > 0 && polled[0].Revents&(unix.POLLERR|unix.POLLHUP) != 0
		})
	}
	return gone
}

// watchWindow listens to what the terminal's window and Ctrl-Z tell a process.
func watchWindow() window {
	resized, suspended := make(chan os.Signal, 1), make(chan os.Signal, 1)
	signal.Notify(resized, syscall.SIGWINCH)
	signal.Notify(suspended, syscall.SIGTSTP)
	return window{
		resized: resized, suspended: suspended,
		suspend: suspend,
		release: func() {
			signal.Stop(resized)
			signal.Stop(suspended)
		},
	}
}

// suspend stops the process as Ctrl-Z does, and returns when its shell goes on
// with it. The threads stop one after the other, so it is not enough to send the
// signal.
func suspend() {
	continued := make(chan os.Signal, 1)
	signal.Notify(continued, syscall.SIGCONT)
	defer signal.Stop(continued)
	if syscall.Kill(os.Getpid(), syscall.SIGSTOP) == nil {
		<-continued
	}
}
