package auth

import (
	"os"

	"golang.org/x/sys/windows"
)

// hide turns off the console's echo. It still sends whole lines, and turns Ctrl-C
// into a signal.
func hide(fd int) error {
	handle := windows.Handle(fd)
	var mode uint32
	if err := windows.GetConsoleMode(handle, &mode); err != nil {
		return err
	}
	mode &^= windows.ENABLE_ECHO_INPUT
	mode |= windows.ENABLE_LINE_INPUT | windows.ENABLE_PROCESSED_INPUT
	return windows.SetConsoleMode(handle, mode)
}

// continuations never sends: Windows stops no process from the keyboard.
func continuations() (continued <-chan os.Signal, stop func()) { return nil, func() {} }
