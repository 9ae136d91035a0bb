//go:build unix

package auth

import (
	"os"
	"os/signal"

	"golang.org/x/sys/unix"
)

// hide turns off the terminal's echo. It still sends whole lines, and turns Ctrl-C
// into a signal.
func hide(fd int) error {
	state, err := unix.IoctlGetTermios(fd, getTermios)
	if err != nil {
		return err
	}
	state.Lflag &^= unix.ECHO
	state.Lflag |= unix.ICANON | unix.ISIG
	state.Iflag |= unix.ICRNL
	return unix.IoctlSetTermios(fd, setTermios, state)
}

// continuations sends whenever the process is continued after Ctrl-Z, until stop is
// called.
func continuations() (continued <-chan os.Signal, stop func()) {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, unix.SIGCONT)
	return signals, func() { signal.Stop(signals) }
}
