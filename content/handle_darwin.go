package content

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// searchOnly opens a directory to look names up in it.
const searchOnly = unix.O_RDONLY

func statTimes(st *syscall.Stat_t) (mtime, ctime int64) {
	return st.Mtimespec.Nano(), st.Ctimespec.Nano()
}
