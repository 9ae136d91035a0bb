//go:build unix

package auth

import (
	"os"

	"golang.org/x/sys/unix"
)

// specialFiles make what a file of ours must not be.
func specialFiles(target string) map[string]func(path string) error {
	return map[string]func(path string) error{
		"link":      func(path string) error { return os.Symlink(target, path) },
		"FIFO":      func(path string) error { return unix.Mkfifo(path, 0o600) },
		"directory": func(path string) error { return os.Mkdir(path, 0o700) },
	}
}
