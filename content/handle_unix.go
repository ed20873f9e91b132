//go:build linux || darwin

package content

import (
	"io"
	"io/fs"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// handle is an open file descriptor. An os.File would cost two more system
// calls and a finalizer for each of a million small files.
type handle int

// openHandle opens the file name in an open directory, without waiting for
// anything: should the name have become a FIFO since the walk, opening it must not
// hang.
func openHandle(dir int, name string) (handle, error) {
	fd, err := ignoringEINTR(func() (int, error) {
		return unix.Openat(dir, name, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	})
	return handle(fd), err
}

// goneOrReplaced says what an error of openFile means if it means that the
// name leads to something else than the regular file of the walk.
func goneOrReplaced(err error) string {
	switch err {
	case unix.ENOENT, unix.ENOTDIR:
		return "is gone"
	case unix.ELOOP: // because of O_NOFOLLOW
		return "was replaced by a symbolic link"
	case unix.ENXIO, unix.EOPNOTSUPP, unix.ENODEV: // sockets of Linux, of Darwin; devices
		return "was replaced by a socket or device"
	}
	return ""
}

func (h handle) file(name string) *os.File { return os.NewFile(uintptr(h), name) }

func (h handle) close() error { return unix.Close(int(h)) }

func (h handle) readFull(p []byte, off int64) error {
	for len(p) > 0 {
		n, err := ignoringEINTR(func() (int, error) { return unix.Pread(int(h), p, off) })
		if err != nil {
			return err
		}
		if n == 0 {
			return io.ErrUnexpectedEOF
		}
		p, off = p[n:], off+int64(n)
	}
	return nil
}

func (h handle) identity() (Identity, error) {
	var st unix.Stat_t
	_, err := ignoringEINTR(func() (int, error) { return 0, unix.Fstat(int(h), &st) })
	if err != nil {
		return Identity{}, err
	}
	return Identity{Inode: st.Ino, Size: st.Size, Mtime: st.Mtim.Nano(), Ctime: st.Ctim.Nano()}, nil
}

// IdentityOf returns the identity in the result of [os.Stat] or [os.Lstat].
func IdentityOf(fi fs.FileInfo) Identity {
	mtime, ctime := statTimes(fi.Sys().(*syscall.Stat_t))
	return Identity{Inode: fi.Sys().(*syscall.Stat_t).Ino, Size: fi.Size(), Mtime: mtime, Ctime: ctime}
}

func ignoringEINTR(f func() (int, error)) (int, error) {
	for {
		if n, err := f(); err != unix.EINTR {
			return n, err
		}
	}
}
