package cmd

import (
	"errors"
	"os"

	"golang.org/x/sys/windows"
)

// enableColor turns on escape sequences, which are off by default.
func enableColor(files ...*os.File) {
	for _, f := range files {
		var mode uint32
		handle := windows.Handle(f.Fd())
		if windows.GetConsoleMode(handle, &mode) == nil {
			_ = windows.SetConsoleMode(handle, mode|windows.ENABLE_VIRTUAL_TERMINAL_PROCESSING)
		}
	}
}

// forbidCoreDumps does nothing: Windows writes none by default.
func forbidCoreDumps() {}

// ignoreWriteSignals does nothing: Windows has no such signals.
func ignoreWriteSignals() {}

func restoreSignals() {}

// closedPipe reports whether a write failed because the reader closed the pipe.
func closedPipe(err error) bool {
	return errors.Is(err, windows.ERROR_BROKEN_PIPE) || errors.Is(err, windows.ERROR_NO_DATA)
}

// readerGone returns false: on Windows only a write can find out.
func readerGone(*os.File) bool { return false }

// watchWindow subscribes to nothing: Windows has no such signals.
func watchWindow() window { return window{release: func() {}} }
