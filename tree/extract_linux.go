package tree

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// makeNode makes a FIFO, a socket or a device.
func makeNode(dir *hostDir, name string, i *Inode) error {
	return unix.Mknodat(int(dir.self.Fd()), name, i.Type()|0o600, int(unix.Mkdev(i.Major, i.Minor)))
}

// setMtime sets the time of last modification, of a link itself, and the time
// of access to the same.
func setMtime(dir *hostDir, name string, i *Inode) error {
	ts := unix.Timespec{Sec: i.Mtime.Sec, Nsec: int64(i.Mtime.Nsec)}
	return unix.UtimesNanoAt(int(dir.self.Fd()), name, []unix.Timespec{ts, ts}, unix.AT_SYMLINK_NOFOLLOW)
}

// setXattrs writes extended attributes. There is no call that takes a directory
// and a name, and opening a device or a FIFO has effects: the path leads through
// the descriptor of the directory.
func setXattrs(dir *hostDir, name string, xattrs []Xattr) error {
	if len(xattrs) == 0 {
		return nil
	}
	path := fmt.Sprintf("/proc/self/fd/%d/%s", dir.self.Fd(), name)
	for _, x := range xattrs {
		if err := unix.Lsetxattr(path, x.Name, x.Value, 0); err != nil {
			return fmt.Errorf("extended attribute %q: %w", x.Name, err)
		}
	}
	return nil
}
