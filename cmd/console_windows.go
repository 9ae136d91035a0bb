package cmd

import (
	"errors"
	"os"

	"golang.org/x/sys/windows"
)

// enableColor lets consoles understand escape sequences; Windows has this off
// by default, and the QR library does not turn it on.
func enableColor(files ...*os.File) {
	for _, f := range files {
		var mode uint32
		handle := windows.Handle(f.Fd())
		if windows.GetConsoleMode(handle, &mode) == nil {
			_ = windows.SetConsoleMode(handle, mode|windows.ENABLE_VIRTUAL_TERMINAL_PROCESSING)
		}
	}
}

// forbidCoreDumps does nothing: Windows keeps none by itself.
func forbidCoreDumps() {}

// ignoreWriteSignals does nothing: no signal kills a process that writes.
func ignoreWriteSignals() {}

// restoreSignals does nothing either.
func restoreSignals() {}

// closedPipe tells whether a write failed because its reader had seen enough.
func closedPipe(err error) bool {
	return errors.Is(err, windows.ERROR_BROKEN_PIPE) || errors.Is(err, windows.ERROR_NO_DATA)
}

// readerGone cannot tell: Windows says so only to who writes.
func readerGone(*os.File) bool { return false }

// watchWindow tells nothing: Windows has no such signals.
func watchWindow() window { return window{release: func() {}} }
