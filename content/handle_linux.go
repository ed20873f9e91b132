package content

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// searchOnly opens a directory to look names up in it, for which it need not be
// readable.
const searchOnly = unix.O_PATH

func statTimes(st *syscall.Stat_t) (mtime, ctime int64) { return st.Mtim.Nano(), st.Ctim.Nano() }
