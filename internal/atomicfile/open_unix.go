//go:build unix

package atomicfile

import (
	"io/fs"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

const openFlags = unix.O_NOFOLLOW | unix.O_NONBLOCK

func owned(info fs.FileInfo) bool {
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(stat.Uid) == os.Geteuid()
}

// ownedAlone reports whether a file is this user's and has one name only: a
// second one may be a trap to change a file elsewhere.
func ownedAlone(info fs.FileInfo) bool {
	return owned(info) && info.Sys().(*syscall.Stat_t).Nlink == 1
}
