//go:build !windows

package cmd

import (
	"errors"
	"os"
	"os/signal"
	"syscall"

	"golang.org/x/sys/unix"
)

// enableColor does nothing: only Windows consoles need it.
func enableColor(...*os.File) {}

// forbidCoreDumps limits core dumps to one byte. With a limit of zero, Linux would
// still pipe the core to the program in core_pattern; one turns that off too.
func forbidCoreDumps() {
	var limit syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_CORE, &limit) == nil && limit.Max > 0 {
		limit.Cur = 1
		_ = syscall.Setrlimit(syscall.RLIMIT_CORE, &limit)
	}
}

// ignoreWriteSignals turns the signals for a closed pipe and the file size limit
// into write errors, so they cannot kill the process in the middle of an order.
func ignoreWriteSignals() { signal.Ignore(syscall.SIGPIPE, syscall.SIGXFSZ) }

// restoreSignals undoes ignoreWriteSignals for child processes: they inherit
// ignored signals, but not handled ones. It is slow, so it is called only before a
// child is started.
func restoreSignals() {
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE, syscall.SIGXFSZ)
}

// closedPipe reports whether a write failed because the reader closed the pipe, as
// head does.
func closedPipe(err error) bool { return errors.Is(err, syscall.EPIPE) }

// readerGone reports whether the other end of a pipe is closed, without a write.
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

// watchWindow subscribes to window resizes and Ctrl-Z.
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

// suspend stops the process as Ctrl-Z does, and returns when the shell continues
// it. Threads stop one by one, so it must wait for SIGCONT.
func suspend() {
	continued := make(chan os.Signal, 1)
	signal.Notify(continued, syscall.SIGCONT)
	defer signal.Stop(continued)
	if syscall.Kill(os.Getpid(), syscall.SIGSTOP) == nil {
		<-continued
	}
}
