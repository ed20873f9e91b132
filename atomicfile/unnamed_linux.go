package atomicfile

import (
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// createUnnamed creates a file in the directory of path that has no name. The
// error means that this cannot be done there, or that giveName could not.
func createUnnamed(path string) (*os.File, error) {
	f, err := open(filepath.Dir(path), unix.O_TMPFILE|unix.O_RDWR, path)
	if err != nil {
		return nil, err
	}
	// Without /proc there is no way to give it a name without privileges.
	if _, err := os.Stat(descriptorPath(f)); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// giveName makes the unnamed file appear as name, which must not exist.
func giveName(f *os.File, name string) error {
	return unix.Linkat(unix.AT_FDCWD, descriptorPath(f), unix.AT_FDCWD, name, unix.AT_SYMLINK_FOLLOW)
}

func descriptorPath(f *os.File) string { return fmt.Sprintf("/proc/self/fd/%d", f.Fd()) }
