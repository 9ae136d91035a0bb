//go:build !windows

package cmd

import "os"

// enableColour does nothing: terminals other than Windows consoles understand
// escape sequences by themselves.
func enableColour(...*os.File) {}
