package atomicfile

import (
	"errors"
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
	return nameable(f)
}

// nameable returns f, or closes it: without /proc there is no way to give it a name
// without privileges.
func nameable(f *os.File) (*os.File, error) {
	if _, err := os.Stat(descriptorPath(f)); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// adopt returns the unnamed file from under the name path. The error means that it
// cannot get that name.
func adopt(from *os.File, path string) (*os.File, error) {
	// One whose name was removed gets no other.
	if flags, err := unix.FcntlInt(from.Fd(), unix.F_GETFL, 0); err != nil || flags&unix.O_TMPFILE != unix.O_TMPFILE {
		return nil, errors.Join(err, unix.ENOENT)
	}
	var file, dir unix.Statx_t
	if err := unix.Statx(int(from.Fd()), "", unix.AT_EMPTY_PATH, unix.STATX_MNT_ID|unix.STATX_NLINK, &file); err != nil {
		return nil, err
	}
	if err := unix.Statx(unix.AT_FDCWD, filepath.Dir(path), 0, unix.STATX_MNT_ID, &dir); err != nil {
		return nil, err
	}
	if file.Mask&dir.Mask&unix.STATX_MNT_ID == 0 || file.Mnt_id != dir.Mnt_id || file.Nlink > 0 {
		return nil, unix.EXDEV
	}
	fd, err := unix.FcntlInt(from.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	return nameable(os.NewFile(uintptr(fd), path))
}

// giveName makes the unnamed file appear as name, which must not exist.
func giveName(f *os.File, name string) error {
	return unix.Linkat(unix.AT_FDCWD, descriptorPath(f), unix.AT_FDCWD, name, unix.AT_SYMLINK_FOLLOW)
}

func descriptorPath(f *os.File) string { return fmt.Sprintf("/proc/self/fd/%d", f.Fd()) }
