//go:build unix

package atomicfile

import (
	"errors"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// openExclusive creates the file temp, which calls itself name.
func openExclusive(temp, name string) (*os.File, error) {
	return open(temp, unix.O_RDWR|unix.O_CREAT|unix.O_EXCL, name)
}

func open(path string, flags int, name string) (*os.File, error) {
	for {
		fd, err := unix.Open(path, flags|unix.O_CLOEXEC, mode)
		if err == nil {
			return os.NewFile(uintptr(fd), name), nil
		}
		if err != unix.EINTR {
			return nil, err
		}
	}
}

// chmod sets the mode.
func chmod(f *os.File, mode fs.FileMode) error { return f.Chmod(mode) }

// SyncDir makes a new name in dir safe, where that is possible: not in a
// directory that may be written but not read, nor on file systems that do not
// know it.
func SyncDir(dir string) error {
	d, err := os.Open(dir)
	if errors.Is(err, fs.ErrPermission) {
		return nil
	}
	if err != nil {
		return err
	}
	defer d.Close()
	if err := d.Sync(); err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, errors.ErrUnsupported) {
		return err
	}
	return nil
}
