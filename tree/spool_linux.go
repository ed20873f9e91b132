package tree

import (
	"os"

	"golang.org/x/sys/unix"
)

// createUnlinked creates a file that has no name, where the file system can do that:
// not even being killed leaves it behind. If it gets one, it is a file like others.
func createUnlinked(dir string) (*os.File, func(), error) {
	var fd int
	err := retry(func() (err error) {
		fd, err = unix.Open(dir, unix.O_TMPFILE|unix.O_RDWR|unix.O_CLOEXEC, 0o666)
		return err
	})
	if err != nil {
		return createAndRemove(dir) // and its error, if there is any, tells more
	}
	return os.NewFile(uintptr(fd), dir), func() {}, nil
}
